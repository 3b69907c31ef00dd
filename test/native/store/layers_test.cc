// Layers by hand: what a snapshot, a clone, a rollback and a deletion do to blocks, space and
// figures.
#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
constexpr uint64_t chunk = 64 * KiB;

struct Stack : Fixture {
  explicit Stack(uint64_t seed, uint64_t size = 32 * MiB, uint64_t cache_bytes = 64 * KiB)
      : Fixture(seed, size) {
    options.map_cache_bytes = cache_bytes;
    REQUIRE(create().ok());
  }
  Volume& make(uint64_t number, uint64_t bytes = 8 * MiB, uint32_t block = 4096) {
    REQUIRE(create_layer(number, bytes, block).ok());
    Volume* volume = open_volume(number);
    REQUIRE(volume != nullptr);
    return *volume;
  }
  // The open volume of `number` goes on at `next`.
  Status snapshot(uint64_t number, uint64_t next, uint64_t bytes = 8 * MiB) {
    return commit({stack(next, number, number, bytes)});
  }
  Status clone(uint64_t number, uint64_t of, uint64_t bytes = 8 * MiB) {
    return commit({stack(number, of, 0, bytes)});
  }
  static Change stack(uint64_t number, uint64_t parent, uint64_t from, uint64_t bytes = 8 * MiB,
                      bool reserved = false) {
    Change change{};
    change.kind = Change::Kind::create_layer;
    change.layer = uuid_of(number);
    if (parent != 0) change.parent = uuid_of(parent);
    if (from != 0) change.volume_from = uuid_of(from);
    change.size_bytes = bytes;
    change.block_bytes = 4096;
    change.reserved = reserved;
    return change;
  }
  static Change remove(uint64_t number) {
    Change change{};
    change.kind = Change::Kind::delete_layer;
    change.layer = uuid_of(number);
    return change;
  }
  LayerUsage usage(uint64_t number) { return pool->usage(uuid_of(number)).value(); }
  std::vector<LayerRange> ranges(uint64_t number, uint64_t since, uint64_t from = 0,
                                 uint32_t limit = 100) {
    std::optional<Result<LayerRanges>> answer;
    pool->ranges(uuid_of(number), since == 0 ? nil_uuid : uuid_of(since), from, limit,
                 [&](Result<LayerRanges> found) { answer = std::move(found); });
    CHECK(world.run_until([&] { return answer.has_value(); }));
    REQUIRE(answer->ok());
    go_on = answer->value().next_offset_bytes;
    return answer->value().ranges;
  }
  std::optional<uint64_t> go_on;
};

}  // namespace

TEST_CASE("layers: a snapshot keeps its instant, the volume goes on without a copy") {
  Stack stack(1);
  Volume& volume = stack.make(1);
  REQUIRE(stack.write(volume, 0, 128 * KiB, 1) == BlockStatus::ok);
  REQUIRE(stack.snapshot(1, 2).ok());
  const uint64_t before = stack.disk.written_bytes;
  REQUIRE(stack.write(volume, 4 * KiB, 4 * KiB, 2) == BlockStatus::ok);
  CHECK(stack.disk.written_bytes - before == 4 * KiB);
  CHECK(stack.holds(volume, 0, 4 * KiB, 1));
  CHECK(stack.holds(volume, 4 * KiB, 4 * KiB, 2));
  Volume* snapshot = stack.open_volume(1, true);
  REQUIRE(snapshot != nullptr);
  CHECK(stack.holds(*snapshot, 0, 128 * KiB, 1));
  CHECK(stack.write(*snapshot, 0, 4 * KiB, 3) == BlockStatus::write_error);
  CHECK(stack.usage(2).mapped_bytes == 128 * KiB);
  CHECK(stack.usage(2).own_bytes == 4 * KiB);
  CHECK(stack.usage(1).frees_bytes == chunk);
  CHECK(stack.check() == "");
}

