#include "reactor/buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/bytes.h"
#include "base/check.h"

namespace ashlar {

namespace {

constexpr uint32_t order_of(uint32_t bytes) noexcept {
  const uint32_t piece = std::bit_ceil(std::max(bytes, limits::min_buffer_piece_bytes));
  return static_cast<uint32_t>(std::countr_zero(piece / limits::min_buffer_piece_bytes));
}

}  // namespace

BufferPool::BufferPool(Loop& loop, ReactorCounters& counters) : loop_(loop), counters_(counters) {
  free_heads_.fill(none);
  notifier_.pool = this;
  notifier_.run = [](Task& task) noexcept { static_cast<Notifier&>(task).pool->tell(); };
}

BufferPool::~BufferPool() {
  CHECK(free_bytes_ == size_bytes_);
  if (base_ != nullptr) munmap(base_, size_bytes_);
}

Status BufferPool::open(uint64_t bytes) {
  CHECK(base_ == nullptr);
  bytes = round_down(bytes, limits::max_buffer_piece_bytes);
  if (bytes < limits::min_buffer_bytes || bytes > limits::max_buffer_bytes) {
    return Error{ErrorCode::invalid_argument,
                 "buffer memory of a reactor must be 2 MiB to 1 GiB, not " +
                     std::to_string(bytes) + " bytes"};
  }
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error{ErrorCode::limit_exceeded, "no room for " + std::to_string(bytes) +
                                                " bytes of I/O buffers a reactor; ask for fewer "
                                                "reactors or smaller buffers"};
  }
  base_ = static_cast<std::byte*>(memory);
  size_bytes_ = bytes;
  // A hint: huge pages make registration fast (fewer faults) and the TLB's life easier.
  (void)madvise(memory, bytes, MADV_HUGEPAGE);
  pages_.resize(bytes / page_bytes);
  for (uint64_t page = bytes / page_bytes; page > 0;) {
    page -= limits::max_buffer_piece_bytes / page_bytes;
    push_free(static_cast<uint32_t>(page), orders - 1);
  }
  free_bytes_ = bytes;
  return Unit{};
}

bool BufferPool::try_acquire(BufferRequest& request) noexcept {
  CHECK(!request.held && !request.linked());
  CHECK(request.length_bytes > 0 && request.length_bytes <= limits::max_transfer_bytes);
  if (!waiting_.empty() || !can_fill(request.length_bytes)) return false;
  fill(request);
  return true;
}

bool BufferPool::acquire(BufferRequest& request) noexcept {
  if (try_acquire(request)) return true;
  CHECK(request.ready != nullptr);
  counters_.buffer_waits.add(1);
  waiting_.push_back(request);
  return false;
}

bool BufferPool::can_fill(uint32_t length_bytes) noexcept {
  if (spare_count_ != 0 && length_bytes <= page_bytes) return true;
  if (pieces_for(length_bytes)) return true;
  if (spare_count_ == 0) return false;
  join_spares();
  return pieces_for(length_bytes);
}

void BufferPool::join_spares() noexcept {
  while (spare_count_ != 0) {
    const uint32_t page = spares_[--spare_count_];
    pages_[page].spare = false;
    free_bytes_ -= page_bytes;  // give() counts it again.
    give(page, 0);
  }
}

// Whether pieces for all of the length are free. Whole 128 KiB pieces come from the top list only
// (smaller free ones would have been joined), so counting there decides; the rest fits in any piece
// at least as large, one of which may be a 128 KiB piece more.
bool BufferPool::pieces_for(uint32_t length_bytes) const noexcept {
  uint32_t whole = length_bytes / limits::max_buffer_piece_bytes;
  const uint32_t rest = length_bytes % limits::max_buffer_piece_bytes;
  if (rest > 0) {
    const uint32_t order = order_of(rest);
    bool small_one = false;
    for (uint32_t i = order; i < orders - 1; ++i) small_one = small_one || free_heads_[i] != none;
    if (!small_one) ++whole;
  }
  uint32_t page = free_heads_[orders - 1];
  for (; whole > 0 && page != none; --whole) page = pages_[page].next;
  return whole == 0;
}

