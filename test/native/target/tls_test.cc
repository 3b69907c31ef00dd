// A whole target over TLS: the same queues and data, the host's PSK identity with its Connect, and
// nothing for those who do not bring one.
#include "rig.h"

#include "../tls/host_stream.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;

std::shared_ptr<const tls::KeyTable> keys() {
  auto table = std::make_shared<tls::KeyTable>();
  for (const auto hash : {tls::PskHash::sha256, tls::PskHash::sha384}) {
    const auto& identity = hash == tls::PskHash::sha256 ? tls::rig::identity256
                                                        : tls::rig::identity384;
    REQUIRE(table->add(identity, hash, tls::rig::psk_of(hash)).ok());
  }
  return table;
}

PeerOptions over_tls(tls::rig::HostOptions host = {}, PeerOptions options = {}) {
  options.wrap = [host](Loop& loop, std::unique_ptr<Stream> inner) {
    return std::make_unique<tls::rig::HostStream>(loop, std::move(inner), host);
  };
  return options;
}

RigOptions with(PortalTls mode, bool split = false) {
  RigOptions options;
  options.tls = mode;
  options.network.split = split;
  return options;
}

TEST_CASE("target: TLS: an association with data both ways, its PSK identity with each Connect") {
  for (const bool split : {false, true}) {
    CAPTURE(split);
    Rig rig(with(PortalTls::required, split));
    rig.target->set_tls_keys(keys());
    PeerOptions digests;
    digests.dgst = 3;
    Peer admin(rig, over_tls());
    REQUIRE(admin.join(0));
    Peer io(rig, over_tls(tls::rig::host384(), digests));
    REQUIRE(io.join(1));
    REQUIRE_EQ(rig.connects.size(), 2);
    CHECK_EQ(rig.connects[0].tls_identity, tls::rig::identity256);
    CHECK_EQ(rig.connects[1].tls_identity, tls::rig::identity384);
    const Bytes data = pattern(256 * 4096, 9);
    CHECK_EQ(io.write_by_r2t(make_sqe(IoOpcode::write, 1, 0, 256), data, 50'000), 0);
    CHECK(std::equal(data.begin(), data.end(), rig.volume.memory.begin()));
    io.send_command(make_sqe(IoOpcode::read, 2, 0, 256));
    const auto read = io.next();
    REQUIRE(read);
    CHECK(read->digest_ok);
    CHECK_EQ(read->data, data);
    CHECK_EQ(io.status(), 0);
  }
}

TEST_CASE("target: TLS allowed: plain and TLS through one portal, each known for what it is") {
  Rig rig(with(PortalTls::allowed));
  rig.target->set_tls_keys(keys());
  Peer plain(rig);
  REQUIRE(plain.join(0));
  Peer secured(rig, over_tls());
  REQUIRE(secured.join(0));
  CHECK(rig.connects[0].tls_identity.empty());
  CHECK_EQ(rig.connects[1].tls_identity, tls::rig::identity256);
  CHECK_EQ(plain.run(make_sqe(0x06, 1)), 0);
  CHECK_EQ(secured.run(make_sqe(0x06, 1)), 0);
}

TEST_CASE("target: TLS allowed: what a backend lends reaches a plain host and one over TLS") {
  Rig rig(with(PortalTls::allowed));
  rig.target->set_tls_keys(keys());
  rig.volume.lends = true;
  const Bytes data = pattern(3 * 4096, 8);
  std::copy(data.begin(), data.end(), rig.volume.memory.begin());
  for (const PeerOptions& options : {PeerOptions{}, over_tls()}) {
    Peer admin(rig, options);
    REQUIRE(admin.join(0));
    Peer io(rig, options);
    REQUIRE(io.join(1));
    io.send_command(make_sqe(nvme::IoOpcode::read, 1, 0, 3));
    const auto pdu = io.next();
    REQUIRE(pdu);
    CHECK_EQ(pdu->data, data);
    CHECK_EQ(io.status(), 0);
  }
  CHECK_EQ(rig.volume.lent, 2);
  CHECK_EQ(rig.volume.loans, 0);
}

TEST_CASE("target: TLS required: a plain ICReq is closed without an answer") {
  Rig rig(with(PortalTls::required));
  rig.target->set_tls_keys(keys());
  Peer plain(rig);
  CHECK_FALSE(plain.exchange());
  CHECK(plain.ended());
  CHECK(plain.received.empty());
}

TEST_CASE("target: TLS: no PSK, a wrong one, or one that was removed: no Connect gets through") {
  Rig rig(with(PortalTls::allowed));
  Peer before(rig, over_tls());
  CHECK_FALSE(before.exchange());
  rig.target->set_tls_keys(keys());
  tls::rig::HostOptions wrong;
  wrong.psk = tls::rig::psk_of(tls::PskHash::sha256, 7);
  Peer other(rig, over_tls(wrong));
  CHECK_FALSE(other.exchange());
  Peer good(rig, over_tls());
  REQUIRE(good.join(0));
  rig.target->set_tls_keys(std::make_shared<tls::KeyTable>());
  Peer after(rig, over_tls());
  CHECK_FALSE(after.exchange());
  CHECK_EQ(rig.connects.size(), 1);
  CHECK_EQ(good.run(make_sqe(0x06, 1)), 0);
}

TEST_CASE("target: TLS: a handshake that stops anywhere: closed when an ICReq is overdue") {
  Rig rig(with(PortalTls::allowed));
  rig.target->set_tls_keys(keys());
  tls::rig::Host host;
  host.shake();
  const Bytes hello = host.take();
  for (const size_t length : {size_t{1}, size_t{5}, size_t{100}, hello.size() - 1}) {
    CAPTURE(length);
    Peer peer(rig);
    peer.send(Bytes(hello.begin(), hello.begin() + static_cast<ptrdiff_t>(length)));
    rig.settle();
    CHECK_FALSE(peer.ended());
    rig.pass(limits::ic_req_timeout_ns + 1'000'000);
    CHECK(peer.ended());
  }
}

}  // namespace
}  // namespace ashlar::target::rig