TEST_CASE("layers: a frozen layer is never opened for writing again, whatever is deleted") {
  Stack stack(2);
  Volume& volume = stack.make(1);
  REQUIRE(stack.snapshot(1, 2).ok());
  stack.close_volume(volume);
  REQUIRE(stack.delete_layer(2).ok());
  stack.settle();
  CHECK(stack.open_volume(1) == nullptr);
  CHECK(stack.pool->open_volume(uuid_of(1)).error().code == ErrorCode::busy);
  CHECK(stack.open_volume(1, true) != nullptr);
}

TEST_CASE("layers: deleting a snapshot frees what its child replaced, as was foretold") {
  Stack stack(3);
  Volume& volume = stack.make(1);
  REQUIRE(stack.write(volume, 0, 4 * chunk, 1) == BlockStatus::ok);
  REQUIRE(stack.snapshot(1, 2).ok());
  // One chunk in part (its blocks are copied), one whole, one zeroed, one left alone.
  REQUIRE(stack.write(volume, 4 * KiB, 4 * KiB, 2) == BlockStatus::ok);
  REQUIRE(stack.write(volume, chunk, chunk, 3) == BlockStatus::ok);
  REQUIRE(stack.zero(volume, 2 * chunk, chunk) == BlockStatus::ok);
  const uint64_t foretold = stack.usage(1).frees_bytes;
  CHECK(foretold == 3 * chunk);
  const uint64_t used = stack.pool->status().data_chunks;
  REQUIRE(stack.delete_layer(1).ok());
  stack.settle();
  CHECK((used - stack.pool->status().data_chunks) * chunk == foretold);
  CHECK(stack.holds(volume, 0, 4 * KiB, 1));
  CHECK(stack.holds(volume, 4 * KiB, 4 * KiB, 2));
  CHECK(stack.holds(volume, 8 * KiB, chunk - 8 * KiB, 1));
  CHECK(stack.holds(volume, chunk, chunk, 3));
  CHECK(stack.holds(volume, 2 * chunk, chunk, 0));
  CHECK(stack.holds(volume, 3 * chunk, chunk, 1));
  CHECK(stack.usage(2).own_bytes == stack.usage(2).mapped_bytes);
  CHECK(stack.pool->status().layer_count == 1);
  CHECK(stack.check() == "");
}

TEST_CASE("layers: a deleted snapshot with clones stays hidden until one is left") {
  Stack stack(4);
  Volume& volume = stack.make(1);
  REQUIRE(stack.write(volume, 0, chunk, 1) == BlockStatus::ok);
  REQUIRE(stack.snapshot(1, 2).ok());
  REQUIRE(stack.clone(3, 1).ok());
  Volume& clone = *stack.open_volume(3);
  REQUIRE(stack.write(clone, 0, 4 * KiB, 2) == BlockStatus::ok);
  REQUIRE(stack.write(volume, 8 * KiB, 4 * KiB, 3) == BlockStatus::ok);
  REQUIRE(stack.delete_layer(1).ok());
  stack.settle();
  CHECK(stack.pool->status().hidden_layers == 1);
  CHECK(stack.pool->status().reclaiming_chunks == 0);
  CHECK(stack.holds(clone, 8 * KiB, 4 * KiB, 1));
  CHECK(stack.holds(volume, 0, 4 * KiB, 1));
  // What deleting the clone gives back includes what can then be merged.
  stack.close_volume(clone);
  const uint64_t foretold = stack.usage(3).frees_bytes;
  CHECK(foretold == 2 * chunk);
  const uint64_t used = stack.pool->status().data_chunks;
  REQUIRE(stack.delete_layer(3).ok());
  stack.settle();
  CHECK((used - stack.pool->status().data_chunks) * chunk == foretold);
  CHECK(stack.pool->status().hidden_layers == 0);
  CHECK(stack.holds(volume, 0, 8 * KiB, 1));
  CHECK(stack.holds(volume, 8 * KiB, 4 * KiB, 3));
  CHECK(stack.check() == "");
}

