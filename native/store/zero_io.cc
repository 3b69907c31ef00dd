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
  uint32_t turn = 0;
  while (state.cursor < state.end() && state.io->status == BlockStatus::ok) {
    Layer& layer = state.volume->top();
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
    const uint64_t leaf_end = (state.cursor / leaf_bytes + 1) * leaf_bytes;
    const bool whole = state.cursor % leaf_bytes == 0 && (whole_end >= leaf_end || to_end);
    switch (zero_leaf(state, index / limits::words_per_page, whole)) {
      case Leaf::waits:
        return;
      case Leaf::done:
        state.cursor = std::min(leaf_end, whole_end);
        continue;
      case Leaf::parts:
        break;
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

// What needs no look at single chunks: a leaf that shows nothing, and a whole one that nothing lies
// under.
OwnerIo::Leaf OwnerIo::zero_leaf(IoState& state, uint64_t leaf_index, bool whole) noexcept {
  Layer& layer = state.volume->top();
  const PageFound found = layer.map.find(leaf_index);
  if (found.state == PageFound::State::unloaded) {
    wait_for(state, {&layer.map, found});
    return Leaf::waits;
  }
  Layer* parent = layer.parent.load(std::memory_order_relaxed);
  if (parent != nullptr) {
    if (found.state == PageFound::State::loaded) return Leaf::parts;
    MissingPage missing;
    const View* view = pool_.views.get(*parent, leaf_index, missing);
    if (view == nullptr) {
      wait_for(state, missing);
      return Leaf::waits;
    }
    return pool_.views.is_empty(view) ? Leaf::done : Leaf::parts;
  }
  if (found.state == PageFound::State::absent) return Leaf::done;
  if (!whole || found.leaf->pins > 0 || pool_.pages.frozen_pending() ||
      pool_.allocator.quarantined() + pool_.discarder.pending() > limits::max_quarantine) {
    return Leaf::parts;
  }
  if (pool_.room(false, sizeof(RecordHeader)) != Room::now) {
    state.waiting = true;
    pool_.wait_for_room(state);
    return Leaf::waits;
  }
  pool_.mapping.clear_leaf(layer, *found.leaf);
  return Leaf::done;
}

bool OwnerIo::zero_in_chunk(IoState& state, uint64_t index, uint32_t first, uint32_t end) noexcept {
  Layer& layer = state.volume->top();
  const uint64_t leaf_index = index / limits::words_per_page;
  const uint16_t mask = block_mask(first, end);
  if (const MissingPage missing = pool_.mapping.missing(layer, leaf_index); missing) {
    wait_for(state, missing);
    return false;
  }
  pool_.has_gathered(&state);
  const PageFound found = layer.map.find(leaf_index);
  const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
  MapEntry entry;
  if (found.state == PageFound::State::loaded) {
    entry = MapEntry::unpack(found.leaf->words[slot].load(std::memory_order_relaxed));
  }
  // Blocks that would show an ancestor's data get a zero bit; the others need none.
  uint16_t below = 0;
  if (Layer* parent = layer.parent.load(std::memory_order_relaxed); parent != nullptr) {
    if (found.state == PageFound::State::loaded && found.leaf->facts != nullptr) {
      below = found.leaf->facts->slots[slot].below;
    } else {
      MissingPage none;
      below = pool_.views.get(*parent, leaf_index, none)->data(slot);
    }
  }
  MapEntry next = entry;
  next.data = static_cast<uint16_t>(entry.data & ~mask);
  next.zero = static_cast<uint16_t>((entry.zero & ~mask) | (below & mask));
  if (next.data == 0 && next.chunk != 0 && !pool_.open_chunks.contains(next.chunk)) next.chunk = 0;
  if (next.pack() == entry.pack()) return true;
  if (pool_.room(false, sizeof(RecordHeader)) != Room::now) {
    // Frees always get their room in the end: a commit or a checkpoint makes it.
    state.waiting = true;
    pool_.wait_for_room(state);
    return false;
  }
  pool_.mapping.change(layer, pool_.mapping.leaf(layer, leaf_index), slot, next);
  return true;
}

}  // namespace ashlar::store
