#include "tls/stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace ashlar::tls {

TlsStream::TlsStream(Loop& loop, std::unique_ptr<Stream> inner, std::shared_ptr<Context> context,
                     bool plain_allowed, ReactorCounters& counters)
    : loop_(loop),
      inner_(std::move(inner)),
      context_(std::move(context)),
      plain_allowed_(plain_allowed),
      counters_(counters) {
  inner_receive_.context = inner_send_.context = this;
  inner_receive_.done = [](StreamOp& op) noexcept {
    static_cast<TlsStream*>(op.context)->on_received();
  };
  inner_send_.done = [](StreamOp& op) noexcept {
    static_cast<TlsStream*>(op.context)->on_sent();
  };
  ready_task_.owner = inner_closed_task_.owner = parting_timer_.owner = this;
  ready_task_.run = [](Task& task) noexcept { static_cast<OwnedTask&>(task).owner->advance(); };
  inner_closed_task_.run = [](Task& task) noexcept {
    static_cast<OwnedTask&>(task).owner->on_inner_closed();
  };
  parting_timer_.fire = [](Timer& timer) noexcept {
    static_cast<OwnedTimer&>(timer).owner->close_inner();
  };
}

TlsStream::~TlsStream() {
  CHECK(receiving_ == nullptr && sending_ == nullptr);
  CHECK(!ready_task_.queued.load(std::memory_order_relaxed) && !parting_timer_.armed());
}

void TlsStream::set_state(State to) noexcept {
  const State from = state_;
  switch (to) {
    case State::hello: CHECK(false); break;
    case State::plain:
    case State::handshake: CHECK(from == State::hello); break;
    case State::secured:
    case State::offloaded: CHECK(from == State::handshake); break;
    case State::failed:
      CHECK(from == State::hello || from == State::handshake || from == State::secured);
      break;
    case State::parting: CHECK(from == State::failed || from == State::secured); break;
    case State::closing: CHECK(from != State::closing && from != State::closed); break;
    case State::closed: CHECK(from == State::closing); break;
  }
  state_ = to;
}

std::string TlsStream::peer_identity() const {
  if (session_ == nullptr) return identity_;
  return session_->established() ? session_->identity() : std::string();
}

// ---- Receive ------------------------------------------------------------------------------------

void TlsStream::receive(StreamOp& op) noexcept {
  CHECK(receiving_ == nullptr && closed_ == nullptr && !op.into.empty());
  if (state_ == State::offloaded || (state_ == State::plain && hello_used_ == 0)) {
    inner_->receive(op);
    return;
  }
  receiving_ = &op;
  const bool must_wait = state_ == State::hello || state_ == State::handshake ||
                         (state_ == State::secured && !session_->readable() && !receive_ended_);
  if (must_wait) {
    post_receive();
  } else if (!ready_task_.queued.load(std::memory_order_relaxed)) {
    loop_.defer(ready_task_);
  }
}

void TlsStream::complete_receive(int64_t result) noexcept {
  StreamOp& op = *std::exchange(receiving_, nullptr);
  op.result = result;
  op.done(op);
}

// Goes on with the owner's receive as far as what is here allows.
void TlsStream::advance() noexcept {
  if (receiving_ == nullptr || closed_ != nullptr) return;
  if (state_ == State::hello && !judge_hello()) return;
  if (state_ == State::handshake && !shake()) return;
  switch (state_) {
    case State::plain: deliver_plain(); return;
    case State::secured: read_content(); return;
    case State::offloaded: inner_->receive(*std::exchange(receiving_, nullptr)); return;
    case State::failed: complete_receive(receive_error_); return;
    case State::hello:
    case State::handshake:
    case State::parting:
    case State::closing:
    case State::closed: break;
  }
  CHECK(false);
}

// Refuses the peer, or what it does. The owner's receive says so, now or when it comes.
void TlsStream::fail() noexcept {
  set_state(State::failed);
  receive_error_ = receive_ended_ && receive_error_ < 0 ? receive_error_ : -EPROTO;
  flush();
  // It may be a send that failed, while the receive waits for the peer.
  if (receiving_ != nullptr && !ready_task_.queued.load(std::memory_order_relaxed)) {
    loop_.defer(ready_task_);
  }
}

// True when the state has moved on.
bool TlsStream::judge_hello() noexcept {
  const std::span<const std::byte> bytes{hello_.data(), hello_used_};
  switch (hello_state(bytes)) {
    case HelloState::whole: take_hello(); return true;
    case HelloState::refused:
      if (plain_allowed_ && bytes[0] != std::byte{0x16}) {
        set_state(State::plain);
      } else {
        fail();
      }
      return true;
    case HelloState::incomplete: break;
  }
  if (receive_ended_) {
    // An end before anything is an ordinary end.
    if (hello_used_ == 0 && receive_error_ == 0) {
      complete_receive(0);
      return false;
    }
    fail();
    return true;
  }
  post_receive();
  return false;
}

