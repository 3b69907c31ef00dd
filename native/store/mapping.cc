#include "store/mapping.h"

#include <bit>

#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

int64_t count(uint16_t mask) noexcept { return std::popcount(mask); }

MapEntry entry_at(const PageNode& leaf, uint32_t slot) noexcept {
  return MapEntry::unpack(leaf.words[slot].load(std::memory_order_relaxed));
}

// Blocks that show data, where `below` is what the ancestors show.
uint16_t visible(MapEntry entry, uint16_t below) noexcept {
  return static_cast<uint16_t>(entry.data | (below & ~entry.zero));
}

}  // namespace

MergedEntry merge_entries(MapEntry parent, MapEntry child, bool is_root) noexcept {
  const auto covered = static_cast<uint16_t>(child.data | child.zero);
  MergedEntry merged;
  merged.needed = static_cast<uint16_t>(parent.data & ~covered);
  merged.copies = merged.needed != 0 && child.chunk != 0;
  merged.frees = parent.chunk != 0 && (merged.copies || merged.needed == 0);
  const bool moves = merged.needed != 0 && child.chunk == 0;
  merged.entry.chunk = moves ? parent.chunk : child.chunk;
  merged.entry.data = static_cast<uint16_t>(child.data | merged.needed);
  merged.entry.zero =
      is_root ? uint16_t{0} : static_cast<uint16_t>(child.zero | (parent.zero & ~covered));
  return merged;
}

// ---- What a change needs ------------------------------------------------------------------------

Layer* Mapping::effective_parent(const Layer& layer, uint64_t leaf_index) noexcept {
  Layer* parent = layer.parent.load(std::memory_order_relaxed);
  if (parent != nullptr && parent->reclaim_leaf > leaf_index) {
    parent = parent->parent.load(std::memory_order_relaxed);
  }
  return parent;
}

MissingPage Mapping::missing(Layer& layer, uint64_t leaf_index) {
  const PageFound found = layer.map.find(leaf_index);
  if (found.state == PageFound::State::unloaded) return {&layer.map, found};
  for (Layer* child : layer.children) {
    const PageFound below = child->map.find(leaf_index);
    if (below.state == PageFound::State::unloaded) return {&child->map, below};
  }
  Layer* parent = layer.parent.load(std::memory_order_relaxed);
  const bool has_facts =
      found.state == PageFound::State::loaded && found.leaf->facts != nullptr;
  if (parent == nullptr || has_facts) return {};
  MissingPage page;
  if (Layer* effective = effective_parent(layer, leaf_index); effective != nullptr) {
    const PageFound above = effective->map.find(leaf_index);
    if (above.state == PageFound::State::unloaded) return {&effective->map, above};
  }
  pool_.views.get(*parent, leaf_index, page);
  return page;
}

void Mapping::refresh(LeafFacts& facts, Layer& layer, uint64_t leaf_index) {
  facts = LeafFacts{};
  MissingPage missing;
  Layer* parent = layer.parent.load(std::memory_order_relaxed);
  const View* view = pool_.views.get(*parent, leaf_index, missing);
  CHECK(view != nullptr);
  for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
    facts.slots[slot].below = view->data(slot);
  }
  const Layer* effective = effective_parent(layer, leaf_index);
  if (effective == nullptr) return;
  const PageFound found = effective->map.find(leaf_index);
  CHECK(found.state != PageFound::State::unloaded);
  if (found.state == PageFound::State::absent) return;
  for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
    facts.set_parent(slot, entry_at(*found.leaf, slot));
  }
}

PageNode& Mapping::leaf(Layer& layer, uint64_t leaf_index) {
  PageNode& leaf = layer.map.ensure_leaf(leaf_index);
  if (!ready(layer, leaf)) {
    leaf.facts = std::make_unique<LeafFacts>();
    refresh(*leaf.facts, layer, leaf_index);
  }
  return leaf;
}

// ---- Changes ------------------------------------------------------------------------------------

