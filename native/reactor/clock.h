// Clock: the seam through which all code learns the time.
#pragma once

#include <cstdint>

namespace ashlar {

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic nanoseconds since an arbitrary start. Never goes back.
  virtual uint64_t now_ns() noexcept = 0;
  // Wall-clock milliseconds since the Unix epoch: for records that people read, never for timeouts.
  virtual uint64_t wall_ms() noexcept = 0;
};

}  // namespace ashlar
