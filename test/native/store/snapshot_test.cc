// Snapshots as promises: durable when acknowledged, frozen for good, and one instant whatever was
// under way.
#include <algorithm>
#include <optional>

#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

// Layer `number` becomes a snapshot; its volume goes on at layer `top`.
Change snapshot_of(uint64_t number, uint64_t top) {
  Change change{};
  change.kind = Change::Kind::create_layer;
  change.layer = uuid_of(top);
  change.parent = uuid_of(number);
  change.volume_from = uuid_of(number);
  change.size_bytes = 4 * MiB;
  change.block_bytes = 4096;
  return change;
}

std::vector<std::byte> content(Fixture& pool, uint64_t number, uint64_t length) {
  Volume* volume = pool.open_volume(number, true);
  REQUIRE(volume != nullptr);
  TestIo io(BlockOp::read, 0, length);
  REQUIRE(pool.run(*volume, io) == BlockStatus::ok);
  std::vector<std::byte> bytes(io.memory.data(), io.memory.data() + length);
  pool.close_volume(*volume);
  return bytes;
}

constexpr uint64_t held_ns = 50'000'000;  // Many times what all the rest takes.

// Two reactors, of which 0 is the owner, and a volume of 4 MiB, all mapped durably, of stamp 7.
struct TwoReactors : Fixture {
  TwoReactors() : Fixture(1, 16 * MiB, 2) {
    REQUIRE(create().ok());
    REQUIRE(create_layer(1, 4 * MiB).ok());
    volume = open_volume(1);
    REQUIRE(write(*volume, 0, 4 * MiB, 7) == BlockStatus::ok);
    REQUIRE(checkpoint().ok());
    disk.faults.error = 0;  // Not failing: held.
    disk.faults.stall_ns = held_ns;
    disk.faults.sticky = true;
  }
  TestIo& begin(uint32_t reactor, uint64_t offset, uint64_t stamp) {
    flights.push_back(std::make_unique<TestIo>(BlockOp::write, offset, 4 * KiB));
    TestIo& io = *flights.back();
    io.fill(stamp);
    volume->submit(reactor, io.io);
    return io;
  }
  // The device has it, and keeps it.
  TestIo& hold(uint32_t reactor, uint64_t offset, uint64_t stamp) {
    const uint64_t before = disk.writes;
    disk.faults.fail_at = 1;
    TestIo& io = begin(reactor, offset, stamp);
    world.run_ready();
    disk.faults.fail_at = 0;
    CHECK(disk.writes == before + 1);
    return io;
  }
  void ask_for_snapshot() {
    pool->commit({snapshot_of(1, 2)}, [this](Status status) { acknowledged = status; });
    world.run_ready();
  }
  void await(TestIo& io) {
    REQUIRE(world.run_until([&] { return io.done; }));
    REQUIRE(io.io.status == BlockStatus::ok);
  }
  void await_snapshot() {
    REQUIRE(world.run_until([&] { return acknowledged.has_value(); }));
    REQUIRE(acknowledged->ok());
  }
  bool snapshot_holds(uint64_t offset, uint64_t stamp) {
    Volume* frozen = open_volume(1, true);
    REQUIRE(frozen != nullptr);
    const bool as_expected = holds(*frozen, offset, 4 * KiB, stamp);
    close_volume(*frozen);
    return as_expected;
  }
  bool volume_holds(uint64_t offset, uint64_t stamp) {
    return holds(*volume, offset, 4 * KiB, stamp);
  }

  Volume* volume = nullptr;
  std::vector<std::unique_ptr<TestIo>> flights;
  std::optional<Status> acknowledged;
};

}  // namespace

TEST_CASE("snapshot: acknowledged, then the power is lost: it is there, whole and frozen") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    Fixture before(seed, 16 * MiB);
    before.disk.max_delay_ns = seed % 2 == 0 ? 0 : 20'000;
    REQUIRE(before.create().ok());
    REQUIRE(before.create_layer(1, 4 * MiB).ok());
    Volume* volume = before.open_volume(1);
    // First writes that nobody has flushed: the snapshot holds them for good all the same.
    REQUIRE(before.write(*volume, 0, 256 * KiB, seed) == BlockStatus::ok);
    REQUIRE(before.commit({snapshot_of(1, 2)}).ok());
    REQUIRE(before.write(*volume, 0, 64 * KiB, 100) == BlockStatus::ok);
    Fixture after(seed + 100, before.disk.after_crash([](const auto&, uint64_t) { return false; }));
    REQUIRE(after.open().ok());
    CHECK_EQ(after.check(), "");
    REQUIRE(after.pool->usage(uuid_of(2)).ok());
    CHECK(after.open_volume(1) == nullptr);
    Volume* frozen = after.open_volume(1, true);
    REQUIRE(frozen != nullptr);
    CHECK(after.holds(*frozen, 0, 256 * KiB, seed));
    CHECK(after.open_volume(2) != nullptr);
  }
}

