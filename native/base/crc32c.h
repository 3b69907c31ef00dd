// CRC32C (Castagnoli, reflected polynomial 82F63B78h): digests of NVMe/TCP PDUs and checksums of
// everything on disk. Uses the CPU's instruction where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ashlar {

// The CRC32C of `bytes`. `seed` is the CRC32C of what came before them, so that
// crc32c(b, crc32c(a)) == crc32c(ab); crc32c of "123456789" is E3069283h.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed = 0) noexcept;

inline uint32_t crc32c(const void* bytes, size_t length, uint32_t seed = 0) noexcept {
  return crc32c({static_cast<const std::byte*>(bytes), length}, seed);
}

// The incremental form, for data that arrives in pieces.
class Crc32c {
 public:
  void update(std::span<const std::byte> bytes) noexcept { value_ = crc32c(bytes, value_); }
  uint32_t value() const noexcept { return value_; }
  void reset() noexcept { value_ = 0; }

 private:
  uint32_t value_ = 0;
};

// Which code runs here: "sse4.2", "armv8-crc" or "table".
const char* crc32c_implementation() noexcept;

namespace detail {
// The portable code, whatever the CPU: tests compare the two.
uint32_t crc32c_table(std::span<const std::byte> bytes, uint32_t seed) noexcept;
}  // namespace detail

}  // namespace ashlar
