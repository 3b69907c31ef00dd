#include "store/repair.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "store/image_writer.h"
#include "store/journal_scan.h"
#include "store/kill_log.h"
#include "store/layers.h"
#include "store/records.h"
#include "store/walk.h"

namespace ashlar::store {

namespace {

using Done = std::function<void(Result<RepairReport>)>;

// The superblock from which everything is walked, or why there is none.
Result<Superblock> choose(const SuperblockCopies& copies, uint64_t device_bytes) {
  for (const SuperblockReading& copy : copies.copies) {
    if (copy.verdict == SuperblockVerdict::newer_version) {
      return Error{ErrorCode::pool_newer_format, copy.problem};
    }
  }
  const Superblock* best = copies.best();
  if (best == nullptr) {
    for (uint32_t i = 0; i < 2; ++i) {
      if (copies.result[i] != 0) {
        return error_from_errno(-copies.result[i], "reading both superblocks");
      }
      if (copies.copies[i].verdict == SuperblockVerdict::damaged) {
        return Error{ErrorCode::pool_corrupt,
                     "both superblocks are damaged: " + copies.copies[i].problem +
                         "; nothing was changed: restore the pool from a copy"};
      }
    }
    return Error{ErrorCode::pool_not_a_pool, "it is not a pool: " + copies.copies[0].problem +
                                                 "; check the path"};
  }
  if (device_bytes < best->size_bytes) {
    return Error{ErrorCode::pool_truncated,
                 "it is truncated: " + std::to_string(device_bytes) +
                     " bytes long, but the pool has " + std::to_string(best->size_bytes) +
                     "; restore its full length before anything else"};
  }
  return *best;
}

class Repairing : public std::enable_shared_from_this<Repairing> {
 public:
  Repairing(Device& device, bool dry_run, Done done)
      : device_(device), dry_run_(dry_run), done_(std::move(done)) {}

  void begin() {
    read_superblocks(device_, !dry_run_, [self = shared_from_this()](const auto& copies) {
      Result<Superblock> chosen = choose(copies, self->device_.geometry().size_bytes);
      if (!chosen.ok()) return self->fail(chosen.error());
      CheckReport report;
      copies.judge(report);
      self->walk_ = std::make_shared<Walk>(self->device_, chosen.value(), std::move(report),
                                           [self](Walk&) { self->scan_journal(); });
      self->walk_->begin();
    });
  }

 private:
  void fail(const Error& error) {
    const auto told = std::move(done_);
    told(error);
  }

  void end() {
    const auto told = std::move(done_);
    told(std::move(report_));
  }

  void stuck(std::string where, std::string what) {
    add_problem(report_.found, {std::move(where), std::move(what)});
  }

  void scan_journal() {
    report_.found = walk_->report;
    const auto told = [self = shared_from_this()](const JournalCommit& commit) {
      self->note_chunks(commit.records);
      return true;
    };
    std::make_shared<JournalScan>(device_, walk_->superblock, told,
                                  [self = shared_from_this()](uint64_t, std::string problem) {
                                    if (!problem.empty()) self->stuck("journal", problem);
                                    self->read_kill_log();
                                  })
        ->begin();
  }

  // Chunks that the next open will take, whatever boot a half of the kill log is of.
  void note_chunks(std::span<const std::byte> left) {
    while (!left.empty()) {
      const std::optional<Record> record = decode_record(left);
      if (!record.has_value()) return;  // The next open refuses it.
      if (record->kind == RecordKind::metadata_chunk) taken_later_.insert(record->b);
      if (record->kind == RecordKind::map_entry) {
        taken_later_.insert(MapEntry::unpack(record->c).chunk);
      }
    }
  }

  void read_kill_log() {
    const Superblock& s = walk_->superblock;
    const auto log = std::make_shared<AlignedBuffer>(s.kill_log_bytes);
    cold_read(device_, s.kill_log_first_chunk * limits::chunk_bytes, log->span(),
              [self = shared_from_this(), log](int result) {
                const size_t half = log->size() / 2;
                for (const size_t at : {size_t{0}, half}) {
                  const auto header = read_at<KillLogHeader>(log->span(), at);
                  const KillLog noted(self->walk_->superblock.pool,
                                      {KillSafeMemory::Kind::mapped, log->span(), header.boot});
                  self->note_chunks(noted.read(header.sequence));
                }
                if (result != 0) {
                  self->stuck("kill log", error_from_errno(-result, "reading it").message);
                }
                self->judge();
              });
  }

  bool mendable() const {
    return std::all_of(report_.found.problems.begin(), report_.found.problems.end(),
                       [](const auto& problem) { return problem.repairable; });
  }

