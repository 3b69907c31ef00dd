// Histogram: latencies in logarithmic buckets, 1/1024 of a power of two wide.
//
// A value below 2048 has a bucket of its own; above, the highest ten bits after the leading one
// choose it, so a reported percentile is at most 0.1 % above the true one: three digits. These are
// the buckets of an HdrHistogram with three significant digits, index by index. Values above 2^40
// ns (18 minutes) count as that. 31 powers of two of 1024 buckets: 256 KiB, taken at the start; of
// these a run touches the few powers of two in which its latencies lie.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ashlar::load {

class Histogram {
 public:
  static constexpr uint32_t sub_bits = 10;
  static constexpr uint32_t sub_count = 1u << sub_bits;
  static constexpr uint32_t max_bits = 40;
  static constexpr size_t bucket_count = (max_bits - sub_bits + 1) * sub_count;

  Histogram() : buckets_(bucket_count) {}

  void add(uint64_t value) noexcept {
    ++buckets_[index_of(value)];
    ++count_;
    sum_ += value;
    max_ = std::max(max_, value);
    min_ = std::min(min_, value);
  }
  void merge(const Histogram& other) noexcept {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
    min_ = std::min(min_, other.min_);
  }
  uint64_t count() const noexcept { return count_; }
  uint64_t sum() const noexcept { return sum_; }
  uint64_t max() const noexcept { return max_; }
  uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
  uint64_t bucket(size_t index) const noexcept { return buckets_[index]; }

  // The least bucket end that `per_mille` thousandths of the values do not exceed; 0 when empty.
  uint64_t percentile(uint32_t per_mille) const noexcept {
    const uint64_t wanted = (count_ * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen < wanted || seen == 0) continue;
      return i + 1 == bucket_count ? max_ : std::min(last_of(i), max_);
    }
    return max_;
  }

  static constexpr size_t index_of(uint64_t value) noexcept {
    value = std::min(value, (uint64_t{1} << max_bits) - 1);
    if (value < sub_count) return static_cast<size_t>(value);
    const auto exponent = static_cast<uint32_t>(63 - std::countl_zero(value));
    const uint64_t sub = value >> (exponent - sub_bits) & (sub_count - 1);
    return (exponent - sub_bits + 1) * sub_count + static_cast<size_t>(sub);
  }
  // The largest value of a bucket.
  static constexpr uint64_t last_of(size_t index) noexcept {
    if (index < sub_count) return index;
    const auto shift = static_cast<uint32_t>(index / sub_count - 1);
    const uint64_t first = (sub_count + index % sub_count) << shift;
    return first + ((uint64_t{1} << shift) - 1);
  }

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
  uint64_t min_ = UINT64_MAX;
};

}  // namespace ashlar::load
