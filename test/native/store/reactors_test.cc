// Two real reactors, one volume: every path of the store at once, on threads that really run. Built
// with SANITIZE=thread it is the proof that what they share is shared properly; otherwise it proves
// that nothing is lost and that the pool is clean afterwards.
#include "reactors.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

void hammer(Rig::Kind kind) {
  constexpr Places places{.chunks = 256};
  Rig rig(kind, 64ull << 20);
  rig.commit({layer_change(1, places)});
  Volume& volume = rig.open(1);
  Worker::Options options;
  options.commands = 20'000;
  Pair pair(rig, volume, places, Values(places.blocks(), 0), options);
  pair.wait();
  CHECK_EQ(pair.wrong(), 0);
  CHECK(rig.read(volume, places) == pair.values(places));
  CHECK_EQ(rig.check(), "");
  rig.close(volume);
}

}  // namespace

TEST_CASE("store on two reactors: memory: every block is its last write, and the pool is clean") {
  hammer(Rig::Kind::memory);
}

TEST_CASE("store on two reactors: a file: every block is its last write, and the pool is clean") {
  hammer(Rig::Kind::file);
}
