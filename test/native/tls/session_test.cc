// The session against OpenSSL's client, over bytes: who gets in, who does not, and that no bytes
// whatever do harm.
#include "host.h"

namespace ashlar::tls::rig {
namespace {

Bytes text(const char* words) {
  const auto* from = reinterpret_cast<const std::byte*>(words);
  return {from, from + std::string_view(words).size()};
}

Bytes hello_of(Host& host) {
  host.shake();
  Bytes hello = host.take();
  REQUIRE_EQ(hello_state(hello), HelloState::whole);
  REQUIRE_EQ(hello_bytes(hello), hello.size());
  return hello;
}

void to_host(Session& session, Host& host) {
  const auto output = session.output();
  host.give(output);
  session.sent(output.size());
}

// A host and the session that its ClientHello began.
struct Pair {
  explicit Pair(HostOptions options = {}) : host(std::move(options)) {
    session = std::make_unique<Session>(controller.context, hello_of(host));
  }
  Pair(Controller& of, HostOptions options) : host(std::move(options)) {
    session = std::make_unique<Session>(of.context, hello_of(host));
  }
  // Flights to and fro, each cut into pieces of this size.
  Outcome shake(size_t piece = SIZE_MAX) {
    for (int flight = 0; flight < 4; ++flight) {
      to_host(*session, host);
      host.shake();
      flying = host.take();
      std::span<const std::byte> rest = flying;
      while (!rest.empty()) {
        const size_t length = std::min(piece, rest.size());
        session->give(rest.first(length));
        rest = rest.subspan(length);
        const Outcome outcome = session->handshake();
        if (outcome != Outcome::want_input) return outcome;
      }
    }
    return Outcome::want_input;
  }
  Bytes read(std::span<const std::byte> bytes) {
    Bytes all;
    std::byte into[3000];
    session->give(bytes);
    for (;;) {
      const Session::Read read = session->read(into);
      last = read.outcome;
      if (read.outcome != Outcome::done) return all;
      all.insert(all.end(), into, into + read.bytes);
    }
  }

