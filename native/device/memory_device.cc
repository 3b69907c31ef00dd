#include "device/memory_device.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/copy.h"

namespace ashlar {

Result<std::shared_ptr<DeviceMemory>> DeviceMemory::open(uint64_t size_bytes, bool populate) {
  size_bytes = round_down(size_bytes, 4096);
  if (size_bytes == 0) {
    return Error{ErrorCode::invalid_argument, "a memory device needs at least 4096 bytes"};
  }
  void* memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error{ErrorCode::no_space, "no room in memory for a device of " +
                                          std::to_string(size_bytes) +
                                          " bytes; choose a smaller size"};
  }
  std::shared_ptr<DeviceMemory> result(new DeviceMemory());
  result->base_ = static_cast<std::byte*>(memory);
  // In huge pages where the system has them: under shadow paging even a page that is there faults
  // once more when it is first touched.
  (void)madvise(memory, size_bytes, MADV_HUGEPAGE);
  if (populate && madvise(memory, size_bytes, MADV_POPULATE_WRITE) != 0) {
    return Error{ErrorCode::no_space,
                 "no " + std::to_string(size_bytes) + " bytes of memory for a device (" +
                     std::strerror(errno) + "); choose a smaller size, or do not populate it"};
  }
  result->geometry_.size_bytes = size_bytes;
  result->geometry_.logical_block_bytes = 512;
  result->geometry_.memory_alignment_bytes = 1;
  result->geometry_.atomic_write_bytes = 4096;
  result->geometry_.discard = !populate;
  result->geometry_.volatile_cache = false;
  return result;
}

DeviceMemory::~DeviceMemory() {
  if (base_ != nullptr) munmap(base_, geometry_.size_bytes);
}

MemoryDevice::MemoryDevice(Loop& loop, std::shared_ptr<DeviceMemory> memory)
    : loop_(loop), memory_(std::move(memory)) {
  teller_.device = this;
  teller_.run = [](Task& task) noexcept { static_cast<Teller&>(task).device->tell(); };
}

MemoryDevice::~MemoryDevice() { CHECK(head_ == nullptr); }

void MemoryDevice::submit(DeviceOp& op) noexcept {
  CHECK(op.done != nullptr);
  op.result = carry_out(op);
  op.next = nullptr;
  if (head_ == nullptr) {
    head_ = &op;
    // Queued already when this comes from inside a done() of the batch being told.
    if (!teller_.queued.load(std::memory_order_relaxed)) loop_.defer(teller_);
  } else {
    tail_->next = &op;
  }
  tail_ = &op;
}

int MemoryDevice::carry_out(DeviceOp& op) noexcept {
  if (op.kind == DeviceOpKind::flush) return 0;
  const uint64_t size = geometry().size_bytes;
  if (op.offset_bytes > size || op.length_bytes > size - op.offset_bytes) return -EIO;
  std::byte* at = memory_->at(op.offset_bytes);
  switch (op.kind) {
    case DeviceOpKind::read:
      for (const iovec& segment : op.segments) {
        std::memcpy(segment.iov_base, at, segment.iov_len);
        at += segment.iov_len;
      }
      CHECK(at == memory_->at(op.offset_bytes) + op.length_bytes);
      return 0;
    case DeviceOpKind::write:
      for (const iovec& segment : op.segments) {
        copy_past_cache(at, segment.iov_base, segment.iov_len);
        at += segment.iov_len;
      }
      fence_copies();
      CHECK(at == memory_->at(op.offset_bytes) + op.length_bytes);
      return 0;
    case DeviceOpKind::discard: {
      // Whole pages go back to the system; the rest of the range may read as anything.
      const uint64_t start = round_up(op.offset_bytes, 4096);
      const uint64_t end = round_down(op.offset_bytes + op.length_bytes, 4096);
      if (start < end) CHECK(madvise(memory_->at(start), end - start, MADV_DONTNEED) == 0);
      return 0;
    }
    case DeviceOpKind::flush: return 0;
  }
  CHECK(false);
}

void MemoryDevice::tell() noexcept {
  DeviceOp* op = std::exchange(head_, nullptr);
  tail_ = nullptr;
  while (op != nullptr) {
    DeviceOp* next = op->next;
    op->done(*op);  // May submit more, told next turn, or, when it was the last, end the device.
    op = next;
  }
}

}  // namespace ashlar
