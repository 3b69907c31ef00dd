// Power losses: at every operation of the disk, with any part of what was not flushed, the pool
// must come back, prove clean, and hold for each block its last durable value or a later one.
#include <cstdlib>
#include <map>
#include <set>

#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
constexpr uint64_t volume_bytes = 2 * MiB;
constexpr uint64_t sector_count = volume_bytes / 512;

// What a crash may leave: per sector of each volume the stamps that are possible, and which layers
// and catalog records may, must or must not exist.
struct Expectation {
  // By volume, by sector: possible stamps (0: zeroes). Empty: only zeroes.
  std::map<uint64_t, std::vector<std::vector<uint64_t>>> sectors;
  std::set<uint64_t> must_exist, may_exist;
  std::map<uint64_t, std::set<uint64_t>> catalog;  // Key → possible values; 0: absent.
};

class Workload {
 public:
  Workload(uint64_t seed, uint64_t states_each)
      : random_(seed * 31 + 7), seed_(seed), states_each_(states_each), fixture_(seed, 16 * MiB) {
    fixture_.disk.max_delay_ns = seed % 2 == 0 ? 0 : 20'000;
    fixture_.options.commit_interval_ms = seed % 3 == 0 ? 1 : 1000;
    fixture_.options.write_through = seed % 5 == 0;
    fixture_.disk.has_kill_safe_memory = seed % 7 != 0;
  }

  void run(uint32_t operations) {
    REQUIRE(fixture_.create().ok());
    if (seed_ % 4 != 0) fill_up();
    add_volume();
    fixture_.disk.before_operation = [this](const DeviceOp& op) {
      if (op.kind != DeviceOpKind::read && !checking_) crash_here();
    };
    for (uint32_t i = 0; i < operations && !failed_; ++i) one_operation();
    settle();
    fixture_.disk.before_operation = nullptr;
  }
  uint64_t states() const { return states_; }
  uint64_t replayed() const { return replayed_; }
  uint64_t refused() const { return refused_; }
  bool failed() const { return failed_; }

 private:
  struct Flight {
    std::unique_ptr<TestIo> io;
    uint64_t volume;
    uint64_t stamp;
  };

  // Leaves only a few free chunks, so that what is freed is soon used again.
  void fill_up() {
    constexpr uint64_t filler = 1'000'000;
    REQUIRE(fixture_.create_layer(filler, 16 * MiB).ok());
    Volume* volume = fixture_.open_volume(filler);
    uint64_t chunk = 0;
    while (fixture_.write(*volume, chunk * 64 * KiB, 4 * KiB, 1) == BlockStatus::ok) ++chunk;
    const uint64_t spare = 2 + random_.below(8);
    REQUIRE(fixture_.zero(*volume, 0, spare * 64 * KiB) == BlockStatus::ok);
    REQUIRE(fixture_.flush(*volume) == BlockStatus::ok);
  }

  // ---- The workload -----------------------------------------------------------------------------

  void one_operation() {
    const uint64_t dice = random_.below(100);
    if (dice < 4 && volumes_.size() < 3) return add_volume();
    if (dice < 7 && volumes_.size() > 1) return remove_volume();
    if (dice < 12) return change_catalog();
    if (dice < 15) {
      settle();
      checking_ = false;
      CHECK(fixture_.checkpoint().ok());
      if (random_.one_in(2)) CHECK(fixture_.checkpoint().ok());
      return;
    }
    auto at = volumes_.begin();
    std::advance(at, static_cast<ptrdiff_t>(random_.below(volumes_.size())));
    const uint64_t unit = at->first % 2 == 0 ? 512 : 4096;
    static constexpr BlockOp ops[] = {BlockOp::write, BlockOp::write, BlockOp::write,
                                      BlockOp::flush, BlockOp::deallocate, BlockOp::write_zeroes};
    const BlockOp op = ops[random_.below(6)];
    const uint64_t units = volume_bytes / unit;
    const uint64_t start = random_.below(std::min<uint64_t>(units, 48));
    const uint64_t length = std::min(units - start, 1 + random_.below(random_.one_in(5) ? 40 : 4));
    launch(at->first, at->second, op, op == BlockOp::flush ? 0 : start * unit,
           op == BlockOp::flush ? 0 : length * unit);
    for (uint64_t steps = random_.below(20); steps > 0; --steps) fixture_.world.step();
    if (flights_.size() > 4) settle();
    reap();
  }

