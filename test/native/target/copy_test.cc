// Copy over a live queue.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;
using nvme::StatusCode;

struct Source {
  uint64_t slba;
  uint32_t blocks;
};

Bytes list_of(const std::vector<Source>& sources) {
  Bytes bytes;
  for (const Source& source : sources) {
    nvme::CopyRange range{};
    range.slba = source.slba;
    range.nlb_0based = static_cast<uint16_t>(source.blocks - 1);
    const auto raw = std::as_bytes(std::span(&range, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

nvme::Sqe copy_sqe(uint16_t cid, uint64_t sdlba, size_t ranges, uint32_t cdw12 = 0) {
  nvme::Sqe sqe = make_sqe(IoOpcode::copy, cid, sdlba, 1);
  sqe.cdw12 = cdw12 | static_cast<uint32_t>(ranges - 1);
  sqe.sgl.length = static_cast<uint32_t>(ranges * sizeof(nvme::CopyRange));
  return in_capsule(sqe);
}

std::optional<nvme::Cqe> copy(Peer& peer, uint64_t sdlba, const std::vector<Source>& sources,
                              uint32_t cdw12 = 0) {
  peer.send_command(copy_sqe(1, sdlba, sources.size(), cdw12), list_of(sources));
  return peer.response();
}

Bytes stored(const Rig& rig, size_t offset, size_t length) {
  const auto from = rig.volume.memory.begin() + static_cast<ptrdiff_t>(offset);
  return Bytes(from, from + static_cast<ptrdiff_t>(length));
}

void fill(Rig& rig) { rig.volume.memory = pattern(rig.volume.memory.size(), 11); }

TEST_CASE("copy: three ranges, one longer than a piece: one behind the other, nothing else") {
  Live live;
  fill(live.rig);
  Bytes expected = live.rig.volume.memory;
  const std::vector<Source> sources{{3, 1}, {100, 40}, {3, 2}};
  size_t to = 1000 * 4096;
  for (const Source& source : sources) {
    const Bytes part = stored(live.rig, source.slba * 4096, source.blocks * 4096);
    std::copy(part.begin(), part.end(), expected.begin() + static_cast<ptrdiff_t>(to));
    to += part.size();
  }
  const auto cqe = copy(live.io, 1000, sources, nvme::rw_fua);
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, 0);
  CHECK_EQ(live.rig.volume.memory, expected);
  for (const auto& entry : live.rig.volume.log) {
    CHECK_EQ(entry.fua, entry.op == BlockOp::write);
    CHECK(entry.length_bytes <= 64 * 1024);
  }
}

TEST_CASE("copy: 512-byte blocks at odd places") {
  RigOptions options;
  options.block_bytes = 512;
  Live live(options);
  fill(live.rig);
  const Bytes first = stored(live.rig, 5 * 512, 3 * 512);
  const Bytes second = stored(live.rig, 1001 * 512, 200 * 512);
  const auto cqe = copy(live.io, 4001, {{5, 3}, {1001, 200}});
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, 0);
  CHECK_EQ(stored(live.rig, 4001 * 512, first.size()), first);
  CHECK_EQ(stored(live.rig, 4004 * 512, second.size()), second);
}

TEST_CASE("copy: 128 ranges by R2T") {
  Live live;
  fill(live.rig);
  std::vector<Source> sources;
  Bytes expected;
  for (uint64_t i = 0; i < 128; ++i) {
    sources.push_back({i * 7, 1});
    const Bytes part = stored(live.rig, i * 7 * 4096, 4096);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  nvme::Sqe sqe = copy_sqe(1, 2000, sources.size());
  sqe.sgl = make_sqe(IoOpcode::copy, 1, 0, 1).sgl;
  CHECK_EQ(live.io.write_by_r2t(sqe, list_of(sources), 1000), 0);
  CHECK_EQ(stored(live.rig, 2000 * 4096, expected.size()), expected);
}

TEST_CASE("copy: the last range is wrong: nothing is read or written") {
  Live live;
  const auto cqe = copy(live.io, 100, {{0, 1}, {1, 1}, {1 << 20, 1}});
  REQUIRE(cqe);
  CHECK_EQ(cqe->status >> 1 & 0x7ff, code(StatusCode::lba_out_of_range));
  CHECK_EQ(cqe->result, 0);
  CHECK(live.rig.volume.log.empty());
}

TEST_CASE("copy: the device fails in the second range: its number is in DW0") {
  for (const bool reading : {true, false}) {
    Live live;
    fill(live.rig);
    const Bytes first = stored(live.rig, 0, 4096);
    live.io.send_command(copy_sqe(1, 1000, 3), list_of({{0, 1}, {10, 1}, {20, 1}}));
    const size_t good = reading ? 3 : 4;  // Read and written; then the read, or the write, fails.
    live.rig.run_until([&] { return live.rig.volume.log.size() == good; });
    live.rig.volume.status = reading ? BlockStatus::read_error : BlockStatus::capacity_exceeded;
    const auto cqe = live.io.response();
    REQUIRE(cqe);
    CHECK_EQ(cqe->status >> 1 & 0x7ff, code(reading ? StatusCode::unrecovered_read_error
                                                    : StatusCode::capacity_exceeded));
    CHECK_EQ(cqe->result, 1);
    CHECK_EQ(stored(live.rig, 1000 * 4096, 4096), first);
    CHECK_EQ(live.rig.volume.log.size(), good);
  }
}

TEST_CASE("copy: two at once, and a Compare: each waits for the scratch buffer of the queue") {
  Live live;
  fill(live.rig);
  const Bytes first = stored(live.rig, 0, 4096);
  live.io.send_command(copy_sqe(1, 1000, 1), list_of({{0, 1}}));
  live.io.send_command(copy_sqe(2, 1001, 1), list_of({{1000, 1}}));
  live.io.send_command(in_capsule(make_sqe(IoOpcode::compare, 3, 1001, 1)), first);
  for (int i = 0; i < 3; ++i) CHECK_EQ(live.io.status(), 0);
}

TEST_CASE("copy: amid fused pairs and Verifies of other queues: all are answered") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    RigOptions options;
    options.seed = seed;
    Live live(options);
    Peer other(live.rig);
    REQUIRE(other.join(2));
    TestRandom random(seed);
    const Bytes zeroes(4096);
    for (int round = 0; round < 50; ++round) {
      size_t due[2] = {0, 0};
      for (uint16_t cid = 1; cid < 24; ++cid) {
        const size_t which = random.next_u64() % 2;
        Peer& peer = which == 0 ? live.io : other;
        const uint64_t slba = random.next_u64() % 3;
        ++due[which];
        switch (random.next_u64() % 4) {
          case 0: peer.send_command(make_sqe(IoOpcode::verify, cid, slba, 32)); break;
          case 1: peer.send_command(copy_sqe(cid, slba, 2), list_of({{8, 1}, {100, 1}})); break;
          case 2:
            peer.send_command(in_capsule(make_sqe(IoOpcode::write, cid, slba, 1)), zeroes);
            break;
          default:
            nvme::Sqe half = in_capsule(make_sqe(IoOpcode::compare, cid, slba, 1));
            half.flags = 0x40 | nvme::fuse_first;
            peer.send_command(half, zeroes);
            half = in_capsule(make_sqe(IoOpcode::write, ++cid, slba, 1));
            half.flags = 0x40 | nvme::fuse_second;
            peer.send_command(half, zeroes);
            ++due[which];
        }
        if (random.next_u64() % 3 == 0) live.rig.pass(random.next_u64() % 20'000);
      }
      for (; due[0] > 0; --due[0]) CHECK(live.io.response());
      for (; due[1] > 0; --due[1]) CHECK(other.response());
    }
  }
}

}  // namespace
}  // namespace ashlar::target::rig
