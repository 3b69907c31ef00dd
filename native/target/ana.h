// ANA: which state each group of namespaces has through one portal (Base 2.0, section 8.1).
//
// TypeScript decides a state once; native code holds it and applies it to every new command. One
// byte a group, read by all reactors without a lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "target/limits.h"

namespace ashlar::target {

enum class AnaState : uint8_t {
  optimized,        // I/O runs.
  non_optimized,    // I/O runs; the host should prefer another path.
  inaccessible,     // I/O answers Asymmetric Access Inaccessible (302h).
  persistent_loss,  // I/O answers Asymmetric Access Persistent Loss (301h).
  change,           // I/O answers Asymmetric Access Transition (303h).
};

struct AnaChange {
  uint32_t anagrpid = 0;  // 1 to max_ana_groups.
  AnaState state = AnaState::optimized;
};

class AnaTable {
 public:
  // Groups that nobody has set are optimized.
  AnaState state(uint32_t anagrpid) const noexcept {
    CHECK(anagrpid <= limits::max_ana_groups);
    return states_[anagrpid].load(std::memory_order_relaxed);
  }
  void set(uint32_t anagrpid, AnaState state) noexcept {
    CHECK(anagrpid >= 1 && anagrpid <= limits::max_ana_groups);
    states_[anagrpid].store(state, std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<AnaState>, limits::max_ana_groups + 1> states_{};
};

}  // namespace ashlar::target
