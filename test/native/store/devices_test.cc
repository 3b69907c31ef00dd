// Several devices in one pool: adding, missing, failing and attaching, and power losses in between.
#include <algorithm>
#include <cerrno>
#include <map>

#include "pool_fixture.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
using State = PoolDeviceStatus::State;

// The fixture's disk is device 0; further ones are here.
class Several : public Fixture {
 public:
  using Fixture::Fixture;
  ~Several() {
    if (pool != nullptr) shut();
  }
  void shut() {
    while (!open_volumes.empty()) close_volume(*open_volumes.back());
    CHECK(close().ok());
    channels.clear();
  }
  sim::SimDisk& new_disk(uint64_t size) { return new_disk(sim::DiskImage(size)); }
  sim::SimDisk& new_disk(const sim::DiskImage& image) {
    disks.push_back(std::make_unique<sim::SimDisk>(image, disks.size() + 77));
    return *disks.back();
  }
  Result<PoolDeviceStatus> add(sim::SimDisk& to) { return join(to, true); }
  Result<PoolDeviceStatus> attach(sim::SimDisk& to) { return join(to, false); }
  std::vector<Device*> channels_to(sim::SimDisk& to) {
    std::vector<Device*> made;
    for (uint32_t i = 0; i < world.loop_count(); ++i) {
      channels.push_back(std::make_unique<sim::SimDevice>(to, world.loop(i)));
      made.push_back(channels.back().get());
    }
    return made;
  }
  PoolDeviceStatus device(uint32_t index) { return pool->status().devices.at(index); }
  // Chunks of the device that are taken, its label not counted.
  uint64_t taken(uint32_t index) {
    const PoolDeviceStatus status = device(index);
    return status.total_chunks - status.free_chunks - (index == 0 ? 0 : 1);
  }
  BlockStatus read(Volume& volume, uint64_t offset, uint64_t length) {
    TestIo io(BlockOp::read, offset, length);
    return run(volume, io);
  }
  // Writes the volume's first `count` chunks, 64 KiB each, stamped with their number + 1.
  void fill(Volume& volume, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      REQUIRE(write(volume, i * 64 * KiB, 64 * KiB, i + 1) == BlockStatus::ok);
    }
  }
  // Which of them can be read; the readable ones hold their stamp.
  std::vector<bool> readable(Volume& volume, uint64_t count) {
    std::vector<bool> good;
    for (uint64_t i = 0; i < count; ++i) {
      good.push_back(read(volume, i * 64 * KiB, 64 * KiB) == BlockStatus::ok);
      if (good.back()) CHECK(holds(volume, i * 64 * KiB, 64 * KiB, i + 1));
    }
    return good;
  }

  std::vector<std::unique_ptr<sim::SimDisk>> disks;
  std::vector<std::unique_ptr<sim::SimDevice>> channels;

 private:
  Result<PoolDeviceStatus> join(sim::SimDisk& to, bool adding) {
    std::optional<Result<PoolDeviceStatus>> answer;
    const auto take = [&](Result<PoolDeviceStatus> result) { answer.emplace(std::move(result)); };
    if (adding) {
      pool->add_device(channels_to(to), take);
    } else {
      pool->attach_device(channels_to(to), take);
    }
    CHECK(world.run_until([&] { return answer.has_value(); }));
    return std::move(*answer);
  }
};

// A pool of 16 MiB and further devices, with layer 1 open.
Volume* set_up(Several& pool, std::vector<uint64_t> sizes) {
  REQUIRE(pool.create().ok());
  for (const uint64_t size : sizes) REQUIRE(pool.add(pool.new_disk(size)).ok());
  REQUIRE(pool.create_layer(1, 64 * MiB).ok());
  Volume* volume = pool.open_volume(1);
  REQUIRE(volume != nullptr);
  return volume;
}

sim::SimFaults failing_flushes() { return {1, EIO, true, false, false, true, false}; }

}  // namespace

