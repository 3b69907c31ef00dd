// Reclaimer: gives back, in the background and in small steps, what deleted layers hold.
//
// A deleted layer without children is cleared, one map page a turn. One with a single child is
// merged into it (merge.h), also by pages. One with several children waits until one is left.
// Whatever is not done by a crash is found again by the layer's state.
//
// While hosts work, the owner spends at most a fifth of its time here.
#pragma once

#include <cstdint>

#include "reactor/loop.h"
#include "store/merge.h"

namespace ashlar::store {

class PoolImpl;
struct Layer;

class Reclaimer {
 public:
  explicit Reclaimer(PoolImpl& pool);
  // There may be something to do (again).
  void kick();
  // Another layer was deleted: what frees space at once comes first.
  void look_again() {
    current_ = nullptr;
    kick();
  }
  void stop();
  // A layer is being given back, or will be without anybody's doing.
  bool active() const noexcept { return active_; }
  bool quiet() const noexcept {
    return !task_.queued.load(std::memory_order_relaxed) && !loading_ && merge_.quiet();
  }
  Merge& merge() noexcept { return merge_; }

 private:
  enum class Step : uint8_t {
    again,  // Something was done: go on.
    later,  // What it waits for comes back here by kick().
  };
  void step();
  Layer* pick();
  Step clear(Layer& layer);
  Step load(const MissingPage& missing);
  void pace(uint64_t began_ns);

  struct StepTask : Task {
    Reclaimer* reclaimer = nullptr;
  } task_;
  struct PaceTimer : Timer {
    Reclaimer* reclaimer = nullptr;
  } timer_;
  PoolImpl& pool_;
  Merge merge_;
  Layer* current_ = nullptr;
  bool active_ = false;
  bool loading_ = false;
  bool stopped_ = false;
};

}  // namespace ashlar::store
