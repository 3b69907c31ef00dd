#include <cerrno>
#include <cstring>
#include <vector>

#include "reactor/socket.h"
#include "stream_pair.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::test;

TEST_CASE("network: many segments arrive whole and in order") {
  const auto reactor = start_reactor();
  Pair pair(*reactor);
  std::vector<std::byte> bytes(3 << 20);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + (i >> 12));
  // More segments than one request takes, of uneven lengths.
  std::vector<iovec> segments;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = std::min(bytes.size() - at, 1 + (at * 31) % 40'000);
    segments.push_back({bytes.data() + at, length});
    at += length;
  }
  REQUIRE_GT(segments.size(), limits::segments_per_request);
  WaitableStreamOp send;
  send.segments = segments;
  on(*reactor, [&] { pair.near->send(send); });
  const auto got = receive_all(*reactor, *pair.far, bytes.size());
  send.signal.wait();
  CHECK_EQ(send.result, static_cast<int64_t>(bytes.size()));
  CHECK(got == bytes);
}

TEST_CASE("network: a close without lingering reaches the peer as a reset") {
  const auto reactor = start_reactor();
  Pair pair(*reactor);
  WaitableStreamOp receive;
  std::byte into[10];
  receive.into = into;
  on(*reactor, [&] { pair.far->receive(receive); });
  close_stream(*reactor, pair.near, false);
  receive.signal.wait();
  CHECK_EQ(receive.result, -ECONNRESET);
}

TEST_CASE("network: a lingering close delivers what was sent although the peer keeps talking") {
  const auto reactor = start_reactor();
  Pair pair(*reactor);
  std::vector<std::byte> chatter(100'000);
  const iovec segment{chatter.data(), chatter.size()};
  WaitableStreamOp talk;
  talk.segments = std::span(&segment, 1);
  on(*reactor, [&] { pair.far->send(talk); });
  talk.signal.wait();
  char last_words[] = "good bye";
  const iovec words{last_words, sizeof last_words};
  WaitableStreamOp say;
  say.segments = std::span(&words, 1);
  on(*reactor, [&] { pair.near->send(say); });
  say.signal.wait();
  SignalTask closed;
  on(*reactor, [&] { pair.near->close(true, closed); });
  const auto heard = receive_all(*reactor, *pair.far, sizeof last_words);
  REQUIRE_EQ(heard.size(), sizeof last_words);
  CHECK_EQ(std::memcmp(heard.data(), last_words, sizeof last_words), 0);
  WaitableStreamOp end;
  std::byte into[10];
  end.into = into;
  on(*reactor, [&] { pair.far->receive(end); });
  end.signal.wait();
  CHECK_EQ(end.result, 0);
  close_stream(*reactor, pair.far, false);
  closed.signal.wait();
  on(*reactor, [&] { pair.near.reset(); });
}

TEST_CASE("network: closing cancels a receive and a send under way first") {
  const auto reactor = start_reactor();
  Pair pair(*reactor);
  std::byte into[10];
  WaitableStreamOp receive;
  receive.into = into;
  std::vector<std::byte> much(64 << 20);
  const iovec segment{much.data(), much.size()};
  WaitableStreamOp send;
  send.segments = std::span(&segment, 1);
  on(*reactor, [&] {
    pair.near->receive(receive);
    pair.near->send(send);  // Nobody reads: it cannot end by itself.
  });
  close_stream(*reactor, pair.near, false);
  receive.signal.wait();
  send.signal.wait();
  CHECK_EQ(receive.result, -ECANCELED);
  CHECK_EQ(send.result, -ECANCELED);
}

TEST_CASE("network: a connection nobody listens for is refused") {
  const auto reactor = start_reactor();
  SocketAddress nobody;
  {
    auto taken = open_listening({"127.0.0.1", 0});
    REQUIRE(taken.ok());
    nobody = local_address(taken.value().get());
  }
  struct Connect : ConnectOp {
    Signal signal;
  } connect;
  connect.to = nobody;
  connect.timeout_ns = 5'000'000'000;
  connect.done = [](ConnectOp& op) noexcept { static_cast<Connect&>(op).signal.raise(); };
  on(*reactor, [&] { reactor->network().connect(connect); });
  connect.signal.wait();
  CHECK_EQ(connect.result, -ECONNREFUSED);
  CHECK(connect.stream == nullptr);
}

TEST_CASE("network: an address in use, a foreign one and a name are refused in one line each") {
  const auto taken = open_listening({"127.0.0.1", 0});
  REQUIRE(taken.ok());
  const auto again = open_listening(local_address(taken.value().get()));
  REQUIRE_FALSE(again.ok());
  CHECK_EQ(again.error().code, ErrorCode::address_in_use);
  const auto foreign = open_listening({"203.0.113.1", 0});
  REQUIRE_FALSE(foreign.ok());
  CHECK_EQ(foreign.error().code, ErrorCode::address_unavailable);
  const auto name = open_listening({"localhost", 0});
  REQUIRE_FALSE(name.ok());
  CHECK_EQ(name.error().code, ErrorCode::invalid_argument);
}

TEST_CASE("network: addresses are written with their port, IPv6 in brackets") {
  CHECK_EQ(to_text({"127.0.0.1", 4420}), "127.0.0.1:4420");
  CHECK_EQ(to_text({"::1", 4420}), "[::1]:4420");
  const auto v6 = to_raw({"::1", 4420});
  REQUIRE(v6.ok());
  CHECK_EQ(to_text(from_raw(v6.value())), "[::1]:4420");
}

TEST_CASE("network: a connection accepted on one reactor is served by another") {
  const auto first = start_reactor(0);
  const auto second = start_reactor(1);
  std::unique_ptr<Listener> listener;
  std::unique_ptr<AcceptedStream> accepted;
  Signal came;
  struct Connect : ConnectOp {
    Signal signal;
  } connect;
  connect.done = [](ConnectOp& op) noexcept { static_cast<Connect&>(op).signal.raise(); };
  on(*first, [&] {
    auto made = first->network().listen({"127.0.0.1", 0}, [&](std::unique_ptr<AcceptedStream> s) {
      accepted = std::move(s);
      came.raise();
    });
    REQUIRE(made.ok());
    listener = std::move(made).value();
    connect.to = listener->local();
    first->network().connect(connect);
  });
  came.wait();
  connect.signal.wait();
  std::unique_ptr<Stream> far;
  on(*second, [&] { far = std::move(second->network().adopt(std::move(accepted))).value(); });
  char word[] = "hello";
  const iovec segment{word, sizeof word};
  WaitableStreamOp send;
  send.segments = std::span(&segment, 1);
  on(*first, [&] { connect.stream->send(send); });
  CHECK_EQ(receive_all(*second, *far, sizeof word).size(), sizeof word);
  send.signal.wait();
  close_stream(*second, far, false);
  close_stream(*first, connect.stream, false);
  SignalTask closed;
  on(*first, [&] { listener->close(closed); });
  closed.signal.wait();
  on(*first, [&] { listener.reset(); });
}
