// A random history against a reference model: what every block may hold, and what usage must be.
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

// The reference: sectors of 512 bytes, each the stamp it was last written with; 0: zeroes.
struct ModelVolume {
  uint64_t number = 0;
  uint64_t parent = 0;
  uint32_t block_bytes = 4096;
  std::vector<uint64_t> sectors;
  Volume* open = nullptr;
  bool frozen = false;  // A snapshot, or a layer that another stands on.
};

struct Flight {
  std::unique_ptr<TestIo> io;
  ModelVolume* volume;
  uint64_t stamp;
};

class Model {
 public:
  Model(uint64_t seed, uint32_t loops, uint64_t delay_ns)
      : fixture_(seed, 16 * MiB, loops), random_(seed * 77 + 1), loops_(loops) {
    fixture_.options.map_cache_bytes = 64 * KiB;  // Pages come and go all the time.
    fixture_.disk.max_delay_ns = delay_ns;
  }

  void run(uint64_t steps) {
    REQUIRE(fixture_.create().ok());
    for (uint64_t step = 0; step < steps; ++step) {
      one_step();
      if (failed_) return;
    }
    drain();
    reopen();
    for (auto& [number, volume] : volumes_) verify(volume);
  }
  uint64_t operations() const { return operations_; }
  std::map<std::string, uint64_t> seen;

 private:
  void fail(const char* what) {
    failed_ = true;
    FAIL_CHECK(what);
  }

  ModelVolume* any_open() {
    std::vector<ModelVolume*> open;
    for (auto& [number, volume] : volumes_) {
      if (volume.open != nullptr && !volume.frozen) open.push_back(&volume);
    }
    return open.empty() ? nullptr : open[random_.below(open.size())];
  }

  void one_step() {
    const uint64_t dice = random_.below(1000);
    if (volumes_.empty() || (dice < 8 && volumes_.size() < 12)) return create();
    if (dice < 14) return remove();
    if (dice < 22) return snapshot();
    if (dice < 26) return rollback();
    if (dice < 29) return clone_volume();
    if (dice < 33) return grow();
    if (dice < 37) return reopen();
    if (dice < 41) {
      drain();
      const std::string problems = fixture_.check();
      CHECK(problems == "");
      if (!problems.empty()) fail("check");
      return;
    }
    if (dice < 50) {
      drain();
      if (volumes_.empty()) return;
      auto at = volumes_.begin();
      std::advance(at, static_cast<ptrdiff_t>(random_.below(volumes_.size())));
      verify(at->second);
      return;
    }
    if (flights_.size() > random_.below(12)) {
      fixture_.world.step();
      reap();
      return;
    }
    submit();
  }

  void submit() {
    ModelVolume* volume = any_open();
    if (volume == nullptr) {
      for (auto& [number, each] : volumes_) open(each);
      return;
    }
    const uint64_t unit = volume->block_bytes;
    const uint64_t units = volume->sectors.size() * 512 / unit;
    uint64_t length = 1 + (random_.one_in(4) ? random_.below(300) : random_.below(20));
    const uint64_t start =
        random_.one_in(3) ? random_.below(std::min<uint64_t>(units, 64)) : random_.below(units);
    length = std::min(length, units - start);
    static constexpr BlockOp ops[] = {BlockOp::read,  BlockOp::read,         BlockOp::write,
                                      BlockOp::write, BlockOp::write,        BlockOp::flush,
                                      BlockOp::write_zeroes, BlockOp::deallocate};
    const BlockOp op = ops[random_.below(8)];
    if (op == BlockOp::deallocate && random_.one_in(4)) length = units - start;
    if (op == BlockOp::flush) {
      launch(*volume, op, 0, 0);
      return;
    }
    // The model knows no order of overlapping commands: they are kept apart.
    for (const Flight& flight : flights_) {
      const BlockIo& other = flight.io->io;
      if (flight.volume == volume && other.length_bytes > 0 &&
          start * unit < other.offset_bytes + other.length_bytes &&
          other.offset_bytes < (start + length) * unit) {
        return;
      }
    }
    launch(*volume, op, start * unit, length * unit);
  }