  void launch(uint64_t number, Volume* volume, BlockOp op, uint64_t offset, uint64_t length) {
    // Overlapping commands: the older one first, so that "last" means something.
    for (const Flight& flight : flights_) {
      const BlockIo& other = flight.io->io;
      if (flight.volume == number && op != BlockOp::flush && other.op != BlockOp::flush &&
          offset < other.offset_bytes + other.length_bytes &&
          other.offset_bytes < offset + length) {
        return;
      }
    }
    auto io = std::make_unique<TestIo>(op, offset, length);
    const uint64_t stamp = ++stamp_;
    if (op == BlockOp::write) io->fill(stamp);
    io->io.fua = op != BlockOp::flush && random_.one_in(4);
    if (op == BlockOp::flush) {
      // What had completed before now is durable when it is done.
      flush_marks_[io.get()] = completed_;
    } else {
      for (uint64_t s = offset / 512; s < (offset + length) / 512; ++s) {
        auto& possible = expected_.sectors[number][s];
        if (possible.empty()) possible.push_back(0);
        possible.push_back(op == BlockOp::write ? stamp : 0);
        order_[number][s].push_back({UINT64_MAX, possible.back(), io.get()});
      }
    }
    volume->submit(0, io->io);
    flights_.push_back({std::move(io), number, stamp});
  }

  void reap() {
    for (size_t i = 0; i < flights_.size();) {
      if (!flights_[i].io->done) {
        ++i;
        continue;
      }
      const Flight flight = std::move(flights_[i]);
      flights_.erase(flights_.begin() + static_cast<ptrdiff_t>(i));
      const BlockIo& io = flight.io->io;
      // Zeroing a part of a block that an ancestor holds writes that block, and so needs a chunk.
      const bool writes = io.op == BlockOp::write || flight.volume % 2 == 0;
      if (writes && io.status == BlockStatus::capacity_exceeded) {
        ++refused_;  // Any part of it may have been written, and will not be by and by.
        continue;
      }
      CHECK(io.status == BlockStatus::ok);
      if (io.op == BlockOp::flush) {
        make_durable(flush_marks_.at(flight.io.get()));
        flush_marks_.erase(flight.io.get());
        continue;
      }
      const uint64_t place = ++completed_;
      for (uint64_t s = io.offset_bytes / 512; s < (io.offset_bytes + io.length_bytes) / 512; ++s) {
        for (auto& change : order_[flight.volume][s]) {
          if (change.io == flight.io.get()) change.completed = place;
        }
        if (io.fua || fixture_.options.write_through) settle_sector(flight.volume, s, place);
      }
    }
  }

  // Everything that had completed by then is durable: older values are impossible from now on.
  void make_durable(uint64_t upto) {
    for (auto& [number, sectors] : order_) {
      for (auto& [s, changes] : sectors) {
        uint64_t last = 0;
        for (const Change& change : changes) {
          if (change.completed <= upto) last = change.completed;
        }
        if (last != 0) settle_sector(number, s, last);
      }
    }
  }

  void settle_sector(uint64_t number, uint64_t s, uint64_t place) {
    auto& changes = order_[number][s];
    size_t at = changes.size();
    for (size_t i = 0; i < changes.size(); ++i) {
      if (changes[i].completed == place) at = i;
    }
    if (at == changes.size()) return;  // Settled by a later one already.
    // possible = {what was possible before, change 0, change 1, ...}
    auto& possible = expected_.sectors[number][s];
    possible.erase(possible.begin(), possible.end() - static_cast<ptrdiff_t>(changes.size() - at));
    changes.erase(changes.begin(), changes.begin() + static_cast<ptrdiff_t>(at) + 1);
  }

  void settle() {
    REQUIRE(fixture_.world.run_until([&] {
      reap();
      return flights_.empty();
    }));
  }

  void add_volume() {
    settle();
    const uint64_t number = ++next_;
    const uint32_t block = number % 2 == 0 ? 512 : 4096;
    uint64_t parent = 0;
    if (!volumes_.empty() && random_.one_in(2)) {
      // The child begins with what the parent holds; the parent is never written again.
      const auto at = volumes_.begin();
      if (at->first % 2 == number % 2) {
        parent = at->first;
        CHECK(fixture_.flush(*at->second) == BlockStatus::ok);
        make_durable(completed_);
        fixture_.close_volume(*at->second);
        frozen_.insert(parent);
        volumes_.erase(at);
      }
    }
    expected_.may_exist.insert(number);
    expected_.sectors[number].resize(sector_count);
    if (parent != 0) expected_.sectors[number] = expected_.sectors[parent];
    const Status status = fixture_.create_layer(number, volume_bytes, block, parent);
    REQUIRE(status.ok());
    expected_.must_exist.insert(number);
    Volume* volume = fixture_.open_volume(number);
    REQUIRE(volume != nullptr);
    volumes_.emplace(number, volume);
  }

