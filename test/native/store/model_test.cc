// Random histories against a reference: what every block may hold (history.h), and what every layer
// takes, shares and would give back (shape.h).
#include <cstdlib>
#include <set>

#include "../report.h"
#include "scene.h"
#include "shape.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

enum class Kind : uint8_t {
  // Nothing is under way at a transaction, and zeroes overlap nothing: every figure is known.
  exact,
  // Everything overlaps everything, in a pool that is full at times.
  wild,
};

class Model {
 public:
  Model(uint64_t seed, Kind kind)
      : scene_(seed, kind == Kind::exact ? 64 * MiB : 16 * MiB,
               1 + static_cast<uint32_t>(seed / 2 % 3)),
        random_(seed * 77 + 1),
        kind_(kind) {
    scene_.fixture.options.map_cache_bytes = 64 * KiB;  // Pages come and go all the time.
    scene_.fixture.disk.max_delay_ns = seed % 4 < 2 ? 0 : 50'000;
    scene_.on_end = [this](uint64_t number, const BlockIo& io) {
      ++operations_;
      if (kind_ == Kind::exact && io.status == BlockStatus::ok) shape(number, io);
    };
  }

  void run(uint64_t steps) {
    REQUIRE(scene_.fixture.create().ok());
    for (uint64_t i = 0; i < steps && scene_.failure.empty(); ++i) one_step();
    if (scene_.failure.empty()) reopen();
    if (scene_.failure.empty()) verify_all();
    if (scene_.failure.empty() && kind_ == Kind::exact) compare_figures();
    scene_.wait();
  }
  const std::string& problem() const { return scene_.failure; }
  uint64_t operations() const { return operations_; }
  uint64_t refused() const { return scene_.refused; }
  std::map<std::string, uint64_t> seen;

 private:
  using Layers = std::map<uint64_t, Facts::Layer>;
  const Layers& layers() const { return scene_.history.now.layers; }
  void fail(const std::string& what) {
    if (scene_.failure.empty()) scene_.failure = what;
  }

  uint64_t any(bool frozen) {
    std::vector<uint64_t> found;
    for (const auto& [number, layer] : layers()) {
      if (layer.frozen == frozen) found.push_back(number);
    }
    return found.empty() ? 0 : found[random_.below(found.size())];
  }

  void one_step() {
    const uint64_t dice = random_.below(1000);
    if (dice < 40 || layers().empty()) return transaction();
    if (dice < 43) return reopen();
    if (dice < 47) return check();
    if (dice < 50) return verify_all();
    if (dice < 53) return differences();
    if (dice < 56 && kind_ == Kind::exact) return compare_figures();
    if (scene_.under_way() > random_.below(12)) return scene_.step_world();
    command();
  }

  // ---- Commands ---------------------------------------------------------------------------------

  void command() {
    const uint64_t number = any(false);
    if (number == 0 || !scene_.volumes.contains(number)) return;
    const Facts::Layer& layer = layers().at(number);
    const uint64_t unit = layer.block_bytes;
    const uint64_t units = layer.size_bytes / unit;
    uint64_t length = 1 + (random_.one_in(4) ? random_.below(300) : random_.below(20));
    const uint64_t start =
        random_.one_in(3) ? random_.below(std::min<uint64_t>(units, 64)) : random_.below(units);
    length = std::min(length, units - start);
    static constexpr BlockOp ops[] = {BlockOp::read,  BlockOp::read,         BlockOp::write,
                                      BlockOp::write, BlockOp::write,        BlockOp::flush,
                                      BlockOp::write_zeroes, BlockOp::deallocate};
    const BlockOp op = ops[random_.below(8)];
    if (op == BlockOp::deallocate && random_.one_in(4)) length = units - start;
    const auto reactor =
        static_cast<uint32_t>(random_.below(scene_.fixture.world.loop_count()));
    if (op == BlockOp::flush) return scene_.begin(number, op, 0, 0, false, reactor);
    if (kind_ == Kind::exact && overlaps(number, op, start * unit, length * unit)) return;
    scene_.begin(number, op, start * unit, length * unit, random_.one_in(5), reactor,
                 size_t{4096} << random_.below(6));
  }

  // Zeroes and another change of one block: which was last is not known.
  bool overlaps(uint64_t number, BlockOp op, uint64_t offset, uint64_t length) const {
    bool found = false;
    const auto zeroes = [](BlockOp each) {
      return each == BlockOp::write_zeroes || each == BlockOp::deallocate;
    };
    scene_.for_each_under_way([&](uint64_t other, const BlockIo& io) {
      if (other != number || io.op == BlockOp::read || io.op == BlockOp::flush) return;
      if (!zeroes(op) && !zeroes(io.op)) return;
      found = found || (offset / 4096 * 4096 < io.offset_bytes + io.length_bytes + 4096 &&
                        io.offset_bytes / 4096 * 4096 < offset + length + 4096);
    });
    return found;
  }

