// UringDevice: one reactor's channel to a DeviceFile, on the reactor's ring.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/device_file.h"
#include "device/limits.h"
#include "reactor/uring.h"

namespace ashlar {

class UringDevice final : public Device {
 public:
  // Made and destroyed on any thread while idle; used on the reactor's.
  UringDevice(UringReactor& reactor, std::shared_ptr<DeviceFile> file);
  ~UringDevice() override;
  const DeviceGeometry& geometry() const noexcept override { return file_->geometry(); }
  void submit(DeviceOp& op) noexcept override;
  KillSafeMemory kill_safe_memory(uint64_t offset_bytes, uint64_t length_bytes) override {
    return file_->map(offset_bytes, length_bytes);
  }

 private:
  // One operation with the ring, and how far it has come.
  struct Slot : RingOp {
    UringDevice* device = nullptr;
    DeviceOp* op = nullptr;
    uint64_t done_bytes = 0;
    size_t next_segment = 0;
    uint64_t segment_offset = 0;  // Bytes of the next segment that are done.
    uint32_t window_count = 0;
    std::array<iovec, limits::device_segments_per_request> window{};
    Slot* next_free = nullptr;
  };

  void start(DeviceOp& op) noexcept;
  static void fill_window(Slot& slot) noexcept;
  static void prepare(RingOp& op, io_uring_sqe& sqe) noexcept;
  static void prepare_transfer(Slot& slot, io_uring_sqe& sqe) noexcept;
  static void complete(RingOp& op, int result, uint32_t flags) noexcept;
  static bool advance(Slot& slot, uint64_t bytes) noexcept;
  void finish(Slot& slot, int result) noexcept;

  UringReactor& reactor_;
  const std::shared_ptr<DeviceFile> file_;
  std::vector<Slot> slots_;
  Slot* free_slots_ = nullptr;
  DeviceOp* waiting_head_ = nullptr;  // FIFO by DeviceOp::next.
  DeviceOp* waiting_tail_ = nullptr;
  uint64_t under_way_ = 0;  // Waiting ones included.
};

}  // namespace ashlar
