#include "store/layers.h"

#include <algorithm>
#include <cstring>

namespace ashlar::store {

namespace {

LayerRecord to_record(const Layer& layer) {
  LayerRecord record;
  record.uuid = layer.uuid;
  const Layer* parent = layer.parent.load(std::memory_order_relaxed);
  record.parent_slot_plus1 = parent == nullptr ? 0 : parent->slot + 1;
  record.state = static_cast<uint8_t>(layer.state);
  record.block_bytes = layer.block_bytes;
  record.size_bytes = layer.size_bytes;
  record.mapped_blocks = layer.mapped_blocks;
  record.allocated_chunks = layer.allocated_chunks;
  record.created_sequence = layer.created_sequence;
  record.reclaim_leaf = layer.reclaim_leaf;
  record.visible_blocks = layer.visible_blocks;
  record.frees = layer.frees;
  record.passed_frees = layer.passed_frees;
  record.reserved_chunks = layer.reserved_chunks;
  record.flags = layer_has_usage;
  return record;
}

}  // namespace

std::string record_problem(const LayerRecord& record, uint64_t slots) {
  if (record.state > static_cast<uint8_t>(LayerState::deleting)) return "state";
  if (record.block_bytes != 512 && record.block_bytes != 4096) return "block size";
  if (record.size_bytes == 0 || record.size_bytes > limits::max_layer_bytes ||
      record.size_bytes % record.block_bytes != 0) {
    return "size";
  }
  if (record.parent_slot_plus1 > slots) return "parent";
  if (record.map_level >= limits::max_tree_levels) return "map level";
  if (record.map_root != 0 && (record.map_root & 1) == 0) return "map root";
  return {};
}

std::string Layers::load(uint64_t slots) {
  std::vector<uint32_t> parents(slots);
  for (uint64_t slot = 0; slot < slots; ++slot) {
    LayerRecord record;
    uint64_t words[limits::layer_record_words];
    const uint64_t first =
        layer_record_leaf(slot) * limits::words_per_page + layer_record_word(slot);
    for (uint32_t i = 0; i < limits::layer_record_words; ++i) words[i] = table_.get(first + i);
    std::memcpy(&record, words, sizeof record);
    slots_.push_back(nullptr);
    if (record.state == static_cast<uint8_t>(LayerState::empty)) {
      free_slots_.push_back(static_cast<uint32_t>(slot));
      continue;
    }
    const std::string where = "layer record " + std::to_string(slot) + ": ";
    if (const std::string problem = record_problem(record, slots); !problem.empty()) {
      return where + problem + " makes no sense";
    }
    auto layer = std::make_unique<Layer>(pages_, static_cast<uint32_t>(slot));
    layer->uuid = record.uuid;
    layer->state = static_cast<LayerState>(record.state);
    layer->block_bytes = record.block_bytes;
    layer->size_bytes = record.size_bytes;
    layer->mapped_blocks = record.mapped_blocks;
    layer->allocated_chunks = record.allocated_chunks;
    layer->created_sequence = record.created_sequence;
    layer->reclaim_leaf = record.reclaim_leaf;
    // Before there were such figures there were no parents either, and this is what they are then.
    layer->visible_blocks =
        (record.flags & layer_has_usage) != 0 ? record.visible_blocks : record.mapped_blocks;
    layer->frees = record.frees;
    layer->passed_frees = record.passed_frees;
    layer->reserved_chunks = record.reserved_chunks;
    layer->map.set_root(PageRef{record.map_root}, record.map_level);
    parents[slot] = record.parent_slot_plus1;
    if (layer->state != LayerState::deleting &&
        !by_uuid_.emplace(layer->uuid, layer.get()).second) {
      return where + "UUID is there twice";
    }
    link_record(*layer);
    if (layer->state == LayerState::deleting) deleting_.push_back(layer.get());
    slots_.back() = std::move(layer);
  }
  for (uint64_t slot = 0; slot < slots; ++slot) {
    if (slots_[slot] == nullptr || parents[slot] == 0) continue;
    Layer* parent = slots_[parents[slot] - 1].get();
    if (parent == nullptr || parent == slots_[slot].get()) {
      return "layer record " + std::to_string(slot) + ": its parent does not exist";
    }
    slots_[slot]->parent.store(parent, std::memory_order_relaxed);
    parent->children.push_back(slots_[slot].get());
  }
  for (const Layer* layer : deleting_) {
    if (layer->children.empty() && layer->parent.load(std::memory_order_relaxed) != nullptr) {
      return "layer record " + std::to_string(layer->slot) + ": deleted, but it has a parent";
    }
  }
  // Walking up from any layer ends: a ring of parents would make every lookup endless.
  for (const auto& layer : slots_) {
    uint64_t depth = 0;
    for (const Layer* at = layer.get(); at != nullptr;
         at = at->parent.load(std::memory_order_relaxed)) {
      if (++depth > slots) return "layer records: a layer is its own ancestor";
    }
  }
  return {};
}

void Layers::link_record(Layer& layer) {
  layer.map.record_leaf = &table_.ensure_leaf(layer_record_leaf(layer.slot));
}

Layer* Layers::find(const Uuid& uuid) const {
  const auto at = by_uuid_.find(uuid);
  return at == by_uuid_.end() ? nullptr : at->second;
}

uint32_t Layers::free_slot() const {
  return free_slots_.empty() ? static_cast<uint32_t>(slots_.size()) : free_slots_.back();
}

Layer* Layers::create(uint32_t slot, const Uuid& uuid, Layer* parent) {
  if (by_uuid_.contains(uuid) || at(slot) != nullptr || slot >= limits::max_layers) return nullptr;
  while (slots_.size() <= slot) {
    if (slots_.size() != slot) free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.push_back(nullptr);
  }
  std::erase(free_slots_, slot);
  slots_[slot] = std::make_unique<Layer>(pages_, slot);
  Layer& layer = *slots_[slot];
  layer.uuid = uuid;
  layer.parent.store(parent, std::memory_order_release);
  if (parent != nullptr) {
    parent->children.push_back(&layer);
    layer.visible_blocks = parent->visible_blocks;
  }
  ++version_;
  by_uuid_.emplace(uuid, &layer);
  link_record(layer);
  touch(layer);
  return &layer;
}

// Its parent may be a deleted layer that nobody else stands on: then that one leaves its own too.
void Layers::leave_parent(Layer& layer) {
  Layer* at = &layer;
  while (at->children.empty()) {
    Layer* parent = at->parent.exchange(nullptr);
    at->frees = 0;
    at->passed_frees = 0;
    touch(*at);
    if (parent == nullptr) return;
    CHECK(std::erase(parent->children, at) == 1);
    touch(*parent);
    if (parent->state != LayerState::deleting) return;
    at = parent;
  }
}

void Layers::begin_delete(Layer& layer) {
  CHECK(layer.volume == nullptr && layer.state != LayerState::deleting);
  layer.state = LayerState::deleting;
  layer.reserved_chunks = 0;
  by_uuid_.erase(layer.uuid);
  deleting_.push_back(&layer);
  touch(layer);
  ++version_;
  leave_parent(layer);
}

void Layers::remove(Layer& layer) {
  CHECK(layer.state == LayerState::deleting && layer.map.empty() && layer.allocated_chunks == 0);
  CHECK(layer.children.size() <= 1);
  touch(layer);
  ++version_;
  Layer* parent = layer.parent.load(std::memory_order_relaxed);
  if (Layer* child = layer.only_child(); child != nullptr) {
    child->parent.store(parent, std::memory_order_release);
    touch(*child);
    if (parent != nullptr) {
      std::replace(parent->children.begin(), parent->children.end(), &layer, child);
    }
  } else {
    CHECK(parent == nullptr);
  }
  std::erase(deleting_, &layer);
  free_slots_.push_back(layer.slot);
  retired_.push_back({std::move(slots_[layer.slot]), epochs_.current()});
}

void Layers::free_retired() {
  while (!retired_.empty() && epochs_.reusable(retired_.front().epoch)) retired_.pop_front();
}

void Layers::fill_leaf(PageNode& leaf) {
  for (uint32_t i = 0; i < limits::layer_records_per_page; ++i) {
    const uint64_t slot = leaf.index * limits::layer_records_per_page + i;
    LayerRecord record;
    if (const Layer* layer = at(slot); layer != nullptr) record = to_record(*layer);
    uint64_t words[limits::layer_record_words];
    std::memcpy(words, &record, sizeof record);
    for (uint32_t w = 0; w < limits::layer_record_words; ++w) {
      leaf.words[layer_record_word(slot) + w].store(words[w], std::memory_order_relaxed);
    }
  }
}

}  // namespace ashlar::store
