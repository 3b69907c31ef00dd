// What was read from a layer, against its history.
#pragma once

#include <cstring>
#include <span>
#include <string>

#include "history.h"

namespace ashlar::store::testing {

// The stamp whose fill() gives this word in that sector; 0 for zeroes.
inline uint64_t stamp_of(uint64_t word, uint64_t sector) noexcept {
  constexpr uint64_t factor = 0x9e3779b97f4a7c15ull;
  constexpr uint64_t inverse = [] {
    uint64_t x = factor;  // Newton's iteration: right to 3 bits, then 6, 12, 24, 48, 96.
    for (int i = 0; i < 5; ++i) x *= 2 - factor * x;
    return x;
  }();
  static_assert(factor * inverse == 1);
  return word == 0 ? 0 : (word - sector) * inverse;
}

// How what was read is judged.
struct Judging {
  Certain certain = Certain::completed;
  uint64_t first_sector = 0;
  uint64_t before = UINT64_MAX;  // When the read was submitted.
  bool pin = false;  // The layer is frozen, and from now on holds this only.
};

// Compares what was read with what is possible; the answer is empty when all is well.
inline std::string judge_content(Content& content, std::span<const std::byte> bytes,
                                 const Judging& judging) {
  for (uint64_t i = 0; i < bytes.size() / 512; ++i) {
    const uint64_t s = judging.first_sector + i;
    const std::byte* sector = bytes.data() + i * 512;
    uint64_t word;
    std::memcpy(&word, sector, 8);
    const bool uniform = std::memcmp(sector, sector + 8, 504) == 0;
    if (uniform && word == 0 && content.untouched(s)) continue;
    const uint64_t stamp = stamp_of(word, s);
    if (uniform && content.allows(s, judging.certain, stamp, judging.before)) {
      if (judging.pin) content.pin(s, stamp);
      continue;
    }
    std::string text = "sector " + std::to_string(s) + " holds " +
                       (uniform ? "stamp " + std::to_string(stamp) : "a mixture") + ", possible:";
    content.for_each_write(s, [&](const Write& write) {
      if (!content.allows(s, judging.certain, write.stamp, judging.before)) return;
      text += " " + std::to_string(write.stamp);
    });
    return text;
  }
  return {};
}

}  // namespace ashlar::store::testing
