// The static limits of our own host, with their arithmetic.
#pragma once

#include <cstdint>

#include "tcp/limits.h"

namespace ashlar::host {

// A command identifier is 10 bits of slot and 6 of generation, so that a late or invented answer
// is told from a right one.
inline constexpr uint32_t slot_bits = 10;
inline constexpr uint32_t max_queue_entries = 1u << slot_bits;
inline constexpr uint32_t max_io_queues = 128;
// Base 5.2: the admin queue has at least two entries; 32 is what we ever need at once.
inline constexpr uint32_t admin_queue_entries = 32;

// Memory pieces of one command's data.
inline constexpr uint32_t max_command_segments = 64;

// One send: headers, padding and digests in one arena (64 PDUs of at most 152 + 4 bytes: 10 KiB),
// data where the caller has it. Two segments of frame and the data's own for each PDU; a batch
// ends when the largest PDU might not fit any more, so room for one more is part of the bound.
inline constexpr uint32_t max_batch_pdus = 64;
inline constexpr uint32_t batch_arena_bytes =
    max_batch_pdus * (tcp::max_header_bytes + tcp::digest_bytes);
inline constexpr uint32_t max_batch_segments = 3 * max_batch_pdus + max_command_segments;
static_assert(max_batch_segments <= 1024, "UIO_MAXIOV");
// After this many bytes of data the batch goes out, so that answers are not waited for behind it.
inline constexpr uint32_t max_batch_data_bytes = 512 * 1024;

// What one receive takes at most: thirty C2HData of 4 KiB and their headers.
inline constexpr uint32_t receive_buffer_bytes = 128 * 1024;
// From here on, a PDU's data is received where it belongs instead of copied there.
inline constexpr uint32_t direct_receive_bytes = 16 * 1024;

// How long a TermReq may take to leave before the connection is reset.
inline constexpr uint64_t terminate_ns = 1'000'000'000;
// How often CSTS is asked for while the controller gets ready or shuts down.
inline constexpr uint64_t status_poll_ns = 20'000'000;
// A controller that does not finish its shutdown in this time is left alone.
inline constexpr uint64_t shutdown_ns = 5'000'000'000;

}  // namespace ashlar::host
