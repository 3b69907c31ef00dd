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

#include "store/page_tree.h"

namespace ashlar::store {

class VolumeImpl;

struct Layer {
  Layer(Pages& pages, uint32_t slot_number)
      : slot(slot_number), map(pages, TreeKind::map, slot_number) {}

  const uint32_t slot;
  Uuid uuid{};
  LayerState state = LayerState::live;
  uint32_t block_bytes = 0;
  uint64_t size_bytes = 0;
  std::atomic<Layer*> parent{nullptr};  // Read by lookups on any reactor.
  uint32_t children = 0;                // Not counting deleting ones.
  PageTree map;
  uint64_t mapped_blocks = 0;
  uint64_t allocated_chunks = 0;
  uint64_t created_sequence = 0;
  uint64_t reclaim_leaf = 0;
  // Not on the device.
  uint32_t next_chunk = 0;  // Where the next chunk of a sequential write would best be.
  VolumeImpl* volume = nullptr;

  // Words of the map that this size can use.
  uint64_t chunk_count() const noexcept {
    return (size_bytes + limits::chunk_bytes - 1) / limits::chunk_bytes;
  }
};

class Layers {
 public:
  Layers(PageTree& table, Pages& pages) : table_(table), pages_(pages) {}

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
  // From now on nobody finds it; its parent loses a child.
  void begin_delete(Layer& layer);
  // The oldest layer whose space is still to be reclaimed; null: none.
  Layer* deleting() const noexcept { return deleting_.empty() ? nullptr : deleting_.front(); }
  // The map is empty: the slot is free.
  void remove(Layer& layer);
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

  PageTree& table_;
  Pages& pages_;
  std::vector<std::unique_ptr<Layer>> slots_;
  std::map<Uuid, Layer*> by_uuid_;
  std::vector<uint32_t> free_slots_;
  std::deque<Layer*> deleting_;
};

// Word of `slot`'s record in its leaf, and the leaf.
constexpr uint64_t layer_record_leaf(uint64_t slot) noexcept {
  return slot / limits::layer_records_per_page;
}
constexpr uint32_t layer_record_word(uint64_t slot) noexcept {
  return static_cast<uint32_t>(slot % limits::layer_records_per_page) * limits::layer_record_words;
}

}  // namespace ashlar::store
