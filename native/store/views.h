// Views: what a frozen layer and all above it hold, flattened, one map leaf at a time.
//
// A read of a block that its top layer does not hold asks the ancestors. Walking a thousand of them
// would cost a thousand look-ups; a view answers with one, however deep the stack is. Views are
// made by the owner when they are first missed, are immutable, and may go at any time (eviction,
// a change below): they can always be made again. Readers on any reactor find them by acquire
// loads and hold them for their epoch.
//
// A view is the view of the layer's parent with the layer's own leaf laid over it, so that after a
// snapshot each leaf is flattened once more and not again from the bottom.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/list.h"
#include "base/slab.h"
#include "store/epochs.h"
#include "store/page_tree.h"

namespace ashlar::store {

struct Layer;

struct View : ListNode, FromSlab<View> {
  // Chunk i of the leaf: {source 32, data mask 16, several 16}. `several` 0: all blocks of the mask
  // lie in chunk `source`; 1: block b lies in chunk sources[source][b].
  std::array<uint64_t, limits::words_per_page> words = {};
  std::vector<std::array<uint32_t, limits::blocks_per_chunk>> sources;
  mutable std::atomic<bool> recent{true};  // Looked at since the eviction hand came by.
  Layer* layer = nullptr;
  uint64_t leaf = 0;

  uint16_t data(uint32_t slot) const noexcept { return static_cast<uint16_t>(words[slot] >> 32); }
  bool several(uint32_t slot) const noexcept { return words[slot] >> 48 != 0; }
  // The chunk that holds block `b`, which data() has.
  uint32_t chunk(uint32_t slot, uint32_t b) const noexcept {
    const auto source = static_cast<uint32_t>(words[slot]);
    return several(slot) ? sources[source][b] : source;
  }
  size_t bytes() const noexcept { return sizeof(View) + sources.capacity() * sizeof(sources[0]); }
};
inline constexpr size_t max_view_bytes =
    sizeof(View) + limits::words_per_page * sizeof(View::sources[0]);

// A frozen layer's views by leaf. Its size is the layer's, which does not grow any more.
class ViewTable {
 public:
  explicit ViewTable(uint64_t leaves) : branches_((leaves + branch_leaves - 1) / branch_leaves) {}
  ~ViewTable() {
    for (auto& branch : branches_) delete branch.load(std::memory_order_relaxed);
  }
  // Any thread.
  const View* find(uint64_t leaf) const noexcept {
    if (leaf / branch_leaves >= branches_.size()) return nullptr;
    const Branch* branch = branches_[leaf / branch_leaves].load(std::memory_order_acquire);
    return branch == nullptr ? nullptr
                             : branch->views[leaf % branch_leaves].load(std::memory_order_acquire);
  }

 private:
  friend class Views;
  static constexpr uint64_t branch_leaves = 256;
  struct Branch {
    std::atomic<View*> views[branch_leaves] = {};
  };
  std::vector<std::atomic<Branch*>> branches_;
};

class Views {
 public:
  // At least what one command needs at once is kept: 1 MiB lies in two leaves at most.
  Views(Epochs& epochs, uint64_t cache_bytes)
      : epochs_(epochs), cache_bytes_(std::max<uint64_t>(cache_bytes / 2, 2 * max_view_bytes)) {}
  ~Views();

  // The owner's thread. The view, made if need be; null: `missing` has to be read first.
  const View* get(Layer& layer, uint64_t leaf, MissingPage& missing);
  // A view that says that nothing is there.
  bool is_empty(const View* view) const noexcept { return view == &empty_; }
  // What the layer or one above it holds there has changed, or will.
  void drop(Layer& layer, uint64_t leaf);
  void drop_all(Layer& layer);
  // Evicts beyond the bound (half of the map cache). begin_trim(), then trim() until it says false:
  // two rounds of the hand, a few steps a call.
  void begin_trim() noexcept { round_ = all_.size() * 2; }
  bool trim();
  void free_retired();
  bool has_retired() const noexcept { return !retired_.empty(); }
  uint64_t bytes() const noexcept { return bytes_; }
  uint64_t retired_bytes() const noexcept { return retired_bytes_; }
  bool many_retired() const noexcept { return retired_bytes_ > cache_bytes_; }

 private:
  struct Retired {
    View* view;
    uint64_t epoch;
  };
  View* flatten(const View* base);
  void mix(View& view, const View* base, uint32_t slot);
  std::atomic<View*>& place(Layer& layer, uint64_t leaf);
  void retire(View* view);

  Epochs& epochs_;
  const uint64_t cache_bytes_;
  uint64_t bytes_ = 0;
  size_t round_ = 0;  // Steps that are left of the hand's rounds.
  View empty_;
  List<View> all_;  // In the order of the eviction hand.
  std::deque<Retired> retired_;
  uint64_t retired_bytes_ = 0;
  // While one is being made: the leaves over its base, nearest first.
  std::vector<const PageNode*> stack_;
};

}  // namespace ashlar::store
