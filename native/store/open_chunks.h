// OpenChunks: chunks with writes of the owner in flight, which therefore must not be freed.
//
// A fixed open-addressed table, counted; sized so that it can never fill (limits.h).
#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "store/limits.h"

namespace ashlar::store {

class OpenChunks {
 public:
  OpenChunks() : slots_(limits::open_chunk_slots) {}

  void add(uint32_t chunk) noexcept {
    CHECK(chunk != 0);
    size_t at = home(chunk);
    while (slots_[at].chunk != 0 && slots_[at].chunk != chunk) at = after(at);
    CHECK(slots_[at].chunk == chunk || ++used_ < slots_.size() * 3 / 4);
    slots_[at].chunk = chunk;
    ++slots_[at].count;
  }
  void remove(uint32_t chunk) noexcept {
    size_t at = home(chunk);
    while (slots_[at].chunk != chunk) {
      CHECK(slots_[at].chunk != 0);
      at = after(at);
    }
    if (--slots_[at].count > 0) return;
    --used_;
    // Close the gap, so that every chain of probes stays unbroken.
    size_t hole = at;
    for (size_t next = after(hole); slots_[next].chunk != 0; next = after(next)) {
      const size_t ideal = home(slots_[next].chunk);
      const bool stays = hole <= next ? (hole < ideal && ideal <= next)
                                      : (hole < ideal || ideal <= next);
      if (stays) continue;
      slots_[hole] = slots_[next];
      hole = next;
    }
    slots_[hole] = {};
  }
  bool contains(uint32_t chunk) const noexcept {
    for (size_t at = home(chunk); slots_[at].chunk != 0; at = after(at)) {
      if (slots_[at].chunk == chunk) return true;
    }
    return false;
  }

 private:
  struct Slot {
    uint32_t chunk = 0;
    uint32_t count = 0;
  };
  size_t home(uint32_t chunk) const noexcept {
    // Eight chunks side by side, as first writes take them, share a cache line.
    const uint32_t line = (chunk / 8 * 2654435761u) >> 7;
    return (size_t{line} * 8 + chunk % 8) & (slots_.size() - 1);
  }
  size_t after(size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

static_assert((limits::open_chunk_slots & (limits::open_chunk_slots - 1)) == 0);

}  // namespace ashlar::store