TEST_CASE("snapshot: writes under way on every reactor: once acknowledged it never changes again") {
  constexpr uint64_t length = 1 * MiB;
  constexpr uint64_t block = 4 * KiB;
  uint64_t on_both_sides = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    Fixture pool(seed, 16 * MiB, 2);
    pool.disk.max_delay_ns = 1'000'000;
    sim::SimRandom random(seed);
    REQUIRE(pool.create().ok());
    REQUIRE(pool.create_layer(1, 4 * MiB).ok());
    Volume* volume = pool.open_volume(1);
    // Blocks of the first half are overwritten in place, on either reactor; those of the second are
    // first writes, few enough that the snapshot need not wait for room, and none in odd seeds.
    REQUIRE(pool.write(*volume, 0, length / 2, 7) == BlockStatus::ok);
    REQUIRE(pool.checkpoint().ok());
    std::vector<std::unique_ptr<TestIo>> flights;
    std::vector<uint64_t> places;
    for (uint64_t at = 0; at < length / 2; at += block) {
      if (!random.one_in(3)) places.push_back(at);
    }
    for (uint64_t i = 0; i < 4 && seed % 2 == 0; ++i) places.push_back(length / 2 + i * 7 * block);
    for (size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[random.below(i)]);
    std::optional<Status> acknowledged;
    for (size_t i = 0; i < places.size(); ++i) {
      if (i == places.size() / 2) {
        pool.pool->commit({snapshot_of(1, 2)}, [&](Status status) { acknowledged = status; });
      }
      flights.push_back(std::make_unique<TestIo>(BlockOp::write, places[i], block));
      flights.back()->fill(8);
      volume->submit(static_cast<uint32_t>(random.below(2)), flights.back()->io);
      for (uint64_t steps = random.below(3); steps > 0; --steps) pool.world.step();
    }
    REQUIRE(pool.world.run_until([&] { return acknowledged.has_value(); }));
    REQUIRE(acknowledged->ok());
    const std::vector<std::byte> once = content(pool, 1, length);
    // Whatever was begun before has landed by now, or is the new top's.
    REQUIRE(pool.world.run_until([&] {
      return std::all_of(flights.begin(), flights.end(), [](const auto& io) { return io->done; });
    }));
    for (uint64_t at = 0; at < length; at += 16 * block) {  // Over some of them, in the new top.
      REQUIRE(pool.write(*volume, at, 4 * block, 9) == BlockStatus::ok);
    }
    CHECK(content(pool, 1, length) == once);
    uint64_t late = 0;
    for (const auto& io : flights) {
      CHECK(io->io.status == BlockStatus::ok);
      const uint64_t at = io->io.offset_bytes;
      if (std::memcmp(once.data() + at, io->memory.data(), block) != 0) ++late;
      if (at % (16 * block) >= 4 * block) CHECK(pool.holds(*volume, at, block, 8));
    }
    if (late > 0 && late < flights.size()) ++on_both_sides;
    CHECK_EQ(pool.check(), "");
  }
  CHECK(on_both_sides > 10);
}

TEST_CASE("snapshot: an overwrite held by the device, on either reactor: is awaited, and in both") {
  for (uint32_t reactor = 0; reactor < 2; ++reactor) {
    INFO("reactor " << reactor);
    TwoReactors pool;
    TestIo& held = pool.hold(reactor, 8 * KiB, 8);
    pool.ask_for_snapshot();
    // Everything else goes on meanwhile: new writes go to the new top, and are not waited for.
    for (int i = 0; i < 100; ++i) pool.await(pool.begin(1 - reactor, 16 * KiB, 9));
    CHECK(!held.done);
    CHECK(!pool.acknowledged.has_value());
    pool.await_snapshot();
    CHECK(held.done);
    CHECK(pool.snapshot_holds(8 * KiB, 8));
    CHECK(pool.snapshot_holds(16 * KiB, 7));
    CHECK(pool.volume_holds(8 * KiB, 8));
    CHECK(pool.volume_holds(16 * KiB, 9));
    CHECK_EQ(pool.check(), "");
  }
}

TEST_CASE("snapshot: an overwrite asked for once it was taken, before it is told: volume only") {
  for (uint32_t reactor = 0; reactor < 2; ++reactor) {
    INFO("reactor " << reactor);
    TwoReactors pool;
    TestIo& held = pool.hold(1, 8 * KiB, 8);
    pool.ask_for_snapshot();
    // Over the very block whose older write is still held; that one lands later, elsewhere.
    TestIo& newer = pool.begin(reactor, 8 * KiB, 9);
    pool.await(newer);
    CHECK(!held.done);
    CHECK(pool.volume_holds(8 * KiB, 9));
    pool.await_snapshot();
    CHECK(pool.snapshot_holds(8 * KiB, 8));
    CHECK(pool.volume_holds(8 * KiB, 9));
    CHECK_EQ(pool.check(), "");
  }
}

TEST_CASE("snapshot: overwrites beyond what a reactor has under way: held ones in it, others not") {
  TwoReactors pool;
  for (uint64_t i = 0; i < limits::run_ops_per_port; ++i) pool.hold(1, i * 4 * KiB, 8);
  TestIo& queued = pool.begin(1, limits::run_ops_per_port * 4 * KiB, 8);
  pool.ask_for_snapshot();
  CHECK(!queued.done);
  pool.await_snapshot();
  pool.await(queued);
  for (const auto& io : pool.flights) {
    const uint64_t at = io->io.offset_bytes;
    CHECK(pool.snapshot_holds(at, io.get() == &queued ? 7 : 8));
    CHECK(pool.volume_holds(at, 8));
  }
  CHECK_EQ(pool.check(), "");
}
