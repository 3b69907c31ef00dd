#include "store/dump.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "store/journal_scan.h"
#include "store/kill_log.h"
#include "store/layers.h"
#include "store/leaf_cursor.h"
#include "store/records.h"
#include "store/walk.h"

namespace ashlar::store {

namespace {

using Done = std::function<void(Result<DumpPage>)>;
constexpr size_t max_value_bytes = 1 << 20;  // Of one answer.

const char* record_name(RecordKind kind) {
  switch (kind) {
    case RecordKind::map_entry: return "map-entry";
    case RecordKind::clear_leaf: return "clear-leaf";
    case RecordKind::metadata_chunk: return "metadata-chunk";
    case RecordKind::create_layer: return "create-layer";
    case RecordKind::layer_state: return "layer-state";
    case RecordKind::resize_layer: return "resize-layer";
    case RecordKind::remove_layer: return "remove-layer";
    case RecordKind::put_record: return "put-record";
    case RecordKind::delete_record: return "delete-record";
    case RecordKind::merge_chunk: return "merge-chunk";
    case RecordKind::merge_leaf: return "merge-leaf";
    case RecordKind::reserve_layer: return "reserve-layer";
    case RecordKind::add_device: return "add-device";
    case RecordKind::device_state: return "device-state";
  }
  return "unknown";
}

const char* state_name(uint8_t state) {
  switch (static_cast<LayerState>(state)) {
    case LayerState::empty: return "empty";
    case LayerState::live: return "live";
    case LayerState::frozen: return "frozen";
    case LayerState::deleting: return "deleting";
  }
  return "unknown";
}

DumpValue bytes_value(std::span<const std::byte> bytes) {
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

DumpRow problem_row(std::string where, std::string what) {
  return {{"row", "problem"}, {"where", std::move(where)}, {"what", std::move(what)}};
}

DumpRow superblock_row(uint32_t copy, const SuperblockReading& reading, int result, bool counts) {
  DumpRow row{{"row", "superblock"}, {"copy", uint64_t{copy}}};
  if (result != 0) {
    row.emplace_back("problem", error_from_errno(-result, "reading it").message);
    return row;
  }
  row.emplace_back("state", reading.verdict == SuperblockVerdict::valid
                                ? (counts ? "counts" : "older")
                                : "not believed");
  if (!reading.problem.empty()) row.emplace_back("problem", reading.problem);
  if (reading.verdict == SuperblockVerdict::absent) return row;
  const Superblock& s = reading.superblock;
  const std::pair<const char*, uint64_t> figures[] = {
      {"version", s.version},
      {"compatibleFeatures", s.compatible_features},
      {"readOnlyCompatibleFeatures", s.read_only_compatible_features},
      {"incompatibleFeatures", s.incompatible_features},
      {"generation", s.generation},
      {"sizeBytes", s.size_bytes},
      {"totalChunks", s.total_chunks},
      {"ownedChunks", s.owned_chunks},
      {"metadataSlots", s.metadata_slots},
      {"layerSlots", s.layer_slots},
      {"catalogCells", s.catalog_cells},
      {"catalogRecords", s.catalog_records},
      {"journalFirstChunk", s.journal_first_chunk},
      {"journalBytes", s.journal_bytes},
      {"journalPosition", s.journal_position},
      {"nextSequence", s.next_sequence},
      {"killLogFirstChunk", s.kill_log_first_chunk},
      {"killLogBytes", s.kill_log_bytes},
      {"clean", s.clean}};
  row.emplace_back("pool", bytes_value(s.pool));
  row.emplace_back("device", bytes_value(s.device));
  for (const auto& [name, value] : figures) row.emplace_back(name, value);
  static constexpr const char* roots[root_count][2] = {{"bitmapRootPage", "bitmapRootLevel"},
                                                       {"spaceRootPage", "spaceRootLevel"},
                                                       {"layersRootPage", "layersRootLevel"},
                                                       {"catalogRootPage", "catalogRootLevel"}};
  for (uint32_t i = 0; i < root_count; ++i) {
    row.emplace_back(roots[i][0], PageRef{s.roots[i].ref}.page());
    row.emplace_back(roots[i][1], s.roots[i].level);
  }
  return row;
}

DumpRow layer_row(uint64_t slot, const LayerRecord& record) {
  DumpRow row{{"row", "layer"}, {"slot", slot}, {"uuid", bytes_value(record.uuid)},
              {"state", state_name(record.state)}};
  if (record.parent_slot_plus1 != 0) {
    row.emplace_back("parentSlot", uint64_t{record.parent_slot_plus1} - 1);
  }
  const std::pair<const char*, uint64_t> figures[] = {
      {"blockBytes", record.block_bytes},
      {"sizeBytes", record.size_bytes},
      {"mapRootPage", PageRef{record.map_root}.page()},
      {"mapRootLevel", record.map_level},
      {"mappedBlocks", record.mapped_blocks},
      {"allocatedChunks", record.allocated_chunks},
      {"visibleBlocks",
       (record.flags & layer_has_usage) != 0 ? record.visible_blocks : record.mapped_blocks},
      {"frees", record.frees},
      {"passedFrees", record.passed_frees},
      {"reservedChunks", record.reserved_chunks},
      {"createdSequence", record.created_sequence},
      {"reclaimLeaf", record.reclaim_leaf}};
  for (const auto& [name, value] : figures) row.emplace_back(name, value);
  return row;
}

const char* device_state_name(uint32_t state) {
  switch (static_cast<DeviceState>(state)) {
    case DeviceState::online: return "online";
    case DeviceState::failed: return "failed";
  }
  return "unknown";
}

void add_device_fields(DumpRow& row, uint32_t index, const DeviceRow& device) {
  row.emplace_back("index", uint64_t{index});
  row.emplace_back("uuid", bytes_value(device.uuid));
  row.emplace_back("firstChunk", device.first_chunk);
  row.emplace_back("chunkCount", device.chunk_count);
  row.emplace_back("state", device_state_name(device.state));
}

DumpRow record_row(uint64_t sequence, const Record& record) {
  DumpRow row{{"row", "record"}, {"commit", sequence}, {"kind", record_name(record.kind)}};
  switch (record.kind) {
    case RecordKind::map_entry: {
      const MapEntry entry = MapEntry::unpack(record.c);
      row.emplace_back("layerSlot", uint64_t{record.a});
      row.emplace_back("index", record.b);
      row.emplace_back("chunk", uint64_t{entry.chunk});
      row.emplace_back("dataMask", uint64_t{entry.data});
      row.emplace_back("zeroMask", uint64_t{entry.zero});
      return row;
    }
    case RecordKind::create_layer: {
      const auto body = read_at<CreateLayer>(record.payload);
      row.emplace_back("layerSlot", uint64_t{record.a});
      row.emplace_back("uuid", bytes_value(body.uuid));
      if (body.parent_slot_plus1 != 0) {
        row.emplace_back("parentSlot", uint64_t{body.parent_slot_plus1} - 1);
      }
      row.emplace_back("sizeBytes", body.size_bytes);
      row.emplace_back("blockBytes", uint64_t{body.block_bytes});
      return row;
    }
    case RecordKind::put_record:
      row.emplace_back("key", record.b);
      row.emplace_back("value", bytes_value(record.payload));
      return row;
    case RecordKind::delete_record: row.emplace_back("key", record.b); return row;
    case RecordKind::metadata_chunk:
      row.emplace_back("spaceSlot", uint64_t{record.a});
      row.emplace_back("chunk", record.b);
      return row;
    case RecordKind::layer_state:
      row.emplace_back("layerSlot", uint64_t{record.a});
      row.emplace_back("state", state_name(static_cast<uint8_t>(record.b)));
      return row;
    case RecordKind::add_device:
      add_device_fields(row, record.a, read_at<DeviceRow>(record.payload));
      return row;
    case RecordKind::device_state:
      row.emplace_back("index", uint64_t{record.a});
      row.emplace_back("state", device_state_name(static_cast<uint32_t>(record.b)));
      return row;
    case RecordKind::clear_leaf:
    case RecordKind::resize_layer:
    case RecordKind::remove_layer:
    case RecordKind::merge_chunk:
    case RecordKind::merge_leaf:
    case RecordKind::reserve_layer: break;
  }
  row.emplace_back("a", uint64_t{record.a});
  row.emplace_back("b", record.b);
  row.emplace_back("c", record.c);
  return row;
}

class Dumping : public std::enable_shared_from_this<Dumping> {
 public:
  Dumping(Device& device, const DumpRequest& request, Done done)
      : device_(device), request_(request), done_(std::move(done)) {}

  void begin() {
    read_superblocks(device_, false, [self = shared_from_this()](const SuperblockCopies& copies) {
      self->superblock(copies);
    });
  }

 private:
  void fail(ErrorCode code, std::string message) {
    const auto told = std::move(done_);
    told(Error{code, std::move(message)});
  }
  void end() {
    const auto told = std::move(done_);
    told(std::move(page_));
  }
  void end_at(DumpCursor next) {
    page_.next = next;
    end();
  }
  bool full() const noexcept {
    return page_.rows.size() >= request_.limit || value_bytes_ >= max_value_bytes;
  }
  void add(DumpRow row) { page_.rows.push_back(std::move(row)); }

  void superblock(const SuperblockCopies& copies) {
    const Superblock* best = copies.best();
    if (request_.section == DumpSection::superblock) {
      for (uint32_t i = 0; i < 2; ++i) {
        add(superblock_row(i, copies.copies[i], copies.result[i],
                           best == &copies.copies[i].superblock));
      }
      return end();
    }
    if (best == nullptr) {
      const SuperblockReading& first = copies.copies[0];
      if (first.verdict == SuperblockVerdict::newer_version) {
        return fail(ErrorCode::pool_newer_format, first.problem);
      }
      const bool ours = first.verdict != SuperblockVerdict::absent ||
                        copies.copies[1].verdict != SuperblockVerdict::absent;
      return fail(ours ? ErrorCode::pool_corrupt : ErrorCode::pool_not_a_pool,
                  ours ? "no superblock can be believed; --section superblock shows why"
                       : "it is not a pool: " + first.problem + "; check the path");
    }
    superblock_ = *best;
    section();
  }

  void section() {
    switch (request_.section) {
      case DumpSection::superblock: return;
      case DumpSection::devices: return devices();
      case DumpSection::layers: return layers();
      case DumpSection::map: return find_layer();
      case DumpSection::space: return space();
      case DumpSection::journal: return journal();
      case DumpSection::kill_log: return kill_log();
      case DumpSection::catalog: return catalog();
    }
  }

  void devices() {
    for (uint32_t i = 0; i < superblock_.device_count; ++i) {
      DumpRow row{{"row", "device"}};
      add_device_fields(row, i, superblock_.devices[i]);
      add(std::move(row));
    }
    end();
  }

  std::shared_ptr<LeafCursor> cursor_of(TreeKind kind) {
    const TreeRoot& root = superblock_.roots[static_cast<size_t>(kind) - 1];
    return std::make_shared<LeafCursor>(
        device_, superblock_, PageIdentity{kind, static_cast<uint8_t>(root.level), 0, 0},
        PageRef{root.ref});
  }

  void lost(const LeafCursor::Leaf& leaf, const std::string& what) {
    add(problem_row(what, leaf.problem));
  }

  static std::string span_name(const char* what, uint64_t first, uint64_t count) {
    return std::string(what) + " " + std::to_string(first) + " to " +
           std::to_string(first + count - 1);
  }

  // ---- Layers -----------------------------------------------------------------------------------

  static LayerRecord record_in(const LeafCursor::Words& words, uint64_t slot) {
    LayerRecord record;
    std::memcpy(static_cast<void*>(&record), words.data() + layer_record_word(slot), sizeof record);
    return record;
  }

  void layers() {
    cursor_ = cursor_of(TreeKind::layers);
    more_layers(request_.cursor.at);
  }

  void more_layers(uint64_t from) {
    constexpr uint64_t each = limits::layer_records_per_page;
    if (full()) return end_at({from, 0});
    cursor_->next(from / each, [self = shared_from_this(), from](const LeafCursor::Leaf& leaf) {
      if (leaf.kind == LeafCursor::Leaf::Kind::end) return self->end();
      if (leaf.kind == LeafCursor::Leaf::Kind::lost) {
        const uint64_t first = leaf.index * each;
        if (first >= self->superblock_.layer_slots) return self->end();
        const uint64_t count =
            std::min(leaf.lost_leaves * each, self->superblock_.layer_slots - first);
        self->lost(leaf, span_name("layer slots", first, count));
        return self->more_layers((leaf.index + leaf.lost_leaves) * each);
      }
      for (uint64_t slot = std::max(from, leaf.index * each); slot < (leaf.index + 1) * each;
           ++slot) {
        const LayerRecord record = record_in(*leaf.words, slot);
        if (record.state == static_cast<uint8_t>(LayerState::empty)) continue;
        self->add(layer_row(slot, record));
      }
      self->more_layers((leaf.index + 1) * each);
    });
  }

  // ---- A map ------------------------------------------------------------------------------------

  void find_layer() {
    const uint64_t slot = request_.layer_slot;
    cursor_ = cursor_of(TreeKind::layers);
    cursor_->next(layer_record_leaf(slot), [self = shared_from_this(),
                                            slot](const LeafCursor::Leaf& leaf) {
      if (leaf.kind == LeafCursor::Leaf::Kind::lost) {
        self->lost(leaf, "layer slot " + std::to_string(slot));
        return self->end();
      }
      const bool there = leaf.kind == LeafCursor::Leaf::Kind::present &&
                         leaf.index == layer_record_leaf(slot);
      const LayerRecord record = there ? record_in(*leaf.words, slot) : LayerRecord{};
      if (record.state == static_cast<uint8_t>(LayerState::empty)) {
        return self->fail(ErrorCode::not_found, "no layer has slot " + std::to_string(slot));
      }
      self->map(slot, record);
    });
  }

  void map(uint64_t slot, const LayerRecord& record) {
    if (record.map_level >= limits::max_tree_levels) {
      add(problem_row("layer slot " + std::to_string(slot), "its map's level makes no sense"));
      return end();
    }
    cursor_ = std::make_shared<LeafCursor>(device_, superblock_,
                                           PageIdentity{TreeKind::map, record.map_level, slot, 0},
                                           PageRef{record.map_root});
    more_map(request_.cursor.at);
  }

  void more_map(uint64_t from) {
    constexpr uint64_t each = limits::words_per_page;
    if (full()) {
      end_run();
      return end_at({from, 0});
    }
    cursor_->next(from / each, [self = shared_from_this(), from](const LeafCursor::Leaf& leaf) {
      if (leaf.kind == LeafCursor::Leaf::Kind::end) {
        self->end_run();
        return self->end();
      }
      if (leaf.kind == LeafCursor::Leaf::Kind::lost) {
        self->end_run();
        DumpRow row = problem_row(
            span_name("chunks", leaf.index * each, leaf.lost_leaves * each), leaf.problem);
        row.emplace_back("offsetBytes", leaf.index * each * limits::chunk_bytes);
        row.emplace_back("lengthBytes", leaf.lost_leaves * each * limits::chunk_bytes);
        self->add(std::move(row));
        return self->more_map((leaf.index + leaf.lost_leaves) * each);
      }
      const uint64_t first = leaf.index * each;
      for (uint64_t i = std::max(from, first); i < first + each; ++i) {
        self->entry(i, MapEntry::unpack((*leaf.words)[i - first]));
      }
      self->more_map(first + each);
    });
  }

  // Entries that are alike, over chunks that lie side by side, are one run.
  void entry(uint64_t index, MapEntry entry) {
    if (run_length_ > 0 && index == run_index_ + run_length_ && entry.data == run_.data &&
        entry.zero == run_.zero &&
        entry.chunk == (run_.chunk == 0 ? 0 : run_.chunk + run_length_)) {
      ++run_length_;
      return;
    }
    end_run();
    if (entry.pack() == 0) return;
    run_ = entry;
    run_index_ = index;
    run_length_ = 1;
  }

  void end_run() {
    if (run_length_ == 0) return;
    DumpRow row{{"row", "map"},
                {"layerSlot", request_.layer_slot},
                {"index", run_index_},
                {"count", run_length_}};
    if (run_.chunk != 0) row.emplace_back("chunk", uint64_t{run_.chunk});
    row.emplace_back("dataMask", uint64_t{run_.data});
    row.emplace_back("zeroMask", uint64_t{run_.zero});
    if (!run_.valid()) row.emplace_back("problem", "the map entry makes no sense");
    add(std::move(row));
    run_length_ = 0;
  }

  // ---- Space ------------------------------------------------------------------------------------

  void space() {
    cursor_ = cursor_of(TreeKind::space);
    more_space(request_.cursor.at);
  }

  void more_space(uint64_t from) {
    constexpr uint64_t each = limits::words_per_page;
    if (full()) return end_at({from, 0});
    cursor_->next(from / each, [self = shared_from_this(), from](const LeafCursor::Leaf& leaf) {
      if (leaf.kind == LeafCursor::Leaf::Kind::end) return self->end();
      const uint64_t first = leaf.index * each;
      if (leaf.kind == LeafCursor::Leaf::Kind::lost) {
        if (first >= self->superblock_.metadata_slots) return self->end();
        self->lost(leaf, span_name("space slots", first,
                                   std::min(leaf.lost_leaves * each,
                                            self->superblock_.metadata_slots - first)));
        return self->more_space((leaf.index + leaf.lost_leaves) * each);
      }
      for (uint64_t i = std::max(from, first); i < first + each; ++i) {
        const uint64_t word = (*leaf.words)[i - first];
        if (word == 0) continue;
        self->add({{"row", "space"},
                   {"slot", i},
                   {"chunk", word & 0xffffffff},
                   {"usedMask", word >> 32 & 0xffff}});
      }
      self->more_space(first + each);
    });
  }

  // ---- Journal and kill log ---------------------------------------------------------------------

  void records(uint64_t sequence, std::span<const std::byte> left) {
    while (!left.empty()) {
      const std::optional<Record> record = decode_record(left);
      if (!record.has_value()) {
        add(problem_row("commit " + std::to_string(sequence), "a record of an unknown kind"));
        return;
      }
      value_bytes_ += record->payload.size();
      add(record_row(sequence, *record));
    }
  }

  void journal() {
    const auto told = [self = shared_from_this()](const JournalCommit& commit) {
      self->add({{"row", "commit"},
                 {"sequence", commit.sequence},
                 {"position", commit.position},
                 {"blocks", commit.blocks},
                 {"recordBytes", uint64_t{commit.records.size()}}});
      self->records(commit.sequence, commit.records);
      if (!self->full()) return true;
      self->page_.next = DumpCursor{commit.position + commit.blocks, commit.sequence + 1};
      return false;
    };
    const auto ended = [self = shared_from_this()](uint64_t next, std::string problem) {
      if (!self->page_.next.has_value() && problem.empty()) {
        self->add({{"row", "journal-end"}, {"nextSequence", next}});
      } else if (!problem.empty()) {
        self->add(problem_row("journal", std::move(problem)));
      }
      self->end();
    };
    const auto scan = std::make_shared<JournalScan>(device_, superblock_, told, ended);
    if (request_.cursor.sequence == 0) return scan->begin();
    scan->begin_at(request_.cursor.at, request_.cursor.sequence);
  }

  void kill_log() {
    const auto scratch = std::make_shared<AlignedBuffer>(superblock_.kill_log_bytes);
    cold_read(device_, superblock_.kill_log_first_chunk * limits::chunk_bytes, scratch->span(),
              [self = shared_from_this(), scratch](int result) {
                if (result != 0) {
                  self->add(problem_row("kill log",
                                        error_from_errno(-result, "reading it").message));
                } else {
                  for (const uint64_t half : {0u, 1u}) self->kill_log_half(half, scratch->span());
                }
                self->end();
              });
  }

  void kill_log_half(uint64_t half, std::span<std::byte> log) {
    const auto header =
        read_at<KillLogHeader>(log.subspan(half * log.size() / 2, sizeof(KillLogHeader)));
    DumpRow row{{"row", "kill-log"}, {"half", half}};
    if (header.magic != kill_log_magic) {
      row.emplace_back("state", "never used");
      return add(std::move(row));
    }
    row.emplace_back("sequence", header.sequence);
    row.emplace_back("boot", bytes_value(header.boot));
    // Read as if in the boot that wrote it; whether that is the present one is for the reader.
    const KillLog as_written(superblock_.pool,
                             {KillSafeMemory::Kind::mapped, log, header.boot});
    const std::vector<std::byte> noted =
        header.sequence % 2 == half ? as_written.read(header.sequence) : std::vector<std::byte>{};
    row.emplace_back("state", noted.empty() ? "holds nothing that counts" : "holds records");
    row.emplace_back("recordBytes", uint64_t{noted.size()});
    add(std::move(row));
    records(header.sequence, noted);
  }

  // ---- Catalog ----------------------------------------------------------------------------------

  void catalog() {
    cursor_ = cursor_of(TreeKind::catalog);
    cell_ = request_.cursor.at;
    more_catalog(cell_ / limits::catalog_cells_per_page);
  }

  // Cells from `cell_` on; `words_` holds a record's first part while the rest is being read.
  void more_catalog(uint64_t leaf_index) {
    cursor_->next(leaf_index, [self = shared_from_this(),
                               leaf_index](const LeafCursor::Leaf& leaf) {
      constexpr uint64_t each = limits::catalog_cells_per_page;
      if (leaf.kind == LeafCursor::Leaf::Kind::end || leaf.index != leaf_index) {
        // A page of zeroes: nothing but free cells.
        self->broken_off();
        if (leaf.kind == LeafCursor::Leaf::Kind::end) return self->end();
        self->cell_ = leaf.index * each;
      }
      if (leaf.kind == LeafCursor::Leaf::Kind::lost) {
        self->broken_off();
        self->lost(leaf, span_name("catalog cells", leaf.index * each, leaf.lost_leaves * each));
        self->cell_ = (leaf.index + leaf.lost_leaves) * each;
        self->after_lost_ = true;
        return self->more_catalog(leaf.index + leaf.lost_leaves);
      }
      const uint64_t skip =
          self->words_.empty() ? (self->cell_ - leaf.index * each) * limits::catalog_cell_words : 0;
      self->words_.insert(self->words_.end(), leaf.words->begin() + static_cast<ptrdiff_t>(skip),
                          leaf.words->end());
      self->cells();
      if (self->full()) return self->end_at({self->cell_, 0});
      self->more_catalog(leaf.index + 1);
    });
  }

  void broken_off() {
    if (words_.empty()) return;
    add(problem_row("catalog cell " + std::to_string(cell_), "a record whose end cannot be read"));
    words_.clear();
  }

  // Takes whole records off the front of `words_`.
  void cells() {
    constexpr uint64_t each = limits::catalog_cell_words;
    size_t at = 0;
    while (at < words_.size() && !full()) {
      CatalogCellHeader header;
      std::memcpy(static_cast<void*>(&header), words_.data() + at, sizeof header);
      const uint32_t count = catalog_cells(header.value_bytes);
      const bool record = header.magic == catalog_magic &&
                          header.value_bytes <= limits::max_catalog_value_bytes;
      if (!record) {
        // Behind a lost page may lie the rest of a value that began in it.
        if (words_[at] != 0 && !after_lost_) {
          add(problem_row("catalog cell " + std::to_string(cell_), "is neither free nor a record"));
          after_lost_ = true;
        }
        at += each;
        ++cell_;
        continue;
      }
      if (at + count * each > words_.size()) break;
      after_lost_ = false;
      const auto bytes = std::as_bytes(std::span(words_)).subspan(at * 8 + sizeof header);
      value_bytes_ += header.value_bytes;
      add({{"row", "catalog"},
           {"cell", cell_},
           {"key", header.key},
           {"value", bytes_value(bytes.first(header.value_bytes))}});
      at += count * each;
      cell_ += count;
    }
    words_.erase(words_.begin(), words_.begin() + static_cast<ptrdiff_t>(at));
  }

  Device& device_;
  const DumpRequest request_;
  Done done_;
  Superblock superblock_;
  DumpPage page_;
  size_t value_bytes_ = 0;
  std::shared_ptr<LeafCursor> cursor_;
  MapEntry run_;
  uint64_t run_index_ = 0;
  uint64_t run_length_ = 0;  // 0: no run.
  uint64_t cell_ = 0;
  bool after_lost_ = false;
  std::vector<uint64_t> words_;
};

}  // namespace

void dump_pool(Device& device, const DumpRequest& request, Done done) {
  std::make_shared<Dumping>(device, request, std::move(done))->begin();
}

}  // namespace ashlar::store
