// Ends of the process and of the machine at moments that no device operation marks: in the middle
// of noting a transaction, right after a recovery, and after a failure; and a superblock that is
// lost.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

// Memory as it is just before the first store to one of its pages: what a kill at that instant
// would have left.
class StoreTrap {
 public:
  explicit StoreTrap(std::span<std::byte> watched) : watched_(watched), seen_(watched.size()) {
    active = this;
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGSEGV, &action, &previous_) == 0);
  }
  ~StoreTrap() {
    disarm();
    CHECK(sigaction(SIGSEGV, &previous_, nullptr) == 0);
    active = nullptr;
  }
  void arm(std::byte* page) {
    page_ = page;
    sprung_ = false;
    CHECK(mprotect(page_, page_bytes(), PROT_READ) == 0);
  }
  // True: there was a store; seen() is what was there before it.
  bool disarm() {
    if (page_ != nullptr) CHECK(mprotect(page_, page_bytes(), PROT_READ | PROT_WRITE) == 0);
    page_ = nullptr;
    return sprung_;
  }
  const std::vector<std::byte>& seen() const { return seen_; }
  static size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

 private:
  static void on_fault(int, siginfo_t* info, void*) {
    StoreTrap& trap = *active;
    const auto* at = static_cast<const std::byte*>(info->si_addr);
    if (trap.page_ == nullptr || at < trap.page_ || at >= trap.page_ + page_bytes()) {
      sigaction(SIGSEGV, &trap.previous_, nullptr);  // Somebody else's: it happens again, for good.
      return;
    }
    std::memcpy(trap.seen_.data(), trap.watched_.data(), trap.watched_.size());
    trap.sprung_ = true;
    mprotect(trap.page_, page_bytes(), PROT_READ | PROT_WRITE);
  }

  static inline StoreTrap* active = nullptr;
  std::span<std::byte> watched_;
  std::vector<std::byte> seen_;
  std::byte* page_ = nullptr;
  bool sprung_ = false;
  struct sigaction previous_ {};
};

std::vector<Change> records(uint64_t stamp, uint64_t count, size_t bytes) {
  std::vector<Change> changes(count);
  for (uint64_t key = 0; key < count; ++key) {
    changes[key].kind = Change::Kind::put_record;
    changes[key].key = key + 1;
    changes[key].value.assign(bytes, static_cast<std::byte>(stamp));
  }
  return changes;
}

// The stamp that every record has; none when they do not agree, or are not all there.
std::optional<uint64_t> stamp_of(Fixture& fixture, uint64_t count) {
  std::vector<CatalogRecord> found;
  fixture.pool->read_catalog([&](Result<std::vector<CatalogRecord>> result) {
    found = std::move(result).value();
  });
  if (found.size() != count) return std::nullopt;
  for (const CatalogRecord& record : found) {
    if (record.value[0] != found[0].value[0]) return std::nullopt;
  }
  return std::to_integer<uint64_t>(found[0].value[0]);
}

Change layer(uint64_t number) {
  Change change{};
  change.kind = Change::Kind::create_layer;
  change.layer = uuid_of(number);
  change.size_bytes = 4 * MiB;
  change.block_bytes = 4096;
  return change;
}

}  // namespace

