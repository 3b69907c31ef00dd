#include "reactor/loop.h"

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "../test.h"

using namespace ashlar;

namespace {

struct HandClock final : Clock {
  uint64_t now_ns() noexcept override { return now; }
  uint64_t wall_ms() noexcept override { return now; }
  uint64_t now = 0;
};

struct PlainLoop final : Loop {
  using Loop::Loop;
  void wake() noexcept override { ++wakes; }
  std::atomic<int> wakes{0};
};

struct Numbered : Task {
  Numbered() {
    run = [](Task& task) noexcept {
      auto& self = static_cast<Numbered&>(task);
      self.log->push_back(self.number);
    };
  }
  int number = 0;
  std::vector<int>* log = nullptr;
};

struct Ring : Timer {
  explicit Ring(std::vector<uint64_t>& into) : log(into) {
    fire = [](Timer& timer) noexcept {
      static_cast<Ring&>(timer).log.push_back(timer.deadline_ns);
    };
  }
  std::vector<uint64_t>& log;
};

}  // namespace

TEST_CASE("loop: tasks run in the order in which they were deferred") {
  HandClock clock;
  PlainLoop loop(clock, 0);
  std::vector<int> log;
  Numbered tasks[5];
  for (int i = 0; i < 5; ++i) {
    tasks[i].number = i;
    tasks[i].log = &log;
    loop.defer(tasks[i]);
  }
  CHECK(loop.has_ready());
  CHECK_EQ(loop.run_ready(), 5u);
  CHECK(log == std::vector<int>{0, 1, 2, 3, 4});
  CHECK_FALSE(loop.has_ready());
}

TEST_CASE("loop: a task that defers itself runs again in the next turn, not in this one") {
  HandClock clock;
  PlainLoop loop(clock, 0);
  struct Again : Task {
    Loop* loop = nullptr;
    int runs = 0;
  } again;
  again.loop = &loop;
  again.run = [](Task& task) noexcept {
    auto& self = static_cast<Again&>(task);
    if (++self.runs < 3) self.loop->defer(self);
  };
  loop.defer(again);
  loop.run_ready();
  CHECK_EQ(again.runs, 1);
  loop.run_ready();
  loop.run_ready();
  CHECK_EQ(again.runs, 3);
  CHECK_EQ(loop.run_ready(), 0u);
}

TEST_CASE("loop: messages of one sender keep their order among those of many") {
  HandClock clock;
  PlainLoop loop(clock, 0);
  constexpr int senders = 4;
  constexpr int each = 5000;
  std::vector<int> log;
  std::vector<Numbered> messages(senders * each);
  for (int i = 0; i < senders * each; ++i) {
    messages[static_cast<size_t>(i)].number = i;
    messages[static_cast<size_t>(i)].log = &log;
  }
  std::vector<std::thread> threads;
  for (int s = 0; s < senders; ++s) {
    threads.emplace_back([&, s] {
      for (int i = 0; i < each; ++i) loop.post(messages[static_cast<size_t>(s * each + i)]);
    });
  }
  while (log.size() < senders * each) loop.run_ready();
  for (std::thread& thread : threads) thread.join();
  std::vector<int> last(senders, -1);
  for (const int number : log) {
    const auto sender = static_cast<size_t>(number / each);
    REQUIRE_LT(last[sender], number);
    last[sender] = number;
  }
}

TEST_CASE("loop: timers fire in the order of their deadlines, cancelled and moved ones included") {
  const uint32_t seed = 7;
  CAPTURE(seed);
  std::mt19937 random(seed);
  HandClock clock;
  PlainLoop loop(clock, 0);
  std::vector<uint64_t> log;
  std::vector<Ring> timers(500, Ring(log));
  for (Ring& timer : timers) loop.arm(timer, 1 + random() % 1000);
  size_t cancelled = 0;
  for (size_t i = 0; i < timers.size(); i += 3) {
    if (i % 2 == 0) {
      loop.cancel(timers[i]);
      ++cancelled;
    } else {
      loop.arm(timers[i], 1 + random() % 1000);
    }
  }
  while (loop.next_deadline_ns() != UINT64_MAX) {
    clock.now = loop.next_deadline_ns();
    loop.run_ready();
  }
  CHECK_EQ(log.size(), timers.size() - cancelled);
  CHECK(std::is_sorted(log.begin(), log.end()));
}
