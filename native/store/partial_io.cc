// Commands of 512-byte volumes that begin or end inside a 4 KiB block.
//
// A block is read, changed and written as a whole, under a lock on the range of blocks of the
// command. Every write, zeroing and deallocation of such a volume takes that lock, the aligned ones
// too, so that none is lost between another's read and write. Reads take none: the device gives
// them the block before or after.
#include <algorithm>

#include "base/bytes.h"
#include "store/owner_io.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {
constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;

bool overlap(const IoState& a, const IoState& b) noexcept {
  return a.lock_first <= b.lock_last && b.lock_first <= a.lock_last;
}
}  // namespace

// Locks are granted in the order of arrival: a command waits for every older one that overlaps.
bool OwnerIo::lock(IoState& state) noexcept {
  if (state.locked) return true;
  VolumeImpl& volume = *state.volume;
  if (state.io->length_bytes == 0) return true;
  state.lock_first = state.io->offset_bytes / block;
  state.lock_last = (state.end() - 1) / block;
  state.lock_next = nullptr;
  state.locked = true;
  bool free = true;
  IoState** place = &volume.locks_;
  for (; *place != nullptr; place = &(*place)->lock_next) {
    if (overlap(**place, state)) free = false;
  }
  *place = &state;
  state.lock_granted = free;
  state.waiting = !free;
  return free;
}

void OwnerIo::unlock(IoState& state) noexcept {
  VolumeImpl& volume = *state.volume;
  state.locked = false;
  IoState** place = &volume.locks_;
  while (*place != &state) place = &(*place)->lock_next;
  IoState* later = state.lock_next;
  *place = later;
  // Who waited for this one only may go on.
  for (; later != nullptr; later = later->lock_next) {
    if (later->lock_granted || !overlap(*later, state)) continue;
    bool free = true;
    for (IoState* older = volume.locks_; older != later; older = older->lock_next) {
      if (overlap(*older, *later)) free = false;
    }
    if (!free) continue;
    later->lock_granted = true;
    // In its own turn: it may unlock again at once, and change this list.
    later->task.run = [](Task& task) noexcept {
      IoState& granted = io_state(task);
      granted.resume(granted);
    };
    pool_.loop().defer(later->task);
  }
}

void OwnerIo::give_bounce(std::byte* bounce) noexcept {
  free_bounces_.push_back(bounce);
  if (IoState* waiter = bounce_waiters_.pop(); waiter != nullptr) waiter->resume(*waiter);
}

// Deals with the part of the command that lies in the block at its cursor. Afterwards the command
// waits, or is `partial` (and comes back through dispatch), or the part is done.
void OwnerIo::partial_block(IoState& state) noexcept {
  Layer& layer = state.volume->top();
  const uint64_t index = state.cursor / chunk_size;
  const auto in_chunk = static_cast<uint32_t>(state.cursor % chunk_size / block);
  const uint64_t part_end = std::min(state.end(), round_down(state.cursor, block) + block);
  const bool reading = state.io->op == BlockOp::read;
  ChunkView view;
  const uint16_t wanted = block_mask(in_chunk, in_chunk + 1);
  view_chunk(layer, index, wanted, view);
  while (view.state != ChunkView::State::known) {
    if (!complete(state, view, index)) return;
    view_chunk(layer, index, wanted, view);
  }
  const uint64_t device_block = view.device_block[in_chunk];
  if (device_block == 0 && state.io->op != BlockOp::write) {
    if (reading) zero_out(state, part_end - state.cursor);
    state.cursor = part_end;
    return;
  }
  PortContext& port = pool_.owner_port();
  if (free_bounces_.empty()) {
    state.waiting = true;
    bounce_waiters_.push(state);
    return;
  }
  RunOp* run = port.take_run();
  if (run == nullptr) {
    state.waiting = true;
    port.waiting.push(state);
    return;
  }
  run->bounce = free_bounces_.back();
  free_bounces_.pop_back();
  run->state = &state;
  state.partial = true;
  if (device_block == 0) {
    std::fill_n(run->bounce, block, std::byte{0});
    write_partial(state, *run);
    return;
  }
  // The block stays where it is while we read: nobody else writes it, as its range is locked, and
  // the epoch keeps its chunk, should a merge free that meanwhile.
  state.parity = pool_.epochs.enter(pool_.owner);
  state.in_epoch = true;
  run->segments[0] = iovec{run->bounce, block};
  run->op = DeviceOp{};
  run->op.kind = DeviceOpKind::read;
  run->op.offset_bytes = device_block * block;
  run->op.length_bytes = block;
  run->op.segments = std::span<const iovec>(run->segments, 1);
  run->op.context = run;
  run->op.done = [](DeviceOp& op) noexcept {
    auto& self = *static_cast<RunOp*>(op.context);
    self.state->volume->pool().owner_io.partial_read_done(self);
  };
  ++state.in_flight;
  pool_.device().submit(run->op);
}

