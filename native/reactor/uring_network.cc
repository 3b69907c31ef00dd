#include "reactor/uring_network.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/check.h"
#include "reactor/kernel_tls.h"
#include "reactor/limits.h"
#include "reactor/socket.h"
#include "reactor/uring.h"

namespace ashlar {

namespace {

class UringAcceptedStream final : public AcceptedStream {
 public:
  explicit UringAcceptedStream(Descriptor socket) : socket_(std::move(socket)) {}
  Descriptor take() noexcept { return std::move(socket_); }

 private:
  Descriptor socket_;
};

// ---- Stream -------------------------------------------------------------------------------------

class UringStream final : public Stream {
 public:
  UringStream(UringReactor& reactor, Descriptor socket);
  ~UringStream() override;
  void receive(StreamOp& op) noexcept override;
  void send(StreamOp& op) noexcept override;
  int64_t send_now(std::span<const iovec> segments) noexcept override;
  void close(bool linger, Task& closed) noexcept override;
  SocketAddress local() const override { return local_address(socket_.get()); }
  SocketAddress peer() const override { return peer_address(socket_.get()); }
  TlsOffload offload_tls(const TlsRecordKeys& receive,
                         const TlsRecordKeys& send) noexcept override;

 private:
  enum class State : uint8_t {
    open,
    cancelling,  // Operations under way end; the last of their completions moves it on.
    draining,    // Lingering: reads and drops until the peer's end or the timer moves it on.
    closed,      // The descriptor is gone.
  };

  struct Ring : RingOp {
    explicit Ring(UringStream& owner) : stream(owner) {}
    UringStream& stream;
  };
  struct LingerTimer : Timer {
    explicit LingerTimer(UringStream& owner) : stream(owner) {}
    UringStream& stream;
  };

  void set_state(State next) noexcept;
  void received(int result, uint32_t flags) noexcept;
  void sent(int result) noexcept;
  void fill_window() noexcept;
  void advance_close() noexcept;
  void finish_close() noexcept;