TEST_CASE("kill log: killed in the middle of noting a transaction: nothing of it counts") {
  constexpr uint64_t count = 3;
  Fixture before(51, 16 * MiB);
  REQUIRE(before.create().ok());
  REQUIRE(before.commit(records(1, count, 40'000)).ok());
  std::vector<std::byte>& log = before.disk.kill_safe.bytes;
  StoreTrap trap(log);
  const size_t page = StoreTrap::page_bytes();
  const auto start = reinterpret_cast<uintptr_t>(log.data());
  uint64_t stamp = 1;
  uint64_t kills = 0;
  for (uintptr_t at = (start + page - 1) / page * page; at + page <= start + log.size();
       at += page) {
    // Of the two halves, that of the next commit is written: each page gets its turn in both.
    for (uint32_t half = 0; half < 2; ++half) {
      const sim::DiskImage image = before.disk.newest();
      const uint64_t old = stamp;
      stamp = stamp % 250 + 1;
      trap.arm(reinterpret_cast<std::byte*>(at));
      REQUIRE(before.commit(records(stamp, count, 40'000)).ok());
      if (!trap.disarm()) continue;
      ++kills;
      INFO("page at byte " << at - start << " of the log");
      Fixture after(52, image);
      after.disk.kill_safe = {trap.seen(), before.disk.kill_safe.boot};
      REQUIRE(after.open().ok());
      REQUIRE_EQ(after.check(), "");
      const std::optional<uint64_t> found = stamp_of(after, count);
      REQUIRE(found.has_value());
      CHECK((*found == old || *found == stamp));
    }
  }
  MESSAGE("kill log: " << kills << " kills inside a transaction");
  CHECK(kills > 40);
}

TEST_CASE("kill log: killed again before anything new is committed: what it held counts once") {
  sim::SimRandom random(61);
  uint64_t taken = 0;
  // The second transaction comes so many steps after the first: into the same commit or the next.
  for (uint64_t steps = 0; steps < 12; ++steps) {
    for (const bool write_between : {false, true}) {
      INFO(steps << " steps" << (write_between ? ", a write between" : ""));
      Fixture first(62 + steps, 16 * MiB);
      REQUIRE(first.create().ok());
      REQUIRE(first.commit({layer(1)}).ok());
      uint32_t answered = 0;
      first.pool->commit({layer(7)}, [&](Status) { ++answered; });
      for (uint64_t i = 0; i < steps; ++i) first.world.step();
      first.pool->commit({layer(8)}, [&](Status) { ++answered; });
      const uint32_t acknowledged = answered;
      const sim::DiskImage image = first.disk.after_kill(random);
      const sim::SimDisk::KillSafe kept = first.disk.kill_safe;
      REQUIRE(first.world.run_until([&] { return answered == 2; }));

      Fixture second(90, image);
      second.disk.kill_safe = kept;
      REQUIRE(second.open().ok());
      CHECK_EQ(second.check(), "");
      const bool seven = second.pool->usage(uuid_of(7)).ok();
      const bool eight = second.pool->usage(uuid_of(8)).ok();
      CHECK(seven >= (acknowledged > 0));
      CHECK(seven >= eight);
      taken += seven + eight;
      if (write_between) {
        REQUIRE(second.write(*second.open_volume(1), 0, 64 * KiB, 5) == BlockStatus::ok);
      }
      Fixture third(91, second.disk.after_kill(random));
      third.disk.kill_safe = second.disk.kill_safe;
      const Status again = third.open();
      INFO(std::string(again.ok() ? "" : again.error().message));
      REQUIRE(again.ok());
      CHECK_EQ(third.check(), "");
      CHECK_EQ(third.pool->usage(uuid_of(7)).ok(), seven);
      CHECK_EQ(third.pool->usage(uuid_of(8)).ok(), eight);
      if (write_between) CHECK(third.holds(*third.open_volume(1), 0, 64 * KiB, 5));
    }
  }
  CHECK(taken > 12);
}

TEST_CASE("kill log: a pool that failed and was killed: blocks that the device lost show nobody's data") {
  Fixture before(71, 16 * MiB);
  REQUIRE(before.create().ok());
  REQUIRE(before.create_layer(1, 16 * MiB).ok());
  REQUIRE(before.create_layer(2, 4 * MiB).ok());
  Volume* other = before.open_volume(1);
  Volume* mine = before.open_volume(2);
  uint64_t chunks = 0;
  while (before.write(*other, chunks * 64 * KiB, 64 * KiB, 9) == BlockStatus::ok) ++chunks;
  REQUIRE(before.flush(*other) == BlockStatus::ok);
  // Only what somebody else had is left for these first writes, which are never flushed.
  REQUIRE(before.zero(*other, 0, 4 * 64 * KiB) == BlockStatus::ok);
  REQUIRE(before.flush(*other) == BlockStatus::ok);
  REQUIRE(before.write(*mine, 0, 64 * KiB, 3) == BlockStatus::ok);
  before.disk.faults = {1, EIO, true, false, false, true, false};
  REQUIRE(before.flush(*mine) == BlockStatus::pool_failed);
  // As Linux does it: what could not be written back is forgotten, and the process ends.
  const sim::DiskImage image = before.disk.after_crash([](const auto&, uint64_t) { return false; });
  Fixture after(72, image);
  after.disk.kill_safe = before.disk.kill_safe;
  before.disk.faults = {};
  REQUIRE(after.open().ok());
  CHECK_EQ(after.check(), "");
  CHECK(after.holds(*after.open_volume(2), 0, 64 * KiB, 0));
}

TEST_CASE("store crash: the superblock of a checkpoint, or any other write, is lost alone: the pool is whole") {
  uint64_t states = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    INFO("seed " << seed);
    Fixture before(seed, 16 * MiB);
    before.disk.max_delay_ns = seed % 2 == 0 ? 0 : 20'000;
    REQUIRE(before.create().ok());
    REQUIRE(before.create_layer(1, 8 * MiB).ok());
    Volume* volume = before.open_volume(1);
    uint64_t durable = 0;  // Chunks of the volume that hold their stamps for certain.
    const auto judge = [&](const sim::DiskImage& image) {
      ++states;
      Fixture after(seed + 100, image);
      REQUIRE(after.open().ok());
      REQUIRE_EQ(after.check(), "");
      Volume* again = after.open_volume(1);
      REQUIRE(again != nullptr);
      for (uint64_t i = 0; i < durable; ++i) {
        REQUIRE(after.holds(*again, i * 64 * KiB, 4 * KiB, i + 1));
      }
    };
    // After every step of the world, and not only where the pool begins an operation: what has
    // ended by then may be lost, with what was begun before it kept.
    const auto checkpoint = [&] {
      bool done = false;
      before.pool->checkpoint([&](Status status) {
        CHECK(status.ok());
        done = true;
      });
      while (!done && before.world.step()) {
        for (const sim::UnflushedWrite& lost : before.disk.unflushed()) {
          judge(before.disk.after_crash(
              [&](const sim::UnflushedWrite& write, uint64_t) { return write.id != lost.id; }));
        }
      }
      REQUIRE(done);
    };
    for (uint64_t round = 0; round < 8; ++round) {
      REQUIRE(before.write(*volume, round * 64 * KiB, 4 * KiB, round + 1) == BlockStatus::ok);
      // Its pages go to places that the checkpoint before has left, with no flush in between.
      checkpoint();
      durable = round + 1;
    }
  }
  MESSAGE("store crash: " << states << " states with one write lost");
  CHECK(states > 1000);
}
