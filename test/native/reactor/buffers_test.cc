#include "reactor/buffers.h"

#include <deque>
#include <random>
#include <vector>

#include "../test.h"

using namespace ashlar;

namespace {

struct StillClock final : Clock {
  uint64_t now_ns() noexcept override { return 1; }
  uint64_t wall_ms() noexcept override { return 1; }
};

struct PlainLoop final : Loop {
  using Loop::Loop;
  void wake() noexcept override {}
};

struct Fixture {
  explicit Fixture(uint64_t bytes) { REQUIRE(pool.open(bytes).ok()); }
  void settle() {
    while (loop.run_ready() > 0) {
    }
  }
  StillClock clock;
  PlainLoop loop{clock, 0};
  ReactorCounters counters;
  BufferPool pool{loop, counters};
};

struct Wish : BufferRequest {
  explicit Wish(uint32_t length) {
    length_bytes = length;
    ready = [](BufferRequest& request) noexcept { ++static_cast<Wish&>(request).told; };
  }
  int told = 0;
};

constexpr uint32_t kib = 1024;

}  // namespace

TEST_CASE("buffers: a megabyte is eight pieces, odd lengths end in one of the next power of two") {
  Fixture f(4 << 20);
  Wish whole(1024 * kib);
  REQUIRE(f.pool.acquire(whole));
  CHECK_EQ(whole.piece_count, 8u);
  Wish odd(128 * kib + 5000);
  REQUIRE(f.pool.acquire(odd));
  REQUIRE_EQ(odd.piece_count, 2u);
  CHECK_EQ(odd.pieces[1].iov_len, 5000u);
  CHECK_EQ(f.pool.free_bytes(), (4096 - 1024 - 128 - 8) * kib);
  for (const iovec& piece : odd.segments()) {
    CHECK_EQ(reinterpret_cast<uintptr_t>(piece.iov_base) % 4096, 0u);
  }
  f.pool.release(whole);
  f.pool.release(odd);
  CHECK_EQ(f.pool.free_bytes(), 4096 * kib);
}

TEST_CASE("buffers: who comes when it is empty waits in line, the small ones behind the large") {
  Fixture f(2 << 20);
  Wish first(1024 * kib);
  Wish second(1024 * kib);
  Wish large(1024 * kib);
  Wish small(4 * kib);
  REQUIRE(f.pool.acquire(first));
  REQUIRE(f.pool.acquire(second));
  CHECK_FALSE(f.pool.acquire(large));
  CHECK_FALSE(f.pool.acquire(small));
  f.pool.release(first);
  CHECK_EQ(large.told, 0);  // Never from inside release().
  f.settle();
  CHECK_EQ(large.told, 1);
  CHECK_EQ(small.told, 0);
  f.pool.release(second);
  f.settle();
  CHECK_EQ(small.told, 1);
  f.pool.release(large);
  f.pool.release(small);
  CHECK_EQ(f.counters.buffer_waits.value(), 2u);
}

TEST_CASE("buffers: who will not wait gets nothing when there is nothing, or when others wait") {
  Fixture f(2 << 20);
  Wish most(1024 * kib);
  REQUIRE(f.pool.try_acquire(most));
  Wish rest(1024 * kib);
  REQUIRE(f.pool.try_acquire(rest));
  Wish page(4 * kib);
  CHECK_FALSE(f.pool.try_acquire(page));
  CHECK_EQ(f.pool.waiting(), 0u);
  Wish large(1024 * kib);
  Wish small(8 * kib);
  CHECK_FALSE(f.pool.acquire(large));
  f.pool.release(most);
  f.settle();
  REQUIRE(large.held);
  f.pool.release(rest);
  REQUIRE(f.pool.try_acquire(small));
  Wish patient(1024 * kib);
  CHECK_FALSE(f.pool.acquire(patient));
  CHECK_FALSE(f.pool.try_acquire(page));  // Though there is room for it.
  f.pool.cancel(patient);
  REQUIRE(f.pool.try_acquire(page));
  f.pool.release(page);
  f.pool.release(small);
  f.pool.release(large);
}

