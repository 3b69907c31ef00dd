// What a peer may not do: each wrong PDU ends its connection with the right fatal error status and
// field, and no other connection notices.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;
using nvme::StatusCode;
using tcp::FatalErrorStatus;

void put8(Bytes& bytes, size_t at, uint8_t value) { bytes[at] = std::byte{value}; }
void put16(Bytes& bytes, size_t at, uint16_t value) { std::memcpy(&bytes[at], &value, 2); }
void put32(Bytes& bytes, size_t at, uint32_t value) { std::memcpy(&bytes[at], &value, 4); }

// The connection ends with this; the bystander and a new connection work on.
void check_fatal(Peer& offender, FatalErrorStatus status, uint32_t fei) {
  const auto term = offender.termination();
  REQUIRE(term);
  CHECK_EQ(term->fes, static_cast<uint16_t>(status));
  CHECK_EQ(tcp::term_req_fei(*term), fei);
}

struct Mutation {
  const char* name;
  std::function<void(Bytes&)> change;
  FatalErrorStatus status;
  uint32_t fei;
};

TEST_CASE("target: ICReq: each wrong field ends the connection and names itself") {
  for (const Mutation& row : std::vector<Mutation>{
           {"PFV", [](Bytes& b) { put16(b, 8, 1); }, FatalErrorStatus::unsupported_parameter, 8},
           {"HPDA", [](Bytes& b) { put8(b, 10, 32); }, FatalErrorStatus::invalid_pdu_header_field,
            10},
           {"HLEN", [](Bytes& b) { put8(b, 2, 127); }, FatalErrorStatus::invalid_pdu_header_field,
            2},
           {"PLEN short", [](Bytes& b) { put32(b, 4, 127); },
            FatalErrorStatus::invalid_pdu_header_field, 4},
           {"PLEN long", [](Bytes& b) { put32(b, 4, UINT32_MAX); },
            FatalErrorStatus::invalid_pdu_header_field, 4},
           {"type", [](Bytes& b) { put8(b, 0, 0x0a); }, FatalErrorStatus::invalid_pdu_header_field,
            0},
           {"to a host", [](Bytes& b) { put8(b, 0, 1); },
            FatalErrorStatus::invalid_pdu_header_field, 0},
       }) {
    CAPTURE(row.name);
    Rig rig;
    Peer peer(rig);
    Bytes bytes(128);
    tcp::encode_ic_req(bytes, 0, 0, 0);
    row.change(bytes);
    peer.send(bytes);
    check_fatal(peer, row.status, row.fei);
  }
}

TEST_CASE("target: a PDU in the wrong state is a sequence error") {
  {
    Rig rig;
    Peer peer(rig);
    peer.send_command(make_sqe(0, 1));  // Before ICReq.
    check_fatal(peer, FatalErrorStatus::pdu_sequence_error, 0);
  }
  {
    Rig rig;
    Peer peer(rig);
    REQUIRE(peer.exchange());
    peer.send_ic_req();  // Twice.
    check_fatal(peer, FatalErrorStatus::pdu_sequence_error, 0);
  }
  {
    Rig rig;
    Peer peer(rig);
    REQUIRE(peer.exchange());
    peer.send_h2c(1, 0, 0, pattern(4, 1), true);  // Before Connect.
    check_fatal(peer, FatalErrorStatus::pdu_sequence_error, 0);
  }
  {
    Rig rig;
    rig.answer_connects = false;
    Peer peer(rig);
    REQUIRE(peer.exchange());
    peer.send_command(peer.connect_sqe(0), pattern(1024, 1));
    peer.send_command(make_sqe(0, 2));  // While the Connect waits for its answer.
    check_fatal(peer, FatalErrorStatus::pdu_sequence_error, 0);
  }
}

TEST_CASE("target: the offending header is quoted in the C2HTermReq") {
  Live live;
  Bytes pdu = live.io.command_pdu(make_sqe(IoOpcode::read, 1, 0, 1));
  put8(pdu, 2, 73);
  live.io.send(pdu);
  check_fatal(live.io, FatalErrorStatus::invalid_pdu_header_field, 2);
  CHECK_EQ(live.io.quoted, Bytes(pdu.begin(), pdu.begin() + 8));
  // Others go on, and so does the controller.
  Peer other(live.rig);
  CHECK(other.join(2));
  CHECK_EQ(other.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1)), 0);
}

TEST_CASE("target: a wrong header digest: FEI is the digest that came") {
  PeerOptions options;
  options.dgst = 1;
  Live live({}, options);
  Bytes pdu = live.io.command_pdu(make_sqe(IoOpcode::read, 1, 0, 1));
  put32(pdu, 72, 0xdeadbeef);
  live.io.send(pdu);
  check_fatal(live.io, FatalErrorStatus::header_digest_error, 0xdeadbeef);
}