TEST_CASE("store devices: added under I/O on two reactors: its space counts, I/O goes on") {
  Several pool(1, 16 * MiB, 2);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 64 * MiB).ok());
  Volume* volume = pool.open_volume(1);
  const uint64_t free_before = pool.pool->status().free_chunks;
  pool.disk.max_delay_ns = 10'000;
  sim::SimDisk& disk = pool.new_disk(32 * MiB);
  disk.max_delay_ns = 10'000;
  std::vector<std::unique_ptr<TestIo>> ios;
  for (uint64_t i = 0; i < 40; ++i) {
    ios.push_back(std::make_unique<TestIo>(BlockOp::write, i * 128 * KiB, 128 * KiB));
    ios.back()->fill(i + 1);
  }
  std::optional<Result<PoolDeviceStatus>> added;
  pool.pool->add_device(pool.channels_to(disk),
                        [&](Result<PoolDeviceStatus> result) { added.emplace(std::move(result)); });
  // Commands enter on both reactors at every stage of adding.
  size_t next = 0;
  REQUIRE(pool.world.run_until([&] {
    if (next < ios.size()) {
      volume->submit(static_cast<uint32_t>(next % 2), ios[next]->io);
      ++next;
    }
    return added.has_value() && next == ios.size() &&
           std::all_of(ios.begin(), ios.end(), [](const auto& io) { return io->done; });
  }));
  REQUIRE(added->ok());
  CHECK(added->value().index == 1);
  CHECK(added->value().state == State::online);
  CHECK(added->value().size_bytes == 32 * MiB);
  CHECK(pool.pool->status().size_bytes == 48 * MiB);
  CHECK(pool.pool->status().free_chunks > free_before + 300);
  for (uint64_t i = 0; i < 40; ++i) {
    CHECK(ios[i]->io.status == BlockStatus::ok);
    CHECK(pool.holds(*volume, i * 128 * KiB, 128 * KiB, i + 1));
  }
  // More than the first device could ever hold.
  pool.fill(*volume, 400);
  CHECK(pool.taken(1) > 200);
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: an old program refuses the pool from the second device on, not before") {
  Several pool(2, 16 * MiB);
  REQUIRE(pool.create().ok());
  const auto features = [&] {
    REQUIRE(pool.checkpoint().ok());
    std::vector<std::byte> block(4096);
    uint64_t bits = 0;
    for (const uint64_t offset : superblock_offsets) {
      pool.disk.newest().read(offset, block);
      const SuperblockReading reading = read_superblock(block, true);
      CHECK(reading.verdict == SuperblockVerdict::valid);
      CHECK(reading.superblock.version == 1);
      bits |= reading.superblock.incompatible_features;
    }
    return bits;
  };
  CHECK(features() == feature_merging);
  REQUIRE(pool.add(pool.new_disk(16 * MiB)).ok());
  CHECK(features() == (feature_merging | feature_several_devices));
}

