#include "store/owner_io.h"

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;
// A run of 1 MiB covers at most 17 chunks, each of which may get a record when it ends.
constexpr size_t run_record_bytes = 17 * sizeof(RecordHeader);

BlockStatus write_status(int result) noexcept {
  if (result == -ENOSPC || result == -EDQUOT) return BlockStatus::capacity_exceeded;
  return BlockStatus::write_error;
}

}  // namespace

OwnerIo::OwnerIo(PoolImpl& pool)
    : pool_(pool),
      bounce_memory_(AlignedBuffer::unwritten(size_t{limits::bounce_buffers} * block)) {
  for (uint32_t i = 0; i < limits::bounce_buffers; ++i) {
    free_bounces_.push_back(bounce_memory_.data() + i * block);
  }
}

void OwnerIo::take(IoState& state) noexcept {
  state.resume = [](IoState& waiter) noexcept {
    waiter.waiting = false;
    waiter.volume->pool().owner_io.dispatch(waiter);
  };
  dispatch(state);
}

void OwnerIo::dispatch(IoState& state) noexcept {
  BlockIo& io = *state.io;
  if (state.load_failed) {
    state.load_failed = false;
    io.status = io.op == BlockOp::read ? BlockStatus::read_error : BlockStatus::write_error;
  }
  if (io.op != BlockOp::read && pool_.failed()) io.status = BlockStatus::pool_failed;
  if (io.status != BlockStatus::ok) {
    if (state.in_flight == 0) end(state);
    return;
  }
  const bool small_blocks = state.volume->block_size_bytes() != block;
  switch (io.op) {
    case BlockOp::flush:
      state.waiting = true;
      pool_.committer.wait(state);
      return;
    case BlockOp::read:
      if (state.volume->direct(state)) {
        load_for_port(state);
      } else {
        while (state.cursor < state.end() && !state.waiting && !state.partial &&
               io.status == BlockStatus::ok) {
          partial_block(state);
        }
        if (!state.waiting && !state.partial && state.in_flight == 0) end(state);
      }
      return;
    case BlockOp::write:
      if (small_blocks && !lock(state)) return;
      advance_write(state);
      return;
    case BlockOp::write_zeroes:
    case BlockOp::deallocate:
      if (small_blocks && !lock(state)) return;
      advance_zero(state);
      return;
  }
}

void OwnerIo::end(IoState& state) noexcept {
  CHECK(state.in_flight == 0 && !state.waiting && !state.partial);
  pool_.gathered(&state);
  if (state.locked) unlock(state);
  const bool commits = state.durable || !pool_.committer.kill_safe();
  if (state.io->op != BlockOp::read && commits && state.io->status == BlockStatus::ok &&
      !pool_.failed()) {
    state.waiting = true;
    pool_.committer.wait(state);
    return;
  }
  answer(state, BlockStatus::ok);
}

void OwnerIo::answer(IoState& state, BlockStatus status) noexcept {
  state.waiting = false;
  if (state.io->status == BlockStatus::ok) state.io->status = status;
  if (state.io->op != BlockOp::read && pool_.failed()) {
    state.io->status = BlockStatus::pool_failed;
  }
  if (state.port == pool_.owner) {
    state.volume->end_here(state);
    return;
  }
  state.task.run = [](Task& task) noexcept {
    IoState& ended = io_state(task);
    ended.volume->finish(ended);
  };
  pool_.ports[state.port].loop->post(state.task);
}

void OwnerIo::wait_for(IoState& state, const MissingPage& missing) noexcept {
  state.waiting = true;
  // A command before it, of which the memory was the same, may have gathered and gone.
  if (!state.gathers) pool_.gathered(&state);
  state.gathers = true;
  pool_.gather(&state);
  uint32_t asked = 0;
  const uint64_t leaf_index = state.cursor / chunk_size / limits::words_per_page;
  const MissingPage last = pool_.loader.bring_in(state.volume->top(), leaf_index, asked);
  const MissingPage& waited = last ? last : missing;
  pool_.loader.load(*waited.tree, waited.found, state);
}

bool OwnerIo::complete(IoState& state, const ChunkView& view, uint64_t index) noexcept {
  MissingPage missing{&view.layer->map, view.found};
  if (view.state == ChunkView::State::unseen) {
    missing = {};
    if (pool_.views.get(*view.layer, index / limits::words_per_page, missing) != nullptr) {
      pool_.trim();
      return true;
    }
  }
  wait_for(state, missing);
  return false;
}

