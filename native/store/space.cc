#include "store/space.h"

#include <bit>

namespace ashlar::store {

bool Space::load(uint64_t slots, uint64_t total_chunks) {
  for (uint64_t i = 0; i < slots; ++i) {
    const uint64_t word = tree_.get(i);
    const auto chunk = static_cast<uint32_t>(word);
    const auto used = static_cast<uint16_t>(word >> 32);
    if (chunk == 0 || chunk >= total_chunks || word >> 48 != 0) return false;
    if (!slot_of_chunk_.emplace(chunk, static_cast<uint32_t>(i)).second) return false;
    slots_.push_back({chunk, used, used});
    free_pages_ += limits::pages_per_chunk - static_cast<uint64_t>(std::popcount(used));
  }
  return true;
}

bool Space::add_chunk(uint64_t slot, uint32_t chunk) {
  if (slot != slots_.size()) return false;
  if (!slot_of_chunk_.emplace(chunk, static_cast<uint32_t>(slot)).second) return false;
  slots_.push_back({chunk, 0, 0});
  free_pages_ += limits::pages_per_chunk;
  write(slot);
  return true;
}

void Space::write(uint64_t slot) {
  tree_.set(slot, uint64_t{slots_[slot].chunk} | uint64_t{slots_[slot].used} << 32);
}

uint64_t Space::take_page() {
  CHECK(free_pages_ > 0);
  while (slots_[cursor_].busy == 0xffff) cursor_ = (cursor_ + 1) % slots_.size();
  Slot& slot = slots_[cursor_];
  const uint32_t bit = static_cast<uint32_t>(std::countr_one(slot.busy));
  slot.used = static_cast<uint16_t>(slot.used | 1u << bit);
  slot.busy = static_cast<uint16_t>(slot.busy | 1u << bit);
  --free_pages_;
  write(cursor_);
  return uint64_t{slot.chunk} * limits::pages_per_chunk + bit;
}

void Space::release_page(uint64_t page) {
  const auto at = slot_of_chunk_.find(static_cast<uint32_t>(page / limits::pages_per_chunk));
  CHECK(at != slot_of_chunk_.end());
  Slot& slot = slots_[at->second];
  const auto bit = static_cast<uint16_t>(1u << (page % limits::pages_per_chunk));
  CHECK((slot.used & bit) != 0);
  slot.used = static_cast<uint16_t>(slot.used & ~bit);
  released_.push_back(page);
  write(at->second);
}

void Space::settle() {
  for (const uint64_t page : released_) {
    Slot& slot = slots_[slot_of_chunk_.at(static_cast<uint32_t>(page / limits::pages_per_chunk))];
    slot.busy = static_cast<uint16_t>(slot.busy & ~(1u << (page % limits::pages_per_chunk)));
    ++free_pages_;
  }
  released_.clear();
}

bool Space::used(uint64_t page) const noexcept {
  const auto at = slot_of_chunk_.find(static_cast<uint32_t>(page / limits::pages_per_chunk));
  return at != slot_of_chunk_.end() &&
         (slots_[at->second].used >> (page % limits::pages_per_chunk) & 1) != 0;
}

}  // namespace ashlar::store
