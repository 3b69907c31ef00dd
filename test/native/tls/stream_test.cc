// TlsStream over a simulated network: an echo at the controller's end, and hosts that do as they
// please.
#include "net.h"

namespace ashlar::tls::rig {
namespace {

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
