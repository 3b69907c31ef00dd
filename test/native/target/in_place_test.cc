// The short cuts of a backend in memory: reads that are lent, writes that go straight to their
// place.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;

Bytes stored(const Rig& rig, size_t block, size_t blocks) {
  const auto from = rig.volume.memory.begin() + static_cast<ptrdiff_t>(block * 4096);
  return Bytes(from, from + static_cast<ptrdiff_t>(blocks * 4096));
}

void store(Rig& rig, size_t block, const Bytes& data) {
  std::copy(data.begin(), data.end(),
            rig.volume.memory.begin() + static_cast<ptrdiff_t>(block * 4096));
}

RigOptions window(size_t bytes) {
  RigOptions options;
  options.network.min_window_bytes = options.network.max_window_bytes = bytes;
  return options;
}

TEST_CASE("in place: a read is lent, sent, and given back before anything else happens") {
  Live live;
  live.rig.volume.lends = true;
  const Bytes data = pattern(6 * 4096, 1);
  store(live.rig, 3, data);
  live.io.send_command(make_sqe(IoOpcode::read, 10, 3, 6));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  CHECK_EQ(pdu->data, data);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.rig.volume.lent, 1);
  CHECK_EQ(live.rig.volume.loans, 0);
  CHECK(live.rig.volume.log.empty());
}

TEST_CASE("in place: whatever the socket takes at once, a later write changes nothing of a read") {
  // Three reads of 12 KiB and their headers are 37,000 bytes.
  for (size_t room = 1; room < 40'000; room += 487) {
    CAPTURE(room);
    Live live(window(40'000));
    live.rig.volume.lends = true;
    const Bytes data = pattern(9 * 4096, room);
    store(live.rig, 0, data);
    live.rig.wire.options().min_window_bytes = live.rig.wire.options().max_window_bytes = room;
    Peer io(live.rig);
    REQUIRE(io.exchange());
    REQUIRE(io.connect_queue(2));
    Bytes three;
    for (uint16_t i = 0; i < 3; ++i) {
      const Bytes pdu = io.command_pdu(make_sqe(IoOpcode::read, i, uint64_t{i} * 3, 3));
      three.insert(three.end(), pdu.begin(), pdu.end());
    }
    io.send(three);
    REQUIRE(live.rig.run_until([&] { return live.rig.volume.lent == 3; }));
    REQUIRE(live.rig.run_until([&] { return live.rig.volume.loans == 0; }));
    store(live.rig, 0, Bytes(9 * 4096, std::byte{0xee}));
    for (size_t i = 0; i < 3; ++i) {
      const auto pdu = io.next();
      REQUIRE(pdu);
      const auto from = data.begin() + static_cast<ptrdiff_t>(i * 3 * 4096);
      REQUIRE(pdu->data == Bytes(from, from + 3 * 4096));
      REQUIRE(io.status() == 0);
    }
    CHECK_EQ(live.rig.a_buffers.free_bytes(), live.rig.a_buffers.size_bytes());
    CHECK_EQ(live.rig.b_buffers.free_bytes(), live.rig.b_buffers.size_bytes());
  }
}

TEST_CASE("in place: a read before a PDU that ends the connection is given back, unsent") {
  Live live;
  live.rig.volume.lends = true;
  Bytes bytes = live.io.command_pdu(make_sqe(IoOpcode::read, 10, 0, 1));
  bytes.resize(bytes.size() + 64, std::byte{0xff});  // No PDU.
  live.io.send(bytes);
  REQUIRE(live.rig.run_until([&] { return live.io.ended(); }));
  CHECK_EQ(live.rig.volume.lent, 1);
  CHECK_EQ(live.rig.volume.loans, 0);
}

TEST_CASE("in place: under a data digest a read is taken whole before the digest is made of it") {
  PeerOptions peer;
  peer.dgst = tcp::digest_data;
  Live live({}, peer);
  live.rig.volume.lends = true;
  const Bytes data = pattern(6 * 4096, 3);
  store(live.rig, 0, data);
  live.io.send_command(make_sqe(IoOpcode::read, 2, 0, 6));
  REQUIRE(live.rig.run_until([&] { return live.rig.volume.lent == 1; }));
  CHECK_EQ(live.rig.volume.loans, 0);
  store(live.rig, 0, Bytes(6 * 4096, std::byte{0xee}));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  CHECK_EQ(pdu->data, data);
  CHECK(pdu->digest_ok);
}

TEST_CASE("in place: under a data digest nothing is written before the digest is found right") {
  PeerOptions peer;
  peer.dgst = tcp::digest_data;
  Live live({}, peer);
  live.rig.volume.lends = true;
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 8)), 0);
  const Bytes data = pattern(4096, 3);
  Bytes pdu = live.io.command_pdu(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), data);
  for (const size_t wrong : {size_t{72}, pdu.size() - 1}) {
    CAPTURE(wrong);
    pdu[wrong] ^= std::byte{1};
    live.io.send(pdu);
    pdu[wrong] ^= std::byte{1};
    CHECK_EQ(live.io.status(), code(nvme::StatusCode::transient_transport_error));
    CHECK_EQ(stored(live.rig, 0, 1), Bytes(4096));
  }
  CHECK_EQ(live.rig.volume.written_in_place, 0);
  live.io.send(pdu);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(stored(live.rig, 0, 1), data);
  CHECK_EQ(live.rig.volume.written_in_place, 1);
}

