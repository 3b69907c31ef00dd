// Running pieces of a test on a reactor's thread.
#pragma once

#include <functional>
#include <memory>
#include <semaphore>
#include <utility>

#include "base/check.h"
#include "reactor/network.h"
#include "reactor/uring.h"

namespace ashlar::test {

inline std::unique_ptr<UringReactor> start_reactor(uint32_t index = 0) {
  UringOptions options;
  options.index = index;
  options.buffer_bytes = 4 << 20;
  auto reactor = UringReactor::start(options);
  CHECK(reactor.ok());
  return std::move(reactor).value();
}

// Runs `work` on the loop's thread and returns when it has run.
inline void on(Loop& loop, std::function<void()> work) {
  struct Posted : Task {
    std::function<void()> work;
    std::binary_semaphore done{0};
  } posted;
  posted.work = std::move(work);
  posted.run = [](Task& task) noexcept {
    auto& self = static_cast<Posted&>(task);
    self.work();
    self.done.release();
  };
  loop.post(posted);
  posted.done.acquire();
}

// Something that completes on a loop's thread and is waited for on the test's.
class Signal {
 public:
  void raise() { semaphore_.release(); }
  void wait() { semaphore_.acquire(); }

 private:
  std::binary_semaphore semaphore_{0};
};

// A Task that raises a signal.
struct SignalTask : Task {
  SignalTask() {
    run = [](Task& task) noexcept { static_cast<SignalTask&>(task).signal.raise(); };
  }
  Signal signal;
};

// A stream operation and its end.
struct WaitableStreamOp : StreamOp {
  WaitableStreamOp() {
    done = [](StreamOp& op) noexcept { static_cast<WaitableStreamOp&>(op).signal.raise(); };
  }
  Signal signal;
};

inline void close_stream(Loop& loop, std::unique_ptr<Stream>& stream, bool linger) {
  SignalTask closed;
  on(loop, [&] { stream->close(linger, closed); });
  closed.signal.wait();
  on(loop, [&] { stream.reset(); });
}

}  // namespace ashlar::test
