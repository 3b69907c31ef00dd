// Input: the bytes that libFuzzer made up, read as choices. Past the end every choice is 0, so a
// prefix of an input is an input, which is what makes crossing and shrinking them work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ashlar::fuzz {

class Input {
 public:
  Input(const uint8_t* bytes, size_t size) : bytes_(bytes, size) {}

  bool empty() const { return at_ == bytes_.size(); }
  uint8_t u8() { return empty() ? uint8_t{0} : bytes_[at_++]; }
  uint16_t u16() { return static_cast<uint16_t>(u8() | u8() << 8); }
  uint32_t u32() { return u16() | static_cast<uint32_t>(u16()) << 16; }
  uint64_t u64() { return u32() | static_cast<uint64_t>(u32()) << 32; }
  bool flag() { return (u8() & 1) != 0; }
  // Below `bound`, which is 1 to 256.
  uint32_t below(uint32_t bound) { return u8() % bound; }
  // A number near the ends of what `bits` bits hold, or any: where off-by-ones live.
  uint64_t edgy(uint32_t bits) {
    const uint64_t most = bits == 64 ? UINT64_MAX : (uint64_t{1} << bits) - 1;
    const uint8_t way = u8();
    switch (way >> 6) {
      case 0: return way & 63;
      case 1: return most - (way & 63);
      case 2: return (uint64_t{1} << (way & 63) % bits) - (way & 1);
      default: return u64() & most;
    }
  }
  // Up to that many of the bytes that follow.
  std::span<const std::byte> bytes(size_t most) {
    const size_t count = most < bytes_.size() - at_ ? most : bytes_.size() - at_;
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return std::as_bytes(taken);
  }
  std::span<const std::byte> rest() { return bytes(bytes_.size()); }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

}  // namespace ashlar::fuzz
