#include "sim/sim_world.h"

namespace ashlar::sim {

namespace {
constexpr uint64_t turn_ns = 50;
}

SimWorld::SimWorld(uint64_t seed, uint32_t loops) : random_(seed) {
  for (uint32_t i = 0; i < loops; ++i) loops_.push_back(std::make_unique<SimLoop>(clock_, i));
}

bool SimWorld::step() {
  // Any ready loop may be the next to run: which one is the seed's choice.
  const uint64_t first = loops_.size() == 1 ? 0 : random_.below(loops_.size());
  uint64_t next_ns = UINT64_MAX;
  for (uint64_t i = 0; i < loops_.size(); ++i) {
    SimLoop& loop = *loops_[(first + i) % loops_.size()];
    if (loop.has_ready() || loop.next_deadline_ns() <= clock_.now_ns()) {
      loop.run_ready();
      // A turn takes time: who asks each turn whether a timer has done its work sees it happen.
      clock_.advance_to(clock_.now_ns() + turn_ns);
      return true;
    }
    next_ns = std::min(next_ns, loop.next_deadline_ns());
  }
  if (next_ns == UINT64_MAX) return false;
  clock_.advance_to(next_ns);
  return true;
}

bool SimWorld::run_until(const std::function<bool()>& done, uint64_t max_steps) {
  for (uint64_t i = 0; i < max_steps; ++i) {
    if (done()) return true;
    if (!step()) return done();
  }
  return done();
}

void SimWorld::run_ready() {
  for (bool any = true; any;) {
    any = false;
    for (const auto& loop : loops_) {
      if (!loop->has_ready()) continue;
      loop->run_ready();
      any = true;
    }
  }
}

}  // namespace ashlar::sim
