// What the store costs by itself: no network, no data kept, one reactor. Prints one JSON object a
// figure, for bench/store.ts.
//
//   store_bench large      a 10 TiB volume with 1 TiB mapped: memory, snapshots under load, a crash
//   store_bench writes     overwrites and first writes: operations and bytes on the device, speed
//   store_bench deep       reads through a thousand snapshots
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "load.h"
#include "metadata_device.h"
#include "reactor/uring.h"
#include "test/native/reactor/on_reactor.h"

using namespace ashlar;
using namespace ashlar::bench;

namespace {

constexpr uint64_t KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB, TiB = 1024 * GiB;

void figure(const std::string& name, double value) {
  std::printf("{\"name\":\"%s\",\"value\":%.6g}\n", name.c_str(), value);
  std::fflush(stdout);
}

Uuid uuid_of(uint64_t number) {
  Uuid uuid{std::byte{0xb5}};
  std::memcpy(uuid.data() + 8, &number, sizeof number);
  return uuid;
}

uint64_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  status >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// A pool on a reactor of its own; calls wait on the caller's thread.
class Store {
 public:
  Store(MetadataSpace& space, uint64_t cache_bytes)
      : reactor_(test::start_reactor()) {
    test::on(*reactor_, [&] { device_ = std::make_unique<MetadataDevice>(*reactor_, space); });
    options_.uuid = uuid_of(1);
    options_.map_cache_bytes = cache_bytes;
  }
  ~Store() {
    if (pool == nullptr) return;
    test::Signal closed;
    test::on(*reactor_, [&] {
      pool->close_volume(*volume, [&] { pool->close([&](const Status&) { closed.raise(); }); });
    });
    closed.wait();
    test::on(*reactor_, [&] {
      pool.reset();
      device_.reset();
    });
  }

  void create() { begin(true); }
  void open() { begin(false); }

  void open_volume(uint64_t number) {
    test::on(*reactor_, [&] {
      auto opened = pool->open_volume(uuid_of(number));
      CHECK(opened.ok());
      volume = opened.value();
    });
    top_ = number;
  }
  void commit(std::vector<store::Change> changes) {
    test::Signal done;
    test::on(*reactor_, [&] {
      pool->commit(std::move(changes), [&](const Status& status) {
        CHECK(status.ok());
        done.raise();
      });
    });
    done.wait();
  }
  void create_layer(uint64_t number, uint64_t bytes, uint64_t parent = 0) {
    store::Change change{};
    change.kind = store::Change::Kind::create_layer;
    change.layer = uuid_of(number);
    if (parent != 0) change.parent = change.volume_from = uuid_of(parent);
    change.size_bytes = bytes;
    change.block_bytes = 4096;
    commit({change});
  }
  static constexpr uint64_t first_snapshot = 1001;  // The volume's layer once it was taken.
  // Of the open volume. How long it took, ns.
  uint64_t snapshot(uint64_t bytes) {
    const auto began = clock().now_ns();
    create_layer(++last_, bytes, top_);
    top_ = last_;
    return clock().now_ns() - began;
  }
  // Runs a load for a while, or, when it is sequential, to its end.
  struct Ran {
    double per_second = 0;
    double p99_ms = 0;
    double longest_ms = 0;
  };
  Ran run(const Load::Options& options, uint32_t milliseconds) {
    Load load(*reactor_, *volume, options);
    test::Signal ended;
    test::on(*reactor_, [&] { load.start([&] { ended.raise(); }); });
    Ran ran;
    if (!options.sequential) {
      // The first tenth warms up.
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds / 10));
      test::on(*reactor_, [&] { load.mark(); });
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
      test::on(*reactor_, [&] { ran.per_second = load.per_second(); load.stop(); });
    }
    ended.wait();
    CHECK(load.errors() == 0);
    ran.p99_ms = load.percentile_ns(0.99) / 1e6;
    ran.longest_ms = load.longest_ns() / 1e6;
    return ran;
  }
  store::PoolStatus status() {
    store::PoolStatus status;
    test::on(*reactor_, [&] { status = pool->status(); });
    return status;
  }
  Written written() {
    Written written;
    test::on(*reactor_, [&] { written = device_->written; });
    return written;
  }
  void cut_power() {
    test::on(*reactor_, [&] { device_->cut_power(); });
  }
  UringReactor& reactor() { return *reactor_; }
  Clock& clock() { return clock_; }

  std::unique_ptr<store::Pool> pool;
  store::Volume* volume = nullptr;

 private:
  void begin(bool create) {
    test::Signal done;
    const auto take = [&](Result<std::unique_ptr<store::Pool>> result) {
      CHECK(result.ok());
      pool = std::move(result).value();
      done.raise();
    };
    test::on(*reactor_, [&] {
      std::vector<store::Port> ports{{reactor_.get(), device_.get()}};
      if (create) {
        store::Pool::create(ports, 0, options_, reactor_->random(), take);
      } else {
        store::Pool::open(ports, 0, options_, reactor_->random(), take);
      }
    });
    done.wait();
  }

  SystemClock clock_;
  std::unique_ptr<UringReactor> reactor_;
  std::unique_ptr<MetadataDevice> device_;
  store::PoolOptions options_;
  uint64_t top_ = 0;
  uint64_t last_ = first_snapshot - 1;
};

