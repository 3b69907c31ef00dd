#include "store/image_writer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/bytes.h"

namespace ashlar::store {

namespace {

constexpr uint64_t word_count = limits::words_per_page;

size_t number_of(TreeKind kind) noexcept { return static_cast<size_t>(kind); }

uint64_t word_at(const std::vector<uint64_t>& words, uint64_t index) noexcept {
  return index < words.size() ? words[index] : 0;
}

}  // namespace

ImageWriter::ImageWriter(Device& device, const Walk& walk)
    : device_(device), walk_(walk), generation_(walk.superblock.generation + 1) {}

const std::vector<uint64_t>& ImageWriter::words_of(TreeKind kind) const {
  switch (kind) {
    case TreeKind::bitmap: return walk_.bitmap;
    case TreeKind::space: return walk_.space;
    case TreeKind::layers: return walk_.layer_words;
    case TreeKind::catalog:
    case TreeKind::map: break;
  }
  CHECK(false);
}

// A page of the old image that is part of the new one as it is.
bool ImageWriter::stays(const Walk::PageKey& key) const {
  return !all_[number_of(std::get<0>(key))] && !pages_.contains(key) &&
         walk_.believed.contains(key);
}

void ImageWriter::plan(TreeKind kind, const std::vector<uint64_t>& words, bool all) {
  all_[number_of(kind)] = all;
  const std::vector<uint64_t>& old = words_of(kind);
  const uint64_t leaves = (std::max(words.size(), old.size()) + word_count - 1) / word_count;
  uint64_t last = 0;
  for (uint64_t leaf = 0; leaf < leaves; ++leaf) {
    bool differs = false;
    bool empty = true;
    for (uint64_t i = leaf * word_count; i < (leaf + 1) * word_count; ++i) {
      differs = differs || word_at(words, i) != word_at(old, i);
      empty = empty && word_at(words, i) == 0;
    }
    const bool believed = !all && walk_.believed.contains({kind, uint8_t{0}, leaf});
    if (!empty || believed) last = leaf;
    if (believed ? !differs : empty) continue;
    Page& page = pages_[{kind, uint8_t{0}, leaf}];
    page.words = std::make_unique<Words>();
    for (uint64_t i = 0; i < word_count; ++i) {
      (*page.words)[i] = word_at(words, leaf * word_count + i);
    }
  }
  const TreeRoot& root = walk_.superblock.roots[number_of(kind) - 1];
  uint8_t level = root.ref == 0 ? uint8_t{0} : static_cast<uint8_t>(root.level);
  for (uint64_t reach = 1, needed = 0; ; reach *= word_count, ++needed) {
    level = std::max(level, static_cast<uint8_t>(needed));
    if (last < reach) break;
  }
  for (uint8_t at = 1; at <= level; ++at) plan_parents(kind, at);
  levels_[number_of(kind)] = level;
  const auto first = pages_.lower_bound({kind, uint8_t{0}, uint64_t{0}});
  planned_[number_of(kind)] = all || walk_.any_lost(kind) ||
                              (first != pages_.end() && std::get<0>(first->first) == kind);
}

// The pages of that level under which something changed.
void ImageWriter::plan_parents(TreeKind kind, uint8_t level) {
  const auto below = static_cast<uint8_t>(level - 1);
  std::set<uint64_t> with_children, changed;
  const auto each = [&](const auto& pages, const auto& then) {
    auto at = pages.lower_bound({kind, below, 0});
    for (; at != pages.end(); ++at) {
      const auto& [tree, its_level, index] = at->first;
      if (tree != kind || its_level != below) break;
      then(at->first, index / word_count);
    }
  };
  each(pages_, [&](const Walk::PageKey&, uint64_t parent) {
    with_children.insert(parent);
    changed.insert(parent);
  });
  each(walk_.believed, [&](const Walk::PageKey& key, uint64_t parent) {
    if (stays(key)) with_children.insert(parent);
  });
  // A page that still refers to a lost one, though there is nothing there any more.
  each(walk_.lost, [&](const Walk::PageKey&, uint64_t parent) {
    if (stays({kind, level, parent})) changed.insert(parent);
  });
  for (const uint64_t parent : with_children) {
    if (!stays({kind, level, parent})) changed.insert(parent);
  }
  for (const uint64_t parent : changed) {
    pages_[{kind, level, parent}].words = std::make_unique<Words>();
  }
}

void ImageWriter::fill(TreeKind kind, const std::vector<uint64_t>& words) {
  for (auto& [key, page] : pages_) {
    const auto& [tree, level, leaf] = key;
    if (tree != kind || level != 0) continue;
    for (uint64_t i = 0; i < word_count; ++i) {
      (*page.words)[i] = word_at(words, leaf * word_count + i);
    }
  }
}

bool ImageWriter::assign(const std::vector<uint64_t>& free_pages) {
  if (free_pages.size() < pages_.size()) return false;
  size_t taken = 0;
  for (auto& [key, page] : pages_) page.place = free_pages[taken++];
  return true;
}

std::unordered_set<uint64_t> ImageWriter::used_after() const {
  std::unordered_set<uint64_t> used = walk_.pages;
  for (const auto& [key, ref] : walk_.lost) {
    if (!ref.none()) used.erase(ref.page());
  }
  for (const auto& [key, ref] : walk_.believed) {
    if (all_[number_of(std::get<0>(key))] || pages_.contains(key)) used.erase(ref.page());
  }
  for (const auto& [key, page] : pages_) used.insert(page.place);
  return used;
}

PageRef ImageWriter::ref_of(const Walk::PageKey& key) const {
  if (const auto at = pages_.find(key); at != pages_.end()) return at->second.ref;
  return stays(key) ? walk_.believed.at(key) : PageRef{};
}

void ImageWriter::seal(const Walk::PageKey& key, Page& page) {
  const auto& [kind, level, index] = key;
  for (uint64_t i = 0; level > 0 && i < word_count; ++i) {
    const auto below = static_cast<uint8_t>(level - 1);
    (*page.words)[i] = ref_of({kind, below, index * word_count + i}).word;
  }
  for (uint32_t i = 0; i < word_count; ++i) {
    write_at(memory_.span(), limits::page_header_bytes + i * 8ull, (*page.words)[i]);
  }
  const uint32_t crc = seal_page(memory_.span(), walk_.superblock.pool, {kind, level, 0, index},
                                 page.place, generation_);
  page.ref = PageRef::make(page.place, crc);
}

void ImageWriter::write(Superblock& superblock, std::function<void(int)> done) {
  done_ = std::move(done);
  next_ = pages_.begin();
  write_next(superblock);
}

void ImageWriter::write_next(Superblock& superblock) {
  if (next_ == pages_.end()) {
    for (size_t i = 1; i <= root_count; ++i) {
      if (!planned_[i]) continue;
      const PageRef ref = ref_of({static_cast<TreeKind>(i), levels_[i], 0});
      superblock.roots[i - 1] = {ref.word, ref.none() ? 0 : uint64_t{levels_[i]}};
    }
    cold_flush(device_, std::move(done_));
    return;
  }
  seal(next_->first, next_->second);
  cold_write(device_, next_->second.place * limits::page_bytes, memory_.span(), false,
             [self = shared_from_this(), &superblock](int result) {
               if (result != 0) return std::exchange(self->done_, nullptr)(result);
               ++self->next_;
               self->write_next(superblock);
             });
}

}  // namespace ashlar::store