  UringReactor& reactor_;
  Descriptor socket_;
  State state_ = State::open;
  StreamOp* receiving_ = nullptr;
  StreamOp* sending_ = nullptr;
  Ring receive_op_;
  Ring send_op_;
  // The last receive emptied the socket: wait for data before trying again.
  bool expect_empty_ = false;
  bool kernel_tls_ = false;      // The kernel does the records of TLS.
  // The part of sending_'s segments that is with the kernel, and what lies before it.
  std::array<iovec, limits::segments_per_request> window_{};
  msghdr message_{};
  size_t next_segment_ = 0;      // First segment not handed over wholly.
  size_t segment_offset_ = 0;    // Bytes of it handed over.
  bool linger_ = false;
  Task* closed_task_ = nullptr;
  LingerTimer linger_timer_;
  std::array<std::byte, 4096> drain_{};
};

UringStream::UringStream(UringReactor& reactor, Descriptor socket)
    : reactor_(reactor),
      socket_(std::move(socket)),
      receive_op_(*this),
      send_op_(*this),
      linger_timer_(*this) {
  receive_op_.prepare = [](RingOp& op, io_uring_sqe& sqe) noexcept {
    UringStream& stream = static_cast<Ring&>(op).stream;
    const std::span<std::byte> into = stream.state_ == State::draining
                                          ? std::span<std::byte>(stream.drain_)
                                          : stream.receiving_->into;
    io_uring_prep_recv(&sqe, stream.socket_.get(), into.data(), into.size(), 0);
    if (stream.expect_empty_) sqe.ioprio |= IORING_RECVSEND_POLL_FIRST;
  };
  receive_op_.complete = [](RingOp& op, int result, uint32_t flags) noexcept {
    static_cast<Ring&>(op).stream.received(result, flags);
  };
  send_op_.prepare = [](RingOp& op, io_uring_sqe& sqe) noexcept {
    UringStream& stream = static_cast<Ring&>(op).stream;
    if (stream.message_.msg_iovlen == 1) {
      io_uring_prep_send(&sqe, stream.socket_.get(), stream.window_[0].iov_base,
                         stream.window_[0].iov_len, MSG_NOSIGNAL);
    } else {
      io_uring_prep_sendmsg(&sqe, stream.socket_.get(), &stream.message_, MSG_NOSIGNAL);
    }
  };
  send_op_.complete = [](RingOp& op, int result, uint32_t) noexcept {
    static_cast<Ring&>(op).stream.sent(result);
  };
  linger_timer_.fire = [](Timer& timer) noexcept {
    UringStream& stream = static_cast<LingerTimer&>(timer).stream;
    stream.reactor_.cancel(stream.receive_op_);
  };
}

UringStream::~UringStream() {
  CHECK(state_ == State::closed || state_ == State::open);
  CHECK(receiving_ == nullptr && sending_ == nullptr);
}

void UringStream::set_state(State next) noexcept {
  bool legal = false;
  switch (state_) {
    case State::open: legal = next == State::cancelling; break;
    case State::cancelling: legal = next == State::draining || next == State::closed; break;
    case State::draining: legal = next == State::closed; break;
    case State::closed: break;
  }
  CHECK(legal);
  state_ = next;
}

void UringStream::receive(StreamOp& op) noexcept {
  CHECK(state_ == State::open && receiving_ == nullptr && !op.into.empty());
  receiving_ = &op;
  reactor_.submit(receive_op_);
}

void UringStream::received(int result, uint32_t flags) noexcept {
  if (state_ == State::draining) {
    // Data: drop it and go on. The end, an error or the timer's cancellation: done.
    if (result > 0 && linger_timer_.armed()) {
      reactor_.submit(receive_op_);
    } else {
      finish_close();
    }
    return;
  }
  if (result == -EINTR || result == -EAGAIN) {
    if (state_ == State::open) {
      reactor_.submit(receive_op_);
      return;
    }
    result = -ECANCELED;
  }
  if (kernel_tls_) {
    // The kernel does not say then what it has left.
    expect_empty_ = result < static_cast<int64_t>(receiving_->into.size());
    if (result == -EIO) result = kernel_tls_take_record(socket_.get());
  } else {
    expect_empty_ = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
  }
  StreamOp& op = *std::exchange(receiving_, nullptr);
  op.result = state_ == State::open ? result : -ECANCELED;
  const bool closing = state_ == State::cancelling;
  op.done(op);  // The owner may end the stream from here only when it was not closing.
  if (closing) advance_close();
}

void UringStream::send(StreamOp& op) noexcept {
  CHECK(state_ == State::open && sending_ == nullptr && !op.segments.empty());
  sending_ = &op;
  op.result = 0;
  next_segment_ = 0;
  segment_offset_ = 0;
  fill_window();
  reactor_.submit(send_op_);
}

int64_t UringStream::send_now(std::span<const iovec> segments) noexcept {
  CHECK(state_ == State::open && sending_ == nullptr && !segments.empty());
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(segments.data());
  message.msg_iovlen = std::min<size_t>(segments.size(), IOV_MAX);
  const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent >= 0 ? sent : -errno;
}

void UringStream::fill_window() noexcept {
  const std::span<const iovec> rest = sending_->segments.subspan(next_segment_);
  const size_t count = std::min<size_t>(rest.size(), window_.size());
  std::copy_n(rest.begin(), count, window_.begin());
  window_[0].iov_base = static_cast<std::byte*>(window_[0].iov_base) + segment_offset_;
  window_[0].iov_len -= segment_offset_;
  message_.msg_iov = window_.data();
  message_.msg_iovlen = count;
}

void UringStream::sent(int result) noexcept {
  const bool again = result == -EINTR || result == -EAGAIN;
  if (result > 0) {
    sending_->result += result;
    size_t left = static_cast<size_t>(result);
    while (next_segment_ < sending_->segments.size()) {
      const size_t segment_left = sending_->segments[next_segment_].iov_len - segment_offset_;
      if (left < segment_left) {
        segment_offset_ += left;
        break;
      }
      left -= segment_left;
      segment_offset_ = 0;
      ++next_segment_;
    }
  }
  const bool all = next_segment_ == sending_->segments.size();
  if (state_ == State::open && !all && (result > 0 || again)) {
    fill_window();
    reactor_.submit(send_op_);
    return;
  }
  StreamOp& op = *std::exchange(sending_, nullptr);
  if (state_ != State::open) {
    op.result = -ECANCELED;
  } else if (!all) {
    op.result = result == 0 ? -EPIPE : result;
  }
  const bool closing = state_ == State::cancelling;
  op.done(op);
  if (closing) advance_close();
}

TlsOffload UringStream::offload_tls(const TlsRecordKeys& receive,
                                    const TlsRecordKeys& send) noexcept {
  CHECK(state_ == State::open && receiving_ == nullptr && sending_ == nullptr && !kernel_tls_);
  const TlsOffload outcome = kernel_tls_begin(socket_.get(), receive, send);
  kernel_tls_ = outcome == TlsOffload::done;
  expect_empty_ = false;  // What has come already wakes nobody.
  return outcome;
}

void UringStream::close(bool linger, Task& closed) noexcept {
  set_state(State::cancelling);
  linger_ = linger;
  closed_task_ = &closed;
  reactor_.cancel(receive_op_);
  reactor_.cancel(send_op_);
  advance_close();
}

void UringStream::advance_close() noexcept {
  if (receiving_ != nullptr || sending_ != nullptr) return;
  if (linger_ && kernel_tls_) kernel_tls_close_notify(socket_.get());
  if (linger_ && ::shutdown(socket_.get(), SHUT_WR) == 0) {
    set_state(State::draining);
    expect_empty_ = false;
    reactor_.arm(linger_timer_, reactor_.clock().now_ns() + limits::linger_ns);
    reactor_.submit(receive_op_);
    return;
  }
  if (!linger_) set_reset_on_close(socket_.get());
  finish_close();
}

void UringStream::finish_close() noexcept {
  reactor_.cancel(linger_timer_);
  set_state(State::closed);
  socket_.reset();
  reactor_.defer(*std::exchange(closed_task_, nullptr));
}

// ---- Listener -----------------------------------------------------------------------------------

class UringListener final : public Listener {
 public:
  UringListener(UringReactor& reactor, Descriptor socket,
                std::function<void(std::unique_ptr<AcceptedStream>)> on_accept);
  ~UringListener() override { CHECK(!socket_.valid()); }
  SocketAddress local() const override { return local_address(socket_.get()); }
  void close(Task& closed) noexcept override;

