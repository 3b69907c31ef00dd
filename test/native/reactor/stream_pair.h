// Two ends of one TCP connection, over real sockets.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "on_reactor.h"

#include "../test.h"

namespace ashlar::test {

// On one reactor.
struct Pair {
  explicit Pair(UringReactor& on_reactor) : reactor(on_reactor) {
    Signal accepted;
    struct Connect : ConnectOp {
      Signal signal;
    } connect;
    connect.timeout_ns = 5'000'000'000;
    connect.done = [](ConnectOp& op) noexcept { static_cast<Connect&>(op).signal.raise(); };
    on(reactor, [&] {
      auto made = reactor.network().listen(
          {"127.0.0.1", 0}, [this, &accepted](std::unique_ptr<AcceptedStream> stream) {
            far = std::move(reactor.network().adopt(std::move(stream))).value();
            accepted.raise();
          });
      REQUIRE(made.ok());
      listener = std::move(made).value();
      connect.to = listener->local();
      reactor.network().connect(connect);
    });
    connect.signal.wait();
    REQUIRE_EQ(connect.result, 0);
    near = std::move(connect.stream);
    accepted.wait();
  }
  ~Pair() {
    if (near) close_stream(reactor, near, false);
    if (far) close_stream(reactor, far, false);
    SignalTask closed;
    on(reactor, [&] { listener->close(closed); });
    closed.signal.wait();
    on(reactor, [&] { listener.reset(); });
  }
  UringReactor& reactor;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> near;
  std::unique_ptr<Stream> far;
};

// Receives exactly `length` bytes.
inline std::vector<std::byte> receive_all(UringReactor& reactor, Stream& stream, size_t length) {
  std::vector<std::byte> bytes(length);
  size_t got = 0;
  while (got < length) {
    WaitableStreamOp op;
    op.into = std::span(bytes).subspan(got);
    on(reactor, [&] { stream.receive(op); });
    op.signal.wait();
    if (op.result <= 0) break;
    got += static_cast<size_t>(op.result);
  }
  bytes.resize(got);
  return bytes;
}

}  // namespace ashlar::test
