#include "device/uring_device.h"

#include <fcntl.h>
#include <linux/fs.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace ashlar {

namespace {

bool is_transfer(const DeviceOp& op) noexcept {
  return op.kind == DeviceOpKind::read || op.kind == DeviceOpKind::write;
}

}  // namespace

UringDevice::UringDevice(UringReactor& reactor, std::shared_ptr<DeviceFile> file)
    : reactor_(reactor), file_(std::move(file)), slots_(limits::device_slots) {
  for (Slot& slot : slots_) {
    slot.device = this;
    slot.RingOp::prepare = &UringDevice::prepare;
    slot.RingOp::complete = &UringDevice::complete;
    slot.next_free = std::exchange(free_slots_, &slot);
  }
}

UringDevice::~UringDevice() { CHECK(under_way_ == 0); }

void UringDevice::submit(DeviceOp& op) noexcept {
  CHECK(op.done != nullptr);
  if (op.kind != DeviceOpKind::flush) {
    const DeviceGeometry& is = geometry();
    CHECK(is_multiple(op.offset_bytes | op.length_bytes, is.logical_block_bytes));
    CHECK(op.length_bytes > 0);
  }
  ++under_way_;
  if (free_slots_ != nullptr && waiting_head_ == nullptr) {
    start(op);
    return;
  }
  op.next = nullptr;
  if (waiting_head_ == nullptr) {
    waiting_head_ = &op;
  } else {
    waiting_tail_->next = &op;
  }
  waiting_tail_ = &op;
}

void UringDevice::start(DeviceOp& op) noexcept {
  Slot& slot = *free_slots_;
  free_slots_ = slot.next_free;
  slot.op = &op;
  slot.done_bytes = 0;
  slot.next_segment = 0;
  slot.segment_offset = 0;
  if (is_transfer(op)) fill_window(slot);
  reactor_.submit(slot);
}

void UringDevice::fill_window(Slot& slot) noexcept {
  const std::span<const iovec> rest = slot.op->segments.subspan(slot.next_segment);
  CHECK(!rest.empty());
  slot.window_count = static_cast<uint32_t>(std::min(rest.size(), slot.window.size()));
  std::copy_n(rest.begin(), slot.window_count, slot.window.begin());
  slot.window[0].iov_base = static_cast<std::byte*>(slot.window[0].iov_base) + slot.segment_offset;
  slot.window[0].iov_len -= slot.segment_offset;
}

void UringDevice::prepare(RingOp& ring_op, io_uring_sqe& sqe) noexcept {
  auto& slot = static_cast<Slot&>(ring_op);
  const DeviceOp& op = *slot.op;
  const int fd = slot.device->file_->fd();
  switch (op.kind) {
    case DeviceOpKind::read:
    case DeviceOpKind::write: prepare_transfer(slot, sqe); return;
    case DeviceOpKind::flush: io_uring_prep_fsync(&sqe, fd, IORING_FSYNC_DATASYNC); return;
    case DeviceOpKind::discard:
      // On a block device the kernel turns this into the device's own unmap.
      io_uring_prep_fallocate(&sqe, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(op.offset_bytes),
                              static_cast<off_t>(op.length_bytes));
      return;
  }
  CHECK(false);
}

void UringDevice::prepare_transfer(Slot& slot, io_uring_sqe& sqe) noexcept {
  const DeviceOp& op = *slot.op;
  const int fd = slot.device->file_->fd();
  const uint64_t offset = op.offset_bytes + slot.done_bytes;
  const iovec& first = slot.window[0];
  const int buffer = slot.window_count == 1 ? slot.device->reactor_.registered_index(first) : -1;
  const auto length = static_cast<unsigned>(first.iov_len);
  if (op.kind == DeviceOpKind::read) {
    if (buffer >= 0) {
      io_uring_prep_read_fixed(&sqe, fd, first.iov_base, length, offset, buffer);
    } else if (slot.window_count == 1) {
      io_uring_prep_read(&sqe, fd, first.iov_base, length, offset);
    } else {
      io_uring_prep_readv(&sqe, fd, slot.window.data(), slot.window_count, offset);
    }
    return;
  }
  if (buffer >= 0) {
    io_uring_prep_write_fixed(&sqe, fd, first.iov_base, length, offset, buffer);
  } else if (slot.window_count == 1) {
    io_uring_prep_write(&sqe, fd, first.iov_base, length, offset);
  } else {
    io_uring_prep_writev(&sqe, fd, slot.window.data(), slot.window_count, offset);
  }
  if (op.durable) sqe.rw_flags = RWF_DSYNC;
}

void UringDevice::complete(RingOp& ring_op, int result, uint32_t) noexcept {
  auto& slot = static_cast<Slot&>(ring_op);
  UringDevice& device = *slot.device;
  if (result == -EINTR || result == -EAGAIN) {
    device.reactor_.submit(slot);
    return;
  }
  if (result < 0) {
    // A discard is a hint: where it is not supported it has been followed well enough.
    const bool hint = slot.op->kind == DeviceOpKind::discard && result == -EOPNOTSUPP;
    device.finish(slot, hint ? 0 : result);
    return;
  }
  if (!is_transfer(*slot.op)) {
    device.finish(slot, 0);
  } else if (result == 0) {
    device.finish(slot, -EIO);  // The end of the thing.
  } else if (advance(slot, static_cast<uint64_t>(result))) {
    device.finish(slot, 0);
  } else {
    fill_window(slot);
    device.reactor_.submit(slot);
  }
}

// True when all of the operation is done.
bool UringDevice::advance(Slot& slot, uint64_t bytes) noexcept {
  const DeviceOp& op = *slot.op;
  slot.done_bytes += bytes;
  CHECK(slot.done_bytes <= op.length_bytes);
  if (slot.done_bytes == op.length_bytes) return true;
  while (bytes > 0) {
    const uint64_t left = op.segments[slot.next_segment].iov_len - slot.segment_offset;
    if (bytes < left) {
      slot.segment_offset += bytes;
      return false;
    }
    bytes -= left;
    slot.segment_offset = 0;
    ++slot.next_segment;
  }
  return false;
}

void UringDevice::finish(Slot& slot, int result) noexcept {
  DeviceOp& op = *std::exchange(slot.op, nullptr);
  slot.next_free = std::exchange(free_slots_, &slot);
  --under_way_;
  if (waiting_head_ != nullptr) {
    DeviceOp& next = *waiting_head_;
    waiting_head_ = next.next;
    start(next);
  }
  op.result = result;
  op.done(op);  // May end the device when this was the last one: not touched afterwards.
}

}  // namespace ashlar