  void shape(uint64_t number, const BlockIo& io) {
    if (io.op == BlockOp::write) shape_.write(number, io.offset_bytes, io.length_bytes);
    if (io.op == BlockOp::write_zeroes || io.op == BlockOp::deallocate) {
      shape_.zero(number, io.offset_bytes, io.length_bytes, layers().at(number).size_bytes);
    }
  }

  // ---- Transactions -----------------------------------------------------------------------------

  void transaction() {
    scene_.wait_for_commit();
    if (kind_ == Kind::exact) scene_.wait();
    const uint64_t number = any(false);
    const uint64_t snapshot = any(true);
    const bool room = layers().size() < 14;
    switch (random_.below(12)) {
      case 0: return room || number == 0 ? create() : void();
      case 1:
      case 2: return room ? take_snapshots() : void();
      case 3: return room && snapshot != 0 ? clone_snapshot(snapshot) : void();
      case 4: return room && number != 0 ? clone_volume(number) : void();
      case 5: return roll_back(number, snapshot);
      case 6:
      case 7:
      case 8: return snapshot != 0 ? remove_snapshot(snapshot) : void();
      case 9: return number != 0 ? remove_volume(number) : void();
      case 10: return number != 0 ? resize(number) : void();
      default: return number != 0 ? reserve(number) : void();
    }
  }

  // Waits for it, as do most who ask for one; the commands under way go on.
  bool commit(const char* what, std::optional<ErrorCode> refusal = ErrorCode::no_space) {
    scene_.commit(refusal);
    scene_.wait_for_commit();
    ++seen[what + std::string(scene_.last_refused ? ", refused" : "")];
    return !scene_.last_refused;
  }

  void create() {
    const uint64_t number = ++next_;
    const uint32_t block = random_.one_in(3) ? 512 : 4096;
    const uint64_t most = kind_ == Kind::exact ? 200 : 1500;
    const uint64_t size =
        (1 + random_.below(most)) * 4096 + (block == 512 ? random_.below(8) * 512 : 0);
    scene_.create(number, size, block, random_.one_in(8));
    if (!commit("volume")) return;
    shape_.create(number, size, 0);
    scene_.open(number);
  }

  void take_snapshots() {
    std::vector<uint64_t> live;
    for (const auto& [number, layer] : layers()) {
      if (!layer.frozen && random_.one_in(2)) live.push_back(number);
    }
    if (live.empty()) return;
    std::vector<std::pair<uint64_t, uint64_t>> tops;
    for (const uint64_t number : live) {
      tops.emplace_back(number, ++next_);
      scene_.snapshot(number, next_);
    }
    if (!commit(live.size() > 1 ? "group snapshot" : "snapshot")) return;
    for (const auto& [from, top] : tops) {
      shape_.create(top, layers().at(top).size_bytes, from);
    }
  }

  void clone_snapshot(uint64_t snapshot) {
    scene_.clone(snapshot, ++next_);
    if (!commit("clone")) return;
    shape_.create(next_, layers().at(next_).size_bytes, snapshot);
    scene_.open(next_);
  }

  // Its frozen layer stays, unseen, under both.
  void clone_volume(uint64_t number) {
    const uint64_t top = ++next_;
    const uint64_t clone = ++next_;
    scene_.snapshot(number, top);
    scene_.clone(number, clone);
    scene_.remove(number);
    if (!commit("clone of a volume")) return;
    for (const uint64_t each : {top, clone}) {
      shape_.create(each, layers().at(each).size_bytes, number);
    }
    shape_.remove(number);
    scene_.open(clone);
  }

  void roll_back(uint64_t number, uint64_t snapshot) {
    if (snapshot == 0 || number == 0) return;
    if (layers().at(number).block_bytes != layers().at(snapshot).block_bytes ||
        layers().at(number).size_bytes < layers().at(snapshot).size_bytes) {
      return;
    }
    // A read that is under way may see either side; the reference knows one.
    scene_.wait();
    const uint64_t top = ++next_;
    scene_.rollback(number, snapshot, top);
    const bool removes = random_.one_in(2);
    if (removes) scene_.remove(number);
    if (kind_ == Kind::wild && scene_.volumes.contains(number)) {
      scene_.begin(number, BlockOp::write, 0, 4096);
    }
    if (!commit("rollback")) return;
    shape_.create(top, layers().at(top).size_bytes, snapshot);
    if (removes) shape_.remove(number);
  }

