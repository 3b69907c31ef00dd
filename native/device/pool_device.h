// PoolDevice: one reactor's channel to all devices of a pool, as one Device.
//
// The members lie one behind the other in the pool's bytes. An operation that lies in one member is
// handed on itself; one that crosses into the next is cut; a flush goes to every member that takes
// part. Member 0 is the pool: what fails there fails the operation. A member k > 0 whose flush
// fails has failed for good, on all reactors at once: what it acknowledged may be lost, so nothing
// is sent to it any more, its ranges answer -EIO, and the flush counts the others only. Whoever
// answers for durability looks at PoolFailures::failed() when its flush has ended.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "device/device.h"
#include "device/limits.h"
#include "reactor/loop.h"

namespace ashlar {

// Which members have failed, shared by the channels of all reactors.
class PoolFailures {
 public:
  // Any thread. Bit k: member k has failed. A bit that is set stays set, and is set before the
  // flush that met the failure ends.
  uint32_t failed() const noexcept { return failed_.load(std::memory_order_seq_cst); }
  bool failed(uint32_t member) const noexcept { return (failed() >> member & 1) != 0; }
  // -errno of the flush that failed, 0: none, or it had failed before the pool was opened.
  int reason(uint32_t member) const noexcept {
    return reasons_[member].load(std::memory_order_acquire);
  }
  void mark(uint32_t member, int reason) noexcept;
  // Called on the thread of the channel that met a failure, once for each member. Set before I/O.
  void (*told)(void* context) noexcept = nullptr;
  void* context = nullptr;

 private:
  std::atomic<uint32_t> failed_{0};
  std::array<std::atomic<int>, limits::pool_members> reasons_{};
};

class PoolDevice final : public Device {
 public:
  // With one member: all of `first`. Used on the loop's thread, except where it says otherwise.
  PoolDevice(Loop& loop, Device& first, PoolFailures& failures);
  ~PoolDevice() override;

  // The next member, whose range begins at `offset_bytes`, where the one before ends. Null: it is
  // missing, until attach(). Other operations may be under way.
  void add_member(uint64_t offset_bytes, uint64_t length_bytes, Device* channel) noexcept;
  void attach(uint32_t member, Device& channel) noexcept;
  uint32_t members() const noexcept { return count_; }

  // The sum of the sizes, the largest blocks and alignments, the smallest atomic write.
  const DeviceGeometry& geometry() const noexcept override { return geometry_; }
  // Of member 0.
  KillSafeMemory kill_safe_memory(uint64_t offset_bytes, uint64_t length_bytes) override;
  void submit(DeviceOp& op) noexcept override;
  // Of a pool of one device; others go by operations.
  std::span<std::byte> memory(uint64_t offset_bytes, uint64_t length_bytes) noexcept override {
    if (count_ != 1) return {};
    return members_[0].channel->memory(offset_bytes, length_bytes);
  }

  // Any thread: operations that the member itself answered with an error (a full file system is
  // none).
  uint64_t read_errors(uint32_t member) const noexcept {
    return members_[member].read_errors.load(std::memory_order_relaxed);
  }
  uint64_t write_errors(uint32_t member) const noexcept {
    return members_[member].write_errors.load(std::memory_order_relaxed);
  }

 private:
  struct Member {
    PoolDevice* pool = nullptr;
    uint32_t index = 0;
    Device* channel = nullptr;
    uint64_t first_byte = 0;
    uint64_t end_byte = UINT64_MAX;
    std::atomic<uint64_t> read_errors{0};
    std::atomic<uint64_t> write_errors{0};
  };
  // A FIFO by DeviceOp::next.
  struct Queue {
    DeviceOp* head = nullptr;
    DeviceOp* tail = nullptr;
    void push(DeviceOp& op) noexcept;
    DeviceOp* pop() noexcept;
  };
  // A flush under way on several members, for everybody who waited when it began.
  struct Flush {
    PoolDevice* pool = nullptr;
    Queue told;
    uint32_t left = 0;  // 0: not in use.
    int result = 0;     // Of member 0.
    std::array<DeviceOp, limits::pool_members> ops;
  };
  // An operation that is done piece by piece, one in each member.
  struct Split {
    PoolDevice* pool = nullptr;
    DeviceOp* whole = nullptr;  // Null: not in use.
    uint64_t done_bytes = 0;
    size_t segment = 0;
    uint64_t segment_offset = 0;
    DeviceOp piece;
    std::array<iovec, limits::pool_split_segments> segments;
  };
  struct Teller : Task {
    PoolDevice* pool = nullptr;
  };

  void measure() noexcept;
  Member* member_at(uint64_t offset) noexcept;
  bool takes_part(const Member& member) const noexcept;
  void hand_on(Member& member, DeviceOp& op) noexcept;
  static void handed_back(DeviceOp& op) noexcept;
  void answer(DeviceOp& op, int result) noexcept;
  void tell() noexcept;
  void submit_flush(DeviceOp& op) noexcept;
  void begin_flush(Flush& flush) noexcept;
  void flush_ended(Flush& flush) noexcept;
  void submit_split(DeviceOp& op) noexcept;
  void next_piece(Split& split) noexcept;
  void cut_segments(Split& split, uint64_t length) noexcept;
  void piece_ended(Split& split) noexcept;

  Loop& loop_;
  PoolFailures& failures_;
  DeviceGeometry geometry_;
  uint32_t count_ = 1;
  std::array<Member, limits::pool_members> members_;
  Queue answered_;  // Without a device; told in the next turn.
  Teller teller_;
  std::array<Flush, limits::pool_flushes> flushes_;
  Queue waiting_flushes_;
  std::array<Split, limits::pool_splits> splits_;
  Queue waiting_splits_;
};

}  // namespace ashlar
