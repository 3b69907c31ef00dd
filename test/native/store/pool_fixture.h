// A pool over simulated disks, driven step by step: every call here runs the world until the
// answer is there.
#pragma once

#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "sim/sim_device.h"
#include "sim/sim_world.h"
#include "store/cold_io.h"
#include "store/format.h"
#include "store/pool.h"

namespace ashlar::store::testing {

inline Uuid uuid_of(uint64_t number) {
  Uuid uuid{};
  uuid[0] = std::byte{0xa5};
  std::memcpy(uuid.data() + 8, &number, sizeof number);
  return uuid;
}

// One command with its memory.
struct TestIo {
  BlockIo io;
  AlignedBuffer memory;
  std::vector<iovec> segments;
  bool done = false;
  std::function<void()> then;  // Called when it is done.

  TestIo(BlockOp op, uint64_t offset, uint64_t length, size_t segment_bytes = 1 << 20)
      : memory(std::max<uint64_t>(length, 1)) {
    io.op = op;
    io.offset_bytes = offset;
    io.length_bytes = length;
    if (op == BlockOp::read || op == BlockOp::write) {
      for (uint64_t at = 0; at < length; at += segment_bytes) {
        segments.push_back({memory.data() + at, std::min<uint64_t>(segment_bytes, length - at)});
      }
      io.segments = segments;
    } else {
      memory = AlignedBuffer();
    }
    io.context = this;
    io.done = [](BlockIo& ended) noexcept {
      auto& self = *static_cast<TestIo*>(ended.context);
      self.done = true;
      if (self.then) self.then();
    };
  }
  std::span<std::byte> data() { return memory.span().first(io.length_bytes); }
  void fill(uint64_t stamp) {
    for (uint64_t at = 0; at + 8 <= io.length_bytes; at += 8) {
      const uint64_t word = stamp * 0x9e3779b97f4a7c15ull + (io.offset_bytes + at) / 512;
      std::memcpy(memory.data() + at, &word, 8);
    }
  }
};

class Fixture {
 public:
  explicit Fixture(uint64_t seed, uint64_t size = 32ull << 20, uint32_t loops = 1)
      : world(seed, loops), disk(size, seed ^ 0x5eed) {
    options.uuid = uuid_of(seed + 1000);
    options.journal_bytes = 1 << 20;
  }
  Fixture(uint64_t seed, const sim::DiskImage& image, uint32_t loops = 1)
      : world(seed, loops), disk(image, seed ^ 0x5eed) {
    options.uuid = uuid_of(1);
  }
  ~Fixture() {
    if (pool != nullptr) {
      for (Volume* volume : open_volumes) close_volume_quietly(*volume);
      static_cast<void>(close());
    }
  }

  Status create() { return begin(true); }
  Status open() { return begin(false); }

