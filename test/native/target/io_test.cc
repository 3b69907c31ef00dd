// NVM commands over a live queue, from the first byte of the capsule to the response.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;
using nvme::StatusCode;

Bytes stored(const Rig& rig, size_t block, size_t blocks = 1) {
  const auto from = rig.volume.memory.begin() + static_cast<ptrdiff_t>(block * 4096);
  return Bytes(from, from + static_cast<ptrdiff_t>(blocks * 4096));
}

void store(Rig& rig, size_t block, const Bytes& data) {
  std::copy(data.begin(), data.end(),
            rig.volume.memory.begin() + static_cast<ptrdiff_t>(block * 4096));
}

nvme::Sqe dsm(uint16_t cid, uint32_t ranges, uint32_t attributes) {
  nvme::Sqe sqe = make_sqe(static_cast<uint8_t>(IoOpcode::dataset_management), cid);
  sqe.cdw10 = ranges - 1;
  sqe.cdw11 = attributes;
  sqe.sgl.length = ranges * 16;
  return in_capsule(sqe);
}

Bytes ranges_of(std::vector<nvme::DsmRange> ranges) {
  Bytes bytes(ranges.size() * sizeof(nvme::DsmRange));
  std::memcpy(bytes.data(), ranges.data(), bytes.size());
  return bytes;
}

TEST_CASE("target: 4 KiB written in a capsule: reads back, byte for byte") {
  Live live;
  const Bytes data = pattern(4096, 3);
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 9, 2, 1)), data), 0);
  CHECK_EQ(stored(live.rig, 2), data);
  live.io.send_command(make_sqe(IoOpcode::read, 10, 2, 1));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  CHECK_EQ(pdu->type, tcp::PduType::c2h_data);
  CHECK_EQ(pdu->flags, tcp::flag_last);  // With SQ flow control SQHD must follow.
  CHECK_EQ(pdu->data, data);
  CHECK_EQ(live.io.status(), 0);
}

TEST_CASE("target: data in the middle of the capsule: only what the SGL names is written") {
  Live live;
  const Bytes data = pattern(8192, 4);
  nvme::Sqe sqe = in_capsule(make_sqe(IoOpcode::write, 1, 0, 1), 4096);
  CHECK_EQ(live.io.run(sqe, data), 0);
  CHECK_EQ(stored(live.rig, 0), Bytes(data.begin() + 4096, data.end()));
}

TEST_CASE("target: without SQ flow control a read ends with its data (SUCCESS)") {
  PeerOptions peer;
  peer.disable_sqflow = true;
  Live live({}, peer);
  live.io.send_command(make_sqe(IoOpcode::read, 10, 2, 4));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  CHECK_EQ(pdu->flags, tcp::flag_last | tcp::flag_success);
  CHECK_EQ(pdu->data.size(), 16384);
  live.rig.settle();
  CHECK(live.io.received.empty());
  live.io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 11));
  const auto cqe = live.io.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->sqhd, nvme::sqhd_flow_disabled);
}

TEST_CASE("target: SQHD counts the commands taken and wraps at the size of the queue") {
  PeerOptions peer;
  peer.sqsize_0based = 3;
  Live live({}, peer);
  for (const int head : {2, 3, 0, 1, 2}) {
    const auto expected = static_cast<uint16_t>(head);
    live.io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), expected));
    const auto cqe = live.io.response();
    REQUIRE(cqe);
    CHECK_EQ(cqe->sqhd, expected);
    CHECK_EQ(cqe->cid, expected);
  }
}

TEST_CASE("target: a write of 1 MiB by R2T: two R2Ts in turn when MAXR2T is one") {
  Live live;
  const Bytes data = pattern(1 << 20, 5);
  CHECK_EQ(live.io.write_by_r2t(make_sqe(IoOpcode::write, 4, 8, 256), data, 65536), 0);
  CHECK_EQ(live.io.r2ts, 2);
  CHECK_EQ(stored(live.rig, 8, 256), data);
}

