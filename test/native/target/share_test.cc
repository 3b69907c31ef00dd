// Several tenants on one reactor: nobody waits behind all that another has sent, and who wants more
// than there is gets it by weight.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;

PeerOptions deep() {
  PeerOptions peer;
  peer.sqsize_0based = 63;
  return peer;
}

// A tenant: a controller with a volume of its own meter, and its queues.
struct Tenant {
  Tenant(Rig& of, uint16_t queues) : rig(of), id(of.next_controller), admin(of) {
    REQUIRE(admin.join(0));
    bool settled = false;
    rig.target->set_namespaces(id, namespaces(), [&] { settled = true; });
    REQUIRE(rig.run_until([&] { return settled; }));
    for (uint16_t qid = 1; qid <= queues; ++qid) {
      ios.push_back(std::make_unique<Peer>(rig, deep()));
      REQUIRE(ios.back()->join(qid));
    }
  }
  std::vector<Namespace> namespaces() const {
    return {{1, 1, false, &rig.volume, ReservationRule::none, volume}};
  }
  MeterSum counted() const {
    MeterSum sum;
    volume->read(sum);
    return sum;
  }
  uint64_t reads_on(uint32_t reactor) const {
    const MeterPart* part = volume->part_if_made(reactor);
    uint64_t reads = 0;
    if (part == nullptr) return reads;
    for (const Counter& bucket : part->counts.read_latency) reads += bucket.value();
    return reads;
  }
  uint64_t others_on(uint32_t reactor) const {
    const MeterPart* part = volume->part_if_made(reactor);
    return part == nullptr ? 0 : part->counts.others.value();
  }
  void send_reads(Peer& io, int count) { send(io, count, IoOpcode::read, 4096); }
  // Little to send and little to answer, so that nothing but turns is scarce.
  void send_zeroes(Peer& io, int count) { send(io, count, IoOpcode::write_zeroes, 0); }
  void send(Peer& io, int count, IoOpcode opcode, uint32_t bytes_each) {
    Bytes bytes;
    for (int i = 0; i < count; ++i) {
      const Bytes pdu = io.command_pdu(make_sqe(opcode, next_cid++, 0, 1, bytes_each));
      bytes.insert(bytes.end(), pdu.begin(), pdu.end());
    }
    io.send(bytes);
  }
  // New ones for those that were answered, twenty at a time: what is sent in one piece is received
  // in one.
  void keep_busy() {
    for (const auto& io : ios) {
      int answered = 0;
      for (const Received& pdu : io->received) {
        if (pdu.type == tcp::PduType::capsule_resp) ++answered;
      }
      if (answered < 20) continue;
      io->received.clear();
      send_zeroes(*io, answered);
    }
  }
  void drain() {
    rig.settle();
    for (const auto& io : ios) io->received.clear();
  }

  Rig& rig;
  const ControllerId id;
  std::shared_ptr<Meter> tenant = std::make_shared<Meter>(2, nullptr);
  std::shared_ptr<Meter> volume = std::make_shared<Meter>(2, tenant);
  Peer admin;
  std::vector<std::unique_ptr<Peer>> ios;
  uint16_t next_cid = 0;
};

RigOptions roomy() {
  RigOptions options;
  options.network.min_window_bytes = options.network.max_window_bytes = 1 << 20;
  return options;
}