TEST_CASE("in place: a write whose data is all there goes to its place at once") {
  Live live;
  live.rig.volume.lends = true;
  // The receive that was out while the queue connected is short.
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 8)), 0);
  live.rig.volume.log.clear();
  const Bytes data = pattern(8192, 4);
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 9, 2, 2)), data), 0);
  CHECK_EQ(stored(live.rig, 2, 2), data);
  CHECK_EQ(live.rig.volume.written_in_place, 1);
  CHECK(live.rig.volume.log.empty());
  CHECK_EQ(live.rig.a_counters.written_bytes.value() + live.rig.b_counters.written_bytes.value(),
           8192);
}

TEST_CASE("in place: data that has not all come, FUA, and half of a capsule go the long way") {
  Live live;
  live.rig.volume.lends = true;
  const Bytes data = pattern(4096, 5);
  const Bytes pdu = live.io.command_pdu(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), data);
  for (const size_t cut : {size_t{72}, size_t{73}, pdu.size() - 1}) {
    CAPTURE(cut);
    store(live.rig, 0, Bytes(4096));
    live.io.send(Bytes(pdu.begin(), pdu.begin() + static_cast<ptrdiff_t>(cut)));
    live.rig.settle();
    CHECK_EQ(stored(live.rig, 0, 1), Bytes(4096));
    live.io.send(Bytes(pdu.begin() + static_cast<ptrdiff_t>(cut), pdu.end()));
    CHECK_EQ(live.io.status(), 0);
    CHECK_EQ(stored(live.rig, 0, 1), data);
  }
  nvme::Sqe fua = in_capsule(make_sqe(IoOpcode::write, 2, 1, 1));
  fua.cdw12 |= 1u << 30;
  CHECK_EQ(live.io.run(fua, data), 0);
  const Bytes two = pattern(8192, 6);
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 3, 2, 1), 4096), two), 0);
  CHECK_EQ(live.rig.volume.written_in_place, 0);
  CHECK_EQ(live.rig.volume.log.size(), 5);
}

TEST_CASE("in place: a namespace that is taken away settles when its lent reads are out") {
  Live live;
  live.rig.volume.lends = true;
  live.io.send_command(make_sqe(IoOpcode::read, 10, 0, 1));
  REQUIRE(live.rig.run_until([&] { return live.rig.volume.lent == 1; }));
  bool settled = false;
  live.rig.target->set_namespaces(1, {}, [&] {
    CHECK_EQ(live.rig.volume.loans, 0);
    settled = true;
  });
  REQUIRE(live.rig.run_until([&] { return settled; }));
}

}  // namespace
}  // namespace ashlar::target::rig
