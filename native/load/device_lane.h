// DeviceLane: loading a file or block device without a network. What comes out is the limit of the
// machine for the same I/O.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "device/device.h"
#include "load/lane.h"

namespace ashlar::load {

class DeviceLane final : public Lane {
 public:
  // `device` is a channel on `loop`; both outlive this.
  DeviceLane(Loop& loop, Device& device, uint32_t number, uint32_t depth)
      : loop_(loop), device_(device), number_(number), slots_(depth) {
    for (Slot& slot : slots_) {
      slot.context = &slot;
      slot.done = [](DeviceOp& op) noexcept {
        LoadIo& io = *static_cast<Slot*>(op.context)->io;
        io.fate = op.result == 0 ? IoFate::done : IoFate::failed;
        io.status = static_cast<uint32_t>(-op.result);
        io.done(io);
      };
    }
  }

  Loop& loop() noexcept override { return loop_; }
  uint32_t number() const noexcept override { return number_; }
  void submit(LoadIo& io) noexcept override {
    Slot& slot = slots_[io.slot];
    slot.io = &io;
    slot.kind = io.read ? DeviceOpKind::read : DeviceOpKind::write;
    slot.offset_bytes = io.offset_bytes;
    slot.length_bytes = io.memory.iov_len;
    slot.segments = {&io.memory, 1};
    device_.submit(slot);
  }
  std::string describe(const LoadIo& io) const override {
    return strerrordesc_np(static_cast<int>(io.status));
  }

 private:
  struct Slot : DeviceOp {
    LoadIo* io = nullptr;
  };

  Loop& loop_;
  Device& device_;
  const uint32_t number_;
  std::vector<Slot> slots_;
};

}  // namespace ashlar::load