TEST_CASE("share: beside eight full queues of another tenant a read waits for a quantum or two") {
  Rig rig(roomy());
  rig.max_io_queues = 16;
  rig.volume.lends = true;
  Tenant noisy(rig, 16);
  Tenant quiet(rig, 2);
  for (size_t turn = 0; turn < 2; ++turn) {
    // Both are known to want it.
    for (const auto& io : noisy.ios) noisy.send_reads(*io, 1);
    for (const auto& io : quiet.ios) quiet.send_reads(*io, 1);
    noisy.drain();
    quiet.drain();
    for (const auto& io : noisy.ios) noisy.send_reads(*io, 60);
    rig.pass(5'000);  // All of it is on the way or there.
    const uint64_t before[] = {noisy.reads_on(0), noisy.reads_on(1)};
    Peer& io = *quiet.ios[turn];
    quiet.send_reads(io, 1);
    const auto pdu = io.next();
    REQUIRE(pdu);
    for (const uint32_t reactor : {0u, 1u}) {
      CHECK_LE(noisy.reads_on(reactor) - before[reactor], 3 * limits::shared_per_turn);
    }
    noisy.drain();
    quiet.drain();
  }
  CHECK_EQ(noisy.counted().reads, 2 * 16 * 61);
}

// What a busy tenant has done while a quiet one waits, on the reactor of that; the most of it over
// so many answers.
uint64_t most_between(Rig& rig, Tenant& noisy, Tenant& quiet, int answers) {
  Peer& io = *quiet.ios[0];
  const uint32_t reactor = quiet.others_on(0) != 0 ? 0 : 1;
  uint64_t most = 0;
  uint64_t before = 0;
  bool waits = false;
  for (int left = answers; left > 0;) {
    if (!waits) {
      quiet.send_zeroes(io, 1);
      before = noisy.others_on(reactor);
      waits = true;
    }
    rig.step();
    rig.clock.now += 20'000;
    noisy.keep_busy();
    if (io.received.empty()) continue;
    io.received.clear();
    most = std::max(most, noisy.others_on(reactor) - before);
    waits = false;
    --left;
  }
  return most;
}

TEST_CASE("share: over ends of epochs, with queues that waited since before: nobody is forgotten") {
  RigOptions options = roomy();
  options.network.min_delay_ns = options.network.max_delay_ns = 1000;
  options.network.split = false;
  Rig rig(options);
  rig.max_io_queues = 16;
  Tenant noisy(rig, 16);
  Tenant quiet(rig, 1);
  quiet.send_zeroes(*quiet.ios[0], 1);
  quiet.drain();
  for (const auto& io : noisy.ios) noisy.send_zeroes(*io, 60);
  most_between(rig, noisy, quiet, 1000);
  const uint64_t began_ns = rig.clock.now;
  uint64_t most = 0;
  // Four ends of epochs of 67 ms.
  while (rig.clock.now - began_ns < 4 * (uint64_t{1} << 26)) {
    most = std::max(most, most_between(rig, noisy, quiet, 100));
  }
  // The seven turns that a command takes from its host and back, with the other's half of each.
  CHECK_LE(most, 7 * limits::shared_per_turn / 2);
  noisy.drain();
  quiet.drain();
}

TEST_CASE("share: two tenants that want all of it have it by their weights, however many queues") {
  for (const auto& [one, other] : {std::pair{100u, 100u}, {100u, 300u}, {10'000u, 1'000u}}) {
    CAPTURE(one);
    CAPTURE(other);
    Rig rig(roomy());
    rig.max_io_queues = 16;
    Tenant first(rig, 16);
    Tenant second(rig, 6);
    first.tenant->set_weight(one);
    second.tenant->set_weight(other);
    for (const auto& io : first.ios) first.send_zeroes(*io, 60);
    for (const auto& io : second.ios) second.send_zeroes(*io, 60);
    uint64_t before[2] = {0, 0};
    for (int turn = 0; turn < 3000; ++turn) {
      if (turn == 500) {
        before[0] = first.counted().others;
        before[1] = second.counted().others;
      }
      rig.step();
      // A turn takes time, in which hosts have seen what it answered.
      rig.clock.now += 20'000;
      first.keep_busy();
      second.keep_busy();
    }
    const auto had = [&](const Tenant& tenant, size_t i) {
      return static_cast<double>(tenant.counted().others - before[i]);
    };
    const double ratio = had(first, 0) / had(second, 1);
    const double wanted = static_cast<double>(one) / other;
    CHECK_GT(ratio, wanted * 0.85);
    CHECK_LT(ratio, wanted * 1.15);
  }
}

TEST_CASE("share: a tenant alone has as much at the store as it sends; beside another its share") {
  Rig rig(roomy());
  rig.max_io_queues = 16;
  Tenant noisy(rig, 2);
  Tenant quiet(rig, 2);
  rig.volume.held = true;
  for (const auto& io : noisy.ios) noisy.send_reads(*io, 30);
  rig.settle();
  CHECK_EQ(rig.volume.under_way(), 60);
  for (const auto& io : quiet.ios) quiet.send_reads(*io, 1);
  rig.settle();
  CHECK_EQ(rig.volume.under_way(), 62);
  for (const auto& io : noisy.ios) noisy.send_reads(*io, 30);
  rig.settle();
  CHECK_EQ(rig.volume.under_way(), 62);
  rig.volume.release();
  rig.settle();
  CHECK_EQ(noisy.counted().reads, 120);
  CHECK_EQ(quiet.counted().reads, 2);
  // Both are known, so it has its share from the first command on: half of 32 on each reactor.
  rig.volume.held = true;
  noisy.drain();
  for (const auto& io : noisy.ios) noisy.send_reads(*io, 60);
  rig.settle();
  CHECK_EQ(rig.volume.under_way(), limits::shared_units);
  rig.volume.release();
  noisy.drain();
  CHECK_EQ(noisy.counted().reads, 240);
  // An epoch or two later it is alone again.
  rig.pass(200'000'000);
  for (const auto& io : noisy.ios) noisy.send_reads(*io, 1);
  noisy.drain();
  rig.pass(200'000'000);
  rig.volume.held = true;
  for (const auto& io : noisy.ios) noisy.send_reads(*io, 60);
  rig.settle();
  CHECK_EQ(rig.volume.under_way(), 120);
  rig.volume.release();
}

TEST_CASE("share: volumes of a tenant alone share the store once one of them was given a weight") {
  for (const bool weighted : {false, true}) {
    CAPTURE(weighted);
    Rig rig(roomy());
    rig.max_io_queues = 16;
    Tenant only(rig, 2);
    const auto second = std::make_shared<Meter>(2, only.tenant);
    if (weighted) second->set_weight(300);
    bool settled = false;
    rig.target->set_namespaces(only.id,
                               {{1, 1, false, &rig.volume, ReservationRule::none, only.volume},
                                {2, 1, false, &rig.volume, ReservationRule::none, second}},
                               [&] { settled = true; });
    REQUIRE(rig.run_until([&] { return settled; }));
    const auto read_second = [&](Peer& io) {
      nvme::Sqe sqe = make_sqe(IoOpcode::read, only.next_cid++, 0, 1);
      sqe.nsid = 2;
      io.send_command(sqe);
    };
    for (const auto& io : only.ios) {
      only.send_reads(*io, 1);
      read_second(*io);
    }
    only.drain();
    rig.volume.held = true;
    for (const auto& io : only.ios) only.send_reads(*io, 60);
    rig.settle();
    // A quarter of 32 on each of two reactors, or all that was sent.
    CHECK_EQ(rig.volume.under_way(), weighted ? 2 * limits::shared_units / 4 : 120);
    rig.volume.release();
  }
}

TEST_CASE("share: a command of the largest size begins, whatever share its volume has") {
  Rig rig(roomy());
  Tenant noisy(rig, 1);
  Tenant quiet(rig, 1);
  noisy.tenant->set_weight(1);
  quiet.tenant->set_weight(10'000);
  quiet.send_reads(*quiet.ios[0], 1);
  quiet.drain();
  for (uint16_t cid = 0; cid < 8; ++cid) {
    noisy.ios[0]->send_command(make_sqe(IoOpcode::read, cid, 0, 256));
  }
  REQUIRE(rig.run_until([&] { return noisy.counted().reads == 8; }));
}

TEST_CASE("share: seeds: tenants, weights, kinds, lost connections, new tables: all end") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    RigOptions options = roomy();
    options.seed = seed;
    Rig rig(options);
    rig.max_io_queues = 16;
    TestRandom random(seed);
    const auto below = [&](uint64_t n) { return random.next_u64() % n; };
    rig.volume.lends = below(2) == 0;
    std::vector<std::unique_ptr<Tenant>> tenants;
    for (uint16_t i = 0; i < 3; ++i) {
      tenants.push_back(std::make_unique<Tenant>(rig, static_cast<uint16_t>(1 + below(4))));
    }
    for (int round = 0; round < 30; ++round) {
      Tenant& tenant = *tenants[below(3)];
      switch (below(8)) {
        case 0: tenant.tenant->set_weight(static_cast<uint32_t>(1 + below(10'000))); break;
        case 1: rig.volume.held = true; break;
        case 2: rig.volume.release(); break;
        case 3: {
          tenant.volume = std::make_shared<Meter>(2, tenant.tenant);
          rig.target->set_namespaces(tenant.id, tenant.namespaces(), [] {});
          rig.volume.release();
          rig.settle();
          break;
        }
        case 4: {
          Peer& io = *tenant.ios[below(tenant.ios.size())];
          if (below(4) == 0) io.hang_up(false);
          break;
        }
        default: {
          Peer& io = *tenant.ios[below(tenant.ios.size())];
          if (io.stream == nullptr) break;
          for (uint16_t cid = 0; cid < 20; ++cid) {
            const auto blocks = static_cast<uint32_t>(1 + below(2));
            const auto named = static_cast<uint16_t>(tenant.next_cid++);
            if (below(2) == 0) {
              io.send_command(make_sqe(IoOpcode::read, named, below(1000), blocks * 16));
            } else {
              io.send_command(in_capsule(make_sqe(IoOpcode::write, named, below(1000), blocks)),
                              pattern(blocks * 4096, cid));
            }
          }
        }
      }
      rig.settle(below(20'000));
      if (below(3) == 0) {
        rig.volume.release();
        rig.settle();
        for (const auto& io : tenant.ios) io->received.clear();
      }
    }
    rig.volume.release();
    rig.settle();
    for (const auto& tenant : tenants) CHECK_EQ(tenant->counted().under_way, 0);
  }
}

}  // namespace
}  // namespace ashlar::target::rig
