// Random: the seam through which all code gets unpredictable bits (UUIDs, tags, jitter).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ashlar {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::byte> bytes) noexcept = 0;
  virtual uint64_t next_u64() noexcept = 0;
};

}  // namespace ashlar