TEST_CASE("store devices: what cannot be added is refused, left as it is, and the pool goes on") {
  Several pool(3, 16 * MiB);
  Volume* volume = set_up(pool, {16 * MiB});
  const auto refused = [&](sim::SimDisk& disk, ErrorCode code) {
    const uint64_t writes = disk.writes;
    const auto result = pool.add(disk);
    REQUIRE(!result.ok());
    CHECK(result.error().code == code);
    CHECK(disk.writes == writes);
    MESSAGE("refused: " << result.error().message);
  };
  refused(pool.new_disk(16 * MiB - 4096), ErrorCode::invalid_argument);
  refused(pool.new_disk(256ull << 40), ErrorCode::invalid_argument);
  refused(*pool.disks[0], ErrorCode::pool_exists);  // Its own.
  refused(pool.new_disk(pool.disk.newest()), ErrorCode::pool_exists);
  {
    Several other(4, 16 * MiB);
    set_up(other, {16 * MiB});
    refused(pool.new_disk(other.disks[0]->newest()), ErrorCode::pool_exists);
    refused(pool.new_disk(other.disk.newest()), ErrorCode::pool_exists);
    // A pool whose first superblock was erased is one still.
    sim::DiskImage half = other.disk.newest();
    half.write(0, std::vector<std::byte>(4096));
    refused(pool.new_disk(half), ErrorCode::pool_exists);
    sim::DiskImage flipped = other.disks[0]->newest();
    flipped.write(40, std::vector<std::byte>(1, std::byte{0x55}));
    refused(pool.new_disk(flipped), ErrorCode::pool_exists);
    // None of them is this pool's to attach either.
    CHECK(pool.attach(*pool.disks.back()).error().code == ErrorCode::not_found);
    CHECK(pool.attach(pool.new_disk(other.disks[0]->newest())).error().code ==
          ErrorCode::not_found);
    // A pool is not made over a device of another one, nor opened through it.
    Fixture over(5, other.disks[0]->newest());
    CHECK(over.create().error().code == ErrorCode::pool_exists);
    CHECK(over.open().error().code == ErrorCode::pool_not_a_pool);
  }
  sim::SimDisk& broken = pool.new_disk(16 * MiB);
  broken.faults = {1, EIO, false, false, true, false, false};
  CHECK(pool.add(broken).error().code == ErrorCode::io_error);
  CHECK(pool.pool->status().devices.size() == 2);
  CHECK(pool.write(*volume, 0, 64 * KiB, 1) == BlockStatus::ok);
  CHECK(pool.add(broken).ok());  // It works the second time.
  for (uint64_t i = 3; i < 32; ++i) REQUIRE(pool.add(pool.new_disk(16 * MiB)).ok());
  refused(pool.new_disk(16 * MiB), ErrorCode::limit_exceeded);
  CHECK(pool.check() == "");
  pool.shut();
  REQUIRE(pool.open().ok());
  CHECK(pool.pool->status().devices.size() == 32);
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: several adds follow each other; one in a closing pool is refused") {
  Several pool(6, 16 * MiB);
  REQUIRE(pool.create().ok());
  int good = 0;
  for (int i = 0; i < 3; ++i) {
    pool.pool->add_device(pool.channels_to(pool.new_disk(16 * MiB)),
                          [&](Result<PoolDeviceStatus> result) { good += result.ok() ? 1 : 0; });
  }
  REQUIRE(pool.world.run_until([&] { return good == 3; }));
  CHECK(pool.check() == "");
  std::optional<ErrorCode> late;
  pool.pool->add_device(pool.channels_to(pool.new_disk(16 * MiB)),
                        [&](Result<PoolDeviceStatus> result) {
                          if (!result.ok()) late = result.error().code;
                        });
  pool.shut();
  CHECK(late == ErrorCode::closed);
  REQUIRE(pool.open().ok());
  CHECK(pool.pool->status().devices.size() == 4);
}

