// Settling: a layer that was frozen while its volume is open changes no more only when the writes
// that were under way at that moment have landed. Writes that began later go to the new layer.
//
// Overwrites in place may run on any reactor: they are over when two epochs have passed. First
// writes are counted by the layer that they land in.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "reactor/loop.h"

namespace ashlar::store {

class PoolImpl;
struct Layer;

class Settling {
 public:
  explicit Settling(PoolImpl& pool);
  // `then` runs, from the owner's loop, when nothing can land in any of the layers any more.
  void begin(std::vector<Layer*> layers, std::function<void()> then);
  bool quiet() const noexcept { return batches_.empty(); }

 private:
  struct Batch {
    std::vector<Layer*> layers;
    uint64_t epoch;
    std::function<void()> then;
  };
  void look();

  PoolImpl& pool_;
  std::deque<Batch> batches_;
  struct LookTimer : Timer {
    Settling* settling = nullptr;
  } timer_;
};

}  // namespace ashlar::store