// ---- A 10 TiB volume with 1 TiB mapped ----------------------------------------------------------

constexpr uint64_t large_volume = 10 * TiB;
constexpr uint64_t large_mapped = 1 * TiB;
constexpr uint64_t large_cache = 256 * MiB;  // The default.
constexpr uint64_t small_cache = 64 * MiB;

void fill(Store& store, uint64_t bytes) {
  Load::Options options;
  options.op = BlockOp::write;
  options.io_bytes = MiB;
  options.span_bytes = bytes;
  options.sequential = true;
  store.run(options, 0);
}

// Memory that a store takes for the first time costs a page fault a page, which is the machine's to
// answer for: by the first snapshot that counts its caches are as large as they get.
constexpr int unmeasured_snapshots = 30;
constexpr int measured_snapshots = 20;
// Over the whole terabyte, so that after a snapshot nearly each write is the first one in its leaf of
// the map and reads the leaves of the layers under it. Not the most that is possible: what waits
// then is not only what a snapshot delays.
constexpr uint64_t snapshot_load = 10'000;

// Snapshots while 4 KiB overwrites go on.
void snapshots_under_load(Store& store) {
  Load::Options options;
  options.op = BlockOp::write;
  options.span_bytes = large_mapped;
  options.per_second = snapshot_load;
  const Store::Ran usual = store.run(options, 2000);
  double longest_snapshot_ms = 0, longest_write_ms = 0;
  Load load(store.reactor(), *store.volume, options);
  test::Signal ended;
  test::on(store.reactor(), [&] { load.start([&] { ended.raise(); }); });
  for (int i = 0; i < unmeasured_snapshots; ++i) {
    store.snapshot(large_volume);
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }
  figure("map_mib_at_snapshots", static_cast<double>(store.status().map_memory_bytes) / MiB);
  for (int i = 0; i < measured_snapshots; ++i) {
    test::on(store.reactor(), [&] { load.mark(); });
    longest_snapshot_ms =
        std::max(longest_snapshot_ms, static_cast<double>(store.snapshot(large_volume)) / 1e6);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    test::on(store.reactor(),
             [&] { longest_write_ms = std::max(longest_write_ms, load.longest_ns() / 1e6); });
  }
  test::on(store.reactor(), [&] { load.stop(); });
  ended.wait();
  figure("snapshot_load", snapshot_load);
  figure("snapshot_longest_ms", longest_snapshot_ms);
  figure("usual_write_p99_ms", usual.p99_ms);
  figure("usual_write_longest_ms", usual.longest_ms);
  figure("snapshot_longest_write_ms", longest_write_ms);
}

// A pool with 1 TiB of its volume mapped. Never ends: after the power cut its reactor goes on alone.
Store& filled(MetadataSpace& space) {
  auto& store = *new Store(space, large_cache);
  store.create();
  store.create_layer(1, large_volume);
  store.open_volume(1);
  fill(store, large_mapped);
  return store;
}

// Something for the journal to replay, first writes over two of its commits, and then the end.
void crash(Store& store) {
  Load::Options options;
  options.op = BlockOp::write;
  options.span_bytes = large_volume;
  store.run(options, 2500);
  store.cut_power();
}

// Opens what was left; `name`: of the figures.
void recover(MetadataSpace& space, uint64_t top, const std::string& name) {
  const uint64_t before = resident_bytes();
  SystemClock clock;
  const uint64_t began = clock.now_ns();
  Store store(space, small_cache);
  store.open();
  store::PoolStatus status = store.status();
  store.open_volume(top);
  Load::Options options;
  options.depth = 1;
  options.sequential = true;
  options.span_bytes = 4096;
  store.run(options, 0);
  figure(name + "_first_io_ms", static_cast<double>(clock.now_ns() - began) / 1e6);
  figure(name + "_replayed_records", static_cast<double>(status.replayed_records));
  // Then reads all over the place: the map is read as far as it is needed and the cache allows.
  options = Load::Options();
  options.span_bytes = large_mapped;
  store.run(options, 2000);
  status = store.status();
  figure(name + "_map_mib", static_cast<double>(status.map_memory_bytes) / MiB);
  figure(name + "_map_cache_mib", static_cast<double>(small_cache) / MiB);
  figure(name + "_resident_mib", static_cast<double>(resident_bytes() - before) / MiB);
}