  void launch(ModelVolume& volume, BlockOp op, uint64_t offset, uint64_t length) {
    ++operations_;
    const size_t segment = size_t{4096} << random_.below(6);
    auto io = std::make_unique<TestIo>(op, offset, length, segment);
    const uint64_t stamp = ++stamp_;
    if (op == BlockOp::write) io->fill(stamp);
    if (op == BlockOp::read) std::memset(io->memory.data(), 0xee, io->memory.size());
    io->io.fua = op == BlockOp::write && random_.one_in(5);
    io->io.deallocate = random_.one_in(2);
    volume.open->submit(static_cast<uint32_t>(random_.below(loops_)), io->io);
    flights_.push_back({std::move(io), &volume, stamp});
  }

  void reap() {
    for (size_t i = 0; i < flights_.size();) {
      if (!flights_[i].io->done) {
        ++i;
        continue;
      }
      const Flight flight = std::move(flights_[i]);
      flights_.erase(flights_.begin() + static_cast<ptrdiff_t>(i));
      finish(flight);
    }
  }

  void finish(const Flight& flight) {
    const BlockIo& io = flight.io->io;
    ModelVolume& volume = *flight.volume;
    const uint64_t first = io.offset_bytes / 512;
    const uint64_t count = io.length_bytes / 512;
    if (io.op == BlockOp::read) {
      CHECK(io.status == BlockStatus::ok);
      compare(volume, first, count, flight.io->memory.data());
      return;
    }
    // Zeroing a part of a block that an ancestor holds writes that block, and so needs a chunk.
    const bool writes = io.op == BlockOp::write || volume.block_bytes == 512;
    if (io.status == BlockStatus::capacity_exceeded && writes && io.length_bytes > 0) {
      ++seen["capacity exceeded"];
      // Any part of it may have been written.
      TestIo now(BlockOp::read, io.offset_bytes, io.length_bytes);
      CHECK(fixture_.run(*volume.open, now) == BlockStatus::ok);
      for (uint64_t s = 0; s < count; ++s) {
        uint64_t word;
        std::memcpy(&word, now.memory.data() + s * 512, 8);
        const uint64_t stamp = io.op == BlockOp::write ? flight.stamp : 0;
        const uint64_t would = stamp == 0 ? 0 : stamp * 0x9e3779b97f4a7c15ull + (first + s);
        if (word == would) volume.sectors[first + s] = stamp;
      }
      compare(volume, first, count, now.memory.data());
      return;
    }
    CHECK(io.status == BlockStatus::ok);
    if (io.op == BlockOp::flush) return;
    for (uint64_t s = 0; s < count; ++s) {
      volume.sectors[first + s] = io.op == BlockOp::write ? flight.stamp : 0;
    }
  }

  void compare(const ModelVolume& volume, uint64_t first, uint64_t count, const std::byte* data) {
    for (uint64_t s = 0; s < count; ++s) {
      const uint64_t stamp = volume.sectors[first + s];
      uint64_t words[64];
      std::memcpy(words, data + s * 512, 512);
      const uint64_t expected = stamp == 0 ? 0 : stamp * 0x9e3779b97f4a7c15ull + (first + s);
      for (const uint64_t word : words) {
        if (word == expected) continue;
        INFO("volume " << volume.number << " sector " << first + s << " stamp " << stamp);
        fail("a sector holds something else");
        return;
      }
    }
  }

  void drain() {
    REQUIRE(fixture_.world.run_until([&] {
      for (const Flight& flight : flights_) {
        if (!flight.io->done) return false;
      }
      return true;
    }));
    reap();
  }

  void verify(ModelVolume& volume) {
    open(volume);
    if (volume.open == nullptr) return;
    TestIo io(BlockOp::read, 0, volume.sectors.size() * 512);
    CHECK(fixture_.run(*volume.open, io) == BlockStatus::ok);
    compare(volume, 0, volume.sectors.size(), io.memory.data());
  }

  void open(ModelVolume& volume) {
    if (volume.open != nullptr) return;
    volume.open = fixture_.open_volume(volume.number, volume.frozen);
    REQUIRE(volume.open != nullptr);
  }

  void close(ModelVolume& volume) {
    if (volume.open == nullptr) return;
    fixture_.close_volume(*volume.open);
    volume.open = nullptr;
  }

