#include "store/reclaim.h"

#include "store/pool_impl.h"

namespace ashlar::store {

Reclaimer::Reclaimer(PoolImpl& pool) : pool_(pool) {
  task_.reclaimer = this;
  task_.run = [](Task& task) noexcept { static_cast<StepTask&>(task).reclaimer->step(); };
}

void Reclaimer::kick() {
  if (stopped_ || pool_.failed() || pool_.options.read_only) return;
  if (!task_.queued.load(std::memory_order_relaxed)) pool_.loop().defer(task_);
}

void Reclaimer::step() {
  if (stopped_ || loading_ || pool_.failed()) return;
  Layer* deleting = pool_.layers.deleting();
  active_ = deleting != nullptr;
  if (!active_) {
    pool_.room_changed();
    return;
  }
  // The image being written must not lose pages; and what is freed must first get durable, so that
  // memory for the quarantine stays bounded. Both come back through room_changed().
  if (pool_.pages.frozen_pending()) return;
  if (pool_.allocator.quarantined() + pool_.discarder.pending() + limits::words_per_page >
      limits::max_quarantine) {
    pool_.committer.request();
    return;
  }
  if (pool_.room(false, 2 * sizeof(RecordHeader)) != Room::now) return;
  if (step_layer(*deleting)) kick();
}

// True: go on in the next turn. False: a page is being read.
bool Reclaimer::step_layer(Layer& layer) {
  const uint64_t leaves = PageTree::leaves_under(layer.map.root_level());
  while (!layer.map.empty() && layer.reclaim_leaf < leaves) {
    const PageFound found = layer.map.find(layer.reclaim_leaf);
    switch (found.state) {
      case PageFound::State::absent:
        layer.reclaim_leaf = found.next_leaf;
        continue;
      case PageFound::State::unloaded:
        loading_ = true;
        pool_.loader.load(layer.map, found, [this](Status status) {
          loading_ = false;
          // A page that cannot be read keeps its chunks from being freed; `check` names it.
          if (status.ok()) kick();
        });
        return false;
      case PageFound::State::loaded:
        pool_.clear_leaf(layer, *found.leaf);
        ++layer.reclaim_leaf;
        return true;
    }
  }
  pool_.committer.append({RecordKind::remove_layer, layer.slot, 0, 0, {}});
  layer.map.detach_all();
  pool_.layers.remove(layer);
  pool_.committer.request();
  return true;
}

}  // namespace ashlar::store
