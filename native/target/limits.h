// The static limits of the target, with their arithmetic.
#pragma once

#include <cstdint>

#include "base/limits.h"
#include "tcp/limits.h"

namespace ashlar::target::limits {

using ashlar::limits::max_reactors;
using ashlar::limits::max_transfer_bytes;

// ---- Queues -------------------------------------------------------------------------------------

// Entries of a submission queue. Two is the spec's least (Base 3.3.3.1). A slot is 800 bytes and
// made when it is first needed, so a queue has as many as it was ever deep: for 1,024 entries at
// most 800 KiB, for 128, which is what hosts ask for, 100 KiB. A controller of 128 I/O queues is 13
// MiB of slots at most as hosts ask, and 101 MiB at its very largest.
inline constexpr uint32_t min_queue_entries = 2;
inline constexpr uint32_t max_queue_entries = 1024;
inline constexpr uint32_t max_io_queues = 128;
inline constexpr uint32_t max_async_events = 16;

// Kinds of asynchronous event (type, information, log page) that one controller can hold back.
inline constexpr uint32_t max_event_kinds = 32;

// Entries of a controller's error log (ELPE says one less): 40 bytes each, 2.5 KiB.
inline constexpr uint32_t error_log_entries = 64;

// ---- Transfers ----------------------------------------------------------------------------------

// In-capsule data of either kind of queue: IOCCSZ is (64 + 8,192) / 16 = 516.
inline constexpr uint32_t in_capsule_bytes = tcp::admin_in_capsule_bytes;

// The longest H2CData that a host may send. A header for every 128 KiB costs 0.02 % and lets other
// commands' PDUs in between.
inline constexpr uint32_t maxh2cdata_bytes = 128 * 1024;

// One R2T asks for this much at most: a command of 1 MiB takes two, both out at once when the
// host's MAXR2T allows it.
inline constexpr uint32_t r2t_bytes = 512 * 1024;
inline constexpr uint32_t r2ts_per_command = 2;
static_assert(r2t_bytes * r2ts_per_command >= max_transfer_bytes);
// TTAG = slot × r2ts_per_command + which of its R2Ts: 2,048 values of 65,536.
static_assert(max_queue_entries * r2ts_per_command <= 65536);

// Data that an admin command may bring. The largest we answer is a 4 KiB Set Features; 64 KiB × 32
// entries bound an admin queue to 2 MiB.
inline constexpr uint32_t admin_from_host_bytes = 64 * 1024;
// Commands that an I/O queue has at the control plane at a time; more are answered retryably. They
// are reservations and authentication, which hosts send one by one: 8 × 64 KiB bound a queue.
inline constexpr uint32_t forwarded_per_io_queue = 8;
// A message of authentication: the longest is 1,168 bytes, and hosts have room for a page.
inline constexpr uint32_t authentication_bytes = 4096;
// Slots of a queue that has still to authenticate, whatever it asked for. One command of it is at
// the control plane at a time; all others are refused at once.
inline constexpr uint32_t unauthenticated_slots = 4;
// Data that an admin command may ask for (Get Log Page).
inline constexpr uint32_t admin_to_host_bytes = max_transfer_bytes;
inline constexpr uint32_t connect_data_bytes = 1024;

// Compare, Verify and Copy read through one scratch buffer per connection, piece by piece.
inline constexpr uint32_t compare_piece_bytes = 64 * 1024;

// Copy: 128 source ranges (MSRC) of 32 bytes are one page; 1 MiB each (MSSRL), like any transfer;
// 16 MiB together (MCL), which is 256 times through the scratch buffer.
inline constexpr uint32_t copy_ranges = 128;
inline constexpr uint32_t copy_range_bytes = max_transfer_bytes;
inline constexpr uint32_t copy_bytes = 16u << 20;

// A fused Compare and Write: at most one block of the store, which a power loss leaves whole
// (NACWU). Halves of pairs that a queue holds at a time; one more is answered retryably. Memory,
// from a queue's first fused command on: 32 halves and one block to read into, 132 KiB.
inline constexpr uint32_t fused_bytes = ashlar::limits::block_bytes;
inline constexpr uint32_t fused_per_queue = 32;

// ---- Meters -------------------------------------------------------------------------------------

// Commands that a limit lets go before the loop has its turn.
inline constexpr uint32_t limited_per_turn = 64;

// While several tenants want a reactor (share.h). Units of commands that all of them together have
// in service, one for each 64 KiB begun: enough to keep a device busy, few enough that one behind
// them is not late.
inline constexpr uint32_t shared_units = 32;
inline constexpr uint32_t service_unit_bytes = 64 * 1024;
// Units of a turn of the loop, one a command and one for each 16 KiB of its data: about 50 us.
inline constexpr uint32_t shared_per_turn = 32;
inline constexpr uint32_t turn_unit_bytes = 16 * 1024;

// ---- Memory of a connection ---------------------------------------------------------------------

// Before Connect: ICReq (128) or a Connect capsule (72 + 4 + 124 padding + 1,024 + 4) at a time.
inline constexpr uint32_t first_receive_bytes = 2048;
// After it: seven 4 KiB writes in one receive.
inline constexpr uint32_t receive_bytes = 32 * 1024;
// Of a connection that has filled that: thirty-one. It is lent by the reactor's buffers, while half
// of them are free, so that idle connections do not have it.
inline constexpr uint32_t long_receive_bytes = 128 * 1024;
// Capsules of one connection that are begun before the loop goes on: 128 KiB of 4 KiB reads.
inline constexpr uint32_t capsules_per_turn = 32;
// While R2Ts are out: data of their own length may follow the next header.
inline constexpr uint32_t short_receive_bytes = 4096;
// Data that is still to come and at least this long is received straight into its command.
inline constexpr uint32_t direct_receive_bytes = 8 * 1024;
// One send gathers up to 128 segments (a read of 1 MiB takes 10, one of 4 KiB 2) and 4 KiB of
// headers (146 CapsuleResps).
inline constexpr uint32_t send_segments = 128;
inline constexpr uint32_t send_header_bytes = 4096;
inline constexpr uint32_t segments_per_pdu = ashlar::limits::max_buffer_pieces + 2;
static_assert(segments_per_pdu <= send_segments);
// Data of one send: enough to fill a pipe, little enough that a response behind it is not late.
inline constexpr uint32_t send_data_bytes = 2u << 20;

// Connections of one reactor, accepted and not yet gone. A connection beyond that is closed at
// once. Before Connect each is 2.2 KiB of state (its one slot included), 2 KiB to receive and 0.5
// KiB to send: 4,096 of them are 19 MiB. After it come 32 KiB to receive, 6 KiB to send, 8 KiB of
// CIDs, 8 KiB of reserve on I/O queues, and the slots; but as long as the host has to authenticate
// just four slots: 7.8 KiB in all, so 31 MiB for 4,096 that never do.
inline constexpr uint32_t connections_per_reactor = 4096;

// Of these, the ones that have no queue yet: together, and of one address. One more takes the place
// of the oldest of its own address when that has its share, or else of the address that has most:
// who opens connections and says nothing displaces itself, and a host that connects gets in. A host
// that comes back connects its queues one by one; 256 leave room for many behind one address.
inline constexpr uint32_t newcomers_per_reactor = 1024;
inline constexpr uint32_t newcomers_per_address = 256;
static_assert(newcomers_per_reactor < connections_per_reactor);

// A connection holds at most this share of its reactor's buffers (but always one command's worth),
// so that a host that asks for data and does not read it leaves the rest to others.
inline constexpr uint32_t buffer_share = 4;

// ---- ANA ----------------------------------------------------------------------------------------

inline constexpr uint32_t max_ana_groups = 1024;  // ANAGRPID 1 to 1,024.

// ---- Time ---------------------------------------------------------------------------------------

inline constexpr uint64_t second_ns = 1'000'000'000;
// From accept to a whole ICReq, and from there to a whole Connect that is accepted.
inline constexpr uint64_t ic_req_timeout_ns = 10 * second_ns;
inline constexpr uint64_t connect_timeout_ns = 10 * second_ns;
// From the Connect event to the control plane's answer.
inline constexpr uint64_t accept_timeout_ns = 30 * second_ns;
// From the accepted Connect of a queue to the end of its authentication.
inline constexpr uint64_t authentication_timeout_ns = 30 * second_ns;
// A PDU cut off in the middle, an R2T without data, or a send that the peer does not take. One
// timer a connection compares totals, so the end comes after once to twice this time.
inline constexpr uint64_t stall_timeout_ns = 30 * second_ns;
// After a C2HTermReq the host has this long to close (Transport 1.1, 3.4: at most 30 s).
inline constexpr uint64_t terminate_timeout_ns = 5 * second_ns;

}  // namespace ashlar::target::limits