void Mapping::allocated(Layer& layer, int64_t chunks) {
  reserved_left_ -= layer.reservation_left();
  layer.allocated_chunks += static_cast<uint64_t>(chunks);
  reserved_left_ += layer.reservation_left();
  layer_chunks_ += static_cast<uint64_t>(chunks);
}

void Mapping::release(uint32_t chunk, uint64_t record) {
  if (record == 0) {
    pool_.allocator.release_unseen(chunk);
  } else {
    pool_.allocator.release(chunk, record);
  }
}

void Mapping::add_frees(Layer& layer, uint64_t leaf_index, int64_t delta) {
  if (delta == 0) return;
  layer.frees += static_cast<uint64_t>(delta);
  pool_.layers.touch(layer);
  Layer* parent = layer.parent.load(std::memory_order_relaxed);
  if (parent != nullptr && parent->reclaim_leaf > leaf_index) {
    parent->passed_frees += static_cast<uint64_t>(delta);
    pool_.layers.touch(*parent);
  }
}

// The layer's entry changes under its children: by a write that landed after a snapshot, or by a
// merge.
void Mapping::tell_children(Layer& layer, uint64_t leaf_index, uint32_t slot, MapEntry old,
                            MapEntry now, uint16_t old_visible, uint16_t now_visible) {
  for (Layer* child : layer.children) {
    const PageFound found = child->map.find(leaf_index);
    CHECK(found.state != PageFound::State::unloaded);
    MapEntry entry;
    if (found.state == PageFound::State::loaded) entry = entry_at(*found.leaf, slot);
    if (layer.reclaim_leaf <= leaf_index) {
      const int64_t delta = static_cast<int64_t>(merge_frees(now, entry)) -
                            static_cast<int64_t>(merge_frees(old, entry));
      add_frees(*child, leaf_index, delta);
    }
    const auto covered = static_cast<uint16_t>(entry.data | entry.zero);
    const int64_t seen = count(static_cast<uint16_t>(now_visible & ~covered)) -
                         count(static_cast<uint16_t>(old_visible & ~covered));
    if (seen != 0) {
      child->visible_blocks += static_cast<uint64_t>(seen);
      pool_.layers.touch(*child);
    }
    if (found.state == PageFound::State::loaded && found.leaf->facts != nullptr) {
      LeafFacts& facts = *found.leaf->facts;
      uint16_t& below = facts.slots[slot].below;
      below = static_cast<uint16_t>((below & ~old_visible) | now_visible);
      if (layer.reclaim_leaf <= leaf_index) facts.set_parent(slot, now);
    }
  }
}

bool Mapping::apply(Layer& layer, PageNode& leaf, uint32_t slot, MapEntry entry,
                    uint64_t record) {
  const MapEntry old = entry_at(leaf, slot);
  if (!entry.valid()) return false;
  if (record == 0 && entry.chunk != 0 && entry.chunk != old.chunk &&
      !pool_.allocator.claim(entry.chunk)) {
    return false;
  }
  CHECK(ready(layer, leaf));
  uint16_t below = 0;
  if (leaf.facts != nullptr && layer.parent.load(std::memory_order_relaxed) != nullptr) {
    below = leaf.facts->slots[slot].below;
    const MapEntry parent = leaf.facts->parent(slot);
    add_frees(layer, leaf.index,
              static_cast<int64_t>(merge_frees(parent, entry)) -
                  static_cast<int64_t>(merge_frees(parent, old)));
  }
  const uint16_t old_visible = visible(old, below);
  const uint16_t now_visible = visible(entry, below);
  layer.visible_blocks += static_cast<uint64_t>(count(now_visible) - count(old_visible));
  layer.mapped_blocks += static_cast<uint64_t>(count(entry.data) - count(old.data));
  allocated(layer, (entry.chunk != 0 ? 1 : 0) - (old.chunk != 0 ? 1 : 0));
  // A frozen layer's view goes before its entry changes: who reads the new entry misses the view.
  if (layer.state != LayerState::live) pool_.views.drop(layer, leaf.index);
  pool_.pages.store(leaf, slot, entry.pack());
  pool_.layers.touch(layer);
  if (!layer.children.empty()) {
    tell_children(layer, leaf.index, slot, old, entry, old_visible, now_visible);
  }
  if (old.chunk != 0 && old.chunk != entry.chunk) release(old.chunk, record);
  return true;
}