  void judge() {
    if (mendable() && !report_.found.problems.empty()) plan();
    report_.mendable = mendable();
    if (dry_run_ || !report_.mendable || report_.found.problems.empty()) {
      report_.checked = report_.found;
      return end();
    }
    write();
  }

  // ---- The new image ----------------------------------------------------------------------------

  void plan() {
    owned_ = walk_->owned;
    if (!find_slots()) return;
    const auto words = (walk_->superblock.total_chunks + 63) / 64;
    CHECK(owned_.size() == words);
    writer_ = std::make_shared<ImageWriter>(device_, *walk_);
    writer_->plan(TreeKind::bitmap, owned_, false);
    writer_->plan(TreeKind::layers, mended_layers(), false);
    std::vector<uint64_t> space = space_words(writer_->used_after());
    const bool same = space == walk_->space && !walk_->any_lost(TreeKind::space);
    if (writer_->page_count() > 0 || !same) {
      writer_->plan(TreeKind::space, space, true);
      const std::vector<uint64_t> free_pages = find_free_pages();
      if (!writer_->assign(free_pages)) {
        return stuck("space map", "mending takes " + std::to_string(writer_->page_count()) +
                                      " free pages of metadata, and there are " +
                                      std::to_string(free_pages.size()));
      }
      writer_->fill(TreeKind::space, space_words(writer_->used_after()));
    }
    report_.pages_written = writer_->page_count();
    next_ = walk_->superblock;
    ++next_.generation;
    next_.metadata_slots = slots_.size();
    next_.owned_chunks = 0;
    for (const uint64_t word : owned_) {
      next_.owned_chunks += static_cast<uint64_t>(std::popcount(word));
    }
    next_.catalog_records = walk_->catalog_records;
  }

  // The metadata chunk of each slot. Where the space map is lost: those that hold pages in use, and
  // such as the bitmap says are owned, and no layer owns.
  bool find_slots() {
    std::vector<size_t> open;
    const uint64_t count = walk_->superblock.metadata_slots;
    std::unordered_set<uint32_t> known;
    for (uint64_t slot = 0; slot < count; ++slot) {
      const auto chunk = slot < walk_->space.size() ? static_cast<uint32_t>(walk_->space[slot]) : 0;
      slots_.push_back(chunk);
      if (chunk == 0) {
        open.push_back(slot);
      } else {
        known.insert(chunk);
      }
    }
    std::vector<uint32_t> found;
    for (const uint64_t page : walk_->pages) {
      const auto chunk = static_cast<uint32_t>(page / limits::pages_per_chunk);
      if (!known.insert(chunk).second) continue;
      if (walk_->owns(chunk)) {
        stuck("chunk " + std::to_string(chunk), "holds metadata, and a layer owns it too");
        return false;
      }
      found.push_back(chunk);
    }
    std::sort(found.begin(), found.end());
    if (found.size() > open.size()) {
      stuck("space map", std::to_string(found.size()) + " chunks that no slot names hold metadata, " +
                             std::to_string(open.size()) + " slots are lost");
      return false;
    }
    for (uint64_t chunk = 0; chunk < walk_->superblock.devices[0].chunk_count; ++chunk) {
      if (found.size() == open.size()) break;
      const bool marked = (walk_->bitmap[chunk / 64] >> (chunk % 64) & 1) != 0;
      if (marked && !walk_->owns(chunk) && known.insert(static_cast<uint32_t>(chunk)).second) {
        found.push_back(static_cast<uint32_t>(chunk));
      }
    }
    return fill_slots(open, found);
  }

  // Where nothing tells which chunks they were, no page of them was in use: any free chunk does.
  bool fill_slots(const std::vector<size_t>& open, const std::vector<uint32_t>& found) {
    for (size_t i = 0; i < found.size(); ++i) slots_[open[i]] = found[i];
    for (const uint32_t chunk : slots_) owned_[chunk / 64] |= 1ull << (chunk % 64);
    uint64_t chunk = walk_->superblock.devices[0].chunk_count;
    for (size_t i = found.size(); i < open.size(); ++i) {
      do {
        if (--chunk < fixed_chunks(walk_->superblock)) {
          stuck("space map", "there is no free chunk for " + std::to_string(open.size() - i) +
                                 " lost slots; free some space first");
          return false;
        }
      } while ((owned_[chunk / 64] >> (chunk % 64) & 1) != 0 || taken_later_.contains(chunk));
      slots_[open[i]] = static_cast<uint32_t>(chunk);
      owned_[chunk / 64] |= 1ull << (chunk % 64);
      fresh_.push_back(chunk);
    }
    return true;
  }