// An I/O queue with one write of 16 KiB whose R2T has come.
struct Asked {
  explicit Asked(PeerOptions options = {}) : live({}, options) {
    live.io.send_command(make_sqe(IoOpcode::write, 77, 0, 4));
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    REQUIRE_EQ(pdu->type, tcp::PduType::r2t);
    r2t = pdu->as<tcp::R2T>();
    CHECK_EQ(r2t.cccid, 77);
    CHECK_EQ(r2t.r2tl, 16384);
  }
  Live live;
  tcp::R2T r2t{};
};

TEST_CASE("target: H2CData: TTAG, CCCID, DATAO, DATAL and LAST_PDU, both ends of each") {
  struct Row {
    const char* name;
    std::function<void(Bytes&)> change;
    FatalErrorStatus status;
    uint32_t fei;
  };
  const auto field = FatalErrorStatus::invalid_pdu_header_field;
  const auto range = FatalErrorStatus::data_transfer_out_of_range;
  Asked probe;
  const uint16_t ttag = probe.r2t.ttag;
  for (const Row& row : std::vector<Row>{
           {"TTAG one below", [&](Bytes& b) { put16(b, 10, static_cast<uint16_t>(ttag - 1)); },
            field, 10},
           {"TTAG one above", [&](Bytes& b) { put16(b, 10, static_cast<uint16_t>(ttag + 1)); },
            field, 10},
           {"TTAG of the last slot", [](Bytes& b) { put16(b, 10, 63); }, field, 10},
           {"TTAG beyond the last slot", [](Bytes& b) { put16(b, 10, 64); }, field, 10},
           {"TTAG max", [](Bytes& b) { put16(b, 10, 0xffff); }, field, 10},
           {"CCCID 0", [](Bytes& b) { put16(b, 8, 0); }, field, 8},
           {"CCCID max", [](Bytes& b) { put16(b, 8, 0xffff); }, field, 8},
           {"DATAO ahead", [](Bytes& b) { put32(b, 12, 4); }, range, 0},
           {"DATAO unaligned", [](Bytes& b) { put32(b, 12, 2); }, field, 12},
           {"DATAO + DATAL wraps", [](Bytes& b) { put32(b, 12, 0xfffffffc); }, range, 0},
           {"DATAL not PLEN's", [](Bytes& b) { put32(b, 16, 4092); }, field, 16},
           {"DATAL 0", [](Bytes& b) { put32(b, 16, 0); }, field, 16},
           {"DATAL max", [](Bytes& b) { put32(b, 16, UINT32_MAX); }, field, 16},
           {"LAST_PDU too early", [](Bytes& b) { put8(b, 1, tcp::flag_last); }, field, 1},
       }) {
    CAPTURE(row.name);
    Asked asked;
    REQUIRE_EQ(asked.r2t.ttag, ttag);
    Bytes pdu = asked.live.io.h2c_pdu(77, ttag, 0, pattern(4096, 1), false);
    row.change(pdu);
    asked.live.io.send(pdu);
    check_fatal(asked.live.io, row.status, row.fei);
    CHECK(asked.live.rig.volume.log.empty());
  }
}

TEST_CASE("target: H2CData beyond the R2T, repeated, or without LAST_PDU at its end") {
  {
    Asked asked;
    asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(16388, 1), true);
    check_fatal(asked.live.io, FatalErrorStatus::data_transfer_out_of_range, 0);
  }
  {
    Asked asked;
    asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(4096, 1), false);
    asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(4096, 1), false);
    check_fatal(asked.live.io, FatalErrorStatus::data_transfer_out_of_range, 0);
  }
  {
    Asked asked;
    asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(16384, 1), false);
    check_fatal(asked.live.io, FatalErrorStatus::invalid_pdu_header_field, 1);
  }
  {
    Asked asked;  // After the R2T is served its TTAG means nothing.
    asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(16384, 1), true);
    CHECK_EQ(asked.live.io.status(), 0);
    asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(16384, 1), true);
    check_fatal(asked.live.io, FatalErrorStatus::invalid_pdu_header_field, 10);
  }
}

TEST_CASE("target: H2CData longer than MAXH2CDATA") {
  Live live;
  live.io.send_command(make_sqe(IoOpcode::write, 7, 0, 64));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  live.io.framing.maxh2cdata = 1 << 20;
  live.io.send_h2c(7, pdu->as<tcp::R2T>().ttag, 0, pattern(limits::maxh2cdata_bytes + 4, 1), false);
  check_fatal(live.io, FatalErrorStatus::data_transfer_limit_exceeded, 0);
}

TEST_CASE("target: in-capsule data: 8,192 bytes pass, one dword more is refused") {
  Live live;
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 2)), pattern(8192, 1)), 0);
  live.io.framing.max_in_capsule_bytes = 1 << 20;
  live.io.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 0, 2)), pattern(8196, 1));
  check_fatal(live.io, FatalErrorStatus::invalid_pdu_header_field, 4);
}

