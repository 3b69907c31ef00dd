// Snapshots, deletions, clones and rollbacks on a pool whose volumes both reactors are writing all
// the while. Who writes what when is different in every run; what must hold is not: each snapshot
// is one instant between the asking and the answer, never changes, and nothing is lost.
#include "reactors.h"

#include "../report.h"
#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t pool_bytes = 128ull << 20;
constexpr Places places{.chunks = 64, .leaves = 4};

// Runs a scenario with each of its seeds, or with the one given.
void for_seeds(void (*scenario)(Rig::Kind, uint64_t), Rig::Kind kind) {
  uint64_t given = 0;
  const bool replay = ashlar::testing::given_seed(given);
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    const uint64_t chosen = replay ? given : seed;
    INFO("seed " << chosen << "; replay its choices with ASHLAR_SEED=" << chosen);
    scenario(kind, chosen);
    if (replay) break;
  }
}

// One volume or more with a pair of workers each; their snapshots are taken as a group.
class Volumes {
 public:
  Volumes(Rig& rig, uint64_t count, uint64_t seed) : rig_(rig), random_(seed) {
    std::vector<Change> changes;
    for (uint64_t i = 0; i < count; ++i) {
      tops_.push_back(next_++);
      changes.push_back(layer_change(tops_.back(), places));
    }
    rig_.commit(changes);
    for (uint64_t i = 0; i < count; ++i) {
      volumes_.push_back(&rig_.open(tops_[i]));
      Worker::Options options;
      options.seed = seed * 16 + i;
      options.in_place = (seed + i) % 2 == 1;
      pairs_.push_back(std::make_unique<Pair>(rig_, *volumes_[i], places,
                                              Values(places.blocks(), 0), options));
    }
  }
  struct Taken {
    std::vector<uint64_t> layers;
    Span span;
    std::vector<Values> once;  // As it was when it was told.
    bool deleted = false;
  };

  sim::SimRandom& random() { return random_; }
  uint64_t next_layer() { return next_++; }
  void wait_turn() {
    for (auto& pair : pairs_) pair->wait_turn();
  }
  Taken& take() {
    taken_.push_back(std::make_unique<Taken>());
    Taken& taken = *taken_.back();
    std::vector<Change> changes;
    taken.layers = tops_;
    for (uint64_t& top : tops_) {
      const uint64_t under = std::exchange(top, next_++);
      changes.push_back(layer_change(top, places, under, under));
    }
    taken.span = rig_.commit(changes);
    for (const uint64_t layer : taken.layers) {
      taken.once.push_back(rig_.read_layer(layer, places));
    }
    return taken;
  }
  // One that is still there; null: none is.
  Taken* any() {
    std::vector<Taken*> there;
    for (const auto& taken : taken_) {
      if (!taken->deleted) there.push_back(taken.get());
    }
    return there.empty() ? nullptr : there[random_.below(there.size())];
  }
  bool unchanged(const Taken& taken) {
    for (size_t i = 0; i < taken.layers.size(); ++i) {
      if (rig_.read_layer(taken.layers[i], places) != taken.once[i]) return false;
    }
    return true;
  }
  void remove(Taken& taken) {
    std::vector<Change> changes;
    for (const uint64_t layer : taken.layers) changes.push_back(delete_change(layer));
    rig_.commit(changes);
    taken.deleted = true;
  }
  // The workers end. All that they did is judged, and afterwards the volumes are closed.
  void end() {
    for (auto& pair : pairs_) pair->stop();
    for (auto& pair : pairs_) pair->wait();
    for (auto& pair : pairs_) CHECK_EQ(pair->wrong(), 0);
    for (const auto& taken : taken_) CHECK_EQ(judge(*taken), "");
    holds_all();
    while (Taken* taken = any()) {
      CHECK(unchanged(*taken));
      remove(*taken);
    }
    rig_.settle();
    holds_all();
    CHECK_EQ(rig_.check(), "");
    for (Volume* volume : volumes_) rig_.close(*volume);
  }

 private:
  void holds_all() {
    for (size_t i = 0; i < volumes_.size(); ++i) {
      CHECK(rig_.read(*volumes_[i], places) == pairs_[i]->values(places));
    }
  }
  std::string judge(const Taken& taken) const {
    Instant instant;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      pairs_[i]->for_each_block([&](uint64_t number, const Past& past) {
        const uint64_t value = taken.once[i][number];
        instant.add(number, value, past.spans(number, value, taken.span));
      });
    }
    return instant.problem();
  }

  Rig& rig_;
  sim::SimRandom random_;
  uint64_t next_ = 1;
  std::vector<uint64_t> tops_;
  std::vector<Volume*> volumes_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  std::vector<std::unique_ptr<Taken>> taken_;
};

