// Which block is next: sequences that cost nothing and repeat by seed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ashlar::load {

// xorshift64*.
class Sequence {
 public:
  explicit Sequence(uint64_t seed) noexcept : state_(seed * 0x9e3779b97f4a7c15 + 1) {
    if (state_ == 0) state_ = 1;
    for (int i = 0; i < 8; ++i) next();
  }
  uint64_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }
  // 0 to bound - 1, by the high half of the product: no division.
  uint64_t below(uint64_t bound) noexcept {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(next()) * bound >> 64);
  }
  // 0 up to, not including, 1.
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

// Ranks 0 to count - 1, rank k with a probability in proportion to 1 / (k + 1)^theta, at a cost
// that does not grow with the count: rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-
// inversion to generate variates from monotone discrete distributions", 1996). The density is
// covered by the integral of 1/x^theta, which can be inverted; fewer than one try in ten is
// rejected.
class Zipf {
 public:
  // count >= 1; theta > 0.
  Zipf(uint64_t count, double theta) noexcept
      : count_(count),
        theta_(theta),
        integral_low_(integral(1.5) - 1),
        integral_high_(integral(static_cast<double>(count) + 0.5)),
        squeeze_(2 - inverse(integral(2.5) - density(2))) {}

  uint64_t rank(Sequence& sequence) const noexcept {
    for (;;) {
      const double u = integral_high_ + sequence.unit() * (integral_low_ - integral_high_);
      const double x = inverse(u);
      const double k = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(count_));
      if (k - x <= squeeze_ || u >= integral(k + 0.5) - density(k)) {
        return std::min(static_cast<uint64_t>(k), count_) - 1;
      }
    }
  }

 private:
  double density(double x) const noexcept { return std::exp(-theta_ * std::log(x)); }
  // From 1 to x, of 1/t^theta.
  double integral(double x) const noexcept {
    const double log_x = std::log(x);
    return expm1_over((1 - theta_) * log_x) * log_x;
  }
  double inverse(double y) const noexcept {
    return std::exp(log1p_over(std::max(y * (1 - theta_), -1.0)) * y);
  }
  // expm1(x)/x and log1p(x)/x, also where x is next to 0 because theta is next to 1.
  static double expm1_over(double x) noexcept {
    return std::abs(x) > 1e-8 ? std::expm1(x) / x : 1 + x / 2;
  }
  static double log1p_over(double x) noexcept {
    return std::abs(x) > 1e-8 ? std::log1p(x) / x : 1 - x / 2;
  }

  uint64_t count_;
  double theta_;
  double integral_low_;
  double integral_high_;
  double squeeze_;
};

// Spreads ranks over the whole space, so that what is asked for most does not lie side by side:
// multiplication by a prime is a permutation of 0 to count - 1 unless the count is a multiple of
// it.
inline uint64_t scattered(uint64_t rank, uint64_t count) noexcept {
  constexpr uint64_t prime = 11'400'714'819'323'198'549u;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(rank) * prime % count);
}

}  // namespace ashlar::load