  Controller controller;
  Host host;
  std::unique_ptr<Session> session;
  Bytes flying;
  Outcome last = Outcome::done;
};

// The handshake ends in this alert.
void check_refused(HostOptions options, int alert) {
  Pair pair(std::move(options));
  CHECK_EQ(pair.session->handshake(), Outcome::failed);
  CHECK(pair.session->identity().empty());
  to_host(*pair.session, pair.host);
  CHECK_FALSE(pair.host.shake());
  CHECK_EQ(pair.host.alert(), alert);
}

TEST_CASE("tls: a PSK of either hash: the suite follows it, data goes both ways") {
  for (HostOptions options : {HostOptions{}, host384()}) {
    const std::string identity = options.identity;
    const PskHash hash = options.hash;
    Pair pair(std::move(options));
    CHECK_EQ(pair.shake(), Outcome::done);
    CHECK_EQ(pair.session->identity(), identity);
    CHECK_EQ(std::string(SSL_get_cipher_name(pair.host.ssl)),
             hash == PskHash::sha256 ? "TLS_AES_128_GCM_SHA256" : "TLS_AES_256_GCM_SHA384");
    pair.host.write(text("ICReq"));
    CHECK_EQ(pair.read(pair.host.take()), text("ICReq"));
    CHECK_EQ(pair.session->write(text("ICResp")), Outcome::done);
    to_host(*pair.session, pair.host);
    CHECK_EQ(pair.host.read(), text("ICResp"));
  }
}

TEST_CASE("tls: flights cut at every byte: the handshake and the data arrive") {
  Pair pair;
  CHECK_EQ(pair.shake(1), Outcome::done);
  pair.host.write(text("a capsule"));
  const Bytes record = pair.host.take();
  Bytes all;
  for (const std::byte& byte : record) {
    const Bytes some = pair.read({&byte, 1});
    all.insert(all.end(), some.begin(), some.end());
  }
  CHECK_EQ(all, text("a capsule"));
}

TEST_CASE("tls: a group that the host did not guess: HelloRetryRequest, then in") {
  HostOptions options;
  options.groups = "P-521:P-256";
  Pair pair(options);
  CHECK_EQ(pair.shake(), Outcome::done);
  CHECK_EQ(pair.session->identity(), identity256);
}

TEST_CASE("tls: an unknown identity, no PSK, or TLS 1.2: refused with an alert, nothing kept") {
  HostOptions unknown;
  unknown.identity = "NVMe0R01 nqn.2026-01.other nqn.2026-01.subsystem";
  check_refused(unknown, SSL_AD_UNKNOWN_PSK_IDENTITY);
  HostOptions without;
  without.offer_psk = false;
  check_refused(without, SSL_AD_UNKNOWN_PSK_IDENTITY);
  HostOptions without_share = without;
  without_share.groups = "P-521:P-256";  // No HelloRetryRequest for a stranger.
  check_refused(without_share, SSL_AD_UNKNOWN_PSK_IDENTITY);
  HostOptions old;
  old.version = TLS1_2_VERSION;
  old.offer_psk = false;
  Pair pair(old);
  CHECK_EQ(pair.session->handshake(), Outcome::failed);
}

TEST_CASE("tls: a wrong PSK under a known identity: refused by its binder") {
  HostOptions wrong;
  wrong.psk = psk_of(PskHash::sha256, 2);
  Pair pair(wrong);
  CHECK_EQ(pair.session->handshake(), Outcome::failed);
  CHECK_FALSE(pair.session->established());
  to_host(*pair.session, pair.host);
  CHECK_FALSE(pair.host.shake());
  CHECK(pair.host.broken);
}

TEST_CASE("tls: several PSKs of one identity: each gets in, a further one does not") {
  Controller controller;
  auto table = std::make_shared<KeyTable>();
  for (uint8_t seed = 1; seed <= limits::psks_per_identity; ++seed) {
    const auto added = table->add(identity256, PskHash::sha256, psk_of(PskHash::sha256, seed));
    REQUIRE(added.ok());
  }
  CHECK_FALSE(table->add(identity256, PskHash::sha256, psk_of(PskHash::sha256, 99)).ok());
  controller.keys->replace(table);
  for (uint8_t seed = 1; seed <= limits::psks_per_identity + 1; ++seed) {
    CAPTURE(seed);
    HostOptions options;
    options.psk = psk_of(PskHash::sha256, seed);
    Pair pair(controller, options);
    CHECK_EQ(pair.shake() == Outcome::done, seed <= limits::psks_per_identity);
  }
}

TEST_CASE("tls: keys replaced during a handshake: it ends with the old ones, the next has none") {
  Controller controller;
  Pair pair(controller, {});
  controller.keys->replace(std::make_shared<KeyTable>());
  CHECK_EQ(pair.shake(), Outcome::done);
  Pair next(controller, {});
  CHECK_EQ(next.session->handshake(), Outcome::failed);
}

TEST_CASE("tls: a generated PSK: beside those that are configured, and replaced apart from them") {
  Controller controller;
  auto table = std::make_shared<KeyTable>();
  HostOptions generated;
  generated.identity = "NVMe1G01 host subsystem digest";
  REQUIRE(table->add(generated.identity, PskHash::sha256, generated.psk).ok());
  controller.keys->replace(PskOrigin::generated, table);
  for (const HostOptions& options : {HostOptions{}, generated}) {
    Pair pair(controller, options);
    CHECK_EQ(pair.shake(), Outcome::done);
  }
  controller.keys->replace(PskOrigin::generated, std::make_shared<KeyTable>());
  Pair gone(controller, generated);
  CHECK_EQ(gone.session->handshake(), Outcome::failed);
  Pair configured(controller, {});
  CHECK_EQ(configured.shake(), Outcome::done);
}

TEST_CASE("tls: a host with the suite of the other hash alone: refused") {
  HostOptions options = host384();
  options.psk = psk_of(PskHash::sha256);
  options.hash = PskHash::sha256;
  options.both_suites = false;
  Pair pair(options);
  CHECK_EQ(pair.session->handshake(), Outcome::failed);
}

TEST_CASE("tls: hello: judged at every length, refused when it is none or too long") {
  Host host;
  const Bytes hello = hello_of(host);
  for (size_t length = 0; length < hello.size(); ++length) {
    CAPTURE(length);
    CHECK_EQ(hello_state(std::span(hello).first(length)), HelloState::incomplete);
  }
  Bytes longer = hello;
  longer.push_back(std::byte{20});
  CHECK_EQ(hello_state(longer), HelloState::whole);
  CHECK_EQ(hello_bytes(longer), hello.size());
  const auto with = [&](size_t at, uint8_t value) {
    Bytes changed = hello;
    changed[at] = std::byte{value};
    return hello_state(changed);
  };
  CHECK_EQ(with(0, 0), HelloState::refused);       // An ICReq.
  CHECK_EQ(with(0, 23), HelloState::refused);
  CHECK_EQ(with(1, 2), HelloState::refused);       // SSL 2.
  CHECK_EQ(with(3, 0x20), HelloState::refused);    // 8 KiB and more.
  CHECK_EQ(with(5, 2), HelloState::refused);       // A ServerHello.
  CHECK_EQ(with(8, static_cast<uint8_t>(hello[8]) + 1), HelloState::refused);  // In pieces.
  for (const size_t content : {size_t{0}, size_t{3}}) {
    Bytes empty = hello;
    empty[3] = std::byte{0};
    empty[4] = static_cast<std::byte>(content);
    CHECK_EQ(hello_state(empty), HelloState::refused);
  }
}

TEST_CASE("tls: each byte of a ClientHello changed: no one gets in with it, nothing breaks") {
  Controller controller;
  Host host;
  const Bytes hello = hello_of(host);
  for (size_t at = 0; at < hello.size(); ++at) {
    CAPTURE(at);
    Bytes changed = hello;
    changed[at] ^= std::byte{0xff};
    if (hello_state(changed) != HelloState::whole || hello_bytes(changed) != changed.size()) {
      continue;
    }
    Session session(controller.context, changed);
    // The record's own version is not part of what the binder covers.
    if (at != 2) CHECK_EQ(session.handshake(), Outcome::failed);
    CHECK_FALSE(session.established());
  }
}

TEST_CASE("tls: each byte of the host's Finished changed: the handshake fails") {
  Pair whole;
  CHECK_EQ(whole.shake(), Outcome::done);
  const size_t length = whole.flying.size();
  for (size_t at = 0; at < length; ++at) {
    CAPTURE(at);
    Pair pair;
    to_host(*pair.session, pair.host);
    pair.host.shake();
    Bytes finished = pair.host.take();
    REQUIRE_EQ(finished.size(), length);
    finished[at] ^= std::byte{0xff};
    pair.session->give(finished);
    CHECK_NE(pair.session->handshake(), Outcome::done);
  }
}

TEST_CASE("tls: a record that was changed on its way: the session fails for good") {
  Pair pair;
  REQUIRE_EQ(pair.shake(), Outcome::done);
  pair.host.write(text("write 4 KiB"));
  Bytes record = pair.host.take();
  record.back() ^= std::byte{1};
  CHECK(pair.read(record).empty());
  CHECK_EQ(pair.last, Outcome::failed);
  CHECK_EQ(pair.session->write(text("x")), Outcome::failed);
  to_host(*pair.session, pair.host);
  pair.host.read();
  CHECK_EQ(pair.host.alert(), SSL_AD_BAD_RECORD_MAC);
}

TEST_CASE("tls: a MiB each way in records of every kind of size: all of it, in order") {
  Pair pair;
  REQUIRE_EQ(pair.shake(), Outcome::done);
  Bytes data(1 << 20);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 + i / 4096);
  pair.host.write(data);
  CHECK_EQ(pair.read(pair.host.take()), data);
  Bytes back;
  size_t at = 0;
  for (size_t length = 1; at < data.size(); length = length * 5 + 3) {
    const size_t record = std::min({length, limits::record_content_bytes, data.size() - at});
    if (!pair.session->writable()) {
      CHECK_EQ(pair.session->write(std::span(data).subspan(at, record)), Outcome::want_output);
      to_host(*pair.session, pair.host);
      const Bytes some = pair.host.read();
      back.insert(back.end(), some.begin(), some.end());
    }
    REQUIRE_EQ(pair.session->write(std::span(data).subspan(at, record)), Outcome::done);
    at += record;
  }
  to_host(*pair.session, pair.host);
  const Bytes rest = pair.host.read();
  back.insert(back.end(), rest.begin(), rest.end());
  CHECK_EQ(back, data);
}

TEST_CASE("tls: KeyUpdate asked for by the host: answered, and data goes on both ways") {
  Pair pair;
  REQUIRE_EQ(pair.shake(), Outcome::done);
  for (int i = 0; i < 3; ++i) {
    REQUIRE_EQ(SSL_key_update(pair.host.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    pair.host.write(text("after"));
    CHECK_EQ(pair.read(pair.host.take()), text("after"));
    REQUIRE_EQ(pair.session->write(text("before")), Outcome::done);
    to_host(*pair.session, pair.host);
    CHECK_EQ(pair.host.read(), text("before"));
  }
}

TEST_CASE("tls: KeyUpdates without data: a few are taken, then the session fails") {
  Pair pair;
  REQUIRE_EQ(pair.shake(), Outcome::done);
  uint32_t taken = 0;
  for (; taken < 100; ++taken) {
    REQUIRE_EQ(SSL_key_update(pair.host.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    SSL_do_handshake(pair.host.ssl);
    pair.read(pair.host.take());
    if (pair.last == Outcome::failed) break;
  }
  CHECK_EQ(taken, limits::key_updates);
}

TEST_CASE("tls: close_notify: the host's is told, ours reaches it") {
  Pair pair;
  REQUIRE_EQ(pair.shake(), Outcome::done);
  SSL_shutdown(pair.host.ssl);
  CHECK(pair.read(pair.host.take()).empty());
  CHECK_EQ(pair.last, Outcome::closed);
  pair.session->shutdown();
  to_host(*pair.session, pair.host);
  pair.host.read();
  CHECK(pair.host.closed);
}

TEST_CASE("tls: early data, tickets and renegotiation: none is offered") {
  Pair pair;
  REQUIRE_EQ(pair.shake(), Outcome::done);
  CHECK(pair.session->output().empty());  // No NewSessionTicket.
  CHECK_EQ(SSL_get_early_data_status(pair.host.ssl), SSL_EARLY_DATA_NOT_SENT);
  CHECK_NE(SSL_renegotiate(pair.host.ssl), 1);
}

TEST_CASE("tls: keys: a table holds so many and no more") {
  KeyTable table;
  const Bytes psk = psk_of(PskHash::sha256);
  for (size_t i = 0; i < limits::max_psks; ++i) {
    if (!table.add("NVMe0R01 " + std::to_string(i), PskHash::sha256, psk).ok()) FAIL(i);
  }
  const auto beyond = table.add("one more", PskHash::sha256, psk);
  REQUIRE_FALSE(beyond.ok());
  CHECK_EQ(beyond.error().code, ErrorCode::limit_exceeded);
  CHECK_EQ(table.find("NVMe0R01 0").size(), 1);
  CHECK(table.find("one more").empty());
}

}  // namespace
}  // namespace ashlar::tls::rig