  void create() {
    drain();
    ModelVolume volume;
    volume.number = ++next_;
    volume.block_bytes = random_.one_in(3) ? 512 : 4096;
    uint64_t size =
        (1 + random_.below(3000)) * 4096 + (volume.block_bytes == 512 ? random_.below(8) * 512 : 0);
    if (!volumes_.empty() && random_.one_in(2)) {
      auto at = volumes_.begin();
      std::advance(at, static_cast<ptrdiff_t>(random_.below(volumes_.size())));
      ModelVolume& parent = at->second;
      close(parent);
      parent.frozen = true;
      volume.parent = parent.number;
      volume.block_bytes = parent.block_bytes;
      size = std::max<uint64_t>(size / 4096 * 4096, parent.sectors.size() * 512);
      volume.sectors = parent.sectors;
      ++seen["layer with a parent"];
    }
    volume.sectors.resize(size / 512);
    const Status status =
        fixture_.create_layer(volume.number, size, volume.block_bytes, volume.parent);
    if (!status.ok()) {
      CHECK(status.error().code == ErrorCode::no_space);
      ++seen["no space for a layer"];
      return;
    }
    volumes_.emplace(volume.number, std::move(volume));
  }

  void remove() {
    drain();
    auto at = volumes_.begin();
    std::advance(at, static_cast<ptrdiff_t>(random_.below(volumes_.size())));
    close(at->second);
    CHECK(fixture_.delete_layer(at->first).ok());
    volumes_.erase(at);
    ++seen["deleted"];
  }

  static Change create(uint64_t number, const ModelVolume& like, uint64_t parent, uint64_t from) {
    Change change{};
    change.kind = Change::Kind::create_layer;
    change.layer = uuid_of(number);
    change.parent = uuid_of(parent);
    if (from != 0) change.volume_from = uuid_of(from);
    change.size_bytes = like.sectors.size() * 512;
    change.block_bytes = like.block_bytes;
    return change;
  }
  static Change remove(uint64_t number) {
    Change change{};
    change.kind = Change::Kind::delete_layer;
    change.layer = uuid_of(number);
    return change;
  }

  // Several volumes at one instant, with I/O under way. The open volume goes on at a new layer.
  void snapshot() {
    std::vector<ModelVolume*> chosen;
    for (auto& [number, volume] : volumes_) {
      if (volume.open != nullptr && !volume.frozen && random_.one_in(2)) chosen.push_back(&volume);
    }
    if (chosen.empty() || volumes_.size() > 20) return;
    std::vector<Change> changes;
    std::vector<ModelVolume> frozen;
    for (ModelVolume* volume : chosen) {
      ModelVolume copy = *volume;
      copy.frozen = true;
      copy.open = nullptr;
      frozen.push_back(copy);
      changes.push_back(create(++next_, *volume, volume->number, volume->number));
    }
    // What is under way now may land on either side.
    std::map<uint64_t, std::map<uint64_t, uint64_t>> either;
    reap();
    for (size_t i = 0; i < chosen.size(); ++i) frozen[i].sectors = chosen[i]->sectors;
    for (const Flight& flight : flights_) {
      const BlockIo& io = flight.io->io;
      if (io.op == BlockOp::read || io.op == BlockOp::flush) continue;
      for (uint64_t at = 0; at < io.length_bytes; at += 512) {
        either[flight.volume->number][(io.offset_bytes + at) / 512] =
            io.op == BlockOp::write ? flight.stamp : 0;
      }
    }
    const Status status = fixture_.commit(changes);
    if (!status.ok()) {
      CHECK(status.error().code == ErrorCode::no_space);
      return;
    }
    seen[chosen.size() > 1 ? "group snapshot" : "snapshot"] += 1;
    if (!either.empty()) ++seen["snapshot with writes under way"];
    std::map<uint64_t, ModelVolume> moved;
    for (size_t i = 0; i < chosen.size(); ++i) {
      ModelVolume& old = *chosen[i];
      const uint64_t before = old.number;
      ModelVolume& top = volumes_[next_ - chosen.size() + 1 + i];
      top = old;
      top.number = next_ - chosen.size() + 1 + i;
      for (Flight& flight : flights_) {
        if (flight.volume == &old) flight.volume = &top;
      }
      old = frozen[i];
      open(old);
      TestIo io(BlockOp::read, 0, old.sectors.size() * 512);
      CHECK(fixture_.run(*old.open, io) == BlockStatus::ok);
      for (const auto& [sector, stamp] : either[before]) {
        uint64_t word;
        std::memcpy(&word, io.memory.data() + sector * 512, 8);
        const uint64_t would = stamp == 0 ? 0 : stamp * 0x9e3779b97f4a7c15ull + sector;
        if (word == would) old.sectors[sector] = stamp;
      }
      compare(old, 0, old.sectors.size(), io.memory.data());
    }
  }

