// Layers: the layer table, in memory as objects, on the device as records in a PageTree.
//
// The objects are the truth while the pool is open; a record is brought up to date when its page
// of the table is frozen for a checkpoint.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/epochs.h"
#include "store/page_tree.h"
#include "store/views.h"

namespace ashlar::store {

class VolumeImpl;

struct Layer {
  Layer(Pages& pages, uint32_t slot_number)
      : slot(slot_number), map(pages, TreeKind::map, slot_number) {}
  ~Layer() { delete views.load(std::memory_order_relaxed); }

  const uint32_t slot;
  Uuid uuid{};
  LayerState state = LayerState::live;
  uint32_t block_bytes = 0;
  uint64_t size_bytes = 0;
  std::atomic<Layer*> parent{nullptr};  // Read by lookups on any reactor.
  std::vector<Layer*> children;
  PageTree map;
  // What it holds itself, and what the figures of mapping.h are; kept by Mapping.
  uint64_t mapped_blocks = 0;
  uint64_t allocated_chunks = 0;
  uint64_t visible_blocks = 0;
  uint64_t frees = 0;
  uint64_t passed_frees = 0;
  uint64_t reserved_chunks = 0;
  uint64_t created_sequence = 0;
  uint64_t reclaim_leaf = 0;
  // Not on the device.
  std::atomic<ViewTable*> views{nullptr};
  uint32_t next_chunk = 0;  // Where the next chunk of a sequential write would best be.
  VolumeImpl* volume = nullptr;
  uint32_t runs_in_flight = 0;   // First writes that will land here.
  bool settling = false;         // Frozen so lately that writes may still land here.
  bool stuck = false;            // Deleting, and a part of it cannot be read or copied.
  uint64_t deleted_record = 0;   // Number of the record that says so.

  // Words of the map that this size can use.
  uint64_t chunk_count() const noexcept {
    return (size_bytes + limits::chunk_bytes - 1) / limits::chunk_bytes;
  }
  // Its only child, null when it has none or several.
  Layer* only_child() const noexcept { return children.size() == 1 ? children.front() : nullptr; }
  // It is being merged into its only child: some leaves have gone there.
  bool merging() const noexcept {
    return state == LayerState::deleting && children.size() == 1 && reclaim_leaf > 0;
  }
  // Of a deleted layer: no leaf of its map is left, and no chunk, so it can go. An interior page of
  // an older pool may be left. `missing`: a page that has to be read to know.
  bool nothing_left(MissingPage& missing) noexcept {
    return map.next_present(0, missing) == UINT64_MAX && !missing && allocated_chunks == 0;
  }
  uint64_t reservation_left() const noexcept {
    return reserved_chunks > allocated_chunks ? reserved_chunks - allocated_chunks : 0;
  }
};

class Layers {
 public:
  Layers(PageTree& table, Pages& pages, Epochs& epochs)
      : table_(table), pages_(pages), epochs_(epochs) {}

  // At open, with the table loaded. Empty when well-formed, else what is wrong.
  std::string load(uint64_t slots);

  Layer* find(const Uuid& uuid) const;
  Layer* at(uint64_t slot) const noexcept {
    return slot < slots_.size() ? slots_[slot].get() : nullptr;
  }
  uint64_t slot_count() const noexcept { return slots_.size(); }
  uint64_t count() const noexcept { return by_uuid_.size(); }  // Without deleting ones.
  uint32_t free_slot() const;
  bool full() const noexcept { return free_slot() >= limits::max_layers; }

  // Null when the slot or the UUID is taken.
  Layer* create(uint32_t slot, const Uuid& uuid, Layer* parent);
  // From now on nobody finds it. Without children it leaves its parent at once, as nobody reads
  // through it; with children it stays their parent.
  void begin_delete(Layer& layer);
  // The map is empty: an only child gets its parent, and the slot is free. The object stays until
  // no reader can hold it (free_retired).
  void remove(Layer& layer);
  // Deleted layers in the order of deletion, hidden ones included.
  const std::deque<Layer*>& deleting() const noexcept { return deleting_; }
  void free_retired();
  bool has_retired() const noexcept { return !retired_.empty(); }
  // Changes whenever a layer comes, goes or gets another parent.
  uint64_t version() const noexcept { return version_; }
  // Its record must go to the device with the next checkpoint.
  void touch(Layer& layer) { pages_.mark_dirty(*layer.map.record_leaf); }

  // Checkpoint: brings the records of this table leaf up to date, except map_root and map_level,
  // which are known only when the map's pages are written.
  void fill_leaf(PageNode& leaf);

  template <class Function>
  void for_each(Function function) const {
    for (const auto& layer : slots_) {
      if (layer != nullptr) function(*layer);
    }
  }

 private:
  void link_record(Layer& layer);
  void leave_parent(Layer& layer);

  struct Retired {
    std::unique_ptr<Layer> layer;
    uint64_t epoch;
  };
  PageTree& table_;
  Pages& pages_;
  Epochs& epochs_;
  uint64_t version_ = 0;
  std::deque<Retired> retired_;
  std::vector<std::unique_ptr<Layer>> slots_;
  std::map<Uuid, Layer*> by_uuid_;
  std::vector<uint32_t> free_slots_;
  std::deque<Layer*> deleting_;
};

// Chunks that are promised to a layer: its own, and the pages of its map, in the image and in the
// next one.
constexpr uint64_t reservation_for(uint64_t size_bytes) noexcept {
  const uint64_t chunks = (size_bytes + limits::chunk_bytes - 1) / limits::chunk_bytes;
  const uint64_t leaves = chunks / limits::words_per_page + 1;
  return chunks + 2 * leaves / limits::pages_per_chunk + 1;
}

// What in a record makes no sense by itself, in a table of so many slots; empty: nothing.
std::string record_problem(const LayerRecord& record, uint64_t slots);

// Word of `slot`'s record in its leaf, and the leaf.
constexpr uint64_t layer_record_leaf(uint64_t slot) noexcept {
  return slot / limits::layer_records_per_page;
}
constexpr uint32_t layer_record_word(uint64_t slot) noexcept {
  return static_cast<uint32_t>(slot % limits::layer_records_per_page) * limits::layer_record_words;
}

}  // namespace ashlar::store
