#include "store/walk.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bytes.h"
#include "store/layers.h"

namespace ashlar::store {

namespace {

constexpr uint32_t read_window = 64;
constexpr size_t batch_layers = 256;
// Layers that are named as reading through a lost page.
constexpr size_t max_readers = 64;

constexpr TreeKind root_kinds[root_count] = {TreeKind::bitmap, TreeKind::space, TreeKind::layers,
                                             TreeKind::catalog};

// Words of a leaf that lie under one page of that level.
uint64_t words_under(uint8_t level) noexcept {
  uint64_t words = limits::words_per_page;
  for (uint32_t i = 0; i < level; ++i) words *= limits::words_per_page;
  return words;
}

std::string range_text(const char* what, uint64_t first, uint64_t end) {
  return std::string(what) + " " + std::to_string(first) + " to " + std::to_string(end - 1);
}

void put(std::vector<uint64_t>& words, uint64_t index, uint64_t word) {
  if (words.size() <= index) words.resize(index + 1);
  words[index] = word;
}

}  // namespace

// ---- Superblocks --------------------------------------------------------------------------------

const Superblock* SuperblockCopies::best() const noexcept {
  const Superblock* best = nullptr;
  for (const SuperblockReading& copy : copies) {
    if (copy.verdict != SuperblockVerdict::valid) continue;
    if (best == nullptr || copy.superblock.generation > best->generation) best = &copy.superblock;
  }
  return best;
}

void SuperblockCopies::judge(CheckReport& report) const {
  for (uint32_t i = 0; i < 2; ++i) {
    const std::string where = "superblock " + std::to_string(i);
    if (result[i] != 0) {
      add_problem(report, {where, error_from_errno(-result[i], "reading it").message, true});
    } else if (copies[i].verdict != SuperblockVerdict::valid) {
      const bool newer = copies[i].verdict == SuperblockVerdict::newer_version;
      add_problem(report, {where, copies[i].problem, !newer});
    }
  }
}

namespace {

struct Copies : std::enable_shared_from_this<Copies> {
  Device& device;
  bool for_writing;
  std::function<void(const SuperblockCopies&)> done;
  SuperblockCopies copies;
  AlignedBuffer buffer{limits::block_bytes};

  Copies(Device& from, bool writing, std::function<void(const SuperblockCopies&)> told)
      : device(from), for_writing(writing), done(std::move(told)) {}