  void remove_snapshot(uint64_t snapshot) {
    scene_.remove(snapshot);
    if (commit("snapshot deleted")) shape_.remove(snapshot);
  }

  void remove_volume(uint64_t number) {
    if (layers().size() < 3) return;
    scene_.wait();
    scene_.close(number);
    scene_.remove(number);
    if (commit("volume deleted")) shape_.remove(number);
  }

  void resize(uint64_t number) {
    const Facts::Layer layer = layers().at(number);
    const uint64_t units = layer.size_bytes / layer.block_bytes;
    if (random_.one_in(2)) {
      const uint64_t size = layer.size_bytes + random_.below(100) * layer.block_bytes;
      scene_.resize(number, size);
      if (!commit("grow")) return;
      shape_.resize(number, size);
      if (scene_.volumes.at(number)->size_bytes() != size) fail("the volume has another size");
      return;
    }
    // Shrinking gives up a tail that holds nothing; it is refused when a snapshot holds some of it.
    const uint64_t size = (1 + random_.below(units)) * layer.block_bytes;
    if (size == layer.size_bytes) return;
    scene_.wait();
    if (random_.one_in(2)) {
      scene_.begin(number, BlockOp::deallocate, size, layer.size_bytes - size);
      scene_.wait();
    }
    scene_.close(number);
    scene_.resize(number, size);
    if (commit("shrink", ErrorCode::busy)) {
      shape_.resize(number, size);
      // What it gave up reads as zeroes when it grows again.
      layers().at(number).content->cut(size / 512);
    }
    scene_.open(number);
  }

  void reserve(uint64_t number) {
    scene_.reserve(number, random_.one_in(2));
    commit("reserve");
  }

  // ---- Judging ----------------------------------------------------------------------------------

  void check() {
    scene_.wait();
    if (const std::string problems = scene_.fixture.check(); !problems.empty()) {
      fail("check: " + problems);
    }
    ++seen["check"];
  }

  std::vector<std::byte> read_all(uint64_t number) {
    const Facts::Layer& layer = layers().at(number);
    const bool is_open = scene_.volumes.contains(number);
    Volume* volume = is_open ? scene_.volumes.at(number)
                             : scene_.fixture.open_volume(number, layer.frozen);
    REQUIRE(volume != nullptr);
    TestIo io(BlockOp::read, 0, layer.size_bytes);
    std::memset(io.memory.data(), 0xee, io.memory.size());
    if (scene_.fixture.run(*volume, io) != BlockStatus::ok) fail("a read failed");
    if (!is_open) scene_.fixture.close_volume(*volume);
    return {io.data().begin(), io.data().end()};
  }

  void verify_all() {
    scene_.wait();
    for (const auto& [number, layer] : layers()) {
      const std::string what = judge_content(*layer.content, read_all(number),
                                             {Certain::completed, 0, UINT64_MAX, layer.frozen});
      if (!what.empty()) return fail("layer " + std::to_string(number) + ": " + what);
    }
    ++seen["everything read"];
  }

  std::vector<LayerRange> ranges(uint64_t number, uint64_t since) {
    std::vector<LayerRange> all;
    std::optional<uint64_t> next = 0;
    while (next.has_value()) {
      std::optional<Result<LayerRanges>> answer;
      const auto limit = static_cast<uint32_t>(1 + random_.below(20));
      scene_.fixture.pool->ranges(uuid_of(number), since == 0 ? nil_uuid : uuid_of(since), *next,
                                  limit, [&](Result<LayerRanges> result) {
                                    answer = std::move(result);
                                  });
      CHECK(scene_.fixture.world.run_until([&] { return answer.has_value(); }));
      if (!answer->ok()) {
        fail("ranges: " + answer->error().message);
        return all;
      }
      const LayerRanges& part = answer->value();
      if (part.ranges.size() > limit) fail("more ranges than asked for");
      if (part.next_offset_bytes.has_value() && *part.next_offset_bytes <= *next) {
        fail("ranges do not advance");
        return all;
      }
      all.insert(all.end(), part.ranges.begin(), part.ranges.end());
      next = part.next_offset_bytes;
    }
    return all;
  }

