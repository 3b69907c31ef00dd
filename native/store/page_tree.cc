#include "store/page_tree.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ashlar::store {

namespace {

bool is_address(uint64_t word) noexcept { return word != 0 && (word & 1) == 0; }
PageNode* to_node(uint64_t word) noexcept {
  return reinterpret_cast<PageNode*>(static_cast<uintptr_t>(word));
}
uint64_t to_word(const PageNode& node) noexcept {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(&node));
}

}  // namespace

PageTree::~PageTree() {
  // The pool is going away, or the layer is empty: what is loaded is simply dropped.
  PageNode* node = root();
  while (node != nullptr) {
    PageNode* child = nullptr;
    if (node->level > 0 && node->loaded_children > 0) {
      for (auto& word : node->words) {
        const uint64_t value = word.load(std::memory_order_relaxed);
        if (!is_address(value)) continue;
        child = to_node(value);
        word.store(0, std::memory_order_relaxed);
        --node->loaded_children;
        break;
      }
    }
    if (child != nullptr) {
      node = child;
      continue;
    }
    PageNode* parent = node->parent;
    pages_.forget_dirty(*node);
    if (node->freezing) pages_.end_freeze_of(*node);
    pages_.unlink(*node);
    delete node;
    node = parent;
  }
}

PageFound PageTree::find(uint64_t leaf_index) const noexcept {
  PageFound found;
  found.next_leaf = UINT64_MAX;
  uint64_t word = root_.load(std::memory_order_acquire);
  if (word == 0) return found;
  if (!is_address(word)) {
    found.state = PageFound::State::unloaded;
    found.ref = PageRef{word};
    return found;
  }
  PageNode* node = to_node(word);
  if (page_above(leaf_index, node->level) != 0) return found;
  while (node->level > 0) {
    const uint64_t child_index = page_above(leaf_index, node->level - 1u);
    word = node->words[child_index % limits::words_per_page].load(std::memory_order_acquire);
    if (word == 0) {
      found.next_leaf = (child_index + 1) * leaves_under(node->level - 1u);
      return found;
    }
    if (!is_address(word)) {
      found.state = PageFound::State::unloaded;
      found.parent = node;
      found.level = static_cast<uint8_t>(node->level - 1);
      found.index = child_index;
      found.ref = PageRef{word};
      return found;
    }
    node = to_node(word);
  }
  // Written only when it changes, so that lookups do not share a written cache line.
  if (!node->recent.load(std::memory_order_relaxed)) {
    node->recent.store(true, std::memory_order_relaxed);
  }
  found.state = PageFound::State::loaded;
  found.leaf = node;
  return found;
}

void PageTree::set_root(PageRef ref, uint8_t level) noexcept {
  root_level_ = level;
  root_.store(ref.word, std::memory_order_release);
}

PageNode* PageTree::root() const noexcept {
  const uint64_t word = root_.load(std::memory_order_relaxed);
  return is_address(word) ? to_node(word) : nullptr;
}

PageNode* PageTree::loaded_node(uint8_t level, uint64_t index) const noexcept {
  PageNode* node = root();
  while (node != nullptr && node->level > level) {
    const uint64_t child = page_above(index, node->level - 1u - level);
    const uint64_t word =
        node->words[child % limits::words_per_page].load(std::memory_order_relaxed);
    node = is_address(word) ? to_node(word) : nullptr;
  }
  return node != nullptr && node->level == level && node->index == index ? node : nullptr;
}

PageRef PageTree::root_disk() const noexcept {
  const PageNode* node = root();
  return node != nullptr ? node->disk : PageRef{root_.load(std::memory_order_relaxed)};
}

void PageTree::set_link(PageNode* parent, uint64_t index, uint64_t word) noexcept {
  if (parent == nullptr) {
    root_.store(word, std::memory_order_release);
  } else {
    parent->words[index % limits::words_per_page].store(word, std::memory_order_release);
  }
}

PageNode& PageTree::install(const PageFound& found, std::unique_ptr<PageNode> node) {
  CHECK(found.state == PageFound::State::unloaded);
  node->tree = this;
  node->parent = found.parent;
  node->level = found.parent == nullptr ? root_level_ : found.level;
  node->index = found.index;
  node->disk = found.ref;
  if (found.parent != nullptr) ++found.parent->loaded_children;
  pages_.link(*node);
  set_link(found.parent, found.index, to_word(*node));
  return *node.release();
}

