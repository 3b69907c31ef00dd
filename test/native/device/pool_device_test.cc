// PoolDevice over simulated disks: what goes where, and what one member's failure means.
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "device/pool_device.h"
#include "sim/sim_device.h"
#include "sim/sim_world.h"
#include "store/cold_io.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::sim;
using store::AlignedBuffer;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

struct Op : DeviceOp {
  Op(DeviceOpKind what, uint64_t offset, std::vector<iovec> parts, uint64_t length = 0)
      : memory(std::move(parts)) {
    kind = what;
    offset_bytes = offset;
    length_bytes = length;
    for (const iovec& part : memory) length_bytes += part.iov_len;
    segments = memory;
    done = [](DeviceOp& op) noexcept {
      ++static_cast<Op&>(op).ended;
    };
  }
  std::vector<iovec> memory;
  int ended = 0;
};

// Three members of 1, 2 and 1 MiB; the last is missing at first.
struct Rig {
  Rig() : world(1, 1) {
    for (uint64_t i = 0; i < 3; ++i) {
      disks.push_back(std::make_unique<SimDisk>((i == 1 ? 2 : 1) * MiB, i + 1));
      disks.back()->max_delay_ns = 1000;
      channels.push_back(std::make_unique<SimDevice>(*disks.back(), world.loop(0)));
    }
    failures.context = this;
    failures.told = [](void* context) noexcept { ++static_cast<Rig*>(context)->told; };
    pool = std::make_unique<PoolDevice>(world.loop(0), *channels[0], failures);
    pool->add_member(1 * MiB, 2 * MiB, channels[1].get());
    pool->add_member(3 * MiB, 1 * MiB, nullptr);
  }
  int run(Op& op) {
    pool->submit(op);
    CHECK(op.ended == 0);  // Never from inside submit().
    CHECK(world.run_until([&] { return op.ended > 0; }));
    return op.result;
  }
  int write(uint64_t offset, AlignedBuffer& from, uint64_t length) {
    Op op(DeviceOpKind::write, offset, {{from.data(), length}});
    return run(op);
  }
  int read(uint64_t offset, AlignedBuffer& into, uint64_t length) {
    Op op(DeviceOpKind::read, offset, {{into.data(), length}});
    return run(op);
  }
  int flush() {
    Op op(DeviceOpKind::flush, 0, {});
    return run(op);
  }

  SimWorld world;
  std::vector<std::unique_ptr<SimDisk>> disks;
  std::vector<std::unique_ptr<SimDevice>> channels;
  PoolFailures failures;
  int told = 0;
  std::unique_ptr<PoolDevice> pool;
};

void fill(AlignedBuffer& buffer, uint8_t seed) {
  for (size_t i = 0; i < buffer.size(); ++i) {
    buffer.data()[i] = static_cast<std::byte>((i / 512 + seed) * 31 + i);
  }
}

bool disk_holds(SimDisk& disk, uint64_t offset, const std::byte* expected, uint64_t length) {
  std::vector<std::byte> bytes(length);
  disk.newest().read(offset, bytes);
  return std::memcmp(bytes.data(), expected, length) == 0;
}

}  // namespace

TEST_CASE("pool device: an operation goes to the member that has its bytes, at its own offset") {
  Rig rig;
  AlignedBuffer data(8 * KiB);
  fill(data, 3);
  Op op(DeviceOpKind::write, 1 * MiB + 64 * KiB, {{data.data(), 8 * KiB}});
  CHECK(rig.run(op) == 0);
  CHECK(op.offset_bytes == 1 * MiB + 64 * KiB);  // As the submitter left it.
  CHECK(rig.disks[0]->writes == 0);
  CHECK(disk_holds(*rig.disks[1], 64 * KiB, data.data(), 8 * KiB));
  AlignedBuffer back(8 * KiB);
  CHECK(rig.read(1 * MiB + 64 * KiB, back, 8 * KiB) == 0);
  CHECK(std::memcmp(back.data(), data.data(), 8 * KiB) == 0);
}

