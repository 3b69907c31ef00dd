// SimWorld: several loops on one thread, in simulated time, the same way for the same seed.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "reactor/loop.h"
#include "sim/sim_clock.h"
#include "sim/sim_random.h"

namespace ashlar::sim {

class SimLoop final : public Loop {
 public:
  SimLoop(Clock& clock, uint32_t index) : Loop(clock, index) {}

 private:
  void wake() noexcept override {}  // The world looks at every loop.
};

class SimWorld {
 public:
  SimWorld(uint64_t seed, uint32_t loops);

  SimClock& clock() noexcept { return clock_; }
  SimRandom& random() noexcept { return random_; }
  SimLoop& loop(uint32_t index) noexcept { return *loops_[index]; }
  uint32_t loop_count() const noexcept { return static_cast<uint32_t>(loops_.size()); }

  // Runs one turn of a loop that has something to do, or moves the time to the next timer. False:
  // nothing will ever happen again by itself.
  bool step();
  // Steps until `done` says so. False: the world came to rest, or `max_steps` went by, before that.
  bool run_until(const std::function<bool()>& done, uint64_t max_steps = 100'000'000);
  // Steps until nothing is ready now; time stands still.
  void run_ready();

 private:
  SimClock clock_;
  SimRandom random_;
  std::vector<std::unique_ptr<SimLoop>> loops_;
};

}  // namespace ashlar::sim