TEST_CASE("store devices: data is spread by the share of free chunks, but for open runs") {
  Several pool(7, 256 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.add(pool.new_disk(256 * MiB)).ok());
  REQUIRE(pool.add(pool.new_disk(512 * MiB)).ok());
  // Eight layers that grow in turn, up to three quarters of the pool.
  std::vector<Volume*> volumes;
  for (uint64_t n = 1; n <= 8; ++n) {
    REQUIRE(pool.create_layer(n, 256 * MiB).ok());
    volumes.push_back(pool.open_volume(n));
  }
  for (uint64_t i = 0; i < 96; ++i) {
    for (Volume* volume : volumes) {
      REQUIRE(pool.write(*volume, i * MiB, MiB, i + 1) == BlockStatus::ok);
    }
  }
  std::vector<double> shares;
  for (uint32_t i = 0; i < 3; ++i) {
    const PoolDeviceStatus status = pool.device(i);
    shares.push_back(static_cast<double>(status.free_chunks) /
                     static_cast<double>(status.total_chunks));
  }
  MESSAGE("free shares of 256, 256 and 512 MiB: " << shares[0] << ", " << shares[1] << ", "
                                                   << shares[2]);
  const auto [least, most] = std::minmax_element(shares.begin(), shares.end());
  // Each of eight layers has a run open, of a sixteenth of its device, which the choice of the next
  // run does not foresee.
  CHECK(*most - *least < 0.25);
  // A megabyte lies together: few device writes for it, though eight layers grew in turn.
  uint64_t writes = pool.disk.writes;
  for (auto& disk : pool.disks) writes += disk->writes;
  CHECK(writes < 8 * 96 * 3);
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: the first device's last 64th is left to metadata while there is room") {
  Several pool(8, 32 * MiB);
  Volume* volume = set_up(pool, {32 * MiB});
  uint64_t chunks = 0;
  const auto grow = [&] {
    return pool.write(*volume, chunks * 64 * KiB, 4 * KiB, chunks + 1) == BlockStatus::ok;
  };
  for (; pool.device(1).free_chunks > 0; ++chunks) {
    REQUIRE(grow());
    CHECK(pool.device(0).free_chunks >= 512 / 64);
  }
  while (chunks < 1024 && grow()) ++chunks;  // Only then data may have the rest.
  CHECK(pool.device(0).free_chunks < 8);
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: missing after open: errors for its own chunks until it is attached") {
  Several pool(9, 16 * MiB);
  Volume* volume = set_up(pool, {16 * MiB});
  pool.fill(*volume, 200);
  REQUIRE(pool.taken(1) > 50);
  pool.shut();
  REQUIRE(pool.open().ok());
  CHECK(pool.device(1).state == State::missing);
  CHECK(pool.check() == "");
  volume = pool.open_volume(1);
  const std::vector<bool> good = pool.readable(*volume, 200);
  const auto lost = static_cast<uint64_t>(std::count(good.begin(), good.end(), false));
  CHECK(lost == pool.taken(1));
  // New chunks come from the first device only, and flushes succeed.
  const uint64_t before = pool.taken(1);
  for (uint64_t i = 200; i < 210; ++i) {
    CHECK(pool.write(*volume, i * 64 * KiB, 4 * KiB, i + 1) == BlockStatus::ok);
  }
  const auto bad = static_cast<uint64_t>(std::find(good.begin(), good.end(), false) - good.begin());
  CHECK(pool.write(*volume, bad * 64 * KiB, 4 * KiB, 1) == BlockStatus::write_error);
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.taken(1) == before);
  // A chunk of it that is freed meanwhile is free, and not taken while the device is away.
  CHECK(pool.zero(*volume, bad * 64 * KiB, 64 * KiB) == BlockStatus::ok);
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.taken(1) == before - 1);
  CHECK(pool.holds(*volume, bad * 64 * KiB, 64 * KiB, 0));
  CHECK(pool.attach(pool.new_disk(16 * MiB)).error().code == ErrorCode::not_found);
  sim::DiskImage cut = pool.disks[0]->newest();
  cut.resize(15 * MiB);
  CHECK(pool.attach(pool.new_disk(cut)).error().code == ErrorCode::pool_truncated);
  const auto attached = pool.attach(*pool.disks[0]);
  REQUIRE(attached.ok());
  CHECK(attached.value().state == State::online);
  CHECK(pool.attach(*pool.disks[0]).error().code == ErrorCode::busy);
  for (uint64_t i = 0; i < 200; ++i) {
    CHECK(pool.holds(*volume, i * 64 * KiB, 64 * KiB, i == bad ? 0 : i + 1));
  }
  for (uint64_t i = 210; i < 400 && pool.device(1).free_chunks > 0; ++i) {
    CHECK(pool.write(*volume, i * 64 * KiB, 4 * KiB, i + 1) == BlockStatus::ok);
  }
  CHECK(pool.taken(1) > before);
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: read and write errors cost their own chunks and are counted") {
  Several pool(10, 16 * MiB, 2);
  Volume* volume = set_up(pool, {16 * MiB});
  pool.fill(*volume, 200);
  REQUIRE(pool.flush(*volume) == BlockStatus::ok);
  pool.disks[0]->faults = {1, EIO, true, true, true, false, false};
  const std::vector<bool> good = pool.readable(*volume, 200);
  const auto lost = static_cast<uint64_t>(std::count(good.begin(), good.end(), false));
  CHECK(lost == pool.taken(1));
  CHECK(pool.device(1).read_errors == lost);
  CHECK(pool.device(0).read_errors == 0);
  for (uint64_t i = 0; i < 200; ++i) {
    TestIo io(BlockOp::write, i * 64 * KiB, 64 * KiB);
    io.fill(i + 1);
    CHECK(pool.run(*volume, io, static_cast<uint32_t>(i % 2)) ==
          (good[i] ? BlockStatus::ok : BlockStatus::write_error));
  }
  CHECK(pool.device(1).write_errors == lost);
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.device(1).state == State::online);
  CHECK(!pool.pool->status().failed);
  pool.disks[0]->faults = {};
  const std::vector<bool> after = pool.readable(*volume, 200);
  CHECK(std::count(after.begin(), after.end(), false) == 0);
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: a failed flush: each volume is told once, the pool goes on without it") {
  Several pool(11, 16 * MiB, 2);
  Volume* first = set_up(pool, {16 * MiB});
  REQUIRE(pool.create_layer(2, 16 * MiB).ok());
  REQUIRE(pool.create_layer(3, 16 * MiB).ok());
  Volume* second = pool.open_volume(2);
  pool.fill(*first, 200);
  pool.fill(*second, 10);
  std::vector<std::string> events;
  pool.pool->on_device_failed([&](const Uuid& uuid, const std::string& reason) {
    CHECK(uuid == pool.device(1).uuid);
    events.push_back(reason);
  });
  pool.disks[0]->faults = failing_flushes();
  // Two flushes under way on both reactors: neither may vouch for anything.
  TestIo one(BlockOp::flush, 0, 0), two(BlockOp::flush, 0, 0);
  first->submit(0, one.io);
  first->submit(1, two.io);
  CHECK(pool.world.run_until([&] { return one.done && two.done; }));
  CHECK(one.io.status == BlockStatus::write_error);
  CHECK(two.io.status == BlockStatus::write_error);
  CHECK(pool.device(1).state == State::failed);
  CHECK(pool.world.run_until([&] { return !events.empty(); }));
  MESSAGE("event: " << events[0]);
  // The next flush of each volume tells of it, the later ones succeed; a volume opened since then
  // has nothing to be told.
  Volume* third = pool.open_volume(3);
  CHECK(pool.flush(*first) == BlockStatus::write_error);
  CHECK(pool.flush(*first) == BlockStatus::ok);
  CHECK(pool.flush(*second) == BlockStatus::write_error);
  CHECK(pool.flush(*second) == BlockStatus::ok);
  CHECK(pool.flush(*third) == BlockStatus::ok);
  CHECK(pool.write(*third, 0, 4 * KiB, 1, true) == BlockStatus::ok);
  CHECK(!pool.pool->status().failed);
  CHECK(events.size() == 1);
  const std::vector<bool> good = pool.readable(*first, 200);
  const uint64_t lost = pool.taken(1);
  CHECK(lost > 0);
  CHECK(std::count(good.begin(), good.end(), true) > 0);
  CHECK(pool.check() == "");

  // After every later open it is failed still, though the disk is well again.
  pool.disks[0]->faults = {};
  pool.shut();
  REQUIRE(pool.open().ok());
  CHECK(pool.device(1).state == State::failed);
  CHECK(pool.attach(*pool.disks[0]).error().code == ErrorCode::pool_failed);
  first = pool.open_volume(1);
  CHECK(pool.readable(*first, 200) == good);
  CHECK(pool.flush(*first) == BlockStatus::ok);
  // Its chunks can be freed, and nothing is put there.
  for (uint64_t i = 0; i < 200; ++i) {
    if (good[i]) continue;
    CHECK(pool.write(*first, i * 64 * KiB, 64 * KiB, 7) == BlockStatus::write_error);
    CHECK(pool.zero(*first, i * 64 * KiB, 64 * KiB) == BlockStatus::ok);
    CHECK(pool.holds(*first, i * 64 * KiB, 64 * KiB, 0));
  }
  CHECK(pool.flush(*first) == BlockStatus::ok);
  const auto at = static_cast<uint64_t>(std::find(good.begin(), good.end(), false) - good.begin());
  CHECK(pool.write(*first, at * 64 * KiB, 64 * KiB, 8) == BlockStatus::ok);
  CHECK(pool.holds(*first, at * 64 * KiB, 64 * KiB, 8));
  CHECK(pool.taken(1) <= 10);  // The second layer's.
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: a commit meets the failure: the catalog goes on, a FUA write is told") {
  Several pool(12, 16 * MiB);
  Volume* volume = set_up(pool, {16 * MiB});
  pool.disks[0]->faults = failing_flushes();
  TestIo durable(BlockOp::write, 0, 4 * KiB);
  durable.fill(1);
  durable.io.fua = true;
  CHECK(pool.run(*volume, durable) == BlockStatus::write_error);
  CHECK(pool.device(1).state == State::failed);
  CHECK(pool.create_layer(2, MiB).ok());
  CHECK(pool.flush(*volume) == BlockStatus::write_error);
  CHECK(pool.flush(*volume) == BlockStatus::ok);
  CHECK(pool.checkpoint().ok());
  CHECK(pool.check() == "");
}