TEST_CASE("target: a write of 1 MiB with MAXR2T of four: both R2Ts at once, answered interleaved") {
  PeerOptions peer;
  peer.maxr2t_0based = 3;
  Live live({}, peer);
  const Bytes data = pattern(1 << 20, 6);
  live.io.send_command(make_sqe(IoOpcode::write, 4, 0, 256));
  const auto first = live.io.next();
  const auto second = live.io.next();
  REQUIRE(first);
  REQUIRE(second);
  const auto a = first->as<tcp::R2T>();
  const auto b = second->as<tcp::R2T>();
  CHECK_EQ(a.r2to, 0);
  CHECK_EQ(b.r2to, a.r2tl);
  CHECK_NE(a.ttag, b.ttag);
  const uint32_t piece = 131072;
  for (uint32_t at = 0; at < a.r2tl; at += piece) {
    for (const auto& r2t : {b, a}) {
      live.io.send_h2c(4, r2t.ttag, r2t.r2to + at, std::span(data).subspan(r2t.r2to + at, piece),
                       at + piece == r2t.r2tl);
    }
  }
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(stored(live.rig, 0, 256), data);
}

TEST_CASE("target: odd sizes of H2CData: every split of a write arrives whole") {
  Live live;
  for (const uint32_t piece : {4u, 1024u, 4092u, 4096u, 12288u, 131072u}) {
    const Bytes data = pattern(12288, piece);
    CAPTURE(piece);
    CHECK_EQ(live.io.write_by_r2t(make_sqe(IoOpcode::write, 1, 3, 3), data, piece), 0);
    CHECK_EQ(stored(live.rig, 3, 3), data);
  }
}

TEST_CASE("target: 512-byte blocks: one block in a capsule and one by R2T") {
  RigOptions options;
  options.block_bytes = 512;
  Live live(options);
  const Bytes data = pattern(512, 7);
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 5, 1, 512)), data), 0);
  CHECK_EQ(live.io.write_by_r2t(make_sqe(IoOpcode::write, 2, 6, 1, 512), data, 512), 0);
  live.io.send_command(make_sqe(IoOpcode::read, 3, 5, 2, 512));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  Bytes twice = data;
  twice.insert(twice.end(), data.begin(), data.end());
  CHECK_EQ(pdu->data, twice);
}

TEST_CASE("target: HPDA: data to the host starts where the host wants it") {
  for (const uint8_t hpda : {uint8_t{0}, uint8_t{1}, uint8_t{15}, uint8_t{31}}) {
    PeerOptions peer;
    peer.hpda_0based = hpda;
    Live live({}, peer);
    live.io.send_command(make_sqe(IoOpcode::read, 10, 2, 1));
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    CHECK_EQ(pdu->as<tcp::CommonHeader>().pdo % tcp::alignment_bytes(hpda), 0);
    CHECK_EQ(pdu->data.size(), 4096);
  }
}

TEST_CASE("target: digests in every combination: data survives the round trip") {
  for (const uint8_t dgst : {uint8_t{1}, uint8_t{2}, uint8_t{3}}) {
    PeerOptions peer;
    peer.dgst = dgst;
    Live live({}, peer);
    CHECK_EQ(live.io.ic_resp.dgst, dgst);
    const Bytes data = pattern(300 * 1024, dgst);
    CHECK_EQ(live.io.write_by_r2t(make_sqe(IoOpcode::write, 1, 0, 75), data, 100 * 1024), 0);
    CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 100, 1)), pattern(4096, 1)), 0);
    live.io.send_command(make_sqe(IoOpcode::read, 2, 0, 75));
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    CHECK(pdu->digest_ok);
    CHECK_EQ(pdu->data, data);
    CHECK_EQ(live.io.status(), 0);
  }
}

TEST_CASE("target: a portal that does not offer digests: ICResp says so and plain PDUs follow") {
  RigOptions options;
  options.allow_header_digest = false;
  options.allow_data_digest = false;
  PeerOptions peer;
  peer.dgst = 3;
  Live live(options, peer);
  CHECK_EQ(live.io.ic_resp.dgst, 0);
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1)), 0);
}

TEST_CASE("target: a wrong data digest in a capsule: that command fails, the connection lives") {
  PeerOptions peer;
  peer.dgst = 2;
  Live live({}, peer);
  Bytes pdu = live.io.command_pdu(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), pattern(4096, 1));
  pdu.back() ^= std::byte{1};
  live.io.send(pdu);
  const auto cqe = live.io.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, code(StatusCode::transient_transport_error) << 1);  // And DNR is 0.
  CHECK(live.rig.volume.log.empty());
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), pattern(4096, 1)), 0);
}

