#include "store/journal.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace ashlar::store {

namespace {

constexpr size_t header_offset = sizeof(JournalBlockPrefix);
constexpr size_t crc_offset = header_offset + offsetof(CommitHeader, crc);

uint32_t commit_crc(std::span<const std::byte> blocks) noexcept {
  constexpr std::byte zeroes[4] = {};
  uint32_t crc = crc32c(blocks.first(crc_offset));
  crc = crc32c(std::span<const std::byte>(zeroes), crc);
  return crc32c(blocks.subspan(crc_offset + 4), crc);
}

}  // namespace

uint64_t Journal::blocks_for(size_t record_bytes) noexcept {
  return (sizeof(CommitHeader) + record_bytes + journal_stream_bytes - 1) / journal_stream_bytes;
}

uint32_t Journal::max_record_bytes() const noexcept {
  const uint64_t blocks =
      std::min<uint64_t>(limits::max_commit_bytes / limits::block_bytes, ring_blocks_ / 4);
  return static_cast<uint32_t>(blocks * journal_stream_bytes - sizeof(CommitHeader));
}

void Journal::encode(std::span<const std::byte> records, uint64_t sequence, uint64_t position,
                     std::vector<std::byte>& out) const {
  const uint64_t blocks = blocks_for(records.size());
  CHECK(blocks <= ring_blocks_ / 4);
  out.assign(blocks * limits::block_bytes, std::byte{0});
  CommitHeader header;
  header.pool = pool_;
  header.sequence = sequence;
  header.position = position;
  header.blocks = static_cast<uint32_t>(blocks);
  header.record_bytes = static_cast<uint32_t>(records.size());
  header.version = format_version;
  size_t taken = 0;
  for (uint64_t i = 0; i < blocks; ++i) {
    const std::span<std::byte> block =
        std::span(out).subspan(i * limits::block_bytes, limits::block_bytes);
    const JournalBlockPrefix prefix{i == 0 ? journal_first_magic : journal_next_magic,
                                    static_cast<uint32_t>(i), sequence};
    write_at(block, 0, prefix);
    size_t at = sizeof prefix;
    if (i == 0) {
      write_at(block, at, header);
      at += sizeof header;
    }
    const size_t length = std::min(records.size() - taken, block.size() - at);
    if (length > 0) std::memcpy(block.data() + at, records.data() + taken, length);
    taken += length;
  }
  CHECK(taken == records.size());
  write_at(std::span(out), crc_offset, commit_crc(out));
}

uint32_t Journal::promised_blocks(std::span<const std::byte> block, uint64_t sequence,
                                  uint64_t position) const noexcept {
  const auto prefix = read_at<JournalBlockPrefix>(block);
  const auto header = read_at<CommitHeader>(block, header_offset);
  if (prefix.magic != journal_first_magic || prefix.index != 0 || prefix.sequence != sequence ||
      header.pool != pool_ || header.sequence != sequence || header.position != position ||
      header.version > format_version || header.blocks == 0 ||
      header.blocks > ring_blocks_ / 4 || blocks_for(header.record_bytes) != header.blocks) {
    return 0;
  }
  return header.blocks;
}

bool Journal::decode(std::span<const std::byte> blocks, uint64_t sequence, uint64_t position,
                     std::vector<std::byte>& records) const {
  if (blocks.size() < limits::block_bytes ||
      promised_blocks(blocks.first(limits::block_bytes), sequence, position) !=
          blocks.size() / limits::block_bytes) {
    return false;
  }
  const auto header = read_at<CommitHeader>(blocks, header_offset);
  if (header.crc != commit_crc(blocks)) return false;
  records.resize(header.record_bytes);
  size_t taken = 0;
  for (size_t at = 0; at < blocks.size(); at += limits::block_bytes) {
    const size_t skip = sizeof(JournalBlockPrefix) + (at == 0 ? sizeof(CommitHeader) : 0);
    const size_t length = std::min<size_t>(records.size() - taken, limits::block_bytes - skip);
    if (length > 0) std::memcpy(records.data() + taken, blocks.data() + at + skip, length);
    taken += length;
  }
  return taken == records.size();
}

CommitHeader Journal::claimed(std::span<const std::byte> block) const noexcept {
  const auto prefix = read_at<JournalBlockPrefix>(block);
  const auto header = read_at<CommitHeader>(block, header_offset);
  if (prefix.magic != journal_first_magic || header.pool != pool_ ||
      prefix.sequence != header.sequence) {
    return {};
  }
  return header;
}

}  // namespace ashlar::store
