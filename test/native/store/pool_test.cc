// The pool end to end, over a simulated disk.
#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

TEST_CASE("pool: what was written and flushed is there after closing and opening") {
  Fixture pool(1);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(7, 8 * MiB).ok());
  Volume* volume = pool.open_volume(7);
  REQUIRE(volume != nullptr);
  CHECK(pool.holds(*volume, 0, 64 * KiB, 0));
  CHECK(pool.write(*volume, 4 * KiB, 4 * KiB, 1) == BlockStatus::ok);
  CHECK(pool.write(*volume, 1 * MiB, 1 * MiB, 2) == BlockStatus::ok);
  CHECK(pool.holds(*volume, 4 * KiB, 4 * KiB, 1));
  CHECK(pool.holds(*volume, 0, 4 * KiB, 0));
  CHECK(pool.holds(*volume, 1 * MiB, 1 * MiB, 2));
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.check() == "");
  pool.close_volume(*volume);
  REQUIRE(pool.close().ok());
  REQUIRE(pool.open().ok());
  CHECK(pool.pool->status().replayed_records == 0);
  volume = pool.open_volume(7);
  REQUIRE(volume != nullptr);
  CHECK(pool.holds(*volume, 4 * KiB, 4 * KiB, 1));
  CHECK(pool.holds(*volume, 1 * MiB, 1 * MiB, 2));
  CHECK(pool.holds(*volume, 0, 4 * KiB, 0));
  CHECK(pool.check() == "");
}
