// Fused Compare and Write: the pair as one, whatever else goes on in the namespace.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;
using nvme::StatusCode;

Bytes block(const Rig& rig, size_t index) {
  const auto from = rig.volume.memory.begin() + static_cast<ptrdiff_t>(index * 4096);
  return Bytes(from, from + 4096);
}

nvme::Sqe fused(nvme::Sqe sqe, uint8_t fuse) {
  sqe.flags = static_cast<uint8_t>(0x40 | fuse);
  return sqe;
}

nvme::Sqe first_half(uint16_t cid, uint64_t slba, uint32_t blocks = 1) {
  return fused(in_capsule(make_sqe(IoOpcode::compare, cid, slba, blocks)), nvme::fuse_first);
}

nvme::Sqe second_half(uint16_t cid, uint64_t slba, uint32_t blocks = 1) {
  return fused(in_capsule(make_sqe(IoOpcode::write, cid, slba, blocks)), nvme::fuse_second);
}

void send_pair(Peer& peer, uint16_t cid, uint64_t slba, const Bytes& old_data,
               const Bytes& new_data) {
  peer.send_command(first_half(cid, slba), old_data);
  peer.send_command(second_half(static_cast<uint16_t>(cid + 1), slba), new_data);
}

uint16_t write(Peer& peer, uint16_t cid, uint64_t slba, const Bytes& data) {
  return peer.run(in_capsule(make_sqe(IoOpcode::write, cid, slba, 1)), data);
}

const Bytes zeroes(4096);

TEST_CASE("fused: equal: both succeed, and the block is the new one") {
  Live live;
  const Bytes data = pattern(4096, 1);
  send_pair(live.io, 1, 3, zeroes, data);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(block(live.rig, 3), data);
  send_pair(live.io, 1, 3, data, zeroes);  // The lock of the first pair is gone.
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(block(live.rig, 3), zeroes);
}

TEST_CASE("fused: unequal: Compare Failure, the write is aborted and nothing is written") {
  Live live;
  send_pair(live.io, 1, 3, pattern(4096, 2), pattern(4096, 1));
  CHECK_EQ(live.io.status(), code(StatusCode::compare_failure));
  CHECK_EQ(live.io.status(), code(StatusCode::aborted_failed_fused));
  CHECK_EQ(live.rig.volume.log.size(), 1u);
  CHECK_EQ(block(live.rig, 3), zeroes);
}

TEST_CASE("fused: 512-byte blocks: eight are a pair's most") {
  RigOptions options;
  options.block_bytes = 512;
  Live live(options);
  for (const uint32_t blocks : {1u, 8u}) {
    const Bytes data = pattern(blocks * 512, blocks);
    nvme::Sqe first = first_half(1, 16, blocks);
    nvme::Sqe second = second_half(2, 16, blocks);
    first.sgl.length = second.sgl.length = blocks * 512;
    live.rig.volume.memory.assign(live.rig.volume.memory.size(), std::byte{0});
    live.io.send_command(first, Bytes(blocks * 512));
    live.io.send_command(second, data);
    CHECK_EQ(live.io.status(), 0);
    CHECK_EQ(live.io.status(), 0);
    CHECK(std::equal(data.begin(), data.end(), live.rig.volume.memory.begin() + 16 * 512));
  }
}

