// A Stream whose system does TLS, as Linux would: with exactly the keys and the sequence that it is
// given, from exactly the byte that nobody has received yet.
#pragma once

#include <cerrno>
#include <utility>

#include "reactor/loop.h"
#include "reactor/network.h"
#include "records.h"

#include "../test.h"

namespace ashlar::tls::rig {

struct KernelOptions {
  TlsOffload answer = TlsOffload::done;
  size_t piece = SIZE_MAX;     // A receive gives at most so much.
  uint64_t send_delay_ns = 0;  // A send before the keys is told of so much after it has ended.
};

class KernelStream final : public Stream {
 public:
  KernelStream(Loop& loop, std::unique_ptr<Stream> inner, KernelOptions options)
      : loop_(loop), inner_(std::move(inner)), options_(options) {
    inner_receive_.context = inner_send_.context = this;
    inner_receive_.done = [](StreamOp& op) noexcept {
      static_cast<KernelStream*>(op.context)->on_received();
    };
    inner_send_.done = [](StreamOp& op) noexcept {
      static_cast<KernelStream*>(op.context)->on_sent();
    };
    delay_.owner = this;
    delay_.fire = [](Timer& timer) noexcept { static_cast<Delay&>(timer).owner->tell_sent(); };
    ready_.owner = this;
    ready_.run = [](Task& task) noexcept { static_cast<Ready&>(task).owner->deliver(); };
  }

  void receive(StreamOp& op) noexcept override {
    REQUIRE(receiving_ == nullptr);
    receiving_ = &op;
    if (!plain_.empty() || end_ != 1) {
      loop_.defer(ready_);
    } else {
      post();
    }
  }
  void send(StreamOp& op) noexcept override {
    REQUIRE(sending_ == nullptr);
    sending_ = &op;
    out_.clear();
    sent_bytes_ = 0;
    for (const iovec& segment : op.segments) {
      const auto* from = static_cast<const std::byte*>(segment.iov_base);
      out_.insert(out_.end(), from, from + segment.iov_len);
    }
    sent_bytes_ = static_cast<int64_t>(out_.size());
    if (offloaded_) seal();
    post_send();
  }
  void close(bool linger, Task& closed) noexcept override {
    closing_ = true;
    linger_ = linger;
    closed_ = &closed;
    loop_.cancel(delay_);
    if (linger && offloaded_ && sending_ == nullptr) {
      out_ = send_cipher_->seal(type_alert, Bytes{std::byte{1}, std::byte{0}});
      post_send();
      return;
    }
    inner_->close(linger_, *closed_);
  }
  SocketAddress local() const override { return inner_->local(); }
  SocketAddress peer() const override { return inner_->peer(); }
  TlsOffload offload_tls(const TlsRecordKeys& receive,
                         const TlsRecordKeys& send) noexcept override {
    REQUIRE(receiving_ == nullptr);
    REQUIRE(sending_ == nullptr);
    ++asked;
    if (options_.answer != TlsOffload::done) return options_.answer;
    receive_cipher_.emplace(receive);
    send_cipher_.emplace(send);
    key_bytes = send.key_bytes;
    offloaded_ = true;
    return TlsOffload::done;
  }

  int asked = 0;
  size_t key_bytes = 0;
  uint64_t receives = 0;

 private:
  struct Ready : Task {
    KernelStream* owner = nullptr;
  };
  struct Delay : Timer {
    KernelStream* owner = nullptr;
  };
  void post() noexcept {
    ++receives;
    inner_receive_.into = receiving_->into.first(std::min(receiving_->into.size(), options_.piece));
    if (offloaded_) inner_receive_.into = buffer_;
    inner_->receive(inner_receive_);
  }
  void post_send() noexcept {
    segment_ = {out_.data(), out_.size()};
    inner_send_.segments = {&segment_, 1};
    inner_->send(inner_send_);
  }
  void on_received() {
    const int64_t result = inner_receive_.result;
    if (!offloaded_ || result < 0) {
      end_ = offloaded_ ? result : 1;
      complete(result);
      return;
    }
    if (result == 0) end_ = 0;
    arrived_.insert(arrived_.end(), buffer_.begin(), buffer_.begin() + result);
    open();
    deliver();
  }
  void deliver() {
    if (receiving_ == nullptr) return;
    if (!plain_.empty()) {
      const size_t length = std::min(plain_.size(), receiving_->into.size());
      std::copy_n(plain_.begin(), length, receiving_->into.begin());
      plain_.erase(plain_.begin(), plain_.begin() + static_cast<ptrdiff_t>(length));
      complete(static_cast<int64_t>(length));
    } else if (end_ != 1) {
      complete(end_);
    } else {
      post();
    }
  }
  void complete(int64_t result) {
    StreamOp& op = *std::exchange(receiving_, nullptr);
    op.result = result;
    op.done(op);
  }
  void open() {
    while (end_ == 1 && arrived_.size() >= record_header) {
      const size_t length = record_header + (static_cast<size_t>(arrived_[3]) << 8 |
                                             static_cast<size_t>(arrived_[4]));
      if (arrived_.size() < length) return;
      const auto record = receive_cipher_->open(std::span(arrived_).first(length));
      arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<ptrdiff_t>(length));
      if (!record) {
        end_ = -EBADMSG;
      } else if (record->type == type_content) {
        plain_.insert(plain_.end(), record->content.begin(), record->content.end());
      } else if (record->type == type_alert) {
        end_ = record->content[1] == std::byte{0} ? 0 : -EPROTO;
      } else {
        end_ = -EKEYEXPIRED;
      }
    }
  }
  void seal() {
    Bytes sealed;
    std::span<const std::byte> rest = out_;
    while (!rest.empty()) {
      const size_t length = std::min<size_t>(rest.size(), 16384);
      const Bytes record = send_cipher_->seal(type_content, rest.first(length));
      sealed.insert(sealed.end(), record.begin(), record.end());
      rest = rest.subspan(length);
    }
    out_ = std::move(sealed);
  }
  void on_sent() {
    if (closing_ && sending_ == nullptr) {
      inner_->close(linger_, *closed_);
      return;
    }
    if (options_.send_delay_ns != 0 && !offloaded_ && !closing_) {
      loop_.arm(delay_, loop_.clock().now_ns() + options_.send_delay_ns);
    } else {
      tell_sent();
    }
  }
  void tell_sent() {
    StreamOp& op = *std::exchange(sending_, nullptr);
    op.result = inner_send_.result < 0 ? inner_send_.result : sent_bytes_;
    op.done(op);
  }

  Loop& loop_;
  std::unique_ptr<Stream> inner_;
  KernelOptions options_;
  Ready ready_;
  Delay delay_;
  StreamOp* receiving_ = nullptr;
  StreamOp* sending_ = nullptr;
  StreamOp inner_receive_;
  StreamOp inner_send_;
  iovec segment_{};
  Bytes out_;
  int64_t sent_bytes_ = 0;
  bool offloaded_ = false;
  std::optional<RecordCipher> receive_cipher_;
  std::optional<RecordCipher> send_cipher_;
  Bytes buffer_ = Bytes(9000);
  Bytes arrived_;
  Bytes plain_;
  int64_t end_ = 1;
  bool closing_ = false;
  bool linger_ = false;
  Task* closed_ = nullptr;
};

}  // namespace ashlar::tls::rig
