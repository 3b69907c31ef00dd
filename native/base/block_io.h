// BlockIo and BlockBackend: the one sentence in which the target asks the store for blocks.
//
// The target (NVMe words) and the store (pool words) never see each other. Both see this file: the
// target fills a BlockIo, the store answers it. One BlockIo stands for one validated command (or
// one range of a Dataset Management command); the validator in target/ has already checked range,
// alignment and read-only, so a backend CHECKs them and never answers them.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ashlar {

enum class BlockOp : uint8_t {
  read,          // Fill the segments with [offset, offset + length).
  write,         // Store the segments. `fua`: durable when done.
  flush,         // Every write completed before this submission is durable when done.
  write_zeroes,  // The range reads as zeroes. `deallocate`: give the space back where possible.
  deallocate,    // Give the space back; the range then reads as zeroes (DLFEAT 001b).
};

enum class BlockStatus : uint8_t {
  ok,
  capacity_exceeded,  // The pool (or the file system under it) has no room for a new chunk.
  read_error,         // The device failed to give the data, or it is known to be lost.
  write_error,        // The device failed to take the data.
  pool_failed,        // An earlier flush or journal write failed: nothing is acknowledged any more.
  gone,               // The volume was closed while the command waited.
};

struct BlockIo {
  // Set by the submitter; constant until done() is called.
  BlockOp op = BlockOp::read;
  bool fua = false;
  bool deallocate = false;
  uint64_t offset_bytes = 0;  // Multiple of the backend's block_size_bytes().
  uint64_t length_bytes = 0;  // Likewise; 0 only for flush. Any size up to the volume's.
  // For read and write: exactly length_bytes in total. Each segment starts on a 4 KiB boundary of
  // memory, and each but the last is a multiple of 4 KiB long. The last one's memory extends to the
  // next 4 KiB boundary (a device may read or write up to it).
  std::span<const iovec> segments;
  // Called once, from the loop of the reactor that submitted, never from inside submit().
  void (*done)(BlockIo&) noexcept = nullptr;
  void* context = nullptr;  // The submitter's.

  // Set by the backend before done().
  BlockStatus status = BlockStatus::ok;

  // The backend's own state while the command is under way; the submitter leaves it alone.
  alignas(16) std::byte scratch[192];
};

// The data of a range where the backend has it; see BlockBackend::lend().
struct Loan {
  std::array<iovec, 4> pieces{};
  uint32_t piece_count = 0;
  uint8_t parity = 0;  // The backend's own.
  std::span<const iovec> segments() const noexcept { return {pieces.data(), piece_count}; }
};

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  virtual uint32_t block_size_bytes() const noexcept = 0;  // 512 or 4096.
  virtual uint64_t size_bytes() const noexcept = 0;        // Grows while open; see Pool::commit.
  // Takes the command from the reactor with this index (0-based, the calling thread's own).
  // Never blocks, never fails, never calls done() before it returns.
  virtual void submit(uint32_t reactor_index, BlockIo& io) noexcept = 0;

  // Short cuts of a backend that has its blocks in memory. Both may say no at any time, to any
  // range, and then nothing has happened: submit() says what is the matter.
  //
  // A read without a copy. True: the pieces hold what the range holds at each moment from now until
  // end_loan(), on the same thread, which is due in this turn of the loop or the next: blocks wait
  // for it that others want to reuse. A write may change them meanwhile; whoever wants a block
  // whole takes it without anything else running on this thread in between.
  virtual bool lend(uint32_t /*reactor_index*/, uint64_t /*offset_bytes*/,
                    uint64_t /*length_bytes*/, Loan& /*loan*/) noexcept {
    return false;
  }
  virtual void end_loan(uint32_t /*reactor_index*/, Loan& /*loan*/) noexcept {}
  // A write that is done when this returns true; not durable before a flush. `bytes` may lie
  // anywhere. Before anybody but this thread learns of it, fence_copies() (base/copy.h) is due.
  virtual bool write_in_place(uint32_t /*reactor_index*/, uint64_t /*offset_bytes*/,
                              std::span<const std::byte> /*bytes*/) noexcept {
    return false;
  }
};

}  // namespace ashlar
