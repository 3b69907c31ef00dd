// The operating system's clock and random numbers behind the Clock and Random seams.
#pragma once

#include <array>

#include "reactor/clock.h"
#include "reactor/random.h"

namespace ashlar {

class SystemClock final : public Clock {
 public:
  uint64_t now_ns() noexcept override;
  uint64_t wall_ms() noexcept override;
};

// getrandom(2), read 512 bytes at a time. One object belongs to one thread.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> bytes) noexcept override;
  uint64_t next_u64() noexcept override;

 private:
  std::array<std::byte, 512> stock_{};
  size_t used_ = sizeof stock_;
};

}  // namespace ashlar