void Mapping::change(Layer& layer, PageNode& leaf, uint32_t slot, MapEntry entry) {
  const uint64_t index = leaf.index * limits::words_per_page + slot;
  const uint64_t record =
      pool_.committer.append({RecordKind::map_entry, layer.slot, index, entry.pack(), {}});
  CHECK(apply(layer, leaf, slot, entry, record));
}

void Mapping::apply_clear_leaf(Layer& layer, PageNode& leaf, uint64_t record) {
  for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
    const MapEntry old = entry_at(leaf, slot);
    if (old.chunk == 0) continue;
    layer.mapped_blocks -= static_cast<uint64_t>(count(old.data));
    layer.visible_blocks -= static_cast<uint64_t>(count(old.data));
    allocated(layer, -1);
    release(old.chunk, record);
  }
  pool_.layers.touch(layer);
  layer.map.detach_leaf(leaf);
}

void Mapping::clear_leaf(Layer& layer, PageNode& leaf) {
  const uint64_t record =
      pool_.committer.append({RecordKind::clear_leaf, layer.slot, leaf.index, 0, {}});
  apply_clear_leaf(layer, leaf, record);
}

// ---- Merging ------------------------------------------------------------------------------------

MissingPage Mapping::missing_for_merge(Layer& from, uint64_t leaf_index) {
  const PageFound source = from.map.find(leaf_index);
  if (source.state == PageFound::State::unloaded) return {&from.map, source};
  Layer& to = *from.only_child();
  const PageFound target = to.map.find(leaf_index);
  if (target.state == PageFound::State::unloaded) return {&to.map, target};
  for (Layer* child : to.children) {
    const PageFound below = child->map.find(leaf_index);
    if (below.state == PageFound::State::unloaded) return {&child->map, below};
  }
  Layer* above = from.parent.load(std::memory_order_relaxed);
  if (above == nullptr) return {};
  const PageFound found = above->map.find(leaf_index);
  if (found.state == PageFound::State::unloaded) return {&above->map, found};
  // The child's facts are made again from what is above both.
  MissingPage page;
  if (target.state == PageFound::State::loaded && target.leaf->facts != nullptr) {
    pool_.views.get(*above, leaf_index, page);
  }
  return page;
}

void Mapping::drop_views_under(Layer& layer, uint64_t leaf_index) {
  if (family_of_ != &layer || family_version_ != pool_.layers.version()) {
    family_ = {&layer};
    for (size_t i = 0; i < family_.size(); ++i) {
      family_.insert(family_.end(), family_[i]->children.begin(), family_[i]->children.end());
    }
    family_of_ = &layer;
    family_version_ = pool_.layers.version();
  }
  for (Layer* each : family_) pool_.views.drop(*each, leaf_index);
}

// One entry of `from` goes into its child's; the child's figures count against `from` still.
bool Mapping::merge_entry(Layer& from, PageNode& from_leaf, PageNode& to_leaf, uint32_t slot,
                          uint16_t copied, uint64_t record) {
  const MapEntry source = entry_at(from_leaf, slot);
  if (source.pack() == 0) return true;
  Layer& to = *from.only_child();
  const MapEntry old = entry_at(to_leaf, slot);
  Layer* above = from.parent.load(std::memory_order_relaxed);
  const MergedEntry merged = merge_entries(source, old, above == nullptr);
  if (merged.copies && (merged.needed & ~copied) != 0) return false;
  if (merged.copies) drop_views_under(to, from_leaf.index);
  // The child's side: what it holds, and what its own children count against it.
  to.mapped_blocks += static_cast<uint64_t>(count(merged.needed));
  const bool moves = merged.entry.chunk != old.chunk;
  if (moves) allocated(to, 1);
  add_frees(to, from_leaf.index, -static_cast<int64_t>(merge_frees(source, old)));
  if (merged.entry.pack() != old.pack()) {
    pool_.pages.store(to_leaf, slot, merged.entry.pack());
    tell_children(to, to_leaf.index, slot, old, merged.entry, 0, 0);
  }
  pool_.layers.touch(to);
  // The deleted layer's side.
  if (above != nullptr) {
    const PageFound found = above->map.find(from_leaf.index);
    CHECK(found.state != PageFound::State::unloaded);
    MapEntry parent;
    if (found.state == PageFound::State::loaded) parent = entry_at(*found.leaf, slot);
    add_frees(from, from_leaf.index, -static_cast<int64_t>(merge_frees(parent, source)));
  }
  from.mapped_blocks -= static_cast<uint64_t>(count(source.data));
  if (source.chunk != 0) allocated(from, -1);
  pool_.pages.store(from_leaf, slot, 0);
  pool_.layers.touch(from);
  if (merged.frees) release(source.chunk, record);
  return true;
}