TEST_CASE("pool device: one over a boundary is cut, however its memory is cut") {
  Rig rig;
  AlignedBuffer data(256 * KiB);
  fill(data, 7);
  std::vector<std::unique_ptr<Op>> ops;
  // Ten at once, each from 128 KiB before the boundary, of segments of 4 KiB: more than one piece
  // can have.
  for (int i = 0; i < 10; ++i) {
    std::vector<iovec> parts;
    for (uint64_t at = 0; at < data.size(); at += 2 * KiB) {
      parts.push_back({data.data() + at, 2 * KiB});
    }
    ops.push_back(std::make_unique<Op>(DeviceOpKind::write, 1 * MiB - 127 * KiB, std::move(parts)));
  }
  for (auto& op : ops) rig.pool->submit(*op);
  CHECK(rig.world.run_until([&] {
    return std::all_of(ops.begin(), ops.end(), [](const auto& op) { return op->ended == 1; });
  }));
  for (const auto& op : ops) CHECK(op->result == 0);
  CHECK(disk_holds(*rig.disks[0], 1 * MiB - 127 * KiB, data.data(), 127 * KiB));
  CHECK(disk_holds(*rig.disks[1], 0, data.data() + 127 * KiB, 129 * KiB));
  AlignedBuffer back(256 * KiB);
  CHECK(rig.read(1 * MiB - 127 * KiB, back, back.size()) == 0);
  CHECK(std::memcmp(back.data(), data.data(), back.size()) == 0);
  // Into the missing member: its part fails, so does the whole; what lies before it was written.
  CHECK(rig.write(3 * MiB - 64 * KiB, data, 128 * KiB) == -EIO);
  CHECK(disk_holds(*rig.disks[1], 2 * MiB - 64 * KiB, data.data(), 64 * KiB));
  // Beyond the end of all.
  CHECK(rig.read(4 * MiB, back, 4 * KiB) == -EIO);
  CHECK(rig.read(4 * MiB - 4 * KiB, back, 8 * KiB) == -EIO);
}

TEST_CASE("pool device: a discard over a boundary reaches both, and ends at the pool's end") {
  Rig rig;
  Op op(DeviceOpKind::discard, 1 * MiB - 64 * KiB, {}, 128 * KiB);
  CHECK(rig.run(op) == 0);
  CHECK(rig.disks[0]->unflushed().size() == 1);
  CHECK(rig.disks[1]->unflushed().size() == 1);
  Op beyond(DeviceOpKind::discard, 4 * MiB - 64 * KiB, {}, 128 * KiB);
  CHECK(rig.run(beyond) == 0);
}

TEST_CASE("pool device: a flush covers every member, and twenty at once share what they can") {
  Rig rig;
  AlignedBuffer data(4 * KiB);
  fill(data, 1);
  CHECK(rig.write(0, data, 4 * KiB) == 0);
  CHECK(rig.write(1 * MiB, data, 4 * KiB) == 0);
  CHECK(rig.flush() == 0);
  CHECK(rig.disks[0]->unflushed().empty());
  CHECK(rig.disks[1]->unflushed().empty());
  CHECK(rig.disks[2]->flushes == 0);
  const uint64_t before = rig.disks[1]->flushes;
  std::vector<std::unique_ptr<Op>> ops;
  for (int i = 0; i < 20; ++i) {
    ops.push_back(std::make_unique<Op>(DeviceOpKind::flush, 0, std::vector<iovec>{}));
    rig.pool->submit(*ops.back());
  }
  CHECK(rig.world.run_until([&] {
    return std::all_of(ops.begin(), ops.end(), [](const auto& op) { return op->ended == 1; });
  }));
  CHECK(rig.disks[1]->flushes - before == 5);  // Four at once, and one for all that waited.
}

