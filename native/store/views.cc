#include "store/views.h"

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
      const MapEntry entry =
          MapEntry::unpack(leaf->words[slot].load(std::memory_order_relaxed));
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
    if (data == 0) continue;
    uint64_t source = first;
    if (several) {
      source = view->sources.size();
      view->sources.push_back(chunks);
    }
    view->words[slot] = source | uint64_t{data} << 32 | uint64_t{several} << 48;
  }
  view->sources.shrink_to_fit();
  return view;
}

void Views::retire(View* view) {
  bytes_ -= view->bytes();
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

void Views::trim() {
  size_t rounds = all_.size() * 2;
  while (bytes_ > cache_bytes_ && rounds-- > 0) {
    View& view = *all_.pop_front();
    all_.push_back(view);
    if (view.recent.exchange(false, std::memory_order_relaxed)) continue;
    drop(*view.layer, view.leaf);
  }
}

void Views::free_retired() {
  while (!retired_.empty() && epochs_.reusable(retired_.front().epoch)) {
    delete retired_.front().view;
    retired_.pop_front();
  }
}

}  // namespace ashlar::store
