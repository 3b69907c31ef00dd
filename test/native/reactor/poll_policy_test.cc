#include "reactor/poll_policy.h"

#include "../test.h"

using namespace ashlar;

namespace {

constexpr uint64_t us = 1000;

// Gaps between pieces of work, and how much of them was polled away.
struct Reactor {
  explicit Reactor(uint32_t limit_us) : policy(limit_us) {}
  // Looks every microsecond until the policy says sleep; work comes after `gap_ns`.
  void gap(uint64_t gap_ns) {
    const uint64_t from = now;
    slept = false;
    for (policy.idle_at(now); now < from + gap_ns; now += us) {
      policy.idle_at(now);
      if (!policy.poll_on(now)) {
        slept = true;
        break;
      }
      polled_ns += us;
    }
    now = from + gap_ns;
    policy.busy_at(now);
  }
  PollPolicy policy;
  uint64_t now = 1'000'000;
  uint64_t polled_ns = 0;
  bool slept = false;
};

}  // namespace

TEST_CASE("polling: work that keeps coming soon is polled for after a dozen gaps") {
  Reactor reactor(100);
  int gaps = 0;
  do {
    reactor.gap(10 * us);
    ++gaps;
    REQUIRE(gaps <= 16);
  } while (reactor.slept);
  CHECK(gaps > 4);
  for (int i = 0; i < 1000; ++i) {
    reactor.gap(10 * us);
    REQUIRE(!reactor.slept);
  }
}

TEST_CASE("polling: an idle reactor sleeps at once, after one pause at the most") {
  Reactor reactor(100);
  for (int i = 0; i < 100; ++i) reactor.gap(10 * us);
  for (int i = 0; i < 3; ++i) reactor.gap(1'000'000 * us);
  reactor.polled_ns = 0;
  for (int i = 0; i < 100; ++i) {
    reactor.gap(1'000'000 * us);
    REQUIRE(reactor.slept);
  }
  CHECK(reactor.polled_ns == 0);
}

TEST_CASE("polling: never longer than the limit in one gap") {
  Reactor reactor(100);
  for (int i = 0; i < 100; ++i) reactor.gap(10 * us);
  reactor.polled_ns = 0;
  reactor.gap(1'000'000 * us);
  CHECK(reactor.slept);
  CHECK(reactor.polled_ns == 100 * us);
}

TEST_CASE("polling: one long pause among short gaps does not end it for long") {
  Reactor reactor(100);
  for (int i = 0; i < 100; ++i) reactor.gap(5 * us);
  reactor.gap(1'000'000 * us);
  reactor.gap(5 * us);
  CHECK(!reactor.slept);
}

TEST_CASE("polling: work slower than the limit is not polled for") {
  Reactor reactor(100);
  for (int i = 0; i < 100; ++i) reactor.gap(10 * us);
  for (int i = 0; i < 100; ++i) reactor.gap(150 * us);
  reactor.polled_ns = 0;
  for (int i = 0; i < 100; ++i) reactor.gap(150 * us);
  CHECK(reactor.polled_ns == 0);
}

TEST_CASE("polling: a limit of 0 never polls") {
  PollPolicy policy(0);
  CHECK(!policy.enabled());
}
