// Meters: every command that is let in is counted once, whatever becomes of it, and limits keep
// commands waiting and nothing else.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;

constexpr uint64_t second_ns = 1'000'000'000;

uint64_t total(const std::array<uint64_t, latency_buckets>& histogram) {
  uint64_t sum = 0;
  for (const uint64_t count : histogram) sum += count;
  return sum;
}

// Sends reads of one block as long as `most` are not yet answered, and counts answers until
// `span_ns` have passed.
int reads_within(Live& live, uint64_t span_ns, int most) {
  const uint64_t until_ns = live.rig.clock.now + span_ns;
  int answered = 0;
  int under_way = 0;
  uint16_t cid = 0;
  std::vector<bool> busy(64, false);
  while (live.rig.clock.now < until_ns) {
    while (under_way < most) {
      while (busy[cid % 64]) ++cid;
      busy[cid % 64] = true;
      live.io.send_command(make_sqe(IoOpcode::read, cid % 64, 0, 1));
      ++under_way;
    }
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    if (pdu->type != tcp::PduType::capsule_resp) continue;
    busy[pdu->as<tcp::CapsuleResp>().cqe.cid] = false;
    --under_way;
    ++answered;
  }
  while (under_way > 0) {
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    if (pdu->type == tcp::PduType::capsule_resp) --under_way;
  }
  return answered;
}

PeerOptions deep() {
  PeerOptions peer;
  peer.sqsize_0based = 63;
  return peer;
}

TEST_CASE("latency: buckets touch each other, and every bound is the first of the next bucket") {
  for (uint32_t i = 0; i < latency_bounds; ++i) {
    CHECK_EQ(latency_bucket(latency_bound_ns(i) - 1), i);
    CHECK_EQ(latency_bucket(latency_bound_ns(i)), i + 1);
  }
  CHECK_EQ(latency_bucket(0), 0);
  CHECK_EQ(latency_bucket(UINT64_MAX), latency_buckets - 1);
}

TEST_CASE("meter: reads, writes, flushes and others are counted with their bytes and latencies") {
  for (const bool lends : {false, true}) {
    CAPTURE(lends);
    Live live;
    live.rig.volume.lends = lends;
    CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 2)), pattern(8192, 1)), 0);
    CHECK_EQ(live.io.write_by_r2t(make_sqe(IoOpcode::write, 2, 8, 16), pattern(65536, 2), 8192), 0);
    live.io.send_command(make_sqe(IoOpcode::read, 3, 0, 3));
    REQUIRE(live.io.next());
    CHECK_EQ(live.io.status(), 0);
    CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 4)), 0);
    nvme::Sqe zeroes = make_sqe(IoOpcode::write_zeroes, 5, 0, 4);
    zeroes.sgl.length = 0;
    CHECK_EQ(live.io.run(zeroes), 0);
    const MeterSum sum = live.rig.counted();
    CHECK_EQ(sum.writes, 2);
    CHECK_EQ(sum.written_bytes, 8192 + 65536);
    CHECK_EQ(sum.reads, 1);
    CHECK_EQ(sum.read_bytes, 3 * 4096);
    CHECK_EQ(sum.flushes, 1);
    CHECK_EQ(sum.others, 1);
    CHECK_EQ(sum.errors, 0);
    CHECK_EQ(sum.under_way, 0);
    CHECK_EQ(total(sum.read_latency), 1);
    CHECK_EQ(total(sum.write_latency), 2);
  }
}

TEST_CASE("meter: a latency is the store's time, and not the host's time to send its data") {
  Live live;
  live.rig.volume.held = true;
  live.io.send_command(make_sqe(IoOpcode::read, 1, 0, 1));
  live.rig.settle();
  CHECK_EQ(live.rig.counted().under_way, 1);
  live.rig.pass(second_ns);
  live.rig.volume.release();
  REQUIRE(live.io.next());
  CHECK_EQ(live.io.status(), 0);
  MeterSum sum = live.rig.counted();
  const uint32_t least = latency_bucket(second_ns);
  CHECK_EQ(sum.read_latency[least] + sum.read_latency[least + 1], 1);
  // A host that takes two seconds to send what an R2T asks for.
  live.io.send_command(make_sqe(IoOpcode::write, 2, 0, 4));
  const auto r2t = live.io.next();
  REQUIRE(r2t);
  live.rig.pass(2 * second_ns);
  live.io.send_h2c(2, r2t->as<tcp::R2T>().ttag, 0, pattern(16384, 1), true);
  CHECK_EQ(live.io.status(), 0);
  sum = live.rig.counted();
  uint64_t below_a_millisecond = 0;
  for (uint32_t i = 0; i < latency_bucket(1'000'000); ++i) {
    below_a_millisecond += sum.write_latency[i];
  }
  CHECK_EQ(below_a_millisecond, 1);
}

