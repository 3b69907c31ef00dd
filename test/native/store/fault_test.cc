// Devices that fail: every operation in turn, once or for good; and a disk that is full.
#include <cerrno>
#include <set>

#include "../report.h"
#include "crash_rig.h"
#include "scene.h"
#include "workloads.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t MiB = 1024 * KiB;

struct Promise {
  uint64_t offset, length, stamp;
};

// Creates, writes, flushes, commits, deletes, checkpoints and closes while the Nth operation fails.
// Whatever was promised before must be there when the pool is opened on a healthy device. Returns
// whether the fault was met.
bool run_with_fault(uint64_t fail_at, bool sticky, int error) {
  Fixture pool(fail_at, 16 * MiB);
  pool.disk.faults = {fail_at, error, sticky, true, true, true, false, 0};
  std::vector<Promise> written, durable;
  bool created = false, layer = false;
  const auto workload = [&] {
    if (!pool.create().ok()) return;
    created = true;
    if (!pool.create_layer(1, 8 * MiB).ok()) return;
    layer = true;
    Volume* volume = pool.open_volume(1);
    if (volume == nullptr) return;
    for (uint64_t i = 0; i < 6; ++i) {
      const Promise promise{i * 256 * KiB, (i + 1) * 16 * KiB, i + 1};
      if (pool.write(*volume, promise.offset, promise.length, promise.stamp) == BlockStatus::ok) {
        written.push_back(promise);
      }
      if (pool.flush(*volume) == BlockStatus::ok) durable = written;
      if (i == 3 && pool.checkpoint().ok()) durable = written;
    }
    const Promise fua{7 * MiB, 4 * KiB, 99};
    if (pool.write(*volume, fua.offset, fua.length, fua.stamp, true) == BlockStatus::ok) {
      durable.push_back(fua);
    }
  };
  workload();
  const bool met = pool.pool != nullptr && pool.pool->status().failed;
  if (met) {
    // Nothing is acknowledged any more; what can be read still is.
    if (!pool.open_volumes.empty()) {
      Volume& volume = *pool.open_volumes[0];
      CHECK(pool.flush(volume) == BlockStatus::pool_failed);
      CHECK(pool.write(volume, 0, 4 * KiB, 1000) == BlockStatus::pool_failed);
    }
    CHECK(pool.create_layer(2, MiB).error().code == ErrorCode::pool_failed);
  }
  const uint64_t operations = pool.disk.operations();
  // Power goes: what was not flushed is lost.
  const sim::DiskImage image = pool.disk.after_crash([](const auto&, uint64_t) { return false; });
  pool.disk.faults = {};
  Fixture after(fail_at, image);
  const Status status = after.open();
  if (!status.ok()) {
    CHECK(!created);
    CHECK(status.error().code == ErrorCode::pool_not_a_pool);
    return fail_at <= operations;
  }
  CHECK(after.check() == "");
  if (layer) {
    Volume* volume = after.open_volume(1);
    REQUIRE(volume != nullptr);
    for (const Promise& promise : durable) {
      CHECK(after.holds(*volume, promise.offset, promise.length, promise.stamp));
    }
  }
  return fail_at <= operations;
}

// ---- Every step of workloads.h over a device of which the Nth operation fails -------------------