TEST_CASE("buffers: cancelling the large one at the head lets the small ones through") {
  Fixture f(2 << 20);
  Wish hold(1024 * kib);
  Wish most(1020 * kib);
  Wish large(1024 * kib);
  Wish small(4 * kib);
  REQUIRE(f.pool.acquire(hold));
  REQUIRE(f.pool.acquire(most));
  CHECK_FALSE(f.pool.acquire(large));
  CHECK_FALSE(f.pool.acquire(small));
  f.pool.release(most);
  f.pool.cancel(large);  // Filled by now, but not told.
  f.settle();
  CHECK_EQ(large.told, 0);
  CHECK_EQ(small.told, 1);
  f.pool.cancel(small);
  f.pool.cancel(hold);
  f.pool.cancel(hold);
  CHECK_EQ(f.pool.free_bytes(), f.pool.size_bytes());
}

TEST_CASE("buffers: random use never overlaps and everything joins again") {
  const uint32_t seed = 20'261;
  CAPTURE(seed);
  std::mt19937 random(seed);
  Fixture f(4 << 20);
  std::deque<Wish> wishes;
  std::vector<Wish*> held;
  std::vector<std::byte> owner((4 << 20) / 4096);
  auto mark = [&](const Wish& wish, bool taken) {
    for (const iovec& piece : wish.segments()) {
      const auto start = static_cast<size_t>(static_cast<std::byte*>(piece.iov_base) -
                                             f.pool.memory().data());
      for (size_t page = start / 4096; page <= (start + piece.iov_len - 1) / 4096; ++page) {
        REQUIRE_EQ(owner[page] == std::byte{1}, !taken);
        owner[page] = std::byte{taken};
      }
    }
  };
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0 && !held.empty()) {
      const size_t at = random() % held.size();
      mark(*held[at], false);
      f.pool.release(*held[at]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      continue;
    }
    const uint32_t most = random() % 4 == 0 ? 1024 * kib : 64 * kib;
    const auto length = static_cast<uint32_t>(1 + random() % most);
    Wish& wish = wishes.emplace_back(length);
    if (f.pool.acquire(wish)) {
      mark(wish, true);
      held.push_back(&wish);
    } else {
      f.pool.cancel(wish);
    }
  }
  for (Wish* wish : held) f.pool.release(*wish);
  Wish all[4] = {Wish(1024 * kib), Wish(1024 * kib), Wish(1024 * kib), Wish(1024 * kib)};
  for (Wish& wish : all) CHECK(f.pool.acquire(wish));
  for (Wish& wish : all) f.pool.release(wish);
}

TEST_CASE("buffers: too small and too large pools are refused") {
  StillClock clock;
  PlainLoop loop(clock, 0);
  ReactorCounters counters;
  BufferPool pool(loop, counters);
  CHECK_EQ(pool.open(1 << 20).error().code, ErrorCode::invalid_argument);
  CHECK_EQ(pool.open(2ull << 30).error().code, ErrorCode::invalid_argument);
}

TEST_CASE("buffers: a single page is the one given back last") {
  Fixture f(2 << 20);
  Wish first(4 * kib);
  Wish second(3000);
  REQUIRE(f.pool.acquire(first));
  REQUIRE(f.pool.acquire(second));
  void* const at = second.pieces[0].iov_base;
  f.pool.release(second);
  REQUIRE(f.pool.acquire(second));
  CHECK_EQ(second.pieces[0].iov_base, at);
  f.pool.release(first);
  f.pool.release(second);
  CHECK_EQ(f.pool.free_bytes(), 2048 * kib);
}

TEST_CASE("buffers: single pages given back do not keep a large request from being filled") {
  Fixture f(2 << 20);
  std::deque<Wish> pages;
  for (int i = 0; i < 512; ++i) {
    pages.emplace_back(4 * kib);
    REQUIRE(f.pool.acquire(pages.back()));
  }
  Wish large(1024 * kib);
  Wish other(1024 * kib);
  CHECK_FALSE(f.pool.acquire(large));
  for (Wish& page : pages) f.pool.release(page);
  f.settle();
  CHECK_EQ(large.told, 1);
  REQUIRE(f.pool.acquire(other));
  CHECK_EQ(f.pool.free_bytes(), 0u);
  f.pool.release(large);
  f.pool.release(other);
}
