// Allocator: which chunks are owned, which are free, and which are freed but not yet reusable.
//
// The bitmap (a PageTree, wholly in memory, one bit a chunk) says who is owned and goes to the
// device with checkpoints. A second bitmap in memory says what may not be taken: owned chunks and
// the quarantine. A freed chunk leaves the quarantine when the record that freed it is durable and
// no I/O that may have seen it is under way (design §4.3).
//
// Chunks are spread over the pool's devices, each a region of the chunk space. Within one device a
// sequence of takes stays in sequence. Where a new run begins (the wanted chunk is taken, or 64 MiB
// of a device, a sixteenth of a small one, have gone by) it begins on the device with the largest
// share of free chunks. The first device's last 64th is left to metadata, which lies only there,
// while data has room elsewhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "store/epochs.h"
#include "store/page_tree.h"

namespace ashlar::store {

class Allocator {
 public:
  Allocator(PageTree& bitmap, Epochs& epochs) : bitmap_(bitmap), epochs_(epochs) {}

  // At open, with the bitmap tree loaded. Chunks at or beyond `total` do not exist; returns false
  // when the bitmap claims one of them. They are one region, usable.
  [[nodiscard]] bool load(uint64_t total_chunks);
  // After load(): the regions begin at these chunks. Only the first is usable.
  void divide(std::span<const uint64_t> first_chunks);
  // A further region behind the others, all free and not usable.
  void grow(uint64_t chunks);
  // A region that is not usable keeps what is owned; nothing of it is taken.
  void set_usable(uint32_t region, bool usable) noexcept { regions_[region].usable = usable; }

  // A free chunk for data: `wanted` if that one is free, else of a new run; with one region the
  // next free one after it. 0: none is free now.
  uint32_t take(uint32_t wanted);
  // For metadata, which lies in the first region: the next free chunk from `wanted` on. In two
  // steps, for a chunk that has to be prepared first: reserved chunks are nobody's and are not
  // taken; then it is owned, or free again.
  uint32_t reserve(uint32_t wanted);
  void own(uint32_t chunk) { set_owned(chunk, true); }
  void unreserve(uint32_t chunk) { set_busy(chunk, false); }
  // Replay: takes exactly this one; false when it is owned already or does not exist.
  [[nodiscard]] bool claim(uint32_t chunk);
  [[nodiscard]] bool claim_first(uint64_t count);  // Chunks [0, count), of a new pool.
  // Gives it back. It may be taken again once record number `record` is durable and the epoch is
  // over.
  void release(uint32_t chunk, uint64_t record);
  // Replay: nobody sees anything yet.
  void release_unseen(uint32_t chunk);
  // Takes out of the quarantine what has waited long enough and tells `settled` of each; returns how
  // many. They may be taken again after reuse().
  size_t settle(uint64_t durable_record, const std::function<void(uint32_t chunk)>& settled);
  void reuse(uint32_t chunk) noexcept { set_busy(chunk, false); }

  bool owned(uint32_t chunk) const noexcept;
  uint64_t total() const noexcept { return total_; }
  uint64_t owned_count() const noexcept { return owned_; }
  // Of usable regions; quarantine included.
  uint64_t free_count() const noexcept;
  uint64_t free_in(uint32_t region) const noexcept { return regions_[region].free(); }
  size_t quarantined() const noexcept { return quarantine_.size(); }

 private:
  struct Region {
    uint64_t first = 0;
    uint64_t end = 0;
    uint64_t owned = 0;
    uint64_t next = 0;  // Where its next run begins, at the earliest.
    bool usable = true;
    uint64_t count() const noexcept { return end - first; }
    uint64_t free() const noexcept { return count() - owned; }
    uint64_t run_chunks() const noexcept {
      return std::min<uint64_t>(limits::spread_chunks, count() / 16);
    }
  };
  Region& region_of(uint64_t chunk) noexcept;
  bool busy(uint64_t chunk) const noexcept {
    return (busy_[chunk / 64] >> (chunk % 64) & 1) != 0;
  }
  // Region 0 has no more left than metadata wants.
  bool kept_for_metadata(const Region& region) const noexcept;
  uint32_t find_data(uint32_t wanted) noexcept;
  // A chunk that is not busy: the next from `from` on, once round the region. 0: none.
  uint32_t find_in(const Region& region, uint64_t from) const noexcept;
  uint32_t find(uint64_t from, uint64_t end) const noexcept;
  uint64_t next_word_with_room(uint64_t word) const noexcept;
  void mark_beyond() noexcept;
  void set_busy(uint32_t chunk, bool busy) noexcept;
  void set_owned(uint32_t chunk, bool owned);

  struct Freed {
    uint32_t chunk;
    uint32_t epoch_low;  // Low bits of the epoch; differences stay small.
    uint64_t record;
  };
  PageTree& bitmap_;
  Epochs& epochs_;
  uint64_t total_ = 0;
  uint64_t owned_ = 0;
  std::vector<Region> regions_;
  std::vector<uint64_t> busy_;  // Bit set: may not be taken.
  std::vector<uint64_t> full_;  // Bit i set: busy_[i] is all ones.
  std::deque<Freed> quarantine_;
};

}  // namespace ashlar::store
