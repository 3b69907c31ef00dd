// Journal: a ring of 4 KiB blocks that holds commits, one after the other.
//
//   block of a commit:  | prefix 16: magic, index, sequence | 4,080 bytes of the commit's stream |
//   stream of a commit: | CommitHeader 64 | records ... | zeroes to the end of the last block |
//
// Positions are absolute block numbers that only grow; the block in the ring is position mod ring.
// A commit is believed only when its sequence number and its position are exactly the expected
// ones and one CRC over all its blocks is right. So neither a torn commit nor what is left of
// earlier laps is ever believed; and since a first block's magic differs from the others', a
// record's payload can never pass for a commit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "store/format.h"

namespace ashlar::store {

struct JournalBlockPrefix {
  uint32_t magic = 0;
  uint32_t index = 0;  // Of the block in its commit.
  uint64_t sequence = 0;
};
static_assert(sizeof(JournalBlockPrefix) == 16);

struct CommitHeader {
  Uuid pool{};
  uint64_t sequence = 0;
  uint64_t position = 0;  // Absolute, of the first block.
  uint32_t blocks = 0;
  uint32_t record_bytes = 0;
  uint32_t version = 0;
  uint32_t crc = 0;  // Of all blocks with this field zero.
  uint64_t reserved[2] = {};
};
static_assert(sizeof(CommitHeader) == 64);

inline constexpr uint32_t journal_first_magic = 0x31434a41;  // "AJC1"
inline constexpr uint32_t journal_next_magic = 0x4e434a41;   // "AJCN"
inline constexpr uint32_t journal_stream_bytes =
    limits::block_bytes - static_cast<uint32_t>(sizeof(JournalBlockPrefix));

class Journal {
 public:
  Journal() = default;
  Journal(const Uuid& pool, uint64_t first_chunk, uint64_t bytes)
      : pool_(pool),
        offset_bytes_(first_chunk * limits::chunk_bytes),
        ring_blocks_(bytes / limits::block_bytes) {}

  uint64_t ring_blocks() const noexcept { return ring_blocks_; }
  uint64_t offset_of(uint64_t position) const noexcept {
    return offset_bytes_ + position % ring_blocks_ * limits::block_bytes;
  }
  // Record bytes that one commit can hold at most.
  uint32_t max_record_bytes() const noexcept;
  static uint64_t blocks_for(size_t record_bytes) noexcept;

  // Lays out a commit into `out` (resized to whole blocks).
  void encode(std::span<const std::byte> records, uint64_t sequence, uint64_t position,
              std::vector<std::byte>& out) const;

  // What the first block at `position` promises; 0: no commit of this sequence starts here.
  uint32_t promised_blocks(std::span<const std::byte> block, uint64_t sequence,
                           uint64_t position) const noexcept;
  // The record bytes of a whole commit (its stream put together), or false.
  bool decode(std::span<const std::byte> blocks, uint64_t sequence, uint64_t position,
              std::vector<std::byte>& records) const;
  // For the search beyond the end: the sequence and position that the block claims, if it is a
  // first block of this pool; sequence 0 otherwise.
  CommitHeader claimed(std::span<const std::byte> block) const noexcept;

 private:
  Uuid pool_{};
  uint64_t offset_bytes_ = 0;
  uint64_t ring_blocks_ = 0;
};

}  // namespace ashlar::store