void OwnerIo::load_for_port(IoState& state) noexcept {
  Layer& layer = state.volume->top();
  const uint64_t index = state.cursor / chunk_size;
  // Brings in what the next 1 MiB needs, one page at a time; the fast path goes on with that.
  const uint64_t last = std::min((state.end() - 1) / chunk_size, index + 16);
  for (uint64_t i = index; i <= last; ++i) {
    ChunkView view;
    view_chunk(layer, i, 0xffff, view);
    while (view.state != ChunkView::State::known) {
      if (!complete(state, view, i)) return;
      view_chunk(layer, i, 0xffff, view);
    }
  }
  state.needs_owner = false;
  pool_.gathered_for_port(&state);
  state.task.run = [](Task& task) noexcept {
    IoState& back = io_state(task);
    VolumeImpl::advance_from_queue(back);
  };
  if (state.port != pool_.owner) {
    pool_.ports[state.port].loop->post(state.task);
  } else if (state.submitting) {
    pool_.loop().defer(state.task);
  } else {
    VolumeImpl::advance_from_queue(state);
  }
}

// ---- First writes -------------------------------------------------------------------------------

void OwnerIo::advance_write(IoState& state) noexcept {
  const DeviceGeometry& geometry = pool_.device().geometry();
  PortContext& port = pool_.owner_port();
  while (state.cursor < state.end() && state.io->status == BlockStatus::ok) {
    const uint64_t memory_offset = state.cursor - state.io->offset_bytes;
    const bool whole = is_multiple(state.cursor, block) && state.end() - state.cursor >= block &&
                       is_multiple(memory_offset, geometry.memory_alignment_bytes);
    if (!whole) {
      partial_block(state);
      if (state.waiting || state.partial) return;
      continue;
    }
    RunOp* run = port.take_run();
    if (run == nullptr) {
      state.waiting = true;
      port.waiting.push(state);
      return;
    }
    if (!start_write_run(state, *run)) {
      port.give_run(*run);
      if (state.waiting) return;
    }
  }
  if (state.in_flight == 0) end(state);
}

// The leaf, with a chunk in the entry of `index`. Null: the command waits, or has failed.
PageNode* OwnerIo::prepare_chunk(IoState& state, uint64_t index, uint32_t wanted,
                                 MapEntry& entry) noexcept {
  Layer& layer = state.volume->top();
  if (pool_.reclaimer.merge().copying(layer, index)) {
    state.waiting = true;
    pool_.reclaimer.merge().wait(state);
    return nullptr;
  }
  const uint64_t leaf_index = index / limits::words_per_page;
  PageNode* at_hand = Mapping::at_hand(layer, leaf_index);
  if (at_hand == nullptr) {
    if (const MissingPage missing = pool_.mapping.missing(layer, leaf_index); missing) {
      wait_for(state, missing);
      return nullptr;
    }
  }
  const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
  if (at_hand != nullptr && at_hand->facts != nullptr) {
    __builtin_prefetch(&at_hand->facts->slots[slot]);
  }
  pool_.has_gathered(&state);
  Room room = pool_.room(true, run_record_bytes);
  if (room == Room::now) {
    PageNode& leaf = at_hand != nullptr ? *at_hand : pool_.mapping.leaf(layer, leaf_index);
    entry = MapEntry::unpack(leaf.words[slot].load(std::memory_order_relaxed));
    if (entry.chunk == 0) {
      entry.chunk = pool_.take_chunk(layer, wanted);
      if (entry.chunk != 0) CHECK(pool_.mapping.apply(layer, leaf, slot, entry, UINT64_MAX));
    }
    if (entry.chunk != 0) {
      state.room_tries = 0;
      return &leaf;
    }
    // Chunks may come back: but not for ever, while others take them first.
    room = ++state.room_tries == UINT8_MAX ? Room::none : pool_.chunk_room();
  }
  if (room == Room::none) {
    state.io->status = BlockStatus::capacity_exceeded;
  } else {
    state.waiting = true;
    pool_.wait_for_room(state);
  }
  return nullptr;
}

