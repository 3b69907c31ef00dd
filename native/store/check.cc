// Pool::check: reads the newest image on the device, whole, and proves it.
//
// Every page is reachable once and is what its reference says; every chunk is owned by exactly one
// layer or by metadata, and the bitmap says the same; the space map knows exactly the reachable
// pages; every counter is what counting gives; the catalog is well-formed. A writable pool is
// checkpointed first and its image kept until the check ends, so the proof is of one instant.
#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/bytes.h"
#include "store/pool_impl.h"
#include "store/usage_check.h"

namespace ashlar::store {

namespace {

using Done = std::function<void(Result<CheckReport>)>;
constexpr uint32_t read_window = 64;
constexpr size_t batch_layers = 256;

class Checking : public std::enable_shared_from_this<Checking> {
 public:
  Checking(PoolImpl& pool, Done done) : pool_(pool), done_(std::move(done)) {
    ++pool_.checks_under_way;
  }

  void begin() {
    pool_.checkpointer.hold();
    read_copy(0);
  }

 private:
  struct Page {
    PageIdentity identity;
    PageRef ref;
  };
  void problem(std::string where, std::string what) {
    if (report_.problems.size() < limits::check_problems) {
      report_.problems.push_back({std::move(where), std::move(what)});
    } else {
      ++report_.suppressed;
    }
  }

  static std::string name(const PageIdentity& identity) {
    static constexpr const char* kinds[] = {"", "bitmap", "space map", "layer table", "catalog", "map"};
    std::string text = identity.kind == TreeKind::map
                           ? "layer slot " + std::to_string(identity.tree) + " map"
                           : kinds[static_cast<uint8_t>(identity.kind)];
    return text + " page " + std::to_string(identity.index) + " of level " +
           std::to_string(identity.level);
  }

  void read_copy(uint32_t copy) {
    if (copy == 2) return choose();
    cold_read(pool_.device(), superblock_offsets[copy], buffer_.span(),
              [self = shared_from_this(), copy](int result) {
                const std::string where = "superblock " + std::to_string(copy);
                if (result != 0) {
                  self->problem(where, error_from_errno(-result, "reading it").message);
                } else {
                  SuperblockReading reading = read_superblock(self->buffer_.span(), false);
                  if (reading.verdict != SuperblockVerdict::valid) {
                    self->problem(where, reading.problem);
                  } else if (self->best_.generation < reading.superblock.generation) {
                    self->best_ = reading.superblock;
                  }
                }
                self->read_copy(copy + 1);
              });
  }

  void choose() {
    if (best_.generation != pool_.superblock.generation) {
      problem("superblock", "the newest valid copy is of generation " +
                                std::to_string(best_.generation) + ", the open pool's of " +
                                std::to_string(pool_.superblock.generation));
      return end();
    }
    owned_.assign((best_.total_chunks + 63) / 64, 0);
    bitmap_.assign(owned_.size(), 0);
    for (uint64_t c = 0; c < fixed_chunks(best_); ++c) {
      own(c, "the superblocks, the journal and the kill log");
    }
    for (uint32_t i = 1; i < best_.device_count; ++i) {
      own(best_.devices[i].first_chunk, "the label of device " + std::to_string(i));
    }
    constexpr TreeKind kinds[root_count] = {TreeKind::bitmap, TreeKind::space, TreeKind::layers,
                                            TreeKind::catalog};
    for (uint32_t i = 0; i < root_count; ++i) {
      if (best_.roots[i].ref == 0) continue;
      todo_.push_back({{kinds[i], static_cast<uint8_t>(best_.roots[i].level), 0, 0},
                       PageRef{best_.roots[i].ref}});
    }
    pool_.devices.check_labels(
        [self = shared_from_this()](std::vector<CheckReport::Problem> problems) {
          for (auto& each : problems) self->problem(std::move(each.where), std::move(each.what));
          self->read_more();
        });
  }

  void own(uint64_t chunk, const std::string& owner) {
    if (chunk >= best_.total_chunks) {
      return problem(owner, "chunk " + std::to_string(chunk) + " lies beyond the pool's end");
    }
    const uint64_t bit = 1ull << (chunk % 64);
    if ((owned_[chunk / 64] & bit) != 0) {
      return problem(owner, "chunk " + std::to_string(chunk) + " is owned twice");
    }
    owned_[chunk / 64] |= bit;
    ++report_.chunks_owned;
  }

