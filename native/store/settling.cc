#include "store/settling.h"

#include <algorithm>
#include <utility>

#include "store/pool_impl.h"

namespace ashlar::store {

namespace {
// A device answers a write in about this time.
constexpr uint64_t look_interval_ns = 50'000;
}  // namespace

Settling::Settling(PoolImpl& pool) : pool_(pool) {
  timer_.settling = this;
  timer_.fire = [](Timer& timer) noexcept { static_cast<LookTimer&>(timer).settling->look(); };
}

void Settling::begin(std::vector<Layer*> layers, std::function<void()> then) {
  for (Layer* layer : layers) {
    CHECK(!layer->settling);
    layer->settling = true;
    ++pool_.mapping.settling_layers;
  }
  batches_.push_back({std::move(layers), pool_.epochs.current(), std::move(then)});
  if (!timer_.armed()) {
    pool_.loop().arm(timer_, pool_.loop().clock().now_ns());
  }
}

void Settling::look() {
  // One after the other, so that a batch behind a slow one is not looked at too often.
  while (!batches_.empty()) {
    Batch& batch = batches_.front();
    while (!pool_.epochs.reusable(batch.epoch) && pool_.epochs.try_step()) {
    }
    const bool landed = std::all_of(batch.layers.begin(), batch.layers.end(),
                                    [](const Layer* layer) { return layer->runs_in_flight == 0; });
    if (!landed || !pool_.epochs.reusable(batch.epoch)) {
      pool_.loop().arm(timer_, pool_.loop().clock().now_ns() + look_interval_ns);
      return;
    }
    for (Layer* layer : batch.layers) {
      layer->settling = false;
      --pool_.mapping.settling_layers;
    }
    const auto then = std::move(batch.then);
    batches_.pop_front();
    then();
    pool_.room_changed();
    pool_.reclaimer.kick();
  }
}

}  // namespace ashlar::store
