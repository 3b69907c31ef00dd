// IoState: a command's state while the store has it (it lives in BlockIo::scratch), and RunOp: one
// device operation on its behalf.
//
// A command starts on its own reactor. As long as that reactor can serve it alone it stays there;
// otherwise, with nothing of it under way, it moves to the owner as a message and comes back as
// one when it is finished. It is in at most one queue at any time.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

#include "base/block_io.h"
#include "device/device.h"
#include "reactor/loop.h"
#include "store/limits.h"
#include "store/page_tree.h"

namespace ashlar::store {

class PoolImpl;
class VolumeImpl;
struct Layer;

struct IoState {
  Task task;  // First: found again from it.
  BlockIo* io = nullptr;
  VolumeImpl* volume = nullptr;
  void (*resume)(IoState&) noexcept = nullptr;  // What the queue that holds it calls.
  IoState* next = nullptr;                      // In that queue.
  uint64_t cursor = 0;          // The next byte of the volume to be dealt with.
  uint64_t segment_offset = 0;  // Where the cursor is in the segments.
  uint32_t segment = 0;
  uint32_t in_flight = 0;  // Device operations.
  uint16_t port = 0;
  uint8_t parity = 0;       // Of the epoch it is in.
  bool in_epoch = false;
  bool submitting = false;  // Inside submit(): done() must wait for the loop.
  bool load_failed = false;
  bool needs_owner = false;
  bool waiting = false;     // At the owner: in a queue, which will resume it.
  bool partial = false;     // At the owner: a block is being read, changed and written.
  bool locked = false;      // In its volume's list of block ranges.
  bool lock_granted = false;
  uint8_t room_tries = 0;
  bool gathers = false;     // At the owner: pages; see PoolImpl::gather().
  bool durable = false;     // FUA, or the pool writes through.
  uint32_t failed_devices = 0;  // When it was submitted; see VolumeImpl::heed_failures.
  // Block range lock of 512-byte volumes.
  IoState* lock_next = nullptr;
  uint64_t lock_first = 0;
  uint64_t lock_last = 0;

  uint64_t end() const noexcept { return io->offset_bytes + io->length_bytes; }
};
static_assert(sizeof(IoState) <= sizeof(BlockIo::scratch));
static_assert(std::is_trivially_destructible_v<IoState>);

inline IoState& io_state(BlockIo& io) noexcept {
  return *std::launder(reinterpret_cast<IoState*>(io.scratch));
}
inline IoState& io_state(Task& task) noexcept { return reinterpret_cast<IoState&>(task); }

// A FIFO of commands that wait for one thing.
class IoQueue {
 public:
  bool empty() const noexcept { return head_ == nullptr; }
  void push(IoState& state) noexcept {
    state.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &state;
    tail_ = &state;
  }
  IoState* pop() noexcept {
    IoState* state = head_;
    if (state != nullptr) head_ = state->next;
    return state;
  }
  // Puts `others`' commands behind this queue's own.
  void append(IoQueue& others) noexcept {
    if (others.empty()) return;
    (head_ == nullptr ? head_ : tail_->next) = others.head_;
    tail_ = others.tail_;
    others.head_ = nullptr;
  }
  IoQueue take() noexcept {
    IoQueue taken = *this;
    head_ = nullptr;
    return taken;
  }

 private:
  IoState* head_ = nullptr;
  IoState* tail_ = nullptr;
};

struct RunOp {
  DeviceOp op;
  IoState* state = nullptr;
  RunOp* next_free = nullptr;
  // First writes: the layer they land in, the range of the volume, and the pinned leaves of the
  // layer's map (one or two).
  Layer* layer = nullptr;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  PageNode* leaves[2] = {};
  std::byte* bounce = nullptr;
  iovec segments[limits::run_segments];
};

// A volume's writes in place of one turn of the loop (in_place.cc): one command under way, in one
// epoch, until the next turn has fenced their copies.
struct WrittenInPlace {
  WrittenInPlace* next_written = nullptr;
  bool written = false;  // In PortContext::written.
  uint8_t written_parity = 0;
};

// One reactor as the pool sees it. Used by that reactor's thread only, once the pool is open.
struct alignas(64) PortContext {
  struct Settle : Task {
    PortContext* port = nullptr;
  };

  PoolImpl* pool = nullptr;
  Loop* loop = nullptr;
  Device* device = nullptr;
  uint16_t index = 0;
  RunOp* free_runs = nullptr;
  IoQueue waiting;  // For a RunOp.
  // Not zeroed: segments are written before they are read, and most runs are never needed.
  std::unique_ptr<RunOp[]> runs;
  WrittenInPlace* written = nullptr;
  Settle settle;  // Ends what is in `written`.

  RunOp* take_run() noexcept {
    RunOp* run = free_runs;
    if (run != nullptr) free_runs = run->next_free;
    return run;
  }
  // Gives it back and lets the next command that waits for one go on.
  void give_run(RunOp& run) noexcept {
    run.next_free = free_runs;
    free_runs = &run;
  }
  void resume_waiting() noexcept {
    while (free_runs != nullptr) {
      IoState* state = waiting.pop();
      if (state == nullptr) return;
      state->resume(*state);
    }
  }
};

// Cuts up to `wanted` bytes of the command's memory, from its cursor's place, into `run`'s
// segments and advances that place. Returns how many bytes (a multiple of 4 KiB, or all);
// measure_segments() says so beforehand.
uint64_t measure_segments(const IoState& state, uint64_t wanted) noexcept;
uint64_t cut_segments(IoState& state, uint64_t wanted, RunOp& run) noexcept;
// Copies between the command's memory at its place and `bytes`, or zeroes it; advances.
void copy_out(IoState& state, const std::byte* bytes, uint64_t length) noexcept;  // To the command.
void copy_in(IoState& state, std::byte* bytes, uint64_t length) noexcept;  // From the command.
void zero_out(IoState& state, uint64_t length) noexcept;

}  // namespace ashlar::store
