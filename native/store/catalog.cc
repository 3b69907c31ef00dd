#include "store/catalog.h"

#include <cstring>

#include "base/bytes.h"

namespace ashlar::store {

namespace {
constexpr uint32_t cell_words = limits::catalog_cell_words;
}

std::string Catalog::load(uint64_t cells) {
  cells_ = cells;
  uint64_t free_from = UINT64_MAX;
  for (uint64_t cell = 0; cell < cells;) {
    const uint64_t words[2] = {tree_.get(cell * cell_words), tree_.get(cell * cell_words + 1)};
    CatalogCellHeader header;
    std::memcpy(&header, words, sizeof header);
    if (words[0] == 0) {
      if (free_from == UINT64_MAX) free_from = cell;
      ++cell;
      continue;
    }
    const uint32_t count = catalog_cells(header.value_bytes);
    if (header.magic != catalog_magic || header.value_bytes > limits::max_catalog_value_bytes ||
        count > cells - cell) {
      return "cell " + std::to_string(cell) + " is neither free nor a record";
    }
    if (free_from != UINT64_MAX) free_.emplace(free_from, cell - free_from);
    free_from = UINT64_MAX;
    if (!index_.emplace(header.key, Place{cell, header.value_bytes}).second) {
      return "key " + std::to_string(header.key) + " is there twice";
    }
    cell += count;
  }
  if (free_from != UINT64_MAX) free_.emplace(free_from, cells - free_from);
  return {};
}

void Catalog::write_words(uint64_t first_word, std::span<const uint64_t> words) {
  for (size_t i = 0; i < words.size(); ++i) tree_.set(first_word + i, words[i]);
}

uint64_t Catalog::take_cells(uint32_t count) {
  for (auto at = free_.begin(); at != free_.end(); ++at) {
    if (at->second < count) continue;
    const uint64_t cell = at->first;
    const uint64_t rest = at->second - count;
    free_.erase(at);
    if (rest > 0) free_.emplace(cell + count, rest);
    return cell;
  }
  const uint64_t cell = cells_;
  cells_ += count;
  return cell;
}

void Catalog::free_cells(uint64_t cell, uint32_t count) {
  // Every first word of a free cell is zero, so that load() can step over it.
  for (uint32_t i = 0; i < count; ++i) tree_.set((cell + i) * cell_words, 0);
  uint64_t length = count;
  auto after = free_.lower_bound(cell);
  if (after != free_.end() && after->first == cell + count) {
    length += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == cell) {
      before->second += length;
      return;
    }
  }
  free_.emplace(cell, length);
}

void Catalog::put(uint64_t key, std::span<const std::byte> value) {
  CHECK(value.size() <= limits::max_catalog_value_bytes);
  const uint32_t count = catalog_cells(value.size());
  const auto bytes = static_cast<uint32_t>(value.size());
  uint64_t cell;
  const auto at = index_.find(key);
  if (at != index_.end() && catalog_cells(at->second.value_bytes) == count) {
    cell = at->second.cell;
    at->second.value_bytes = bytes;
  } else {
    if (at != index_.end()) free_cells(at->second.cell, catalog_cells(at->second.value_bytes));
    cell = take_cells(count);
    index_.insert_or_assign(key, Place{cell, bytes});
  }
  std::vector<uint64_t> words(size_t{count} * cell_words);
  const CatalogCellHeader header{catalog_magic, bytes, key};
  std::memcpy(words.data(), &header, sizeof header);
  if (!value.empty()) std::memcpy(words.data() + 2, value.data(), value.size());
  write_words(cell * cell_words, words);
}

bool Catalog::erase(uint64_t key) {
  const auto at = index_.find(key);
  if (at == index_.end()) return false;
  free_cells(at->second.cell, catalog_cells(at->second.value_bytes));
  index_.erase(at);
  return true;
}

std::vector<std::byte> Catalog::read(const Place& place) const {
  std::vector<uint64_t> words((place.value_bytes + 7) / 8);
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = tree_.get(place.cell * cell_words + 2 + i);
  }
  std::vector<std::byte> value(place.value_bytes);
  if (!value.empty()) std::memcpy(value.data(), words.data(), value.size());
  return value;
}

std::vector<std::byte> Catalog::value(uint64_t key) const {
  const auto at = index_.find(key);
  return at == index_.end() ? std::vector<std::byte>{} : read(at->second);
}

}  // namespace ashlar::store