void take_and_delete(Rig::Kind kind, uint64_t seed) {
  Rig rig(kind, pool_bytes);
  Volumes volumes(rig, 2, seed);
  for (int round = 0; round < 12; ++round) {
    volumes.wait_turn();
    volumes.take();
    Volumes::Taken& any = *volumes.any();
    CHECK(volumes.unchanged(any));
    if (round >= 4 || volumes.random().one_in(3)) volumes.remove(any);
  }
  volumes.end();
}

// What a volume holds whose writes were under way when it was rolled back to `before`.
std::string judge_rollback(const Pair& pair, const Values& found, const Values& before,
                           Span span) {
  Instant instant;
  pair.for_each_block([&](uint64_t number, const Past& past) {
    const uint64_t value = found[number];
    std::vector<Span> spans;
    if (!past.touched(number)) {
      if (value == before[number]) spans.push_back(span);
      return instant.add(number, value, spans);
    }
    // The last command came after it, or all of them came before.
    const Past::Command& last = past.last(number);
    const bool lost = value == before[number];
    const bool kept = value == last.value;
    if (lost && kept) {
      spans.push_back(span);
    } else if (kept) {
      if (last.ended >= span.from) spans.push_back({span.from, std::min(last.ended, span.to)});
    } else if (lost) {
      if (last.begun <= span.to) spans.push_back({std::max(last.begun, span.from), span.to});
    }
    instant.add(number, value, spans);
  });
  return instant.problem();
}

// A clone of `taken`: written, rolled back while writes are under way, written again, deleted.
void clone_and_roll_back(Rig& rig, Volumes& volumes, Volumes::Taken& taken, bool hides) {
  const uint64_t snapshot = taken.layers.front();
  const Values& before = taken.once.front();
  const uint64_t first = volumes.next_layer();
  const uint64_t second = volumes.next_layer();
  rig.commit({layer_change(first, places, snapshot)});
  Volume& clone = rig.open(first);
  CHECK(rig.read(clone, places) == before);
  Worker::Options options;
  options.seed = (1ull << 20) + first;
  options.judges_reads = false;  // From some moment on they are of before.
  Pair thrown_away(rig, clone, places, before, options);
  thrown_away.wait_turn();
  thrown_away.stop();
  const Span span =
      rig.commit({layer_change(second, places, snapshot, first), delete_change(first)});
  thrown_away.wait();
  const Values rolled_back = rig.read(clone, places);
  CHECK_EQ(judge_rollback(thrown_away, rolled_back, before, span), "");
  CHECK_EQ(thrown_away.wrong(), 0);
  // The clone and the volume go on above it, whether it is there or not.
  if (hides) volumes.remove(taken);
  options.seed = (1ull << 20) + second;
  options.judges_reads = true;
  Pair kept(rig, clone, places, rolled_back, options);
  kept.wait_turn();
  kept.stop();
  kept.wait();
  CHECK_EQ(kept.wrong(), 0);
  CHECK(rig.read(clone, places) == kept.values(places));
  rig.close(clone);
  rig.commit({delete_change(second)});
}

void roll_clones_over(Rig::Kind kind, uint64_t seed) {
  Rig rig(kind, pool_bytes);
  Volumes volumes(rig, 1, seed);
  for (int round = 0; round < 6; ++round) {
    volumes.wait_turn();
    volumes.take();
    Volumes::Taken& any = *volumes.any();
    const bool hides = volumes.random().one_in(2);
    clone_and_roll_back(rig, volumes, any, hides);
    if (!hides) {
      CHECK(volumes.unchanged(any));
      volumes.remove(any);
    }
  }
  volumes.end();
}

}  // namespace

TEST_CASE("snapshots on two reactors: memory: taken and deleted under fire: each is one instant") {
  for_seeds(take_and_delete, Rig::Kind::memory);
}

TEST_CASE("snapshots on two reactors: a file: taken and deleted under fire: each is one instant") {
  for_seeds(take_and_delete, Rig::Kind::file);
}

TEST_CASE("clones on two reactors: memory: rolled back under fire, at one instant") {
  for_seeds(roll_clones_over, Rig::Kind::memory);
}

TEST_CASE("clones on two reactors: a file: rolled back under fire, at one instant") {
  for_seeds(roll_clones_over, Rig::Kind::file);
}
