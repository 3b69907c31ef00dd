#include "load/exchange.h"

#include <liburing.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "reactor/socket.h"
#include "reactor/system.h"

namespace ashlar::load {

namespace {

constexpr size_t receive_bytes = 256 * 1024;
constexpr size_t send_bytes = 1024 * 1024;
constexpr unsigned ring_entries = 1024;

}  // namespace

void SideMemory::used(size_t count) noexcept {
  if (!cycles_) return;
  at_ += count;
  // The rest is too short to be worth a call of its own.
  if (room() < 64 * 1024) at_ = 0;
}

// ---- One side -----------------------------------------------------------------------------------

Side::Side(const ExchangeShape& shape, bool requester, const std::vector<int>& fds)
    : shape_(shape),
      requester_(requester),
      in_(receive_bytes, shape.touch_bytes),
      out_(send_bytes, shape.touch_bytes) {
  for (uint32_t i = 0; i < 100; ++i) {
    reads_[i] = (i + 1) * shape.read_percent / 100 > i * shape.read_percent / 100;
  }
  for (const int fd : fds) {
    Flow flow;
    flow.fd = fd;
    for (uint64_t i = 0; requester && i < shape.depth; ++i) flow.to_send += request_bytes(i);
    flows_.push_back(flow);
  }
  if (requester && shape.depth == 1 && fds.size() == 1) latencies = std::make_unique<Histogram>();
}

bool Side::took(Flow& flow, ssize_t count) noexcept {
  if (count <= 0) {
    flow.broken = flow.broken || count == 0 || (errno != EAGAIN && errno != EINTR);
    return !flow.broken;
  }
  flow.have += static_cast<uint64_t>(count);
  const uint64_t before = flow.taken;
  for (;;) {
    const uint64_t whole = requester_ ? response_bytes(flow.taken) : request_bytes(flow.taken);
    if (flow.have < whole) break;
    flow.have -= whole;
    flow.to_send +=
        requester_ ? request_bytes(flow.taken + shape_.depth) : response_bytes(flow.taken);
    ++flow.taken;
  }
  if (flow.taken == before) return true;
  done.store(done.load(std::memory_order_relaxed) + flow.taken - before, std::memory_order_relaxed);
  if (latencies != nullptr) {
    const uint64_t now = SystemClock().now_ns();
    if (measuring.load(std::memory_order_relaxed)) latencies->add(now - began_ns_);
    began_ns_ = now;
  }
  return true;
}

bool Side::sent(Flow& flow, ssize_t count) noexcept {
  if (count <= 0) {
    flow.broken = flow.broken || (errno != EAGAIN && errno != EINTR);
    return !flow.broken;
  }
  flow.to_send -= static_cast<uint64_t>(count);
  return true;
}

bool Side::receive(Flow& flow, int flags) noexcept {
  const ssize_t got = ::recv(flow.fd, in_.at(), std::min(in_.room(), receive_bytes), flags);
  if (got > 0) in_.used(static_cast<size_t>(got));
  return took(flow, got);
}

bool Side::transmit(Flow& flow, int flags) noexcept {
  const size_t count = std::min({static_cast<size_t>(flow.to_send), out_.room(), send_bytes});
  const ssize_t gone = ::send(flow.fd, out_.at(), count, flags | MSG_NOSIGNAL);
  if (gone > 0) out_.used(static_cast<size_t>(gone));
  return sent(flow, gone);
}

// ---- The ways -----------------------------------------------------------------------------------

namespace {

void run_blocking(Side& side) noexcept {
  CHECK(side.flows().size() == 1);
  Flow& flow = side.flows()[0];
  for (;;) {
    while (flow.to_send > 0) {
      if (!side.transmit(flow, 0)) return;
    }
    if (!side.receive(flow, 0)) return;
  }
}

void run_spin(Side& side) noexcept {
  for (size_t open = side.flows().size(); open > 0;) {
    for (Flow& flow : side.flows()) {
      if (flow.broken) continue;
      bool fine = side.receive(flow, MSG_DONTWAIT);
      if (fine && flow.to_send > 0) fine = side.transmit(flow, MSG_DONTWAIT);
      if (!fine) --open;
    }
  }
}

void run_epoll(Side& side) noexcept {
  const Descriptor poll(::epoll_create1(EPOLL_CLOEXEC));
  CHECK(poll.valid());
  std::vector<Flow*> blocked;  // By the window of their peer.
  for (Flow& flow : side.flows()) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &flow;
    CHECK(::epoll_ctl(poll.get(), EPOLL_CTL_ADD, flow.fd, &event) == 0);
    if (flow.to_send > 0) blocked.push_back(&flow);
  }
  size_t open = side.flows().size();
  const auto push = [&](Flow& flow) {
    if (!flow.broken && !side.transmit(flow, MSG_DONTWAIT)) --open;
    return !flow.broken && flow.to_send > 0;
  };
  std::vector<epoll_event> events(side.flows().size());
  while (open > 0) {
    std::erase_if(blocked, [&](Flow* flow) { return !push(*flow); });
    const int ready = ::epoll_wait(poll.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < ready; ++i) {
      Flow& flow = *static_cast<Flow*>(events[static_cast<size_t>(i)].data.ptr);
      if (flow.broken) continue;
      const bool was_blocked = flow.to_send > 0;
      if (!side.receive(flow, MSG_DONTWAIT)) {
        --open;
        ::epoll_ctl(poll.get(), EPOLL_CTL_DEL, flow.fd, nullptr);
      } else if (!was_blocked && flow.to_send > 0 && push(flow)) {
        blocked.push_back(&flow);
      }
    }
  }
}

// What is under way owns its memory, so each connection has its own.
class UringSide {
 public:
  UringSide(Side& side, io_uring& ring, size_t touch) : side_(side), ring_(ring) {
    for (size_t i = 0; i < side.flows().size(); ++i) {
      ends_.push_back({SideMemory(receive_bytes, touch), SideMemory(send_bytes, touch)});
    }
  }
  void run() noexcept {
    for (size_t i = 0; i < ends_.size(); ++i) {
      post_receive(i);
      post_send(i);
    }
    while (under_way_ > 0) {
      io_uring_submit_and_wait(&ring_, 1);
      unsigned head = 0, count = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        completed(cqe->user_data, cqe->res);
      }
      io_uring_cq_advance(&ring_, count);
    }
  }

