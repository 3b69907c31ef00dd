#include "reactor/loop.h"

#include <utility>

#include "base/check.h"

namespace ashlar {

Loop::Loop(Clock& clock, uint32_t index) : clock_(clock), index_(index) { timers_.reserve(4096); }

Loop::~Loop() = default;

void Loop::defer(Task& task) noexcept {
  CHECK(task.run != nullptr);
  // A plain load and store: this runs for every I/O, and a locked instruction costs 20 cycles. A
  // task that another thread may post() at the same time is its owner's mistake either way.
  CHECK(!task.queued.load(std::memory_order_relaxed));
  task.queued.store(true, std::memory_order_relaxed);
  task.next.store(nullptr, std::memory_order_relaxed);
  if (tail_ == nullptr) {
    head_ = &task;
  } else {
    tail_->next.store(&task, std::memory_order_relaxed);
  }
  tail_ = &task;
}

void Loop::post(Task& task) noexcept {
  CHECK(task.run != nullptr);
  CHECK(!task.queued.exchange(true, std::memory_order_relaxed));
  Task* head = posted_.load(std::memory_order_relaxed);
  do {
    task.next.store(head, std::memory_order_relaxed);
  } while (!posted_.compare_exchange_weak(head, &task, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
  wake();
}

void Loop::take_posted() noexcept {
  if (posted_.load(std::memory_order_relaxed) == nullptr) return;
  Task* newest = posted_.exchange(nullptr, std::memory_order_acquire);
  Task* oldest = nullptr;
  Task* last = newest;
  while (newest != nullptr) {
    Task* next = newest->next.load(std::memory_order_relaxed);
    newest->next.store(oldest, std::memory_order_relaxed);
    oldest = newest;
    newest = next;
  }
  if (oldest == nullptr) return;
  if (tail_ == nullptr) {
    head_ = oldest;
  } else {
    tail_->next.store(oldest, std::memory_order_relaxed);
  }
  tail_ = last;
}

size_t Loop::run_ready() noexcept {
  take_posted();
  size_t count = 0;
  if (!timers_.empty()) {
    const uint64_t now_ns = clock_.now_ns();
    while (!timers_.empty() && timers_[0]->deadline_ns <= now_ns) {
      Timer& timer = *timers_[0];
      cancel(timer);
      timer.fire(timer);
      ++count;
    }
  }
  Task* task = std::exchange(head_, nullptr);
  tail_ = nullptr;
  while (task != nullptr) {
    Task* next = task->next.load(std::memory_order_relaxed);
    task->queued.store(false, std::memory_order_relaxed);
    task->run(*task);  // May queue itself again or end its owner: not touched afterwards.
    task = next;
    ++count;
  }
  return count;
}

bool Loop::has_ready() const noexcept {
  return head_ != nullptr || posted_.load(std::memory_order_seq_cst) != nullptr;
}

uint64_t Loop::next_deadline_ns() const noexcept {
  return timers_.empty() ? UINT64_MAX : timers_[0]->deadline_ns;
}

void Loop::arm(Timer& timer, uint64_t deadline_ns) noexcept {
  CHECK(timer.fire != nullptr);
  if (timer.armed()) cancel(timer);
  timer.deadline_ns = deadline_ns;
  timer.heap_index = timers_.size();
  timers_.push_back(&timer);
  sift_up(timer.heap_index);
}

void Loop::cancel(Timer& timer) noexcept {
  if (!timer.armed()) return;
  const size_t hole = timer.heap_index;
  CHECK(hole < timers_.size() && timers_[hole] == &timer);
  Timer* last = timers_.back();
  timers_.pop_back();
  timer.heap_index = SIZE_MAX;
  if (last == &timer) return;
  timers_[hole] = last;
  last->heap_index = hole;
  sift_up(hole);
  sift_down(last->heap_index);
}

void Loop::sift_up(size_t index) noexcept {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (timers_[parent]->deadline_ns <= timers_[index]->deadline_ns) return;
    std::swap(timers_[parent], timers_[index]);
    timers_[parent]->heap_index = parent;
    timers_[index]->heap_index = index;
    index = parent;
  }
}

void Loop::sift_down(size_t index) noexcept {
  for (;;) {
    size_t least = index;
    for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < timers_.size(); ++child) {
      if (timers_[child]->deadline_ns < timers_[least]->deadline_ns) least = child;
    }
    if (least == index) return;
    std::swap(timers_[least], timers_[index]);
    timers_[least]->heap_index = least;
    timers_[index]->heap_index = index;
    index = least;
  }
}

}  // namespace ashlar