  // The older layer with the differences applied is the newer one.
  void differences() {
    scene_.wait();
    if (layers().empty()) return;
    auto at = layers().begin();
    std::advance(at, static_cast<ptrdiff_t>(random_.below(layers().size())));
    const uint64_t number = at->first;
    const uint64_t since = random_.one_in(3) ? 0 : any(true);
    if (since == number) return;
    const std::vector<std::byte> newer = read_all(number);
    std::vector<std::byte> older(newer.size());
    if (since != 0) older = read_all(since);
    older.resize(newer.size());
    uint64_t end = 0;
    std::vector<bool> data(newer.size() / 4096 + 1);
    for (const LayerRange& range : ranges(number, since)) {
      const uint64_t to = range.offset_bytes + range.length_bytes;
      if (range.offset_bytes < end || range.length_bytes == 0 || to > newer.size()) {
        return fail("ranges out of order, empty or beyond the end");
      }
      end = to;
      for (uint64_t b = range.offset_bytes / 4096; b * 4096 < to; ++b) data[b] = !range.zero;
      if (range.zero) {
        std::memset(older.data() + range.offset_bytes, 0, range.length_bytes);
      } else {
        std::memcpy(older.data() + range.offset_bytes, newer.data() + range.offset_bytes,
                    range.length_bytes);
      }
    }
    if (older != newer) {
      return fail("the differences of layer " + std::to_string(number) + " since " +
                  std::to_string(since) + " are not all of them");
    }
    for (uint64_t b = 0; since == 0 && kind_ == Kind::exact && b * 4096 < newer.size(); ++b) {
      if (data[b] != shape_.shows_data(number, b)) {
        return fail("the ranges of layer " + std::to_string(number) + " are wrong at block " +
                    std::to_string(b));
      }
    }
    ++seen["differences"];
  }

  void compare_figures() {
    scene_.wait();
    scene_.fixture.settle();
    for (const auto& [number, layer] : layers()) {
      const LayerUsage usage = scene_.fixture.pool->usage(uuid_of(number)).value();
      const Shape::Figures figures = shape_.figures(number);
      const auto same = [&](const char* what, uint64_t said, uint64_t counted) {
        if (said == counted) return;
        fail("layer " + std::to_string(number) + " says " + std::to_string(said) + " " + what +
             ", the reference " + std::to_string(counted));
      };
      same("blocks mapped", usage.mapped_bytes / 4096, figures.mapped);
      same("blocks of its own", usage.own_bytes / 4096, figures.own);
      same("chunks", usage.allocated_bytes / (64 * KiB), figures.allocated);
      same("children", usage.children, figures.children);
      same("chunks to come free", usage.frees_bytes / (64 * KiB), shape_.frees(number));
    }
    const PoolStatus status = scene_.fixture.pool->status();
    if (status.data_chunks != shape_.chunks()) fail("the pool counts other data chunks");
    if (status.hidden_layers != shape_.hidden()) fail("the pool counts other hidden layers");
    ++seen["figures compared"];
  }

  void reopen() {
    scene_.wait();
    std::vector<uint64_t> open;
    for (const auto& [number, volume] : scene_.volumes) open.push_back(number);
    for (const uint64_t number : open) scene_.close(number);
    REQUIRE(scene_.fixture.close().ok());
    REQUIRE(scene_.fixture.open().ok());
    for (const uint64_t number : open) scene_.open(number);
    ++seen["reopened"];
  }

  Scene scene_;
  Shape shape_;
  sim::SimRandom random_;
  const Kind kind_;
  uint64_t next_ = 0;
  uint64_t operations_ = 0;
};

}  // namespace

TEST_CASE("store model: random histories agree with the reference") {
  ashlar::testing::Report report("model", {"P2", "P3", "P4"});
  uint64_t seed = 1;
  const bool given = ashlar::testing::given_seed(seed);
  const uint64_t first = seed;
  const uint64_t budget = 200'000 * ashlar::testing::soak();
  uint64_t operations = 0;
  uint64_t refused = 0;
  std::map<std::string, uint64_t> seen;
  for (bool more = true; more; ++seed) {
    Model model(seed, seed % 2 == 1 ? Kind::exact : Kind::wild);
    model.run(6000);
    operations += model.operations();
    refused += model.refused();
    for (const auto& [what, times] : model.seen) seen[what] += times;
    if (!model.problem().empty()) {
      FAIL_CHECK("model: seed " << seed << ": " << model.problem()
                                << "; replay with ASHLAR_SEED=" << seed);
    }
    more = !given && operations < budget && model.problem().empty();
  }
  report.count("operations", operations);
  report.count("writes that found the pool full", refused);
  for (const auto& [what, times] : seen) report.count(what, times);
  report.seed(std::to_string(first) + ".." + std::to_string(seed - 1));
  MESSAGE(report.line());
  report.write();
  if (given) return;
  CHECK(refused > 0);
  for (const char* what :
       {"check", "clone", "clone of a volume", "differences", "everything read",
        "figures compared", "group snapshot", "grow", "reopened", "reserve", "reserve, refused",
        "rollback", "shrink", "shrink, refused", "snapshot", "snapshot deleted", "volume",
        "volume deleted"}) {
    INFO("never happened: " << what);
    CHECK(seen[what] > 0);
  }
}
