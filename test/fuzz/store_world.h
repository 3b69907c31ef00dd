// A pool whose bytes on the disk are what an input made of them. It opens or it says why not; it is
// looked at, checked and read without harm, whatever it holds, and every call is answered. What
// check calls clean can be used in full. (Structures that contradict each other under checksums
// that are right are our own mistake: check finds them, and what changes the pool may CHECK them.)
#pragma once

#include <sanitizer/allocator_interface.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "sim/sim_device.h"
#include "sim/sim_world.h"
#include "store/cold_io.h"
#include "store/dump.h"
#include "store/format.h"
#include "store/pool.h"
#include "store/repair.h"

#include "input.h"

namespace ashlar::fuzz {

using Bytes = std::vector<std::byte>;

inline Uuid uuid_of(uint8_t number) {
  Uuid uuid{std::byte{0xa5}};
  uuid[15] = std::byte{number};
  return uuid;
}

inline constexpr uint64_t disk_bytes = 16 << 20;
inline constexpr uint64_t layer_bytes = 2 << 20;
inline constexpr uint8_t layer_count = 4;  // 1 to 4; 2 stands on 1, 3 on 2, which are frozen.

class StoreWorld {
 public:
  explicit StoreWorld(const sim::DiskImage& image)
      : allocated_before_(__sanitizer_get_current_allocated_bytes()),
        disk(image, 1),
        world_(1, 1),
        device_(disk, world_.loop(0)) {
    disk.has_kill_safe_memory = false;
  }

  Status begin(bool create, bool read_only = false) {
    store::PoolOptions options;
    options.uuid = uuid_of(0);
    options.journal_bytes = 1 << 20;
    options.map_cache_bytes = 8 << 20;
    options.read_only = read_only;
    std::optional<Status> status;
    const auto take = [&](Result<std::unique_ptr<store::Pool>> result) {
      if (!result.ok()) {
        status = result.error();
        return;
      }
      pool = std::move(result).value();
      status = Unit{};
    };
    const std::vector<store::Port> ports{{&world_.loop(0), &device_}};
    if (create) {
      store::Pool::create(ports, 0, options, world_.random(), take);
    } else {
      store::Pool::open(ports, 0, options, world_.random(), take);
    }
    until([&] { return status.has_value(); });
    world_.run_ready();
    return *status;
  }
  // `done` must come: nothing of a pool waits for ever.
  void until(const std::function<bool()>& done) {
    CHECK(world_.run_until(done, 2'000'000));
    check_memory();
  }
  void check_memory() const {
    const uint64_t bound = (uint64_t{96} << 20) + 3 * disk.written_bytes;
    CHECK(__sanitizer_get_current_allocated_bytes() - allocated_before_ < bound);
  }
  BlockStatus run(store::Volume& volume, BlockOp op, uint64_t offset, uint64_t length) {
    BlockIo io;
    io.op = op;
    io.offset_bytes = offset;
    io.length_bytes = length;
    iovec segment{memory_.data(), length};
    if (op == BlockOp::read || op == BlockOp::write) io.segments = {&segment, 1};
    bool done = false;
    io.context = &done;
    io.done = [](BlockIo& ended) noexcept { *static_cast<bool*>(ended.context) = true; };
    volume.submit(0, io);
    until([&] { return done; });
    return io.status;
  }
  Status commit(std::vector<store::Change> changes) {
    std::optional<Status> status;
    pool->commit(std::move(changes), [&](Status answer) { status = std::move(answer); });
    until([&] { return status.has_value(); });
    return *status;
  }
  static store::Change create_layer(uint8_t number, uint8_t parent) {
    store::Change change{};
    change.kind = store::Change::Kind::create_layer;
    change.layer = uuid_of(number);
    if (parent != 0) change.parent = uuid_of(parent);
    change.size_bytes = layer_bytes;
    change.block_bytes = 4096;
    return change;
  }
  static store::Change delete_layer(uint8_t number) {
    store::Change change{};
    change.kind = store::Change::Kind::delete_layer;
    change.layer = uuid_of(number);
    return change;
  }
  static store::Change put_record(uint64_t key, size_t bytes) {
    store::Change change{};
    change.kind = store::Change::Kind::put_record;
    change.key = key;
    change.value.resize(bytes, std::byte{0x5a});
    return change;
  }
  void close_volume(store::Volume& volume) {
    bool closed = false;
    pool->close_volume(volume, [&] { closed = true; });
    until([&] { return closed; });
  }
  void close() {
    bool closed = false;
    pool->close([&](Status) { closed = true; });
    until([&] { return closed; });
    pool.reset();
  }

  // ---- Everything that can be asked of it ----

