// The limits that several folders share. Each folder keeps its own in its own limits.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::limits {

// Unit of mapping and of every buffer: one page of every machine we build for.
inline constexpr uint32_t block_bytes = 4096;

// Reactor threads of one runtime. One per core is plenty; 64 bounds arrays indexed by reactor.
inline constexpr uint32_t max_reactors = 64;
inline constexpr uint32_t default_max_reactors = 8;

// The largest transfer of one command (MDTS): 2^8 pages of 4 KiB.
inline constexpr uint32_t max_transfer_bytes = 1u << 20;

// Buffer memory: a command of max_transfer_bytes is 1 MiB / 128 KiB = 8 pieces; a shorter one is
// whole 128 KiB pieces and one piece of the next power of two above the rest.
inline constexpr uint32_t min_buffer_piece_bytes = 4096;
inline constexpr uint32_t max_buffer_piece_bytes = 128 * 1024;
inline constexpr uint32_t max_buffer_pieces = max_transfer_bytes / max_buffer_piece_bytes;
static_assert(max_buffer_pieces == 8);

// 64 MiB a reactor: 64 commands of 1 MiB or 16,384 of 4 KiB under way at once. The least that can
// work is two commands of the largest size; the most that one registration takes is 1 GiB.
inline constexpr uint64_t default_buffer_bytes = 64ull << 20;
inline constexpr uint64_t min_buffer_bytes = 2ull * max_transfer_bytes;
inline constexpr uint64_t max_buffer_bytes = 1ull << 30;

// Calls from JavaScript that wait for an answer, and events raised by peers that JavaScript has not
// taken yet. A caller beyond the first limit gets 'limit-exceeded'; a reactor beyond the second
// stops reading the socket concerned. At about 1.3 KiB an event: 21 MiB.
inline constexpr uint32_t max_pending_calls = 16384;
inline constexpr uint32_t max_queued_events = 16384;

}  // namespace ashlar::limits
