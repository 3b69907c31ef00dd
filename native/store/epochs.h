// Epochs: when has every reader on every reactor let go of what was taken out of the map?
//
// A reactor is "in" an epoch from before its lookup until its last device operation ends. What the
// owner retires in epoch e (a freed chunk, an evicted page) may be reused in epoch e + 2: the step
// from e + 1 to e + 2 is made only when nobody is left who entered in e.
//
// Each port writes only its own cache line; the owner reads them when it wants to step.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace ashlar::store {

class Epochs {
 public:
  explicit Epochs(size_t ports) : ports_(ports) {}

  // The port's own thread. Returns the parity to leave with.
  uint8_t enter(size_t port) noexcept {
    for (;;) {
      const uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
      std::atomic<uint32_t>& inside = ports_[port].inside[epoch & 1];
      inside.store(inside.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
      // Seen again after being counted: the owner can no longer step past us unnoticed.
      if (epoch_.load(std::memory_order_seq_cst) == epoch) return static_cast<uint8_t>(epoch & 1);
      inside.store(inside.load(std::memory_order_relaxed) - 1, std::memory_order_release);
    }
  }
  void leave(size_t port, uint8_t parity) noexcept {
    std::atomic<uint32_t>& inside = ports_[port].inside[parity];
    const uint32_t count = inside.load(std::memory_order_relaxed);
    CHECK(count > 0);
    inside.store(count - 1, std::memory_order_release);
  }

  // The owner's thread from here on.
  uint64_t current() const noexcept { return epoch_.load(std::memory_order_relaxed); }
  bool reusable(uint64_t retired_in) const noexcept { return current() >= retired_in + 2; }
  bool anybody_inside() const noexcept {
    for (const Inside& port : ports_) {
      for (const auto& inside : port.inside) {
        if (inside.load(std::memory_order_relaxed) != 0) return true;
      }
    }
    return false;
  }
  // Steps by one when nobody is left of the epoch before.
  bool try_step() noexcept {
    const uint64_t epoch = current();
    for (Inside& port : ports_) {
      if (port.inside[(epoch + 1) & 1].load(std::memory_order_seq_cst) != 0) return false;
    }
    epoch_.store(epoch + 1, std::memory_order_seq_cst);
    return true;
  }

 private:
  struct alignas(64) Inside {
    std::atomic<uint32_t> inside[2] = {};
  };
  std::vector<Inside> ports_;
  alignas(64) std::atomic<uint64_t> epoch_{2};
};

}  // namespace ashlar::store
