// Space: which pages of the metadata chunks are used.
//
// Metadata pages live in chunks of the same chunk space as data, 16 a chunk, found through an
// array of slots (the space tree). A page is taken only by a checkpoint, for the new image of a
// dirty page; the old image's page is marked free in the same checkpoint and may be overwritten
// only after that checkpoint's superblock is durable.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "store/page_tree.h"

namespace ashlar::store {

class Space {
 public:
  explicit Space(PageTree& tree) : tree_(tree) {}

  // At open, with the tree loaded; false when a slot makes no sense.
  [[nodiscard]] bool load(uint64_t slots, uint64_t total_chunks);
  // A chunk whose bytes are allocated on the device becomes 16 free pages in that slot (the next
  // free one when the caller is not replaying).
  [[nodiscard]] bool add_chunk(uint64_t slot, uint32_t chunk);
  uint64_t next_slot() const noexcept { return slots_.size(); }

  uint64_t free_pages() const noexcept { return free_pages_; }
  uint64_t chunk_count() const noexcept { return slots_.size(); }
  // Pages that changing any number of slots can dirty: the whole tree.
  uint64_t own_pages() const noexcept {
    return slots_.size() / limits::words_per_page + limits::max_tree_levels + 1;
  }

  // Checkpoint, at the freeze. There is a free page: the reservations saw to that.
  uint64_t take_page();
  void release_page(uint64_t page);
  // After the superblock is durable: released pages may be taken again.
  void settle();
  // A page that some structure uses, for check: is it known here as used?
  bool used(uint64_t page) const noexcept;

 private:
  struct Slot {
    uint32_t chunk;
    uint16_t used;  // In the newest image.
    uint16_t busy;  // used, and pages released by a checkpoint that is not yet durable.
  };
  void write(uint64_t slot);

  PageTree& tree_;
  std::vector<Slot> slots_;
  std::unordered_map<uint32_t, uint32_t> slot_of_chunk_;
  std::vector<uint64_t> released_;
  uint64_t free_pages_ = 0;
  uint64_t cursor_ = 0;
};

}  // namespace ashlar::store
