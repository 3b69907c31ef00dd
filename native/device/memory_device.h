// MemoryDevice: a device made of memory, for benchmarks and tests. Nothing survives the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "device/device.h"
#include "reactor/loop.h"

namespace ashlar {

// The memory itself, shared by the channels of all reactors. Pages are taken from the system when
// they are first written, which costs a page fault each (13 us in some virtual machines), or all
// when it is opened (`populate`): then none goes back before the end, and there is no discard.
class DeviceMemory {
 public:
  static Result<std::shared_ptr<DeviceMemory>> open(uint64_t size_bytes, bool populate = false);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  std::byte* at(uint64_t offset) const noexcept { return base_ + offset; }
  const DeviceGeometry& geometry() const noexcept { return geometry_; }

 private:
  DeviceMemory() = default;
  std::byte* base_ = nullptr;
  DeviceGeometry geometry_;
};

class MemoryDevice final : public Device {
 public:
  MemoryDevice(Loop& loop, std::shared_ptr<DeviceMemory> memory);
  ~MemoryDevice() override;
  const DeviceGeometry& geometry() const noexcept override { return memory_->geometry(); }
  void submit(DeviceOp& op) noexcept override;
  KillSafeMemory kill_safe_memory(uint64_t, uint64_t) override { return {}; }
  std::span<std::byte> memory(uint64_t offset_bytes, uint64_t length_bytes) noexcept override {
    const uint64_t size = geometry().size_bytes;
    if (offset_bytes > size || length_bytes > size - offset_bytes) return {};
    return {memory_->at(offset_bytes), length_bytes};
  }

 private:
  struct Teller : Task {
    MemoryDevice* device = nullptr;
  };
  int carry_out(DeviceOp& op) noexcept;
  void tell() noexcept;

  Loop& loop_;
  const std::shared_ptr<DeviceMemory> memory_;
  DeviceOp* head_ = nullptr;  // Carried out but not told: FIFO by DeviceOp::next.
  DeviceOp* tail_ = nullptr;
  Teller teller_;
};

}  // namespace ashlar
