// TlsStream over a simulated network: an echo at the controller's end, and hosts that do as they
// please.
#include "tls/stream.h"

#include "host_stream.h"
#include "sim/sim_network.h"
#include "sim/sim_world.h"

namespace ashlar::tls::rig {
namespace {

// Sends back what comes, a receive at a time, until an end.
class Echo {
 public:
  Echo(Loop& loop, std::unique_ptr<Stream> inner, std::shared_ptr<Context> context, bool plain)
      : stream(loop, std::move(inner), std::move(context), plain) {
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
  explicit Net(uint64_t seed, bool plain = false)
      : world(seed, 2), wire(world.random(), {}), plain_allowed(plain) {
    auto made = controller_network.listen({"10.0.0.1", 4420},
                                          [this](std::unique_ptr<AcceptedStream> accepted) {
                                            auto stream =
                                                controller_network.adopt(std::move(accepted));
                                            REQUIRE(stream.ok());
                                            inner = stream.value().get();
                                            echo = std::make_unique<Echo>(
                                                world.loop(0), std::move(stream).value(),
                                                controller.context, plain_allowed);
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
  void secure(HostOptions options = {}) {
    auto secured = std::make_unique<HostStream>(world.loop(1), std::move(connect.stream),
                                                std::move(options));
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
  std::unique_ptr<Listener> listener;
  Stream* inner = nullptr;
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

Bytes numbered(size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

TEST_CASE("tls stream: cut and delayed in every way: what is said comes back, the host is known") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Net net(seed);
    net.secure();
    for (const size_t length : {size_t{128}, size_t{1}, size_t{70'000}, size_t{5000}}) {
      net.say(numbered(length));
      CHECK_EQ(net.hear(length), numbered(length));
    }
    CHECK_EQ(net.echo->stream.peer_identity(), identity256);
  }
}

TEST_CASE("tls stream: plain allowed: the first byte decides, nothing is lost") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Net net(seed, true);
    net.leave_plain();
    Bytes ic_req = numbered(4000);
    ic_req[0] = std::byte{0};
    net.say(ic_req);
    CHECK_EQ(net.hear(ic_req.size()), ic_req);
    CHECK(net.echo->stream.peer_identity().empty());
    Net secured(seed, true);
    secured.secure();
    secured.say(ic_req);
    CHECK_EQ(secured.hear(ic_req.size()), ic_req);
    CHECK_EQ(secured.echo->stream.peer_identity(), identity256);
  }
}

TEST_CASE("tls stream: plain where TLS is required: refused at the first byte") {
  Net net(1);
  net.leave_plain();
  net.say(Bytes(1));
  CHECK(net.echo_ends());
  CHECK_EQ(net.echo->end, -EPROTO);
}

TEST_CASE("tls stream: a wrong PSK: refused, and the alert arrives before the end") {
  HostOptions wrong;
  wrong.identity = "NVMe0R01 nqn.2026-01.nobody nqn.2026-01.subsystem";
  for (const bool plain : {false, true}) {
    Net net(2, plain);
    net.secure(wrong);
    CHECK(net.hear(1).empty());
    CHECK(net.tls->host.broken);
    CHECK_EQ(net.tls->host.alert(), SSL_AD_UNKNOWN_PSK_IDENTITY);
    CHECK(net.echo_ends());
    CHECK_EQ(net.echo->end, -EPROTO);
  }
}

TEST_CASE("tls stream: garbage after a good first byte: refused at once or at the host's end") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Net net(seed, true);
    net.leave_plain();
    Bytes garbage(1 + net.world.random().next_u64() % 9000);
    net.world.random().fill(garbage);
    garbage[0] = std::byte{0x16};
    if (garbage.size() > 5 && seed % 2 == 0) {  // A record of the right form, at least.
      const size_t content = garbage.size() - 5;
      garbage[1] = std::byte{3};
      garbage[3] = static_cast<std::byte>(content >> 8);
      garbage[4] = static_cast<std::byte>(content);
      garbage[5] = std::byte{1};
    }
    net.say(garbage);
    net.world.run_until([&] { return !net.sending || net.echo->end <= 0; });
    net.host->close(true, net.host_closed);
    CHECK(net.echo_ends());
    net.host = nullptr;
    CHECK_EQ(net.echo->end, -EPROTO);
  }
}

TEST_CASE("tls stream: a host that leaves before a word: an ordinary end") {
  Net net(3);
  net.leave_plain();
  net.host->close(true, net.host_closed);
  CHECK(net.echo_ends());
  CHECK_EQ(net.echo->end, 0);
  net.host = nullptr;
}

TEST_CASE("tls stream: close_notify of the host: an ordinary end, and ours in return") {
  Net net(4);
  net.secure();
  net.say(numbered(10));
  CHECK_EQ(net.hear(10).size(), 10);
  SSL_shutdown(net.tls->host.ssl);
  CHECK(net.hear(1).empty());
  CHECK(net.tls->host.closed);
  CHECK(net.echo_ends());
  CHECK_EQ(net.echo->end, 0);
}

TEST_CASE("tls stream: closed at any moment: operations end first, nothing stays behind") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Net net(seed, seed % 3 == 0);
    if (seed % 7 == 0) {
      net.leave_plain();
    } else {
      net.secure();
    }
    net.say(numbered(30'000));
    const uint64_t steps = net.world.random().next_u64() % 400;
    for (uint64_t i = 0; i < steps && !net.echo->closed(); ++i) net.world.step();
    net.echo->close(seed % 2 == 0);
    CHECK(net.echo_ends());
  }
}

TEST_CASE("tls stream: a host that stops reading: close gives its alert up after a second") {
  Net net(5);
  net.wire.options().max_window_bytes = 1000;
  net.secure();
  net.say(numbered(60'000));
  net.world.run_until([&] { return !net.echo->stream.peer_identity().empty(); });
  net.wire.silence(*net.inner);
  const uint64_t before = net.world.clock().now_ns();
  net.echo->close(true);
  CHECK(net.echo_ends());
  CHECK_LE(net.world.clock().now_ns() - before, 31'000'000'000);
}

}  // namespace
}  // namespace ashlar::tls::rig