 private:
  struct End {
    SideMemory in, out;
    bool sending = false;
  };
  void completed(uint64_t data, int result) noexcept {
    --under_way_;
    const size_t i = data >> 1;
    Flow& flow = side_.flows()[i];
    End& end = ends_[i];
    errno = result < 0 ? -result : 0;
    if ((data & 1) != 0) {
      end.sending = false;
      if (result > 0) end.out.used(static_cast<size_t>(result));
      if (side_.sent(flow, result)) post_send(i);
      return;
    }
    if (result > 0) end.in.used(static_cast<size_t>(result));
    if (!side_.took(flow, result)) return;
    post_receive(i);
    post_send(i);
  }
  io_uring_sqe* take() noexcept {
    ++under_way_;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe != nullptr) return sqe;
    io_uring_submit(&ring_);
    return io_uring_get_sqe(&ring_);
  }
  void post_receive(size_t i) noexcept {
    io_uring_sqe* const sqe = take();
    SideMemory& in = ends_[i].in;
    io_uring_prep_recv(sqe, side_.flows()[i].fd, in.at(), std::min(in.room(), receive_bytes), 0);
    sqe->user_data = i << 1;
  }
  void post_send(size_t i) noexcept {
    Flow& flow = side_.flows()[i];
    End& end = ends_[i];
    if (flow.to_send == 0 || end.sending || flow.broken) return;
    io_uring_sqe* const sqe = take();
    const size_t count = std::min({static_cast<size_t>(flow.to_send), end.out.room(), send_bytes});
    io_uring_prep_send(sqe, flow.fd, end.out.at(), count, MSG_NOSIGNAL);
    sqe->user_data = i << 1 | 1;
    end.sending = true;
  }

  Side& side_;
  io_uring& ring_;
  std::vector<End> ends_;
  size_t under_way_ = 0;
};

// 0 or -errno. The ring belongs to the thread that opens it.
int open_ring(io_uring& ring) noexcept {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (io_uring_queue_init_params(ring_entries, &ring, &params) == 0) return 0;
  return io_uring_queue_init(ring_entries, &ring, 0);
}

void run_uring(Side& side, uint64_t touch_bytes) noexcept {
  io_uring ring{};
  if (open_ring(ring) != 0) return;  // It was there a moment ago; nothing comes of this way then.
  UringSide(side, ring, touch_bytes / side.flows().size()).run();
  io_uring_queue_exit(&ring);
}

}  // namespace

const char* exchange_way_name(ExchangeWay way) noexcept {
  switch (way) {
    case ExchangeWay::blocking: return "blocking";
    case ExchangeWay::spin: return "spin";
    case ExchangeWay::epoll: return "epoll";
    case ExchangeWay::uring: return "uring";
  }
  return "";
}

void run_side(ExchangeWay way, Side& side, uint64_t touch_bytes) noexcept {
  switch (way) {
    case ExchangeWay::blocking: return run_blocking(side);
    case ExchangeWay::spin: return run_spin(side);
    case ExchangeWay::epoll: return run_epoll(side);
    case ExchangeWay::uring: return run_uring(side, touch_bytes);
  }
}

int exchange_uring_problem() noexcept {
  io_uring ring{};
  if (const int failed = open_ring(ring); failed != 0) return -failed;
  io_uring_queue_exit(&ring);
  return 0;
}

}  // namespace ashlar::load
