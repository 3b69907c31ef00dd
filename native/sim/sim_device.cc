#include "sim/sim_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"

namespace ashlar::sim {

namespace {
constexpr uint64_t block = 4096;
constexpr uint64_t sector = 512;

std::vector<std::byte> gather(const DeviceOp& op) {
  std::vector<std::byte> bytes;
  bytes.reserve(op.length_bytes);
  for (const iovec& segment : op.segments) {
    const auto* from = static_cast<const std::byte*>(segment.iov_base);
    bytes.insert(bytes.end(), from, from + segment.iov_len);
  }
  CHECK(bytes.size() == op.length_bytes);
  return bytes;
}
}  // namespace

// ---- DiskImage ----------------------------------------------------------------------------------

const DiskImage::Group* DiskImage::find(uint64_t number) const noexcept {
  const auto at = std::lower_bound(groups_.begin(), groups_.end(), number,
                                   [](const Place& place, uint64_t wanted) {
                                     return place.number < wanted;
                                   });
  return at != groups_.end() && at->number == number ? at->group.operator->() : nullptr;
}

DiskImage::Group& DiskImage::make(uint64_t number) {
  auto at = std::lower_bound(groups_.begin(), groups_.end(), number,
                             [](const Place& place, uint64_t wanted) {
                               return place.number < wanted;
                             });
  if (at == groups_.end() || at->number != number) {
    at = groups_.insert(at, Place{number, Shared<Group>(new Group)});
  }
  return at->group.own();
}

bool DiskImage::holds(uint64_t block_index) const noexcept {
  const Group* group = find(block_index / group_blocks);
  return group != nullptr && static_cast<bool>(group->blocks[block_index % group_blocks]);
}

size_t DiskImage::blocks() const noexcept {
  size_t count = 0;
  for_each_block([&](uint64_t) { ++count; });
  return count;
}

void DiskImage::read(uint64_t offset, std::span<std::byte> into) const {
  const Group* group = nullptr;
  uint64_t number = UINT64_MAX;
  for (size_t done = 0; done < into.size();) {
    const uint64_t at = offset + done;
    if (at / block / group_blocks != number) {
      number = at / block / group_blocks;
      group = find(number);
    }
    if (group == nullptr) {
      // Nothing in the whole group.
      const uint64_t group_end = (number + 1) * group_blocks * block;
      const size_t length = std::min<uint64_t>(into.size() - done, group_end - at);
      std::memset(into.data() + done, 0, length);
      done += length;
      continue;
    }
    const size_t length = std::min<size_t>(into.size() - done, block - at % block);
    const Shared<Block>& here = group->blocks[at / block % group_blocks];
    if (here) {
      std::memcpy(into.data() + done, here->bytes + at % block, length);
    } else {
      std::memset(into.data() + done, 0, length);
    }
    done += length;
  }
}

void DiskImage::write(uint64_t offset, std::span<const std::byte> from) {
  for (size_t done = 0; done < from.size();) {
    const uint64_t at = offset + done;
    const size_t length = std::min<size_t>(from.size() - done, block - at % block);
    const auto piece = from.subspan(done, length);
    done += length;
    const bool empties = length == block && is_zero(piece);
    if (empties && !holds(at / block)) continue;
    Shared<Block>& here = make(at / block / group_blocks).blocks[at / block % group_blocks];
    if (empties) {
      here = Shared<Block>();
      continue;
    }
    if (!here) {
      here = Shared<Block>(new Block);
      std::memset(here.own().bytes, 0, block);
    }
    std::memcpy(here.own().bytes + at % block, piece.data(), length);
  }
}

// ---- SimDisk ------------------------------------------------------------------------------------

SimDisk::SimDisk(const DiskImage& image, uint64_t seed)
    : stable_(image), newest_(image), first_(image), random_(seed) {
  geometry.size_bytes = image.size_bytes();
  geometry.logical_block_bytes = 512;
  geometry.memory_alignment_bytes = 512;
  geometry.atomic_write_bytes = 512;
  geometry.discard = true;
}

bool SimDisk::fails(const DeviceOp& op) {
  const bool concerned = (op.kind == DeviceOpKind::read && faults.reads) ||
                         (op.kind == DeviceOpKind::write && faults.writes) ||
                         (op.kind == DeviceOpKind::flush && faults.flushes);
  if (faults.fail_at == 0 || !concerned) return false;
  ++countdown_seen_;
  return faults.sticky ? countdown_seen_ >= faults.fail_at : countdown_seen_ == faults.fail_at;
}

SimDisk::Started SimDisk::start(const DeviceOp& op) {
  if (before_operation) before_operation(op);
  ++operations_;
  Started started;
  if (op.kind != DeviceOpKind::flush) {
    CHECK(is_multiple(op.offset_bytes, geometry.logical_block_bytes));
    CHECK(is_multiple(op.length_bytes, geometry.logical_block_bytes));
    for (const iovec& segment : op.segments) {
      CHECK(reinterpret_cast<uintptr_t>(segment.iov_base) % geometry.memory_alignment_bytes == 0);
    }
  }
  if (fails(op)) {
    started.result = -faults.error;
    started.stall_ns = faults.stall_ns;
    if (faults.error != 0) return started;
  }
  if (op.kind != DeviceOpKind::flush && op.offset_bytes + op.length_bytes > newest_.size_bytes()) {
    started.result = -EIO;
    return started;
  }
  switch (op.kind) {
    case DeviceOpKind::read: ++reads; break;
    case DeviceOpKind::discard:
      // The range may read as anything afterwards; whoever still needs it shall notice.
      started.write_id = next_write_id_++;
      unflushed_.push_back({op.offset_bytes,
                            std::vector<std::byte>(op.length_bytes, std::byte{0xdd}),
                            started.write_id, 0});
      break;
    case DeviceOpKind::flush:
      ++flushes;
      started.flush_upto = completions_;
      break;
    case DeviceOpKind::write: {
      for (uint64_t b = op.offset_bytes / block; b * block < op.offset_bytes + op.length_bytes;
           ++b) {
        if (faults.full && !first_.holds(b) && !written_blocks_.contains(b)) {
          started.result = -ENOSPC;
          return started;
        }
        written_blocks_.insert(b);
      }
      ++writes;
      written_bytes += op.length_bytes;
      started.write_id = next_write_id_++;
      unflushed_.push_back({op.offset_bytes, gather(op), started.write_id, 0});
      break;
    }
  }
  return started;
}

int SimDisk::complete(const DeviceOp& op, const Started& started) {
  if (started.result != 0) return started.result;
  switch (op.kind) {
    case DeviceOpKind::read: {
      uint64_t at = 0;
      for (const iovec& segment : op.segments) {
        newest_.read(op.offset_bytes + at,
                     {static_cast<std::byte*>(segment.iov_base), segment.iov_len});
        at += segment.iov_len;
      }
      CHECK(at == op.length_bytes);
      break;
    }
    case DeviceOpKind::flush: {
      const auto covered = [&](const UnflushedWrite& write) {
        return write.completed != 0 && write.completed <= started.flush_upto;
      };
      for (const UnflushedWrite& write : unflushed_) {
        if (covered(write)) stable_.write(write.offset, write.bytes);
      }
      std::erase_if(unflushed_, covered);
      break;
    }
    case DeviceOpKind::discard:
    case DeviceOpKind::write: {
      auto at = std::find_if(unflushed_.begin(), unflushed_.end(),
                             [&](const auto& write) { return write.id == started.write_id; });
      CHECK(at != unflushed_.end());
      UnflushedWrite write = std::move(*at);
      unflushed_.erase(at);
      newest_.write(write.offset, write.bytes);
      write.completed = ++completions_;
      if (op.durable) {
        stable_.write(write.offset, write.bytes);
        // An older write that is flushed later must not undo it.
        for (UnflushedWrite& older : unflushed_) {
          if (older.completed == 0) continue;
          const uint64_t from = std::max(older.offset, write.offset);
          const uint64_t to = std::min(older.offset + older.bytes.size(),
                                       write.offset + write.bytes.size());
          if (from < to) {
            std::memcpy(older.bytes.data() + (from - older.offset),
                        write.bytes.data() + (from - write.offset), to - from);
          }
        }
        break;
      }
      const auto place = std::find_if(unflushed_.begin(), unflushed_.end(),
                                      [](const auto& other) { return other.completed == 0; });
      unflushed_.insert(place, std::move(write));
      break;
    }
  }
  return 0;
}

DiskImage SimDisk::after_crash(
    const std::function<bool(const UnflushedWrite&, uint64_t sector)>& keeps) const {
  DiskImage image = stable_;
  for (const UnflushedWrite& write : unflushed_) {
    const uint64_t sectors = write.bytes.size() / sector;
    for (uint64_t first = 0; first < sectors;) {
      if (!keeps(write, first)) {
        ++first;
        continue;
      }
      uint64_t end = first + 1;
      while (end < sectors && keeps(write, end)) ++end;
      image.write(write.offset + first * sector,
                  std::span(write.bytes).subspan(first * sector, (end - first) * sector));
      first = end;
    }
  }
  return image;
}

DiskImage SimDisk::after_kill(SimRandom& random) const {
  return after_crash([&](const UnflushedWrite& write, uint64_t) {
    return write.completed != 0 || random.one_in(2);
  });
}

DiskImage SimDisk::after_crash(SimRandom& random) const {
  uint64_t judged = 0;
  uint64_t fate = 0;
  uint64_t cut = 0;
  return after_crash([&](const UnflushedWrite& write, uint64_t at) {
    if (write.id != judged) {
      judged = write.id;
      fate = random.below(5);
      cut = random.below(write.bytes.size() / sector + 1);
    }
    switch (fate) {
      case 0: return false;               // Lost.
      case 1: return at < cut;            // Its head only.
      case 2: return at >= cut;           // Its tail only.
      case 3: return random.one_in(2);    // Any of its sectors.
      default: return true;
    }
  });
}

// ---- SimDevice ----------------------------------------------------------------------------------

struct SimDevice::Pending : Task {
  struct Wait : Timer {
    Pending* pending = nullptr;
  } wait;
  SimDevice* device = nullptr;
  DeviceOp* op = nullptr;
  SimDisk::Started started;
};

SimDevice::SimDevice(SimDisk& disk, Loop& loop)
    : disk_(disk), loop_(loop), geometry_(disk.geometry) {
  geometry_.size_bytes = disk.newest_.size_bytes();
}

KillSafeMemory SimDevice::kill_safe_memory(uint64_t, uint64_t length_bytes) {
  if (!disk_.has_kill_safe_memory) return {KillSafeMemory::Kind::none, {}, {}};
  disk_.kill_safe.bytes.resize(length_bytes);
  return {KillSafeMemory::Kind::mapped, disk_.kill_safe.bytes, disk_.kill_safe.boot};
}

SimDevice::~SimDevice() { CHECK(under_way() == 0); }

void SimDevice::cut() noexcept {
  for (const auto& pending : all_) loop_.cancel(pending->wait);
  for (auto& pending : all_) {
    // Queued tasks find nothing to complete.
    pending->op = nullptr;
  }
  free_.clear();
  for (auto& pending : all_) free_.push_back(pending.get());
}

void SimDevice::submit(DeviceOp& op) noexcept {
  if (free_.empty()) {
    all_.push_back(std::make_unique<Pending>());
    Pending& made = *all_.back();
    made.device = this;
    made.run = [](Task& task) noexcept {
      auto& self = static_cast<Pending&>(task);
      self.device->finish(self);
    };
    made.wait.pending = &made;
    made.wait.fire = [](Timer& timer) noexcept {
      Pending& self = *static_cast<Pending::Wait&>(timer).pending;
      self.device->finish(self);
    };
    free_.push_back(&made);
  }
  Pending& pending = *free_.back();
  free_.pop_back();
  pending.op = &op;
  pending.started = disk_.start(op);
  if (disk_.max_delay_ns == 0 && pending.started.stall_ns == 0) {
    loop_.defer(pending);
    return;
  }
  const uint64_t delay_ns = disk_.max_delay_ns == 0 ? 0 : disk_.random_.below(disk_.max_delay_ns);
  loop_.arm(pending.wait, loop_.clock().now_ns() + 1 + delay_ns + pending.started.stall_ns);
}

void SimDevice::finish(Pending& pending) noexcept {
  DeviceOp* op = pending.op;
  if (op == nullptr) return;
  pending.op = nullptr;
  op->result = disk_.complete(*op, pending.started);
  free_.push_back(&pending);
  op->done(*op);
}

}  // namespace ashlar::sim
