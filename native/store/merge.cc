#include "store/merge.h"

#include <bit>
#include <cerrno>

#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;

// Calls visit(first, count) for each run of bits.
template <class Visit>
void for_runs(uint32_t mask, Visit visit) {
  while (mask != 0) {
    const auto first = static_cast<uint32_t>(std::countr_zero(mask));
    const auto length = static_cast<uint32_t>(std::countr_one(mask >> first));
    visit(first, length);
    mask &= ~(((1u << length) - 1) << first);
  }
}

}  // namespace

bool Merge::possible(const Layer& layer) noexcept {
  const Layer* child = layer.only_child();
  if (child == nullptr || child->settling || child->merging()) return false;
  const Layer* parent = layer.parent.load(std::memory_order_relaxed);
  return parent == nullptr || !parent->merging();
}

bool Merge::blocked(const Layer& layer) noexcept {
  const Layer* child = layer.only_child();
  const Layer* parent = layer.parent.load(std::memory_order_relaxed);
  return (child != nullptr && child->merging() && child->stuck) ||
         (parent != nullptr && parent->merging() && parent->stuck);
}

uint64_t Merge::next_leaf(Layer& from, MissingPage& missing) const {
  const uint64_t own = from.map.next_present(from.reclaim_leaf, missing);
  if (missing) return UINT64_MAX;
  Layer* above = from.parent.load(std::memory_order_relaxed);
  if (above == nullptr) return own;
  // Where the child and the layer above both have something, the child's figures change sides.
  Layer& to = *from.only_child();
  uint64_t leaf = from.reclaim_leaf;
  while (leaf < own) {
    const uint64_t in_child = to.map.next_present(leaf, missing);
    if (missing) return UINT64_MAX;
    if (in_child >= own) return own;
    leaf = above->map.next_present(in_child, missing);
    if (missing) return UINT64_MAX;
    if (leaf == in_child) return leaf;
  }
  return own;
}

Merge::Step Merge::step(Layer& from, MissingPage& missing) {
  const uint64_t leaf = next_leaf(from, missing);
  if (missing) return Step::missing;
  if (leaf == UINT64_MAX) {
    if (copies_under_way_ > 0 || pool_.loader.loading(from.map)) return Step::waits;
    const bool nothing_left = from.nothing_left(missing);
    if (missing) return Step::missing;
    if (!nothing_left) {
      from.stuck = true;  // As in Reclaimer::clear().
      return Step::stuck;
    }
    pool_.remove_layer(from);
    return Step::done;
  }
  missing = pool_.mapping.missing_for_merge(from, leaf);
  if (missing) return Step::missing;
  // Besides the pages of one operation, the record of each child of the child may change.
  const auto pages = static_cast<int64_t>(2 * limits::pages_per_run +
                                          from.only_child()->children.size());
  if (pool_.available_pages() < limits::pages_floor_free + pages) {
    if (!pool_.ask_for_pages()) pool_.checkpointer.request();
    return Step::waits;
  }
  if (copy_leaf(from, leaf) > 0) return from.stuck ? Step::stuck : Step::waits;
  const PageFound source = from.map.find(leaf);
  if (source.state == PageFound::State::loaded && source.leaf->pins > 0) return Step::waits;
  const uint64_t record =
      pool_.committer.append({RecordKind::merge_leaf, from.slot, leaf, 0, {}});
  CHECK(pool_.mapping.apply_merge_leaf(from, leaf, record));
  return Step::went_on;
}

// ---- Copies -------------------------------------------------------------------------------------

bool Merge::copying(const Layer& layer, uint64_t index) const noexcept {
  if (copies_under_way_ == 0) return false;
  for (const Copy& copy : copies_) {
    if (copy.to == &layer && copy.index == index) return true;
  }
  return false;
}

uint32_t Merge::copy_leaf(Layer& from, uint64_t leaf_index) {
  const PageFound source = from.map.find(leaf_index);
  Layer& to = *from.only_child();
  const PageFound target = to.map.find(leaf_index);
  if (source.state != PageFound::State::loaded || target.state != PageFound::State::loaded) {
    return 0;
  }
  uint32_t needed = 0;
  for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
    const auto entry = [slot](const PageFound& found) {
      return MapEntry::unpack(found.leaf->words[slot].load(std::memory_order_relaxed));
    };
    if (!merge_entries(entry(source), entry(target), false).copies) continue;
    ++needed;
    if (copying(to, leaf_index * limits::words_per_page + slot)) continue;
    if (!begin_copy(from, to, *source.leaf, *target.leaf, slot)) break;
  }
  return needed;
}

