#include "store/views.h"

#include <algorithm>
#include <bit>

#include "store/layers.h"

namespace ashlar::store {

Views::~Views() {
  while (!all_.empty()) delete all_.pop_front();
  for (const Retired& retired : retired_) delete retired.view;
}

std::atomic<View*>& Views::place(Layer& layer, uint64_t leaf) {
  ViewTable* table = layer.views.load(std::memory_order_relaxed);
  if (table == nullptr) {
    table = new ViewTable(layer.chunk_count() / limits::words_per_page + 1);
    layer.views.store(table, std::memory_order_release);
  }
  auto& branch = table->branches_[leaf / ViewTable::branch_leaves];
  if (branch.load(std::memory_order_relaxed) == nullptr) {
    branch.store(new ViewTable::Branch, std::memory_order_release);
  }
  return branch.load(std::memory_order_relaxed)->views[leaf % ViewTable::branch_leaves];
}

const View* Views::get(Layer& layer, uint64_t leaf, MissingPage& missing) {
  // Beyond the end of a layer that a larger one stands on, nothing is.
  if (leaf > layer.chunk_count() / limits::words_per_page) return &empty_;
  if (const ViewTable* table = layer.views.load(std::memory_order_relaxed); table != nullptr) {
    if (const View* view = table->find(leaf); view != nullptr) return view;
  }
  stack_.clear();
  const View* base = nullptr;
  for (Layer* at = &layer; at != nullptr && base == nullptr;
       at = at->parent.load(std::memory_order_relaxed)) {
    if (const ViewTable* table = at->views.load(std::memory_order_relaxed); table != nullptr) {
      base = table->find(leaf);
      if (base != nullptr) break;
    }
    const PageFound found = at->map.find(leaf);
    if (found.state == PageFound::State::unloaded) {
      missing = {&at->map, found};
      return nullptr;
    }
    if (found.state == PageFound::State::loaded) stack_.push_back(found.leaf);
  }
  View* made = &empty_;
  if (!stack_.empty() || (base != nullptr && base != &empty_)) {
    made = flatten(base);
    made->layer = &layer;
    made->leaf = leaf;
    bytes_ += made->bytes();
    all_.push_back(*made);
  }
  place(layer, leaf).store(made, std::memory_order_release);
  return made;
}

View* Views::flatten(const View* base) {
  auto* view = new View;
  for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
    // Mostly one layer alone says something of a chunk, or the base does.
    MapEntry entry;
    size_t next = 0;
    while (next < stack_.size() && entry.pack() == 0) {
      entry = MapEntry::unpack(stack_[next]->words[slot].load(std::memory_order_relaxed));
      ++next;
    }
    const bool under = base != nullptr && base->data(slot) != 0;
    if (entry.pack() == 0 && under && !base->several(slot)) {
      view->words[slot] = base->words[slot];
    } else if ((entry.data | entry.zero) == 0xffff || (next == stack_.size() && !under)) {
      view->words[slot] = entry.data == 0 ? 0 : entry.chunk | uint64_t{entry.data} << 32;
    } else {
      mix(*view, base, slot);
    }
  }
  view->sources.shrink_to_fit();
  return view;
}

// A chunk of which several layers may hold blocks.
void Views::mix(View& view, const View* base, uint32_t slot) {
  std::array<uint32_t, limits::blocks_per_chunk> chunks = {};
  uint16_t data = 0;
  uint32_t left = 0xffff;
  uint32_t first = 0;
  bool several = false;
  const auto take = [&](uint32_t b, uint32_t chunk) {
    chunks[b] = chunk;
    data = static_cast<uint16_t>(data | 1u << b);
    if (first == 0) first = chunk;
    several = several || chunk != first;
  };
  for (const PageNode* leaf : stack_) {
    const MapEntry entry = MapEntry::unpack(leaf->words[slot].load(std::memory_order_relaxed));
    for (uint32_t bits = left & entry.data; bits != 0; bits &= bits - 1) {
      take(static_cast<uint32_t>(std::countr_zero(bits)), entry.chunk);
    }
    left &= ~(uint32_t{entry.data} | entry.zero);
    if (left == 0) break;
  }
  if (base != nullptr) {
    for (uint32_t bits = left & base->data(slot); bits != 0; bits &= bits - 1) {
      const auto b = static_cast<uint32_t>(std::countr_zero(bits));
      take(b, base->chunk(slot, b));
    }
  }
  if (data == 0) return;
  uint64_t source = first;
  if (several) {
    source = view.sources.size();
    view.sources.push_back(chunks);
  }
  view.words[slot] = source | uint64_t{data} << 32 | uint64_t{several} << 48;
}

void Views::retire(View* view) {
  bytes_ -= view->bytes();
  retired_bytes_ += view->bytes();
  all_.remove(*view);
  retired_.push_back({view, epochs_.current()});
}

void Views::drop(Layer& layer, uint64_t leaf) {
  const ViewTable* table = layer.views.load(std::memory_order_relaxed);
  if (table == nullptr || table->find(leaf) == nullptr) return;
  View* view = place(layer, leaf).exchange(nullptr, std::memory_order_acq_rel);
  if (view != &empty_) retire(view);
}

void Views::drop_all(Layer& layer) {
  ViewTable* table = layer.views.load(std::memory_order_relaxed);
  if (table == nullptr) return;
  for (auto& each : table->branches_) {
    ViewTable::Branch* branch = each.load(std::memory_order_relaxed);
    if (branch == nullptr) continue;
    for (auto& place : branch->views) {
      View* view = place.exchange(nullptr, std::memory_order_acq_rel);
      if (view != nullptr && view != &empty_) retire(view);
    }
  }
}

bool Views::trim() {
  const size_t excess = (bytes_ - std::min(bytes_, cache_bytes_)) / sizeof(View);
  const size_t steps = std::clamp<size_t>(2 * excess, limits::trim_steps, limits::max_trim_steps);
  for (size_t step = 0; step < steps && round_ > 0; ++step) {
    if (bytes_ <= cache_bytes_) {
      round_ = 0;
      break;
    }
    --round_;
    View& view = *all_.pop_front();
    all_.push_back(view);
    if (view.recent.exchange(false, std::memory_order_relaxed)) continue;
    drop(*view.layer, view.leaf);
  }
  return round_ > 0;
}

void Views::free_retired() {
  size_t most = limits::freed_per_turn;
  while (!retired_.empty() && most-- > 0 && epochs_.reusable(retired_.front().epoch)) {
    retired_bytes_ -= retired_.front().view->bytes();
    delete retired_.front().view;
    retired_.pop_front();
  }
}

}  // namespace ashlar::store
