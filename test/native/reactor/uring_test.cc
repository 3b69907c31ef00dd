#include "reactor/uring.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <vector>

#include "on_reactor.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::test;

namespace {

struct Nop : RingOp {
  Nop() {
    prepare = [](RingOp&, io_uring_sqe& sqe) noexcept { io_uring_prep_nop(&sqe); };
    complete = [](RingOp& op, int how, uint32_t) noexcept {
      auto& self = static_cast<Nop&>(op);
      self.result = how;
      if (++*self.ends == self.expected) self.all->raise();
    };
  }
  size_t* ends = nullptr;
  size_t expected = 0;
  Signal* all = nullptr;
  int result = 1;
};

// Never completes by itself: waits for bytes in a pipe that nobody writes.
struct Forever : RingOp {
  Forever() {
    REQUIRE_EQ(pipe(ends.data()), 0);
    prepare = [](RingOp& op, io_uring_sqe& sqe) noexcept {
      io_uring_prep_poll_add(&sqe, static_cast<Forever&>(op).ends[0], POLLIN);
    };
    complete = [](RingOp& op, int how, uint32_t) noexcept {
      auto& self = static_cast<Forever&>(op);
      self.result = how;
      self.signal.raise();
    };
  }
  ~Forever() {
    for (const int fd : ends) ::close(fd);
  }
  std::array<int, 2> ends{};
  Signal signal;
  int result = 0;
};

}  // namespace

TEST_CASE("reactor: starts and stops many times without leaving threads or descriptors") {
  const int before = dup(0);
  ::close(before);
  for (int i = 0; i < 20; ++i) {
    const auto reactor = start_reactor();
    on(*reactor, [] {});
  }
  const int after = dup(0);
  ::close(after);
  CHECK_EQ(before, after);
}

TEST_CASE("reactor: far more requests than the ring holds all complete") {
  const auto reactor = start_reactor();
  constexpr size_t count = 3 * limits::ring_under_way + 17;
  std::vector<Nop> nops(count);
  size_t ends = 0;
  Signal all;
  on(*reactor, [&] {
    for (Nop& nop : nops) {
      nop.ends = &ends;
      nop.expected = count;
      nop.all = &all;
      reactor->submit(nop);
    }
    CHECK_EQ(ends, 0u);  // Never from inside submit().
  });
  all.wait();
  CHECK_EQ(ends, count);
  for (const Nop& nop : nops) REQUIRE_EQ(nop.result, 0);
}

TEST_CASE("reactor: cancelling ends a request under way and one that waits") {
  const auto reactor = start_reactor();
  Forever under_way;
  std::deque<Nop> fill(limits::ring_entries);
  Forever waiting;
  size_t ends = 0;
  Signal all;
  on(*reactor, [&] { reactor->submit(under_way); });
  on(*reactor, [&] {
    for (Nop& nop : fill) {
      nop.ends = &ends;
      nop.expected = fill.size();
      nop.all = &all;
      reactor->submit(nop);
    }
    reactor->submit(waiting);
    CHECK(waiting.state == RingOp::State::waiting);
    reactor->cancel(waiting);
    reactor->cancel(under_way);
    reactor->cancel(under_way);  // Once more does nothing.
  });
  waiting.signal.wait();
  under_way.signal.wait();
  all.wait();
  CHECK_EQ(waiting.result, -ECANCELED);
  CHECK_EQ(under_way.result, -ECANCELED);
  CHECK(under_way.state == RingOp::State::idle);
}

TEST_CASE("reactor: a timer ends the sleep in time") {
  const auto reactor = start_reactor();
  struct Ring : Timer {
    Signal signal;
    uint64_t fired_ns = 0;
    Loop* loop = nullptr;
  } timer;
  timer.loop = reactor.get();
  timer.fire = [](Timer& t) noexcept {
    auto& self = static_cast<Ring&>(t);
    self.fired_ns = self.loop->clock().now_ns();
    self.signal.raise();
  };
  on(*reactor, [&] { reactor->arm(timer, reactor->clock().now_ns() + 5'000'000); });
  timer.signal.wait();
  CHECK_GE(timer.fired_ns, timer.deadline_ns);
}

TEST_CASE("reactor: an idle one sleeps") {
  const auto reactor = start_reactor();
  on(*reactor, [] {});
  const uint64_t turns = reactor->counters().turns.value();
  poll(nullptr, 0, 100);
  // A message or two of bookkeeping may still have been under way.
  CHECK_LE(reactor->counters().turns.value(), turns + 3);
}

TEST_CASE("reactor: messages from many threads all arrive while it falls asleep and wakes") {
  const auto reactor = start_reactor();
  std::vector<std::thread> threads;
  std::atomic<int> ran{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) on(*reactor, [&] { ran.fetch_add(1); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(ran.load(), 8000);
}

TEST_CASE("reactor: a CPU that does not exist is refused by name") {
  UringOptions options;
  options.cpu = 1000;
  options.buffer_bytes = 4 << 20;
  const auto reactor = UringReactor::start(options);
  REQUIRE_FALSE(reactor.ok());
  CHECK_NE(reactor.error().message.find("CPU 1000"), std::string::npos);
}

TEST_CASE("reactor: buffers in the arena are found in the registration, others are not") {
  const auto reactor = start_reactor();
  if (!reactor->buffers_registered()) {
    MESSAGE("skipped: RLIMIT_MEMLOCK does not let this process register 4 MiB");
    return;
  }
  const std::span<std::byte> memory = reactor->buffers().memory();
  CHECK_EQ(reactor->registered_index({memory.data(), 4096}), 0);
  CHECK_EQ(reactor->registered_index({memory.data() + memory.size() - 4096, 4096}), 0);
  CHECK_EQ(reactor->registered_index({memory.data() + memory.size() - 4095, 4096}), -1);
  std::byte elsewhere[16];
  CHECK_EQ(reactor->registered_index({elsewhere, sizeof elsewhere}), -1);
}
