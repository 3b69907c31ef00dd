// Command: one slot of a queue pair, from capsule to response.
//
// Slots are made when they are first needed and reused ever after. A slot's memory, its
// buffers and its request to the store live as long as somebody may touch them: the state says who.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

#include "base/block_io.h"
#include "nvme/wire.h"
#include "reactor/buffers.h"
#include "target/limits.h"
#include "target/validate.h"

namespace ashlar::target {

class Connection;
class MeterPart;

enum class CommandState : uint8_t {
  free,                 // In the free list; the next capsule moves it on.
  receiving,            // Its capsule's data is next in the stream; the receive side moves it on.
  awaiting_buffers,     // In the line of the buffer pool or of the connection's share.
  awaiting_data,        // R2Ts are out; H2CData PDUs move it on.
  awaiting_limit,       // In a MeterPart's line; credits move it on.
  awaiting_share,       // Its meter has enough in service; the end of one moves it on.
  awaiting_range,       // A change of blocks that a RangeLock covers; the gate moves it on.
  awaiting_other_half,  // Fused, with its data: the other half or the range's lock moves it on.
  awaiting_scratch,     // A Compare, Verify or Copy that waits for the scratch buffer.
  at_store,             // BlockIo under way; done() moves it on.
  at_control_plane,     // TypeScript has it; complete_command() or connectAccept/Reject.
  parked,               // An Asynchronous Event Request; an event or an Abort moves it on.
  responding,           // In the send queue.
  sending,              // Its response is with the socket; the end of the send frees the slot.
};

// What happens to the connection when the response is out.
enum class AfterResponse : uint8_t {
  go_on,
  disconnect,  // The host asked for it.
  refuse,      // The host failed to authenticate.
  give_up,     // The host has had its time for a Connect that is accepted.
};

// One outstanding R2T of a command.
struct Transfer {
  uint32_t offset_bytes = 0;
  uint32_t length_bytes = 0;
  uint32_t received_bytes = 0;
  bool active = false;  // H2CData may name it by its TTAG.
  bool unsent = false;  // The R2T PDU itself is not yet with the socket.
};

inline constexpr uint8_t no_fused_block = 0xff;

struct Command {
  explicit Command(Connection& owner) noexcept : connection(owner) {
    io.context = this;
    buffers.context = this;
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // CHECKs that the transition is legal.
  void set_state(CommandState to) noexcept;
  CommandState state() const noexcept { return state_; }

  // The memory that the command's data is in, unless it is `lent`; empty when it has none (yet).
  std::span<const iovec> segments() const noexcept {
    return own_segment.iov_len != 0 ? std::span<const iovec>(&own_segment, 1) : buffers.segments();
  }

  // Of a lent command, in the place of what else the store would keep of it.
  Loan& loan() noexcept { return *std::launder(reinterpret_cast<Loan*>(io.scratch)); }

  BlockIo io;  // First, as it is aligned to 16 bytes.
  Connection& connection;
  nvme::Sqe sqe{};
  IoRequest request;    // I/O queues.
  DataPlan data;        // Both kinds of queue.
  bool skip_data = false;     // Refused: the capsule's data is read and thrown away.
  bool digest_failed = false; // A data digest was wrong: Transient Transport Error.
  bool owns_cid = false;      // False for the refusal of a CID that is in use already.
  bool queued_to_send = false;
  AfterResponse after = AfterResponse::go_on;
  bool forwarded = false;     // The control plane's, with its data in own_data.
  bool counted = false;       // Counts against the connection's share of buffers.
  uint8_t table_parity = 0;   // Which namespace table counts it while it is at the store.
  bool counts_as_change = false;  // The reactor's gate counts it, by this parity.
  uint8_t change_parity = 0;
  bool admitted = false;           // It has taken its credits, or needs none.
  bool waits_with_data = false;    // It waits for its meter with its data here.
  // Fused (connection_fused.cc).
  uint8_t fuse = 0;                      // nvme::fuse_first, fuse_second, or 0.
  uint8_t fused_block = no_fused_block;  // Where its data is.
  nvme::StatusCode fused_abort = nvme::StatusCode::success;  // Its answer once its data is here.
  uint16_t index = 0;
  Command* partner = nullptr;  // The other half; null: not here, or answered.

  uint32_t capsule_bytes = 0;  // Data that came in the capsule.
  uint32_t token = 0;          // Distinguishes uses of this slot in complete_command().
  const void* table = nullptr; // The namespace table that the command was judged by.

  // The response.
  Refusal outcome{nvme::StatusCode::success, false};
  uint64_t result = 0;
  uint32_t response_data_bytes = 0;  // Data to the host, from segments().

  // Data from the host by R2T.
  std::array<Transfer, limits::r2ts_per_command> transfers{};
  uint32_t requested_bytes = 0;  // By R2Ts so far.
  uint32_t received_bytes = 0;
  uint64_t progress_ns = 0;      // When data last came (or was first asked for).

  // At its namespace's meter (connection_meter.cc); null: it has none.
  MeterPart* part = nullptr;
  uint32_t service_units = 0;   // What it counts among those in service; 0: it is not.
  uint64_t arrived_ns = 0;      // Later by what it waited for data that R2Ts asked for.
  uint64_t waits_since_ns = 0;  // For that data, or for a limit.

  // At the store.
  BlockBackend* backend = nullptr;
  // Next DSM range; next NSID of a flush of all; next byte of a Compare or Verify;
  // source range of a Copy.
  uint32_t cursor = 0;
  uint32_t copied_bytes = 0;           // Copy: by now, and of the range that `cursor` is.
  uint32_t copied_of_range_bytes = 0;
  // A read whose data is still the backend's, until flush_sends() has it with the socket.
  bool lent = false;
  uint16_t loan_segment = 0;  // Where its pieces begin in Connection::send_segments_.
  iovec scratch_segment{};

  BufferRequest buffers;
  iovec own_segment{};                // Data elsewhere: in `own_data` or the reserve.
  std::vector<std::byte> own_data;  // Of Connect, and of commands that are forwarded.

  Command* next = nullptr;  // The free list, the send queue, or a line: scratch, buffers, meter.

 private:
  CommandState state_ = CommandState::free;
};

static_assert(sizeof(Loan) <= sizeof(BlockIo::scratch));
static_assert(sizeof(Command) <= 800);  // limits.h counts on it.

// A line of commands linked through Command::next.
struct CommandLine {
  Command* head = nullptr;
  Command* tail = nullptr;
  void push(Command& command) noexcept;
  Command* pop() noexcept;
  bool remove(Command& command) noexcept;
};

// Copies into (out of) segments at `offset` of the bytes they hold together.
void copy_into(std::span<const iovec> segments, uint32_t offset,
               std::span<const std::byte> bytes) noexcept;
void copy_from(std::span<const iovec> segments, uint32_t offset,
               std::span<std::byte> bytes) noexcept;
// The contiguous memory at `offset`; empty past the end.
std::span<std::byte> contiguous_at(std::span<const iovec> segments, uint32_t offset) noexcept;

}  // namespace ashlar::target
