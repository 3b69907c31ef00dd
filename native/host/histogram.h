// Histogram: latencies in logarithmic buckets, 1/32 of a power of two wide.
//
// A value below 32 has a bucket of its own; above, the highest five bits after the leading one
// choose it, so a reported percentile is at most 1/32 (3.1 %) above the true one. 60 powers of two
// of 32 buckets: 15 KiB, no allocation, any 64-bit value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace ashlar::host {

class Histogram {
 public:
  void add(uint64_t value) noexcept {
    ++buckets_[index_of(value)];
    ++count_;
    max_ = std::max(max_, value);
  }
  void merge(const Histogram& other) noexcept {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }
  uint64_t count() const noexcept { return count_; }
  uint64_t max() const noexcept { return max_; }

  // The least bucket end that `per_mille` thousandths of the values do not exceed; 0 when empty.
  uint64_t percentile(uint32_t per_mille) const noexcept {
    const uint64_t wanted = (count_ * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen != 0) return std::min(last_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr uint32_t sub_bits = 5;
  static constexpr uint32_t sub_count = 1u << sub_bits;

  static constexpr size_t index_of(uint64_t value) noexcept {
    if (value < sub_count) return static_cast<size_t>(value);
    const auto exponent = static_cast<uint32_t>(63 - std::countl_zero(value));
    const uint64_t sub = value >> (exponent - sub_bits) & (sub_count - 1);
    return (exponent - sub_bits + 1) * sub_count + static_cast<size_t>(sub);
  }
  static constexpr uint64_t last_of(size_t index) noexcept {
    if (index < sub_count) return index;
    const auto shift = static_cast<uint32_t>(index / sub_count - 1);
    const uint64_t first = (sub_count + index % sub_count) << shift;
    return first + ((uint64_t{1} << shift) - 1);
  }

  std::array<uint64_t, (64 - sub_bits + 1) * sub_count> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace ashlar::host
