// Write Zeroes and deallocation: mapping changes only, except for parts of a 4 KiB block.
#include <algorithm>

#include "base/bytes.h"
#include "store/owner_io.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {
constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;
constexpr uint64_t leaf_bytes = uint64_t{limits::words_per_page} * chunk_size;
}  // namespace

void OwnerIo::advance_zero(IoState& state) noexcept {
  Layer& layer = state.volume->layer_object();
  uint32_t turn = 0;
  while (state.cursor < state.end() && state.io->status == BlockStatus::ok) {
    // A last part of a block at the volume's end is whole: nothing of it lies beyond.
    const bool to_end = state.end() == layer.size_bytes;
    const uint64_t whole_end = to_end ? state.end() : round_down(state.end(), block);
    if (!is_multiple(state.cursor, block) || state.cursor >= whole_end) {
      partial_block(state);
      if (state.waiting || state.partial) return;
      continue;
    }
    if (++turn > limits::chunks_per_turn) {
      // The rest in the next turn, so that others get theirs.
      state.waiting = true;
      state.task.run = [](Task& task) noexcept {
        IoState& again = io_state(task);
        again.resume(again);
      };
      pool_.loop().defer(state.task);
      return;
    }
    const uint64_t index = state.cursor / chunk_size;
    if (layer.parent.load(std::memory_order_relaxed) == nullptr) {
      const PageFound found = layer.map.find(index / limits::words_per_page);
      const uint64_t leaf_end = (state.cursor / leaf_bytes + 1) * leaf_bytes;
      if (found.state == PageFound::State::absent) {
        state.cursor = std::min(leaf_end, whole_end);
        continue;
      }
      if (state.cursor % leaf_bytes == 0 &&
          (whole_end >= leaf_end || to_end) &&
          clear_whole_leaf(state, index / limits::words_per_page)) {
        if (state.waiting) return;
        state.cursor = std::min(leaf_end, whole_end);
        continue;
      }
    }
    const auto first = static_cast<uint32_t>(state.cursor % chunk_size / block);
    const uint64_t end = std::min(whole_end, (index + 1) * chunk_size);
    const auto end_block = static_cast<uint32_t>((end - index * chunk_size + block - 1) / block);
    if (!zero_in_chunk(state, index, first, end_block)) {
      if (state.waiting) return;
      continue;
    }
    state.cursor = end;
  }
  if (state.in_flight == 0) end(state);
}

// True: done, or the command waits. False: not possible now, go chunk by chunk.
bool OwnerIo::clear_whole_leaf(IoState& state, uint64_t leaf_index) noexcept {
  Layer& layer = state.volume->layer_object();
  const PageFound found = layer.map.find(leaf_index);
  if (found.state == PageFound::State::unloaded) {
    state.waiting = true;
    pool_.loader.load(layer.map, found, state);
    return true;
  }
  if (found.leaf->pins > 0 || pool_.pages.frozen_pending() ||
      pool_.allocator.quarantined() + pool_.discarder.pending() > limits::max_quarantine) {
    return false;
  }
  switch (pool_.room(false, sizeof(RecordHeader))) {
    case Room::none:
    case Room::wait:
      state.waiting = true;
      pool_.wait_for_room(state);
      return true;
    case Room::now:
      break;
  }
  pool_.clear_leaf(layer, *found.leaf);
  return true;
}

bool OwnerIo::zero_in_chunk(IoState& state, uint64_t index, uint32_t first, uint32_t end) noexcept {
  Layer& layer = state.volume->layer_object();
  const uint16_t mask = block_mask(first, end);
  const PageFound found = layer.map.find(index / limits::words_per_page);
  if (found.state == PageFound::State::unloaded) {
    state.waiting = true;
    pool_.loader.load(layer.map, found, state);
    return false;
  }
  const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
  MapEntry entry;
  if (found.state == PageFound::State::loaded) {
    entry = MapEntry::unpack(found.leaf->words[slot].load(std::memory_order_relaxed));
  }
  // Blocks that would show an ancestor's data get a zero bit; the others need none.
  uint16_t below = 0;
  if (Layer* parent = layer.parent.load(std::memory_order_relaxed); parent != nullptr) {
    ChunkView view;
    view_chunk(*parent, index, mask, view);
    if (view.state == ChunkView::State::unloaded) {
      state.waiting = true;
      pool_.loader.load(view.layer->map, view.found, state);
      return false;
    }
    for (uint32_t i = first; i < end; ++i) {
      if (view.device_block[i] != 0) below = static_cast<uint16_t>(below | 1u << i);
    }
  }
  MapEntry next = entry;
  next.data = static_cast<uint16_t>(entry.data & ~mask);
  next.zero = static_cast<uint16_t>((entry.zero & ~mask) | below);
  if (next.data == 0 && next.chunk != 0 && !pool_.open_chunks.contains(next.chunk)) next.chunk = 0;
  if (next.pack() == entry.pack()) return true;
  if (pool_.room(false, sizeof(RecordHeader)) != Room::now) {
    // Frees always get their room in the end: a commit or a checkpoint makes it.
    state.waiting = true;
    pool_.wait_for_room(state);
    return false;
  }
  PageNode& leaf = layer.map.ensure_leaf(index / limits::words_per_page);
  pool_.change_entry(layer, leaf, slot, next);
  return true;
}

}  // namespace ashlar::store