TEST_CASE("fused: a half without the other next to it: Missing Fused Command") {
  Live live;
  const Bytes data = pattern(4096, 1);
  SUBCASE("the second alone") {
    CHECK_EQ(live.io.run(second_half(1, 0), data), code(StatusCode::aborted_missing_fused));
  }
  SUBCASE("another command between: it runs, both halves do not") {
    live.io.send_command(first_half(1, 0), zeroes);
    live.io.send_command(make_sqe(IoOpcode::verify, 2, 0, 1));
    live.io.send_command(second_half(3, 0), data);
    std::map<uint16_t, uint16_t> statuses;
    for (int i = 0; i < 3; ++i) {
      const auto cqe = live.io.response();
      REQUIRE(cqe);
      statuses[cqe->cid] = static_cast<uint16_t>(cqe->status >> 1 & 0x7ff);
    }
    CHECK_EQ(statuses[1], code(StatusCode::aborted_missing_fused));
    CHECK_EQ(statuses[2], 0);
    CHECK_EQ(statuses[3], code(StatusCode::aborted_missing_fused));
  }
  SUBCASE("two first halves: only the later one has a second") {
    live.io.send_command(first_half(1, 0), data);
    send_pair(live.io, 2, 0, zeroes, data);
    CHECK_EQ(live.io.status(), code(StatusCode::aborted_missing_fused));
    CHECK_EQ(live.io.status(), 0);
    CHECK_EQ(live.io.status(), 0);
    return;
  }
  SUBCASE("a command whose CID is in use comes between") {
    live.io.send_command(first_half(1, 0), zeroes);
    live.io.send_command(second_half(1, 0), data);
    CHECK_EQ(live.io.status(), code(StatusCode::aborted_missing_fused));
    CHECK_EQ(live.io.status(), code(StatusCode::command_id_conflict));
  }
  SUBCASE("the queue is disconnected") {
    live.io.send_command(first_half(1, 0), zeroes);
    nvme::Sqe sqe = make_sqe(0x7f, 2, static_cast<uint32_t>(nvme::FabricsType::disconnect));
    live.io.send_command(sqe);
    CHECK_EQ(live.io.status(), code(StatusCode::aborted_missing_fused));
    CHECK_EQ(live.io.status(), 0);
  }
  CHECK_EQ(block(live.rig, 0), zeroes);
}

TEST_CASE("fused: halves that do not fit: Invalid Field for both, or the other one's failure") {
  Live live;
  const auto pair = [&](const nvme::Sqe& first, const nvme::Sqe& second) {
    live.io.send_command(first, Bytes(first.sgl.length));
    live.io.send_command(second, Bytes(second.sgl.length));
    const uint16_t one = live.io.status();
    return std::pair{one, live.io.status()};
  };
  const uint16_t invalid = code(StatusCode::invalid_field);
  const uint16_t failed = code(StatusCode::aborted_failed_fused);
  CHECK(pair(first_half(1, 0), second_half(2, 1)) == std::pair{invalid, invalid});
  nvme::Sqe elsewhere = second_half(2, 0);
  elsewhere.nsid = 5;  // Write protected.
  CHECK(pair(first_half(1, 0), elsewhere) ==
        std::pair{failed, code(StatusCode::namespace_write_protected)});
  CHECK(pair(first_half(1, 0, 2), second_half(2, 0)) ==
        std::pair{code(StatusCode::atomic_write_unit_exceeded), failed});
  CHECK(pair(first_half(1, 1 << 20), second_half(2, 1 << 20)) ==
        std::pair{code(StatusCode::lba_out_of_range), failed});
  CHECK(live.rig.volume.log.empty());
}

TEST_CASE("fused: a first half by R2T, and its second already here: the pair waits for the data") {
  Live live;
  const Bytes data = pattern(4096, 1);
  nvme::Sqe first = first_half(1, 0);
  first.sgl = make_sqe(IoOpcode::compare, 1, 0, 1).sgl;
  live.io.send_command(first);
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  const auto r2t = pdu->as<tcp::R2T>();
  live.io.send_command(second_half(2, 0), data);
  live.rig.settle();
  CHECK(live.rig.volume.log.empty());
  live.io.send_h2c(r2t.cccid, r2t.ttag, 0, zeroes, true);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(block(live.rig, 0), data);
}