bool Merge::begin_copy(Layer& from, Layer& to, PageNode& source, PageNode& target,
                       uint32_t slot) {
  if (from.stuck) return false;
  Copy* copy = nullptr;
  for (Copy& each : copies_) {
    if (each.from == nullptr) copy = &each;
  }
  if (copy == nullptr || !pool_.committer.has_room(sizeof(RecordHeader))) {
    pool_.committer.request();
    return false;
  }
  const auto old = MapEntry::unpack(source.words[slot].load(std::memory_order_relaxed));
  const auto present = MapEntry::unpack(target.words[slot].load(std::memory_order_relaxed));
  // A first write into the chunk may be about to fill one of these blocks: when it has ended.
  if (pool_.open_chunks.contains(present.chunk)) return true;
  if (copy->memory.size() == 0) copy->memory = AlignedBuffer(chunk_size);
  copy->from = &from;
  copy->to = &to;
  copy->index = source.index * limits::words_per_page + slot;
  copy->needed = merge_entries(old, present, false).needed;
  copy->from_chunk = old.chunk;
  copy->to_chunk = present.chunk;
  copy->leaves[0] = &source;
  copy->leaves[1] = &target;
  for (PageNode* leaf : copy->leaves) ++leaf->pins;
  copy->result = 0;
  ++copies_under_way_;
  ++pool_.runs_in_flight;
  pool_.committer.reserve(sizeof(RecordHeader));
  pool_.open_chunks.add(copy->to_chunk);
  uint32_t runs = 0;
  for_runs(copy->needed, [&](uint32_t, uint32_t) { ++runs; });
  copy->under_way = runs;
  for_runs(copy->needed, [&](uint32_t first, uint32_t length) {
    cold_read(pool_.device(), copy->from_chunk * chunk_size + first * block,
              copy->memory.span().subspan(first * block, length * block),
              [this, copy](int result) { read_done(*copy, result); });
  });
  return true;
}

void Merge::read_done(Copy& copy, int result) {
  if (result != 0) copy.result = result;
  if (--copy.under_way > 0) return;
  if (copy.result != 0 || pool_.failed()) return end_copy(copy);
  for_runs(copy.needed, [&](uint32_t, uint32_t) { ++copy.under_way; });
  for_runs(copy.needed, [&](uint32_t first, uint32_t length) {
    cold_write(pool_.device(), copy.to_chunk * chunk_size + first * block,
               copy.memory.span().subspan(first * block, length * block), false,
               [this, &copy](int written) { write_done(copy, written); });
  });
}

void Merge::write_done(Copy& copy, int result) {
  if (result != 0) copy.result = result;
  if (--copy.under_way == 0) end_copy(copy);
}

// The blocks are in place. What the figures need may have left memory meanwhile.
void Merge::end_copy(Copy& copy) {
  Layer& from = *copy.from;
  if (copy.result == 0 && !pool_.failed() && from.only_child() == copy.to) {
    const MissingPage missing =
        pool_.mapping.missing_for_merge(from, copy.index / limits::words_per_page);
    if (missing) {
      pool_.gather(&copy);
      pool_.loader.load(*missing.tree, missing.found, [this, &copy](const Status& status) {
        if (!status.ok()) copy.result = -EIO;
        end_copy(copy);
      });
      return;
    }
  }
  finish_copy(copy);
}

void Merge::finish_copy(Copy& copy) {
  Layer& from = *copy.from;
  pool_.committer.unreserve(sizeof(RecordHeader));
  pool_.open_chunks.remove(copy.to_chunk);
  if (copy.result != 0) {
    from.stuck = true;
  } else if (!pool_.failed() && from.only_child() == copy.to) {
    const uint64_t record = pool_.committer.append(
        {RecordKind::merge_chunk, from.slot, copy.index, copy.needed, {}});
    CHECK(pool_.mapping.apply_merge_chunk(from, copy.index, copy.needed, record));
    // Zeroes that came while the copy held the chunk open may have left it empty. Without the pages
    // at hand it stays taken until a write or zeroes come by again.
    const uint64_t leaf_index = copy.index / limits::words_per_page;
    const auto slot = static_cast<uint32_t>(copy.index % limits::words_per_page);
    MapEntry entry =
        MapEntry::unpack(copy.leaves[1]->words[slot].load(std::memory_order_relaxed));
    if (entry.chunk != 0 && entry.data == 0 && !pool_.open_chunks.contains(entry.chunk) &&
        !pool_.mapping.missing(*copy.to, leaf_index)) {
      entry.chunk = 0;
      pool_.mapping.change(*copy.to, pool_.mapping.leaf(*copy.to, leaf_index), slot, entry);
    }
  }
  for (PageNode* leaf : copy.leaves) --leaf->pins;
  --pool_.runs_in_flight;
  --copies_under_way_;
  copy.from = nullptr;
  copy.to = nullptr;
  pool_.gathered(&copy);
  IoQueue waiters = waiters_.take();
  while (IoState* state = waiters.pop()) state->resume(*state);
  pool_.reclaimer.kick();
  pool_.room_changed();
}

}  // namespace ashlar::store
