// MetadataDevice: a device that keeps what the store writes about itself and drops the data, so that
// a pool with terabytes mapped fits a small machine. It counts both.
//
// A 4 KiB block is the store's own when it begins with one of its magics; the loads here write
// zeroes, which have none. Blocks that were dropped read as zeroes. The memory is shared, so a process
// that is killed leaves its pool to the next.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "device/device.h"
#include "reactor/loop.h"
#include "store/format.h"
#include "store/journal.h"

namespace ashlar::bench {

class SharedSpace {
 public:
  explicit SharedSpace(uint64_t bytes) : bytes_(bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    base_ = static_cast<std::byte*>(memory);
  }
  ~SharedSpace() { munmap(base_, bytes_); }
  SharedSpace(const SharedSpace&) = delete;
  SharedSpace& operator=(const SharedSpace&) = delete;
  std::byte* at(uint64_t offset) const noexcept { return base_ + offset; }
  uint64_t size_bytes() const noexcept { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  uint64_t bytes_;
};

struct Written {
  uint64_t data_operations = 0;
  uint64_t data_bytes = 0;
  uint64_t journal_bytes = 0;
  uint64_t page_bytes = 0;  // Pages and superblocks: checkpoints.
};

class MetadataDevice final : public Device {
 public:
  MetadataDevice(Loop& loop, SharedSpace& space) : loop_(loop), space_(space) {
    geometry_.size_bytes = space.size_bytes();
    geometry_.logical_block_bytes = 512;
    geometry_.memory_alignment_bytes = 1;
    geometry_.atomic_write_bytes = 4096;
    teller_.device = this;
    teller_.run = [](Task& task) noexcept { static_cast<Teller&>(task).device->tell(); };
  }
  ~MetadataDevice() override { CHECK(head_ == nullptr); }
  const DeviceGeometry& geometry() const noexcept override { return geometry_; }
  KillSafeMemory kill_safe_memory(uint64_t, uint64_t) override { return {}; }
  void submit(DeviceOp& op) noexcept override {
    carry_out(op);
    op.result = 0;
    op.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &op;
    tail_ = &op;
    if (!teller_.queued.load(std::memory_order_relaxed)) loop_.defer(teller_);
  }
  Written written;
  uint64_t reads = 0;

 private:
  struct Teller : Task {
    MetadataDevice* device = nullptr;
  };

  static uint64_t word_at(const std::byte* at) noexcept {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }

  void write_block(uint64_t offset, const std::byte* from) noexcept {
    const uint64_t word = word_at(from);
    const auto magic = static_cast<uint32_t>(word);
    const bool journal =
        magic == store::journal_first_magic || magic == store::journal_next_magic;
    const bool page = magic == store::page_magic || word == store::superblock_magic;
    if (journal) written.journal_bytes += 4096;
    if (page) written.page_bytes += 4096;
    if (journal || page) {
      std::memcpy(space_.at(offset), from, 4096);
    } else {
      written.data_bytes += 4096;
    }
  }

  void carry_out(const DeviceOp& op) noexcept {
    uint64_t offset = op.offset_bytes;
    const uint64_t data_before = written.data_bytes;
    if (op.kind == DeviceOpKind::read) ++reads;
    for (const iovec& segment : op.segments) {
      auto* memory = static_cast<std::byte*>(segment.iov_base);
      if (op.kind == DeviceOpKind::read) {
        std::memcpy(memory, space_.at(offset), segment.iov_len);
      } else if (op.kind == DeviceOpKind::write) {
        for (uint64_t at = 0; at < segment.iov_len; at += 4096) write_block(offset + at, memory + at);
      }
      offset += segment.iov_len;
    }
    if (written.data_bytes != data_before) ++written.data_operations;
  }

  void tell() noexcept {
    DeviceOp* op = head_;
    head_ = tail_ = nullptr;
    while (op != nullptr) {
      DeviceOp* next = op->next;
      op->done(*op);
      op = next;
    }
  }

  Loop& loop_;
  SharedSpace& space_;
  DeviceGeometry geometry_;
  DeviceOp* head_ = nullptr;
  DeviceOp* tail_ = nullptr;
  Teller teller_;
};

}  // namespace ashlar::bench
