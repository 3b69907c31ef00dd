// Loop: the queue of work of one reactor. Deferred tasks, messages from other threads, timers.
//
// The loop reaches nothing outside: time comes from a Clock, and whoever drives it (UringReactor in
// production, SimWorld in a simulation) calls run_ready() and sleeps until next_deadline_ns().
// Everything here is intrusive: no call allocates, and the bound on queued work is the bound on the
// objects that carry the nodes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "reactor/clock.h"

namespace ashlar {

// A unit of work. Embedded in its owner; `run` finds the owner from the node. A task is in at most
// one queue at a time; it may queue itself again from inside run().
struct Task {
  void (*run)(Task&) noexcept = nullptr;
  std::atomic<Task*> next{nullptr};
  std::atomic<bool> queued{false};
};

// A one-shot timer. Embedded in its owner, who cancels it before going away.
struct Timer {
  void (*fire)(Timer&) noexcept = nullptr;
  uint64_t deadline_ns = 0;
  size_t heap_index = SIZE_MAX;  // SIZE_MAX: not armed.
  bool armed() const noexcept { return heap_index != SIZE_MAX; }
};

class Loop {
 public:
  Loop(Clock& clock, uint32_t index);
  virtual ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Clock& clock() noexcept { return clock_; }
  uint32_t index() const noexcept { return index_; }  // The reactor's, 0-based.

  // Own thread only: runs `task` in this turn or the next, after what is queued already.
  void defer(Task& task) noexcept;
  // Any thread: runs `task` on this loop's thread; messages of one sender keep their order.
  void post(Task& task) noexcept;

  // Own thread only. Arming an armed timer moves it. Cancelling an unarmed one does nothing.
  void arm(Timer& timer, uint64_t deadline_ns) noexcept;
  void cancel(Timer& timer) noexcept;

  // For the driver: takes posted messages, runs due timers and every task queued at entry; returns
  // how many ran. Tasks queued meanwhile wait for the next call.
  size_t run_ready() noexcept;
  bool has_ready() const noexcept;
  uint64_t next_deadline_ns() const noexcept;  // UINT64_MAX when no timer is armed.

 protected:
  // Called by post() on the sender's thread after queueing, to end the driver's sleep.
  virtual void wake() noexcept = 0;

 private:
  void take_posted() noexcept;
  void sift_up(size_t index) noexcept;
  void sift_down(size_t index) noexcept;

  Clock& clock_;
  const uint32_t index_;
  Task* head_ = nullptr;  // Deferred FIFO.
  Task* tail_ = nullptr;
  alignas(64) std::atomic<Task*> posted_{nullptr};  // LIFO of messages, reversed when taken.
  std::vector<Timer*> timers_;                      // Binary heap by deadline.
};

}  // namespace ashlar
