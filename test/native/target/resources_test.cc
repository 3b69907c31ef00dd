// Limits and time: buffers, slow peers, stalls, floods. Nothing grows, nothing legal fails, and who
// does nothing wrong does not notice.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;
using nvme::StatusCode;

size_t connections(const Rig& rig) {
  return rig.a_counters.connections.value() + rig.b_counters.connections.value();
}

// The smallest pool that a reactor may have: two commands of the largest size.
RigOptions tight() {
  RigOptions options;
  options.buffer_bytes = 2 << 20;
  return options;
}

TEST_CASE("buffers: more reads at once than the pool holds: all are answered in the end") {
  PeerOptions peer;
  peer.sqsize_0based = 63;
  Live live(tight(), peer);
  for (uint16_t cid = 0; cid < 64; ++cid)
    live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 256));
  int answered = 0;
  while (answered < 64) {
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    if (pdu->type == tcp::PduType::capsule_resp) {
      CHECK_EQ(pdu->as<tcp::CapsuleResp>().cqe.status, 0);
      ++answered;
    } else {
      CHECK_EQ(pdu->data.size(), 1 << 20);
    }
  }
}

TEST_CASE("buffers: writes by R2T hold the share, a write in a capsule still gets through") {
  // Both reactors' connections; the R2Ts are never answered until the end.
  PeerOptions peer;
  peer.sqsize_0based = 63;
  Live live(tight(), peer);
  for (uint16_t cid = 0; cid < 8; ++cid) {
    live.io.send_command(make_sqe(IoOpcode::write, cid, cid * 64, 64));
  }
  live.rig.settle();
  CHECK_LT(live.io.received.size(), 8);  // Some wait for buffers.
  for (uint16_t cid = 8; cid < 40; ++cid) {
    live.io.send_command(in_capsule(make_sqe(IoOpcode::write, cid, 1000 + cid, 2)),
                         pattern(8192, cid));
  }
  int capsules = 0;
  std::vector<tcp::R2T> r2ts;
  while (capsules < 32) {
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    if (pdu->type == tcp::PduType::r2t) {
      r2ts.push_back(pdu->as<tcp::R2T>());
    } else {
      CHECK_EQ(pdu->as<tcp::CapsuleResp>().cqe.status, 0);
      ++capsules;
    }
  }
  const auto at = live.rig.volume.memory.begin() + 1039 * 4096;
  CHECK(std::equal(at, at + 8192, pattern(8192, 39).begin()));
  int writes = 0;
  while (writes < 8) {
    while (!r2ts.empty()) {
      const auto r2t = r2ts.back();
      r2ts.pop_back();
      for (uint32_t sent = 0; sent < r2t.r2tl; sent += 65536) {
        live.io.send_h2c(r2t.cccid, r2t.ttag, r2t.r2to + sent, pattern(65536, 1),
                         sent + 65536 == r2t.r2tl);
      }
    }
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    if (pdu->type == tcp::PduType::r2t) {
      r2ts.push_back(pdu->as<tcp::R2T>());
    } else {
      ++writes;
    }
  }
}

TEST_CASE("buffers: a host that reads nothing holds its share only; its neighbour works on") {
  RigOptions options = tight();
  options.network.min_window_bytes = options.network.max_window_bytes = 4096;
  Live live(options);
  // Two more queues, so that both reactors have one beside the greedy one.
  Peer second(live.rig);
  REQUIRE(second.join(2));
  Peer third(live.rig);
  REQUIRE(third.join(3));
  live.io.reading = false;
  for (uint16_t cid = 0; cid < 16; ++cid) {
    live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 128));
  }
  live.rig.settle();
  for (int i = 0; i < 20; ++i) {
    for (Peer* peer : {&second, &third}) {
      peer->send_command(make_sqe(IoOpcode::read, 1, 0, 64));
      REQUIRE_EQ(peer->next()->type, tcp::PduType::c2h_data);
      REQUIRE_EQ(peer->status(), 0);
    }
  }
  live.rig.pass(2 * limits::stall_timeout_ns);
  CHECK_EQ(connections(live.rig), 3);  // The greedy one was cut off.
}

uint64_t lent_bytes(const Rig& rig) {
  return rig.a_buffers.size_bytes() - rig.a_buffers.free_bytes() + rig.b_buffers.size_bytes() -
         rig.b_buffers.free_bytes();
}