TEST_CASE("layers: rollback is a new top on the snapshot, under the open volume") {
  Stack stack(5);
  Volume& volume = stack.make(1);
  REQUIRE(stack.write(volume, 0, chunk, 1) == BlockStatus::ok);
  REQUIRE(stack.snapshot(1, 2).ok());
  REQUIRE(stack.write(volume, 0, 2 * chunk, 2) == BlockStatus::ok);
  REQUIRE(stack.commit({Stack::stack(3, 1, 2), Stack::remove(2)}).ok());
  CHECK(stack.holds(volume, 0, chunk, 1));
  CHECK(stack.holds(volume, chunk, chunk, 0));
  REQUIRE(stack.write(volume, 4 * KiB, 4 * KiB, 4) == BlockStatus::ok);
  stack.settle();
  CHECK(stack.pool->status().data_chunks == 2);
  CHECK(stack.check() == "");
}

TEST_CASE("layers: a group is one transaction: one member that is not possible, and none happens") {
  Stack stack(6);
  stack.make(1);
  stack.make(2);
  CHECK(stack.commit({Stack::stack(3, 1, 1), Stack::stack(3, 2, 2)}).error().code ==
        ErrorCode::already_exists);
  CHECK(stack.pool->status().layer_count == 2);
  REQUIRE(stack.commit({Stack::stack(3, 1, 1), Stack::stack(4, 2, 2)}).ok());
  CHECK(stack.pool->status().layer_count == 4);
}

TEST_CASE("layers: writes under way land before the snapshot is told, and not after") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    Stack stack(100 + seed);
    stack.disk.max_delay_ns = 200'000;
    Volume& volume = stack.make(1);
    REQUIRE(stack.write(volume, 0, 2 * chunk, 1) == BlockStatus::ok);
    // An overwrite in place, and a first write.
    TestIo over(BlockOp::write, 0, chunk);
    TestIo first(BlockOp::write, 3 * chunk, chunk);
    over.fill(2);
    first.fill(2);
    volume.submit(0, over.io);
    volume.submit(0, first.io);
    for (uint64_t step = 0; step < seed % 8; ++step) stack.world.step();
    REQUIRE(stack.snapshot(1, 2).ok());
    Volume& snapshot = *stack.open_volume(1, true);
    const auto content = [&](uint64_t offset) {
      TestIo io(BlockOp::read, offset, chunk);
      CHECK(stack.run(snapshot, io) == BlockStatus::ok);
      return std::vector<std::byte>(io.data().begin(), io.data().end());
    };
    const auto at_first = content(0);
    const auto at_third = content(3 * chunk);
    CHECK(stack.world.run_until([&] { return over.done && first.done; }));
    CHECK(content(0) == at_first);
    CHECK(content(3 * chunk) == at_third);
    CHECK(stack.holds(volume, 0, chunk, 2));
    CHECK(stack.holds(volume, 3 * chunk, chunk, 2));
    CHECK(stack.check() == "");
  }
}

TEST_CASE("layers: a reservation is kept for its volume, and refused with what is missing") {
  Stack stack(7, 16 * MiB);
  REQUIRE(stack.commit({Stack::stack(1, 0, 0, 6 * MiB, true)}).ok());
  Volume& reserved = *stack.open_volume(1);
  Volume& other = stack.make(2, 16 * MiB);
  uint64_t taken = 0;
  while (stack.write(other, taken * chunk, chunk, 1) == BlockStatus::ok) ++taken;
  CHECK(taken > 0);
  CHECK(stack.write(reserved, 0, 6 * MiB, 2) == BlockStatus::ok);
  CHECK(stack.usage(1).reserved_bytes < 6 * MiB);
  const Status refused = stack.commit({Stack::stack(3, 1, 1, 6 * MiB, true)});
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::no_space);
  CHECK(refused.error().message.find("are missing") != std::string::npos);
  // Without the promise the snapshot is possible, and overwrites of what is held go on in no case.
  REQUIRE(stack.commit({Stack::stack(3, 1, 1, 6 * MiB, false)}).ok());
  CHECK(stack.pool->status().reserved_chunks == 0);
  CHECK(stack.check() == "");
}

