// LeafCursor: the leaves of a tree on the device in order, each with the proof that it is the one
// asked for, and word of what cannot be believed. For reading pools that nobody has open.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "store/cold_io.h"
#include "store/format.h"

namespace ashlar::store {

class LeafCursor : public std::enable_shared_from_this<LeafCursor> {
 public:
  using Words = std::array<uint64_t, limits::words_per_page>;
  struct Leaf {
    enum class Kind : uint8_t { end, present, lost } kind = Kind::end;
    uint64_t index = 0;
    const Words* words = nullptr;  // present; until the next call.
    std::string problem;           // lost: what is wrong, and how many leaves that concerns.
    uint64_t lost_leaves = 0;
  };

  LeafCursor(Device& device, const Superblock& superblock, PageIdentity root, PageRef ref);
  // The first leaf at or after `index` that is there, or cannot be read.
  void next(uint64_t index, std::function<void(const Leaf&)> done);

 private:
  // The page of each level that was read last.
  struct Page {
    bool known = false;
    uint64_t index = 0;
    PageRef ref;
    std::string problem;  // Empty: it is believed.
    Words words = {};
  };
  void walk();
  void read(uint8_t level, uint64_t index, PageRef ref);
  void lost(uint8_t level, uint64_t index, std::string problem);
  void tell(const Leaf& leaf);

  Device& device_;
  const Uuid pool_;
  const uint64_t total_chunks_;
  const PageIdentity root_;
  const PageRef ref_;
  std::array<Page, limits::max_tree_levels> pages_;
  uint64_t wanted_ = 0;
  std::function<void(const Leaf&)> done_;
  AlignedBuffer buffer_{limits::page_bytes};
};

}  // namespace ashlar::store
