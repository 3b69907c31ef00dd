#include "store/reclaim.h"

#include <algorithm>

#include "store/pool_impl.h"

namespace ashlar::store {

namespace {
// Of the owner's time, while hosts work: one part here, four for them.
constexpr uint64_t pace_factor = 4;
constexpr uint64_t min_pause_ns = 50'000;
constexpr uint64_t max_pause_ns = 20'000'000;
}  // namespace

Reclaimer::Reclaimer(PoolImpl& pool) : pool_(pool), merge_(pool) {
  task_.reclaimer = this;
  task_.run = [](Task& task) noexcept { static_cast<StepTask&>(task).reclaimer->step(); };
  timer_.reclaimer = this;
  timer_.fire = [](Timer& timer) noexcept {
    static_cast<PaceTimer&>(timer).reclaimer->step();
  };
}

void Reclaimer::stop() {
  stopped_ = true;
  pool_.gathered(this);
  pool_.loop().cancel(timer_);
}

void Reclaimer::kick() {
  if (stopped_ || pool_.failed() || pool_.options.read_only || timer_.armed()) return;
  if (!task_.queued.load(std::memory_order_relaxed)) pool_.loop().defer(task_);
}

// The next layer to work on: what frees space without copying first, then a merge that has begun.
Layer* Reclaimer::pick() {
  Layer* found = nullptr;
  active_ = false;
  for (Layer* layer : pool_.layers.deleting()) {
    if (layer->stuck || layer->children.size() > 1 || Merge::blocked(*layer)) continue;
    active_ = true;
    // Until the deletion is durable, a crash would bring the layer back: it must be unchanged.
    if (layer->settling || layer->deleted_record > pool_.committer.durable_record()) continue;
    if (layer->children.empty()) return layer;
    if (!Merge::possible(*layer)) continue;
    if (found == nullptr || (layer->merging() && !found->merging())) found = layer;
  }
  return found;
}

void Reclaimer::step() {
  if (stopped_ || loading_ || pool_.failed()) return;
  if (current_ == nullptr) current_ = pick();
  if (current_ == nullptr) {
    const auto& deleting = pool_.layers.deleting();
    const bool awaits_commit =
        std::any_of(deleting.begin(), deleting.end(), [&](const Layer* each) {
          return each->deleted_record > pool_.committer.durable_record();
        });
    // Everything else that it may wait for kicks: a snapshot's last writes, another merge.
    if (awaits_commit) pool_.committer.request();
    if (!active_) pool_.room_changed();
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
  const uint64_t began_ns = pool_.loop().clock().now_ns();
  Layer& layer = *current_;
  const bool alone = layer.children.empty();
  if (!alone && !Merge::possible(layer)) {
    current_ = nullptr;
    return kick();
  }
  MissingPage missing;
  bool done = false;
  bool went_on = false;
  if (alone) {
    if (clear(layer) == Step::later) return;
    done = current_ == nullptr;
    went_on = true;
  } else {
    switch (merge_.step(layer, missing)) {
      case Merge::Step::went_on: went_on = true; break;
      case Merge::Step::done: done = true; break;
      case Merge::Step::missing: static_cast<void>(load(missing)); return;
      case Merge::Step::stuck:
        pool_.gathered(this);
        current_ = nullptr;
        kick();
        return;
      case Merge::Step::waits:
        pool_.gathered(this);
        return;
    }
  }
  pool_.gathered(this);
  if (done) {
    current_ = nullptr;
    pool_.committer.request();
  }
  if (done || went_on) pace(began_ns);
}

void Reclaimer::pace(uint64_t began_ns) {
  if (!pool_.epochs.anybody_inside() && pool_.runs_in_flight == 0) return kick();
  const uint64_t now_ns = pool_.loop().clock().now_ns();
  const uint64_t pause_ns =
      std::clamp((now_ns - began_ns) * pace_factor, min_pause_ns, max_pause_ns);
  if (!timer_.armed()) pool_.loop().arm(timer_, now_ns + pause_ns);
}

Reclaimer::Step Reclaimer::load(const MissingPage& missing) {
  loading_ = true;
  pool_.gather(this);
  pool_.loader.load(*missing.tree, missing.found, [this](Status status) {
    loading_ = false;
    if (!status.ok() && current_ != nullptr) {
      // A page that cannot be read keeps its chunks from being freed; `check` names it.
      pool_.gathered(this);
      current_->stuck = true;
      current_ = nullptr;
    }
    kick();
  });
  return Step::later;
}

Reclaimer::Step Reclaimer::clear(Layer& layer) {
  const uint64_t leaves = PageTree::leaves_under(layer.map.root_level());
  while (!layer.map.empty() && layer.reclaim_leaf < leaves) {
    const PageFound found = layer.map.find(layer.reclaim_leaf);
    switch (found.state) {
      case PageFound::State::absent:
        layer.reclaim_leaf = found.next_leaf;
        continue;
      case PageFound::State::unloaded:
        return load({&layer.map, found});
      case PageFound::State::loaded:
        // A first write into it, or a copy, ends soon and comes back through room_changed().
        if (found.leaf->pins > 0) return Step::later;
        pool_.mapping.clear_leaf(layer, *found.leaf);
        ++layer.reclaim_leaf;
        return Step::again;
    }
  }
  if (layer.runs_in_flight > 0 || pool_.loader.loading(layer.map)) return Step::later;
  MissingPage missing;
  const bool nothing_left = layer.nothing_left(missing);
  if (missing) return load(missing);
  if (!nothing_left) {
    // The layer's record on the device told another story than its map. What is left of it stays:
    // freeing by one of them could give somebody's chunk away.
    layer.stuck = true;
    current_ = nullptr;
    return Step::again;
  }
  pool_.remove_layer(layer);
  current_ = nullptr;
  return Step::again;
}

}  // namespace ashlar::store
