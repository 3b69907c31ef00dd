// Rates of credits: as many begin in a time as the limit says, whatever is asked for and whenever.
#include "target/rate_limit.h"

#include <vector>

#include "../test.h"

namespace ashlar::target {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;
constexpr uint64_t start_ns = 5 * second_ns;

// How many commands begin within `span_ns` when there are always more of them.
uint64_t begun_in(RateLimit& limit, IoDirection direction, uint64_t bytes, uint64_t from_ns,
                  uint64_t span_ns) {
  uint64_t begun = 0;
  for (uint64_t now_ns = from_ns; now_ns < from_ns + span_ns; ++begun) {
    limit.take(direction, 1, bytes, now_ns);
    now_ns = std::max(now_ns, limit.due_ns(direction));
  }
  return begun;
}

struct Kind {
  const char* name;
  uint64_t RateLimits::*rate;
  bool reads;
  bool writes;
  bool bytes;
};
constexpr Kind kinds[] = {
    {"read_iops", &RateLimits::read_iops, true, false, false},
    {"write_iops", &RateLimits::write_iops, false, true, false},
    {"iops", &RateLimits::iops, true, true, false},
    {"read_bytes_per_second", &RateLimits::read_bytes_per_second, true, false, true},
    {"write_bytes_per_second", &RateLimits::write_bytes_per_second, false, true, true},
    {"bytes_per_second", &RateLimits::bytes_per_second, true, true, true},
};

TEST_CASE(
    "rate: each kind of limit, from one a second to a million: ten seconds have ten times it") {
  for (const Kind& kind : kinds) {
    for (uint64_t rate = 1; rate <= 1'000'000; rate *= 10) {
      for (const IoDirection direction : {IoDirection::read, IoDirection::write}) {
        CAPTURE(kind.name);
        CAPTURE(rate);
        constexpr uint64_t bytes = 4096;
        RateLimit limit;
        RateLimits limits;
        limits.*kind.rate = kind.bytes ? rate * bytes : rate;
        limit.set(limits, start_ns);
        const bool holds = direction == IoDirection::read ? kind.reads : kind.writes;
        if (!holds) {
          limit.take(direction, 1000, 1000 * bytes, start_ns);
          CHECK_EQ(limit.due_ns(direction), 0);
          continue;
        }
        const uint64_t begun = begun_in(limit, direction, bytes, start_ns, 10 * second_ns);
        // One that is there at once, what the slack is worth, and what rounding gives away.
        CHECK_GE(begun, rate * 10);
        CHECK_LE(begun, rate * 10 + 1 + rate / 100 + rate / 1000);
      }
    }
  }
}

TEST_CASE("rate: reads and writes share a common limit") {
  RateLimit limit;
  limit.set({.iops = 100}, start_ns);
  limit.take(IoDirection::read, 50, 0, start_ns);
  CHECK_EQ(limit.due_ns(IoDirection::write), start_ns + second_ns / 2 - RateLimit::slack_ns);
}

TEST_CASE("rate: a command larger than a second's bytes begins at once, and the next one waits") {
  RateLimit limit;
  limit.set({.write_bytes_per_second = 1000}, start_ns);
  CHECK_LE(limit.due_ns(IoDirection::write), start_ns);
  limit.take(IoDirection::write, 1, 16'000'000, start_ns);
  CHECK_EQ(limit.due_ns(IoDirection::write), start_ns + 16'000 * second_ns - RateLimit::slack_ns);
}

TEST_CASE("rate: what was not used is lost, but for the slack") {
  RateLimit limit;
  limit.set({.read_iops = 1000}, start_ns);
  CHECK_EQ(begun_in(limit, IoDirection::read, 0, start_ns + 3600 * second_ns, second_ns), 1010);
}

TEST_CASE("burst: at its own speed for its time, then at the rate; credits come back at the rate") {
  RateLimit limit;
  limit.set({.read_iops = 1000, .burst_percent = 300, .burst_seconds = 10}, start_ns);
  uint64_t now_ns = start_ns;
  const auto next = [&](uint64_t seconds) {
    const uint64_t begun = begun_in(limit, IoDirection::read, 0, now_ns, seconds * second_ns);
    now_ns += seconds * second_ns;
    return begun;
  };
  CHECK(next(9) / 100 == 270);
  next(2);
  CHECK(next(10) / 100 == 100);
  now_ns += 5 * second_ns;  // Saved: 5,000 of 20,000, which are 2.5 s of a burst.
  CHECK(next(2) / 100 == 60);
  next(1);
  CHECK(next(10) / 100 == 100);
}

TEST_CASE("change: what is owed stays owed in credits, at the new rate, up to the new depth") {
  RateLimit limit;
  limit.set({.read_iops = 10, .burst_percent = 200, .burst_seconds = 100}, start_ns);
  limit.take(IoDirection::read, 500, 0, start_ns);
  limit.set({.read_iops = 1000, .burst_percent = 200, .burst_seconds = 100}, start_ns);
  // 500 of them are half a second; the burst's bucket is the nearer one.
  CHECK_LE(limit.due_ns(IoDirection::read), start_ns + second_ns / 2);
  limit.set({.read_iops = 1}, start_ns);
  CHECK_LE(limit.due_ns(IoDirection::read), start_ns);
}

TEST_CASE("change: a limit of one a second, then none: nothing waits any more") {
  RateLimit limit;
  limit.set({.iops = 1}, start_ns);
  limit.take(IoDirection::read, 1000, 0, start_ns);
  CHECK_GT(limit.due_ns(IoDirection::read), start_ns + 900 * second_ns);
  limit.set({}, start_ns);
  CHECK_EQ(limit.due_ns(IoDirection::read), 0);
}

}  // namespace
}  // namespace ashlar::target
