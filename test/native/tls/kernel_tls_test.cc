// Records by the kernel that the tests run on, where it does them; elsewhere, that it refuses.
#include <cerrno>

#include "../reactor/stream_pair.h"
#include "reactor/kernel_tls.h"
#include "records.h"

#include "../test.h"

namespace ashlar::tls::rig {
namespace {

using test::on;
using test::Pair;
using test::receive_all;
using test::WaitableStreamOp;

void fill(TlsRecordKeys& keys, size_t key_bytes, uint32_t seed, uint64_t sequence) {
  keys.key_bytes = key_bytes;
  for (auto& byte : keys.key) byte = static_cast<std::byte>(seed = seed * 5 + 3);
  for (auto& byte : keys.iv) byte = static_cast<std::byte>(seed = seed * 7 + 1);
  keys.sequence = sequence;
}

Bytes numbered(size_t length) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

int64_t receive_once(Pair& pair, Stream& stream) {
  Bytes into(100);
  WaitableStreamOp op;
  op.into = into;
  on(pair.reactor, [&] { stream.receive(op); });
  op.signal.wait();
  return op.result;
}

// What `from` says arrives at `to`.
void check_arrives(Pair& pair, Stream& from, Stream& to, const Bytes& bytes) {
  const iovec pieces[2] = {{const_cast<std::byte*>(bytes.data()), 10},
                           {const_cast<std::byte*>(bytes.data()) + 10, bytes.size() - 10}};
  WaitableStreamOp send;
  send.segments = pieces;
  on(pair.reactor, [&] { from.send(send); });
  CHECK(receive_all(pair.reactor, to, bytes.size()) == bytes);
  send.signal.wait();
  CHECK_EQ(send.result, static_cast<int64_t>(bytes.size()));
}

void say(Pair& pair, Stream& from, const Bytes& bytes) {
  const iovec segment{const_cast<std::byte*>(bytes.data()), bytes.size()};
  WaitableStreamOp send;
  send.segments = {&segment, 1};
  on(pair.reactor, [&] { from.send(send); });
  send.signal.wait();
}

TlsOffload offload(Pair& pair, Stream& stream, const TlsRecordKeys& receive,
                   const TlsRecordKeys& send) {
  TlsOffload outcome = TlsOffload::broken;
  on(pair.reactor, [&] { outcome = stream.offload_tls(receive, send); });
  return outcome;
}

// Whether the rest of the test can run.
bool kernel_has_tls() {
  const auto problem = kernel_tls_problem();
  if (problem) MESSAGE("records by the kernel are not tried: " << *problem);
  return !problem;
}

TEST_CASE("kernel tls: a kernel without it: refused, the bytes go on as they are") {
  const auto problem = kernel_tls_problem();
  if (!problem) return;
  CHECK_FALSE(problem->empty());
  const auto reactor = test::start_reactor();
  Pair pair(*reactor);
  TlsRecordKeys keys;
  fill(keys, 16, 1, 0);
  CHECK_EQ(offload(pair, *pair.near, keys, keys), TlsOffload::refused);
  check_arrives(pair, *pair.near, *pair.far, numbered(20'000));
  check_arrives(pair, *pair.far, *pair.near, numbered(20'000));
}

TEST_CASE("kernel tls: both ends have the other's keys: content both ways, and an orderly end") {
  if (!kernel_has_tls()) return;
  for (const size_t key_bytes : {16, 32}) {
    CAPTURE(key_bytes);
    const auto reactor = test::start_reactor();
    Pair pair(*reactor);
    TlsRecordKeys one;
    TlsRecordKeys other;
    fill(one, key_bytes, 1, 0);
    fill(other, key_bytes, 2, 5);
    REQUIRE_EQ(offload(pair, *pair.near, one, other), TlsOffload::done);
    REQUIRE_EQ(offload(pair, *pair.far, other, one), TlsOffload::done);
    for (const size_t length : {100, 16'384, 3'000'000}) {
      check_arrives(pair, *pair.near, *pair.far, numbered(length));
      check_arrives(pair, *pair.far, *pair.near, numbered(length));
    }
    test::close_stream(*reactor, pair.near, true);
    CHECK_EQ(receive_once(pair, *pair.far), 0);
  }
}

TEST_CASE("kernel tls: close with linger: what the peer gets last is close_notify") {
  if (!kernel_has_tls()) return;
  const auto reactor = test::start_reactor();
  Pair pair(*reactor);
  TlsRecordKeys receive;
  TlsRecordKeys send;
  fill(receive, 16, 1, 0);
  fill(send, 16, 2, 0);
  REQUIRE_EQ(offload(pair, *pair.near, receive, send), TlsOffload::done);
  say(pair, *pair.near, numbered(10));
  test::close_stream(*reactor, pair.near, true);
  const Bytes got = receive_all(*reactor, *pair.far, 1000);
  RecordCipher cipher(send);
  const size_t first = record_header + 10 + 1 + record_tag;
  REQUIRE_EQ(got.size(), first + record_header + 2 + 1 + record_tag);
  const auto content = cipher.open(std::span(got).first(first));
  REQUIRE(content.has_value());
  CHECK_EQ(content->content, numbered(10));
  const auto alert = cipher.open(std::span(got).subspan(first));
  REQUIRE(alert.has_value());
  CHECK_EQ(alert->type, type_alert);
  CHECK_EQ(alert->content, Bytes{std::byte{1}, std::byte{0}});
}

// What came before the keys is read with them; what is no content ends the stream, each its way.
TEST_CASE(
    "kernel tls: records that wait at the handover: content, then KeyUpdate, alert or noise") {
  if (!kernel_has_tls()) return;
  const Bytes key_update{std::byte{24}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0}};
  const Bytes close_notify{std::byte{1}, std::byte{0}};
  const Bytes fatal{std::byte{2}, std::byte{20}};
  struct Last {
    std::byte type;
    Bytes content;
    bool spoilt;
    int64_t end;
  };
  const Last cases[] = {{type_handshake, key_update, false, -EKEYEXPIRED},
                        {type_alert, close_notify, false, 0},
                        {type_alert, fatal, false, -EPROTO},
                        {type_content, numbered(50), true, -EBADMSG}};
  for (const Last& last : cases) {
    CAPTURE(last.end);
    const auto reactor = test::start_reactor();
    Pair pair(*reactor);
    TlsRecordKeys receive;
    TlsRecordKeys send;
    fill(receive, 32, 1, 3);
    fill(send, 32, 2, 0);
    RecordCipher cipher(receive);
    Bytes records = cipher.seal(type_content, numbered(40));
    Bytes tail = cipher.seal(last.type, last.content);
    if (last.spoilt) tail.back() ^= std::byte{1};
    records.insert(records.end(), tail.begin(), tail.end());
    say(pair, *pair.far, records);
    REQUIRE_EQ(offload(pair, *pair.near, receive, send), TlsOffload::done);
    CHECK_EQ(receive_once(pair, *pair.near), 40);
    CHECK_EQ(receive_once(pair, *pair.near), last.end);
  }
}

}  // namespace
}  // namespace ashlar::tls::rig
