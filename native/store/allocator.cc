#include "store/allocator.h"

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
    busy_[i] = word | beyond;
    if (busy_[i] == ~0ull) full_[i / 64] |= 1ull << (i % 64);
  }
  for (uint64_t i = word_count; i < full_.size() * 64; ++i) full_[i / 64] |= 1ull << (i % 64);
  return true;
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
  owned_ += owned ? 1 : ~uint64_t{0};
}

bool Allocator::owned(uint32_t chunk) const noexcept {
  return chunk < total_ && (bitmap_.get(chunk / 64) >> (chunk % 64) & 1) != 0;
}

uint32_t Allocator::take(uint32_t wanted) {
  const uint32_t chunk = reserve(wanted);
  if (chunk != 0) own(chunk);
  return chunk;
}

uint32_t Allocator::reserve(uint32_t wanted) {
  if (wanted >= total_) wanted = 0;
  // First the rest of the wanted chunk's word, then word by word through the summary, once round.
  const uint64_t word_count = busy_.size();
  const uint64_t start = wanted / 64;
  uint64_t free_bits = ~busy_[start] & (~0ull << (wanted % 64));
  uint64_t word = start;
  if (free_bits == 0) {
    bool found = false;
    uint64_t at = start + 1;
    const uint64_t summary_count = full_.size();
    for (uint64_t step = 0; step <= summary_count && !found; ++step) {
      const uint64_t summary = (at / 64) % summary_count;
      const uint64_t from = step == 0 && at / 64 < summary_count ? ~0ull << (at % 64) : ~0ull;
      const uint64_t candidates = ~full_[summary] & from;
      if (candidates != 0) {
        word = summary * 64 + static_cast<uint64_t>(std::countr_zero(candidates));
        found = true;
      }
      at = (summary + 1) * 64;
    }
    if (!found) return 0;
    CHECK(word < word_count);
    free_bits = ~busy_[word];
  }
  const auto chunk =
      static_cast<uint32_t>(word * 64 + static_cast<uint64_t>(std::countr_zero(free_bits)));
  CHECK(chunk != 0 && chunk < total_);
  set_busy(chunk, true);
  return chunk;
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
