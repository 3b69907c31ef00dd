// Merge: a deleted layer with one child goes into it, one map page after the other.
//
// Entries move; blocks are copied only where both layers have a chunk and the child reads some of
// the parent's blocks. A copy goes to the block's own place in the child's chunk, of which nobody
// reads that place before the record says that it holds the block. First writes into a chunk that
// is being copied wait; what is mapped already is overwritten in place meanwhile, elsewhere in it.
//
// It begins when the deletion is durable: from then on a chunk that moved may be overwritten in
// place, and the deleted layer can never be seen again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "store/cold_io.h"
#include "store/io_state.h"
#include "store/mapping.h"

namespace ashlar::store {

class PoolImpl;
struct Layer;

class Merge {
 public:
  explicit Merge(PoolImpl& pool) : pool_(pool) {}

  // Of neighbouring layers only one may be on its way, and writes may no longer land in either.
  static bool possible(const Layer& layer) noexcept;

  // A neighbour is on its way and stuck: this one has to wait until the pool is opened again.
  static bool blocked(const Layer& layer) noexcept;

  enum class Step : uint8_t {
    went_on,  // A page is done: there may be more.
    done,     // The layer is gone.
    missing,  // A page has to be read first.
    waits,    // For copies, first writes or a commit; it comes back through Reclaimer::kick().
    stuck,    // A block can be neither read nor copied: the layer stays, unseen.
  };
  Step step(Layer& from, MissingPage& missing);

  // First writes into such a chunk wait here.
  bool copying(const Layer& layer, uint64_t index) const noexcept;
  void wait(IoState& state) noexcept { waiters_.push(state); }
  bool quiet() const noexcept { return copies_under_way_ == 0; }

 private:
  struct Copy {
    Layer* from = nullptr;  // Null: not in use.
    Layer* to = nullptr;
    uint64_t index = 0;
    uint16_t needed = 0;
    uint32_t from_chunk = 0;
    uint32_t to_chunk = 0;
    PageNode* leaves[2] = {};
    uint32_t under_way = 0;
    int result = 0;
    AlignedBuffer memory;
  };
  // The next leaf that has something to do; UINT64_MAX: none. Or what must be read to know.
  uint64_t next_leaf(Layer& from, MissingPage& missing) const;
  // Begins what can be begun of the leaf's copies; how many it still needs.
  uint32_t copy_leaf(Layer& from, uint64_t leaf_index);
  bool begin_copy(Layer& from, Layer& to, PageNode& source, PageNode& target, uint32_t slot);
  void read_done(Copy& copy, int result);
  void write_done(Copy& copy, int result);
  void end_copy(Copy& copy);
  void finish_copy(Copy& copy);

  PoolImpl& pool_;
  std::array<Copy, limits::merge_copies> copies_;
  uint32_t copies_under_way_ = 0;
  IoQueue waiters_;
};

}  // namespace ashlar::store