TEST_CASE("layers: a volume shrinks only when nothing lies beyond, in it or under it") {
  Stack stack(8);
  Volume& volume = stack.make(1);
  REQUIRE(stack.write(volume, 4 * MiB, 4 * KiB, 1) == BlockStatus::ok);
  REQUIRE(stack.snapshot(1, 2).ok());
  REQUIRE(stack.zero(volume, 0, 8 * MiB) == BlockStatus::ok);
  Change shrink{};
  shrink.kind = Change::Kind::resize_layer;
  shrink.layer = uuid_of(2);
  shrink.size_bytes = 2 * MiB;
  CHECK(stack.commit({shrink}).error().message.find("is open") != std::string::npos);
  stack.close_volume(volume);
  CHECK(stack.commit({shrink}).error().message.find(std::to_string(4 * MiB)) !=
        std::string::npos);
  REQUIRE(stack.delete_layer(1).ok());
  stack.settle();
  REQUIRE(stack.commit({shrink}).ok());
  Volume& smaller = *stack.open_volume(2);
  CHECK(smaller.size_bytes() == 2 * MiB);
  shrink.size_bytes = 8 * MiB;
  REQUIRE(stack.commit({shrink}).ok());
  CHECK(stack.holds(smaller, 4 * MiB, 4 * KiB, 0));
  CHECK(stack.check() == "");
}

TEST_CASE("layers: ranges of a snapshot and differences between snapshots, from any offset") {
  Stack stack(9, 64 * MiB);
  Volume& volume = stack.make(1, 40 * MiB);
  REQUIRE(stack.write(volume, 0, 8 * KiB, 1) == BlockStatus::ok);
  REQUIRE(stack.write(volume, 36 * MiB, 4 * KiB, 1) == BlockStatus::ok);
  REQUIRE(stack.snapshot(1, 2, 40 * MiB).ok());
  REQUIRE(stack.write(volume, 4 * KiB, 8 * KiB, 2) == BlockStatus::ok);
  REQUIRE(stack.zero(volume, 36 * MiB, 4 * KiB) == BlockStatus::ok);
  REQUIRE(stack.snapshot(2, 3, 40 * MiB).ok());
  REQUIRE(stack.snapshot(3, 4, 40 * MiB).ok());
  const auto expect = [](const std::vector<LayerRange>& found,
                         const std::vector<std::array<uint64_t, 3>>& wanted) {
    REQUIRE(found.size() == wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].offset_bytes == wanted[i][0]);
      CHECK(found[i].length_bytes == wanted[i][1]);
      CHECK(found[i].zero == (wanted[i][2] != 0));
    }
  };
  expect(stack.ranges(1, 0), {{0, 8 * KiB, 0}, {36 * MiB, 4 * KiB, 0}});
  expect(stack.ranges(3, 0), {{0, 12 * KiB, 0}});
  expect(stack.ranges(3, 1), {{4 * KiB, 8 * KiB, 0}, {36 * MiB, 4 * KiB, 1}});
  expect(stack.ranges(3, 2), {});
  expect(stack.ranges(2, 1, 8 * KiB), {{8 * KiB, 4 * KiB, 0}, {36 * MiB, 4 * KiB, 1}});
  // One range an answer, going on where it says.
  expect(stack.ranges(2, 1, 0, 1), {{4 * KiB, 8 * KiB, 0}});
  REQUIRE(stack.go_on == 36 * MiB);
  expect(stack.ranges(2, 1, *stack.go_on, 1), {{36 * MiB, 4 * KiB, 1}});
  CHECK_FALSE(stack.go_on.has_value());
  // Backwards, and between two that only share an ancestor.
  expect(stack.ranges(1, 2),
         {{4 * KiB, 4 * KiB, 0}, {8 * KiB, 4 * KiB, 1}, {36 * MiB, 4 * KiB, 0}});
  REQUIRE(stack.clone(5, 1, 40 * MiB).ok());
  Volume& clone = *stack.open_volume(5);
  REQUIRE(stack.write(clone, 64 * KiB, 4 * KiB, 5) == BlockStatus::ok);
  expect(stack.ranges(5, 2), {{4 * KiB, 4 * KiB, 0},
                              {8 * KiB, 4 * KiB, 1},
                              {64 * KiB, 4 * KiB, 0},
                              {36 * MiB, 4 * KiB, 0}});
}

