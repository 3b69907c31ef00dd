// Walk: reads one image of a pool whole, from its superblock down, and proves it.
//
// Every page is what its reference says; every chunk is owned by exactly one layer or by metadata,
// and the bitmap says the same; the space map knows exactly the reachable pages; every counter is
// what counting gives; the catalog is well-formed. `check` tells what it found, `repair` also uses
// what it has read. It needs a device and a superblock, and no open pool.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "store/cold_io.h"
#include "store/format.h"
#include "store/pool.h"
#include "store/usage_check.h"

namespace ashlar::store {

// Both copies of the superblock; one that cannot be read counts as damaged.
struct SuperblockCopies {
  SuperblockReading copies[2];
  int result[2] = {};  // Of reading them.

  // The valid copy that counts; null: there is none.
  const Superblock* best() const noexcept;
  // Adds what is wrong with the copies, given that one is valid.
  void judge(CheckReport& report) const;
};
void read_superblocks(Device& device, bool for_writing,
                      std::function<void(const SuperblockCopies&)> done);

// Adds a problem within the report's bound. What cannot be mended is kept before what can.
void add_problem(CheckReport& report, CheckReport::Problem problem);

// "layer slot 3 map page 17 of level 0".
std::string page_name(const PageIdentity& identity);

class Walk : public std::enable_shared_from_this<Walk> {
 public:
  using PageKey = std::tuple<TreeKind, uint8_t, uint64_t>;  // Tree, level, index.

  // `report` may hold problems already. `done` runs once, after which the walk may be read.
  Walk(Device& device, const Superblock& superblock, CheckReport report,
       std::function<void(Walk&)> done);
  void begin();

  const Superblock superblock;
  CheckReport report;
  // A page of a map or of the layer table cannot be believed: not all owners are known.
  bool owners_lost = false;
  bool catalog_lost = false;
  // What was read; words of lost pages are 0.
  std::vector<uint64_t> owned;    // A bit a chunk: it has an owner, metadata's included.
  std::vector<uint64_t> bitmap;
  std::vector<uint64_t> space;
  std::vector<uint64_t> layer_words;
  std::vector<LayerRecord> layers;
  uint64_t catalog_records = 0;
  std::unordered_set<uint64_t> pages;         // That something refers to, believed or not.
  std::map<PageKey, PageRef> believed;        // Of the trees rooted in the superblock.
  std::map<PageKey, PageRef> lost;            // Likewise: referred to, and not believed.
  std::map<uint64_t, UsageCheck::Counted> figures;  // By slot, where the record is wrong.

  bool owns(uint64_t chunk) const noexcept {
    return chunk / 64 < owned.size() && (owned[chunk / 64] >> (chunk % 64) & 1) != 0;
  }
  // Is the word of that tree's leaf one that could not be read?
  bool word_lost(TreeKind kind, uint64_t index) const;
  bool any_lost(TreeKind kind) const;
  // What a reservation of that layer may be at most.
  static uint64_t reservation_bound(const LayerRecord& record) noexcept;

 private:
  struct Page {
    PageIdentity identity;
    PageRef ref;
  };
  void problem(std::string where, std::string what, bool repairable = false);
  void lose(const PageIdentity& identity, PageRef ref, std::string what);
  void lose_map(const PageIdentity& identity, std::string what);
  void own(uint64_t chunk, const std::string& owner);
  void read_more();
  void visit(const Page& page, std::span<const std::byte> bytes, int result);
  void leaf_word(const PageIdentity& identity, uint64_t index, uint64_t word);
  void map_entry(const PageIdentity& identity, uint64_t index, uint64_t word);
  void begin_maps();
  void begin_batch();
  void end_batch();
  void check_record(uint64_t slot, const LayerRecord& record);
  void check_space();
  void check_bits();
  void check_catalog(const std::vector<uint64_t>& words);
  void finish();

  Device& device_;
  std::function<void(Walk&)> done_;
  std::vector<Page> todo_;
  uint32_t under_way_ = 0;
  bool maps_begun_ = false;
  bool batch_lost_ = false;
  std::vector<uint64_t> catalog_;
  std::vector<std::vector<uint64_t>> batches_;  // Of slots, still to be read.
  UsageCheck usage_;
};

}  // namespace ashlar::store