void TlsStream::take_hello() noexcept {
  const std::span<const std::byte> bytes{hello_.data(), hello_used_};
  const size_t length = hello_bytes(bytes);
  session_ = std::make_unique<Session>(context_, bytes.first(length));
  set_state(State::handshake);
  if (session_->identity().empty()) {
    fail();
    return;
  }
  received_ = std::make_unique<std::byte[]>(limits::receive_bytes);
  const auto rest = bytes.subspan(length);
  std::copy(rest.begin(), rest.end(), received_.get());
  cut_.take(rest);
  if (!rest.empty()) session_->give({received_.get(), rest.size()});
  std::vector<std::byte>().swap(hello_);
  hello_used_ = 0;
}

void TlsStream::deliver_plain() noexcept {
  const size_t length = std::min(hello_used_, receiving_->into.size());
  std::memcpy(receiving_->into.data(), hello_.data(), length);
  hello_.erase(hello_.begin(), hello_.begin() + static_cast<ptrdiff_t>(length));
  hello_used_ -= length;
  if (hello_used_ == 0) std::vector<std::byte>().swap(hello_);
  complete_receive(static_cast<int64_t>(length));
}

// True when the state has moved on.
bool TlsStream::shake() noexcept {
  const Outcome outcome = session_->handshake();
  flush();
  switch (outcome) {
    case Outcome::done: return establish();
    case Outcome::want_input:
      if (!receive_ended_) {
        post_receive();
        return false;
      }
      break;
    case Outcome::want_output:
    case Outcome::closed:
    case Outcome::failed: break;
  }
  fail();
  return true;
}

// The handshake is done. True when the state has moved on.
bool TlsStream::establish() noexcept {
  if (context_->records() == Records::kernel) {
    // The keys change for whatever is sent after them: on_sent() goes on.
    if (inner_sending_) return false;
    offload();
    if (state_ != State::handshake) return true;
  }
  counters_.tls_process_connections.add(1);
  set_state(State::secured);
  return true;
}

void TlsStream::offload() noexcept {
  TlsRecordKeys receive;
  TlsRecordKeys send;
  TlsOffload outcome = TlsOffload::refused;
  if (!receive_ended_ && session_->take_record_keys(receive, send)) {
    outcome = inner_->offload_tls(receive, send);
  }
  if (outcome != TlsOffload::done) counters_.tls_offloads_refused.add(1);
  if (outcome == TlsOffload::refused) return;
  identity_ = session_->identity();
  session_.reset();
  received_.reset();
  if (outcome == TlsOffload::broken) {
    fail();
    return;
  }
  counters_.tls_kernel_connections.add(1);
  set_state(State::offloaded);
}

// As much content as is here and has room.
void TlsStream::read_content() noexcept {
  const std::span<std::byte> into = receiving_->into;
  size_t filled = 0;
  Outcome outcome = Outcome::done;
  while (outcome == Outcome::done && filled < into.size()) {
    const Session::Read read = session_->read(into.subspan(filled));
    outcome = read.outcome;
    filled += read.bytes;
  }
  flush();  // The answer to a KeyUpdate.
  if (filled != 0) {
    complete_receive(static_cast<int64_t>(filled));
    return;
  }
  switch (outcome) {
    case Outcome::done: CHECK(false); return;
    case Outcome::want_input:
      // Hosts whose kernel does TLS may close without close_notify. It is the PDUs that tell
      // whether something was cut off.
      if (receive_ended_) {
        complete_receive(receive_error_);
      } else {
        post_receive();
      }
      return;
    case Outcome::want_output: return;  // on_sent() goes on.
    case Outcome::closed: complete_receive(0); return;
    case Outcome::failed:
      fail();
      complete_receive(receive_error_);
      return;
  }
}

void TlsStream::post_receive() noexcept {
  if (inner_receiving_) return;
  if (state_ == State::hello) {
    // The header of the record says how much there is; before it there is room for most.
    const size_t wanted = hello_used_ < limits::record_header_bytes
                              ? limits::first_hello_bytes
                              : hello_bytes({hello_.data(), hello_used_});
    hello_.resize(std::max(wanted, hello_.size()));
    inner_receive_.into = std::span(hello_).subspan(hello_used_);
  } else {
    CHECK(session_->unread() == 0);
    const bool bounded = state_ == State::handshake && context_->records() == Records::kernel;
    const size_t room =
        bounded ? std::min(cut_.wanted(), limits::receive_bytes) : limits::receive_bytes;
    inner_receive_.into = {received_.get(), room};
  }
  inner_receiving_ = true;
  inner_->receive(inner_receive_);
}

void TlsStream::on_received() noexcept {
  inner_receiving_ = false;
  if (closed_ != nullptr) return;
  const int64_t result = inner_receive_.result;
  if (result <= 0) {
    receive_ended_ = true;
    receive_error_ = result;
  } else if (state_ == State::hello) {
    hello_used_ += static_cast<size_t>(result);
  } else {
    const std::span<const std::byte> bytes{received_.get(), static_cast<size_t>(result)};
    if (state_ == State::handshake) cut_.take(bytes);
    session_->give(bytes);
  }
  advance();
}

// ---- Send ---------------------------------------------------------------------------------------