TEST_CASE("fused: a write on another queue: before the pair it finishes first, after it it waits") {
  Live live;
  Peer other(live.rig);
  REQUIRE(other.join(2));
  live.rig.volume.held = true;
  const Bytes before = pattern(4096, 1);
  const Bytes fresh = pattern(4096, 2);
  const Bytes after = pattern(4096, 3);
  other.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 7, 1)), before);
  live.rig.settle();
  send_pair(live.io, 1, 7, before, fresh);
  live.rig.settle();
  CHECK_EQ(live.rig.volume.log.size(), 1u);  // The pair waits for the write.
  live.rig.volume.release();
  REQUIRE(live.rig.run_until([&] { return live.rig.volume.log.size() == 2; }));
  live.rig.volume.held = true;  // The pair is at its comparison.
  other.send_command(in_capsule(make_sqe(IoOpcode::write, 2, 7, 1)), after);
  other.send_command(in_capsule(make_sqe(IoOpcode::write, 3, 8, 1)), after);
  nvme::Sqe zero = make_sqe(IoOpcode::write_zeroes, 4, 0, 8);
  zero.sgl = {};
  zero.sgl.type_subtype = nvme::sgl_transport_data_block;
  other.send_command(zero);
  live.rig.settle();
  REQUIRE_EQ(live.rig.volume.log.size(), 3u);  // Of those only the one elsewhere.
  CHECK_EQ(live.rig.volume.log[2].offset_bytes, 8u * 4096);
  live.rig.volume.release();
  live.rig.settle();
  REQUIRE_EQ(live.rig.volume.log.size(), 6u);
  CHECK_EQ(live.rig.volume.log[3].op, BlockOp::write);
  CHECK_EQ(live.rig.volume.log[3].offset_bytes, 7u * 4096);
  CHECK_EQ(live.rig.volume.log[4].op, BlockOp::write);
  CHECK_EQ(live.rig.volume.log[5].op, BlockOp::write_zeroes);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), 0);
  for (int i = 0; i < 4; ++i) CHECK_EQ(other.status(), 0);
}

TEST_CASE("fused: four queues on two reactors at one block: each round exactly one pair wins") {
  for (const uint64_t seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    RigOptions options;
    options.seed = seed;
    options.network.max_delay_ns = 100'000;
    Live live(options);
    std::vector<std::unique_ptr<Peer>> peers;
    for (uint16_t qid = 2; qid <= 4; ++qid) {
      peers.push_back(std::make_unique<Peer>(live.rig));
      REQUIRE(peers.back()->join(qid));
    }
    const std::vector<Peer*> all{&live.io, peers[0].get(), peers[1].get(), peers[2].get()};
    for (uint64_t round = 1; round <= 40; ++round) {
      const Bytes now = block(live.rig, 5);
      live.rig.volume.held = round % 2 == 0;  // Then all four are there before one has compared.
      for (size_t i = 0; i < all.size(); ++i) {
        send_pair(*all[i], 1, 5, now, pattern(4096, round * 10 + i));
      }
      if (live.rig.volume.held) {
        live.rig.settle();
        CHECK_EQ(live.rig.volume.under_way(), 1u);
        live.rig.volume.release();
      }
      int winners = 0;
      for (size_t i = 0; i < all.size(); ++i) {
        const uint16_t compared = all[i]->status();
        const uint16_t written = all[i]->status();
        const bool won = compared == 0;
        CHECK_EQ(written, won ? 0 : code(StatusCode::aborted_failed_fused));
        winners += won ? 1 : 0;
        if (won) CHECK_EQ(block(live.rig, 5), pattern(4096, round * 10 + i));
      }
      CHECK_EQ(winners, 1);
    }
  }
}

TEST_CASE("fused: locks behind locks: each starts when the last one before it that overlaps ends") {
  Live live;
  std::vector<std::unique_ptr<Peer>> peers;
  for (uint16_t qid = 2; qid <= 4; ++qid) {
    peers.push_back(std::make_unique<Peer>(live.rig));
    REQUIRE(peers.back()->join(qid));
  }
  live.rig.volume.held = true;
  const Bytes data = pattern(4096, 1);
  send_pair(live.io, 1, 5, zeroes, data);
  live.rig.settle();
  send_pair(*peers[0], 1, 6, zeroes, data);
  live.rig.settle();
  send_pair(*peers[1], 1, 5, data, zeroes);  // Behind the first alone.
  live.rig.settle();
  send_pair(*peers[2], 1, 5, zeroes, data);
  live.rig.settle();
  CHECK_EQ(live.rig.volume.under_way(), 2u);
  live.rig.volume.release();
  for (Peer* peer : {&live.io, peers[0].get(), peers[1].get(), peers[2].get()}) {
    CHECK_EQ(peer->status(), 0);
    CHECK_EQ(peer->status(), 0);
  }
  CHECK_EQ(block(live.rig, 5), data);
}

