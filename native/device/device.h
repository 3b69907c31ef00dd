// Device: the seam through which the store reaches a disk, a file or memory.
//
// One Device object is one reactor's channel to the thing; several reactors open one channel each
// to the same thing, and a flush on any channel covers the writes completed on all of them.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/uuid.h"

namespace ashlar {

enum class DeviceOpKind : uint8_t {
  read,
  write,
  flush,    // All writes completed before submission, on any channel, are durable when done.
  discard,  // A hint: the range may read as anything afterwards; space may be given back.
};

struct DeviceOp {
  DeviceOpKind kind = DeviceOpKind::read;
  bool durable = false;  // Write only: this write is durable when done (RWF_DSYNC).
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  // Read and write: `length_bytes` in total; memory aligned to Geometry::memory_alignment_bytes.
  std::span<const iovec> segments;
  // 0 or -errno. A short transfer is continued inside the device and never seen; the end of the
  // thing is -EIO.
  int result = 0;
  // Called once from the loop, never from inside submit().
  void (*done)(DeviceOp&) noexcept = nullptr;
  void* context = nullptr;
  DeviceOp* next = nullptr;  // The device's own, while the operation waits or is under way.
  // What the submitter said, while PoolDevice has put its own words in their place.
  struct {
    void (*done)(DeviceOp&) noexcept = nullptr;
    void* context = nullptr;
    uint64_t offset_bytes = 0;
  } submitted;
};

struct DeviceGeometry {
  uint64_t size_bytes = 0;
  uint32_t logical_block_bytes = 0;   // Offsets and lengths are multiples of this (512 or 4096).
  uint32_t memory_alignment_bytes = 0;
  // The largest aligned write that a power loss leaves either whole or untouched. 512 when the
  // device says nothing better.
  uint32_t atomic_write_bytes = 0;
  bool discard = false;     // discard gives space back.
  bool volatile_cache = true;  // Writes need a flush to be durable.
};

// A range of the device as memory: what is stored there outlives this process, however it ends,
// without any operation. It does not outlive a power loss in order: what is found there counts only
// when `boot` is still the machine's.
struct KillSafeMemory {
  enum class Kind : uint8_t {
    none,      // The device has no such memory, though it outlives the process.
    unneeded,  // Nothing of the device outlives the process.
    mapped,    // `bytes` is the range.
  };
  Kind kind = Kind::unneeded;
  std::span<std::byte> bytes;  // Page-aligned; valid as long as the Device.
  Uuid boot{};                 // Names the present boot of the machine.
};

class Device {
 public:
  virtual ~Device() = default;  // Nothing may be under way (CHECKed).
  // The range must have been written (allocated) and be read without an error before.
  virtual KillSafeMemory kill_safe_memory(uint64_t offset_bytes, uint64_t length_bytes) = 0;
  virtual const DeviceGeometry& geometry() const noexcept = 0;
  // The range, to be read and written without an operation, on the channel's thread and as long as
  // it lives; empty: this device is no memory. Like with operations, the order of accesses from
  // several threads is theirs to care for.
  virtual std::span<std::byte> memory(uint64_t /*offset_bytes*/,
                                      uint64_t /*length_bytes*/) noexcept {
    return {};
  }
  // Never blocks and never fails: what does not fit the queue waits in FIFO order.
  virtual void submit(DeviceOp& op) noexcept = 0;
};

}  // namespace ashlar