struct Fault {
  const char* name;
  int error;
  bool sticky;
  uint64_t stall_ns;
};
constexpr Fault faults[] = {
    {"EIO once", EIO, false, 0},
    {"EIO for good", EIO, true, 0},
    {"ENOSPC for good", ENOSPC, true, 0},
    {"a stall of a minute", 0, false, 60'000'000'000},
    {"stalls of a second", 0, true, 1'000'000'000},
};

struct FaultCounts {
  uint64_t places = 0, pools_failed = 0, opens_failed = 0;
  CrashCounts crashes;
};

class FaultRun {
 public:
  FaultRun(const Scene& base, const sim::DiskImage& image, const Fault& fault, uint64_t fail_at)
      : fault_(fault), scene_(fail_at, image) {
    scene_.inherit(base);
    scene_.device_fails = fault.error != 0;
    scene_.fixture.disk.faults = {fail_at, fault.error, fault.sticky, true,
                                  true,    true,        false,        fault.stall_ns};
    CrashOptions options;
    options.all_subsets_upto = 2;
    options.afterlife_one_in = 4;
    rig_.emplace(scene_.fixture, scene_.history, fail_at, options);
  }

  // Returns whether the fault was met.
  bool run(const std::vector<Step>& steps, FaultCounts& counts) {
    Fixture& fixture = scene_.fixture;
    if (!fixture.open().ok()) {
      ++counts.opens_failed;
      if (fault_.error == 0) scene_.failure = "a stall failed the open";
    } else {
      for (const uint64_t number : {1, 2, 4, 7}) open(number);
      for (const Step& step : steps) one(step);
      if (fixture.pool->status().failed) {
        ++counts.pools_failed;
        after_failure();
      }
      scene_.rest(2000);
      rig_->pool_failed = fixture.pool->status().failed;
      rig_->look();
      while (!scene_.volumes.empty()) scene_.close(scene_.volumes.begin()->first);
      if (!fixture.close().ok()) rig_->pool_failed = true;
    }
    rig_->look();
    counts.crashes.add(rig_->counts);
    return fixture.disk.faults.fail_at <= fixture.disk.operations();
  }
  const std::string& problem() const {
    return scene_.failure.empty() ? rig_->failure : scene_.failure;
  }

 private:
  void open(uint64_t number) {
    Volume* volume = scene_.fixture.open_volume(number);
    if (volume != nullptr) scene_.volumes[number] = volume;
  }
  void one(const Step& step) {
    if (!scene_.failure.empty() || scene_.history.next != nullptr) return;
    if (step.commits && scene_.fixture.pool->status().failed) return;
    step.begin(scene_);
    scene_.wait();
    // What is read now is what was written, however the device fails.
    for (const auto& [number, volume] : scene_.volumes) {
      scene_.begin(number, BlockOp::read, 0, 64 * KiB);
    }
    scene_.wait();
  }
  // Nothing is acknowledged any more.
  void after_failure() {
    scene_.on_end = [this](uint64_t, const BlockIo& io) {
      if (io.status != BlockStatus::pool_failed) {
        scene_.failure = "a pool that has failed acknowledges";
      }
    };
    for (const auto& [number, volume] : scene_.volumes) {
      scene_.begin(number, BlockOp::flush, 0, 0);
      scene_.begin(number, BlockOp::write, 0, 4 * KiB);
      scene_.begin(number, BlockOp::deallocate, 0, 4 * KiB, true);
    }
    scene_.wait();
    scene_.on_end = nullptr;
    if (scene_.fixture.create_layer(99, MiB).error().code != ErrorCode::pool_failed) {
      scene_.failure = "a pool that has failed commits";
    }
  }

  const Fault& fault_;
  Scene scene_;
  std::optional<CrashRig> rig_;
};

}  // namespace

TEST_CASE("store faults: whatever fails or stalls in a long workload: what was promised is kept") {
  ashlar::testing::Report report("fail-at-N", {"P1", "P2", "P4", "P6", "P10"});
  Scene base(1, 16 * MiB);
  make_base(base);
  const sim::DiskImage image = base.fixture.disk.newest();
  const std::vector<Step> letters = alphabet();
  uint64_t given_seed = 0;
  const bool given = ashlar::testing::given_seed(given_seed);
  FaultCounts counts;
  for (size_t kind = 0; kind < std::size(faults); ++kind) {
    for (uint64_t n = 1;; ++n) {
      // The steps come in another order each time.
      sim::SimRandom random(n);
      std::vector<Step> steps = letters;
      for (size_t i = steps.size(); i > 1; --i) std::swap(steps[i - 1], steps[random.below(i)]);
      if (given && given_seed != n * std::size(faults) + kind) {
        if (n * std::size(faults) > given_seed) break;
        continue;
      }
      FaultRun run(base, image, faults[kind], n);
      const bool met = run.run(steps, counts);
      if (!run.problem().empty()) {
        FAIL_CHECK("fail-at-N: operation " << n << ", " << std::string(faults[kind].name) << ": "
                                           << run.problem() << "; replay with ASHLAR_SEED="
                                           << n * std::size(faults) + kind);
        break;
      }
      if (!met) break;
      ++counts.places;
      REQUIRE(n < 5000);
    }
  }
  report.count("places to fail", counts.places);
  report.count("pools that stopped", counts.pools_failed);
  report.count("opens that failed", counts.opens_failed);
  report.count("states", counts.crashes.states);
  report.count("records replayed", counts.crashes.replayed);
  report.seed("every place");
  MESSAGE(report.line());
  report.write();
  if (given) return;
  CHECK(counts.pools_failed > 0);
  CHECK(counts.opens_failed > 0);
}

TEST_CASE("store faults: each operation fails in turn: what was promised is kept") {
  uint64_t met = 0;
  for (const bool sticky : {false, true}) {
    uint64_t n = 1;
    for (; run_with_fault(n, sticky, EIO); ++n) {
      INFO("operation " << n << (sticky ? " and all later ones" : "") << " failed");
      REQUIRE(n < 2000);
    }
    met += n - 1;
  }
  MESSAGE("store faults: " << met << " places to fail");
  CHECK(met > 60);
}

TEST_CASE("store faults: the disk under a sparse file is full from some operation on") {
  for (uint64_t n = 1; run_with_fault(n, true, ENOSPC); ++n) {
    INFO("operation " << n);
    REQUIRE(n < 2000);
  }
}

TEST_CASE("store faults: creating on a full disk fails with no-space and leaves no pool") {
  Fixture pool(1, 16 * MiB);
  pool.disk.faults.full = true;
  const Status status = pool.create();
  REQUIRE(!status.ok());
  CHECK(status.error().code == ErrorCode::no_space);
  pool.disk.faults = {};
  CHECK(pool.open().error().code == ErrorCode::pool_not_a_pool);
}

TEST_CASE("store faults: the file system fills up later: writes that need it say so, the rest goes on") {
  Fixture pool(1, 16 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 12 * MiB).ok());
  Volume* volume = pool.open_volume(1);
  REQUIRE(pool.write(*volume, 0, 256 * KiB, 1) == BlockStatus::ok);
  pool.disk.faults.full = true;
  CHECK(pool.write(*volume, 4 * MiB, 64 * KiB, 2) == BlockStatus::capacity_exceeded);
  CHECK(pool.write(*volume, 64 * KiB, 64 * KiB, 3) == BlockStatus::ok);
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.holds(*volume, 4 * MiB, 64 * KiB, 0));
  CHECK(pool.zero(*volume, 0, 64 * KiB) == BlockStatus::ok);
  CHECK(pool.checkpoint().ok());
  CHECK(pool.check() == "");
  // Space given back is usable at once, where its bytes are there already.
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.pool->usage(uuid_of(1)).value().mapped_bytes == 192 * KiB);
  pool.disk.faults = {};
  CHECK(pool.write(*volume, 4 * MiB, 64 * KiB, 2) == BlockStatus::ok);
}

TEST_CASE("store faults: a failed data write costs its block only") {
  Fixture pool(1, 16 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 8 * MiB).ok());
  Volume* volume = pool.open_volume(1);
  REQUIRE(pool.write(*volume, 0, 4 * KiB, 1) == BlockStatus::ok);
  pool.disk.faults = {1, EIO, false, false, true, false, false, 0};
  CHECK(pool.write(*volume, 1 * MiB, 4 * KiB, 2) == BlockStatus::write_error);
  CHECK(pool.pool->usage(uuid_of(1)).value().allocated_bytes == 64 * KiB);
  CHECK(!pool.pool->status().failed);
  CHECK(pool.holds(*volume, 1 * MiB, 4 * KiB, 0));
  CHECK(pool.write(*volume, 1 * MiB, 4 * KiB, 3) == BlockStatus::ok);
  CHECK(pool.check() == "");
}
