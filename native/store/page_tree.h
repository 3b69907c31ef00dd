// PageTree: a radix tree of 504-word pages, in memory as far as it was needed, on the device whole.
//
// Every structure of the pool is one: the bitmap, the space map, the layer table, the catalog and
// each layer's map. A word of an interior page is 0 (no child), odd (a PageRef: on the device) or
// the address of a loaded child; so lookups run on any reactor with acquire loads alone. All
// changes are made by the owner. A loaded page leaves memory only by eviction or detachment, after
// which readers may hold it for two more epochs.
//
// Checkpoints are copy-on-write twice over: on the device a changed page goes to a new place, and
// in memory a leaf that changes while its frozen image is still to be written is copied first.
// Interior pages need no copy: what they say is where their children's newest images lie, and a
// child made after the freeze has none.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/list.h"
#include "base/slab.h"
#include "store/epochs.h"
#include "store/format.h"

namespace ashlar::store {

class PageTree;
class Pages;

// Beside a map leaf of a layer that has a parent, while its entries change: what lies under them
// (mapping.h).
struct LeafFacts : FromSlab<LeafFacts> {
  struct Slot {
    uint16_t below = 0;  // Blocks that the ancestors together show as data.
    uint16_t parent_data = 0;
  };
  Slot slots[limits::words_per_page] = {};
  uint64_t parent_chunk[(limits::words_per_page + 63) / 64] = {};  // Bit set: it has a chunk.

  // The parent's entry, as far as merge_frees() looks at it.
  MapEntry parent(uint32_t slot) const noexcept {
    return {static_cast<uint32_t>(parent_chunk[slot / 64] >> (slot % 64) & 1),
            slots[slot].parent_data, 0};
  }
  void set_parent(uint32_t slot, MapEntry entry) noexcept {
    slots[slot].parent_data = entry.data;
    const uint64_t bit = 1ull << (slot % 64);
    parent_chunk[slot / 64] &= ~bit;
    if (entry.chunk != 0) parent_chunk[slot / 64] |= bit;
  }
};

struct FrozenWords : FromSlab<FrozenWords> {
  uint64_t words[limits::words_per_page];
};

struct PageNode : ListNode, FromSlab<PageNode> {
  alignas(64) std::atomic<uint64_t> words[limits::words_per_page] = {};
  PageTree* tree = nullptr;
  PageNode* parent = nullptr;
  uint64_t index = 0;
  uint8_t level = 0;
  bool dirty = false;                  // Changed since the newest freeze.
  bool freezing = false;               // Part of the image being written, not yet sealed.
  std::atomic<bool> recent{true};      // Looked up since the eviction hand came by.
  uint32_t loaded_children = 0;
  uint32_t pins = 0;                   // First writes in flight: neither evicted nor detached.
  size_t dirty_position = 0;           // In Pages::dirty_, while dirty.
  PageRef disk;                        // Its newest image; none: never written.
  uint64_t assigned = 0;               // Page number in the image being written.
  std::unique_ptr<FrozenWords> frozen;  // As they were at the freeze.
  std::unique_ptr<LeafFacts> facts;

  // The word of the parent (or the root word) that leads here.
  uint32_t slot() const noexcept {
    return static_cast<uint32_t>(index % limits::words_per_page);
  }
};

// Where a walk ended.
struct PageFound {
  enum class State : uint8_t { absent, loaded, unloaded };
  State state = State::absent;
  PageNode* leaf = nullptr;    // loaded
  uint64_t next_leaf = 0;      // absent: every leaf before this one is absent too.
  // unloaded: what has to be read to get further. `parent` null: the root, whose level is
  // PageTree::root_level() (`level` is not set: other threads must not read it).
  PageNode* parent = nullptr;
  uint8_t level = 0;
  uint64_t index = 0;
  PageRef ref;
};

// A page that has to be read before the owner can go on; `tree` null: none.
struct MissingPage {
  PageTree* tree = nullptr;
  PageFound found;
  explicit operator bool() const noexcept { return tree != nullptr; }
};

class PageTree {
 public:
  PageTree(Pages& pages, TreeKind kind, uint64_t id) : pages_(pages), kind_(kind), id_(id) {}
  ~PageTree();
  PageTree(const PageTree&) = delete;
  PageTree& operator=(const PageTree&) = delete;

  TreeKind kind() const noexcept { return kind_; }
  uint64_t id() const noexcept { return id_; }
  bool empty() const noexcept { return root_.load(std::memory_order_acquire) == 0; }

  // Any thread.
  PageFound find(uint64_t leaf_index) const noexcept;