TEST_CASE("layers: a merge cut off at any page goes on after a restart") {
  for (uint32_t steps = 0; steps < 60; steps += 3) {
    INFO("steps " << steps);
    Stack stack(300 + steps, 64 * MiB);
    // Several map leaves, of which a merge does one a step.
    constexpr uint64_t bytes = 40 * MiB;
    Volume& volume = stack.make(1, bytes);
    for (uint64_t at = 0; at < bytes; at += 4 * MiB) {
      REQUIRE(stack.write(volume, at, 8 * KiB, 1) == BlockStatus::ok);
    }
    REQUIRE(stack.snapshot(1, 2, bytes).ok());
    for (uint64_t at = 0; at < bytes; at += 8 * MiB) {
      REQUIRE(stack.write(volume, at, 4 * KiB, 2) == BlockStatus::ok);
    }
    REQUIRE(stack.snapshot(2, 3, bytes).ok());
    REQUIRE(stack.write(volume, 4 * MiB, 4 * KiB, 3) == BlockStatus::ok);
    REQUIRE(stack.delete_layer(2).ok());
    for (uint32_t step = 0; step < steps; ++step) stack.world.step();
    CHECK(stack.check() == "");
    stack.close_volume(volume);
    REQUIRE(stack.close().ok());
    REQUIRE(stack.open().ok());
    CHECK(stack.check() == "");
    stack.settle();
    CHECK(stack.check() == "");
    Volume& again = *stack.open_volume(3);
    for (uint64_t at = 0; at < bytes; at += 4 * MiB) {
      CHECK(stack.holds(again, at, 4 * KiB, at == 4 * MiB ? 3 : at % (8 * MiB) == 0 ? 2 : 1));
      CHECK(stack.holds(again, at + 4 * KiB, 4 * KiB, 1));
    }
    CHECK(stack.pool->status().layer_count == 2);
  }
}

TEST_CASE("layers: two hundred snapshots deep, each block is found in one look") {
  Stack stack(10, 64 * MiB);
  stack.options.map_cache_bytes = 64 * MiB;
  Volume& volume = stack.make(1);
  std::vector<uint64_t> stamps(128, 0);
  sim::SimRandom random(11);
  for (uint64_t layer = 1; layer <= 200; ++layer) {
    for (int i = 0; i < 3; ++i) {
      const uint64_t at = random.below(128);
      stamps[at] = random.one_in(5) ? 0 : layer;
      if (stamps[at] == 0) {
        REQUIRE(stack.zero(volume, at * 4 * KiB, 4 * KiB) == BlockStatus::ok);
      } else {
        REQUIRE(stack.write(volume, at * 4 * KiB, 4 * KiB, layer) == BlockStatus::ok);
      }
    }
    REQUIRE(stack.snapshot(layer, layer + 1).ok());
  }
  for (uint64_t at = 0; at < 128; ++at) {
    CHECK(stack.holds(volume, at * 4 * KiB, 4 * KiB, stamps[at]));
  }
  CHECK(stack.check() == "");
  // All but the first and the last in any order; the content stays.
  std::vector<uint64_t> layers;
  for (uint64_t layer = 1; layer <= 200; ++layer) layers.push_back(layer);
  while (!layers.empty()) {
    const size_t which = random.below(layers.size());
    REQUIRE(stack.delete_layer(layers[which]).ok());
    layers.erase(layers.begin() + static_cast<ptrdiff_t>(which));
  }
  stack.settle();
  CHECK(stack.pool->status().layer_count == 1);
  for (uint64_t at = 0; at < 128; ++at) {
    CHECK(stack.holds(volume, at * 4 * KiB, 4 * KiB, stamps[at]));
  }
  CHECK(stack.check() == "");
}

