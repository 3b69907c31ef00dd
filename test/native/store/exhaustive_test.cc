// Every workload of one and of two operations on a small pool, ended by a power loss or a kill at
// every operation of the disk, with every subset of what was not flushed.
#include "../report.h"
#include "crash_rig.h"
#include "scene.h"
#include "workloads.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t MiB = 1024 * 1024;

enum class Mode : uint8_t {
  one_by_one,     // The second operation begins when the first has ended.
  together,       // Both at once, over a disk that completes in any order.
  unkillable,     // One by one, over a device without kill-safe memory.
  write_through,  // One by one, in a pool that writes through.
};
constexpr const char* mode_names[] = {"one by one", "together", "no kill log", "write-through"};

struct Suite {
  Suite() : base(1, 16 * MiB), steps(alphabet()) {
    make_base(base);
    image.emplace(base.fixture.disk.newest());
  }

  // `second` equal to the count of steps: none.
  // `round`: another order in which the disk completes.
  bool run(Mode mode, size_t first, size_t second, uint64_t round = 0) {
    const uint64_t index =
        ((round * 4 + static_cast<uint64_t>(mode)) * (steps.size() + 1) + second) * steps.size() +
        first;
    const std::string name =
        std::string(mode_names[static_cast<size_t>(mode)]) + ": " + steps[first].name +
        (second < steps.size() ? std::string(", ") + steps[second].name : "");
    const bool alone = second == steps.size();
    Scene scene(index + 1, *image);
    scene.inherit(base);
    scene.fixture.options.write_through = mode == Mode::write_through;
    scene.fixture.disk.has_kill_safe_memory = mode != Mode::unkillable;
    if (mode == Mode::together) scene.fixture.disk.max_delay_ns = 20'000;
    const Status opened = scene.fixture.open();
    CHECK_MESSAGE(opened.ok(), opened.error().message);
    if (!opened.ok()) return false;
    for (const uint64_t number : {1, 2, 4, 7}) scene.open(number);
    CrashOptions options;
    options.every_tear = alone;
    CrashRig rig(scene.fixture, scene.history, index + 1, options);
    rig.watch();
    steps[first].begin(scene);
    if (mode != Mode::together) scene.wait();
    if (!alone) {
      if (steps[first].commits && steps[second].commits) scene.wait();
      steps[second].begin(scene);
    }
    scene.wait();
    rig.look();
    scene.rest(2000);
    rig.look();
    scene.fixture.disk.before_operation = nullptr;
    counts.add(rig.counts);
    ++workloads;
    const std::string problem = !rig.failure.empty() ? rig.failure : scene.failure;
    if (problem.empty()) return true;
    FAIL_CHECK("crash exhaustive: " << name << ": " << problem
                                    << "; replay with ASHLAR_SEED=" << index);
    return ++failures < 10;
  }

  Scene base;
  std::optional<sim::DiskImage> image;
  const std::vector<Step> steps;
  CrashCounts counts;
  uint64_t workloads = 0;
  uint64_t failures = 0;
};

}  // namespace

TEST_CASE("store exhaustive: every one and two operations, every end: the pool comes back as it may") {
  Suite suite;
  ashlar::testing::Report report("crash exhaustive", {"P1", "P2", "P3", "P4"});
  const size_t count = suite.steps.size();
  const auto all = [&] {
    uint64_t seed;
    if (ashlar::testing::given_seed(seed)) {
      suite.run(static_cast<Mode>(seed / count / (count + 1) % 4), seed % count,
                seed / count % (count + 1), seed / count / (count + 1) / 4);
      return;
    }
    const uint64_t rounds = 3 * ashlar::testing::soak();
    for (size_t first = 0; first < count; ++first) {
      for (const Mode mode : {Mode::one_by_one, Mode::unkillable, Mode::write_through}) {
        for (size_t second = 0; second <= count; ++second) {
          if (!suite.run(mode, first, second)) return;
        }
      }
      for (uint64_t round = 0; round < rounds; ++round) {
        for (size_t second = 0; second < count; ++second) {
          if (!suite.run(Mode::together, first, second, round)) return;
        }
      }
    }
  };
  all();
  const CrashCounts& counts = suite.counts;
  report.count("states", counts.states);
  report.count("workloads", suite.workloads);
  report.count("places", counts.places);
  report.count("power losses", counts.power_losses);
  report.count("kills", counts.kills);
  report.count("second crashes", counts.second_crashes);
  report.count("afterlives", counts.afterlives);
  report.count("records replayed", counts.replayed);
  report.seed("every workload");
  MESSAGE(report.line());
  report.write();
  CHECK(counts.replayed > 0);
}
