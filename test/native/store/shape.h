// Shape: which layer holds which blocks, and what that takes and shares; the reference for the
// figures that the pool keeps without a scan.
//
// It knows no chunks, entries or views, only blocks: each is the layer's own data, its own zeroes,
// or its ancestors'. A chunk is taken where a layer has data of its own. What a deletion gives back
// is found by doing it to a copy.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "base/check.h"

namespace ashlar::store::testing {

class Shape {
 public:
  struct Figures {
    uint64_t mapped = 0;     // Blocks that a reader sees as data.
    uint64_t own = 0;        // Blocks.
    uint64_t allocated = 0;  // Chunks.
    uint64_t children = 0;
  };

  void create(uint64_t number, uint64_t bytes, uint64_t parent) {
    Layer layer;
    layer.parent = parent;
    layer.blocks.resize(blocks_of(bytes));
    layers_.emplace(number, std::move(layer));
  }
  void resize(uint64_t number, uint64_t bytes) {
    layers_.at(number).blocks.resize(blocks_of(bytes));
  }
  // What is left of it stands until one layer stands on it, and is that one's then.
  void remove(uint64_t number) {
    layers_.at(number).deleted = true;
    settle();
  }
  void write(uint64_t number, uint64_t offset, uint64_t length) {
    auto& blocks = layers_.at(number).blocks;
    for (uint64_t b = offset / 4096; b * 4096 < offset + length; ++b) blocks[b] = State::data;
  }
  // Whole blocks, or up to the layer's end, lose their data; of others a part is written.
  void zero(uint64_t number, uint64_t offset, uint64_t length, uint64_t layer_bytes) {
    Layer& layer = layers_.at(number);
    for (uint64_t b = offset / 4096; b * 4096 < offset + length; ++b) {
      const bool whole = offset <= b * 4096 && (offset + length >= (b + 1) * 4096 ||
                                                offset + length == layer_bytes);
      if (whole) {
        layer.blocks[b] = shows_data(layer.parent, b) ? State::zero : State::none;
      } else if (shows_data(number, b)) {
        layer.blocks[b] = State::data;
      }
    }
  }

  Figures figures(uint64_t number) const {
    Figures figures;
    const Layer& layer = layers_.at(number);
    for (uint64_t b = 0; b < layer.blocks.size(); ++b) {
      figures.mapped += shows_data(number, b) ? 1 : 0;
      figures.own += layer.blocks[b] == State::data ? 1 : 0;
    }
    figures.allocated = chunks(layer);
    for (const auto& [other, each] : layers_) figures.children += each.parent == number ? 1 : 0;
    return figures;
  }
  uint64_t chunks() const {
    uint64_t sum = 0;
    for (const auto& [number, layer] : layers_) sum += chunks(layer);
    return sum;
  }
  uint64_t hidden() const {
    uint64_t count = 0;
    for (const auto& [number, layer] : layers_) count += layer.deleted ? 1 : 0;
    return count;
  }
  // Chunks that deleting it now gives back.
  uint64_t frees(uint64_t number) const {
    Shape without = *this;
    without.remove(number);
    return chunks() - without.chunks();
  }
  bool shows_data(uint64_t number, uint64_t block) const {
    for (uint64_t at = number; at != 0;) {
      const Layer& layer = layers_.at(at);
      if (block < layer.blocks.size() && layer.blocks[block] != State::none) {
        return layer.blocks[block] == State::data;
      }
      at = layer.parent;
    }
    return false;
  }

 private:
  enum class State : uint8_t { none, data, zero };
  struct Layer {
    uint64_t parent = 0;
    bool deleted = false;
    std::vector<State> blocks;
  };
  static uint64_t blocks_of(uint64_t bytes) { return (bytes + 4095) / 4096; }
  static uint64_t chunks(const Layer& layer) {
    uint64_t count = 0;
    for (uint64_t b = 0; b < layer.blocks.size(); ++b) {
      if (layer.blocks[b] != State::data) continue;
      ++count;
      b |= 15;  // On to the next chunk.
    }
    return count;
  }

  // The background's work, all at once.
  void settle() {
    for (bool again = true; again;) {
      again = false;
      for (auto& [number, layer] : layers_) {
        if (!layer.deleted) continue;
        uint64_t only = 0;
        uint64_t children = 0;
        for (const auto& [other, each] : layers_) {
          if (each.parent != number) continue;
          ++children;
          only = other;
        }
        if (children > 1) continue;
        if (children == 1) merge(layer, layers_.at(only));
        layers_.erase(number);
        again = true;
        break;
      }
    }
  }
  static void merge(const Layer& from, Layer& to) {
    for (uint64_t b = 0; b < to.blocks.size(); ++b) {
      if (to.blocks[b] == State::none && b < from.blocks.size()) to.blocks[b] = from.blocks[b];
      if (from.parent == 0 && to.blocks[b] == State::zero) to.blocks[b] = State::none;
    }
    to.parent = from.parent;
  }

  std::map<uint64_t, Layer> layers_;
};

}  // namespace ashlar::store::testing
