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

TEST_CASE("pool: a check that is under way tells how far it is, of all that it has to find") {
  Fixture pool(3);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(7, 8192 * MiB).ok());
  Volume* volume = pool.open_volume(7);
  REQUIRE(volume != nullptr);
  // Each in a page of the map of its own.
  for (uint64_t at = 0; at < 8192 * MiB; at += 512 * MiB) {
    CHECK(pool.write(*volume, at, 4 * KiB, at + 1) == BlockStatus::ok);
  }
  CHECK(pool.pool->status().check_chunks == 0);
  std::optional<Result<CheckReport>> answer;
  uint64_t last = 0;
  uint64_t total = 0;
  bool partly = false;
  pool.pool->check([&](Result<CheckReport> report) { answer = std::move(report); });
  CHECK(pool.world.run_until([&] {
    const PoolStatus status = pool.pool->status();
    if (status.check_chunks != 0) {
      CHECK(status.checked_chunks >= last);
      CHECK(status.checked_chunks <= status.check_chunks);
      partly = partly || (status.checked_chunks > 0 && status.checked_chunks < status.check_chunks);
      last = status.checked_chunks;
      total = status.check_chunks;
    }
    return answer.has_value();
  }));
  REQUIRE(answer->ok());
  CHECK(answer->value().problems.empty());
  CHECK(answer->value().chunks_owned == total);
  CHECK(partly);
  CHECK(pool.pool->status().check_chunks == 0);
}
