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
