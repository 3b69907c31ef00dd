// OwnerIo: what commands need the owner for. First writes, zeroes, deallocation, flushes with
// records pending, pages that are not in memory, and everything below 4 KiB.
#pragma once

#include <cstdint>
#include <vector>

#include "store/cold_io.h"
#include "store/io_state.h"
#include "store/volume.h"

namespace ashlar::store {

class PoolImpl;

class OwnerIo {
 public:
  explicit OwnerIo(PoolImpl& pool);

  // A command arrives; nothing of it is under way on its port.
  void take(IoState& state) noexcept;
  // Done here: back to its port.
  void answer(IoState& state, BlockStatus status) noexcept;

 private:
  void dispatch(IoState& state) noexcept;
  void end(IoState& state) noexcept;
  // Pages that a read or an overwrite on the fast path lacks; then back to its port.
  void load_for_port(IoState& state) noexcept;
  // Gets what `view` lacks. True: look again; false: the command waits for a page.
  bool complete(IoState& state, const ChunkView& view, uint64_t index) noexcept;
  void wait_for(IoState& state, const MissingPage& missing) noexcept;

  // First writes (owner_io.cc).
  void advance_write(IoState& state) noexcept;
  bool start_write_run(IoState& state, RunOp& run) noexcept;
  PageNode* prepare_chunk(IoState& state, uint64_t index, uint32_t wanted,
                          MapEntry& entry) noexcept;
  void write_run_done(RunOp& run) noexcept;
  void settle_chunk(RunOp& run, uint64_t index, bool written) noexcept;

  // Zeroes and deallocation (zero_io.cc).
  void advance_zero(IoState& state) noexcept;
  enum class Leaf : uint8_t {
    done,    // Nothing of it shows any more.
    parts,   // It has to be dealt with chunk by chunk.
    waits,   // The command waits.
  };
  Leaf zero_leaf(IoState& state, uint64_t leaf_index, bool whole) noexcept;
  bool zero_in_chunk(IoState& state, uint64_t index, uint32_t first, uint32_t end) noexcept;

  // Below 4 KiB (partial_io.cc).
  bool lock(IoState& state) noexcept;
  void unlock(IoState& state) noexcept;
  void partial_block(IoState& state) noexcept;
  void partial_read_done(RunOp& run) noexcept;
  void write_partial(IoState& state, RunOp& run) noexcept;
  void give_bounce(std::byte* bounce) noexcept;

  PoolImpl& pool_;
  AlignedBuffer bounce_memory_;
  std::vector<std::byte*> free_bounces_;
  IoQueue bounce_waiters_;
};

}  // namespace ashlar::store
