// A connection over a simulated network: an echo over TlsStream at the controller's end, and at the
// other whatever the test makes of the host.
#pragma once

#include <optional>
#include <utility>

#include "host_stream.h"
#include "kernel_stream.h"
#include "sim/sim_network.h"
#include "sim/sim_world.h"
#include "tls/stream.h"

#include "../test.h"

namespace ashlar::tls::rig {

// Sends back what comes, a receive at a time, until an end.
class Echo {
 public:
  Echo(Loop& loop, std::unique_ptr<Stream> inner, std::shared_ptr<Context> context, bool plain,
       ReactorCounters& counters)
      : stream(loop, std::move(inner), std::move(context), plain, counters) {
    receive_.context = send_.context = this;
    receive_.done = [](StreamOp& op) noexcept { static_cast<Echo*>(op.context)->on_received(); };
    send_.done = [](StreamOp& op) noexcept { static_cast<Echo*>(op.context)->on_sent(); };
    closed_.run = [](Task& task) noexcept { static_cast<Closed&>(task).done = true; };
    listen();
  }
  void close(bool linger) {
    if (std::exchange(closing_, true)) return;
    stream.close(linger, closed_);
  }
  bool closed() const { return closed_.done; }

  TlsStream stream;
  int64_t end = 1;  // What the last receive said; 0 or below ends it.

 private:
  struct Closed : Task {
    bool done = false;
  };
  void listen() {
    receive_.into = buffer_;
    stream.receive(receive_);
  }
  void on_received() {
    end = receive_.result;
    if (closing_) return;
    if (end <= 0) {
      close(end == 0);
      return;
    }
    // In pieces of several sizes, as headers and data are.
    const auto length = static_cast<size_t>(end);
    const size_t head = std::min<size_t>(length, 24);
    segments_ = {iovec{buffer_.data(), head}, iovec{buffer_.data() + head, length - head}};
    send_.segments = {segments_.data(), length == head ? size_t{1} : size_t{2}};
    stream.send(send_);
  }
  void on_sent() {
    if (closing_) return;
    if (send_.result < 0) {
      close(false);
    } else {
      listen();
    }
  }
  StreamOp receive_;
  StreamOp send_;
  Closed closed_;
  std::vector<iovec> segments_;
  Bytes buffer_ = Bytes(100'000);
  bool closing_ = false;
};

struct Net {
  // `with_kernel`: the controller's streams are of a system that does TLS, and it is used.
  explicit Net(uint64_t seed, bool plain = false, std::optional<KernelOptions> with_kernel = {})
      : world(seed, 2),
        wire(world.random(), {}),
        controller(with_kernel ? Records::kernel : Records::process),
        plain_allowed(plain),
        kernel_options(with_kernel) {
    auto made = controller_network.listen(
        {"10.0.0.1", 4420}, [this](std::unique_ptr<AcceptedStream> accepted) {
          auto stream = controller_network.adopt(std::move(accepted));
          REQUIRE(stream.ok());
          take(std::move(stream).value());
        });
    REQUIRE(made.ok());
    listener = std::move(made).value();
    connect.to = listener->local();
    connect.timeout_ns = 1'000'000'000;
    connect.context = this;
    connect.done = [](ConnectOp& op) noexcept { static_cast<Net*>(op.context)->tried = true; };
    host_network.connect(connect);
    REQUIRE(world.run_until([this] { return tried && echo != nullptr; }));
    REQUIRE(connect.stream != nullptr);
    send.done = [](StreamOp& op) noexcept { *static_cast<bool*>(op.context) = false; };
    receive.done = [](StreamOp& op) noexcept { *static_cast<bool*>(op.context) = false; };
  }
  ~Net() {
    echo->close(false);
    if (host != nullptr) host->close(false, host_closed);
    listener->close(listener_closed);
    CHECK(world.run_until(
        [this] { return echo->closed() && listener_closed.done && host_closed.done; }));
    world.run_ready();
  }
  void take(std::unique_ptr<Stream> stream) {
    inner = stream.get();
    if (kernel_options) {
      auto made = std::make_unique<KernelStream>(world.loop(0), std::move(stream), *kernel_options);
      kernel = made.get();
      stream = std::move(made);
    }
    echo = std::make_unique<Echo>(world.loop(0), std::move(stream), controller.context,
                                  plain_allowed, counters);
  }
  void secure(HostOptions options = {}) {
    auto secured =
        std::make_unique<HostStream>(world.loop(1), std::move(connect.stream), std::move(options));
    tls = secured.get();
    host = std::move(secured);
  }
  void leave_plain() { host = std::move(connect.stream); }
  void say(const Bytes& bytes) {
    said = bytes;
    segment = {said.data(), said.size()};
    send.segments = {&segment, 1};
    send.context = &sending;
    sending = true;
    host->send(send);
  }
  // What comes back, until there is this much or an end.
  Bytes hear(size_t length) {
    Bytes all;
    Bytes piece(50'000);
    while (all.size() < length) {
      receive.into = piece;
      receive.context = &receiving;
      receiving = true;
      host->receive(receive);
      if (!world.run_until([this] { return !receiving; })) break;
      if (receive.result <= 0) break;
      all.insert(all.end(), piece.begin(), piece.begin() + receive.result);
    }
    return all;
  }
  bool echo_ends() {
    return world.run_until([this] { return echo->closed(); });
  }

  struct Closed : Task {
    Closed() {
      run = [](Task& task) noexcept { static_cast<Closed&>(task).done = true; };
    }
    bool done = false;
  };
  sim::SimWorld world;
  sim::SimWire wire;
  sim::SimNetwork controller_network{wire, world.loop(0), "10.0.0.1"};
  sim::SimNetwork host_network{wire, world.loop(1), "10.0.0.9"};
  Controller controller;
  const bool plain_allowed;
  const std::optional<KernelOptions> kernel_options;
  ReactorCounters counters;
  std::unique_ptr<Listener> listener;
  Stream* inner = nullptr;
  KernelStream* kernel = nullptr;  // Over it.
  std::unique_ptr<Echo> echo;
  ConnectOp connect;
  bool tried = false;
  std::unique_ptr<Stream> host;
  HostStream* tls = nullptr;
  StreamOp send;
  StreamOp receive;
  Bytes said;
  iovec segment{};
  bool sending = false;
  bool receiving = false;
  Closed host_closed;
  Closed listener_closed;
};

inline Bytes numbered(size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

}  // namespace ashlar::tls::rig