void BufferPool::fill(BufferRequest& request) noexcept {
  uint32_t left = request.length_bytes;
  request.piece_count = 0;
  while (left > 0) {
    const uint32_t length = std::min(left, limits::max_buffer_piece_bytes);
    const uint32_t page =
        length <= page_bytes && spare_count_ != 0 ? take_spare() : take(order_of(length));
    request.pieces[request.piece_count++] = {base_ + uint64_t{page} * page_bytes, length};
    left -= length;
  }
  request.held = true;
  counters_.buffers_in_use.add(request.piece_count);
}

void BufferPool::release(BufferRequest& request) noexcept {
  CHECK(request.held && !request.linked());
  for (const iovec& piece : request.segments()) {
    const auto offset = static_cast<uint64_t>(static_cast<std::byte*>(piece.iov_base) - base_);
    CHECK(offset < size_bytes_);
    const auto page = static_cast<uint32_t>(offset / page_bytes);
    if (piece.iov_len <= page_bytes && spare_count_ != max_spares) {
      give_spare(page);
    } else {
      give(page, order_of(static_cast<uint32_t>(piece.iov_len)));
    }
  }
  counters_.buffers_in_use.subtract(request.piece_count);
  request.held = false;
  request.piece_count = 0;
  if (!waiting_.empty()) serve_waiting();
}

void BufferPool::cancel(BufferRequest& request) noexcept {
  if (request.linked()) {
    if (request.held) {
      told_.remove(request);
    } else {
      waiting_.remove(request);
      // It may have been the large one that held everybody up.
      serve_waiting();
    }
  }
  if (request.held) release(request);
}

void BufferPool::serve_waiting() noexcept {
  while (!waiting_.empty() && can_fill(waiting_.front()->length_bytes)) {
    BufferRequest& request = *waiting_.pop_front();
    fill(request);
    told_.push_back(request);
  }
  if (!told_.empty() && !notifier_.queued.load(std::memory_order_relaxed)) loop_.defer(notifier_);
}

void BufferPool::tell() noexcept {
  // Those that are filled from inside a ready() below wait for the next turn.
  for (size_t count = told_.size(); count > 0 && !told_.empty(); --count) {
    BufferRequest& request = *told_.pop_front();
    request.ready(request);
  }
  if (!told_.empty() && !notifier_.queued.load(std::memory_order_relaxed)) loop_.defer(notifier_);
}

uint32_t BufferPool::take(uint32_t order) noexcept {
  uint32_t from = order;
  while (from < orders && free_heads_[from] == none) ++from;
  CHECK(from < orders);
  const uint32_t page = free_heads_[from];
  remove_free(page, from);
  while (from > order) {
    --from;
    push_free(page + (1u << from), from);
  }
  free_bytes_ -= uint64_t{page_bytes} << order;
  return page;
}

uint32_t BufferPool::take_spare() noexcept {
  const uint32_t page = spares_[--spare_count_];
  pages_[page].spare = false;
  free_bytes_ -= page_bytes;
  return page;
}

void BufferPool::give_spare(uint32_t page) noexcept {
  CHECK(!pages_[page].free_head && !pages_[page].spare);
  pages_[page].spare = true;
  free_bytes_ += page_bytes;
  spares_[spare_count_++] = page;
}

void BufferPool::give(uint32_t page, uint32_t order) noexcept {
  CHECK(!pages_[page].free_head && !pages_[page].spare);
  free_bytes_ += uint64_t{page_bytes} << order;
  while (order < orders - 1) {
    const uint32_t buddy = page ^ (1u << order);
    if (!pages_[buddy].free_head || pages_[buddy].order != order) break;
    remove_free(buddy, order);
    page = std::min(page, buddy);
    ++order;
  }
  push_free(page, order);
}

void BufferPool::push_free(uint32_t page, uint32_t order) noexcept {
  Page& piece = pages_[page];
  piece.order = static_cast<uint8_t>(order);
  piece.free_head = true;
  piece.prev = none;
  piece.next = free_heads_[order];
  if (piece.next != none) pages_[piece.next].prev = page;
  free_heads_[order] = page;
}

void BufferPool::remove_free(uint32_t page, uint32_t order) noexcept {
  Page& piece = pages_[page];
  CHECK(piece.free_head && piece.order == order);
  piece.free_head = false;
  if (piece.prev != none) {
    pages_[piece.prev].next = piece.next;
  } else {
    free_heads_[order] = piece.next;
  }
  if (piece.next != none) pages_[piece.next].prev = piece.prev;
}

}  // namespace ashlar