void large() {
  {
    MetadataSpace space(12 * TiB, 2 * GiB);
    Store& store = filled(space);
    const store::PoolStatus status = store.status();
    figure("mapped_tib", static_cast<double>(status.data_chunks) * 64 * KiB / TiB);
    figure("map_mib_per_tib", static_cast<double>(status.map_memory_bytes) / MiB);
    crash(store);
    recover(space, 1, "crash");
  }
  MetadataSpace space(12 * TiB, 4 * GiB);
  Store& store = filled(space);
  snapshots_under_load(store);
  crash(store);
  constexpr uint64_t snapshots = unmeasured_snapshots + measured_snapshots;
  figure("snapshots", snapshots);
  recover(space, Store::first_snapshot + snapshots - 1, "deep_crash");
}

// ---- Writes -------------------------------------------------------------------------------------

void writes() {
  constexpr uint64_t bytes = 8 * GiB;
  MetadataSpace space(1 * TiB, 512 * MiB);
  Store store(space, 512 * MiB);
  store.create();
  store.create_layer(1, bytes);
  store.open_volume(1);
  fill(store, bytes);
  
  Load::Options options;
  options.op = BlockOp::write;
  options.span_bytes = bytes;
  std::vector<double> ratios;
  Written over{}, first{};
  uint64_t over_count = 0, first_count = 0;
  for (int round = 0; round < 7; ++round) {
    // What the round before left for the journal and checkpoints is through.
    test::Signal settled;
    test::on(store.reactor(), [&] {
      store.pool->checkpoint([&](const Status&) { settled.raise(); });
    });
    settled.wait();
    fill(store, bytes);
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    const auto timed = [&](Written& sum, uint64_t& count) {
      const Written before = store.written();
      Load load(store.reactor(), *store.volume, options);
      test::Signal ended;
      test::on(store.reactor(), [&] { load.start([&] { ended.raise(); }); });
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      double speed = 0;
      test::on(store.reactor(), [&] {
        speed = load.per_second();
        load.stop();
      });
      ended.wait();
      const Written after = store.written();
      sum.data_operations += after.data_operations - before.data_operations;
      sum.data_bytes += after.data_bytes - before.data_bytes;
      sum.journal_bytes += after.journal_bytes - before.journal_bytes;
      sum.page_bytes += after.page_bytes - before.page_bytes;
      count += load.completed();
      return speed;
    };
    const double usual = timed(over, over_count);
    store.snapshot(bytes);
    const double after = timed(first, first_count);
    ratios.push_back(after / usual);
    figure("store_overwrites_per_second", usual);
    figure("store_first_writes_per_second", after);
  }
  const auto each = [](uint64_t value, uint64_t count) {
    return static_cast<double>(value) / static_cast<double>(count);
  };
  figure("overwrite_operations", each(over.data_operations, over_count));
  figure("overwrite_metadata_bytes", each(over.journal_bytes + over.page_bytes, over_count));
  figure("first_write_data", each(first.data_bytes, first_count * 4096));
  figure("first_write_journal", each(first.journal_bytes, first_count * 4096));
  figure("first_write_pages", each(first.page_bytes, first_count * 4096));
  std::sort(ratios.begin(), ratios.end());
  figure("store_first_write_ratio", ratios[ratios.size() / 2]);
}

// ---- Reads through a deep stack -----------------------------------------------------------------

void deep() {
  constexpr uint64_t bytes = 4 * GiB;
  MetadataSpace space(1 * TiB, 512 * MiB);
  Store store(space, 512 * MiB);
  store.create();
  store.create_layer(1, bytes);
  store.open_volume(1);
  fill(store, bytes);
  Load::Options reads;
  reads.span_bytes = bytes;
  Load::Options changes = reads;
  changes.op = BlockOp::write;
  changes.depth = 8;
  MetadataSpace flat_space(1 * TiB, 256 * MiB);
  Store flat(flat_space, 512 * MiB);
  flat.create();
  flat.create_layer(1, bytes);
  flat.open_volume(1);
  fill(flat, bytes);
  for (int i = 0; i < 1000; ++i) {
    store.snapshot(bytes);
    changes.seed = static_cast<uint64_t>(i) + 2;
    store.run(changes, 2);
  }
  figure("deep_layers", static_cast<double>(store.status().layer_count));
  store.run(reads, 3000);  // Every view is made once.
  std::vector<double> ratios;
  for (int round = 0; round < 7; ++round) {
    const double none = flat.run(reads, 400).per_second;
    const double thousand = store.run(reads, 400).per_second;
    ratios.push_back(thousand / none);
    figure("store_reads_flat_per_second", none);
    figure("store_reads_deep_per_second", thousand);
  }
  std::sort(ratios.begin(), ratios.end());
  figure("store_deep_read_ratio", ratios[ratios.size() / 2]);
}

}  // namespace

int main(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "";
  if (what == "large") {
    large();
  } else if (what == "writes") {
    writes();
  } else if (what == "deep") {
    deep();
  } else {
    std::fprintf(stderr, "usage: store_bench large|writes|deep\n");
    return 2;
  }
  return 0;
}