TEST_CASE("meter: what the store refuses is an error, a path that is not to be used is none") {
  Live live;
  live.rig.volume.status = BlockStatus::read_error;
  CHECK_EQ(live.io.run(make_sqe(IoOpcode::read, 1, 0, 1)),
           code(nvme::StatusCode::unrecovered_read_error));
  const MeterSum sum = live.rig.counted();
  CHECK_EQ(sum.reads, 1);
  CHECK_EQ(sum.read_bytes, 0);
  CHECK_EQ(sum.errors, 1);
}

TEST_CASE("meter: a connection that ends with commands at the store leaves nothing under way") {
  Live live(RigOptions{}, deep());
  live.rig.volume.held = true;
  for (uint16_t cid = 0; cid < 40; ++cid) live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 1));
  live.rig.settle();
  CHECK_EQ(live.rig.counted().under_way, 40);
  live.io.hang_up(false);
  live.rig.settle();
  live.rig.volume.release();
  live.rig.settle();
  CHECK_EQ(live.rig.counted().under_way, 0);
}

TEST_CASE("meter: namespaces are replaced at every step of a command: it is counted once") {
  // The new table has another meter; the command ends at the one or the other.
  for (int step = 0; step < 60; ++step) {
    CAPTURE(step);
    Live live;
    const auto other = std::make_shared<Meter>(2, nullptr);
    live.io.send_command(make_sqe(IoOpcode::write, 7, 0, 4));
    bool sent = false;
    int steps = 0;
    const auto answer_r2t = [&] {
      while (!live.io.received.empty() && live.io.received.front().type == tcp::PduType::r2t) {
        const auto r2t = live.io.received.front().as<tcp::R2T>();
        live.io.received.pop_front();
        live.io.send_h2c(7, r2t.ttag, 0, pattern(16384, 3), true);
        sent = true;
      }
    };
    for (; steps < step && live.rig.step(); ++steps) answer_r2t();
    bool settled = false;
    live.rig.target->set_namespaces(1,
                                    {{1, 1, false, &live.rig.volume, ReservationRule::none, other}},
                                    [&] { settled = true; });
    while (live.io.received.empty() || !sent) {
      answer_r2t();
      if (sent && !live.io.received.empty()) break;
      REQUIRE(live.rig.step());
    }
    CHECK_EQ(live.io.status(), 0);
    REQUIRE(live.rig.run_until([&] { return settled; }));
    MeterSum sum = live.rig.counted();
    other->read(sum);
    CHECK_EQ(sum.writes, 1);
    CHECK_EQ(sum.under_way, 0);
    live.io.hang_up();
    live.rig.settle();
  }
}

// ---- Limits -------------------------------------------------------------------------------------

TEST_CASE("limit: as many reads in ten seconds as it says, at depth 1, 2, 8 and 32") {
  for (const int depth : {1, 2, 8, 32}) {
    CAPTURE(depth);
    Live live(RigOptions{}, deep());
    live.rig.limit({.read_iops = 200});
    const int answered = reads_within(live, 10 * second_ns, depth);
    CHECK_GE(answered, 1995);
    CHECK_LE(answered, 2010);
    CHECK_GT(live.rig.counted().limited_commands, 1000);
  }
}