void OwnerIo::partial_read_done(RunOp& run) noexcept {
  IoState& state = *run.state;
  PortContext& port = pool_.owner_port();
  --state.in_flight;
  const bool reading = state.io->op == BlockOp::read;
  if (state.in_epoch) {
    pool_.epochs.leave(pool_.owner, state.parity);
    state.in_epoch = false;
  }
  if (run.op.result != 0) {
    if (state.io->status == BlockStatus::ok) {
      state.io->status = reading ? BlockStatus::read_error : BlockStatus::write_error;
    }
  } else if (reading) {
    const uint64_t from = state.cursor % block;
    const uint64_t length = std::min(state.end() - state.cursor, block - from);
    copy_out(state, run.bounce + from, length);
    state.cursor += length;
  } else {
    write_partial(state, run);
    return;
  }
  state.partial = false;
  give_bounce(run.bounce);
  port.give_run(run);
  dispatch(state);
  port.resume_waiting();
}

// The block's present content is in the bounce buffer: changes it and writes it where it belongs.
void OwnerIo::write_partial(IoState& state, RunOp& run) noexcept {
  Layer& layer = state.volume->top();
  const uint64_t index = state.cursor / chunk_size;
  MapEntry entry;
  PageNode* leaf = prepare_chunk(state, index, layer.next_chunk, entry);
  if (leaf == nullptr) {
    // It waits or has failed. The content is read again when it goes on.
    state.partial = false;
    PortContext& port = pool_.owner_port();
    give_bounce(run.bounce);
    port.give_run(run);
    if (!state.waiting) {
      // Failed: told in the next turn, as the caller may still be using the command.
      state.waiting = true;
      state.task.run = [](Task& task) noexcept {
        IoState& failed = io_state(task);
        failed.resume(failed);
      };
      pool_.loop().defer(state.task);
    }
    return;
  }
  const uint64_t from = state.cursor % block;
  const uint64_t length = std::min(state.end() - state.cursor, block - from);
  if (state.io->op == BlockOp::write) {
    copy_in(state, run.bounce + from, length);
  } else {
    std::fill_n(run.bounce + from, length, std::byte{0});
  }
  run.leaves[0] = leaf;
  run.leaves[1] = nullptr;
  ++leaf->pins;
  pool_.open_chunks.add(entry.chunk);
  run.layer = &layer;
  ++layer.runs_in_flight;
  ++pool_.runs_in_flight;
  pool_.committer.reserve(17 * sizeof(RecordHeader));
  run.offset_bytes = round_down(state.cursor, block);
  run.length_bytes = block;
  state.cursor += length;
  run.segments[0] = iovec{run.bounce, block};
  run.op = DeviceOp{};
  run.op.kind = DeviceOpKind::write;
  run.op.offset_bytes = uint64_t{entry.chunk} * chunk_size + run.offset_bytes % chunk_size;
  run.op.length_bytes = block;
  run.op.segments = std::span<const iovec>(run.segments, 1);
  run.op.context = &run;
  run.op.done = [](DeviceOp& op) noexcept {
    auto& self = *static_cast<RunOp*>(op.context);
    self.state->volume->pool().owner_io.write_run_done(self);
  };
  ++state.in_flight;
  pool_.device().submit(run.op);
}

}  // namespace ashlar::store