  void read_more() {
    while (!todo_.empty() && under_way_ < read_window) {
      const Page page = todo_.back();
      todo_.pop_back();
      if (!pages_.insert(page.ref.page()).second) {
        problem(name(page.identity), "page " + std::to_string(page.ref.page()) + " is used twice");
        continue;
      }
      if (page.ref.page() / limits::pages_per_chunk >= best_.total_chunks) {
        problem(name(page.identity), "lies beyond the pool's end");
        continue;
      }
      ++under_way_;
      auto memory = std::make_shared<AlignedBuffer>(limits::page_bytes);
      cold_read(pool_.device(), page.ref.page() * limits::page_bytes, memory->span(),
                [self = shared_from_this(), page, memory](int result) {
                  --self->under_way_;
                  self->visit(page, memory->span(), result);
                  self->read_more();
                });
    }
    if (!todo_.empty() || under_way_ > 0) return;
    if (!maps_begun_) {
      maps_begun_ = true;
      begin_maps();
    } else {
      usage_.judge([this](std::string where, std::string what) {
        problem(std::move(where), std::move(what));
      });
    }
    if (!batches_.empty()) {
      begin_batch();
      return read_more();
    }
    finish();
  }

  void visit(const Page& page, std::span<const std::byte> bytes, int result) {
    ++report_.pages_read;
    if (result != 0) {
      return problem(name(page.identity), error_from_errno(-result, "reading it").message);
    }
    if (std::string what = verify_page(bytes, best_.pool, page.identity, page.ref); !what.empty()) {
      return problem(name(page.identity), std::move(what));
    }
    for (uint32_t i = 0; i < limits::words_per_page; ++i) {
      const auto word = read_at<uint64_t>(bytes, limits::page_header_bytes + i * 8ull);
      if (word == 0) continue;
      const uint64_t index = page.identity.index * limits::words_per_page + i;
      if (page.identity.level > 0) {
        if ((word & 1) == 0) {
          problem(name(page.identity), "word " + std::to_string(i) + " is no page reference");
          continue;
        }
        PageIdentity child = page.identity;
        --child.level;
        child.index = index;
        todo_.push_back({child, PageRef{word}});
      } else {
        leaf_word(page.identity, index, word);
      }
    }
  }

  static void put(std::vector<uint64_t>& words, uint64_t index, uint64_t word) {
    if (words.size() <= index) words.resize(index + 1);
    words[index] = word;
  }

  void leaf_word(const PageIdentity& identity, uint64_t index, uint64_t word) {
    switch (identity.kind) {
      case TreeKind::bitmap:
        if (index < bitmap_.size()) {
          bitmap_[index] = word;
        } else {
          problem("bitmap", "bits beyond the pool's end");
        }
        return;
      case TreeKind::space: return put(space_, index, word);
      case TreeKind::layers: return put(layer_words_, index, word);
      case TreeKind::catalog: return put(catalog_, index, word);
      case TreeKind::map: return map_entry(identity, index, word);
    }
  }

  void map_entry(const PageIdentity& identity, uint64_t index, uint64_t word) {
    const LayerRecord& layer = layers_[identity.tree];
    const MapEntry entry = MapEntry::unpack(word);
    const std::string where =
        "layer slot " + std::to_string(identity.tree) + " chunk " + std::to_string(index);
    if (!entry.valid()) problem(where, "the map entry makes no sense");
    if (index >= (layer.size_bytes + limits::chunk_bytes - 1) / limits::chunk_bytes) {
      problem(where, "lies beyond the layer's end");
    }
    usage_.add_entry(identity.tree, index, entry);
    if (entry.chunk != 0) own(entry.chunk, where);
  }

  void begin_maps() {
    layer_words_.resize(std::max<uint64_t>(
        layer_words_.size(), (best_.layer_slots / limits::layer_records_per_page + 1) *
                                 limits::words_per_page));
    layers_.resize(best_.layer_slots);
    for (uint64_t slot = 0; slot < best_.layer_slots; ++slot) {
      LayerRecord& record = layers_[slot];
      std::memcpy(static_cast<void*>(&record),
                  layer_words_.data() + layer_record_leaf(slot) * limits::words_per_page +
                      layer_record_word(slot),
                  sizeof record);
      if (record.state == static_cast<uint8_t>(LayerState::empty)) continue;
      if (record.state != static_cast<uint8_t>(LayerState::deleting)) ++report_.layers;
    }
    batches_ = UsageCheck::batches(layers_, batch_layers);
  }

  // The maps of some families of layers; one batch's entries are in memory at a time.
  void begin_batch() {
    const std::vector<uint64_t> slots = std::move(batches_.back());
    batches_.pop_back();
    for (const uint64_t slot : slots) {
      const LayerRecord& record = layers_[slot];
      usage_.add_layer(slot, record);
      if (record.map_root == 0) continue;
      if (record.map_level >= limits::max_tree_levels) {
        problem("layer slot " + std::to_string(slot), "its map's level makes no sense");
        continue;
      }
      todo_.push_back({{TreeKind::map, record.map_level, slot, 0}, PageRef{record.map_root}});
    }
  }

