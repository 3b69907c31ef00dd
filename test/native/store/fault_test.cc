// Devices that fail: every operation in turn, once or for good; and a disk that is full.
#include <cerrno>
#include <set>

#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

struct Promise {
  uint64_t offset, length, stamp;
};

// Creates, writes, flushes, commits, deletes, checkpoints and closes while the Nth operation fails.
// Whatever was promised before must be there when the pool is opened on a healthy device. Returns
// whether the fault was met.
bool run_with_fault(uint64_t fail_at, bool sticky, int error) {
  Fixture pool(fail_at, 16 * MiB);
  pool.disk.faults = {fail_at, error, sticky, true, true, true, false};
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

}  // namespace

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
  pool.disk.faults = {1, EIO, false, false, true, false, false};
  CHECK(pool.write(*volume, 1 * MiB, 4 * KiB, 2) == BlockStatus::write_error);
  CHECK(pool.pool->usage(uuid_of(1)).value().allocated_bytes == 64 * KiB);
  CHECK(!pool.pool->status().failed);
  CHECK(pool.holds(*volume, 1 * MiB, 4 * KiB, 0));
  CHECK(pool.write(*volume, 1 * MiB, 4 * KiB, 3) == BlockStatus::ok);
  CHECK(pool.check() == "");
}
