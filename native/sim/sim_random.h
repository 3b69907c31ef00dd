// SimRandom: a small fast generator (splitmix64); the same seed gives the same numbers.
#pragma once

#include <cstring>

#include "reactor/random.h"

namespace ashlar::sim {

class SimRandom final : public Random {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}

  uint64_t next_u64() noexcept override {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  void fill(std::span<std::byte> bytes) noexcept override {
    for (size_t at = 0; at < bytes.size(); at += 8) {
      const uint64_t word = next_u64();
      std::memcpy(bytes.data() + at, &word, bytes.size() - at < 8 ? bytes.size() - at : 8);
    }
  }
  // Below `bound`, which is not 0.
  uint64_t below(uint64_t bound) noexcept { return next_u64() % bound; }
  bool one_in(uint64_t odds) noexcept { return below(odds) == 0; }

 private:
  uint64_t state_;
};

}  // namespace ashlar::sim