TEST_CASE("store devices: the first device fails: the pool fails, as with one device") {
  Several pool(13, 16 * MiB);
  Volume* volume = set_up(pool, {16 * MiB});
  REQUIRE(pool.write(*volume, 0, 64 * KiB, 1) == BlockStatus::ok);
  pool.disk.faults = failing_flushes();
  CHECK(pool.flush(*volume) == BlockStatus::pool_failed);
  CHECK(pool.add(pool.new_disk(16 * MiB)).error().code == ErrorCode::pool_failed);
  CHECK(pool.pool->status().failed);
  CHECK(pool.holds(*volume, 0, 64 * KiB, 1));
  pool.disk.faults = {};
  pool.close_volume(*volume);
  CHECK(pool.close().error().code == ErrorCode::pool_failed);
}

TEST_CASE("store devices: blocks of 512 bytes on a disk of 4 KiB sectors that came later") {
  Several pool(14, 16 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 16 * MiB, 512).ok());
  Volume* volume = pool.open_volume(1);
  REQUIRE(pool.write(*volume, 512, 1024, 1) == BlockStatus::ok);
  sim::SimDisk& coarse = pool.new_disk(16 * MiB);
  coarse.geometry.logical_block_bytes = 4096;
  coarse.geometry.memory_alignment_bytes = 4096;
  REQUIRE(pool.add(coarse).ok());
  for (uint64_t i = 1; i < 200; ++i) {
    CHECK(pool.write(*volume, i * 64 * KiB + 512, 1024, i) == BlockStatus::ok);
  }
  CHECK(pool.taken(1) > 0);
  for (uint64_t i = 1; i < 200; ++i) {
    CHECK(pool.holds(*volume, i * 64 * KiB + 512, 1024, i));
    CHECK(pool.holds(*volume, i * 64 * KiB, 512, 0));
  }
  CHECK(pool.holds(*volume, 512, 1024, 1));
  CHECK(pool.check() == "");
}

