// A host's TLS over a Stream, so that whatever speaks over a Stream can speak over TLS.
#pragma once

#include <utility>

#include "host.h"
#include "reactor/loop.h"
#include "reactor/network.h"

namespace ashlar::tls::rig {

class HostStream final : public Stream {
 public:
  HostStream(Loop& loop, std::unique_ptr<Stream> inner, HostOptions options)
      : host(std::move(options)), loop_(loop), inner_(std::move(inner)) {
    inner_receive_.context = inner_send_.context = this;
    inner_receive_.done = [](StreamOp& op) noexcept {
      static_cast<HostStream*>(op.context)->on_received();
    };
    inner_send_.done = [](StreamOp& op) noexcept {
      static_cast<HostStream*>(op.context)->on_sent();
    };
    ready_.owner = this;
    ready_.run = [](Task& task) noexcept { static_cast<Ready&>(task).owner->advance(); };
    host.shake();
    pump_out();
    pump_in();
  }

  void receive(StreamOp& op) noexcept override {
    receiving_ = &op;
    wake();
  }
  void send(StreamOp& op) noexcept override {
    sending_ = &op;
    wake();
  }
  void close(bool linger, Task& closed) noexcept override { inner_->close(linger, closed); }
  SocketAddress local() const override { return inner_->local(); }
  SocketAddress peer() const override { return inner_->peer(); }

  Host host;
  bool shaken = false;

 private:
  struct Ready : Task {
    HostStream* owner = nullptr;
  };
  void wake() noexcept {
    if (!ready_.queued.load()) loop_.defer(ready_);
  }
  void advance() {
    if (!shaken) shaken = host.shake();
    if (shaken) {
      const Bytes some = host.read();
      plain_.insert(plain_.end(), some.begin(), some.end());
      if (sending_ != nullptr && !encrypted_) {
        for (const iovec& segment : sending_->segments) {
          host.write({static_cast<const std::byte*>(segment.iov_base), segment.iov_len});
        }
        encrypted_ = true;
      }
    }
    pump_out();
    if (encrypted_ && out_.empty()) {
      encrypted_ = false;
      StreamOp& op = *std::exchange(sending_, nullptr);
      op.result = 1;
      op.done(op);
    }
    if (receiving_ == nullptr) return;
    if (plain_.empty() && !ended_ && !host.closed && !host.broken) return;
    StreamOp& op = *std::exchange(receiving_, nullptr);
    const size_t length = std::min(plain_.size(), op.into.size());
    std::copy_n(plain_.begin(), length, op.into.begin());
    plain_.erase(plain_.begin(), plain_.begin() + static_cast<ptrdiff_t>(length));
    op.result = static_cast<int64_t>(length);
    op.done(op);
  }
  void pump_out() {
    if (out_.empty()) {
      out_ = host.take();
      if (out_.empty()) return;
      segment_ = {out_.data(), out_.size()};
      inner_send_.segments = {&segment_, 1};
      inner_->send(inner_send_);
    }
  }
  void pump_in() {
    inner_receive_.into = buffer_;
    inner_->receive(inner_receive_);
  }
  void on_received() {
    if (inner_receive_.result <= 0) {
      ended_ = true;
    } else {
      host.give(std::span(buffer_).first(static_cast<size_t>(inner_receive_.result)));
      pump_in();
    }
    if (inner_receive_.result != -ECANCELED) wake();
  }
  void on_sent() {
    out_.clear();
    if (inner_send_.result >= 0) wake();
  }

  Loop& loop_;
  std::unique_ptr<Stream> inner_;
  Ready ready_;
  StreamOp* receiving_ = nullptr;
  StreamOp* sending_ = nullptr;
  bool encrypted_ = false;  // What sending_ names.
  StreamOp inner_receive_;
  StreamOp inner_send_;
  iovec segment_{};
  Bytes out_;
  Bytes plain_;
  bool ended_ = false;
  Bytes buffer_ = Bytes(8192);
};

}  // namespace ashlar::tls::rig