void TlsStream::send(StreamOp& op) noexcept {
  CHECK(sending_ == nullptr && closed_ == nullptr);
  if (state_ == State::plain || state_ == State::offloaded) {
    inner_->send(op);
    return;
  }
  CHECK(state_ == State::secured || state_ == State::failed);
  sending_ = &op;
  segment_ = segment_offset_ = 0;
  sent_bytes_ = 0;
  encrypt();
  flush();
}

int64_t TlsStream::send_now(std::span<const iovec> segments) noexcept {
  CHECK(sending_ == nullptr && closed_ == nullptr);
  const bool as_it_is = state_ == State::plain || state_ == State::offloaded;
  return as_it_is ? inner_->send_now(segments) : -EAGAIN;
}

void TlsStream::complete_send(int64_t result) noexcept {
  StreamOp& op = *std::exchange(sending_, nullptr);
  op.result = result;
  op.done(op);
}

// Turns as much of the owner's send into records as there is room for. A connection that failed
// takes no more: its send ends with close().
void TlsStream::encrypt() noexcept {
  if (state_ != State::secured || send_broken_) return;
  while (segment_ < sending_->segments.size() && session_->writable()) {
    if (!encrypt_record()) {
      fail();
      return;
    }
  }
}

// One record, from the owner's memory where it lies in one piece, otherwise gathered.
bool TlsStream::encrypt_record() noexcept {
  std::array<std::byte, limits::record_content_bytes> gathered;
  std::span<const std::byte> content;
  const iovec& first = sending_->segments[segment_];
  if (first.iov_len - segment_offset_ >= gathered.size()) {
    content = {static_cast<const std::byte*>(first.iov_base) + segment_offset_, gathered.size()};
    segment_offset_ += gathered.size();
  } else {
    size_t filled = 0;
    while (filled < gathered.size() && segment_ < sending_->segments.size()) {
      const iovec& segment = sending_->segments[segment_];
      const size_t length = std::min(segment.iov_len - segment_offset_, gathered.size() - filled);
      std::memcpy(gathered.data() + filled,
                  static_cast<const std::byte*>(segment.iov_base) + segment_offset_, length);
      filled += length;
      segment_offset_ += length;
      if (segment_offset_ < segment.iov_len) break;
      ++segment_;
      segment_offset_ = 0;
    }
    content = std::span(gathered).first(filled);
  }
  if (segment_ < sending_->segments.size() &&
      segment_offset_ == sending_->segments[segment_].iov_len) {
    ++segment_;
    segment_offset_ = 0;
  }
  if (content.empty()) return true;
  sent_bytes_ += static_cast<int64_t>(content.size());
  return session_->write(content) == Outcome::done;
}

void TlsStream::flush() noexcept {
  if (inner_sending_ || send_broken_ || session_ == nullptr) return;
  const auto output = session_->output();
  if (output.empty()) return;
  inner_segment_ = {const_cast<std::byte*>(output.data()), output.size()};
  inner_send_.segments = {&inner_segment_, 1};
  inner_sending_ = true;
  inner_->send(inner_send_);
}

void TlsStream::on_sent() noexcept {
  inner_sending_ = false;
  if (state_ == State::closing || state_ == State::closed) return;
  if (inner_send_.result < 0) {
    send_broken_ = true;
  } else {
    session_->sent(inner_segment_.iov_len);
  }
  if (state_ == State::parting) {
    flush();
    if (!inner_sending_) close_inner();
    return;
  }
  if (send_broken_) {
    if (sending_ != nullptr) complete_send(inner_send_.result);
    if (state_ == State::handshake && !inner_receiving_) advance();
    return;
  }
  if (sending_ != nullptr) encrypt();
  flush();
  const bool all_out = sending_ != nullptr && !inner_sending_ && state_ == State::secured;
  if (all_out) complete_send(sent_bytes_);
  // A receive that waited for room to answer a KeyUpdate, or for the handshake to be out.
  const bool waiting = state_ == State::secured || state_ == State::handshake;
  if (waiting && !inner_receiving_) advance();
}

// ---- End ----------------------------------------------------------------------------------------

void TlsStream::close(bool linger, Task& closed) noexcept {
  CHECK(closed_ == nullptr);
  closed_ = &closed;
  linger_ = linger || state_ == State::failed;
  if (linger_ && session_ != nullptr && state_ != State::handshake) {
    session_->shutdown();
    flush();
    if (inner_sending_) {
      set_state(State::parting);
      loop_.arm(parting_timer_, loop_.clock().now_ns() + limits::close_timeout_ns);
      return;
    }
  }
  close_inner();
}

void TlsStream::close_inner() noexcept {
  loop_.cancel(parting_timer_);
  set_state(State::closing);
  inner_->close(linger_, inner_closed_task_);
}

void TlsStream::on_inner_closed() noexcept {
  set_state(State::closed);
  if (receiving_ != nullptr) complete_receive(-ECANCELED);
  if (sending_ != nullptr) complete_send(-ECANCELED);
  loop_.defer(*closed_);
}

}  // namespace ashlar::tls