  Status close() {
    std::optional<Status> status;
    pool->close([&](Status answer) { status = std::move(answer); });
    if (!world.run_until([&] { return status.has_value(); }, 20'000'000)) {
      std::fprintf(stderr, "the pool never closes\n");
      CHECK(false);
    }
    pool.reset();
    devices.clear();
    open_volumes.clear();
    return *status;
  }
  Status commit(std::vector<Change> changes) {
    std::optional<Status> status;
    pool->commit(std::move(changes), [&](Status answer) { status = std::move(answer); });
    CHECK(world.run_until([&] { return status.has_value(); }));
    return *status;
  }
  Status create_layer(uint64_t number, uint64_t size, uint32_t block = 4096, uint64_t parent = 0) {
    Change change{};
    change.kind = Change::Kind::create_layer;
    change.layer = uuid_of(number);
    if (parent != 0) change.parent = uuid_of(parent);
    change.size_bytes = size;
    change.block_bytes = block;
    return commit({change});
  }
  Status delete_layer(uint64_t number) {
    Change change{};
    change.kind = Change::Kind::delete_layer;
    change.layer = uuid_of(number);
    return commit({change});
  }
  Volume* open_volume(uint64_t number, bool read_only = false) {
    auto volume = pool->open_volume(uuid_of(number), read_only);
    if (!volume.ok()) return nullptr;
    open_volumes.push_back(volume.value());
    return volume.value();
  }
  void close_volume(Volume& volume) {
    std::erase(open_volumes, &volume);
    close_volume_quietly(volume);
  }
  BlockStatus run(Volume& volume, TestIo& io, uint32_t reactor = 0) {
    volume.submit(reactor, io.io);
    CHECK(!io.done);
    CHECK(world.run_until([&] { return io.done; }));
    return io.io.status;
  }
  BlockStatus write(Volume& volume, uint64_t offset, uint64_t length, uint64_t stamp,
                    bool fua = false) {
    TestIo io(BlockOp::write, offset, length);
    io.fill(stamp);
    io.io.fua = fua;
    return run(volume, io);
  }
  BlockStatus flush(Volume& volume) {
    TestIo io(BlockOp::flush, 0, 0);
    return run(volume, io);
  }
  BlockStatus zero(Volume& volume, uint64_t offset, uint64_t length,
                   BlockOp op = BlockOp::deallocate) {
    TestIo io(op, offset, length);
    return run(volume, io);
  }
  // True when the range holds what fill(stamp) gives; stamp 0: zeroes.
  bool holds(Volume& volume, uint64_t offset, uint64_t length, uint64_t stamp) {
    TestIo io(BlockOp::read, offset, length);
    std::memset(io.memory.data(), 0xee, io.memory.size());
    if (run(volume, io) != BlockStatus::ok) return false;
    TestIo expected(BlockOp::write, offset, length);
    if (stamp != 0) expected.fill(stamp);
    return std::memcmp(io.memory.data(), expected.memory.data(), length) == 0;
  }
  Status checkpoint() {
    std::optional<Status> status;
    pool->checkpoint([&](Status answer) { status = std::move(answer); });
    CHECK(world.run_until([&] { return status.has_value(); }));
    return *status;
  }
  // Empty: the pool is clean.
  std::string check() {
    std::optional<Result<CheckReport>> answer;
    pool->check([&](Result<CheckReport> report) { answer = std::move(report); });
    CHECK(world.run_until([&] { return answer.has_value(); }));
    if (!answer->ok()) return answer->error().message;
    last_check = answer->value();
    std::string text;
    for (const auto& problem : last_check.problems) text += problem.where + ": " + problem.what + "\n";
    return text;
  }
  // Until the background has nothing left to do.
  void settle() {
    CHECK(world.run_until([&] { return pool->status().reclaiming_layers == 0; }));
  }

  sim::SimWorld world;
  sim::SimDisk disk;
  PoolOptions options;
  std::vector<std::unique_ptr<sim::SimDevice>> devices;
  std::unique_ptr<Pool> pool;
  std::vector<Volume*> open_volumes;
  CheckReport last_check;

 private:
  Status begin(bool create) {
    std::vector<Port> ports;
    devices.clear();
    for (uint32_t i = 0; i < world.loop_count(); ++i) {
      devices.push_back(std::make_unique<sim::SimDevice>(disk, world.loop(i)));
      ports.push_back({&world.loop(i), devices.back().get()});
    }
    std::optional<Result<std::unique_ptr<Pool>>> answer;
    const auto take = [&](Result<std::unique_ptr<Pool>> result) {
      answer.emplace(std::move(result));
    };
    if (create) {
      Pool::create(ports, 0, options, world.random(), take);
    } else {
      Pool::open(ports, 0, options, world.random(), take);
    }
    CHECK(world.run_until([&] { return answer.has_value(); }));
    if (!answer->ok()) {
      world.run_ready();
      return answer->error();
    }
    pool = std::move(*answer).value();
    return Unit{};
  }
  void close_volume_quietly(Volume& volume) {
    bool closed = false;
    pool->close_volume(volume, [&] { closed = true; });
    CHECK(world.run_until([&] { return closed; }));
  }
};

}  // namespace ashlar::store::testing