TEST_CASE("target: a wrong data digest in H2CData: the rest of the R2T is taken, then it fails") {
  PeerOptions peer;
  peer.dgst = 2;
  Live live({}, peer);
  live.io.send_command(make_sqe(IoOpcode::write, 1, 0, 4));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  const auto r2t = pdu->as<tcp::R2T>();
  const Bytes data = pattern(16384, 9);
  Bytes wrong = live.io.h2c_pdu(1, r2t.ttag, 0, std::span(data).first(8192), false);
  wrong.back() ^= std::byte{0x80};
  live.io.send(wrong);
  live.rig.settle();
  CHECK(live.io.received.empty());
  live.io.send_h2c(1, r2t.ttag, 8192, std::span(data).subspan(8192), true);
  CHECK_EQ(live.io.status(), code(StatusCode::transient_transport_error));
  CHECK(live.rig.volume.log.empty());
  CHECK_EQ(live.io.write_by_r2t(make_sqe(IoOpcode::write, 1, 0, 4), data, 16384), 0);
}

TEST_CASE("target: FUA, Write Zeroes with and without DEAC, Flush: the store hears exactly that") {
  Live live;
  auto& log = live.rig.volume.log;
  nvme::Sqe write = in_capsule(make_sqe(IoOpcode::write, 1, 1, 1));
  write.cdw12 |= nvme::rw_fua;
  CHECK_EQ(live.io.run(write, pattern(4096, 1)), 0);
  nvme::Sqe zeroes = make_sqe(IoOpcode::write_zeroes, 2, 2, 300);
  zeroes.sgl.length = 0;
  CHECK_EQ(live.io.run(zeroes), 0);
  zeroes.cdw12 |= nvme::write_zeroes_deac | nvme::rw_fua;
  CHECK_EQ(live.io.run(zeroes), 0);
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 3)), 0);
  REQUIRE_EQ(log.size(), 4);
  CHECK(log[0] == MemoryVolume::Entry{BlockOp::write, true, false, 4096, 4096});
  CHECK(log[1] == MemoryVolume::Entry{BlockOp::write_zeroes, false, false, 8192, 300 * 4096});
  CHECK(log[2] == MemoryVolume::Entry{BlockOp::write_zeroes, true, true, 8192, 300 * 4096});
  CHECK(log[3] == MemoryVolume::Entry{BlockOp::flush, false, false, 0, 0});
}

TEST_CASE("target: Flush of FFFFFFFFh: every attached namespace is flushed, then one answer") {
  Live live;
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 3, nvme::nsid_all)), 0);
  REQUIRE_EQ(live.rig.volume.log.size(), 2);
  CHECK(live.rig.volume.log[1].op == BlockOp::flush);
  live.rig.settle();
  CHECK(live.io.received.empty());
}

TEST_CASE("target: deallocate: 256 ranges, empty ones skipped") {
  Live live;
  std::vector<nvme::DsmRange> ranges;
  for (uint32_t i = 0; i < 256; ++i) ranges.push_back({0, i % 2, i});
  CHECK_EQ(live.io.run(dsm(1, 256, nvme::dsm_deallocate), ranges_of(ranges)), 0);
  REQUIRE_EQ(live.rig.volume.log.size(), 128);
  CHECK(live.rig.volume.log[0] ==
        MemoryVolume::Entry{BlockOp::deallocate, false, true, 4096, 4096});
}

TEST_CASE("target: deallocate: one range out of 256 is wrong: none is applied") {
  Live live;
  std::vector<nvme::DsmRange> ranges(256, {0, 1, 0});
  ranges[255] = {0, 1, 4096};  // The volume has 4,096 blocks.
  CHECK_EQ(live.io.run(dsm(1, 256, nvme::dsm_deallocate), ranges_of(ranges)),
           code(StatusCode::lba_out_of_range));
  CHECK(live.rig.volume.log.empty());
}

TEST_CASE("target: dataset management without AD: hints succeed and change nothing") {
  Live live;
  CHECK_EQ(live.io.run(dsm(1, 1, 3), ranges_of({{0, 8, 0}})), 0);
  CHECK(live.rig.volume.log.empty());
}

