#include "reactor/uring.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <semaphore>
#include <utility>

#include "base/check.h"
#include "reactor/uring_network.h"

namespace ashlar {

namespace {

// user_data of requests whose completions nobody waits for.
constexpr uint64_t nobody = 0;

RingOp* op_of(const io_uring_cqe& cqe) noexcept {
  return reinterpret_cast<RingOp*>(static_cast<uintptr_t>(cqe.user_data));
}

uint64_t user_data_of(const RingOp& op) noexcept {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(&op));
}

// Between two looks: leaves the core's resources to its other hardware thread.
void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

unsigned setup_flags(const RingFeatures& features) noexcept {
  unsigned flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
  if (features.defer_taskrun) {
    return flags | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
           IORING_SETUP_TASKRUN_FLAG;
  }
  if (features.single_issuer) flags |= IORING_SETUP_SINGLE_ISSUER;
  if (features.coop_taskrun) flags |= IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  return flags;
}

// The kernel gives locked memory of a ring that has ended back a little later, from a work queue:
// a refusal counts only when it stays one for a while. At start only; `attempt` returns -errno.
template <class Attempt>
int with_patience(Attempt attempt) {
  int result = attempt();
  for (int i = 0; i < 20 && result == -ENOMEM; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    result = attempt();
  }
  return result;
}

}  // namespace

// ---- Start and stop -----------------------------------------------------------------------------

UringReactor::UringReactor(const UringOptions& options)
    : Loop(clock_, options.index),
      options_(options),
      buffers_(*this, counters_),
      polling_(options.busy_poll_us) {}

Result<std::unique_ptr<UringReactor>> UringReactor::start(const UringOptions& options) {
  const ProbeVerdict verdict = decide(probe_system());
  if (verdict.problem) return *verdict.problem;
  std::unique_ptr<UringReactor> reactor(new UringReactor(options));
  reactor->features_ = verdict.features;
  Status status = reactor->buffers_.open(options.buffer_bytes);
  if (!status) return status.error();
  reactor->wake_fd_ = eventfd(0, EFD_CLOEXEC);
  if (reactor->wake_fd_ < 0) return error_from_errno(errno, "eventfd of a reactor");
  // The ring is made on the thread that will use it, as SINGLE_ISSUER demands.
  std::binary_semaphore ready(0);
  reactor->thread_ = std::thread([&ready, &status, r = reactor.get()] {
    status = r->set_up();
    const bool works = status.ok();
    ready.release();  // `status` and `ready` are gone from here on.
    if (works) r->run();
  });
  ready.acquire();
  if (!status) return status.error();
  return reactor;
}

UringReactor::~UringReactor() {
  stop();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void UringReactor::stop() noexcept {
  if (!thread_.joinable()) return;
  CHECK(!on_thread());
  stopping_.store(true, std::memory_order_seq_cst);
  const uint64_t one = 1;
  CHECK(write(wake_fd_, &one, sizeof one) == sizeof one);
  thread_.join();
}

Status UringReactor::set_up() {
  char name[16];
  std::snprintf(name, sizeof name, "ashlar-%u", index());
  pthread_setname_np(pthread_self(), name);
  if (options_.cpu >= 0) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<size_t>(options_.cpu) % CPU_SETSIZE, &cpus);
    const int failed = pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    if (failed != 0) {
      return error_from_errno(failed, "cannot pin reactor " + std::to_string(index()) +
                                          " to CPU " + std::to_string(options_.cpu));
    }
  }
  Status status = set_up_ring();
  if (status) status = register_buffers();
  if (!status) {
    if (ring_open_) io_uring_queue_exit(&ring_);
    return status;
  }
  network_ = std::make_unique<UringNetwork>(*this);
  wake_op_.reactor = this;
  wake_op_.prepare = [](RingOp& op, io_uring_sqe& sqe) noexcept {
    auto& wake = static_cast<WakeOp&>(op);
    io_uring_prep_read(&sqe, wake.reactor->wake_fd_, &wake.value, sizeof wake.value, 0);
  };
  wake_op_.complete = [](RingOp& op, int, uint32_t) noexcept {
    auto& wake = static_cast<WakeOp&>(op);
    if (!wake.reactor->finishing_) wake.reactor->submit(wake);
  };
  submit(wake_op_);
  return Unit{};
}