TEST_CASE("limit: queues on two reactors have together what one would have") {
  Live live(RigOptions{}, deep());
  Peer second(live.rig, deep());
  REQUIRE(second.join(2));
  live.rig.limit({.read_iops = 100});
  int answered[2] = {0, 0};
  Peer* peers[] = {&live.io, &second};
  const uint64_t until_ns = live.rig.clock.now + 10 * second_ns;
  uint16_t cid = 0;
  for (Peer* peer : peers) {
    for (int i = 0; i < 16; ++i) peer->send_command(make_sqe(IoOpcode::read, cid++, 0, 1));
  }
  while (live.rig.clock.now < until_ns) {
    REQUIRE(live.rig.step());
    for (int i = 0; i < 2; ++i) {
      while (!peers[i]->received.empty()) {
        const auto pdu = peers[i]->next();
        if (pdu->type != tcp::PduType::capsule_resp) continue;
        ++answered[i];
        peers[i]->send_command(make_sqe(IoOpcode::read, cid++, 0, 1));
      }
    }
  }
  CHECK_GE(answered[0] + answered[1], 995);
  CHECK_LE(answered[0] + answered[1], 1005);
  // They take turns.
  CHECK_LE(std::abs(answered[0] - answered[1]), 4);
}

TEST_CASE("limit: a volume that waits keeps no other volume of its queue waiting") {
  Live live(RigOptions{}, deep());
  const auto other = std::make_shared<Meter>(2, nullptr);
  bool settled = false;
  live.rig.target->set_namespaces(
      1,
      {{1, 1, false, &live.rig.volume, ReservationRule::none, live.rig.meter},
       {5, 2, false, &live.rig.volume, ReservationRule::none, other}},
      [&] { settled = true; });
  REQUIRE(live.rig.run_until([&] { return settled; }));
  live.rig.limit({.iops = 1});
  // Of every kind: to the host, in the capsule, by R2T.
  for (uint16_t cid = 0; cid < 30; cid += 3) {
    live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 16));
    live.io.send_command(
        in_capsule(make_sqe(IoOpcode::write, static_cast<uint16_t>(cid + 1), 0, 2)),
        pattern(8192, cid));
    live.io.send_command(make_sqe(IoOpcode::write, static_cast<uint16_t>(cid + 2), 0, 16));
  }
  live.rig.settle(1'000'000);
  while (!live.io.received.empty()) live.io.received.pop_front();  // The first, which may begin.
  CHECK_EQ(live.rig.counted().under_way, 29);
  const uint64_t before_ns = live.rig.clock.now;
  for (uint16_t cid = 40; cid < 60; ++cid) {
    nvme::Sqe sqe = in_capsule(make_sqe(IoOpcode::write, cid, 100, 1));
    sqe.nsid = 5;
    CHECK_EQ(live.io.run(sqe, pattern(4096, cid)), 0);
  }
  CHECK_LT(live.rig.clock.now - before_ns, 10'000'000);
}

TEST_CASE("limit: a change counts at once for what waits, also from almost nothing") {
  Live live(RigOptions{}, deep());
  live.rig.limit({.read_bytes_per_second = 1});
  for (uint16_t cid = 0; cid < 20; ++cid) live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 1));
  live.rig.pass(second_ns);
  CHECK_EQ(live.rig.counted().reads, 1);
  live.rig.limit({.read_iops = 1000});
  live.rig.pass(30'000'000);
  CHECK_EQ(live.rig.counted().reads, 20);
  live.rig.limit({.read_iops = 1});
  for (uint16_t cid = 20; cid < 40; ++cid) {
    live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 1));
  }
  live.rig.pass(second_ns / 2);
  CHECK_LE(live.rig.counted().reads, 22);
  live.rig.limit({});
  live.rig.settle();
  CHECK_EQ(live.rig.counted().reads, 40);
}

TEST_CASE("limit: of a tenant, and of one of its volumes: each holds") {
  Live live(RigOptions{}, deep());
  live.rig.tenant->set_limits({.iops = 300}, live.rig.clock.now);
  live.rig.meter->parent_changed();
  const int by_tenant = reads_within(live, 10 * second_ns, 16);
  CHECK_GE(by_tenant, 2990);
  CHECK_LE(by_tenant, 3010);
  live.rig.limit({.read_iops = 50});
  const int by_volume = reads_within(live, 10 * second_ns, 16);
  CHECK_GE(by_volume, 495);
  CHECK_LE(by_volume, 505);
}