// Writes of 8 KiB in one piece: more than three receives of a queue's own memory.
void send_many(Peer& io, uint16_t count) {
  Bytes all;
  for (uint16_t cid = 0; cid < count; ++cid) {
    const Bytes pdu =
        io.command_pdu(in_capsule(make_sqe(IoOpcode::write, cid, 2 * cid, 2)), pattern(8192, cid));
    all.insert(all.end(), pdu.begin(), pdu.end());
  }
  io.send(all);
  for (uint16_t cid = 0; cid < count; ++cid) REQUIRE_EQ(io.status(), 0);
}

TEST_CASE("receives: a queue that fills its own memory borrows, and gives back when it says less") {
  PeerOptions peer;
  peer.sqsize_0based = 63;
  Live live({}, peer);
  CHECK_EQ(lent_bytes(live.rig), 0);
  for (int round = 0; round < 3; ++round) {
    send_many(live.io, 16);
    CHECK_EQ(lent_bytes(live.rig), limits::long_receive_bytes);
    CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 20)), 0);
    CHECK_EQ(lent_bytes(live.rig), 0);
  }
  const auto at = live.rig.volume.memory.begin() + 30 * 4096;
  CHECK(std::equal(at, at + 8192, pattern(8192, 15).begin()));
  send_many(live.io, 16);
  live.io.hang_up();
  REQUIRE(live.rig.run_until([&] { return connections(live.rig) == 1; }));
  CHECK_EQ(lent_bytes(live.rig), 0);
}

TEST_CASE("receives: nothing is lent for them while more than half of the buffers are in use") {
  PeerOptions peer;
  peer.sqsize_0based = 63;
  Live live({}, peer);
  std::deque<BufferRequest> others;
  const auto take = [&](uint64_t bytes) {
    for (BufferPool* pool : {&live.rig.a_buffers, &live.rig.b_buffers}) {
      while (pool->size_bytes() - pool->free_bytes() < bytes) {
        others.emplace_back().length_bytes = 4096;
        REQUIRE(pool->try_acquire(others.back()));
      }
    }
    return lent_bytes(live.rig);
  };
  const uint64_t half = live.rig.a_buffers.size_bytes() / 2;
  const uint64_t with_less = take(half - (1 << 20));
  send_many(live.io, 16);
  CHECK_EQ(lent_bytes(live.rig), with_less + limits::long_receive_bytes);
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 20)), 0);
  const uint64_t with_more = take(half + 4096);
  send_many(live.io, 16);
  CHECK_EQ(lent_bytes(live.rig), with_more);
  for (BufferRequest& other : others) {
    BufferPool& a = live.rig.a_buffers;
    const auto* memory = static_cast<const std::byte*>(other.pieces[0].iov_base);
    const bool of_a = memory >= a.memory().data() && memory < a.memory().data() + a.size_bytes();
    (of_a ? a : live.rig.b_buffers).release(other);
  }
}

TEST_CASE("slots: the next command may come before we learn that the response is out") {
  // A window of one byte makes the end of a send late; the host answers each byte at once.
  RigOptions options;
  options.network.split = true;
  options.network.min_window_bytes = 1;
  options.network.max_window_bytes = 64;
  PeerOptions peer;
  peer.sqsize_0based = 1;
  peer.disable_sqflow = true;
  Live live(options, peer);
  for (uint16_t i = 0; i < 50; ++i) {
    live.io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1));
    live.io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 2));
    REQUIRE_EQ(live.io.status(), 0);
    live.io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1));
    REQUIRE_EQ(live.io.status(), 0);
    REQUIRE_EQ(live.io.status(), 0);
  }
}

TEST_CASE("time: no ICReq, half an ICReq, no Connect, half a Connect: cut off in time") {
  Rig rig;
  Peer silent(rig);
  Peer half(rig);
  half.send(Bytes(100));
  Peer no_connect(rig);
  REQUIRE(no_connect.exchange());
  Peer half_connect(rig);
  REQUIRE(half_connect.exchange());
  Bytes connect = half_connect.command_pdu(half_connect.connect_sqe(0), pattern(1024, 0));
  connect.resize(600);
  half_connect.send(connect);
  rig.settle();
  CHECK_EQ(connections(rig), 4);
  rig.pass(limits::ic_req_timeout_ns + limits::second_ns);
  CHECK_EQ(connections(rig), 0);
  for (const Peer* peer : {&silent, &half, &no_connect, &half_connect}) CHECK(peer->ended());
}