  std::vector<uint64_t> space_words(const std::unordered_set<uint64_t>& used) const {
    std::vector<uint64_t> words;
    for (const uint32_t chunk : slots_) {
      uint64_t mask = 0;
      for (uint32_t i = 0; i < limits::pages_per_chunk; ++i) {
        const uint64_t page = uint64_t{chunk} * limits::pages_per_chunk + i;
        mask |= uint64_t{used.contains(page)} << i;
      }
      words.push_back(chunk | mask << 32);
    }
    words.resize(std::max(words.size(), walk_->space.size()));
    return words;
  }

  // Neither of the image that counts nor, being lost in it, of doubtful use.
  std::vector<uint64_t> find_free_pages() const {
    std::vector<uint64_t> free_pages;
    for (const uint32_t chunk : slots_) {
      for (uint32_t i = 0; i < limits::pages_per_chunk; ++i) {
        const uint64_t page = uint64_t{chunk} * limits::pages_per_chunk + i;
        if (!walk_->pages.contains(page)) free_pages.push_back(page);
      }
    }
    return free_pages;
  }

  std::vector<uint64_t> mended_layers() const {
    std::vector<uint64_t> words = walk_->layer_words;
    for (uint64_t slot = 0; slot < walk_->layers.size(); ++slot) {
      LayerRecord record = walk_->layers[slot];
      if (record.state == static_cast<uint8_t>(LayerState::empty)) continue;
      record.reserved_chunks = std::min(record.reserved_chunks, Walk::reservation_bound(record));
      if (const auto at = walk_->figures.find(slot); at != walk_->figures.end()) {
        const UsageCheck::Counted& counted = at->second;
        record.mapped_blocks = counted.mapped;
        record.allocated_chunks = counted.allocated;
        record.frees = counted.frees;
        record.passed_frees = counted.passed;
        if ((record.flags & layer_has_usage) != 0 &&
            record.state != static_cast<uint8_t>(LayerState::deleting)) {
          record.visible_blocks = counted.visible;
        }
      }
      std::memcpy(words.data() + layer_record_leaf(slot) * limits::words_per_page +
                      layer_record_word(slot),
                  &record, sizeof record);
    }
    return words;
  }

  // ---- Writing and proving ----------------------------------------------------------------------

  // What becomes metadata is written first, so that a sparse file has its bytes for certain.
  void write() {
    if (!fresh_.empty()) {
      const uint64_t chunk = fresh_.back();
      fresh_.pop_back();
      return cold_write(device_, chunk * limits::chunk_bytes, zeroes_.span(), false,
                        [self = shared_from_this()](int result) {
                          if (result != 0) return self->fail(self->broken(result));
                          self->write();
                        });
    }
    writer_->write(next_, [self = shared_from_this()](int result) {
      if (result != 0) return self->fail(self->broken(result));
      self->flip();
    });
  }

  Error broken(int result) const {
    return error_from_errno(-result, "writing what is mended; check whether the pool is as it was");
  }

  void flip() {
    seal_superblock(next_);
    std::memcpy(memory_.data(), &next_, sizeof next_);
    cold_write(device_, superblock_offsets[next_.generation % 2], memory_.span(), true,
               [self = shared_from_this()](int result) {
                 if (result != 0) return self->fail(self->broken(result));
                 self->report_.changed = true;
                 self->prove();
               });
  }

  void prove() {
    writer_.reset();
    read_superblocks(device_, true, [self = shared_from_this()](const auto& copies) {
      const Superblock* best = copies.best();
      if (best == nullptr || best->generation != self->next_.generation) {
        return self->fail({ErrorCode::pool_corrupt,
                           "the superblock that was written cannot be read again"});
      }
      CheckReport report;
      copies.judge(report);
      self->walk_ = std::make_shared<Walk>(self->device_, *best, std::move(report),
                                           [self](Walk& walk) {
                                             self->report_.checked = walk.report;
                                             self->end();
                                           });
      self->walk_->begin();
    });
  }

  Device& device_;
  const bool dry_run_;
  Done done_;
  RepairReport report_;
  std::shared_ptr<Walk> walk_;
  std::unordered_set<uint64_t> taken_later_;  // Chunks named by records that are to be replayed.
  std::vector<uint32_t> slots_;   // Metadata chunks.
  std::vector<uint64_t> fresh_;   // Of these, such as were not metadata before.
  std::vector<uint64_t> owned_;   // The bitmap as it shall be.
  std::shared_ptr<ImageWriter> writer_;
  Superblock next_;
  AlignedBuffer memory_{limits::block_bytes};
  AlignedBuffer zeroes_{limits::chunk_bytes};
};

}  // namespace

void repair_pool(Device& device, bool dry_run, Done done) {
  std::make_shared<Repairing>(device, dry_run, std::move(done))->begin();
}

}  // namespace ashlar::store