  void rollback() {
    ModelVolume* volume = any_open();
    if (volume == nullptr) return;
    std::vector<ModelVolume*> possible;
    for (auto& [number, each] : volumes_) {
      if (each.frozen && each.block_bytes == volume->block_bytes &&
          each.sectors.size() <= volume->sectors.size()) {
        possible.push_back(&each);
      }
    }
    if (possible.empty()) return;
    drain();
    ModelVolume& target = *possible[random_.below(possible.size())];
    const uint64_t number = ++next_;
    const Status status = fixture_.commit(
        {create(number, *volume, target.number, volume->number), remove(volume->number)});
    if (!status.ok()) {
      CHECK(status.error().code == ErrorCode::no_space);
      return;
    }
    ++seen["rollback"];
    ModelVolume top = *volume;
    top.number = number;
    top.sectors = target.sectors;
    top.sectors.resize(volume->sectors.size());
    volumes_.erase(volume->number);
    volumes_[number] = top;
  }

  // The volume's layer stays, hidden, under both.
  void clone_volume() {
    ModelVolume* volume = any_open();
    if (volume == nullptr || volumes_.size() > 20) return;
    drain();
    const uint64_t top = ++next_;
    const uint64_t other = ++next_;
    const Status status =
        fixture_.commit({create(top, *volume, volume->number, volume->number),
                         create(other, *volume, volume->number, 0), remove(volume->number)});
    if (!status.ok()) {
      CHECK(status.error().code == ErrorCode::no_space);
      return;
    }
    ++seen["clone of a volume"];
    ModelVolume copy = *volume;
    volumes_.erase(copy.number);
    copy.number = top;
    volumes_[top] = copy;
    copy.open = nullptr;
    copy.number = other;
    volumes_[other] = copy;
  }

  void grow() {
    drain();
    ModelVolume* volume = any_open();
    if (volume == nullptr) return;
    const uint64_t size = volume->sectors.size() * 512 + random_.below(200) * volume->block_bytes;
    Change change{};
    change.kind = Change::Kind::resize_layer;
    change.layer = uuid_of(volume->number);
    change.size_bytes = size;
    if (!fixture_.commit({change}).ok()) return;
    volume->sectors.resize(size / 512);
    CHECK(volume->open->size_bytes() == size);
  }

  void reopen() {
    drain();
    for (auto& [number, volume] : volumes_) close(volume);
    REQUIRE(fixture_.close().ok());
    REQUIRE(fixture_.open().ok());
    ++seen["reopened"];
  }

  Fixture fixture_;
  sim::SimRandom random_;
  const uint32_t loops_;
  std::map<uint64_t, ModelVolume> volumes_;
  std::vector<Flight> flights_;
  uint64_t next_ = 0;
  uint64_t stamp_ = 0;
  uint64_t operations_ = 0;
  bool failed_ = false;
};

uint64_t seed_from_environment(uint64_t fallback) {
  const char* text = std::getenv("ASHLAR_SEED");
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("store model: random histories agree with the reference") {
  const uint64_t first = seed_from_environment(1);
  const uint64_t rounds = std::getenv("ASHLAR_SEED") != nullptr ? 1 : 24;
  uint64_t operations = 0;
  std::map<std::string, uint64_t> seen;
  for (uint64_t seed = first; seed < first + rounds; ++seed) {
    INFO("replay with ASHLAR_SEED=" << seed);
    Model model(seed, 1 + static_cast<uint32_t>(seed % 3), seed % 2 == 0 ? 0 : 50'000);
    model.run(6000);
    operations += model.operations();
    for (const auto& [name, count] : model.seen) seen[name] += count;
  }
  MESSAGE("store model: " << operations << " operations, seeds " << first << " to "
                          << first + rounds - 1);
  if (rounds > 1) {
    for (const char* name : {"capacity exceeded", "layer with a parent", "deleted", "reopened", "snapshot",
                             "group snapshot", "snapshot with writes under way", "rollback",
                             "clone of a volume"}) {
      INFO(std::string(name));
      CHECK(seen[name] > 0);
    }
  }
}