 private:
  struct Ring : RingOp {
    explicit Ring(UringListener& owner) : listener(owner) {}
    UringListener& listener;
  };
  struct RetryTimer : Timer {
    explicit RetryTimer(UringListener& owner) : listener(owner) {}
    UringListener& listener;
  };

  void accepted(int result) noexcept;
  void finish_close() noexcept;

  UringReactor& reactor_;
  Descriptor socket_;
  std::function<void(std::unique_ptr<AcceptedStream>)> on_accept_;
  Ring accept_op_;
  RetryTimer retry_timer_;
  Task* closed_task_ = nullptr;
};

UringListener::UringListener(UringReactor& reactor, Descriptor socket,
                             std::function<void(std::unique_ptr<AcceptedStream>)> on_accept)
    : reactor_(reactor),
      socket_(std::move(socket)),
      on_accept_(std::move(on_accept)),
      accept_op_(*this),
      retry_timer_(*this) {
  accept_op_.prepare = [](RingOp& op, io_uring_sqe& sqe) noexcept {
    io_uring_prep_accept(&sqe, static_cast<Ring&>(op).listener.socket_.get(), nullptr, nullptr,
                         SOCK_CLOEXEC);
  };
  accept_op_.complete = [](RingOp& op, int result, uint32_t) noexcept {
    static_cast<Ring&>(op).listener.accepted(result);
  };
  retry_timer_.fire = [](Timer& timer) noexcept {
    UringListener& listener = static_cast<RetryTimer&>(timer).listener;
    listener.reactor_.submit(listener.accept_op_);
  };
  reactor_.submit(accept_op_);
}

void UringListener::accepted(int result) noexcept {
  Descriptor connection(result);
  if (closed_task_ != nullptr) {
    finish_close();
    return;
  }
  switch (result) {
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
      // The connection stays in the backlog; trying again at once would only spin.
      reactor_.arm(retry_timer_, reactor_.clock().now_ns() + limits::accept_retry_ns);
      return;
    default: break;
  }
  reactor_.submit(accept_op_);
  if (connection.valid()) {
    on_accept_(std::make_unique<UringAcceptedStream>(std::move(connection)));
  }
}

void UringListener::close(Task& closed) noexcept {
  CHECK(socket_.valid() && closed_task_ == nullptr);
  closed_task_ = &closed;
  if (accept_op_.state == RingOp::State::idle) {
    finish_close();
  } else {
    reactor_.cancel(accept_op_);
  }
}

void UringListener::finish_close() noexcept {
  reactor_.cancel(retry_timer_);
  socket_.reset();
  reactor_.defer(*closed_task_);
}

// ---- Connect ------------------------------------------------------------------------------------

// One connection being made; frees itself when told.
class Connecting {
 public:
  Connecting(UringReactor& reactor, ConnectOp& op);
  void start() noexcept;