  void check_space() {
    for (uint64_t slot = 0; slot < best_.metadata_slots; ++slot) {
      const uint64_t word = slot < space_.size() ? space_[slot] : 0;
      const auto chunk = static_cast<uint32_t>(word);
      const std::string where = "space map slot " + std::to_string(slot);
      if (chunk == 0) {
        problem(where, "is empty");
        continue;
      }
      own(chunk, where);
      if (chunk >= best_.devices[0].chunk_count) {
        problem(where, "chunk " + std::to_string(chunk) + " does not lie on the first device");
      }
      for (uint32_t i = 0; i < limits::pages_per_chunk; ++i) {
        const uint64_t page = uint64_t{chunk} * limits::pages_per_chunk + i;
        const bool used = (word >> (32 + i) & 1) != 0;
        if (used != (pages_.erase(page) != 0)) {
          problem(where, "page " + std::to_string(page) +
                             (used ? " is marked used, but nothing refers to it"
                                   : " is in use, but marked free"));
        }
      }
    }
    for (const uint64_t page : pages_) {
      problem("page " + std::to_string(page), "does not lie in a metadata chunk");
    }
  }

  void check_counters() {
    uint64_t bits = 0;
    for (size_t i = 0; i < bitmap_.size(); ++i) {
      bits += static_cast<uint64_t>(std::popcount(bitmap_[i]));
      report_.chunks_leaked += static_cast<uint64_t>(std::popcount(bitmap_[i] & ~owned_[i]));
      for (uint64_t wrong = bitmap_[i] ^ owned_[i]; wrong != 0; wrong &= wrong - 1) {
        const uint64_t chunk = i * 64 + static_cast<uint64_t>(std::countr_zero(wrong));
        problem("chunk " + std::to_string(chunk),
                (bitmap_[i] & wrong & -wrong) != 0 ? "is marked owned, but nobody owns it"
                                                   : "is owned, but marked free");
      }
    }
    if (bits != best_.owned_chunks) {
      problem("superblock", "says " + std::to_string(best_.owned_chunks) + " owned chunks, the bitmap " +
                                std::to_string(bits));
    }
  }

  void check_catalog() {
    constexpr uint64_t cell_words = limits::catalog_cell_words;
    catalog_.resize(std::max<uint64_t>(catalog_.size(), best_.catalog_cells * cell_words));
    std::unordered_set<uint64_t> keys;
    for (uint64_t cell = 0; cell < best_.catalog_cells;) {
      CatalogCellHeader header;
      std::memcpy(static_cast<void*>(&header), catalog_.data() + cell * cell_words, sizeof header);
      if (catalog_[cell * cell_words] == 0) {
        ++cell;
        continue;
      }
      const uint32_t count = catalog_cells(header.value_bytes);
      if (header.magic != catalog_magic || header.value_bytes > limits::max_catalog_value_bytes ||
          count > best_.catalog_cells - cell) {
        return problem("catalog cell " + std::to_string(cell), "is neither free nor a record");
      }
      if (!keys.insert(header.key).second) {
        problem("catalog cell " + std::to_string(cell),
                "key " + std::to_string(header.key) + " is there twice");
      }
      cell += count;
    }
    report_.catalog_records = keys.size();
    if (keys.size() != best_.catalog_records) {
      problem("catalog", "has " + std::to_string(keys.size()) + " records, the superblock says " +
                             std::to_string(best_.catalog_records));
    }
  }

  void finish() {
    check_space();
    check_counters();
    check_catalog();
    end();
  }

  void end() {
    --pool_.checks_under_way;
    pool_.checkpointer.release();
    const auto told = std::move(done_);
    told(std::move(report_));
  }

  PoolImpl& pool_;
  Done done_;
  CheckReport report_;
  Superblock best_;
  AlignedBuffer buffer_{limits::block_bytes};
  std::vector<Page> todo_;
  uint32_t under_way_ = 0;
  bool maps_begun_ = false;
  std::unordered_set<uint64_t> pages_;
  std::vector<uint64_t> owned_, bitmap_, space_, layer_words_, catalog_;
  std::vector<LayerRecord> layers_;
  std::vector<std::vector<uint64_t>> batches_;  // Of slots, still to be read.
  UsageCheck usage_;
};

}  // namespace

void PoolImpl::check(std::function<void(Result<CheckReport>)> done) {
  if (failed()) {
    done(failure_error());
    return;
  }
  if (closing) {
    done(Error{ErrorCode::closed, "the pool is being closed"});
    return;
  }
  auto checking = std::make_shared<Checking>(*this, std::move(done));
  if (options.read_only) {
    checking->begin();
    return;
  }
  checkpointer.request(false, [checking](const Status&) {
    // Inside the end of that checkpoint: nothing newer can have begun.
    checking->begin();
  });
}

}  // namespace ashlar::store
