// The kill log: what is acknowledged outlives the process, and nothing else comes back with it.
#include <map>

#include "pool_fixture.h"
#include "store/kill_log.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t record_bytes = 1000;

struct Memory {
  Memory() : bytes(KillLog::bytes_for(record_bytes)) {}
  KillSafeMemory boot(uint8_t number) {
    return {KillSafeMemory::Kind::mapped, bytes.span(), Uuid{std::byte{number}}};
  }
  AlignedBuffer bytes;
};

std::vector<std::byte> record(uint8_t value) {
  return std::vector<std::byte>(24, std::byte{value});
}

}  // namespace

TEST_CASE("kill log: records count when published, in their order, for their commit alone") {
  Memory memory;
  KillLog log(uuid_of(1), memory.boot(1));
  log.note(7, record(1));
  CHECK(log.read(7).empty());
  log.publish();
  CHECK_EQ(log.read(7), record(1));
  log.note(7, record(2));
  log.note(7, record(3));
  CHECK_EQ(log.read(7).size(), 24);  // A transaction half noted does not count at all.
  log.publish();
  CHECK_EQ(log.read(7).size(), 72);
  log.note(8, record(4));
  log.publish();
  CHECK_EQ(log.read(7).size(), 72);
  CHECK_EQ(log.read(8), record(4));
  log.note(9, record(5));  // In the place of 7, which is durable by now.
  CHECK(log.read(7).empty());
  CHECK(log.read(9).empty());
  log.publish();
  CHECK_EQ(log.read(9), record(5));
}

TEST_CASE("kill log: another boot, another pool and a flipped byte do not count") {
  Memory memory;
  KillLog log(uuid_of(1), memory.boot(1));
  log.note(3, record(1));
  log.publish();
  CHECK_EQ(KillLog(uuid_of(1), memory.boot(1)).read(3), record(1));
  CHECK(KillLog(uuid_of(1), memory.boot(2)).read(3).empty());
  CHECK(KillLog(uuid_of(2), memory.boot(1)).read(3).empty());
  const size_t half = memory.bytes.size() / 2;
  for (size_t at = half; at < 2 * half; ++at) {
    const bool matters = at < half + 72 || (at >= half + 4096 && at < half + 4096 + 24);
    memory.bytes.data()[at] ^= std::byte{1};
    CHECK_EQ(log.read(3) == record(1), !matters);
    memory.bytes.data()[at] ^= std::byte{1};
  }
}

TEST_CASE("kill log: forgotten when the pool fails") {
  Memory memory;
  KillLog log(uuid_of(1), memory.boot(1));
  log.note(1, record(1));
  log.publish();
  log.forget();
  CHECK(KillLog(uuid_of(1), memory.boot(1)).read(1).empty());
  log.note(1, record(2));
  log.publish();
  CHECK(KillLog(uuid_of(1), memory.boot(1)).read(1).empty());
}

TEST_CASE("kill log: killed again and again, with commits under way: every write acknowledged stays") {
  constexpr uint64_t block = 4096;
  constexpr uint64_t size = 4ull << 20;
  const uint64_t seed = 11;
  sim::SimRandom random(seed);
  auto fixture = std::make_unique<Fixture>(seed, 16ull << 20);
  REQUIRE(fixture->create().ok());
  REQUIRE(fixture->create_layer(1, size).ok());
  std::map<uint64_t, uint64_t> expected;
  for (uint64_t round = 1; round <= 400; ++round) {
    INFO("seed " << seed << ", round " << round);
    Volume* volume = fixture->open_volume(1);
    REQUIRE(volume != nullptr);
    for (const auto& [at, stamp] : expected) REQUIRE(fixture->holds(*volume, at, block, stamp));
    // Flushes are left under way, so that one commit is being written and the next gathered.
    std::vector<std::unique_ptr<TestIo>> flushes;
    for (uint64_t i = random.below(5); i > 0; --i) {
      const uint64_t at = random.below(size / block) * block;
      const uint64_t stamp = random.one_in(4) ? 0 : round * 100 + i;
      const BlockStatus status = stamp == 0 ? fixture->zero(*volume, at, block)
                                            : fixture->write(*volume, at, block, stamp);
      REQUIRE(status == BlockStatus::ok);
      expected[at] = stamp;
      if (random.one_in(2)) {
        flushes.push_back(std::make_unique<TestIo>(BlockOp::flush, 0, 0));
        volume->submit(0, flushes.back()->io);
        for (uint64_t steps = random.below(12); steps > 0; --steps) fixture->world.step();
      }
    }
    const sim::DiskImage image = fixture->disk.after_kill(random);
    const sim::SimDisk::KillSafe kept = fixture->disk.kill_safe;
    fixture->world.run_until([&] {
      return std::all_of(flushes.begin(), flushes.end(), [](const auto& io) { return io->done; });
    });
    fixture = std::make_unique<Fixture>(seed + round, image);
    fixture->disk.kill_safe = kept;
    REQUIRE(fixture->open().ok());
    CHECK_EQ(fixture->check(), "");
  }
}
