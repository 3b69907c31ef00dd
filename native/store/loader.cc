#include "store/loader.h"

#include <algorithm>
#include <deque>

#include "base/bytes.h"
#include "store/layers.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

const char* kind_name(TreeKind kind) {
  switch (kind) {
    case TreeKind::bitmap: return "bitmap";
    case TreeKind::space: return "space map";
    case TreeKind::layers: return "layer table";
    case TreeKind::catalog: return "catalog";
    case TreeKind::map: return "map";
  }
  CHECK(false);
}

// Empty when the words of an interior page are references into the first device, which has all
// pages, or nothing. They become words of the tree, where an even one is an address.
std::string references_problem(std::span<const std::byte> page, uint64_t chunks) {
  for (uint32_t i = 0; i < limits::words_per_page; ++i) {
    const PageRef ref{read_at<uint64_t>(page, limits::page_header_bytes + i * 8ull)};
    if (!ref.none() && (ref.word & 1) == 0) {
      return "word " + std::to_string(i) + " is no page reference";
    }
    if (ref.page() / limits::pages_per_chunk >= chunks) {
      return "word " + std::to_string(i) + " refers beyond the pool's end";
    }
  }
  return {};
}

// Pages read at once while a whole tree is loaded.
constexpr uint32_t tree_window = 64;

}  // namespace

// Cells of that size lie on multiples of it.
struct PageMemory : FromSlab<PageMemory> {
  std::byte bytes[limits::page_bytes];
};

struct Loader::Load {
  PageTree* tree = nullptr;
  uint8_t level = 0;
  uint64_t index = 0;
  PageRef ref;
  std::unique_ptr<PageMemory> memory = std::make_unique_for_overwrite<PageMemory>();
  std::span<std::byte> bytes() noexcept { return memory->bytes; }
  IoQueue waiters;
  std::vector<std::function<void(Status)>> calls;
};

Loader::Loader(PoolImpl& pool) : pool_(pool) {}
Loader::~Loader() = default;

Loader::Load& Loader::begin(PageTree& tree, const PageFound& found) {
  CHECK(found.state == PageFound::State::unloaded);
  const uint8_t level = found.parent == nullptr ? tree.root_level() : found.level;
  std::unique_ptr<Load>& place = loads_[found.ref.page()];
  if (place != nullptr) return *place;
  place = std::make_unique<Load>();
  Load& load = *place;
  load.tree = &tree;
  load.level = level;
  load.index = found.index;
  load.ref = found.ref;
  ++pages_read_;
  cold_read(pool_.device(), found.ref.page() * limits::page_bytes, load.bytes(),
            [this, &load](int result) { finished(load, result); });
  return load;
}

bool Loader::loading(const PageTree& tree) const noexcept {
  return std::any_of(loads_.begin(), loads_.end(),
                     [&](const auto& load) { return load.second->tree == &tree; });
}

void Loader::load(PageTree& tree, const PageFound& found, IoState& waiter) {
  begin(tree, found).waiters.push(waiter);
}

void Loader::load(PageTree& tree, const PageFound& found, std::function<void(Status)> done) {
  begin(tree, found).calls.push_back(std::move(done));
}

MissingPage Loader::bring_in(Layer& layer, uint64_t leaf_index, uint32_t& asked) {
  MissingPage last;
  for (Layer* at = &layer; at != nullptr; at = at->parent.load(std::memory_order_relaxed)) {
    if (leaf_index > at->chunk_count() / limits::words_per_page) continue;
    const ViewTable* views = at->views.load(std::memory_order_relaxed);
    if (views != nullptr && views->find(leaf_index) != nullptr) break;
    const PageFound found = at->map.find(leaf_index);
    if (found.state != PageFound::State::unloaded) continue;
    ++asked;
    last = {&at->map, found};
    bring_in(at->map, leaf_index);
  }
  return last;
}

// Down to the leaf. A layer that goes away meanwhile has no pages any more.
void Loader::bring_in(PageTree& tree, uint64_t leaf_index) {
  const PageFound found = tree.find(leaf_index);
  if (found.state != PageFound::State::unloaded) return;
  load(tree, found, [this, &tree, leaf_index](const Status& status) {
    if (status.ok()) bring_in(tree, leaf_index);
  });
}