// ---- Ends in the middle -------------------------------------------------------------------------

namespace {

// The disks as the end of the process, or of the machine, leaves them now.
struct Remains {
  std::vector<sim::DiskImage> images;
  sim::SimDisk::KillSafe kill_safe;

  static Remains of(Several& pool, bool kill, sim::SimRandom& random) {
    Remains remains;
    std::vector<sim::SimDisk*> all{&pool.disk};
    for (auto& disk : pool.disks) all.push_back(disk.get());
    for (sim::SimDisk* disk : all) {
      remains.images.push_back(kill ? disk->after_kill(random) : disk->after_crash(random));
    }
    remains.kill_safe = pool.disk.kill_safe;
    if (!kill) remains.kill_safe.boot[0] ^= std::byte{0xff};
    return remains;
  }
};

// Opens what is left and attaches, or adds, every further disk.
void revive(Several& after, const Remains& remains) {
  after.disk.kill_safe = remains.kill_safe;
  REQUIRE(after.open().ok());
  for (size_t i = 1; i < remains.images.size(); ++i) after.new_disk(remains.images[i]);
}

}  // namespace

TEST_CASE("store devices: ends at any operation while a device is added: there or not") {
  uint64_t states = 0, with = 0, without = 0;
  for (const bool kill : {false, true}) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      INFO("seed " << seed << (kill ? ", kill" : ", power loss"));
      Several pool(seed, 16 * MiB);
      REQUIRE(pool.create().ok());
      REQUIRE(pool.create_layer(1, 16 * MiB).ok());
      Volume* volume = pool.open_volume(1);
      REQUIRE(pool.write(*volume, 0, 256 * KiB, 1) == BlockStatus::ok);
      REQUIRE(pool.flush(*volume) == BlockStatus::ok);
      sim::SimDisk& disk = pool.new_disk(16 * MiB);
      if (seed % 2 == 0) pool.disk.max_delay_ns = disk.max_delay_ns = 20'000;
      sim::SimRandom random(seed * 977);
      bool added = false;
      const auto crash = [&] {
        ++states;
        Several after(seed + 100, sim::DiskImage(1));
        const Remains remains = Remains::of(pool, kill, random);
        Several back(seed + 100, remains.images[0]);
        revive(back, remains);
        const uint64_t count = back.pool->status().devices.size();
        CHECK((count == 2 || !added));
        ++(count == 2 ? with : without);
        CHECK(back.check() == "");
        const auto joined =
            count == 2 ? back.attach(*back.disks[0]) : back.add(*back.disks[0]);
        if (!joined.ok()) MESSAGE(joined.error().message);
        CHECK(joined.ok());
        Volume* again = back.open_volume(1);
        REQUIRE(again != nullptr);
        CHECK(back.holds(*again, 0, 256 * KiB, 1));
        CHECK(back.write(*again, 8 * MiB, 4 * KiB, 2) == BlockStatus::ok);
        CHECK(back.flush(*again) == BlockStatus::ok);
        CHECK(back.check() == "");
      };
      const auto look = [&](const DeviceOp& op) {
        if (op.kind != DeviceOpKind::read) crash();
      };
      pool.disk.before_operation = look;
      disk.before_operation = look;
      TestIo beside(BlockOp::write, 4 * MiB, 128 * KiB);
      beside.fill(3);
      volume->submit(0, beside.io);
      REQUIRE(pool.add(disk).ok());
      added = true;
      crash();
      CHECK(pool.world.run_until([&] { return beside.done; }));
      CHECK(pool.flush(*volume) == BlockStatus::ok);
      CHECK(pool.checkpoint().ok());
      crash();
      pool.disk.before_operation = nullptr;
      disk.before_operation = nullptr;
    }
  }
  MESSAGE("store devices: " << states << " ends while adding: " << with << " with the device, "
                            << without << " without");
  CHECK(with > 20);
  CHECK(without > 20);
}