TEST_CASE("limit: a flush does not wait, nor does what comes to a volume without one") {
  Live live(RigOptions{}, deep());
  live.rig.limit({.iops = 1});
  for (uint16_t cid = 0; cid < 8; ++cid) live.io.send_command(make_sqe(IoOpcode::read, cid, 0, 1));
  live.rig.settle(1'000'000);
  while (!live.io.received.empty()) live.io.received.pop_front();
  const uint64_t before_ns = live.rig.clock.now;
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 50)), 0);
  CHECK_LT(live.rig.clock.now - before_ns, 1'000'000);
}

TEST_CASE("limit: connections that end, and namespaces that go, while commands wait for it") {
  for (const bool hang_up : {true, false}) {
    CAPTURE(hang_up);
    Live live(RigOptions{}, deep());
    Peer second(live.rig, deep());
    REQUIRE(second.join(2));
    live.rig.limit({.iops = 10});
    uint16_t cid = 0;
    for (Peer* peer : {&live.io, &second}) {
      for (int i = 0; i < 10; ++i) {
        peer->send_command(make_sqe(IoOpcode::read, cid++, 0, 1));
        peer->send_command(in_capsule(make_sqe(IoOpcode::write, cid++, 0, 1)), pattern(4096, 1));
      }
    }
    live.rig.settle(1'000'000);
    if (hang_up) {
      live.io.hang_up(false);
      const uint64_t reads = live.rig.counted().reads + live.rig.counted().writes;
      live.rig.pass(5 * second_ns);
      // The other one's go on, at the rate.
      CHECK_GE(live.rig.counted().reads + live.rig.counted().writes, reads + 19);
    } else {
      bool settled = false;
      live.rig.target->set_namespaces(1, {}, [&] { settled = true; });
      REQUIRE(live.rig.run_until([&] { return settled; }));
      live.rig.settle();
      CHECK_EQ(live.rig.counted().under_way, 0);
      int refused = 0;
      for (Peer* peer : {&live.io, &second}) {
        while (!peer->received.empty()) {
          const auto pdu = peer->next();
          if (pdu->type != tcp::PduType::capsule_resp) continue;
          const auto status = pdu->as<tcp::CapsuleResp>().cqe.status >> 1 & 0x7ff;
          if (status == code(nvme::StatusCode::invalid_namespace_or_format)) ++refused;
        }
      }
      CHECK_GE(refused, 38);
    }
  }
}

TEST_CASE("limit: seeds: commands of every size, changes of limits, cut connections: all end") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    RigOptions options;
    options.seed = seed;
    Live live(options, deep());
    TestRandom random(seed);
    const auto below = [&](uint64_t n) { return random.next_u64() % n; };
    uint64_t sent = 0;
    for (int round = 0; round < 40; ++round) {
      RateLimits limits;
      if (below(3) != 0) limits.iops = 1 + below(5000);
      if (below(3) == 0) limits.read_bytes_per_second = 1 + below(100'000'000);
      if (below(3) == 0) {
        limits.burst_percent = 100 + static_cast<uint32_t>(below(400));
        limits.burst_seconds = static_cast<uint32_t>(below(5));
      }
      live.rig.limit(limits);
      std::vector<uint16_t> cids;
      for (uint16_t cid = 0; cid < 1 + below(30); ++cid) {
        const auto blocks = static_cast<uint32_t>(1 + below(2));
        if (below(2) == 0) {
          live.io.send_command(make_sqe(IoOpcode::read, cid, below(1000), blocks * 8));
        } else {
          live.io.send_command(in_capsule(make_sqe(IoOpcode::write, cid, below(1000), blocks)),
                               pattern(blocks * 4096, cid));
        }
        ++sent;
      }
      live.rig.pass(below(3'000'000));
      live.rig.limit({.iops = 100'000});
      REQUIRE(live.rig.run_until([&] { return live.rig.counted().under_way == 0; }));
      live.rig.settle();
      while (!live.io.received.empty()) live.io.received.pop_front();
    }
    CHECK_EQ(live.rig.counted().reads + live.rig.counted().writes, sent);
    live.io.hang_up();
    live.rig.settle();
    CHECK_EQ(live.rig.a_buffers.free_bytes(), live.rig.a_buffers.size_bytes());
    CHECK_EQ(live.rig.b_buffers.free_bytes(), live.rig.b_buffers.size_bytes());
  }
}

}  // namespace
}  // namespace ashlar::target::rig