  void remove_volume() {
    settle();
    const auto at = std::prev(volumes_.end());
    fixture_.close_volume(*at->second);
    expected_.must_exist.erase(at->first);
    const Status status = fixture_.delete_layer(at->first);
    REQUIRE(status.ok());
    expected_.may_exist.erase(at->first);
    volumes_.erase(at);
  }

  void change_catalog() {
    settle();
    // Two records in one transaction: after a crash both are new or both are old.
    const uint64_t value = ++stamp_;
    std::vector<store::Change> changes(2);
    for (uint64_t key = 0; key < 2; ++key) {
      changes[key].kind = store::Change::Kind::put_record;
      changes[key].key = 100 + key;
      changes[key].value.resize(8 + random_.below(9000));
      std::memcpy(changes[key].value.data(), &value, 8);
    }
    if (catalog_.empty()) catalog_.push_back(0);
    catalog_.push_back(value);
    REQUIRE(fixture_.commit(std::move(changes)).ok());
    catalog_.erase(catalog_.begin(), catalog_.end() - 1);
  }

  // ---- The crashes ------------------------------------------------------------------------------

  void crash_here() {
    // Nobody has seen the completions that were not reaped yet: they only widen what is possible.
    if (failed_) return;
    const auto& unflushed = fixture_.disk.unflushed();
    if (unflushed.size() <= 2) {
      // All subsets.
      for (uint64_t subset = 0; subset < 1ull << unflushed.size(); ++subset) {
        inspect(fixture_.disk.after_crash([&](const sim::UnflushedWrite& write, uint64_t) {
          const auto index = static_cast<uint64_t>(&write - unflushed.data());
          return (subset >> index & 1) != 0;
        }));
      }
    } else {
      inspect(fixture_.disk.after_crash([](const auto&, uint64_t) { return false; }));
      inspect(fixture_.disk.after_crash([](const auto&, uint64_t) { return true; }));
    }
    for (uint64_t i = 0; i < states_each_ && !unflushed.empty(); ++i) {
      inspect(fixture_.disk.after_crash(random_));
    }
    inspect_kill();
  }

  // The machine lost power: what the kill log has is of another boot.
  void inspect(const sim::DiskImage& image) {
    inspect(image, after_power_loss(fixture_.disk), false);
  }
  // The process was killed: whatever was acknowledged must be there.
  void inspect_kill() {
    inspect(fixture_.disk.after_kill(random_), fixture_.disk.kill_safe, true);
  }
  static sim::SimDisk::KillSafe after_power_loss(const sim::SimDisk& disk) {
    sim::SimDisk::KillSafe left = disk.kill_safe;
    left.boot[0] = static_cast<std::byte>(std::to_integer<int>(left.boot[0]) + 1);
    return left;
  }

  void inspect(const sim::DiskImage& image, const sim::SimDisk::KillSafe& kill_safe, bool killed) {
    if (failed_) return;
    ++states_;
    const auto begin = [&](Fixture& fixture, const sim::SimDisk::KillSafe& kept) {
      fixture.disk.kill_safe = kept;
      fixture.disk.has_kill_safe_memory = fixture_.disk.has_kill_safe_memory;
    };
    INFO("seed " << seed_ << ", state " << states_ << (killed ? ", a kill" : ", a power loss"));
    if (random_.one_in(8)) {
      // And once more, inside the recovery: a power loss, or after a kill another kill.
      uint64_t left = 1 + random_.below(12);
      const bool killed_again = killed && random_.one_in(2);
      std::optional<sim::DiskImage> second;
      sim::SimDisk::KillSafe kept;
      Fixture recovering(states_, image);
      begin(recovering, kill_safe);
      recovering.disk.before_operation = [&](const DeviceOp& op) {
        if (op.kind == DeviceOpKind::read || left == 0 || --left > 0) return;
        second.emplace(killed_again ? recovering.disk.after_kill(random_)
                                    : recovering.disk.after_crash(random_));
        kept = killed_again ? recovering.disk.kill_safe : after_power_loss(recovering.disk);
      };
      const Status status = recovering.open();
      if (!status.ok()) return fail(status.error().message);
      recovering.disk.before_operation = nullptr;
      if (second.has_value()) {
        Fixture again(states_, *second);
        begin(again, kept);
        strict_ = killed_again;
        judge(again);
        return;
      }
    }
    Fixture after(states_, image);
    begin(after, kill_safe);
    strict_ = killed;
    judge(after);
  }