namespace {

// Random writes, flushes, frees and durable writes over three devices, one of which may fail; at
// sampled operations of any disk everything ends, and what comes back is compared with what each
// block may hold.
class DevicesCrash {
 public:
  DevicesCrash(uint64_t seed, bool failing)
      : seed_(seed), random_(seed * 131 + 5), pool_(seed, 16 * MiB, 1 + seed % 2) {
    volume_ = set_up(pool_, {16 * MiB, 16 * MiB});
    if (seed % 3 != 0) {
      pool_.disk.max_delay_ns = 20'000;
      for (auto& disk : pool_.disks) disk->max_delay_ns = 20'000;
    }
    fail_at_ = failing ? 20 + random_.below(40) : UINT64_MAX;
  }

  void run(uint64_t steps) {
    const auto look = [this](const DeviceOp& op) {
      if (op.kind != DeviceOpKind::read && !looking_ && random_.one_in(4)) crash();
    };
    pool_.disk.before_operation = look;
    for (auto& disk : pool_.disks) disk->before_operation = look;
    for (uint64_t i = 0; i < steps; ++i) {
      if (i == fail_at_) pool_.disks[0]->faults = failing_flushes();
      step();
    }
    CHECK(pool_.check() == "");
    pool_.disk.before_operation = nullptr;
    for (auto& disk : pool_.disks) disk->before_operation = nullptr;
    if (fail_at_ < steps) {
      CHECK(pool_.device(1).state == State::failed);
      CHECK(told_ >= 1);
    } else {
      CHECK(told_ == 0);
    }
  }
  uint64_t states() const { return states_; }
  uint64_t errors() const { return errors_; }

 private:
  static constexpr uint64_t blocks = 512;  // Of 32 KiB apart: half a chunk each.

  void step() {
    const uint64_t dice = random_.below(10);
    const auto reactor = static_cast<uint32_t>(random_.below(pool_.world.loop_count()));
    if (dice < 2) {
      TestIo io(BlockOp::flush, 0, 0);
      const BlockStatus status = pool_.run(*volume_, io, reactor);
      if (status == BlockStatus::ok) return flushed();
      CHECK(status == BlockStatus::write_error);
      ++told_;
      return;
    }
    if (dice == 2 && random_.one_in(4)) {
      CHECK(pool_.checkpoint().ok());
      return;
    }
    const uint64_t block = random_.below(blocks);
    const uint64_t offset = block * 32 * KiB;
    std::vector<uint64_t>& may = may_hold_[block];
    if (may.empty()) may.push_back(0);
    if (dice == 3) {
      may.push_back(0);
      CHECK(pool_.zero(*volume_, offset, 32 * KiB) == BlockStatus::ok);
      surely_[block] = may.size() - 1;
      return;
    }
    const uint64_t stamp = ++stamp_;
    TestIo io(BlockOp::write, offset, 4 * KiB);
    io.fill(stamp);
    io.io.fua = dice == 4;
    // Until it is answered, and for good when it fails, it may have happened or not.
    may.push_back(stamp);
    const BlockStatus status = pool_.run(*volume_, io, reactor);
    if (status == BlockStatus::ok) {
      surely_[block] = may.size() - 1;
      if (io.io.fua) keep_from(block, may.size() - 1);
    } else if (status != BlockStatus::ok) {
      CHECK(status == BlockStatus::write_error);
      CHECK(fail_at_ != UINT64_MAX);
    }
  }