bool Mapping::apply_merge_chunk(Layer& from, uint64_t index, uint16_t copied, uint64_t record) {
  const uint64_t leaf_index = index / limits::words_per_page;
  const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
  Layer* to = from.only_child();
  if (to == nullptr || from.reclaim_leaf > leaf_index) return false;
  const PageFound source = from.map.find(leaf_index);
  const PageFound target = to->map.find(leaf_index);
  if (source.state != PageFound::State::loaded || target.state != PageFound::State::loaded) {
    return false;
  }
  pool_.views.drop(from, leaf_index);
  if (!merge_entry(from, *source.leaf, *target.leaf, slot, copied, record)) return false;
  if (target.leaf->facts != nullptr) refresh(*target.leaf->facts, *to, leaf_index);
  return true;
}

bool Mapping::apply_merge_leaf(Layer& from, uint64_t leaf_index, uint64_t record) {
  Layer* to = from.only_child();
  if (to == nullptr || from.reclaim_leaf > leaf_index) return false;
  const PageFound source = from.map.find(leaf_index);
  PageFound target = to->map.find(leaf_index);
  // Its view goes first: who sees an entry of the child that has changed cannot find the old view,
  // and who sees the old entry together with a new view looks again.
  pool_.views.drop(from, leaf_index);
  if (source.state == PageFound::State::loaded) {
    PageNode& to_leaf = to->map.ensure_leaf(leaf_index);
    for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
      if (!merge_entry(from, *source.leaf, to_leaf, slot, 0, record)) return false;
    }
    from.map.detach_leaf(*source.leaf);
    target = to->map.find(leaf_index);
  }
  // The cursor passes: from here on the child's leaf counts against what is above both.
  from.reclaim_leaf = leaf_index + 1;
  pool_.layers.touch(from);
  if (target.state != PageFound::State::loaded) return true;
  if (Layer* above = from.parent.load(std::memory_order_relaxed); above != nullptr) {
    const PageFound found = above->map.find(leaf_index);
    int64_t frees = 0;
    for (uint32_t slot = 0; found.state == PageFound::State::loaded &&
                            slot < limits::words_per_page; ++slot) {
      frees += merge_frees(entry_at(*found.leaf, slot), entry_at(*target.leaf, slot));
    }
    add_frees(*to, leaf_index, frees);
  }
  if (target.leaf->facts != nullptr) refresh(*target.leaf->facts, *to, leaf_index);
  return true;
}

// ---- Reservations, deletion, opening ------------------------------------------------------------

void Mapping::set_reserved(Layer& layer, uint64_t chunks) {
  reserved_left_ -= layer.reservation_left();
  layer.reserved_chunks = chunks;
  reserved_left_ += layer.reservation_left();
  pool_.layers.touch(layer);
}

void Mapping::begin_delete(Layer& layer) {
  set_reserved(layer, 0);
  pool_.layers.begin_delete(layer);
}

void Mapping::count_loaded(const Layer& layer) {
  reserved_left_ += layer.reservation_left();
  layer_chunks_ += layer.allocated_chunks;
}

}  // namespace ashlar::store
