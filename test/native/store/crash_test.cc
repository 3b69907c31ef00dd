// Random workloads, ended by a power loss or a kill at every operation of the disk: the pool must
// come back, prove clean, and hold for each block its last durable value or a later one.
#include "../report.h"
#include "crash_rig.h"
#include "scene.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
constexpr uint64_t volume_bytes = 512 * KiB;

class Workload {
 public:
  explicit Workload(uint64_t seed)
      : scene_(seed, 16 * MiB),
        random_(seed * 31 + 7),
        rig_(scene_.fixture, scene_.history, seed, options()) {
    Fixture& fixture = scene_.fixture;
    fixture.disk.max_delay_ns = seed % 2 == 0 ? 0 : 20'000;
    fixture.options.commit_interval_ms = seed % 3 == 0 ? 1 : 1000;
    fixture.options.write_through = seed % 5 == 0;
    fixture.options.map_cache_bytes = seed % 4 == 0 ? 64 * KiB : 256 * MiB;
    fixture.disk.has_kill_safe_memory = seed % 7 != 0;
    full_ = seed % 4 != 0;
  }

  void run(uint32_t operations) {
    REQUIRE(scene_.fixture.create().ok());
    if (full_) fill_up();
    add_volume();
    scene_.wait();
    rig_.watch();
    for (uint32_t i = 0; i < operations && problem().empty(); ++i) one_operation();
    scene_.wait();
    scene_.fixture.disk.before_operation = nullptr;
  }
  const std::string& problem() const {
    return rig_.failure.empty() ? scene_.failure : rig_.failure;
  }
  const CrashCounts& counts() const { return rig_.counts; }
  uint64_t refused() const { return scene_.refused; }
  std::map<std::string, uint64_t> seen;

 private:
  static CrashOptions options() {
    CrashOptions options;
    options.all_subsets_upto = 3;  // All subsets of more are the exhaustive suite's.
    return options;
  }

  // Leaves only a few free chunks, so that what is freed is soon used again.
  void fill_up() {
    constexpr uint64_t filler = 1'000'000;
    Fixture& fixture = scene_.fixture;
    REQUIRE(fixture.create_layer(filler, 16 * MiB).ok());
    Volume* volume = fixture.open_volume(filler);
    uint64_t chunk = 0;
    while (fixture.write(*volume, chunk * 64 * KiB, 4 * KiB, 1) == BlockStatus::ok) ++chunk;
    const uint64_t spare = 4 + random_.below(12);
    REQUIRE(fixture.zero(*volume, 0, spare * 64 * KiB) == BlockStatus::ok);
    REQUIRE(fixture.flush(*volume) == BlockStatus::ok);
    fixture.close_volume(*volume);
  }

  uint64_t any(bool frozen) {
    std::vector<uint64_t> found;
    for (const auto& [number, layer] : scene_.history.now.layers) {
      if (layer.frozen == frozen) found.push_back(number);
    }
    return found.empty() ? 0 : found[random_.below(found.size())];
  }

  void one_operation() {
    const uint64_t dice = random_.below(100);
    if (dice < 16) {
      // One transaction at a time; the commands under way go on beside it.
      scene_.wait_for_commit();
      one_transaction();
    } else if (dice < 18) {
      scene_.wait();
      CHECK(scene_.fixture.checkpoint().ok());
    } else if (dice < 20) {
      pin_snapshot();
    } else {
      one_command();
    }
    for (uint64_t steps = random_.below(20); steps > 0; --steps) scene_.step_world();
    if (scene_.under_way() > 4) scene_.wait();
  }

  void one_command() {
    const uint64_t number = any(false);
    if (!scene_.volumes.contains(number)) return;
    const uint64_t unit = scene_.history.now.layers.at(number).block_bytes;
    static constexpr BlockOp ops[] = {BlockOp::write, BlockOp::write, BlockOp::write,
                                      BlockOp::flush, BlockOp::deallocate, BlockOp::write_zeroes};
    const BlockOp op = ops[random_.below(6)];
    if (op == BlockOp::flush) return scene_.begin(number, op, 0, 0);
    const uint64_t units = scene_.history.now.layers.at(number).size_bytes / unit;
    const uint64_t start = random_.below(std::min<uint64_t>(units, 48));
    const uint64_t length = std::min(units - start, 1 + random_.below(random_.one_in(5) ? 40 : 4));
    scene_.begin(number, op, start * unit, length * unit, random_.one_in(4));
  }

