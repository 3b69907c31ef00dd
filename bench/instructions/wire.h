// Wire: byte streams between the target and a host that is no reactor: the least that can stand in
// for the kernel. What a stream is asked completes at the beginning of the next turn, all that is
// there at once, as completions of io_uring do. Nothing here counts as the target's.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "meter.h"
#include "reactor/network.h"

namespace ashlar::bench {

class Wire;

// One connection. The host's end is plain memory.
struct Pipe {
  explicit Pipe(Wire& in) : wire(in) {}
  Wire& wire;
  std::vector<std::byte> to_target, to_host;
  size_t taken = 0;  // Of to_target.
  StreamOp* receiving = nullptr;
  StreamOp* sending = nullptr;
  bool send_is_ready = false;
  bool listed = false;  // In Wire::ready_.
  bool closed = false;
};

class Wire final : public Network {
 public:
  explicit Wire(Loop& loop) : loop_(loop) {}

  Result<std::unique_ptr<Listener>> listen(
      const SocketAddress& at,
      std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) override;
  Result<std::unique_ptr<Stream>> adopt(std::unique_ptr<AcceptedStream> accepted) override;
  void connect(ConnectOp&) noexcept override { CHECK(false); }

  // The host's.
  std::shared_ptr<Pipe> open();
  void push(Pipe& pipe, std::span<const std::byte> bytes) {
    pipe.to_target.insert(pipe.to_target.end(), bytes.begin(), bytes.end());
    list(pipe);
  }
  // Completes what is ready: the first part of a turn. Says whether there was anything.
  bool deliver() noexcept;
  bool has_ready() const noexcept { return !ready_.empty(); }

 private:
  friend class WireStream;
  friend class WireListener;
  void list(Pipe& pipe) {
    const bool ready = pipe.send_is_ready || (pipe.receiving != nullptr && !pipe.to_target.empty());
    if (!ready || std::exchange(pipe.listed, true)) return;
    ready_.push_back(&pipe);
  }
  void complete(Pipe& pipe) noexcept;

  Loop& loop_;
  std::function<void(std::unique_ptr<AcceptedStream>)> on_accept_;
  std::vector<Pipe*> ready_, delivering_;
};

class WireStream final : public Stream {
 public:
  explicit WireStream(std::shared_ptr<Pipe> pipe) : pipe_(std::move(pipe)) {
    end_.stream = this;
    end_.run = [](Task& task) noexcept { static_cast<End&>(task).stream->end(); };
  }
  void receive(StreamOp& op) noexcept override {
    const Elsewhere elsewhere;
    CHECK(pipe_->receiving == nullptr && !pipe_->closed);
    pipe_->receiving = &op;
    pipe_->wire.list(*pipe_);
  }
  void send(StreamOp& op) noexcept override {
    const Elsewhere elsewhere;
    CHECK(pipe_->sending == nullptr && !pipe_->closed);
    op.result = 0;
    for (const iovec& segment : op.segments) {
      const auto* from = static_cast<const std::byte*>(segment.iov_base);
      pipe_->to_host.insert(pipe_->to_host.end(), from, from + segment.iov_len);
      op.result += static_cast<int64_t>(segment.iov_len);
    }
    pipe_->sending = &op;
    pipe_->send_is_ready = true;
    pipe_->wire.list(*pipe_);
  }
  // All of it fits, always.
  int64_t send_now(std::span<const iovec> segments) noexcept override {
    const Elsewhere elsewhere;
    CHECK(pipe_->sending == nullptr && !pipe_->closed);
    int64_t bytes = 0;
    for (const iovec& segment : segments) {
      const auto* from = static_cast<const std::byte*>(segment.iov_base);
      pipe_->to_host.insert(pipe_->to_host.end(), from, from + segment.iov_len);
      bytes += static_cast<int64_t>(segment.iov_len);
    }
    return bytes;
  }
  void close(bool, Task& closed) noexcept override {
    pipe_->closed = true;
    closed_ = &closed;
    pipe_->wire.loop_.defer(end_);
  }
  SocketAddress local() const override { return {"10.0.0.1", 4420}; }
  SocketAddress peer() const override { return {"10.0.0.2", 50000}; }

 private:
  struct End : Task {
    WireStream* stream = nullptr;
  };
  void end() noexcept {
    pipe_->to_target.clear();
    pipe_->taken = 0;
    pipe_->send_is_ready = false;
    for (StreamOp** under_way : {&pipe_->receiving, &pipe_->sending}) {
      StreamOp* const op = std::exchange(*under_way, nullptr);
      if (op == nullptr) continue;
      op->result = -ECANCELED;
      op->done(*op);
    }
    pipe_->wire.loop_.defer(*closed_);
  }

  const std::shared_ptr<Pipe> pipe_;
  End end_;
  Task* closed_ = nullptr;
};

class WireAccepted final : public AcceptedStream {
 public:
  explicit WireAccepted(std::shared_ptr<Pipe> of) : pipe(std::move(of)) {}
  std::shared_ptr<Pipe> pipe;
};

class WireListener final : public Listener {
 public:
  WireListener(Wire& wire, SocketAddress at) : wire_(wire), at_(std::move(at)) {}
  SocketAddress local() const override { return at_; }
  void close(Task& closed) noexcept override {
    wire_.on_accept_ = nullptr;
    wire_.loop_.defer(closed);
  }

 private:
  Wire& wire_;
  const SocketAddress at_;
};

inline Result<std::unique_ptr<Listener>> Wire::listen(
    const SocketAddress& at, std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) {
  on_accept_ = std::move(on_accept);
  std::unique_ptr<Listener> listener = std::make_unique<WireListener>(*this, at);
  return listener;
}

inline Result<std::unique_ptr<Stream>> Wire::adopt(std::unique_ptr<AcceptedStream> accepted) {
  std::unique_ptr<Stream> stream =
      std::make_unique<WireStream>(static_cast<WireAccepted&>(*accepted).pipe);
  return stream;
}

inline std::shared_ptr<Pipe> Wire::open() {
  auto pipe = std::make_shared<Pipe>(*this);
  CHECK(on_accept_ != nullptr);
  on_accept_(std::make_unique<WireAccepted>(pipe));
  return pipe;
}

inline bool Wire::deliver() noexcept {
  std::swap(ready_, delivering_);
  const bool any = !delivering_.empty();
  for (Pipe* pipe : delivering_) complete(*pipe);
  delivering_.clear();
  return any;
}

inline void Wire::complete(Pipe& pipe) noexcept {
  pipe.listed = false;
  if (std::exchange(pipe.send_is_ready, false)) {
    StreamOp& op = *std::exchange(pipe.sending, nullptr);
    Meter::target_runs(true);
    op.done(op);
    Meter::target_runs(false);
  }
  const size_t there = pipe.to_target.size() - pipe.taken;
  if (pipe.receiving == nullptr || there == 0) return;
  StreamOp& op = *std::exchange(pipe.receiving, nullptr);
  const size_t count = std::min(op.into.size(), there);
  std::memcpy(op.into.data(), pipe.to_target.data() + pipe.taken, count);
  pipe.taken += count;
  if (pipe.taken == pipe.to_target.size()) {
    pipe.to_target.clear();
    pipe.taken = 0;
  }
  op.result = static_cast<int64_t>(count);
  Meter::target_runs(true);
  op.done(op);
  Meter::target_runs(false);
  list(pipe);
}

}  // namespace ashlar::bench
