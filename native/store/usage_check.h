// UsageCheck: the figures of mapping.h, counted anew from the entries of whole families of layers
// (all that stand on one root), for `check`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/format.h"

namespace ashlar::store {

class UsageCheck {
 public:
  // What counting gave, beside the record.
  struct Counted {
    uint64_t mapped = 0;
    uint64_t allocated = 0;
    uint64_t visible = 0;
    uint64_t frees = 0;
    uint64_t passed = 0;
  };
  using Problem = std::function<void(std::string where, std::string what)>;
  using Wrong = std::function<void(uint64_t slot, const Counted& counted)>;

  // Layers come by families: with every layer all others that it is related to.
  void add_layer(uint64_t slot, const LayerRecord& record);
  void add_entry(uint64_t slot, uint64_t index, MapEntry entry);
  // Counts, tells what is wrong (`problem`: in words; `wrong`: of which records, once each), and
  // forgets them all. Layers in a ring are a problem that no figure mends: `ring` tells of them.
  void judge(const Problem& problem, const Wrong& wrong, const Problem& ring);
  // Forgets them all untold: of some of them not every entry is known.
  void drop();

  // The slots of all layers, in batches of whole families of about this many layers.
  static std::vector<std::vector<uint64_t>> batches(const std::vector<LayerRecord>& records,
                                                    size_t about);

 private:
  using Words = std::array<uint64_t, limits::words_per_page>;
  using Masks = std::array<uint16_t, limits::words_per_page>;
  struct Member {
    uint64_t slot = 0;
    LayerRecord record;
    size_t parent = SIZE_MAX;  // In members_.
    Counted counted;
  };
  struct Shown {
    std::shared_ptr<const Masks> masks;
    uint64_t blocks = 0;
  };
  // Parents before their children. False: a ring, told already.
  bool order(const Problem& problem);
  void count_leaf(uint64_t leaf);
  // False: the record is wrong.
  bool compare(const Member& member, const Problem& problem) const;

  std::vector<Member> members_;
  std::unordered_map<uint64_t, size_t> place_;  // By slot.
  std::map<uint64_t, std::unordered_map<uint64_t, std::unique_ptr<Words>>> leaves_;  // Then slot.
  std::vector<Shown> shown_;
};

}  // namespace ashlar::store