  void read(uint32_t copy) {
    if (copy == 2) return done(copies);
    if (superblock_offsets[copy] + limits::block_bytes > device.geometry().size_bytes) {
      copies.copies[copy].problem = "the device ends before it";
      return read(copy + 1);
    }
    cold_read(device, superblock_offsets[copy], buffer.span(),
              [self = shared_from_this(), copy](int result) {
                self->copies.result[copy] = result;
                if (result == 0) {
                  self->copies.copies[copy] =
                      read_superblock(self->buffer.span(), self->for_writing);
                }
                self->read(copy + 1);
              });
  }
};

}  // namespace

void read_superblocks(Device& device, bool for_writing,
                      std::function<void(const SuperblockCopies&)> done) {
  std::make_shared<Copies>(device, for_writing, std::move(done))->read(0);
}

// ---- Problems -----------------------------------------------------------------------------------

void add_problem(CheckReport& report, CheckReport::Problem problem) {
  if (report.problems.size() < limits::check_problems) {
    report.problems.push_back(std::move(problem));
    return;
  }
  ++report.suppressed;
  if (problem.repairable) return;
  const auto last = std::find_if(report.problems.rbegin(), report.problems.rend(),
                                 [](const auto& each) { return each.repairable; });
  if (last != report.problems.rend()) *last = std::move(problem);
}

std::string page_name(const PageIdentity& identity) {
  static constexpr const char* kinds[] = {"",            "bitmap",  "space map",
                                          "layer table", "catalog", "map"};
  std::string text = identity.kind == TreeKind::map
                         ? "layer slot " + std::to_string(identity.tree) + " map"
                         : kinds[static_cast<uint8_t>(identity.kind)];
  return text + " page " + std::to_string(identity.index) + " of level " +
         std::to_string(identity.level);
}

void Walk::problem(std::string where, std::string what, bool repairable) {
  add_problem(report, {std::move(where), std::move(what), repairable});
}

// A page that cannot be believed, and all that lies under it.
void Walk::lose(const PageIdentity& identity, PageRef ref, std::string what) {
  const uint64_t words = words_under(identity.level);
  const uint64_t first = identity.index * words;
  if (identity.kind != TreeKind::map) {
    lost[{identity.kind, identity.level, identity.index}] = ref;
  }
  switch (identity.kind) {
    case TreeKind::bitmap:
    case TreeKind::space: return problem(page_name(identity), std::move(what), true);
    case TreeKind::layers: {
      owners_lost = true;
      const uint64_t records = words / limits::words_per_page * limits::layer_records_per_page;
      const uint64_t slot = identity.index * records;
      const uint64_t end = std::min(slot + records, superblock.layer_slots);
      return problem(page_name(identity), what + "; the layers of " +
                                              range_text("slots", slot, end) + " are lost");
    }
    case TreeKind::catalog: {
      catalog_lost = true;
      const uint64_t cell = first / limits::catalog_cell_words;
      const uint64_t end = std::min((first + words) / limits::catalog_cell_words,
                                    superblock.catalog_cells);
      return problem(page_name(identity),
                     what + "; the records of " + range_text("cells", cell, end) + " are lost");
    }
    case TreeKind::map: return lose_map(identity, std::move(what));
  }
}

void Walk::lose_map(const PageIdentity& identity, std::string what) {
  owners_lost = batch_lost_ = true;
  const uint64_t words = words_under(identity.level);
  const LayerRecord& record = layers[identity.tree];
  CheckReport::Lost gone;
  gone.slot = static_cast<uint32_t>(identity.tree);
  gone.layer = record.uuid;
  gone.offset_bytes =
      std::min(identity.index * words * limits::chunk_bytes, record.size_bytes);
  gone.length_bytes =
      std::min(words * limits::chunk_bytes, record.size_bytes - gone.offset_bytes);
  for (uint64_t slot = 0; slot < layers.size() && gone.readers.size() < max_readers; ++slot) {
    if (slot == identity.tree || layers[slot].state == static_cast<uint8_t>(LayerState::empty) ||
        layers[slot].state == static_cast<uint8_t>(LayerState::deleting)) {
      continue;
    }
    uint64_t at = slot;
    for (size_t depth = 0; at != identity.tree && depth < layers.size(); ++depth) {
      const uint64_t parent = layers[at].parent_slot_plus1;
      if (parent == 0 || parent > layers.size()) break;
      at = parent - 1;
    }
    if (at == identity.tree) gone.readers.push_back(layers[slot].uuid);
  }
  what += "; bytes " + std::to_string(gone.offset_bytes) + " to " +
          std::to_string(gone.offset_bytes + gone.length_bytes) + " of layer " +
          to_string(gone.layer) + " cannot be read";
  add_problem(report, {page_name(identity), std::move(what), false, std::move(gone)});
}

bool Walk::word_lost(TreeKind kind, uint64_t index) const {
  return std::any_of(lost.begin(), lost.end(), [&](const auto& each) {
    const auto& [tree, level, page] = each.first;
    return tree == kind && index / words_under(level) == page;
  });
}

bool Walk::any_lost(TreeKind kind) const {
  const auto at = lost.lower_bound({kind, 0, 0});
  return at != lost.end() && std::get<0>(at->first) == kind;
}

uint64_t Walk::reservation_bound(const LayerRecord& record) noexcept {
  return record.state == static_cast<uint8_t>(LayerState::live) ? reservation_for(record.size_bytes)
                                                                 : 0;
}

// ---- Reading ------------------------------------------------------------------------------------

Walk::Walk(Device& device, const Superblock& s, CheckReport known, std::function<void(Walk&)> done)
    : superblock(s), report(std::move(known)), device_(device), done_(std::move(done)) {}

void Walk::begin() {
  owned.assign((superblock.total_chunks + 63) / 64, 0);
  bitmap.assign(owned.size(), 0);
  for (uint64_t c = 0; c < fixed_chunks(superblock); ++c) {
    own(c, "the superblocks, the journal and the kill log");
  }
  for (uint32_t i = 1; i < superblock.device_count; ++i) {
    own(superblock.devices[i].first_chunk, "the label of device " + std::to_string(i));
  }
  for (uint32_t i = 0; i < root_count; ++i) {
    const TreeRoot& root = superblock.roots[i];
    if (root.ref == 0) continue;
    todo_.push_back({{root_kinds[i], static_cast<uint8_t>(root.level), 0, 0}, PageRef{root.ref}});
  }
  read_more();
}

void Walk::own(uint64_t chunk, const std::string& owner) {
  if (chunk >= superblock.total_chunks) {
    return problem(owner, "chunk " + std::to_string(chunk) + " lies beyond the pool's end");
  }
  if (owns(chunk)) return problem(owner, "chunk " + std::to_string(chunk) + " is owned twice");
  owned[chunk / 64] |= 1ull << (chunk % 64);
  ++report.chunks_owned;
}

void Walk::read_more() {
  while (!todo_.empty() && under_way_ < read_window) {
    const Page page = todo_.back();
    todo_.pop_back();
    if (page.ref.page() / limits::pages_per_chunk >= superblock.total_chunks) {
      lose(page.identity, {}, "lies beyond the pool's end");
      continue;
    }
    if (!pages.insert(page.ref.page()).second) {
      lose(page.identity, {}, "page " + std::to_string(page.ref.page()) + " is used twice");
      continue;
    }
    ++under_way_;
    auto memory = std::make_shared<AlignedBuffer>(limits::page_bytes);
    cold_read(device_, page.ref.page() * limits::page_bytes, memory->span(),
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
    end_batch();
  }
  if (!batches_.empty()) {
    begin_batch();
    return read_more();
  }
  finish();
}

void Walk::visit(const Page& page, std::span<const std::byte> bytes, int result) {
  ++report.pages_read;
  if (result != 0) {
    return lose(page.identity, page.ref, error_from_errno(-result, "reading it").message);
  }
  std::string what = verify_page(bytes, superblock.pool, page.identity, page.ref);
  if (!what.empty()) return lose(page.identity, page.ref, std::move(what));
  if (page.identity.kind != TreeKind::map) {
    believed[{page.identity.kind, page.identity.level, page.identity.index}] = page.ref;
  }
  for (uint32_t i = 0; i < limits::words_per_page; ++i) {
    const auto word = read_at<uint64_t>(bytes, limits::page_header_bytes + i * 8ull);
    if (word == 0) continue;
    const uint64_t index = page.identity.index * limits::words_per_page + i;
    if (page.identity.level > 0) {
      PageIdentity child = page.identity;
      --child.level;
      child.index = index;
      if ((word & 1) == 0) {
        lose(child, {}, "what refers to it is no page reference");
        continue;
      }
      todo_.push_back({child, PageRef{word}});
    } else {
      leaf_word(page.identity, index, word);
    }
  }
}

void Walk::leaf_word(const PageIdentity& identity, uint64_t index, uint64_t word) {
  switch (identity.kind) {
    case TreeKind::bitmap:
      if (index >= bitmap.size()) problem("bitmap", "bits beyond the pool's end", true);
      return put(bitmap, index, word);
    case TreeKind::space: return put(space, index, word);
    case TreeKind::layers: return put(layer_words, index, word);
    case TreeKind::catalog: return put(catalog_, index, word);
    case TreeKind::map: return map_entry(identity, index, word);
  }
}

void Walk::map_entry(const PageIdentity& identity, uint64_t index, uint64_t word) {
  const LayerRecord& layer = layers[identity.tree];
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

// ---- Layers -------------------------------------------------------------------------------------

void Walk::check_record(uint64_t slot, const LayerRecord& record) {
  const std::string where = "layer slot " + std::to_string(slot);
  if (const std::string what = record_problem(record, superblock.layer_slots); !what.empty()) {
    problem(where, "its " + what + " makes no sense");
  }
  const uint64_t parent = record.parent_slot_plus1;
  if (parent != 0 && parent <= layers.size() &&
      layers[parent - 1].state == static_cast<uint8_t>(LayerState::empty) &&
      !word_lost(TreeKind::layers, layer_record_leaf(parent - 1) * limits::words_per_page)) {
    problem(where, "its parent, slot " + std::to_string(parent - 1) + ", is empty");
  }
  if (record.reserved_chunks > reservation_bound(record)) {
    problem(where,
            "has " + std::to_string(record.reserved_chunks) + " chunks reserved, at most " +
                std::to_string(reservation_bound(record)) + " are possible",
            true);
  }
}

void Walk::begin_maps() {
  layer_words.resize(std::max<uint64_t>(
      layer_words.size(), (superblock.layer_slots / limits::layer_records_per_page + 1) *
                              limits::words_per_page));
  layers.resize(superblock.layer_slots);
  for (uint64_t slot = 0; slot < superblock.layer_slots; ++slot) {
    LayerRecord& record = layers[slot];
    std::memcpy(static_cast<void*>(&record),
                layer_words.data() + layer_record_leaf(slot) * limits::words_per_page +
                    layer_record_word(slot),
                sizeof record);
    if (record.state == static_cast<uint8_t>(LayerState::empty)) continue;
    if (record.state != static_cast<uint8_t>(LayerState::deleting)) ++report.layers;
  }
  for (uint64_t slot = 0; slot < superblock.layer_slots; ++slot) {
    if (layers[slot].state == static_cast<uint8_t>(LayerState::empty)) continue;
    check_record(slot, layers[slot]);
  }
  batches_ = UsageCheck::batches(layers, batch_layers);
}

// The maps of some families of layers; one batch's entries are in memory at a time.
void Walk::begin_batch() {
  const std::vector<uint64_t> slots = std::move(batches_.back());
  batches_.pop_back();
  batch_lost_ = false;
  for (const uint64_t slot : slots) {
    const LayerRecord& record = layers[slot];
    usage_.add_layer(slot, record);
    if (record.map_root == 0) continue;
    if (record.map_level >= limits::max_tree_levels) {
      batch_lost_ = owners_lost = true;  // Told by check_record().
      continue;
    }
    todo_.push_back({{TreeKind::map, record.map_level, slot, 0}, PageRef{record.map_root}});
  }
}

void Walk::end_batch() {
  // Figures of a family that is not wholly known say nothing.
  if (batch_lost_ || any_lost(TreeKind::layers)) return usage_.drop();
  usage_.judge(
      [this](std::string where, std::string what) {
        problem(std::move(where), std::move(what), true);
      },
      [this](uint64_t slot, const UsageCheck::Counted& counted) { figures[slot] = counted; },
      [this](std::string where, std::string what) { problem(std::move(where), std::move(what)); });
}

// ---- Space, bits, catalog -----------------------------------------------------------------------

void Walk::check_space() {
  std::unordered_set<uint64_t> left = pages;
  bool slots_open = any_lost(TreeKind::space);
  space.resize(std::max<uint64_t>(space.size(), superblock.metadata_slots));
  for (uint64_t slot = 0; slot < superblock.metadata_slots; ++slot) {
    if (word_lost(TreeKind::space, slot)) continue;
    const uint64_t word = space[slot];
    const auto chunk = static_cast<uint32_t>(word);
    const std::string where = "space map slot " + std::to_string(slot);
    if (chunk == 0) {
      problem(where, "is empty", true);
      slots_open = true;
      continue;
    }
    own(chunk, where);
    if (chunk >= superblock.devices[0].chunk_count) {
      problem(where, "chunk " + std::to_string(chunk) + " does not lie on the first device");
    }
    for (uint32_t i = 0; i < limits::pages_per_chunk; ++i) {
      const uint64_t page = uint64_t{chunk} * limits::pages_per_chunk + i;
      const bool used = (word >> (32 + i) & 1) != 0;
      const bool reached = left.erase(page) != 0;
      if (used && !reached && !owners_lost && !catalog_lost && lost.empty()) {
        problem(where, "page " + std::to_string(page) + " is marked used, but nothing refers to it",
                true);
      } else if (!used && reached) {
        problem(where, "page " + std::to_string(page) + " is in use, but marked free", true);
      }
    }
  }
  if (slots_open) return;  // What is left lies in their chunks.
  for (const uint64_t page : left) {
    problem("page " + std::to_string(page), "does not lie in a metadata chunk");
  }
}

void Walk::check_bits() {
  uint64_t bits = 0;
  const bool bitmap_lost = any_lost(TreeKind::bitmap);
  const bool all_known = !owners_lost && !any_lost(TreeKind::space);
  for (size_t i = 0; i < owned.size(); ++i) {
    bits += static_cast<uint64_t>(std::popcount(bitmap[i]));
    if (bitmap[i] == owned[i] || (bitmap_lost && word_lost(TreeKind::bitmap, i))) continue;
    report.chunks_leaked += static_cast<uint64_t>(std::popcount(bitmap[i] & ~owned[i]));
    for (uint64_t wrong = bitmap[i] ^ owned[i]; wrong != 0; wrong &= wrong - 1) {
      const uint64_t chunk = i * 64 + static_cast<uint64_t>(std::countr_zero(wrong));
      const bool leaked = (bitmap[i] & wrong & -wrong) != 0;
      if (leaked && !all_known) continue;  // Its owner may be among what is lost.
      problem("chunk " + std::to_string(chunk),
              leaked ? "is marked owned, but nobody owns it" : "is owned, but marked free", true);
    }
  }
  if (!bitmap_lost && bits != superblock.owned_chunks) {
    problem("superblock",
            "says " + std::to_string(superblock.owned_chunks) + " owned chunks, the bitmap " +
                std::to_string(bits),
            true);
  }
}

void Walk::check_catalog(const std::vector<uint64_t>& words) {
  constexpr uint64_t cell_words = limits::catalog_cell_words;
  std::unordered_set<uint64_t> keys;
  for (uint64_t cell = 0; cell < superblock.catalog_cells;) {
    CatalogCellHeader header;
    std::memcpy(static_cast<void*>(&header), words.data() + cell * cell_words, sizeof header);
    if (words[cell * cell_words] == 0) {
      ++cell;
      continue;
    }
    const uint32_t count = catalog_cells(header.value_bytes);
    if (header.magic != catalog_magic || header.value_bytes > limits::max_catalog_value_bytes ||
        count > superblock.catalog_cells - cell) {
      return problem("catalog cell " + std::to_string(cell), "is neither free nor a record");
    }
    if (!keys.insert(header.key).second) {
      problem("catalog cell " + std::to_string(cell),
              "key " + std::to_string(header.key) + " is there twice");
    }
    cell += count;
  }
  report.catalog_records = catalog_records = keys.size();
  if (keys.size() != superblock.catalog_records) {
    problem("catalog",
            "has " + std::to_string(keys.size()) + " records, the superblock says " +
                std::to_string(superblock.catalog_records),
            true);
  }
}

void Walk::finish() {
  check_space();
  check_bits();
  // Where cells are lost the rest cannot be told apart: a value may begin among them.
  if (!catalog_lost) {
    catalog_.resize(std::max<uint64_t>(
        catalog_.size(), superblock.catalog_cells * limits::catalog_cell_words));
    check_catalog(catalog_);
  }
  const auto told = std::move(done_);
  told(*this);
}

}  // namespace ashlar::store
