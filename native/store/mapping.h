// Mapping: every change of a layer's map in memory, with all that follows from it: which chunks are
// owned, and the figures that are known without a scan.
//
// The figures of a layer X:
// - mapped_blocks, allocated_chunks: what X itself holds.
// - visible_blocks: what a reader of X sees as data, its ancestors' included.
// - frees: how many chunks would come free if X's parent were merged into X: the sum of
//   merge_frees(parent's entry, X's entry) over all chunks. For a parent with one child that is what
//   deleting it gives back.
//
// While a deleted layer S is being merged into its only child C, the leaves below S.reclaim_leaf
// are C's alone, and there C's `frees` counts against S's parent; S.passed_frees is that part of it.
//
// A change of X's entry needs what its parent and its ancestors together hold there: the leaf's
// facts, made from the parent's leaf and the parent's view and kept beside the leaf in memory.
#pragma once

#include <cstdint>

#include "store/layers.h"
#include "store/page_tree.h"
#include "store/views.h"

namespace ashlar::store {

class PoolImpl;

// Chunks that come free when a parent's entry is merged into its child's: the parent's chunk, unless
// it just moves. A chunk that holds nothing yet (its first write is under way, or was when the pool
// crashed) is not counted, though it is freed: so an empty child counts nothing.
constexpr uint32_t merge_frees(MapEntry parent, MapEntry child) noexcept {
  if (parent.chunk == 0) return 0;
  return child.chunk != 0 || (parent.data != 0 && (parent.data & ~child.zero) == 0) ? 1 : 0;
}

// What merging a parent's entry into its child's gives.
struct MergedEntry {
  MapEntry entry;
  uint16_t needed = 0;  // Blocks that the child still reads from the parent's chunk...
  bool copies = false;  // ...and that have to be copied, as both have a chunk.
  bool frees = false;   // The parent's chunk is not needed any more.
};
// `is_root`: nothing lies above the parent, so that blocks of zeroes need no bit.
MergedEntry merge_entries(MapEntry parent, MapEntry child, bool is_root) noexcept;

class Mapping {
 public:
  explicit Mapping(PoolImpl& pool) : pool_(pool) {}

  // What has to be read before entries of this leaf may be changed.
  MissingPage missing(Layer& layer, uint64_t leaf_index);
  // The leaf with its facts, made where absent; nothing may be missing.
  PageNode& leaf(Layer& layer, uint64_t leaf_index);
  // The leaf of a layer without children when nothing is missing and nothing has to be made.
  static PageNode* at_hand(const Layer& layer, uint64_t leaf_index) noexcept {
    if (!layer.children.empty()) return nullptr;
    const PageFound found = layer.map.find(leaf_index);
    if (found.state != PageFound::State::loaded || !ready(layer, *found.leaf)) return nullptr;
    return found.leaf;
  }
  // A leaf at hand that may be changed as it is.
  static bool ready(const Layer& layer, const PageNode& leaf) noexcept {
    return leaf.facts != nullptr || layer.parent.load(std::memory_order_relaxed) == nullptr;
  }

  // Entry, bitmap and figures. `record`: the number of the record that says so, for the quarantine
  // of what is freed; 0: replay. False: the journal contradicts the image (replay only).
  [[nodiscard]] bool apply(Layer& layer, PageNode& leaf, uint32_t slot, MapEntry entry,
                           uint64_t record);
  // The same at run time, with the record.
  void change(Layer& layer, PageNode& leaf, uint32_t slot, MapEntry entry);
  // Every entry of the leaf becomes 0 and it leaves the map. Only where no ancestor shows through
  // and no child reads: layers without parent and children.
  void apply_clear_leaf(Layer& layer, PageNode& leaf, uint64_t record);
  void clear_leaf(Layer& layer, PageNode& leaf);

  // Merging (merge.cc decides when): one chunk of which `copied` blocks have been copied, or the
  // whole leaf, of which nothing has to be copied any more; then the cursor moves behind it.
  MissingPage missing_for_merge(Layer& from, uint64_t leaf_index);
  [[nodiscard]] bool apply_merge_chunk(Layer& from, uint64_t index, uint16_t copied,
                                       uint64_t record);
  [[nodiscard]] bool apply_merge_leaf(Layer& from, uint64_t leaf_index, uint64_t record);

  void set_reserved(Layer& layer, uint64_t chunks);
  void begin_delete(Layer& layer);
  uint64_t reserved_left() const noexcept { return reserved_left_; }
  uint64_t layer_chunks() const noexcept { return layer_chunks_; }
  void count_loaded(const Layer& layer);  // At open, once for each.
  // A freeze that ended, or began: while one is on, no page may leave memory.
  uint32_t settling_layers = 0;

 private:
  static Layer* effective_parent(const Layer& layer, uint64_t leaf_index) noexcept;
  void refresh(LeafFacts& facts, Layer& layer, uint64_t leaf_index);
  void add_frees(Layer& layer, uint64_t leaf_index, int64_t delta);
  void tell_children(Layer& layer, uint64_t leaf_index, uint32_t slot, MapEntry old, MapEntry now,
                     uint16_t old_visible, uint16_t now_visible);
  bool merge_entry(Layer& from, PageNode& from_leaf, PageNode& to_leaf, uint32_t slot,
                   uint16_t copied, uint64_t record);
  void allocated(Layer& layer, int64_t chunks);
  void release(uint32_t chunk, uint64_t record);
  void drop_views_under(Layer& layer, uint64_t leaf_index);

  PoolImpl& pool_;
  uint64_t reserved_left_ = 0;  // Chunks promised and not yet allocated, all layers together.
  uint64_t layer_chunks_ = 0;   // Owned by layers.
  // The layers below one whose views a merge may have to drop, known for one version of the table.
  Layer* family_of_ = nullptr;
  uint64_t family_version_ = 0;
  std::vector<Layer*> family_;
};

}  // namespace ashlar::store