bool OwnerIo::start_write_run(IoState& state, RunOp& run) noexcept {
  Layer& layer = state.volume->top();
  const uint64_t end = round_down(state.end(), block);
  const uint64_t most = round_down(
      measure_segments(state, std::min<uint64_t>(end - state.cursor, limits::max_run_bytes)),
      block);
  uint64_t index = state.cursor / chunk_size;
  MapEntry entry;
  PageNode* leaf = prepare_chunk(state, index, layer.next_chunk, entry);
  if (leaf == nullptr) return false;
  run.leaves[0] = leaf;
  run.leaves[1] = nullptr;
  run.bounce = nullptr;
  const uint64_t device_offset = uint64_t{entry.chunk} * chunk_size + state.cursor % chunk_size;
  uint64_t length = std::min(most, (index + 1) * chunk_size - state.cursor);
  pool_.open_chunks.add(entry.chunk);
  uint32_t previous = entry.chunk;
  // On over the next chunks as long as they lie side by side; new ones are asked for there.
  while (length < most && pool_.room(true, run_record_bytes) == Room::now) {
    ++index;
    const PageFound found = layer.map.find(index / limits::words_per_page);
    if (found.state != PageFound::State::loaded || !Mapping::ready(layer, *found.leaf) ||
        pool_.reclaimer.merge().copying(layer, index)) {
      break;
    }
    const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
    MapEntry next = MapEntry::unpack(found.leaf->words[slot].load(std::memory_order_relaxed));
    if (next.chunk == 0) {
      next.chunk = pool_.take_chunk(layer, previous + 1);
      if (next.chunk == 0) break;
      CHECK(pool_.mapping.apply(layer, *found.leaf, slot, next, UINT64_MAX));
    }
    if (next.chunk != previous + 1) break;
    pool_.open_chunks.add(next.chunk);
    previous = next.chunk;
    if (found.leaf != leaf) run.leaves[1] = found.leaf;
    length += std::min(most - length, chunk_size);
  }
  ++run.leaves[0]->pins;
  if (run.leaves[1] != nullptr) ++run.leaves[1]->pins;
  run.layer = &layer;
  ++layer.runs_in_flight;
  ++pool_.runs_in_flight;
  pool_.committer.reserve(run_record_bytes);
  run.op = DeviceOp{};
  run.op.kind = DeviceOpKind::write;
  run.op.offset_bytes = device_offset;
  run.state = &state;
  run.offset_bytes = state.cursor;
  run.length_bytes = cut_segments(state, length, run);
  CHECK(run.length_bytes == length);
  state.cursor += length;
  run.op.context = &run;
  run.op.done = [](DeviceOp& op) noexcept {
    auto& self = *static_cast<RunOp*>(op.context);
    self.state->volume->pool().owner_io.write_run_done(self);
  };
  ++state.in_flight;
  pool_.device().submit(run.op);
  return true;
}

void OwnerIo::settle_chunk(RunOp& run, uint64_t index, bool written) noexcept {
  Layer& layer = *run.layer;
  PageNode& leaf =
      index / limits::words_per_page == run.leaves[0]->index ? *run.leaves[0] : *run.leaves[1];
  const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
  MapEntry entry = MapEntry::unpack(leaf.words[slot].load(std::memory_order_relaxed));
  CHECK(entry.chunk != 0);
  pool_.open_chunks.remove(entry.chunk);
  if (written) {
    const uint64_t from = std::max(run.offset_bytes, index * chunk_size) - index * chunk_size;
    const uint64_t to = std::min(run.offset_bytes + run.length_bytes, (index + 1) * chunk_size) -
                        index * chunk_size;
    const uint16_t mask =
        block_mask(static_cast<uint32_t>(from / block), static_cast<uint32_t>(to / block));
    const MapEntry before = entry;
    entry.data = static_cast<uint16_t>(entry.data | mask);
    entry.zero = static_cast<uint16_t>(entry.zero & ~mask);
    if (entry.pack() != before.pack()) pool_.mapping.change(layer, leaf, slot, entry);
  } else if (entry.data == 0 && !pool_.open_chunks.contains(entry.chunk)) {
    entry.chunk = 0;
    pool_.mapping.change(layer, leaf, slot, entry);
  }
}

void OwnerIo::write_run_done(RunOp& run) noexcept {
  IoState& state = *run.state;
  const int result = run.op.result;
  // The reservation becomes the records.
  pool_.committer.unreserve(run_record_bytes);
  const uint64_t last = (run.offset_bytes + run.length_bytes - 1) / chunk_size;
  for (uint64_t index = run.offset_bytes / chunk_size; index <= last; ++index) {
    settle_chunk(run, index, result == 0);
  }
  --run.leaves[0]->pins;
  if (run.leaves[1] != nullptr) --run.leaves[1]->pins;
  --pool_.runs_in_flight;
  --run.layer->runs_in_flight;
  --state.in_flight;
  if (result != 0 && state.io->status == BlockStatus::ok) state.io->status = write_status(result);
  PortContext& port = pool_.owner_port();
  const bool was_partial = run.bounce != nullptr;
  if (was_partial) {
    give_bounce(run.bounce);
    state.partial = false;
  }
  port.give_run(run);
  if (was_partial) {
    dispatch(state);
  } else if (state.in_flight == 0 && !state.waiting && !state.partial) {
    end(state);
  }
  port.resume_waiting();
  pool_.room_changed();
}

}  // namespace ashlar::store
