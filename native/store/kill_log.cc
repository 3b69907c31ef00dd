#include "store/kill_log.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "store/limits.h"

namespace ashlar::store {

namespace {

constexpr size_t word_offset = sizeof(KillLogHeader);
constexpr size_t records_offset = limits::page_bytes;

uint32_t header_crc(KillLogHeader header) noexcept {
  header.crc = 0;
  return crc32c(std::as_bytes(std::span<const KillLogHeader>(&header, 1)));
}

// Length and CRC of the records change together: one aligned store, which a kill cannot tear.
std::atomic_ref<uint64_t> word_of(std::span<std::byte> half) noexcept {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(half.data() + word_offset));
}

}  // namespace

uint64_t KillLog::bytes_for(uint64_t record_bytes) noexcept {
  const uint64_t half = records_offset + round_up(record_bytes, limits::page_bytes);
  return round_up(2 * half, limits::chunk_bytes);
}

std::span<std::byte> KillLog::half(uint64_t sequence) const noexcept {
  const size_t bytes = memory_.bytes.size() / 2;
  return memory_.bytes.subspan(sequence % 2 * bytes, bytes);
}

std::vector<std::byte> KillLog::read(uint64_t sequence) const {
  if (memory_.kind != KillSafeMemory::Kind::mapped) return {};
  const std::span<std::byte> bytes = half(sequence);
  const auto header = read_at<KillLogHeader>(bytes);
  const uint64_t word = word_of(bytes).load(std::memory_order_acquire);
  const auto length = static_cast<uint32_t>(word);
  if (header.magic != kill_log_magic || header.pool != pool_ || header.boot != memory_.boot ||
      header.sequence != sequence || header.crc != header_crc(header) ||
      length > bytes.size() - records_offset) {
    return {};
  }
  const std::span<const std::byte> records = bytes.subspan(records_offset, length);
  if (crc32c(records) != static_cast<uint32_t>(word >> 32)) return {};
  return {records.begin(), records.end()};
}

void KillLog::begin(uint64_t sequence) noexcept {
  const std::span<std::byte> bytes = half(sequence);
  // Empty before it is renamed, so that old records never pass for those of this commit.
  word_of(bytes).store(0, std::memory_order_seq_cst);
  KillLogHeader header;
  header.magic = kill_log_magic;
  header.pool = pool_;
  header.boot = memory_.boot;
  header.sequence = sequence;
  header.version = 1;
  header.crc = header_crc(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  sequence_ = sequence;
  length_ = 0;
  crc_ = crc32c({});
}

void KillLog::note(uint64_t sequence, std::span<const std::byte> record) noexcept {
  if (memory_.kind != KillSafeMemory::Kind::mapped) return;
  if (sequence != sequence_) begin(sequence);
  const std::span<std::byte> bytes = half(sequence);
  CHECK(record.size() <= bytes.size() - records_offset - length_);
  std::memcpy(bytes.data() + records_offset + length_, record.data(), record.size());
  length_ += static_cast<uint32_t>(record.size());
  crc_ = crc32c(record, crc_);
  unpublished_ = true;
}

void KillLog::publish() noexcept {
  if (!unpublished_) return;
  unpublished_ = false;
  word_of(half(sequence_)).store(uint64_t{crc_} << 32 | length_, std::memory_order_release);
}

void KillLog::forget() noexcept {
  if (memory_.kind != KillSafeMemory::Kind::mapped) return;
  for (const uint64_t each : {0u, 1u}) word_of(half(each)).store(0, std::memory_order_release);
  memory_ = KillSafeMemory{};
}

}  // namespace ashlar::store