TEST_CASE("time: Connects that are rejected again and again: cut off in time all the same") {
  Rig rig;
  rig.answer_connects = false;
  Peer peer(rig);
  REQUIRE(peer.exchange());
  const uint64_t step = limits::second_ns;
  uint64_t passed = 0;
  while (!peer.ended() && passed < 2 * limits::connect_timeout_ns) {
    peer.send_command(peer.connect_sqe(0), pattern(1024, 0));
    rig.settle();
    if (peer.ended()) break;
    rig.target->reject(rig.connects.back().connection, 0x182, 0);
    REQUIRE(peer.response());
    rig.pass(step);
    passed += step;
  }
  CHECK_EQ(passed, limits::connect_timeout_ns);
  CHECK(peer.ended());
}

TEST_CASE("time: a Connect that is rejected late: the host has the answer, and no further time") {
  Rig rig;
  rig.answer_connects = false;
  Peer peer(rig);
  REQUIRE(peer.exchange());
  peer.send_command(peer.connect_sqe(0), pattern(1024, 0));
  rig.settle();
  rig.pass(limits::connect_timeout_ns + limits::second_ns);
  CHECK_FALSE(peer.ended());
  rig.target->reject(rig.connects[0].connection, 0x182, 0);
  const auto cqe = peer.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, 0x8000 | 0x182 << 1);
  rig.settle();
  CHECK(peer.ended());
}

TEST_CASE("time: a Connect that nobody answers ends after 30 s") {
  Rig rig;
  rig.answer_connects = false;
  Peer peer(rig);
  REQUIRE(peer.exchange());
  peer.send_command(peer.connect_sqe(0), pattern(1024, 0));
  rig.pass(limits::accept_timeout_ns - limits::second_ns);
  CHECK_FALSE(peer.ended());
  rig.pass(2 * limits::second_ns);
  CHECK(peer.ended());
  // The answer comes too late and finds nobody.
  rig.make_controller(1);
  rig.target->accept(rig.connects[0].connection, 1);
  rig.settle();
  CHECK_EQ(connections(rig), 0);
  CHECK_EQ(rig.ended.size(), 1);
}

TEST_CASE("time: a PDU cut off in the middle ends that queue, idle ones stay for ever") {
  Live live;
  Bytes pdu = live.io.command_pdu(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), pattern(4096, 1));
  pdu.resize(2000);
  live.io.send(pdu);
  live.rig.pass(2 * limits::stall_timeout_ns + limits::second_ns);
  CHECK(live.io.ended());
  live.rig.pass(1000 * limits::second_ns);
  CHECK_FALSE(live.admin.ended());
  Peer again(live.rig);
  CHECK(again.join(1));
}

TEST_CASE("time: an R2T that is never answered ends that queue, and frees its buffers") {
  Live live;
  live.io.send_command(make_sqe(IoOpcode::write, 1, 0, 256));
  REQUIRE(live.io.next());
  live.rig.pass(2 * limits::stall_timeout_ns + limits::second_ns);
  CHECK(live.io.ended());
  CHECK_EQ(live.rig.a_buffers.free_bytes() + live.rig.b_buffers.free_bytes(),
           live.rig.a_buffers.size_bytes() + live.rig.b_buffers.size_bytes());
}

TEST_CASE("time: an R2T that waits while other commands flow is a stall all the same") {
  Live live;
  live.io.send_command(make_sqe(IoOpcode::write, 1, 0, 4));
  REQUIRE(live.io.next());
  for (int i = 0; i < 70 && !live.io.ended(); ++i) {
    live.rig.pass(limits::second_ns);
    live.io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 2));
    live.rig.settle(1'000'000);
  }
  CHECK(live.io.ended());
}

TEST_CASE("flood: more connections than a reactor takes are closed, the others live") {
  Rig rig;
  std::vector<std::unique_ptr<Peer>> peers;
  Peer first(rig);
  REQUIRE(first.join(0));
  for (uint32_t i = 0; i < 2 * limits::connections_per_reactor + 10; ++i) {
    auto peer = std::make_unique<Peer>(rig);
    if (peer->stream == nullptr) break;
    peers.push_back(std::move(peer));
  }
  rig.settle();
  CHECK_LE(connections(rig), 2 * limits::connections_per_reactor);
  CHECK_EQ(first.run(make_sqe(static_cast<uint8_t>(nvme::AdminOpcode::keep_alive), 1)), 0);
  rig.pass(limits::ic_req_timeout_ns + limits::second_ns);
  CHECK_EQ(connections(rig), 1);
}