TEST_CASE("pool device: a member attached while I/O goes on takes part from then on") {
  Rig rig;
  AlignedBuffer data(4 * KiB);
  fill(data, 9);
  CHECK(rig.write(3 * MiB, data, 4 * KiB) == -EIO);
  CHECK(rig.pool->write_errors(2) == 0);  // Nobody's: there was no device to answer.
  Op flush(DeviceOpKind::flush, 0, {});
  rig.pool->submit(flush);
  rig.pool->attach(2, *rig.channels[2]);
  CHECK(rig.world.run_until([&] { return flush.ended == 1; }));
  CHECK(rig.write(3 * MiB, data, 4 * KiB) == 0);
  CHECK(rig.flush() == 0);
  CHECK(rig.disks[2]->flushes == 1);
  CHECK(disk_holds(*rig.disks[2], 0, data.data(), 4 * KiB));
}

TEST_CASE("pool device: a member's failed flush is the end of that member, and of nothing else") {
  Rig rig;
  AlignedBuffer data(4 * KiB);
  fill(data, 5);
  CHECK(rig.write(1 * MiB, data, 4 * KiB) == 0);
  rig.disks[1]->faults = {1, EIO, false, false, false, true, false};
  // Written before the failure, answered after it: no flush will ever cover it.
  Op late(DeviceOpKind::write, 1 * MiB + 4 * KiB, {{data.data(), 4 * KiB}});
  Op flush(DeviceOpKind::flush, 0, {});
  rig.disks[1]->max_delay_ns = 0;
  rig.pool->submit(flush);
  CHECK(rig.failures.failed() == 0);
  rig.disks[1]->max_delay_ns = 50'000;
  rig.pool->submit(late);
  CHECK(rig.world.run_until([&] { return flush.ended == 1 && late.ended == 1; }));
  CHECK(flush.result == 0);  // Of the others.
  CHECK(late.result == -EIO);
  CHECK(rig.failures.failed() == 2);
  CHECK(rig.failures.reason(1) == -EIO);
  CHECK(rig.told == 1);
  CHECK(rig.pool->write_errors(1) == 1);
  const uint64_t reads = rig.disks[1]->reads;
  CHECK(rig.read(1 * MiB, data, 4 * KiB) == -EIO);
  CHECK(rig.disks[1]->reads == reads);  // It is not even asked.
  CHECK(rig.write(0, data, 4 * KiB) == 0);
  CHECK(rig.flush() == 0);
}

TEST_CASE("pool device: the first member's failed flush fails the flush") {
  Rig rig;
  rig.disks[0]->faults = {1, EIO, false, false, false, true, false};
  CHECK(rig.flush() == -EIO);
  CHECK(rig.failures.failed() == 0);
}

TEST_CASE("pool device: errors are counted where they happen; a full file system is none") {
  Rig rig;
  AlignedBuffer data(4 * KiB);
  rig.disks[1]->faults = {1, EIO, true, true, false, false, false};
  CHECK(rig.read(1 * MiB, data, 4 * KiB) == -EIO);
  CHECK(rig.read(0, data, 4 * KiB) == 0);
  rig.disks[1]->faults = {};
  rig.disks[1]->faults.full = true;
  CHECK(rig.write(1 * MiB, data, 4 * KiB) == -ENOSPC);
  CHECK(rig.pool->read_errors(0) == 0);
  CHECK(rig.pool->read_errors(1) == 1);
  CHECK(rig.pool->write_errors(1) == 0);
}

TEST_CASE("pool device: the whole is as coarse as its coarsest member that is there") {
  SimWorld world(1, 1);
  SimDisk fine(1 * MiB, 1), coarse(1 * MiB, 2);
  fine.geometry.atomic_write_bytes = 4096;
  fine.geometry.discard = false;
  coarse.geometry.logical_block_bytes = 4096;
  SimDevice first(fine, world.loop(0)), second(coarse, world.loop(0));
  PoolFailures failures;
  PoolDevice pool(world.loop(0), first, failures);
  CHECK(pool.geometry().atomic_write_bytes == 4096);
  pool.add_member(1 * MiB, 1 * MiB, nullptr);
  CHECK(pool.geometry().size_bytes == 2 * MiB);
  CHECK(pool.geometry().logical_block_bytes == 512);
  pool.attach(1, second);
  CHECK(pool.geometry().logical_block_bytes == 4096);
  CHECK(pool.geometry().atomic_write_bytes == 512);
  CHECK(pool.geometry().discard);
}