TEST_CASE("target: Compare: equal, unequal in the last byte, and two at once") {
  Live live;
  Bytes data = pattern(200 * 1024, 8);
  store(live.rig, 10, data);
  const nvme::Sqe compare = make_sqe(IoOpcode::compare, 1, 10, 50);
  CHECK_EQ(live.io.write_by_r2t(compare, data, 100 * 1024), 0);
  data.back() ^= std::byte{1};
  CHECK_EQ(live.io.write_by_r2t(compare, data, 100 * 1024), code(StatusCode::compare_failure));
  const Bytes first = pattern(4096, 10);
  store(live.rig, 0, first);
  live.rig.volume.held = true;
  live.io.send_command(in_capsule(make_sqe(IoOpcode::compare, 2, 0, 1)), first);
  live.io.send_command(in_capsule(make_sqe(IoOpcode::compare, 3, 1, 1)), first);
  live.rig.settle();
  CHECK_EQ(live.rig.volume.under_way(), 1);  // The second waits for the scratch buffer.
  live.rig.volume.release();
  CHECK_EQ(live.io.status(), 0);
  CHECK_EQ(live.io.status(), code(StatusCode::compare_failure));
}

TEST_CASE("target: Verify: every block is read, nothing is sent, a media error is told") {
  Live live;
  const nvme::Sqe verify = make_sqe(IoOpcode::verify, 1, 10, 40);
  CHECK_EQ(live.io.run(verify), 0);
  const std::vector<MemoryVolume::Entry> pieces{
      {BlockOp::read, false, false, 10 * 4096, 64 * 1024},
      {BlockOp::read, false, false, 26 * 4096, 64 * 1024},
      {BlockOp::read, false, false, 42 * 4096, 32 * 1024}};
  CHECK(live.rig.volume.log == pieces);
  live.rig.volume.status = BlockStatus::read_error;
  CHECK_EQ(live.io.run(verify), code(StatusCode::unrecovered_read_error));
  CHECK_EQ(live.rig.volume.log.size(), 4u);  // The first piece that fails is the last.
}

TEST_CASE("target: Verify: revoked while they wait for the scratch buffer: all are answered") {
  Live live;
  live.rig.volume.held = true;
  for (uint16_t cid = 1; cid <= 4; ++cid) {
    live.io.send_command(make_sqe(IoOpcode::verify, cid, 0, 1));
  }
  live.rig.settle();
  CHECK_EQ(live.rig.volume.under_way(), 1);
  live.rig.target->set_namespaces(1, {}, [] {});
  live.rig.settle();
  live.rig.volume.release();
  CHECK_EQ(live.io.status(), 0);
  for (int i = 0; i < 3; ++i) {
    CHECK_EQ(live.io.status(), code(StatusCode::invalid_namespace_or_format));
  }
}

TEST_CASE("target: errors of the store become statuses") {
  struct Row {
    BlockStatus status;
    StatusCode read;
    StatusCode write;
  };
  Live live;
  for (const Row& row : std::vector<Row>{
           {BlockStatus::capacity_exceeded, StatusCode::capacity_exceeded,
            StatusCode::capacity_exceeded},
           {BlockStatus::read_error, StatusCode::unrecovered_read_error,
            StatusCode::unrecovered_read_error},
           {BlockStatus::write_error, StatusCode::write_fault, StatusCode::write_fault},
           {BlockStatus::pool_failed, StatusCode::internal_error, StatusCode::write_fault},
           {BlockStatus::gone, StatusCode::invalid_namespace_or_format,
            StatusCode::invalid_namespace_or_format},
       }) {
    live.rig.volume.status = row.status;
    CHECK_EQ(live.io.run(make_sqe(IoOpcode::read, 1, 0, 1)), code(row.read));
    CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), pattern(4096, 1)),
             code(row.write));
  }
}

