#include "load/stamp.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

namespace ashlar::load {

namespace {

constexpr uint64_t magic = 0x504d'4154'5352'4c41;  // "ALRSTAMP".
constexpr uint32_t sector_bytes = 512;
constexpr size_t at_crc = 32;
constexpr size_t header_bytes = 36;

// The word of one sector: any two writes differ in it (SplitMix64's last steps).
uint64_t sector_word(const Stamp& stamp, uint64_t sector) noexcept {
  uint64_t z = stamp.generation ^ (stamp.offset_bytes + sector) * 0x9e3779b97f4a7c15;
  z += uint64_t{stamp.sequence} << 32 | stamp.nsid;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Stamp read_stamp(std::span<const std::byte> block) noexcept {
  Stamp stamp;
  stamp.nsid = read_at<uint32_t>(block, 8);
  stamp.sequence = read_at<uint32_t>(block, 12);
  stamp.offset_bytes = read_at<uint64_t>(block, 16);
  stamp.generation = read_at<uint64_t>(block, 24);
  return stamp;
}

uint32_t block_crc(std::span<const std::byte> block) noexcept {
  constexpr uint32_t no_crc = 0;
  uint32_t crc = crc32c(block.first(at_crc));
  crc = crc32c(&no_crc, sizeof no_crc, crc);
  return crc32c(block.subspan(header_bytes), crc);
}

bool all_of_one_write(std::span<const std::byte> block, const Stamp& stamp) noexcept {
  for (uint64_t sector = sector_bytes; sector < stamp_block_bytes; sector += sector_bytes) {
    if (read_at<uint64_t>(block, sector) != sector_word(stamp, sector)) return false;
  }
  return true;
}

}  // namespace

void put_stamp(std::span<std::byte> block, const Stamp& stamp) noexcept {
  CHECK(block.size() == stamp_block_bytes);
  write_at(block, 0, magic);
  write_at(block, 8, stamp.nsid);
  write_at(block, 12, stamp.sequence);
  write_at(block, 16, stamp.offset_bytes);
  write_at(block, 24, stamp.generation);
  for (uint64_t sector = sector_bytes; sector < stamp_block_bytes; sector += sector_bytes) {
    write_at(block, sector, sector_word(stamp, sector));
  }
  write_at(block, at_crc, block_crc(block));
}

StampVerdict check_stamp(std::span<const std::byte> block, const Stamp& expected) noexcept {
  CHECK(block.size() == stamp_block_bytes);
  if (read_at<uint64_t>(block, 0) != magic) {
    const bool zeroes = std::all_of(block.begin(), block.end(),
                                    [](std::byte each) { return each == std::byte{0}; });
    return zeroes ? StampVerdict::zeroes : StampVerdict::none;
  }
  const Stamp found = read_stamp(block);
  if (read_at<uint32_t>(block, at_crc) != block_crc(block)) {
    return all_of_one_write(block, found) ? StampVerdict::damaged : StampVerdict::torn;
  }
  if (found.generation != expected.generation) return StampVerdict::another_run;
  if (found.nsid != expected.nsid || found.offset_bytes != expected.offset_bytes) {
    return StampVerdict::misplaced;
  }
  return found.sequence == expected.sequence ? StampVerdict::right : StampVerdict::stale;
}

std::string describe_stamp(std::span<const std::byte> block, const Stamp& expected,
                           StampVerdict verdict) {
  const std::string place = "the block at byte " + std::to_string(expected.offset_bytes);
  const Stamp found = read_stamp(block);
  switch (verdict) {
    case StampVerdict::right: return place + " is right";
    case StampVerdict::zeroes: return place + " reads as zeroes, though it was written (lost)";
    case StampVerdict::none: return place + " holds no stamp (foreign, or as before the run)";
    case StampVerdict::torn: return place + " holds parts of different writes (torn)";
    case StampVerdict::damaged: return place + " does not fit its CRC32C (damaged)";
    case StampVerdict::another_run: return place + " was written by another run (stale)";
    case StampVerdict::misplaced:
      return place + " holds what was written to byte " + std::to_string(found.offset_bytes) +
             " of namespace " + std::to_string(found.nsid) + " (misplaced)";
    case StampVerdict::stale:
      return place + " holds write " + std::to_string(found.sequence) + ", the last one was " +
             std::to_string(expected.sequence) + " (stale)";
  }
  CHECK(false);
}

}  // namespace ashlar::load
