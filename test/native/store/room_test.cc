// Room that was promised, and room that is asked back: reservations and shrinking.
#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

Status shrink(Fixture& pool, uint64_t number, uint64_t size) {
  Change change{};
  change.kind = Change::Kind::resize_layer;
  change.layer = uuid_of(number);
  change.size_bytes = size;
  return pool.commit({change});
}

}  // namespace

TEST_CASE("reservation: another volume meets the end of the pool first; the reserved one fills up whole") {
  Fixture pool(81, 16 * MiB);
  REQUIRE(pool.create().ok());
  Change reserved{};
  reserved.kind = Change::Kind::create_layer;
  reserved.layer = uuid_of(1);
  reserved.size_bytes = 4 * MiB;
  reserved.block_bytes = 4096;
  reserved.reserved = true;
  REQUIRE(pool.commit({reserved}).ok());
  REQUIRE(pool.create_layer(2, 16 * MiB).ok());
  Volume* other = pool.open_volume(2);
  uint64_t chunks = 0;
  BlockStatus status = BlockStatus::ok;
  for (; status == BlockStatus::ok && chunks < 256; ++chunks) {
    status = pool.write(*other, chunks * 64 * KiB, 4 * KiB, 1);
  }
  CHECK(status == BlockStatus::capacity_exceeded);
  Volume* mine = pool.open_volume(1);
  for (uint64_t at = 0; at < 4 * MiB; at += 64 * KiB) {
    REQUIRE(pool.write(*mine, at, 64 * KiB, 2) == BlockStatus::ok);
  }
  CHECK_EQ(pool.check(), "");
  CHECK(pool.holds(*mine, 0, 4 * MiB, 2));
}

TEST_CASE("shrink: data beyond the new end, of the volume or of a snapshot under it: refused as busy") {
  Fixture pool(82, 16 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 8 * MiB).ok());
  Volume* volume = pool.open_volume(1);
  REQUIRE(pool.write(*volume, 6 * MiB, 64 * KiB, 1) == BlockStatus::ok);
  Change snapshot{};
  snapshot.kind = Change::Kind::create_layer;
  snapshot.layer = uuid_of(2);
  snapshot.parent = uuid_of(1);
  snapshot.volume_from = uuid_of(1);
  snapshot.size_bytes = 8 * MiB;
  snapshot.block_bytes = 4096;
  REQUIRE(pool.commit({snapshot}).ok());
  REQUIRE(pool.write(*volume, 0, 64 * KiB, 2) == BlockStatus::ok);
  pool.close_volume(*volume);
  CHECK(shrink(pool, 2, 4 * MiB).error().code == ErrorCode::busy);
  REQUIRE(shrink(pool, 2, 7 * MiB).ok());
  Volume* again = pool.open_volume(2);
  CHECK(pool.holds(*again, 0, 64 * KiB, 2));
  CHECK(pool.holds(*again, 6 * MiB, 64 * KiB, 1));
}
