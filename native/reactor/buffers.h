// BufferPool: the I/O memory of one reactor. Page-aligned, of fixed size, never grown.
//
// A request asks for up to max_transfer_bytes and gets them as at most max_buffer_pieces segments,
// all or nothing. When there is not enough, the request waits in FIFO order and everyone behind it
// waits too, so a large one is never starved by small ones. That is backpressure: whoever waits
// here stops reading its socket. It cannot deadlock as long as nobody waits while it holds pieces
// (ask for everything a command needs in one request).
//
// Inside, a buddy allocator over one arena: pieces of 4 KiB to 128 KiB, split and joined in place.
// In front of it lie a few single pages in the order of their last use: a 4 KiB command takes the
// page that the one before gave back, still in the CPU's cache, without splitting and joining.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/limits.h"
#include "base/list.h"
#include "base/result.h"
#include "reactor/counters.h"
#include "reactor/loop.h"

namespace ashlar {

// A wish for buffers, then the buffers. Embedded in its owner, who releases or cancels it before
// going away (CHECKed).
struct BufferRequest : ListNode {
  // In: 1 to limits::max_transfer_bytes. Rounded up as base/limits.h says; the segments' lengths
  // add up to exactly this many bytes, and each lies on a 4 KiB boundary with its memory reaching
  // to the next one, as BlockIo::segments wants it.
  uint32_t length_bytes = 0;
  // Called once from the loop when a request that had to wait is filled.
  void (*ready)(BufferRequest&) noexcept = nullptr;
  void* context = nullptr;

  // Out: filled while `held`.
  std::array<iovec, limits::max_buffer_pieces> pieces{};
  uint32_t piece_count = 0;
  bool held = false;
  std::span<const iovec> segments() const noexcept { return {pieces.data(), piece_count}; }
};

class BufferPool {
 public:
  // `bytes` of memory, rounded down to whole 128 KiB. Contents are not cleared between users.
  BufferPool(Loop& loop, ReactorCounters& counters);
  ~BufferPool();  // Nothing may be held or waiting (CHECKed).
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  Status open(uint64_t bytes);

  // True: filled at once. False: waits; ready() runs later from the loop.
  [[nodiscard]] bool acquire(BufferRequest& request) noexcept;
  // False: there is not enough, or others wait; nothing has happened.
  [[nodiscard]] bool try_acquire(BufferRequest& request) noexcept;
  // Gives the pieces back; the next in line is filled and its ready() deferred.
  void release(BufferRequest& request) noexcept;
  // Ends a wait, or releases what was filled but not yet told. Does nothing to an idle request.
  void cancel(BufferRequest& request) noexcept;

  uint64_t size_bytes() const noexcept { return size_bytes_; }
  uint64_t free_bytes() const noexcept { return free_bytes_; }
  size_t waiting() const noexcept { return waiting_.size() + told_.size(); }
  // The whole arena, for registration with the ring.
  std::span<std::byte> memory() const noexcept { return {base_, size_bytes_}; }

 private:
  static constexpr uint32_t page_bytes = limits::min_buffer_piece_bytes;
  static constexpr uint32_t orders = 6;  // 4, 8, 16, 32, 64 and 128 KiB.
  static_assert((page_bytes << (orders - 1)) == limits::max_buffer_piece_bytes);
  // A free piece is linked by page numbers kept outside the memory itself, so that the arena is
  // touched by data only.
  struct Page {
    uint32_t next = none;
    uint32_t prev = none;
    uint8_t order = 0;
    bool free_head = false;  // The first page of a free piece.
    bool spare = false;      // In spares_.
  };
  static constexpr uint32_t none = UINT32_MAX;

  struct Notifier : Task {
    BufferPool* pool = nullptr;
  };

  // 1 MiB at most is kept from being joined; who needs them whole has them joined first.
  static constexpr uint32_t max_spares = 256;

  bool can_fill(uint32_t length_bytes) noexcept;
  bool pieces_for(uint32_t length_bytes) const noexcept;
  void join_spares() noexcept;
  void fill(BufferRequest& request) noexcept;
  void serve_waiting() noexcept;
  void tell() noexcept;
  uint32_t take(uint32_t order) noexcept;
  void give(uint32_t page, uint32_t order) noexcept;
  uint32_t take_spare() noexcept;
  void give_spare(uint32_t page) noexcept;
  void push_free(uint32_t page, uint32_t order) noexcept;
  void remove_free(uint32_t page, uint32_t order) noexcept;

  Loop& loop_;
  ReactorCounters& counters_;
  std::byte* base_ = nullptr;
  uint64_t size_bytes_ = 0;
  uint64_t free_bytes_ = 0;
  std::vector<Page> pages_;
  std::array<uint32_t, orders> free_heads_;
  std::array<uint32_t, max_spares> spares_{};  // Pages; the last is taken first.
  uint32_t spare_count_ = 0;
  List<BufferRequest> waiting_;
  List<BufferRequest> told_;  // Filled; ready() is about to run.
  Notifier notifier_;
};

}  // namespace ashlar
