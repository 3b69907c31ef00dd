// UringReactor: one thread that owns one io_uring, and everything that happens on it.
//
// A turn: run what is ready (messages, timers, deferred tasks, completions), hand all submissions
// to the kernel with one io_uring_enter, and sleep in that same call when nothing is ready. Idle
// means asleep. Sockets, device channels and buffers of a reactor are used on its thread only.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "base/list.h"
#include "base/result.h"
#include "reactor/buffers.h"
#include "reactor/counters.h"
#include "reactor/limits.h"
#include "reactor/loop.h"
#include "reactor/poll_policy.h"
#include "reactor/probe.h"
#include "reactor/random.h"
#include "reactor/system.h"

namespace ashlar {

class Network;
class UringNetwork;

// One request to the ring. Embedded in its owner; `complete` runs from the loop's thread between
// tasks, never from inside the call that submitted. Idle again when `complete` begins.
struct RingOp : ListNode {
  enum class State : uint8_t {
    idle,        // The owner's, to submit or to destroy.
    waiting,     // In the reactor's queue until the ring has room.
    under_way,   // The kernel has it; its completion moves it on.
    cancelling,  // Likewise, and linked: a cancellation waits for room in the ring.
    cancelled,   // Was waiting when it was cancelled; the reactor completes it next turn.
  };

  // Writes the request into `sqe` (not its user_data) when its turn has come.
  void (*prepare)(RingOp&, io_uring_sqe&) noexcept = nullptr;
  // `result`: as the kernel gives it, -errno included; `flags`: of the completion entry.
  void (*complete)(RingOp&, int result, uint32_t flags) noexcept = nullptr;
  State state = State::idle;
};

struct UringOptions {
  uint32_t index = 0;
  int cpu = -1;  // Pinned to it when not negative.
  uint64_t buffer_bytes = limits::default_buffer_bytes;
  // False: where RLIMIT_MEMLOCK is too small the buffers are used unregistered, which costs some
  // CPU time a request. True: that fails with memlock_too_small.
  bool require_registered_buffers = false;
  // At most this long is spent looking for work before sleeping, and only while work keeps coming
  // sooner than that (PollPolicy); 0: sleeps at once.
  uint32_t busy_poll_us = 0;
};

class UringReactor final : public Loop {
 public:
  // Starts the thread. Fails with io_uring_missing, io_uring_forbidden, kernel_too_old,
  // memlock_too_small or limit_exceeded (memory), each with one line that says what to do.
  static Result<std::unique_ptr<UringReactor>> start(const UringOptions& options);
  // Stops first. Any thread but the reactor's own.
  ~UringReactor() override;
  // Ends the thread, without freeing anything: of several reactors that know each other all stop
  // before the first is destroyed. What lives on the reactor must have been closed: requests still
  // under way are cancelled and awaited, so that the kernel no longer touches our memory, but their
  // owners are not told.
  void stop() noexcept;

  Network& network() noexcept;
  BufferPool& buffers() noexcept { return buffers_; }
  Random& random() noexcept { return random_; }
  ReactorCounters& counters() noexcept { return counters_; }
  const RingFeatures& features() const noexcept { return features_; }
  bool buffers_registered() const noexcept { return buffers_registered_; }
  bool on_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }

  // Own thread only. Never fails: what does not fit the ring waits in FIFO order.
  void submit(RingOp& op) noexcept;
  // Ends an operation early; its completion still comes, later (-ECANCELED, or whatever happened
  // first). Does nothing to an idle one.
  void cancel(RingOp& op) noexcept;
  using Loop::cancel;
  // The index of the registered buffer that contains all of `memory`, or -1.
  int registered_index(const iovec& memory) const noexcept;

 private:
  struct WakeOp : RingOp {
    UringReactor* reactor = nullptr;
    uint64_t value = 0;
  };

  explicit UringReactor(const UringOptions& options);
  Status set_up();
  Status set_up_ring();
  Status register_buffers();
  void run() noexcept;  // The thread.
  bool turn() noexcept;
  bool start_op(RingOp& op) noexcept;
  void start_waiting() noexcept;
  size_t reap() noexcept;
  void complete(RingOp& op, int result, uint32_t flags) noexcept;
  void enter_without_waiting() noexcept;
  void enter_and_sleep() noexcept;
  bool kernel_has_work() const noexcept;
  void finish() noexcept;
  void wake() noexcept override;

  const UringOptions options_;
  SystemClock clock_;
  SystemRandom random_;
  ReactorCounters counters_;
  RingFeatures features_;
  BufferPool buffers_;
  bool buffers_registered_ = false;
  io_uring ring_{};
  bool ring_open_ = false;
  int wake_fd_ = -1;
  WakeOp wake_op_;
  List<RingOp> waiting_;     // No room in the ring yet.
  List<RingOp> cancelling_;  // Under way; their cancellations wait for room.
  List<RingOp> cancelled_;   // Were waiting; complete with -ECANCELED next turn.
  uint32_t under_way_ = 0;   // Completions that the kernel owes us, cancellations included.
  bool finishing_ = false;
  PollPolicy polling_;
  alignas(64) std::atomic<bool> asleep_{false};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<UringNetwork> network_;
  std::thread thread_;
};

}  // namespace ashlar