  void one_transaction() {
    const size_t layers = scene_.history.now.layers.size();
    const uint64_t number = any(false);
    const uint64_t snapshot = any(true);
    switch (random_.below(10)) {
      case 0:
        if (layers < 8) add_volume();
        return;
      case 1: return change_catalog();
      case 2:
      case 3:
        if (layers < 8) take_snapshots();
        return;
      case 4:
        if (snapshot == 0 || layers >= 8) return;
        scene_.clone(snapshot, next_ + 1);
        ++seen["clone"];
        return commit(++next_);
      case 5: return roll_back(number, snapshot);
      case 6:
      case 7:
        if (snapshot == 0) return;
        scene_.remove(snapshot);
        ++seen["snapshot deleted"];
        return commit();
      case 8: {
        if (layers < 3 || !scene_.volumes.contains(number)) return;
        scene_.wait();
        scene_.close(number);
        scene_.remove(number);
        ++seen["volume deleted"];
        return commit();
      }
      default: {
        if (number == 0) return;
        const uint64_t size = scene_.history.now.layers.at(number).size_bytes;
        if (random_.one_in(2)) {
          scene_.resize(number, size + 4096 * random_.below(20));
          ++seen["resize"];
        } else {
          scene_.reserve(number, random_.one_in(2));
          ++seen["reserve"];
        }
        return commit();
      }
    }
  }

  // Begins it, and opens the new layer when it is there.
  void commit(uint64_t made = 0) {
    scene_.commit(ErrorCode::no_space);
    if (made == 0 && !random_.one_in(4)) return;
    scene_.wait_for_commit();
    if (made != 0 && !scene_.last_refused) scene_.open(made);
  }

  void add_volume() {
    const uint64_t number = ++next_;
    scene_.create(number, volume_bytes, number % 2 == 0 ? 512 : 4096);
    commit(number);
  }

  void take_snapshots() {
    const bool group = random_.one_in(2);
    std::vector<uint64_t> live;
    for (const auto& [number, layer] : scene_.history.now.layers) {
      if (!layer.frozen) live.push_back(number);
    }
    if (live.empty()) return;
    if (!group && live.size() > 1) live = {live[random_.below(live.size())]};
    for (const uint64_t number : live) scene_.snapshot(number, ++next_);
    ++seen[group ? "group snapshot" : "snapshot"];
    commit();
  }

  void roll_back(uint64_t number, uint64_t snapshot) {
    if (snapshot == 0 || number == 0) return;
    const auto& layers = scene_.history.now.layers;
    if (layers.at(number).block_bytes != layers.at(snapshot).block_bytes ||
        layers.at(number).size_bytes < layers.at(snapshot).size_bytes) {
      return;
    }
    scene_.rollback(number, snapshot, ++next_);
    if (random_.one_in(2)) scene_.remove(number);
    ++seen["rollback"];
    commit();
  }

  // What a snapshot was seen to hold it holds for ever.
  void pin_snapshot() {
    scene_.wait_for_commit();
    const uint64_t number = any(true);
    if (number == 0) return;
    const Facts::Layer& layer = scene_.history.now.layers.at(number);
    Volume* volume = scene_.fixture.open_volume(number, true);
    REQUIRE(volume != nullptr);
    TestIo io(BlockOp::read, 0, layer.size_bytes);
    CHECK(scene_.fixture.run(*volume, io) == BlockStatus::ok);
    scene_.fixture.close_volume(*volume);
    const std::string what =
        judge_content(*layer.content, io.data(), {Certain::completed, 0, UINT64_MAX, true});
    if (!what.empty()) scene_.failure = "snapshot " + std::to_string(number) + " " + what;
    ++seen["snapshot read"];
  }

  void change_catalog() {
    // Two records in one transaction: after a crash both are new or both are old.
    const uint64_t value = ++stamp_;
    for (const uint64_t key : {100, 101}) scene_.put(key, value, 8 + random_.below(9000));
    if (scene_.history.now.records.contains(102)) {
      scene_.erase(102);
    } else {
      scene_.put(102, value, 16);
    }
    commit();
  }

  Scene scene_;
  sim::SimRandom random_;
  CrashRig rig_;
  bool full_ = false;
  uint64_t next_ = 0;
  uint64_t stamp_ = 0;
};

// Returns false when it failed.
bool run_seed(uint64_t seed, CrashCounts& counts, uint64_t& refused,
              std::map<std::string, uint64_t>& seen) {
  Workload workload(seed);
  workload.run(40);
  counts.add(workload.counts());
  refused += workload.refused();
  for (const auto& [what, times] : workload.seen) seen[what] += times;
  if (workload.problem().empty()) return true;
  FAIL_CHECK("crash: seed " << seed << ": " << workload.problem()
                            << "; replay with ASHLAR_SEED=" << seed);
  return false;
}

}  // namespace