// Each record of the journal needs a page of every layer under its own in memory at once, and the
// cache is smaller than the one with which the pool was used.
TEST_CASE("layers: forty snapshots deep, a crash is recovered with a cache of fifteen pages") {
  constexpr uint64_t leaf_bytes = limits::words_per_page * chunk;
  constexpr uint64_t leaves = 3;
  constexpr uint64_t layers = 40;
  Stack stack(21, 64 * MiB);
  stack.options.map_cache_bytes = 64 * MiB;
  const uint64_t bytes = leaves * leaf_bytes;
  Volume& volume = stack.make(1, bytes);
  for (uint64_t layer = 1; layer <= layers; ++layer) {
    for (uint64_t leaf = 0; leaf < leaves; ++leaf) {
      REQUIRE(stack.write(volume, leaf * leaf_bytes + layer * chunk, 4 * KiB, layer) ==
              BlockStatus::ok);
    }
    REQUIRE(stack.snapshot(layer, layer + 1, bytes).ok());
  }
  REQUIRE(stack.checkpoint().ok());
  for (uint64_t leaf = 0; leaf < leaves; ++leaf) {
    REQUIRE(stack.write(volume, leaf * leaf_bytes + 5 * chunk, 4 * KiB, 99) == BlockStatus::ok);
  }
  REQUIRE(stack.flush(volume) == BlockStatus::ok);
  sim::SimRandom random(22);
  Fixture after(21, stack.disk.after_crash(random));
  after.options = stack.options;
  after.options.map_cache_bytes = 64 * KiB;
  REQUIRE(after.open().ok());
  CHECK(after.pool->status().replayed_records >= leaves);
  Volume& again = *after.open_volume(layers + 1);
  for (uint64_t layer = 1; layer <= layers; ++layer) {
    for (uint64_t leaf = 0; leaf < leaves; ++leaf) {
      const uint64_t at = leaf * leaf_bytes + layer * chunk;
      CHECK(after.holds(again, at, 4 * KiB, layer == 5 ? 99 : layer));
    }
  }
  CHECK(after.check() == "");
}

namespace {

// A volume of two leaves of map, with one block in each, and `count` snapshots of it that hold
// nothing more: few pages, which stay in memory, and many views, which come and go.
struct Shelf : Stack {
  static constexpr uint64_t leaf = limits::words_per_page * chunk;
  Shelf(uint64_t seed, uint64_t count, uint64_t cache_bytes) : Stack(seed, 32 * MiB, cache_bytes) {
    Volume& volume = make(1, 2 * leaf);
    for (const uint64_t at : {leaf - chunk, leaf}) {
      REQUIRE(write(volume, at, 4 * KiB, 1) == BlockStatus::ok);
    }
    for (uint64_t i = 1; i <= count; ++i) {
      REQUIRE(snapshot(i, i + 1, 2 * leaf).ok());
      snapshots.push_back(open_volume(i, true));
    }
  }
  std::vector<Volume*> snapshots;
};

}  // namespace

TEST_CASE("views: evicted by reads alone, without a commit: their memory comes back at once") {
  Shelf shelf(20, 64, 256 * KiB);
  REQUIRE(shelf.flush(*shelf.snapshots[0]) == BlockStatus::ok);
  const uint64_t commits = shelf.pool->status().commits;
  uint64_t most = 0;
  for (uint64_t round = 0; round < 50; ++round) {
    for (Volume* snapshot : shelf.snapshots) {
      CHECK(shelf.holds(*snapshot, Shelf::leaf - chunk, 4 * KiB, 1));
      CHECK(shelf.holds(*snapshot, Shelf::leaf, 4 * KiB, 1));
      most = std::max(most, shelf.pool->status().map_memory_bytes);
    }
  }
  // 6,400 views of 4 KiB were made. Half of the cache bounds those in use, and those evicted.
  CHECK(most < (256 + 64) * KiB);
  CHECK_EQ(shelf.pool->status().commits, commits);
}

TEST_CASE("views: a cache smaller than one of them: a read over two leaves comes to its end") {
  for (const uint64_t cache_bytes : {uint64_t{0}, 8 * KiB, 64 * KiB}) {
    Shelf shelf(21, 2, cache_bytes);
    TestIo io(BlockOp::read, Shelf::leaf - chunk, 2 * chunk);
    CHECK(shelf.run(*shelf.snapshots[1], io) == BlockStatus::ok);
  }
}