// One address fills its share over and over; another fills the rest with several hosts' worth.
TEST_CASE("flood: connections that say nothing displace each other; a host that connects gets in") {
  Rig rig;
  std::vector<std::unique_ptr<Peer>> silent;
  const auto flood = [&](sim::SimNetwork& from, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      silent.push_back(std::make_unique<Peer>(rig, PeerOptions{}, &from));
      REQUIRE(silent.back()->stream != nullptr);
    }
  };
  flood(rig.host_network, 2 * limits::newcomers_per_address + 20);
  CHECK_EQ(connections(rig), 2 * limits::newcomers_per_address);
  CHECK(silent.front()->ended());  // The oldest went.
  CHECK_FALSE(silent.back()->ended());
  Peer host(rig);  // From the same address even.
  REQUIRE(host.join(0));

  std::vector<std::unique_ptr<sim::SimNetwork>> others;
  for (int i = 0; i < 6; ++i) {
    others.push_back(std::make_unique<sim::SimNetwork>(rig.wire, rig.host,
                                                       "10.0.1." + std::to_string(i)));
    flood(*others.back(), 2 * limits::newcomers_per_address);
  }
  CHECK_LE(connections(rig), 2 * limits::newcomers_per_reactor + 1);
  sim::SimNetwork late_network(rig.wire, rig.host, "10.0.2.1");
  Peer late(rig, {}, &late_network);
  flood(*others.back(), 100);  // While it takes its time.
  REQUIRE(late.join(0));
  CHECK_EQ(host.run(make_sqe(static_cast<uint8_t>(nvme::AdminOpcode::keep_alive), 1)), 0);
  rig.pass(limits::ic_req_timeout_ns + limits::second_ns);
  CHECK_EQ(connections(rig), 2);
}

TEST_CASE("faults: connections cut at random moments under load: nothing leaks") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    RigOptions options;
    options.seed = seed;
    options.network.split = true;
    options.network.cuts_per_million = 2000;
    Rig rig(options);
    rig.keep_alive_ms = 0;
    for (int round = 0; round < 5; ++round) {
      Peer admin(rig);
      if (!admin.join(0)) continue;
      Peer io(rig);
      if (!io.join(1)) continue;
      for (uint16_t i = 0; i < 30 && !io.ended(); ++i) {
        const nvme::Sqe write = make_sqe(IoOpcode::write, i, i, 8);
        if (io.write_by_r2t(write, pattern(8 * 4096, i), 8192) == 0xffff) break;
        io.send_command(make_sqe(IoOpcode::read, i, i, 8));
        while (const auto pdu = io.next()) {
          if (pdu->type == tcp::PduType::capsule_resp) break;
        }
      }
    }
    rig.pass(2 * limits::stall_timeout_ns + limits::second_ns);
    CHECK_EQ(connections(rig), 0);
    CHECK_EQ(rig.a_buffers.free_bytes(), rig.a_buffers.size_bytes());
    CHECK_EQ(rig.b_buffers.free_bytes(), rig.b_buffers.size_bytes());
    CHECK_EQ(rig.ended.size(), rig.next_controller - 1);
  }
}

TEST_CASE("the target closes in the middle of everything") {
  Live live;
  live.rig.volume.held = true;
  live.io.send_command(make_sqe(IoOpcode::read, 1, 0, 64));
  live.io.send_command(make_sqe(IoOpcode::write, 2, 0, 64));
  live.io.send_command(in_capsule(make_sqe(IoOpcode::write, 3, 0, 1)), pattern(4096, 1));
  Peer half(live.rig);
  half.send(Bytes(3));
  bool closed = false;
  live.rig.target->close([&] { closed = true; });
  live.rig.settle();
  CHECK_FALSE(closed);
  live.rig.volume.release();
  live.rig.settle();
  CHECK(closed);
  CHECK_EQ(live.rig.ended.size(), 1);
}

}  // namespace
}  // namespace ashlar::target::rig