TEST_CASE("store crash: whatever the disk lost, the pool comes back whole") {
  ashlar::testing::Report report("crash", {"P1", "P2", "P3", "P4"});
  uint64_t seed = 1;
  const bool given = ashlar::testing::given_seed(seed);
  const uint64_t first = seed;
  const char* wanted = std::getenv("ASHLAR_CRASH_STATES");
  const uint64_t budget =
      (wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 120'000) * ashlar::testing::soak();
  CrashCounts counts;
  uint64_t refused = 0;
  std::map<std::string, uint64_t> seen;
  while (run_seed(seed, counts, refused, seen) && !given && counts.states < budget) ++seed;
  report.count("states", counts.states);
  report.count("places", counts.places);
  report.count("power losses", counts.power_losses);
  report.count("kills", counts.kills);
  report.count("second crashes", counts.second_crashes);
  report.count("afterlives", counts.afterlives);
  report.count("records replayed", counts.replayed);
  report.count("writes that found the pool full", refused);
  for (const auto& [what, times] : seen) report.count(what, times);
  report.seed(std::to_string(first) + ".." + std::to_string(seed));
  MESSAGE(report.line());
  report.write();
  CHECK(counts.replayed > 0);
  if (given || wanted != nullptr) return;
  CHECK(refused > 0);
  for (const char* what : {"clone", "group snapshot", "reserve", "resize", "rollback", "snapshot",
                           "snapshot deleted", "snapshot read", "volume deleted"}) {
    INFO("never happened: " << what);
    CHECK(seen[what] > 0);
  }
}

TEST_CASE("store crash: a FUA overwrite of a block whose mapping was not durable makes it durable") {
  Fixture before(3, 16 * MiB);
  REQUIRE(before.create().ok());
  REQUIRE(before.create_layer(1, 2 * MiB).ok());
  Volume* volume = before.open_volume(1);
  REQUIRE(before.write(*volume, 0, 4 * KiB, 1) == BlockStatus::ok);
  REQUIRE(before.write(*volume, 0, 4 * KiB, 2, true) == BlockStatus::ok);
  Fixture after(4, before.disk.after_crash([](const auto&, uint64_t) { return false; }));
  REQUIRE(after.open().ok());
  CHECK(after.holds(*after.open_volume(1), 0, 4 * KiB, 2));
}

TEST_CASE("store crash: maps that change while a large checkpoint is written: its image is of one instant") {
  // More dirty pages than the checkpoint's buffers take at once, so that some wait while the map
  // goes on changing: one block in each of 300 leaves.
  constexpr uint64_t leaves = 300;
  constexpr uint64_t leaf_bytes = 504 * 64 * KiB;
  Fixture before(5, 64 * MiB);
  REQUIRE(before.create().ok());
  REQUIRE(before.create_layer(1, leaves * leaf_bytes).ok());
  Volume* volume = before.open_volume(1);
  for (uint64_t i = 0; i < leaves; ++i) {
    REQUIRE(before.write(*volume, i * leaf_bytes, 4 * KiB, i + 1) == BlockStatus::ok);
  }
  REQUIRE(before.flush(*volume) == BlockStatus::ok);
  bool done = false;
  std::vector<std::unique_ptr<TestIo>> flights;
  uint64_t states = 0;
  before.disk.max_delay_ns = 50'000;
  before.disk.before_operation = [&](const DeviceOp& op) {
    if (op.kind == DeviceOpKind::read || done) return;
    Fixture after(6, before.disk.after_crash([](const auto&, uint64_t) { return true; }));
    REQUIRE(after.open().ok());
    REQUIRE_EQ(after.check(), "");
    ++states;
  };
  before.pool->checkpoint([&](Status status) {
    CHECK(status.ok());
    done = true;
  });
  for (uint64_t i = 0; !done; i = (i + 7) % leaves) {
    flights.push_back(
        std::make_unique<TestIo>(BlockOp::write, i * leaf_bytes + 4 * KiB * (1 + i % 8), 4 * KiB));
    flights.back()->fill(7);
    volume->submit(0, flights.back()->io);
    before.world.step();
    if (flights.size() == 400) REQUIRE(before.world.run_until([&] { return done; }));
  }
  before.disk.before_operation = nullptr;
  CHECK(before.world.run_until([&] { return flights.back()->done; }));
  CHECK(states > 10);
  Fixture after(7, before.disk.after_crash([](const auto&, uint64_t) { return false; }));
  REQUIRE(after.open().ok());
  CHECK_EQ(after.check(), "");
  Volume* again = after.open_volume(1);
  for (uint64_t i = 0; i < leaves; ++i) {
    REQUIRE(after.holds(*again, i * leaf_bytes, 4 * KiB, i + 1));
  }
}