  // The owner's thread from here on.
  void set_root(PageRef ref, uint8_t level) noexcept;  // At open: an unloaded tree.
  PageNode* root() const noexcept;                     // Null when empty or unloaded.
  // The page of that level and index, null unless it is in memory.
  PageNode* loaded_node(uint8_t level, uint64_t index) const noexcept;
  PageRef root_disk() const noexcept;                  // Of the newest image.
  uint8_t root_level() const noexcept { return root_level_; }
  // Links a page read from the device under what find() reported.
  PageNode& install(const PageFound& found, std::unique_ptr<PageNode> node);
  // The leaf, made with its path where absent. CHECKs that nothing on the way is unloaded.
  PageNode& ensure_leaf(uint64_t leaf_index);
  // The first leaf at or after `leaf_index`, in memory or not; UINT64_MAX: none, or an interior page
  // has to be read first to know.
  uint64_t next_present(uint64_t leaf_index, MissingPage& missing) noexcept;
  // For trees that are wholly loaded: the word, 0 where there is no page.
  uint64_t get(uint64_t index) const noexcept;
  void set(uint64_t index, uint64_t value);
  // Takes a leaf out of the tree, with the interior pages that lead to nothing else.
  void detach_leaf(PageNode& leaf);
  // Drops every page, loaded or not; interior pages must be loaded. The tree is empty then.
  void detach_all();

  // A dirty root makes this leaf of the layer table dirty too: the record that names the root.
  PageNode* record_leaf = nullptr;

  // 504^level: the leaves under one page of that level.
  static constexpr uint64_t leaves_under(uint32_t level) noexcept {
    uint64_t leaves = 1;
    for (uint32_t i = 0; i < level; ++i) leaves *= limits::words_per_page;
    return leaves;
  }
  // The page that many levels above a page; no division, as the compiler knows the divisor.
  static constexpr uint64_t page_above(uint64_t index, uint32_t levels) noexcept {
    for (; levels > 0; --levels) index /= limits::words_per_page;
    return index;
  }

 private:
  friend class Pages;
  PageNode& add_node(PageNode* parent, uint8_t level, uint64_t index);
  void set_link(PageNode* parent, uint64_t index, uint64_t word) noexcept;
  void detach_under(PageNode& node);

  Pages& pages_;
  const TreeKind kind_;
  const uint64_t id_;
  std::atomic<uint64_t> root_{0};
  uint8_t root_level_ = 0;
};

// All pages in memory: what is dirty, what may be evicted, what was retired.
class Pages {
 public:
  Pages(Epochs& epochs, uint64_t cache_bytes)
      : epochs_(epochs), cache_pages_(cache_bytes / sizeof(PageNode)) {}
  ~Pages();

  // Changes one word of a leaf, keeping the frozen image.
  void store(PageNode& leaf, uint32_t slot, uint64_t value);
  // As store(), for several: call before changing words directly.
  void before_change(PageNode& leaf);
  void mark_dirty(PageNode& node);
  size_t dirty_count() const noexcept { return dirty_.size(); }
  size_t loaded_map_pages() const noexcept {
    return map_nodes_.size() + kept_nodes_.size();
  }

  // Dirty pages, and those of the frozen image that are still to be written.
  size_t unwritten_count() const noexcept { return dirty_.size() + freezing_count_; }

  // Empties the dirty set: the freeze. The nodes are `freezing` until end_freeze_of().
  void take_dirty();
  const std::vector<PageNode*>& dirty() const noexcept { return dirty_; }
  void end_freeze_of(PageNode& node) noexcept;
  bool frozen_pending() const noexcept { return freezing_count_ != 0; }
  // Device pages of detached nodes, to be freed by the next checkpoint.
  std::vector<uint64_t> take_detached() { return std::exchange(detached_pages_, {}); }
  size_t detached_count() const noexcept { return detached_pages_.size(); }

  // Evicts clean map leaves beyond the cache bound, of which `other_bytes` are taken already; not
  // while a frozen image is being written. begin_trim(), then trim() until it says false: one round
  // of the hand, a few steps a call. What was loaded just now outlives the round that it begins.
  void begin_trim() noexcept { round_ = map_nodes_.size(); }
  bool trim(uint64_t other_bytes);
  // Frees what no reader can hold any more.
  void free_retired();
  bool has_retired() const noexcept { return !retired_.empty(); }
  size_t retired_count() const noexcept { return retired_.size(); }

 private:
  friend class PageTree;
  void retire(PageNode* node);
  void forget_dirty(PageNode& node);
  List<PageNode>& list_of(const PageNode& node) noexcept;
  void link(PageNode& node);
  void unlink(PageNode& node);

  struct Retired {
    PageNode* node;
    uint64_t epoch;
  };
  Epochs& epochs_;
  const size_t cache_pages_;
  std::vector<PageNode*> dirty_;
  size_t freezing_count_ = 0;
  size_t round_ = 0;  // Steps that are left of the hand's round.
  std::vector<uint64_t> detached_pages_;
  List<PageNode> map_nodes_;    // Clean pages of maps, in the order of the eviction hand.
  List<PageNode> kept_nodes_;   // Those that are dirty, or of an image that is not written yet.
  List<PageNode> other_nodes_;  // All other loaded pages; never evicted.
  std::deque<Retired> retired_;
};

}  // namespace ashlar::store