Status UringReactor::set_up_ring() {
  io_uring_params params{};
  params.flags = setup_flags(features_);
  params.cq_entries = limits::ring_under_way;
  const int result = with_patience([&] {
    io_uring_params attempt = params;
    const int failed = io_uring_queue_init_params(limits::ring_entries, &ring_, &attempt);
    if (failed == 0) params = attempt;
    return failed;
  });
  if (result < 0) {
    ProbeNotes notes = probe_system();
    notes.setup_errno = -result;
    return *decide(notes).problem;
  }
  ring_open_ = true;
  CHECK(params.cq_entries >= limits::ring_under_way);
  // Optional: saves looking the ring up on every enter.
  io_uring_register_ring_fd(&ring_);
  return Unit{};
}

Status UringReactor::register_buffers() {
  const std::span<std::byte> memory = buffers_.memory();
  const iovec whole{memory.data(), memory.size()};
  const auto attempt = [&] { return io_uring_register_buffers(&ring_, &whole, 1); };
  // Whoever can do without does not wait.
  const int result = options_.require_registered_buffers ? with_patience(attempt) : attempt();
  buffers_registered_ = result == 0;
  if (buffers_registered_ || !options_.require_registered_buffers) return Unit{};
  if (result != -ENOMEM && result != -EPERM) {
    return error_from_errno(-result, "cannot register the I/O buffers of a reactor");
  }
  std::optional<uint64_t> limit_bytes;
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    limit_bytes = limit.rlim_cur;
  }
  return memlock_error(memory.size(), limit_bytes);
}

Network& UringReactor::network() noexcept { return *network_; }

// ---- Turns --------------------------------------------------------------------------------------

void UringReactor::run() noexcept {
  uint64_t awake_since_ns = clock_.now_ns();
  for (;;) {
    if (turn()) {
      if (polling_.idle()) polling_.busy_at(clock_.now_ns());
      enter_without_waiting();
      continue;
    }
    if (stopping_.load(std::memory_order_relaxed)) break;
    if (polling_.enabled()) {
      const uint64_t now_ns = clock_.now_ns();
      polling_.idle_at(now_ns);
      if (polling_.poll_on(now_ns)) {
        cpu_relax();
        enter_without_waiting();
        continue;
      }
    }
    counters_.busy_ns.add(clock_.now_ns() - awake_since_ns);
    enter_and_sleep();
    awake_since_ns = clock_.now_ns();
  }
  finish();
}

// One pass over everything that is ready; false when there was nothing.
bool UringReactor::turn() noexcept {
  counters_.turns.add(1);
  size_t count = reap();
  while (RingOp* op = cancelled_.pop_front()) {
    complete(*op, -ECANCELED, 0);
    ++count;
  }
  count += run_ready();
  start_waiting();
  return count > 0;
}

void UringReactor::submit(RingOp& op) noexcept {
  CHECK(op.state == RingOp::State::idle);
  if (waiting_.empty() && start_op(op)) return;
  op.state = RingOp::State::waiting;
  waiting_.push_back(op);
}

bool UringReactor::start_op(RingOp& op) noexcept {
  if (under_way_ >= limits::ring_under_way) return false;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return false;
  op.prepare(op, *sqe);
  sqe->user_data = user_data_of(op);
  op.state = RingOp::State::under_way;
  ++under_way_;
  return true;
}

// Cancellations first: they make room.
void UringReactor::start_waiting() noexcept {
  while (!cancelling_.empty()) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) return;
    RingOp& op = *cancelling_.pop_front();
    op.state = RingOp::State::under_way;
    io_uring_prep_cancel64(sqe, user_data_of(op), 0);
    sqe->user_data = nobody;
    ++under_way_;
  }
  while (!waiting_.empty()) {
    RingOp& op = *waiting_.front();
    if (!start_op(op)) return;
    waiting_.remove(op);
  }
}

void UringReactor::cancel(RingOp& op) noexcept {
  switch (op.state) {
    case RingOp::State::idle:
    case RingOp::State::cancelling:
    case RingOp::State::cancelled: return;
    case RingOp::State::waiting:
      waiting_.remove(op);
      op.state = RingOp::State::cancelled;
      cancelled_.push_back(op);
      return;
    case RingOp::State::under_way:
      op.state = RingOp::State::cancelling;
      cancelling_.push_back(op);
      return;
  }
}