void Loader::finished(Load& load, int result) {
  const auto at = loads_.find(load.ref.page());
  CHECK(at != loads_.end() && at->second.get() == &load);
  const std::unique_ptr<Load> self = std::move(at->second);
  loads_.erase(at);
  Status status = Unit{};
  const PageIdentity identity{self->tree->kind(), self->level, self->tree->id(), self->index};
  const std::string where = std::string(kind_name(identity.kind)) + " page " +
                            std::to_string(identity.index) + " of level " +
                            std::to_string(identity.level) +
                            (identity.kind == TreeKind::map
                                 ? " of layer slot " + std::to_string(identity.tree)
                                 : std::string());
  if (result != 0) {
    status = error_from_errno(-result, "reading the " + where);
  } else {
    std::string problem =
        verify_page(self->bytes(), pool_.superblock.pool, identity, self->ref);
    if (problem.empty() && self->level > 0) {
      problem = references_problem(self->bytes(), pool_.superblock.devices[0].chunk_count);
    }
    if (!problem.empty()) {
      status = Error{ErrorCode::pool_corrupt, "the " + where + ": " + problem};
    }
  }
  if (status.ok()) {
    // Looked up again: an ancestor may have been evicted, or the tree raised, while we read.
    const PageFound found =
        self->tree->find(self->index * PageTree::leaves_under(self->level));
    const uint8_t level = found.parent == nullptr ? self->tree->root_level() : found.level;
    if (found.state == PageFound::State::unloaded && level == self->level &&
        found.index == self->index && found.ref == self->ref) {
      auto node = std::make_unique<PageNode>();
      for (uint32_t i = 0; i < limits::words_per_page; ++i) {
        node->words[i].store(
            read_at<uint64_t>(self->bytes(), limits::page_header_bytes + i * 8ull),
            std::memory_order_relaxed);
      }
      self->tree->install(found, std::move(node));
    }
  }
  IoQueue waiters = self->waiters.take();
  while (IoState* waiter = waiters.pop()) {
    waiter->load_failed = !status.ok();
    waiter->resume(*waiter);
  }
  for (auto& call : self->calls) call(status);
  if (loads_.empty() && idle_told_) std::exchange(idle_told_, nullptr)();
  pool_.trim();
  pool_.settle();
  if (pool_.reclaimer.active()) pool_.reclaimer.kick();
}

// ---- Whole trees --------------------------------------------------------------------------------

struct Loader::WholeTree {
  PageTree* tree = nullptr;
  std::deque<std::pair<uint8_t, uint64_t>> todo;  // Level and index of pages to look under.
  uint32_t under_way = 0;
  bool ended = false;
  std::function<void(Status)> done;
};

void Loader::load_all(PageTree& tree, std::function<void(Status)> done) {
  auto whole = std::make_shared<WholeTree>();
  whole->tree = &tree;
  whole->done = std::move(done);
  if (!tree.empty()) whole->todo.emplace_back(tree.root_level(), 0);
  continue_tree(whole);
}

void Loader::continue_tree(const std::shared_ptr<WholeTree>& whole) {
  while (!whole->todo.empty() && whole->under_way < tree_window && !whole->ended) {
    const auto [level, index] = whole->todo.front();
    whole->todo.pop_front();
    const uint64_t first_leaf = index * PageTree::leaves_under(level);
    const PageFound found = whole->tree->find(first_leaf);
    // The page itself is wanted: something above it is always loaded already, or it is the root.
    if (found.state == PageFound::State::absent) continue;
    CHECK(found.state == PageFound::State::unloaded);
    ++whole->under_way;
    load(*whole->tree, found, [this, whole, level = level, index = index](Status status) {
      --whole->under_way;
      if (whole->ended) return;
      if (!status.ok()) {
        whole->ended = true;
        whole->done(status);
        return;
      }
      if (level > 0) {
        // Its children that are there, found by their first leaves.
        const PageNode* node = whole->tree->loaded_node(level, index);
        CHECK(node != nullptr);
        for (uint32_t i = 0; i < limits::words_per_page; ++i) {
          if (node->words[i].load(std::memory_order_relaxed) == 0) continue;
          whole->todo.emplace_back(static_cast<uint8_t>(level - 1),
                                   index * limits::words_per_page + i);
        }
      }
      continue_tree(whole);
    });
  }
  if (whole->todo.empty() && whole->under_way == 0 && !whole->ended) {
    whole->ended = true;
    whole->done(Unit{});
  }
}

}  // namespace ashlar::store