TEST_CASE("fused: more pairs than a queue holds: those beyond may be sent again") {
  PeerOptions peer;
  peer.sqsize_0based = 127;
  Live live({}, peer);
  live.rig.volume.held = true;
  for (uint16_t i = 0; i < 17; ++i) {
    send_pair(live.io, static_cast<uint16_t>(2 * i), i, zeroes, pattern(4096, i));
  }
  const auto refused = live.io.response();
  REQUIRE(refused);
  CHECK_EQ(refused->cid, 32);
  CHECK_EQ(refused->status, static_cast<uint16_t>(code(StatusCode::command_interrupted) << 1));
  CHECK_EQ(live.io.status(), code(StatusCode::aborted_failed_fused));
  live.rig.volume.release();
  for (int i = 0; i < 32; ++i) CHECK_EQ(live.io.status(), 0);
  send_pair(live.io, 1, 16, zeroes, zeroes);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), 0);
}

TEST_CASE("fused: errors of the store: the half that met it tells") {
  Live live;
  live.rig.volume.status = BlockStatus::read_error;
  send_pair(live.io, 1, 0, zeroes, zeroes);
  CHECK_EQ(live.io.status(), code(StatusCode::unrecovered_read_error));
  CHECK_EQ(live.io.status(), code(StatusCode::aborted_failed_fused));
  live.rig.volume.status = BlockStatus::ok;
  send_pair(live.io, 1, 0, zeroes, zeroes);
  const size_t begun = live.rig.volume.log.size();
  live.rig.run_until([&] { return live.rig.volume.log.size() == begun + 2; });
  live.rig.volume.status = BlockStatus::write_error;
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), code(StatusCode::write_fault));
}

TEST_CASE("fused: revoked while it waits for its range: nothing reaches the store") {
  Live live;
  Peer other(live.rig);
  REQUIRE(other.join(2));
  live.rig.volume.held = true;
  other.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 9, 1)), zeroes);
  live.rig.settle();
  send_pair(live.io, 1, 7, zeroes, pattern(4096, 1));
  live.rig.settle();
  bool settled = false;
  live.rig.target->set_namespaces(1, {}, [&] { settled = true; });
  live.rig.settle();
  CHECK(!settled);  // For the other queue's write.
  live.rig.volume.release();
  CHECK_EQ(live.io.status(), code(StatusCode::invalid_namespace_or_format));
  CHECK_EQ(live.io.status(), code(StatusCode::aborted_failed_fused));
  CHECK(live.rig.run_until([&] { return settled; }));
  CHECK_EQ(live.rig.volume.log.size(), 1u);
}

TEST_CASE("fused: a host that leaves at any moment leaves no lock behind") {
  for (uint64_t wait_ns = 0; wait_ns < 60'000; wait_ns += 1'000) {
    CAPTURE(wait_ns);
    Live live;
    Peer other(live.rig);
    REQUIRE(other.join(2));
    send_pair(live.io, 1, 7, zeroes, pattern(4096, 1));
    send_pair(live.io, 3, 7, zeroes, pattern(4096, 2));
    other.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 7, 1)), zeroes);
    live.rig.pass(wait_ns);
    live.io.hang_up(false);
    CHECK_EQ(other.status(), 0);
    CHECK_EQ(write(other, 2, 7, pattern(4096, 3)), 0);
    CHECK_EQ(block(live.rig, 7), pattern(4096, 3));
  }
}

TEST_CASE("fused: a queue ends while its write waits for a pair: the pair goes on") {
  Live live;
  Peer other(live.rig);
  REQUIRE(other.join(2));
  live.rig.volume.held = true;
  send_pair(live.io, 1, 7, zeroes, pattern(4096, 1));
  live.rig.settle();
  other.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 7, 1)), zeroes);
  live.rig.settle();
  CHECK_EQ(live.rig.volume.log.size(), 1u);
  other.hang_up(false);
  live.rig.settle();
  live.rig.volume.release();
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(block(live.rig, 7), pattern(4096, 1));
}

}  // namespace
}  // namespace ashlar::target::rig