  void judge(Fixture& after) {
    const Status status = after.open();
    if (!status.ok()) return fail("open: " + status.error().message);
    replayed_ += after.pool->status().replayed_records;
    if (const std::string problems = after.check(); !problems.empty()) return fail(problems);
    judge_catalog(after);
    for (const uint64_t number : expected_.must_exist) {
      if (!after.pool->usage(uuid_of(number)).ok()) return fail("a layer is gone");
    }
    for (uint64_t number = 1; number <= next_; ++number) {
      const bool exists = after.pool->usage(uuid_of(number)).ok();
      if (exists && !expected_.may_exist.contains(number)) return fail("a layer came back");
      if (!exists) continue;
      Volume* volume = after.open_volume(number);
      if (volume == nullptr) continue;  // Frozen: read through its child.
      judge_volume(after, *volume, number);
      if (failed_) return;
    }
    // And it works: a write after recovery holds, in a block that may or may not be mapped.
    if (random_.one_in(16) && !after.open_volumes.empty()) {
      Volume& volume = *after.open_volumes.back();
      const BlockStatus written = after.write(volume, 0, 64 * KiB, 77, true);
      if (written != BlockStatus::capacity_exceeded) {
        CHECK(written == BlockStatus::ok);
        CHECK(after.holds(volume, 0, 64 * KiB, 77));
      }
      if (const std::string problems = after.check(); !problems.empty()) fail(problems);
    }
  }

  void judge_volume(Fixture& after, Volume& volume, uint64_t number) {
    // The part that the workload uses, and a little more.
    const uint64_t length = 512 * KiB;
    TestIo io(BlockOp::read, 0, length);
    if (after.run(volume, io) != BlockStatus::ok) return fail("a read failed");
    for (uint64_t s = 0; s < length / 512; ++s) {
      const std::vector<uint64_t> possible = possible_now(number, s);
      uint64_t words[64];
      std::memcpy(words, io.memory.data() + s * 512, 512);
      bool good = possible.empty() && words[0] == 0;
      for (const uint64_t stamp : possible) {
        good = good || words[0] == (stamp == 0 ? 0 : stamp * 0x9e3779b97f4a7c15ull + s);
      }
      for (const uint64_t word : words) good = good && word == words[0];
      if (!good) {
        return fail("volume " + std::to_string(number) + " sector " + std::to_string(s) +
                    " holds what it never may");
      }
    }
  }

  // After a power loss all that is possible; after a kill, what was last acknowledged or later.
  std::vector<uint64_t> possible_now(uint64_t number, uint64_t s) {
    const auto& all = expected_.sectors.at(number)[s];
    if (!strict_) return all;
    const auto& changes = order_[number][s];
    size_t left = all.size();
    for (size_t i = 0; i < changes.size(); ++i) {
      if (changes[i].completed != UINT64_MAX) left = changes.size() - i;
    }
    return {all.end() - static_cast<ptrdiff_t>(left), all.end()};
  }

  void judge_catalog(Fixture& after) {
    std::vector<CatalogRecord> records;
    after.pool->read_catalog([&](Result<std::vector<CatalogRecord>> result) {
      records = std::move(result).value();
    });
    if (catalog_.empty() && records.empty()) return;
    uint64_t value = 0;
    if (!records.empty()) {
      if (records.size() != 2) return fail("half a transaction");
      uint64_t other;
      std::memcpy(&value, records[0].value.data(), 8);
      std::memcpy(&other, records[1].value.data(), 8);
      if (value != other) return fail("half a transaction");
    }
    if (std::find(catalog_.begin(), catalog_.end(), value) == catalog_.end()) {
      fail("a catalog record holds what it never may");
    }
  }

  void fail(const std::string& what) {
    if (failed_) return;
    failed_ = true;
    FAIL_CHECK(what);
  }

  struct Change {
    uint64_t completed;  // UINT64_MAX: not yet.
    uint64_t stamp;
    const TestIo* io;
  };