TEST_CASE("target: a CID that is in use: Command ID Conflict, and the first command goes on") {
  Asked asked;
  CHECK_EQ(asked.live.io.run(make_sqe(IoOpcode::read, 77, 0, 1)),
           code(StatusCode::command_id_conflict));
  CHECK_EQ(asked.live.io.run(make_sqe(IoOpcode::read, 77, 0, 1)),
           code(StatusCode::command_id_conflict));
  asked.live.io.send_h2c(77, asked.r2t.ttag, 0, pattern(16384, 1), true);
  CHECK_EQ(asked.live.io.status(), 0);
  CHECK_EQ(asked.live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 77)), 0);
}

TEST_CASE("target: one command more than the queue holds is a sequence error") {
  PeerOptions options;
  options.sqsize_0based = 3;
  Live live({}, options);
  live.rig.volume.held = true;
  for (uint16_t cid = 0; cid < 4; ++cid) live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 1));
  live.rig.settle();
  CHECK_FALSE(live.io.ended());
  live.io.send_command(make_sqe(IoOpcode::read, 4, 0, 1));
  check_fatal(live.io, FatalErrorStatus::pdu_sequence_error, 0);
}

TEST_CASE("target: every byte boundary: a session cut in two at each place runs the same") {
  PeerOptions options;
  options.dgst = 3;
  // ICReq, Connect, a write in a capsule, then H2CData for an R2T: all in two sends each.
  const Bytes data = pattern(4096, 1);
  Rig rig;
  Peer admin(rig, options);
  REQUIRE(admin.join(0));
  Peer io(rig, options);
  REQUIRE(io.join(1));
  const Bytes write = io.command_pdu(in_capsule(make_sqe(IoOpcode::write, 1, 3, 1)), data);
  for (size_t cut = 1; cut < write.size(); cut += cut < 100 || cut > write.size() - 8 ? 1 : 97) {
    CAPTURE(cut);
    io.send(Bytes(write.begin(), write.begin() + static_cast<ptrdiff_t>(cut)));
    rig.settle(1'000'000);
    io.send(Bytes(write.begin() + static_cast<ptrdiff_t>(cut), write.end()));
    REQUIRE_EQ(io.status(), 0);
  }
  for (size_t cut = 1; cut < 64; ++cut) {
    CAPTURE(cut);
    io.send_command(make_sqe(IoOpcode::write, 2, 4, 1));
    const auto pdu = io.next();
    REQUIRE(pdu);
    const Bytes h2c = io.h2c_pdu(2, pdu->as<tcp::R2T>().ttag, 0, data, true);
    io.send(Bytes(h2c.begin(), h2c.begin() + static_cast<ptrdiff_t>(cut)));
    rig.settle(1'000'000);
    io.send(Bytes(h2c.begin() + static_cast<ptrdiff_t>(cut), h2c.end()));
    REQUIRE_EQ(io.status(), 0);
  }
  for (size_t cut = 1; cut < 128; ++cut) {
    CAPTURE(cut);
    Peer fresh(rig);
    Bytes ic_req(128);
    tcp::encode_ic_req(ic_req, 0, 0, 0);
    fresh.send(Bytes(ic_req.begin(), ic_req.begin() + static_cast<ptrdiff_t>(cut)));
    rig.settle(1'000'000);
    fresh.send(Bytes(ic_req.begin() + static_cast<ptrdiff_t>(cut), ic_req.end()));
    REQUIRE(rig.run_until([&] { return fresh.exchanged || fresh.ended(); }));
    REQUIRE(fresh.exchanged);
  }
}

TEST_CASE("target: H2CTermReq: the connection closes without an answer") {
  Live live;
  Bytes bytes(tcp::max_term_req_bytes);
  bytes.resize(tcp::encode_term_req(bytes, tcp::Role::host,
                                    {FatalErrorStatus::pdu_sequence_error, 0}, {}));
  live.io.send(bytes);
  CHECK_FALSE(live.io.next());
  CHECK(live.io.ended());
}

TEST_CASE("target: garbage of every first byte: the connection ends, the target lives") {
  Rig rig;
  for (uint32_t first = 1; first < 256; ++first) {
    Peer peer(rig);
    Bytes garbage = pattern(512, first);
    garbage[0] = static_cast<std::byte>(first);
    peer.send(garbage);
    CHECK(peer.termination());
  }
  Peer peer(rig);
  CHECK(peer.join(0));
}

TEST_CASE("target: after a C2HTermReq a host that does not close is cut off") {
  Live live;
  live.io.send(Bytes(8, std::byte{0xff}));
  REQUIRE(live.io.termination());
  live.rig.settle();
  const uint64_t before = live.rig.a_counters.connections.value() +
                          live.rig.b_counters.connections.value();
  CHECK_EQ(before, 2);
  live.rig.pass(limits::terminate_timeout_ns + limits::second_ns);
  CHECK_EQ(live.rig.a_counters.connections.value() + live.rig.b_counters.connections.value(), 1);
}

}  // namespace
}  // namespace ashlar::target::rig