 private:
  struct Ring : RingOp {
    explicit Ring(Connecting& owner) : connecting(owner) {}
    Connecting& connecting;
  };
  struct Timeout : Timer {
    explicit Timeout(Connecting& owner) : connecting(owner) {}
    Connecting& connecting;
  };
  struct Finish : Task {
    explicit Finish(Connecting& owner) : connecting(owner) {}
    Connecting& connecting;
  };

  void finish(int result) noexcept;

  UringReactor& reactor_;
  ConnectOp& op_;
  RawAddress address_;
  Descriptor socket_;
  bool timed_out_ = false;
  int early_result_ = 0;
  Ring ring_op_;
  Timeout timeout_;
  Finish finish_;
};

Connecting::Connecting(UringReactor& reactor, ConnectOp& op)
    : reactor_(reactor), op_(op), ring_op_(*this), timeout_(*this), finish_(*this) {
  ring_op_.prepare = [](RingOp& ring_op, io_uring_sqe& sqe) noexcept {
    Connecting& self = static_cast<Ring&>(ring_op).connecting;
    io_uring_prep_connect(&sqe, self.socket_.get(), self.address_.get(), self.address_.length);
  };
  ring_op_.complete = [](RingOp& ring_op, int result, uint32_t) noexcept {
    Connecting& self = static_cast<Ring&>(ring_op).connecting;
    self.finish(self.timed_out_ && result != 0 ? -ETIMEDOUT : result);
  };
  timeout_.fire = [](Timer& timer) noexcept {
    Connecting& self = static_cast<Timeout&>(timer).connecting;
    self.timed_out_ = true;
    self.reactor_.cancel(self.ring_op_);
  };
  finish_.run = [](Task& task) noexcept {
    Connecting& self = static_cast<Finish&>(task).connecting;
    self.finish(self.early_result_);
  };
}

void Connecting::start() noexcept {
  Result<RawAddress> address = to_raw(op_.to);
  if (!address) {
    early_result_ = -EINVAL;
    reactor_.defer(finish_);
    return;
  }
  address_ = address.value();
  socket_ = Descriptor(::socket(address_.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_.valid()) {
    early_result_ = -errno;
    reactor_.defer(finish_);
    return;
  }
  if (op_.timeout_ns > 0) reactor_.arm(timeout_, reactor_.clock().now_ns() + op_.timeout_ns);
  reactor_.submit(ring_op_);
}

void Connecting::finish(int result) noexcept {
  const std::unique_ptr<Connecting> self(this);
  reactor_.cancel(timeout_);
  op_.result = result;
  if (result == 0) {
    set_options(socket_.get());
    op_.stream = std::make_unique<UringStream>(reactor_, std::move(socket_));
  }
  op_.done(op_);
}

}  // namespace

// ---- Network ------------------------------------------------------------------------------------

Result<std::unique_ptr<Listener>> UringNetwork::listen(
    const SocketAddress& at, std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) {
  Result<Descriptor> socket = open_listening(at);
  if (!socket) return socket.error();
  std::unique_ptr<Listener> listener = std::make_unique<UringListener>(
      reactor_, std::move(socket).value(), std::move(on_accept));
  return listener;
}

Result<std::unique_ptr<Stream>> UringNetwork::adopt(std::unique_ptr<AcceptedStream> accepted) {
  Descriptor socket = static_cast<UringAcceptedStream&>(*accepted).take();
  CHECK(socket.valid());
  set_options(socket.get());
  std::unique_ptr<Stream> stream = std::make_unique<UringStream>(reactor_, std::move(socket));
  return stream;
}

void UringNetwork::connect(ConnectOp& op) noexcept { (new Connecting(reactor_, op))->start(); }

}  // namespace ashlar
