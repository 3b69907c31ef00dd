// SimDevice: a disk that remembers what it was asked, can fail at will, and can lose power.
//
// SimDisk is the thing; SimDevice is one loop's channel to it. A write that has completed but is
// not yet flushed may survive a power loss whole, in part (torn at 512 bytes) or not at all,
// independently of all others; so may one that was still under way. What a completed flush covers,
// and a completed durable write, always survives.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "device/device.h"
#include "reactor/loop.h"
#include "sim/sim_random.h"

namespace ashlar::sim {

// A disk's bytes, 4 KiB at a time; what was never written, or written with zeroes, takes no memory.
// Copies share everything until one of them is written, so that an image of each crash costs what
// that crash touched: blocks hang under groups of 64, and a copy is the list of the groups. Counts
// of sharers are plain numbers: all copies of an image belong to one thread.
class DiskImage {
 public:
  explicit DiskImage(uint64_t size_bytes) : size_bytes_(size_bytes) {}

  uint64_t size_bytes() const noexcept { return size_bytes_; }
  void resize(uint64_t size_bytes) { size_bytes_ = size_bytes; }
  void read(uint64_t offset, std::span<std::byte> into) const;
  void write(uint64_t offset, std::span<const std::byte> from);
  bool holds(uint64_t block_index) const noexcept;  // Something is written there.
  size_t blocks() const noexcept;
  template <class Function>
  void for_each_block(Function function) const {
    for (const auto& [number, group] : groups_) {
      for (uint64_t i = 0; i < group_blocks; ++i) {
        if (group->blocks[i]) function(number * group_blocks + i);
      }
    }
  }

 private:
  static constexpr uint64_t group_blocks = 64;

  // A counted reference; the one sharer left may change what it points to.
  template <class T>
  class Shared {
   public:
    Shared() = default;
    explicit Shared(T* made) noexcept : object_(made) {}
    Shared(const Shared& other) noexcept : object_(other.object_) {
      if (object_ != nullptr) ++object_->sharers;
    }
    Shared(Shared&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Shared& operator=(Shared other) noexcept {
      std::swap(object_, other.object_);
      return *this;
    }
    ~Shared() {
      if (object_ != nullptr && --object_->sharers == 0) delete object_;
    }
    explicit operator bool() const noexcept { return object_ != nullptr; }
    const T* operator->() const noexcept { return object_; }
    T& own() {
      if (object_->sharers > 1) *this = Shared(new T(*object_));
      return *object_;
    }

   private:
    T* object_ = nullptr;
  };
  struct Counted {
    Counted() = default;
    Counted(const Counted&) noexcept {}  // A copy has one sharer.
    Counted& operator=(const Counted&) = delete;
    uint32_t sharers = 1;
  };
  struct Block : Counted {
    std::byte bytes[4096];
  };
  struct Group : Counted {
    Shared<Block> blocks[group_blocks];
  };
  struct Place {
    uint64_t number;
    Shared<Group> group;
  };
  const Group* find(uint64_t number) const noexcept;
  Group& make(uint64_t number);

  uint64_t size_bytes_;
  std::vector<Place> groups_;  // By number.
};

// One write that a power loss may still undo.
struct UnflushedWrite {
  uint64_t offset = 0;
  std::vector<std::byte> bytes;
  uint64_t id = 0;
  uint64_t completed = 0;  // Place in the order of completion; 0: still under way.
};

struct SimFaults {
  // The Nth operation from now (1-based) that `kinds` has fails with `error`; 0: none.
  uint64_t fail_at = 0;
  int error = 5;  // EIO. 0: it does not fail but stalls for this long:
  bool sticky = false;  // All later ones of those kinds fail too.
  bool reads = true, writes = true, flushes = true;
  // Writes to chunks never written before fail with ENOSPC: a full disk under a sparse file.
  bool full = false;
  uint64_t stall_ns = 0;
};

class SimDisk {
 public:
  SimDisk(uint64_t size_bytes, uint64_t seed) : SimDisk(DiskImage(size_bytes), seed) {}
  SimDisk(const DiskImage& image, uint64_t seed);

  DeviceGeometry geometry;  // Channels made later have it.
  SimFaults faults;
  uint64_t max_delay_ns = 0;  // Completions come after up to this, in any order; 0: next turn.
  uint64_t reads = 0, writes = 0, flushes = 0, written_bytes = 0;

  // What a power loss now is certain to leave.
  const DiskImage& stable() const noexcept { return stable_; }
  DiskImage& newest() noexcept { return newest_; }  // What reads see.
  const std::vector<UnflushedWrite>& unflushed() const noexcept { return unflushed_; }
  uint64_t operations() const noexcept { return operations_; }

  // The disk after a power loss now. `keeps` decides the fate of each 512-byte sector of each
  // unflushed write.
  DiskImage after_crash(
      const std::function<bool(const UnflushedWrite&, uint64_t sector)>& keeps) const;
  // Each write kept, lost or torn, at random.
  DiskImage after_crash(SimRandom& random) const;
  // The end of the process instead: completed writes are all there, those under way in any part,
  // and so is the kill-safe memory. Hand that on: `next.kill_safe = disk.kill_safe`. After a power
  // loss hand it on too, as a stale remainder, with another `boot`.
  DiskImage after_kill(SimRandom& random) const;
  struct KillSafe {
    std::vector<std::byte> bytes;
    Uuid boot{std::byte{1}};
  };
  KillSafe kill_safe;
  bool has_kill_safe_memory = true;

  // Called before each operation is taken: the crash suite looks at the disk here.
  std::function<void(const DeviceOp&)> before_operation;

 private:
  friend class SimDevice;
  struct Started {
    int result = 0;
    uint64_t stall_ns = 0;
    uint64_t write_id = 0;
    uint64_t flush_upto = 0;
  };
  Started start(const DeviceOp& op);
  int complete(const DeviceOp& op, const Started& started);
  bool fails(const DeviceOp& op);

  DiskImage stable_;
  DiskImage newest_;
  std::vector<UnflushedWrite> unflushed_;  // Completed ones first, in order of completion.
  const DiskImage first_;                  // Blocks written before, for `full`;
  std::unordered_set<uint64_t> written_blocks_;  // and since.
  SimRandom random_;
  uint64_t operations_ = 0;
  uint64_t countdown_seen_ = 0;
  uint64_t next_write_id_ = 1;
  uint64_t completions_ = 0;
};

class SimDevice final : public Device {
 public:
  SimDevice(SimDisk& disk, Loop& loop);
  ~SimDevice() override;
  const DeviceGeometry& geometry() const noexcept override { return geometry_; }
  void submit(DeviceOp& op) noexcept override;
  KillSafeMemory kill_safe_memory(uint64_t offset_bytes, uint64_t length_bytes) override;
  size_t under_way() const noexcept { return all_.size() - free_.size(); }
  // Power loss: what is under way never completes.
  void cut() noexcept;

 private:
  struct Pending;
  void finish(Pending& pending) noexcept;

  SimDisk& disk_;
  Loop& loop_;
  DeviceGeometry geometry_;
  std::vector<std::unique_ptr<Pending>> all_;
  std::vector<Pending*> free_;
};

}  // namespace ashlar::sim
