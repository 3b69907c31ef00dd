// MetadataDevice: a device that keeps what the store writes about itself and drops the data, so that
// a pool with terabytes mapped fits a small machine. It counts both.
//
// A 4 KiB block is the store's own when it begins with one of its magics; the loads here write
// zeroes, which have none. Blocks that were dropped read as zeroes. The power can be cut: what a
// device is asked after that changes nothing, and another one goes on with the same space.
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

// Memory for the chunks that hold something of the store's own. It is taken from the system before
// the measuring begins, in huge pages, so that no page fault is taken for time of the store.
class MetadataSpace {
 public:
  MetadataSpace(uint64_t bytes, uint64_t metadata_bytes)
      : bytes_(bytes), metadata_bytes_(metadata_bytes) {
    places_ = static_cast<uint32_t*>(map(bytes / chunk * sizeof(uint32_t)));
    base_ = static_cast<std::byte*>(map(metadata_bytes));
    (void)madvise(base_, metadata_bytes, MADV_HUGEPAGE);
    CHECK(madvise(base_, metadata_bytes, MADV_POPULATE_WRITE) == 0);
  }
  ~MetadataSpace() {
    munmap(places_, bytes_ / chunk * sizeof(uint32_t));
    munmap(base_, metadata_bytes_);
  }
  MetadataSpace(const MetadataSpace&) = delete;
  MetadataSpace& operator=(const MetadataSpace&) = delete;

  uint64_t size_bytes() const noexcept { return bytes_; }
  // Of a block; null: it was never written.
  const std::byte* find(uint64_t offset) const noexcept {
    const uint32_t place = places_[offset / chunk];
    return place == 0 ? nullptr : base_ + uint64_t{place - 1} * chunk + offset % chunk;
  }
  std::byte* make(uint64_t offset) noexcept {
    uint32_t& place = places_[offset / chunk];
    if (place == 0) place = ++used_;
    CHECK(uint64_t{used_} * chunk <= metadata_bytes_);
    return base_ + uint64_t{place - 1} * chunk + offset % chunk;
  }

 private:
  static constexpr uint64_t chunk = store::limits::chunk_bytes;
  static void* map(uint64_t bytes) noexcept {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
  }

  const uint64_t bytes_, metadata_bytes_;
  uint32_t* places_ = nullptr;  // By chunk: 1 + its place in memory; 0: none.
  uint32_t used_ = 0;
  std::byte* base_ = nullptr;
};

struct Written {
  uint64_t data_operations = 0;
  uint64_t data_bytes = 0;
  uint64_t journal_bytes = 0;
  uint64_t page_bytes = 0;  // Pages and superblocks: checkpoints.
};

class MetadataDevice final : public Device {
 public:
  MetadataDevice(Loop& loop, MetadataSpace& space) : loop_(loop), space_(space) {
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
  void cut_power() noexcept { powered_ = false; }
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
      std::memcpy(space_.make(offset), from, 4096);
    } else {
      written.data_bytes += 4096;
    }
  }

  void read_block(uint64_t offset, std::byte* to) const noexcept {
    const std::byte* const from = space_.find(offset);
    if (from == nullptr) {
      std::memset(to, 0, 4096);
    } else {
      std::memcpy(to, from, 4096);
    }
  }

  void carry_out(const DeviceOp& op) noexcept {
    if (!powered_) return;
    uint64_t offset = op.offset_bytes;
    const uint64_t data_before = written.data_bytes;
    if (op.kind == DeviceOpKind::read) ++reads;
    for (const iovec& segment : op.segments) {
      auto* memory = static_cast<std::byte*>(segment.iov_base);
      for (uint64_t at = 0; at < segment.iov_len; at += 4096) {
        if (op.kind == DeviceOpKind::read) read_block(offset + at, memory + at);
        if (op.kind == DeviceOpKind::write) write_block(offset + at, memory + at);
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
  MetadataSpace& space_;
  bool powered_ = true;
  DeviceGeometry geometry_;
  DeviceOp* head_ = nullptr;
  DeviceOp* tail_ = nullptr;
  Teller teller_;
};

}  // namespace ashlar::bench
