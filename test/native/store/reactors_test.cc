// Two real reactors, one volume: every path of the store at once, on threads that really run. Built
// with SANITIZE=thread it is the proof that what they share is shared properly; otherwise it proves
// that nothing is lost and that the pool is clean afterwards.
#include <algorithm>
#include <thread>

#include "reactors.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

void hammer(Rig::Kind kind, bool in_place = false) {
  constexpr Places places{.chunks = 256};
  Rig rig(kind, 64ull << 20);
  rig.commit({layer_change(1, places)});
  Volume& volume = rig.open(1);
  Worker::Options options;
  options.commands = 20'000;
  options.in_place = in_place;
  Pair pair(rig, volume, places, Values(places.blocks(), 0), options);
  pair.wait();
  CHECK_EQ(pair.wrong(), 0);
  CHECK((pair.in_place() > 0) == (in_place && kind == Rig::Kind::memory));
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

TEST_CASE("store on two reactors: lent reads and writes in place: every block is its last write") {
  hammer(Rig::Kind::memory, true);
}

TEST_CASE("store on two reactors: a file lends nothing and takes nothing in place") {
  hammer(Rig::Kind::file, true);
}

TEST_CASE("store on two reactors: a volume closes when the last loan of it has ended") {
  constexpr Places places{.chunks = 8};
  Rig rig(Rig::Kind::memory, 64ull << 20);
  rig.commit({layer_change(1, places)});
  Volume& volume = rig.open(1);
  std::binary_semaphore step(0);
  Loan loan;
  call_there(rig.reactor(1), [&] {
    CHECK(volume.lend(1, 0, 8192, loan));  // Zeroes.
    step.release();
  });
  step.acquire();
  std::atomic<bool> ended{false};
  std::thread closer([&] {
    rig.close(volume);
    CHECK(ended.load());
    step.release();
  });
  // Refused from the moment when the close is seen; until then it lends.
  bool closing = false;
  while (!closing) {
    call_there(rig.reactor(1), [&] {
      Loan another;
      closing = !volume.lend(1, 0, 4096, another);
      if (!closing) volume.end_loan(1, another);
      step.release();
    });
    step.acquire();
  }
  call_there(rig.reactor(1), [&] {
    CHECK_EQ(loan.piece_count, 1u);
    CHECK(std::all_of(static_cast<const char*>(loan.pieces[0].iov_base),
                      static_cast<const char*>(loan.pieces[0].iov_base) + 8192,
                      [](char byte) { return byte == 0; }));
    ended = true;
    volume.end_loan(1, loan);
  });
  step.acquire();
  closer.join();
}