PageNode& PageTree::add_node(PageNode* parent, uint8_t level, uint64_t index) {
  auto* node = new PageNode;
  node->tree = this;
  node->parent = parent;
  node->level = level;
  node->index = index;
  if (parent != nullptr) ++parent->loaded_children;
  pages_.link(*node);
  pages_.mark_dirty(*node);
  return *node;
}

PageNode& PageTree::ensure_leaf(uint64_t leaf_index) {
  if (empty()) {
    uint8_t level = 0;
    while (leaf_index >= leaves_under(level)) ++level;
    CHECK(level < limits::max_tree_levels);
    PageNode& made = add_node(nullptr, level, 0);
    root_level_ = level;
    set_link(nullptr, 0, to_word(made));
  }
  PageNode* node = root();
  CHECK(node != nullptr);
  while (page_above(leaf_index, node->level) != 0) {
    CHECK(node->level + 1u < limits::max_tree_levels);
    PageNode& above = add_node(nullptr, static_cast<uint8_t>(node->level + 1), 0);
    above.words[0].store(to_word(*node), std::memory_order_relaxed);
    above.loaded_children = 1;
    node->parent = &above;
    root_level_ = above.level;
    set_link(nullptr, 0, to_word(above));
    node = &above;
  }
  while (node->level > 0) {
    const uint64_t child_index = page_above(leaf_index, node->level - 1u);
    auto& word = node->words[child_index % limits::words_per_page];
    const uint64_t value = word.load(std::memory_order_relaxed);
    CHECK(value == 0 || is_address(value));
    if (value == 0) {
      PageNode& child = add_node(node, static_cast<uint8_t>(node->level - 1), child_index);
      set_link(node, child_index, to_word(child));
      node = &child;
    } else {
      node = to_node(value);
    }
  }
  return *node;
}

uint64_t PageTree::next_present(uint64_t leaf_index, MissingPage& missing) noexcept {
  for (;;) {
    const PageFound found = find(leaf_index);
    switch (found.state) {
      case PageFound::State::loaded:
        return leaf_index;
      case PageFound::State::absent:
        if (found.next_leaf == UINT64_MAX) return UINT64_MAX;
        leaf_index = found.next_leaf;
        continue;
      case PageFound::State::unloaded: {
        const uint8_t level = found.parent == nullptr ? root_level_ : found.level;
        if (level == 0) return leaf_index;
        missing = {this, found};
        return UINT64_MAX;
      }
    }
  }
}

uint64_t PageTree::get(uint64_t index) const noexcept {
  const PageFound found = find(index / limits::words_per_page);
  CHECK(found.state != PageFound::State::unloaded);
  if (found.state == PageFound::State::absent) return 0;
  return found.leaf->words[index % limits::words_per_page].load(std::memory_order_relaxed);
}

void PageTree::set(uint64_t index, uint64_t value) {
  PageNode& leaf = ensure_leaf(index / limits::words_per_page);
  pages_.store(leaf, static_cast<uint32_t>(index % limits::words_per_page), value);
}

void PageTree::detach_leaf(PageNode& leaf) {
  CHECK(leaf.level == 0 && leaf.pins == 0 && !leaf.freezing && !pages_.frozen_pending());
  PageNode* node = &leaf;
  for (;;) {
    PageNode* parent = node->parent;
    set_link(parent, node->index, 0);
    pages_.retire(node);
    if (parent == nullptr) {
      root_level_ = 0;
      if (record_leaf != nullptr) pages_.mark_dirty(*record_leaf);
      return;
    }
    --parent->loaded_children;
    const bool leads_on =
        parent->loaded_children > 0 ||
        std::any_of(std::begin(parent->words), std::end(parent->words), [](const auto& word) {
          return word.load(std::memory_order_relaxed) != 0;
        });
    if (leads_on) {
      pages_.mark_dirty(*parent);
      return;
    }
    node = parent;
  }
}

void PageTree::detach_under(PageNode& node) {
  if (node.level > 0) {
    for (auto& word : node.words) {
      const uint64_t value = word.load(std::memory_order_relaxed);
      if (value == 0) continue;
      if (is_address(value)) {
        detach_under(*to_node(value));
      } else {
        CHECK(node.level == 1);
        pages_.detached_pages_.push_back(PageRef{value}.page());
      }
    }
  }
  pages_.retire(&node);
}

void PageTree::detach_all() {
  CHECK(!pages_.frozen_pending());
  const uint64_t word = root_.exchange(0, std::memory_order_acq_rel);
  if (word == 0) return;
  if (is_address(word)) {
    detach_under(*to_node(word));
  } else {
    CHECK(root_level_ == 0);
    pages_.detached_pages_.push_back(PageRef{word}.page());
  }
  root_level_ = 0;
  if (record_leaf != nullptr) pages_.mark_dirty(*record_leaf);
}