TEST_CASE("target: refused commands: capsule data is skipped and the next command runs") {
  Live live;
  const Bytes data = pattern(4096, 1);
  nvme::Sqe sqe = in_capsule(make_sqe(IoOpcode::write, 1, 1 << 20, 1));
  CHECK_EQ(live.io.run(sqe, data), code(StatusCode::lba_out_of_range));
  sqe = in_capsule(make_sqe(IoOpcode::write, 1, 0, 1));
  sqe.nsid = 5;
  CHECK_EQ(live.io.run(sqe, data), code(StatusCode::namespace_write_protected));
  sqe.nsid = 2;
  CHECK_EQ(live.io.run(sqe, data), code(StatusCode::invalid_namespace_or_format));
  sqe.opcode = 0x7e;
  CHECK_EQ(live.io.run(sqe, data), code(StatusCode::invalid_opcode));
  sqe = make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1);
  CHECK_EQ(live.io.run(sqe, data), code(StatusCode::invalid_field));
  CHECK(live.rig.volume.log.empty());
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), data), 0);
}

TEST_CASE("target: ANA: a change applies to the next command, group by group and portal by portal") {
  Live live;
  live.rig.target->set_ana(portal_id, 1, AnaState::inaccessible);
  live.rig.target->set_ana(portal_id + 1, 2, AnaState::persistent_loss);
  live.rig.settle();
  live.io.send_command(make_sqe(IoOpcode::read, 1, 0, 1));
  const auto cqe = live.io.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, code(StatusCode::ana_inaccessible) << 1);  // And DNR is 0.
  nvme::Sqe other = make_sqe(IoOpcode::read, 1, 0, 1);
  other.nsid = 5;
  live.io.send_command(other);
  CHECK_EQ(live.io.next()->type, tcp::PduType::c2h_data);
  CHECK_EQ(live.io.status(), 0);
  live.rig.target->set_ana(portal_id, 1, AnaState::change);
  live.rig.settle();
  CHECK_EQ(live.io.run(make_sqe(IoOpcode::read, 1, 0, 1)), code(StatusCode::ana_transition));
  live.rig.target->set_ana(portal_id, 1, AnaState::optimized);
  live.rig.settle();
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1)), 0);
}

TEST_CASE("target: a full queue of commands at once: all are answered, in one or few sends") {
  PeerOptions peer;
  peer.sqsize_0based = 127;
  Live live({}, peer);
  Bytes all;
  for (uint16_t cid = 0; cid < 128; ++cid) {
    const Bytes pdu = live.io.command_pdu(make_sqe(IoOpcode::read, cid, cid, 1));
    all.insert(all.end(), pdu.begin(), pdu.end());
  }
  live.io.send(all);
  int responses = 0;
  while (responses < 128) {
    const auto pdu = live.io.next();
    REQUIRE(pdu);
    responses += pdu->type == tcp::PduType::capsule_resp ? 1 : 0;
  }
  CHECK_EQ(live.rig.a_counters.commands.value() + live.rig.b_counters.commands.value(), 130);
}

TEST_CASE("target: streams split at random: a hundred mixed commands, several seeds") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    RigOptions options;
    options.seed = seed;
    options.network.split = true;
    options.network.min_window_bytes = 1000;
    PeerOptions peer;
    peer.dgst = static_cast<uint8_t>(seed % 4);
    peer.maxr2t_0based = 1;
    Live live(options, peer);
    TestRandom random(seed);
    Bytes model(64 * 4096);
    for (uint16_t i = 0; i < 100; ++i) {
      const auto blocks = static_cast<uint32_t>(1 + random.next_u64() % 16);
      const auto at = static_cast<uint32_t>(random.next_u64() % (64 - blocks));
      const Bytes data = pattern(blocks * 4096, random.next_u64());
      const auto begin = model.begin() + at * 4096;
      if (random.next_u64() % 2 == 0) {
        std::copy(data.begin(), data.end(), begin);
        const nvme::Sqe sqe = make_sqe(IoOpcode::write, i, at, blocks);
        CHECK_EQ(blocks <= 2 ? live.io.run(in_capsule(sqe), data)
                             : live.io.write_by_r2t(sqe, data, 20 * 1024),
                 0);
      } else {
        live.io.send_command(make_sqe(IoOpcode::read, i, at, blocks));
        const auto pdu = live.io.next();
        REQUIRE(pdu);
        CHECK(pdu->digest_ok);
        CHECK(std::equal(pdu->data.begin(), pdu->data.end(), begin, begin + blocks * 4096));
        CHECK_EQ(live.io.status(), 0);
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::target::rig
