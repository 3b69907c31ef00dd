// ImageWriter: plans and writes the pages by which a new image differs from one that was walked.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_set>
#include <vector>

#include "store/cold_io.h"
#include "store/format.h"
#include "store/walk.h"

namespace ashlar::store {

class ImageWriter : public std::enable_shared_from_this<ImageWriter> {
 public:
  explicit ImageWriter(Device& device, const Walk& walk);

  // The tree shall hold exactly these words. Its pages that hold something else, or that cannot be
  // believed, are written anew, with those above them; `all`: every page.
  void plan(TreeKind kind, const std::vector<uint64_t>& words, bool all);
  // Words of a tree that was planned, before write(): its pages are known, their words not yet.
  void fill(TreeKind kind, const std::vector<uint64_t>& words);

  size_t page_count() const noexcept { return pages_.size(); }
  // Gives each planned page its place, from this list; false: it is too short.
  [[nodiscard]] bool assign(const std::vector<uint64_t>& free_pages);
  // Pages that the new image uses, given those the old one did.
  std::unordered_set<uint64_t> used_after() const;

  // Writes the pages and flushes; `superblock` gets the new roots. 0 or -errno.
  void write(Superblock& superblock, std::function<void(int result)> done);

 private:
  using Words = std::array<uint64_t, limits::words_per_page>;
  struct Page {
    std::unique_ptr<Words> words;
    uint64_t place = 0;
    PageRef ref;
  };
  bool stays(const Walk::PageKey& key) const;
  const std::vector<uint64_t>& words_of(TreeKind kind) const;
  void plan_parents(TreeKind kind, uint8_t level);
  void seal(const Walk::PageKey& key, Page& page);
  void write_next(Superblock& superblock);
  // What refers to a page of the new image; none: there is none.
  PageRef ref_of(const Walk::PageKey& key) const;

  Device& device_;
  const Walk& walk_;
  uint64_t generation_ = 0;
  uint8_t levels_[root_count + 1] = {};      // Of the new roots, by kind.
  bool planned_[root_count + 1] = {};        // The tree has another root.
  bool all_[root_count + 1] = {};            // Nothing of the old tree stays.
  std::map<Walk::PageKey, Page> pages_;      // By tree, then level: children before parents.
  std::map<Walk::PageKey, Page>::iterator next_;
  AlignedBuffer memory_{limits::page_bytes};
  std::function<void(int)> done_;
};

}  // namespace ashlar::store