// ---- Pages --------------------------------------------------------------------------------------

Pages::~Pages() {
  for (const Retired& retired : retired_) delete retired.node;
  retired_.clear();
}

List<PageNode>& Pages::list_of(const PageNode& node) noexcept {
  if (node.tree->kind() != TreeKind::map) return other_nodes_;
  return node.dirty || node.freezing ? kept_nodes_ : map_nodes_;
}

void Pages::link(PageNode& node) { list_of(node).push_back(node); }

void Pages::unlink(PageNode& node) { list_of(node).remove(node); }

void Pages::before_change(PageNode& leaf) {
  CHECK(leaf.level == 0);
  if (leaf.freezing && leaf.frozen == nullptr) {
    leaf.frozen = std::make_unique_for_overwrite<FrozenWords>();
    for (uint32_t i = 0; i < limits::words_per_page; ++i) {
      leaf.frozen->words[i] = leaf.words[i].load(std::memory_order_relaxed);
    }
  }
  mark_dirty(leaf);
}

void Pages::store(PageNode& leaf, uint32_t slot, uint64_t value) {
  before_change(leaf);
  leaf.words[slot].store(value, std::memory_order_release);
}

void Pages::mark_dirty(PageNode& node) {
  PageNode* at = &node;
  while (at != nullptr && !at->dirty) {
    unlink(*at);
    at->dirty = true;
    link(*at);
    at->dirty_position = dirty_.size();
    dirty_.push_back(at);
    at = at->parent != nullptr ? at->parent : at->tree->record_leaf;
  }
}

void Pages::forget_dirty(PageNode& node) {
  if (!node.dirty) return;
  PageNode* last = dirty_.back();
  dirty_[node.dirty_position] = last;
  last->dirty_position = node.dirty_position;
  dirty_.pop_back();
  unlink(node);
  node.dirty = false;
  link(node);
}

void Pages::take_dirty() {
  CHECK(freezing_count_ == 0);
  for (PageNode* node : dirty_) {
    node->dirty = false;
    node->freezing = true;
  }
  freezing_count_ = dirty_.size();
  dirty_.clear();
}

void Pages::end_freeze_of(PageNode& node) noexcept {
  CHECK(node.freezing && freezing_count_ > 0);
  unlink(node);
  node.freezing = false;
  link(node);
  node.frozen.reset();
  if (!node.dirty && node.pins == 0) node.facts.reset();  // Made again when it changes again.
  --freezing_count_;
}

void Pages::retire(PageNode* node) {
  CHECK(!node->freezing);
  forget_dirty(*node);
  if (!node->disk.none()) detached_pages_.push_back(node->disk.page());
  unlink(*node);
  retired_.push_back({node, epochs_.current()});
}

bool Pages::trim(uint64_t other_bytes) {
  if (frozen_pending()) round_ = 0;
  const size_t other_pages = std::min<size_t>(other_bytes / sizeof(PageNode), cache_pages_ / 2);
  const size_t bound = cache_pages_ - other_pages;
  // Every page is either evicted, passed over or given a second chance. Interior pages go only when
  // nothing under them is loaded.
  const size_t excess = loaded_map_pages() - std::min(loaded_map_pages(), bound);
  const size_t steps = std::clamp<size_t>(2 * excess, limits::trim_steps, limits::max_trim_steps);
  for (size_t step = 0; step < steps && round_ > 0; ++step) {
    if (loaded_map_pages() <= bound) {
      round_ = 0;
      break;
    }
    --round_;
    PageNode& node = *map_nodes_.pop_front();
    if (node.pins > 0 || node.loaded_children > 0 || node.disk.none() ||
        node.recent.exchange(false, std::memory_order_relaxed)) {
      map_nodes_.push_back(node);
      continue;
    }
    node.tree->set_link(node.parent, node.index, node.disk.word);
    if (node.parent != nullptr) --node.parent->loaded_children;
    retired_.push_back({&node, epochs_.current()});
  }
  return round_ > 0;
}

void Pages::free_retired() {
  size_t most = limits::freed_per_turn;
  while (!retired_.empty() && most-- > 0 && epochs_.reusable(retired_.front().epoch)) {
    delete retired_.front().node;
    retired_.pop_front();
  }
}

}  // namespace ashlar::store
