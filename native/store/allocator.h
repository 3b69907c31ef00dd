// Allocator: which chunks are owned, which are free, and which are freed but not yet reusable.
//
// The bitmap (a PageTree, wholly in memory, one bit a chunk) says who is owned and goes to the
// device with checkpoints. A second bitmap in memory says what may not be taken: owned chunks and
// the quarantine. A freed chunk leaves the quarantine when the record that freed it is durable and
// no I/O that may have seen it is under way (design §4.3).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "store/epochs.h"
#include "store/page_tree.h"

namespace ashlar::store {

class Allocator {
 public:
  Allocator(PageTree& bitmap, Epochs& epochs) : bitmap_(bitmap), epochs_(epochs) {}

  // At open, with the bitmap tree loaded. Chunks at or beyond `total` do not exist; returns false
  // when the bitmap claims one of them.
  [[nodiscard]] bool load(uint64_t total_chunks);

  // A free chunk, `wanted` if that one is free, else the next one after it; 0: none is free now.
  uint32_t take(uint32_t wanted);
  // In two steps, for a chunk that has to be prepared first: reserved chunks are nobody's and are
  // not taken; then it is owned, or free again.
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
  uint64_t free_count() const noexcept { return total_ - owned_; }  // Quarantine included.
  size_t quarantined() const noexcept { return quarantine_.size(); }

 private:
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
  std::vector<uint64_t> busy_;  // Bit set: may not be taken.
  std::vector<uint64_t> full_;  // Bit i set: busy_[i] is all ones.
  std::deque<Freed> quarantine_;
};

}  // namespace ashlar::store
