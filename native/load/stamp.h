// Stamps: what a verifying load writes into every block of 4 KiB, so that a read tells a block that
// is old, of another place, of another run, half of one write and half of another, or damaged.
//
//   0   magic                8 bytes
//   8   nsid                 4
//   12  sequence             4   counts the writes of one queue, from 1
//   16  offset in bytes      8   of the block in its namespace
//   24  generation           8   of the run
//   32  CRC32C               4   of the whole block, this field as 0
//   512, 1024, … 3584: 8 bytes that follow from generation, place, sequence and sector
//
// The rest is whatever the buffer held. The words at each 512 bytes tell a torn block (they are of
// several writes) from a damaged one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ashlar::load {

inline constexpr uint32_t stamp_block_bytes = 4096;

struct Stamp {
  uint32_t nsid = 0;
  uint32_t sequence = 0;
  uint64_t offset_bytes = 0;
  uint64_t generation = 0;
};

// `block` is stamp_block_bytes long.
void put_stamp(std::span<std::byte> block, const Stamp& stamp) noexcept;

enum class StampVerdict : uint8_t {
  right,
  zeroes,       // The block reads as zeroes.
  none,         // There is no stamp.
  torn,         // Parts are of different writes.
  damaged,      // The CRC is wrong, though all parts are of one write.
  another_run,  // A whole block that another run has written.
  misplaced,    // A whole block that was written elsewhere.
  stale,        // A whole block of this place, of an earlier write (or one never acknowledged).
};

StampVerdict check_stamp(std::span<const std::byte> block, const Stamp& expected) noexcept;

// "block at byte 8192 holds write 3, the last one was 7 (stale)": for people; may allocate.
std::string describe_stamp(std::span<const std::byte> block, const Stamp& expected,
                           StampVerdict verdict);

}  // namespace ashlar::load
