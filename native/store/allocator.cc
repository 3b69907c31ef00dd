#include "store/allocator.h"

#include <algorithm>
#include <bit>

namespace ashlar::store {

bool Allocator::load(uint64_t total_chunks) {
  total_ = total_chunks;
  const uint64_t word_count = (total_ + 63) / 64;
  busy_.assign(word_count, 0);
  full_.assign((word_count + 63) / 64, 0);
  owned_ = 0;
  for (uint64_t i = 0; i < word_count; ++i) {
    const uint64_t word = bitmap_.get(i);
    const uint64_t beyond = i == word_count - 1 && total_ % 64 != 0 ? ~0ull << (total_ % 64) : 0;
    if ((word & beyond) != 0) return false;
    owned_ += static_cast<uint64_t>(std::popcount(word));
    busy_[i] = word;
    if (busy_[i] == ~0ull) full_[i / 64] |= 1ull << (i % 64);
  }
  mark_beyond();
  regions_ = {Region{0, total_, owned_, 0, true}};
  return true;
}

// What lies behind the last chunk is never free.
void Allocator::mark_beyond() noexcept {
  if (total_ % 64 != 0) {
    busy_.back() |= ~0ull << (total_ % 64);
    const uint64_t last = busy_.size() - 1;
    if (busy_[last] == ~0ull) full_[last / 64] |= 1ull << (last % 64);
  }
  for (uint64_t i = busy_.size(); i < full_.size() * 64; ++i) full_[i / 64] |= 1ull << (i % 64);
}

void Allocator::divide(std::span<const uint64_t> first_chunks) {
  regions_.clear();
  for (size_t i = 0; i < first_chunks.size(); ++i) {
    Region region;
    region.first = first_chunks[i];
    region.end = i + 1 < first_chunks.size() ? first_chunks[i + 1] : total_;
    region.next = region.first;
    region.usable = i == 0;
    for (uint64_t word = region.first / 64; word * 64 < region.end; ++word) {
      const uint64_t from = std::max(region.first, word * 64) - word * 64;
      const uint64_t to = std::min(region.end, word * 64 + 64) - word * 64;
      const uint64_t below = to == 64 ? ~0ull : (1ull << to) - 1;
      region.owned +=
          static_cast<uint64_t>(std::popcount(bitmap_.get(word) & below & (~0ull << from)));
    }
    regions_.push_back(region);
  }
}

void Allocator::grow(uint64_t chunks) {
  if (total_ % 64 != 0) {
    const uint64_t last = busy_.size() - 1;
    busy_.back() &= ~(~0ull << (total_ % 64));
    full_[last / 64] &= ~(1ull << (last % 64));
  }
  for (uint64_t i = busy_.size(); i < full_.size() * 64; ++i) full_[i / 64] &= ~(1ull << (i % 64));
  regions_.push_back(Region{total_, total_ + chunks, 0, total_, false});
  total_ += chunks;
  busy_.resize((total_ + 63) / 64, 0);
  full_.resize((busy_.size() + 63) / 64, 0);
  mark_beyond();
}

Allocator::Region& Allocator::region_of(uint64_t chunk) noexcept {
  const auto after = std::upper_bound(
      regions_.begin(), regions_.end(), chunk,
      [](uint64_t at, const Region& region) { return at < region.end; });
  CHECK(after != regions_.end());
  return *after;
}

uint64_t Allocator::free_count() const noexcept {
  uint64_t free = 0;
  for (const Region& region : regions_) free += region.usable ? region.free() : 0;
  return free;
}

void Allocator::set_busy(uint32_t chunk, bool busy) noexcept {
  const uint64_t word = chunk / 64;
  const uint64_t bit = 1ull << (chunk % 64);
  CHECK(((busy_[word] & bit) != 0) != busy);
  busy_[word] ^= bit;
  const uint64_t full_bit = 1ull << (word % 64);
  if (busy_[word] == ~0ull) {
    full_[word / 64] |= full_bit;
  } else {
    full_[word / 64] &= ~full_bit;
  }
}

void Allocator::set_owned(uint32_t chunk, bool owned) {
  const uint64_t word = bitmap_.get(chunk / 64);
  const uint64_t bit = 1ull << (chunk % 64);
  CHECK(((word & bit) != 0) != owned);
  bitmap_.set(chunk / 64, word ^ bit);
  const uint64_t difference = owned ? 1 : ~uint64_t{0};
  owned_ += difference;
  region_of(chunk).owned += difference;
}

bool Allocator::owned(uint32_t chunk) const noexcept {
  return chunk < total_ && (bitmap_.get(chunk / 64) >> (chunk % 64) & 1) != 0;
}

uint32_t Allocator::take(uint32_t wanted) {
  const uint32_t chunk = find_data(wanted);
  if (chunk == 0) return 0;
  set_busy(chunk, true);
  own(chunk);
  return chunk;
}

uint32_t Allocator::reserve(uint32_t wanted) {
  const uint32_t chunk = find_in(regions_[0], wanted);
  if (chunk != 0) set_busy(chunk, true);
  return chunk;
}

bool Allocator::kept_for_metadata(const Region& region) const noexcept {
  return region.first == 0 && region.free() <= region.count() / limits::metadata_share;
}

uint32_t Allocator::find_data(uint32_t wanted) noexcept {
  if (regions_.size() == 1) return find_in(regions_[0], wanted);
  if (wanted >= total_) wanted = 0;
  const Region& here = region_of(wanted);
  const bool free = wanted != 0 && here.usable && !busy(wanted);
  if (free && (wanted - here.first) % here.run_chunks() != 0 && !kept_for_metadata(here)) {
    return wanted;
  }
  // The largest share first; free chunks may all be in quarantine, so that it is tried in turn. At
  // the very end the first region, when it is kept for metadata.
  uint32_t tried = 0;
  for (size_t turn = 0; turn < regions_.size(); ++turn) {
    Region* best = nullptr;
    for (size_t i = 0; i < regions_.size(); ++i) {
      Region& region = regions_[i];
      if ((tried >> i & 1) != 0 || !region.usable || region.free() == 0) continue;
      if (best == nullptr || (kept_for_metadata(*best) && !kept_for_metadata(region)) ||
          (kept_for_metadata(*best) == kept_for_metadata(region) &&
           region.free() * best->count() > best->free() * region.count())) {
        best = &region;
      }
    }
    if (best == nullptr) return 0;
    tried |= 1u << (best - regions_.data());
    if (free && best == &here) return wanted;
    const uint32_t chunk = find_in(*best, best->next);
    if (chunk == 0) continue;
    // Room for this run to go on, as long as there is other room for the next one.
    best->next = chunk + best->run_chunks();
    return chunk;
  }
  return 0;
}

uint32_t Allocator::find_in(const Region& region, uint64_t from) const noexcept {
  if (from < region.first || from >= region.end) from = region.first;
  const uint32_t chunk = find(from, region.end);
  return chunk != 0 ? chunk : find(region.first, from);
}

// Word by word through the summary.
uint32_t Allocator::find(uint64_t from, uint64_t end) const noexcept {
  if (from >= end) return 0;
  uint64_t word = from / 64;
  uint64_t free_bits = ~busy_[word] & (~0ull << (from % 64));
  if (free_bits == 0) {
    word = next_word_with_room(word + 1);
    if (word >= busy_.size()) return 0;
    free_bits = ~busy_[word];
  }
  const uint64_t chunk = word * 64 + static_cast<uint64_t>(std::countr_zero(free_bits));
  if (chunk >= end) return 0;
  CHECK(chunk != 0 && chunk < total_);
  return static_cast<uint32_t>(chunk);
}

uint64_t Allocator::next_word_with_room(uint64_t word) const noexcept {
  uint64_t from = ~0ull << (word % 64);
  for (uint64_t at = word / 64; at < full_.size(); ++at) {
    const uint64_t candidates = ~full_[at] & from;
    if (candidates != 0) return at * 64 + static_cast<uint64_t>(std::countr_zero(candidates));
    from = ~0ull;
  }
  return busy_.size();
}

bool Allocator::claim(uint32_t chunk) {
  if (chunk == 0 || chunk >= total_ || owned(chunk)) return false;
  // During replay there is no quarantine: what is not owned is not busy.
  set_busy(chunk, true);
  set_owned(chunk, true);
  return true;
}

bool Allocator::claim_first(uint64_t count) {
  if (count > total_ || owned_ != 0) return false;
  for (uint32_t chunk = 0; chunk < count; ++chunk) {
    set_busy(chunk, true);
    set_owned(chunk, true);
  }
  return true;
}

void Allocator::release(uint32_t chunk, uint64_t record) {
  set_owned(chunk, false);
  quarantine_.push_back({chunk, static_cast<uint32_t>(epochs_.current()), record});
}

void Allocator::release_unseen(uint32_t chunk) {
  set_owned(chunk, false);
  set_busy(chunk, false);
}

size_t Allocator::settle(uint64_t durable_record,
                         const std::function<void(uint32_t chunk)>& settled) {
  size_t count = 0;
  while (!quarantine_.empty()) {
    const Freed& freed = quarantine_.front();
    const uint32_t age = static_cast<uint32_t>(epochs_.current()) - freed.epoch_low;
    if (freed.record > durable_record || age < 2) break;
    const uint32_t chunk = freed.chunk;
    quarantine_.pop_front();
    settled(chunk);
    ++count;
  }
  return count;
}

}  // namespace ashlar::store
