// Catalog: the control plane's records, by key, opaque here.
//
// A record takes a run of consecutive cells of the catalog tree, over page boundaries; the values
// live in the tree's pages in memory, beside them only an index by key and a map of free runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "store/page_tree.h"

namespace ashlar::store {

class Catalog {
 public:
  explicit Catalog(PageTree& tree) : tree_(tree) {}

  // At open, with the tree loaded. Empty when well-formed, else what is wrong.
  std::string load(uint64_t cells);

  void put(uint64_t key, std::span<const std::byte> value);
  [[nodiscard]] bool erase(uint64_t key);  // False: no such key.
  bool contains(uint64_t key) const { return index_.contains(key); }

  uint64_t record_count() const noexcept { return index_.size(); }
  uint64_t cell_count() const noexcept { return cells_; }
  std::vector<std::byte> value(uint64_t key) const;
  template <class Function>
  void for_each(Function function) const {
    for (const auto& [key, place] : index_) function(key, read(place));
  }

 private:
  struct Place {
    uint64_t cell;
    uint32_t value_bytes;
  };
  std::vector<std::byte> read(const Place& place) const;
  void write_words(uint64_t first_word, std::span<const uint64_t> words);
  uint64_t take_cells(uint32_t count);
  void free_cells(uint64_t cell, uint32_t count);

  PageTree& tree_;
  std::map<uint64_t, Place> index_;
  std::map<uint64_t, uint64_t> free_;  // First cell → count; neighbours are joined.
  uint64_t cells_ = 0;                 // Highest ever used + 1.
};

}  // namespace ashlar::store
