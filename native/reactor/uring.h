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
#include <span>
#include <string>
#include <thread>

#include "base/list.h"
#include "base/result.h"
#include "reactor/buffers.h"
#include "reactor/counters.h"
#include "reactor/loop.h"
#include "reactor/probe.h"
#include "reactor/random.h"
#include "reactor/system.h"

namespace ashlar {

class Network;
class UringNetwork;

// One request to the ring. Embedded in its owner; `complete` runs from the loop's thread between
// tasks, never from inside the call that submitted.
struct RingOp : ListNode {
  // Writes the request into `sqe`; called when there is room in the submission queue, in the order
  // in which the operations were submitted. Must not touch user_data.
  void (*prepare)(RingOp&, io_uring_sqe&) noexcept = nullptr;
  // `flags`: of the completion entry; with IORING_CQE_F_MORE the operation goes on.
  void (*complete)(RingOp&, int result, uint32_t flags) noexcept = nullptr;
};

struct UringOptions {
  uint32_t index = 0;
  int cpu = -1;  // Pinned to it when not negative.
  uint64_t buffer_bytes = limits::default_buffer_bytes;
  // False: use the buffers unregistered where RLIMIT_MEMLOCK is too small. True: fail with
  // memlock_too_small.
  bool require_registered_buffers = false;
  uint32_t busy_poll_us = 0;
};

class UringReactor final : public Loop {
 public:
  // Starts the thread. Fails with io_uring_missing, io_uring_forbidden, kernel_too_old,
  // memlock_too_small or limit_exceeded (memory), each with one line that says what to do.
  static Result<std::unique_ptr<UringReactor>> start(const UringOptions& options);
  // Ends the thread: outstanding requests are cancelled and awaited, so that the kernel no longer
  // touches our memory. What lives on the reactor must have been closed before; any thread but the
  // reactor's own.
  ~UringReactor() override;
  // The same without freeing anything: several reactors stop before the first of them is destroyed.
  void stop() noexcept;

  Network& network() noexcept;
  BufferPool& buffers() noexcept { return buffers_; }
  Random& random() noexcept { return random_; }
  ReactorCounters& counters() noexcept { return counters_; }
  const RingFeatures& features() const noexcept { return features_; }
  bool buffers_registered() const noexcept { return buffers_registered_; }
  bool on_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }

  // Own thread only. Never fails: what does not fit the queue waits in FIFO order.
  void submit(RingOp& op) noexcept;
  // Asks the kernel to end an operation under way early; its completion still comes (-ECANCELED,
  // or whatever happened first). An operation still waiting for room completes the same way.
  void cancel(RingOp& op) noexcept;
  // The index of the registered buffer that contains all of `memory`, or -1.
  int registered_index(const iovec& memory) const noexcept;

 private:
  explicit UringReactor(const UringOptions& options);
  void run() noexcept;  // The thread.
  Status set_up() noexcept;
  void turn() noexcept;
  void flush_waiting() noexcept;
  size_t reap() noexcept;
  void sleep_until(uint64_t deadline_ns) noexcept;
  void enter(unsigned wait_count, uint64_t timeout_ns) noexcept;
  void arm_wake_read() noexcept;
  void finish() noexcept;
  void wake() noexcept override;

  struct WakeOp : RingOp {
    UringReactor* reactor = nullptr;
    uint64_t value = 0;
  };
  struct CancelOp : RingOp {
    uint64_t target = 0;
  };

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
  bool wake_armed_ = false;
  List<RingOp> waiting_;      // No room in the submission queue yet.
  uint64_t under_way_ = 0;    // Requests that the kernel has and that were not completed.
  alignas(64) std::atomic<bool> asleep_{false};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<UringNetwork> network_;
  std::thread thread_;
};

}  // namespace ashlar