size_t UringReactor::reap() noexcept {
  size_t count = 0;
  io_uring_cqe* cqe = nullptr;
  // Batches are bounded so that timers and tasks get their turn; each entry is given back before
  // its owner is called, who may submit.
  while (count < limits::reap_batch && io_uring_peek_cqe(&ring_, &cqe) == 0) {
    RingOp* op = op_of(*cqe);
    const int result = cqe->res;
    const uint32_t flags = cqe->flags;
    io_uring_cqe_seen(&ring_, cqe);
    ++count;
    --under_way_;
    if (op == nullptr) continue;  // A cancellation's own.
    if (op->state == RingOp::State::cancelling) cancelling_.remove(*op);
    complete(*op, result, flags);
  }
  return count;
}

void UringReactor::complete(RingOp& op, int result, uint32_t flags) noexcept {
  op.state = RingOp::State::idle;
  if (finishing_ && &op != &wake_op_) return;
  op.complete(op, result, flags);
}

bool UringReactor::kernel_has_work() const noexcept {
  return io_uring_sq_ready(&ring_) > 0 ||
         (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
          (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void UringReactor::enter_without_waiting() noexcept {
  if (!kernel_has_work()) return;
  const int result = io_uring_submit_and_get_events(&ring_);
  CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
}

void UringReactor::enter_and_sleep() noexcept {
  asleep_.store(true, std::memory_order_seq_cst);
  if (has_ready()) {
    // A message came since turn() looked; its sender may not have seen us asleep.
    asleep_.store(false, std::memory_order_relaxed);
    enter_without_waiting();
    return;
  }
  const uint64_t deadline_ns = next_deadline_ns();
  __kernel_timespec timeout{};
  if (deadline_ns != UINT64_MAX) {
    const uint64_t now_ns = clock_.now_ns();
    const uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    timeout.tv_sec = static_cast<int64_t>(left_ns / 1'000'000'000);
    timeout.tv_nsec = static_cast<long long>(left_ns % 1'000'000'000);
  }
  counters_.sleeps.add(1);
  io_uring_cqe* cqe = nullptr;
  const int result = io_uring_submit_and_wait_timeout(
      &ring_, &cqe, 1, deadline_ns == UINT64_MAX ? nullptr : &timeout, nullptr);
  CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
        result == -EBUSY);
  asleep_.store(false, std::memory_order_relaxed);
}

// Any thread. Pairs with enter_and_sleep(): the message is queued before asleep_ is read here, and
// asleep_ is written before the queue is read there, so one of the two sees the other.
void UringReactor::wake() noexcept {
  if (!asleep_.load(std::memory_order_seq_cst)) return;
  if (!asleep_.exchange(false, std::memory_order_seq_cst)) return;  // Somebody else does it.
  const uint64_t one = 1;
  CHECK(write(wake_fd_, &one, sizeof one) == sizeof one);
}

// The kernel may write into our memory as long as it has requests: none may be left.
void UringReactor::finish() noexcept {
  finishing_ = true;
  while (RingOp* op = waiting_.pop_front()) op->state = RingOp::State::idle;
  while (RingOp* op = cancelling_.pop_front()) op->state = RingOp::State::under_way;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  CHECK(sqe != nullptr);
  io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  sqe->user_data = nobody;
  ++under_way_;
  while (under_way_ > 0) {
    io_uring_cqe* cqe = nullptr;
    const int result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, nullptr, nullptr);
    CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
    reap();
  }
  network_.reset();
  io_uring_queue_exit(&ring_);
  ring_open_ = false;
}

int UringReactor::registered_index(const iovec& memory) const noexcept {
  if (!buffers_registered_) return -1;
  const std::span<std::byte> all = buffers_.memory();
  const auto start = reinterpret_cast<uintptr_t>(memory.iov_base);
  const auto base = reinterpret_cast<uintptr_t>(all.data());
  if (start < base || memory.iov_len > all.size()) return -1;
  return start - base <= all.size() - memory.iov_len ? 0 : -1;
}

}  // namespace ashlar
