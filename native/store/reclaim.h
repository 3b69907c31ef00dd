// Reclaimer: gives back, in the background and in small steps, what deleted layers hold.
//
// One map page a turn: a clear_leaf record frees up to 504 chunks. Whatever is not done by a crash
// is found again by its layer's state.
#pragma once

#include <cstdint>

#include "reactor/loop.h"

namespace ashlar::store {

class PoolImpl;
struct Layer;

class Reclaimer {
 public:
  explicit Reclaimer(PoolImpl& pool);
  // There may be something to do (again).
  void kick();
  void stop() noexcept { stopped_ = true; }
  bool active() const noexcept { return active_; }
  bool quiet() const noexcept { return !task_.queued.load(std::memory_order_relaxed) && !loading_; }

 private:
  void step();
  bool step_layer(Layer& layer);
  struct StepTask : Task {
    Reclaimer* reclaimer = nullptr;
  } task_;
  PoolImpl& pool_;
  bool active_ = false;  // A deleting layer exists.
  bool loading_ = false;
  bool stopped_ = false;
};

}  // namespace ashlar::store
