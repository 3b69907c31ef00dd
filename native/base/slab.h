// Slab: cells of one size for what is made and dropped by the page (4 KiB of a map and the like),
// from regions of 2 MiB in huge pages where the system has them: a map that is walked at random
// misses the TLB less, and growing costs a page fault a region, not one a page (13 us in some
// virtual machines). Regions go back to the system together, all but one, when the last cell is
// given back.
//
//   struct Node : FromSlab<Node> { … };   new Node, delete node, std::make_unique<Node>()
//
// Any thread. In builds with AddressSanitizer cells come from the heap, so that it sees their ends.
#pragma once

#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

namespace ashlar {

class Slab {
 public:
  explicit Slab(size_t cell_bytes) noexcept;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // Aligned to 64 bytes, not zeroed; never null: without memory the process ends.
  void* take();
  void give(void* cell) noexcept;

 private:
  struct Free {
    Free* next;
  };

  const size_t cell_bytes_;
  std::mutex mutex_;
  std::vector<void*> regions_;
  Free* free_ = nullptr;
  std::byte* fresh_ = nullptr;  // What no cell was cut from yet, of the newest region.
  size_t fresh_cells_ = 0;
  size_t in_use_ = 0;
};

template <class T>
struct FromSlab {
  static void* operator new(size_t) { return slab().take(); }
  static void* operator new(size_t, std::align_val_t) { return slab().take(); }
  static void operator delete(void* cell) noexcept { slab().give(cell); }
  static void operator delete(void* cell, std::align_val_t) noexcept { slab().give(cell); }

 private:
  // Never destroyed: what is still alive when the process ends may be given back later than that.
  static Slab& slab() {
    static Slab& slab = *new Slab(sizeof(T));
    return slab;
  }
};

}  // namespace ashlar
