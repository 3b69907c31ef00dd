// PlainMemory: a namespace that is a flat piece of memory, with no map. What a volume of a pool in
// memory costs more than this is what thin provisioning costs. It takes the same short cuts as the
// pool (native/store/in_place.cc) and copies as that does, or the comparison would flatter it.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/block_io.h"
#include "base/check.h"
#include "base/copy.h"
#include "device/memory_device.h"
#include "reactor/loop.h"

namespace ashlar::bench {

class PlainMemory final : public BlockBackend {
 public:
  // One loop for each reactor, by index.
  PlainMemory(std::vector<Loop*> loops, std::shared_ptr<DeviceMemory> memory)
      : memory_(std::move(memory)), tellers_(loops.size()) {
    for (size_t i = 0; i < loops.size(); ++i) {
      tellers_[i].loop = loops[i];
      tellers_[i].run = [](Task& task) noexcept { static_cast<Teller&>(task).tell(); };
    }
  }

  uint32_t block_size_bytes() const noexcept override { return 4096; }
  uint64_t size_bytes() const noexcept override { return memory_->geometry().size_bytes; }

  void submit(uint32_t reactor_index, BlockIo& io) noexcept override {
    std::byte* at = memory_->at(io.offset_bytes);
    for (const iovec& segment : io.segments) {
      CHECK(io.op == BlockOp::read || io.op == BlockOp::write);
      if (io.op == BlockOp::read) std::memcpy(segment.iov_base, at, segment.iov_len);
      if (io.op == BlockOp::write) copy_past_cache(at, segment.iov_base, segment.iov_len);
      at += segment.iov_len;
    }
    if (io.op == BlockOp::write) fence_copies();
    tellers_[reactor_index].add(io);
  }
  bool lend(uint32_t /*reactor_index*/, uint64_t offset_bytes, uint64_t length_bytes,
            Loan& loan) noexcept override {
    loan.pieces[0] = {memory_->at(offset_bytes), length_bytes};
    loan.piece_count = 1;
    return true;
  }
  bool write_in_place(uint32_t /*reactor_index*/, uint64_t offset_bytes,
                      std::span<const std::byte> bytes) noexcept override {
    copy_past_cache(memory_->at(offset_bytes), bytes.data(), bytes.size());
    return true;
  }

 private:
  // Tells in the next turn, in order, as a device does.
  struct alignas(64) Teller : Task {
    void add(BlockIo& io) noexcept {
      BlockIo** const link = next_of(io);
      *link = nullptr;
      (last == nullptr ? first : *next_of(*last)) = &io;
      if (std::exchange(last, &io) == nullptr) loop->defer(*this);
    }
    void tell() noexcept {
      BlockIo* io = std::exchange(first, nullptr);
      last = nullptr;
      while (io != nullptr) {
        BlockIo& told = *std::exchange(io, *next_of(*io));
        told.status = BlockStatus::ok;
        told.done(told);
      }
    }
    static BlockIo** next_of(BlockIo& io) noexcept {
      return std::launder(reinterpret_cast<BlockIo**>(io.scratch));
    }
    Loop* loop = nullptr;
    BlockIo* first = nullptr;
    BlockIo* last = nullptr;
  };

  const std::shared_ptr<DeviceMemory> memory_;
  std::vector<Teller> tellers_;
};

}  // namespace ashlar::bench
