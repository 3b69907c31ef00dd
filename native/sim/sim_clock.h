// SimClock: time that moves only when the simulation says so.
#pragma once

#include "reactor/clock.h"

namespace ashlar::sim {

class SimClock final : public Clock {
 public:
  uint64_t now_ns() noexcept override { return now_ns_; }
  uint64_t wall_ms() noexcept override { return 1'700'000'000'000 + now_ns_ / 1'000'000; }
  void advance_to(uint64_t now_ns) noexcept {
    if (now_ns > now_ns_) now_ns_ = now_ns;
  }

 private:
  uint64_t now_ns_ = 1'000'000'000;
};

}  // namespace ashlar::sim