  sim::SimRandom random_;
  const uint64_t seed_;
  const uint64_t states_each_;
  Fixture fixture_;
  std::map<uint64_t, Volume*> volumes_;
  std::set<uint64_t> frozen_;
  std::vector<Flight> flights_;
  std::map<const TestIo*, uint64_t> flush_marks_;
  Expectation expected_;
  std::map<uint64_t, std::map<uint64_t, std::vector<Change>>> order_;
  std::vector<uint64_t> catalog_;
  uint64_t next_ = 0;
  uint64_t stamp_ = 0;
  uint64_t completed_ = 0;
  uint64_t states_ = 0;
  uint64_t replayed_ = 0;
  uint64_t refused_ = 0;
  bool checking_ = false;
  bool strict_ = false;
  bool failed_ = false;
};

}  // namespace

TEST_CASE("store crash: whatever the disk lost, the pool comes back whole") {
  const char* given = std::getenv("ASHLAR_SEED");
  const char* wanted = std::getenv("ASHLAR_CRASH_STATES");
  const uint64_t budget = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 6000;
  uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  uint64_t states = 0;
  uint64_t replayed = 0;
  uint64_t refused = 0;
  do {
    INFO("replay with ASHLAR_SEED=" << seed);
    Workload workload(seed, 2);
    workload.run(40);
    states += workload.states();
    replayed += workload.replayed();
    refused += workload.refused();
    if (workload.failed()) break;
    ++seed;
  } while (given == nullptr && states < budget);
  MESSAGE("store crash: " << states << " states, " << replayed << " records replayed, " << refused
                          << " writes found the pool full");
  CHECK(replayed > 0);
}

TEST_CASE("store crash: a FUA overwrite of a block whose mapping was not durable makes it durable") {
  Fixture before(3, 16 * MiB);
  REQUIRE(before.create().ok());
  REQUIRE(before.create_layer(1, volume_bytes).ok());
  Volume* volume = before.open_volume(1);
  REQUIRE(before.write(*volume, 0, 4 * KiB, 1) == BlockStatus::ok);
  REQUIRE(before.write(*volume, 0, 4 * KiB, 2, true) == BlockStatus::ok);
  Fixture after(4, before.disk.after_crash([](const auto&, uint64_t) { return false; }));
  REQUIRE(after.open().ok());
  CHECK(after.holds(*after.open_volume(1), 0, 4 * KiB, 2));
}

TEST_CASE("store crash: maps that change while a large checkpoint is written: its image is of one instant") {
  // More dirty pages than the checkpoint's buffers take at once, so that some wait while the map
  // goes on changing: one block in each of 300 leaves.
  constexpr uint64_t leaves = 300;
  constexpr uint64_t leaf_bytes = 504 * 64 * KiB;
  Fixture before(5, 64 * MiB);
  REQUIRE(before.create().ok());
  REQUIRE(before.create_layer(1, leaves * leaf_bytes).ok());
  Volume* volume = before.open_volume(1);
  for (uint64_t i = 0; i < leaves; ++i) {
    REQUIRE(before.write(*volume, i * leaf_bytes, 4 * KiB, i + 1) == BlockStatus::ok);
  }
  REQUIRE(before.flush(*volume) == BlockStatus::ok);
  bool done = false;
  std::vector<std::unique_ptr<TestIo>> flights;
  uint64_t states = 0;
  before.disk.max_delay_ns = 50'000;
  before.disk.before_operation = [&](const DeviceOp& op) {
    if (op.kind == DeviceOpKind::read || done) return;
    Fixture after(6, before.disk.after_crash([](const auto&, uint64_t) { return true; }));
    REQUIRE(after.open().ok());
    REQUIRE_EQ(after.check(), "");
    ++states;
  };
  before.pool->checkpoint([&](Status status) {
    CHECK(status.ok());
    done = true;
  });
  for (uint64_t i = 0; !done; i = (i + 7) % leaves) {
    flights.push_back(
        std::make_unique<TestIo>(BlockOp::write, i * leaf_bytes + 4 * KiB * (1 + i % 8), 4 * KiB));
    flights.back()->fill(7);
    volume->submit(0, flights.back()->io);
    before.world.step();
    if (flights.size() == 400) REQUIRE(before.world.run_until([&] { return done; }));
  }
  before.disk.before_operation = nullptr;
  CHECK(before.world.run_until([&] { return flights.back()->done; }));
  CHECK(states > 10);
  Fixture after(7, before.disk.after_crash([](const auto&, uint64_t) { return false; }));
  REQUIRE(after.open().ok());
  CHECK_EQ(after.check(), "");
  Volume* again = after.open_volume(1);
  for (uint64_t i = 0; i < leaves; ++i) {
    REQUIRE(after.holds(*again, i * leaf_bytes, 4 * KiB, i + 1));
  }
}