  // Whether check finds nothing.
  bool read() {
    ask();
    for (uint8_t number = 1; number <= layer_count; ++number) use_layer(number, true);
    return clean_;
  }
  void use() {
    for (uint8_t number = 1; number <= layer_count; ++number) use_layer(number, false);
    static_cast<void>(commit({create_layer(9, 0), put_record(77, 3000)}));
    static_cast<void>(commit({create_layer(10, 4)}));
    for (const uint8_t number : std::initializer_list<uint8_t>{3, 2, 4}) {
      static_cast<void>(commit({delete_layer(number)}));
    }
    bool written = false;
    pool->checkpoint([&](Status) { written = true; });
    until([&] { return written; });
    // The background: what was deleted is given back, as far as that can be.
    static_cast<void>(world_.run_until([] { return false; }, 3'000));
    ask();
    CHECK(clean_);
  }
  // Without opening it.
  void look() {
    bool answered = false;
    store::repair_pool(device_, true, [&](Result<store::RepairReport>) { answered = true; });
    until([&] { return answered; });
    for (uint8_t section = 0; section <= static_cast<uint8_t>(store::DumpSection::catalog);
         ++section) {
      store::DumpRequest request;
      request.section = store::DumpSection{section};
      request.layer_slot = 1;
      std::optional<store::DumpCursor> next = store::DumpCursor{};
      for (int page = 0; page < 4 && next.has_value(); ++page) {
        request.cursor = *next;
        answered = false;
        store::dump_pool(device_, request, [&](Result<store::DumpPage> rows) {
          next = rows.ok() ? rows.value().next : std::nullopt;
          answered = true;
        });
        until([&] { return answered; });
      }
    }
  }

 private:
  const size_t allocated_before_;

 public:
  sim::SimDisk disk;
  std::unique_ptr<store::Pool> pool;

 private:
  void ask() {
    int answers = 0;
    static_cast<void>(pool->status());
    pool->check([&](Result<store::CheckReport> report) {
      clean_ = report.ok() && report.value().problems.empty();
      ++answers;
    });
    pool->read_catalog([&](Result<std::vector<store::CatalogRecord>>) { ++answers; });
    pool->ranges(uuid_of(3), uuid_of(1), 0, 64, [&](Result<store::LayerRanges>) { ++answers; });
    until([&] { return answers == 3; });
    for (uint8_t number = 1; number <= layer_count; ++number) {
      static_cast<void>(pool->usage(uuid_of(number)));
    }
  }
  void use_layer(uint8_t number, bool read_only) {
    auto opened = pool->open_volume(uuid_of(number), read_only);
    if (!opened.ok()) return;
    store::Volume& volume = *opened.value();
    // The size is what the record says; what lies beyond a few MiB is more of the same.
    const uint64_t size = std::min<uint64_t>(volume.size_bytes(), 2 * layer_bytes);
    for (uint64_t at = 0; at + 65536 <= size; at += 65536) {
      static_cast<void>(run(volume, BlockOp::read, at, 65536));
    }
    if (!read_only) {
      for (uint64_t at = 0; at + 65536 <= size; at += 5 * 65536) {
        static_cast<void>(run(volume, BlockOp::write, at, 8192));
        static_cast<void>(run(volume, BlockOp::deallocate, at + 16384, 49152));
      }
      static_cast<void>(run(volume, BlockOp::flush, 0, 0));
    }
    close_volume(volume);
  }

  sim::SimWorld world_;
  sim::SimDevice device_;
  store::AlignedBuffer memory_{65536};
  bool clean_ = false;
};

// A pool with layers, snapshots and records, and a journal with something in it.
inline const sim::DiskImage& used_image() {
  static const sim::DiskImage image = [] {
    StoreWorld made((sim::DiskImage(disk_bytes)));
    CHECK(made.begin(true).ok());
    const auto write = [&](uint8_t number, uint64_t step) {
      auto volume = made.pool->open_volume(uuid_of(number));
      CHECK(volume.ok());
      for (uint64_t at = 0; at < layer_bytes; at += step) {
        CHECK(made.run(*volume.value(), BlockOp::write, at, 8192) == BlockStatus::ok);
      }
      CHECK(made.run(*volume.value(), BlockOp::flush, 0, 0) == BlockStatus::ok);
      made.close_volume(*volume.value());
    };
    CHECK(made.commit({StoreWorld::create_layer(1, 0), StoreWorld::put_record(5, 100)}).ok());
    write(1, 128 * 1024);
    CHECK(made.commit({StoreWorld::create_layer(2, 1)}).ok());
    write(2, 320 * 1024);
    bool written = false;
    made.pool->checkpoint([&](Status) { written = true; });
    made.until([&] { return written; });
    CHECK(made.commit({StoreWorld::create_layer(3, 2), StoreWorld::create_layer(4, 0)}).ok());
    write(3, 448 * 1024);
    CHECK(made.commit({StoreWorld::put_record(6, 5000)}).ok());
    // As a power loss leaves it when all was flushed: the journal has the last steps.
    sim::DiskImage crashed = made.disk.newest();
    made.close();
    return crashed;
  }();
  return image;
}

// Looks at what the image has become; uses it if it is clean, and opens what that left.
inline void look_and_use(const sim::DiskImage& image) {
  {
    StoreWorld world(image);
    world.look();
    if (!world.begin(false, true).ok()) return;
    const bool clean = world.read();
    world.close();
    if (!clean) return;
  }
  sim::DiskImage left(0);
  {
    StoreWorld world(image);
    CHECK(world.begin(false).ok());
    world.use();
    world.close();
    left = world.disk.newest();
  }
  StoreWorld again(left);
  CHECK(again.begin(false).ok() && again.read());
  again.close();
}

}  // namespace ashlar::fuzz