  // What was acknowledged is durable now: a block holds its last acknowledged value or one whose
  // write failed later.
  void flushed() {
    for (const auto& [block, sure] : std::map(surely_)) keep_from(block, sure);
  }
  void keep_from(uint64_t block, size_t first) {
    std::vector<uint64_t>& may = may_hold_[block];
    may.erase(may.begin(), may.begin() + static_cast<ptrdiff_t>(first));
    surely_[block] = 0;
  }

  void crash() {
    looking_ = true;
    ++states_;
    const bool kill = random_.one_in(3);
    INFO("seed " << seed_ << ", state " << states_ << (kill ? ", kill" : ", power loss"));
    const Remains remains = Remains::of(pool_, kill, random_);
    Several back(seed_ + 1000, remains.images[0]);
    revive(back, remains);
    CHECK(back.check() == "");
    for (uint32_t i = 1; i < 3; ++i) {
      if (back.device(i).state == State::missing) CHECK(back.attach(*back.disks[i - 1]).ok());
    }
    const bool lost = back.device(1).state == State::failed;
    CHECK((!lost || pool_.disks[0]->faults.fail_at != 0));
    Volume* volume = back.open_volume(1);
    REQUIRE(volume != nullptr);
    for (const auto& [block, may] : may_hold_) compare(back, *volume, block, may, lost);
    CHECK(back.check() == "");
    looking_ = false;
  }

  void compare(Several& back, Volume& volume, uint64_t block, const std::vector<uint64_t>& may,
               bool lost) {
    TestIo io(BlockOp::read, block * 32 * KiB, 4 * KiB);
    if (back.run(volume, io) != BlockStatus::ok) {
      CHECK(lost);
      ++errors_;
      return;
    }
    // The write itself is not atomic: each sector for itself.
    TestIo expected(BlockOp::write, block * 32 * KiB, 4 * KiB);
    for (uint64_t at = 0; at < 4 * KiB; at += 512) {
      const bool known = std::any_of(may.begin(), may.end(), [&](uint64_t stamp) {
        std::memset(expected.memory.data(), 0, expected.memory.size());
        if (stamp != 0) expected.fill(stamp);
        return std::memcmp(io.memory.data() + at, expected.memory.data() + at, 512) == 0;
      });
      if (!known) INFO("block " << block << ", sector " << at / 512);
      CHECK(known);
    }
  }

  uint64_t seed_;
  sim::SimRandom random_;
  Several pool_;
  Volume* volume_ = nullptr;
  std::map<uint64_t, std::vector<uint64_t>> may_hold_;
  std::map<uint64_t, size_t> surely_;  // By block: the last acknowledged of those.
  uint64_t fail_at_ = UINT64_MAX;
  uint64_t stamp_ = 0;
  uint64_t told_ = 0;
  uint64_t states_ = 0;
  uint64_t errors_ = 0;
  bool looking_ = false;
};

}  // namespace

TEST_CASE("store devices: ends at any moment over three devices: durable is durable on all") {
  uint64_t states = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    DevicesCrash crash(seed, false);
    crash.run(80);
    states += crash.states();
  }
  MESSAGE("store devices: " << states << " ends over three devices");
  CHECK(states > 200);
}

TEST_CASE("store devices: ends at any moment while one fails: an error or a right value") {
  uint64_t states = 0, errors = 0;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    DevicesCrash crash(seed, true);
    crash.run(90);
    states += crash.states();
    errors += crash.errors();
  }
  MESSAGE("store devices: " << states << " ends while a device fails, " << errors
                            << " blocks lost with it");
  CHECK(states > 200);
  CHECK(errors > 100);
}
