// Pool::open: the newest valid superblock, its trees, and the replay of every commit after it.
#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

using Done = std::function<void(Result<std::unique_ptr<Pool>>)>;

constexpr const char* not_a_pool_hint = "check the path, or create a pool in another place";

class Opening : public std::enable_shared_from_this<Opening> {
 public:
  Opening(std::unique_ptr<PoolImpl> pool, Done done)
      : pool_(std::move(pool)), done_(std::move(done)) {}

  void begin() {
    const uint64_t size = device().geometry().size_bytes;
    if (size < superblock_offsets[1] + limits::block_bytes) {
      // Too short for two copies: read what there is, to tell a cut pool from a foreign file.
      if (size < limits::block_bytes) {
        return fail(ErrorCode::pool_not_a_pool,
                    "it is not a pool: " + std::to_string(size) + " bytes long; " +
                        not_a_pool_hint);
      }
    }
    read_copy(0);
  }

 private:
  Device& device() { return pool_->device(); }

  void fail(ErrorCode code, std::string message) {
    auto told = std::move(done_);
    PoolImpl::abandon(std::move(pool_),
                      [told = std::move(told), error = Error{code, std::move(message)}] {
                        told(error);
                      });
  }

  // ---- Superblock -------------------------------------------------------------------------------

  void read_copy(uint32_t copy) {
    if (copy == 2) return choose();
    if (superblock_offsets[copy] + limits::block_bytes > device().geometry().size_bytes) {
      return read_copy(copy + 1);
    }
    cold_read(device(), superblock_offsets[copy], buffer_.span().first(limits::block_bytes),
              [self = shared_from_this(), copy](int result) {
                if (result != 0) {
                  Error error = error_from_errno(-result, "reading the superblock");
                  return self->fail(error.code, error.message);
                }
                self->copies_[copy] =
                    read_superblock(self->buffer_.span(), !self->pool_->options.read_only);
                self->read_copy(copy + 1);
              });
  }

  void choose() {
    const SuperblockReading* best = nullptr;
    for (const SuperblockReading& copy : copies_) {
      if (copy.verdict == SuperblockVerdict::newer_version) {
        return fail(ErrorCode::pool_newer_format, copy.problem);
      }
      if (copy.verdict != SuperblockVerdict::valid) continue;
      if (best == nullptr || copy.superblock.generation > best->superblock.generation) best = &copy;
    }
    if (best == nullptr) {
      for (const SuperblockReading& copy : copies_) {
        if (copy.verdict == SuperblockVerdict::damaged) {
          return fail(ErrorCode::pool_corrupt, "both superblocks are damaged: " + copy.problem +
                                                   "; nothing was changed: restore the pool from a "
                                                   "copy");
        }
      }
      return fail(ErrorCode::pool_not_a_pool,
                  "it is not a pool: " + copies_[0].problem + "; " + not_a_pool_hint);
    }
    const Superblock& s = best->superblock;
    if (device().geometry().size_bytes < s.size_bytes) {
      return fail(ErrorCode::pool_truncated,
                  "it is truncated: " + std::to_string(device().geometry().size_bytes) +
                      " bytes long, but the pool has " + std::to_string(s.size_bytes) +
                      "; restore its full length before anything else");
    }
    pool_->superblock = s;
    pool_->devices.load(s);
    load_trees();
  }

  // ---- Trees ------------------------------------------------------------------------------------

  void load_trees() {
    PageTree* trees[root_count] = {&pool_->bitmap_tree, &pool_->space_tree, &pool_->layer_tree,
                                   &pool_->catalog_tree};
    for (uint32_t i = 0; i < root_count; ++i) {
      const TreeRoot& root = pool_->superblock.roots[i];
      trees[i]->set_root(PageRef{root.ref}, static_cast<uint8_t>(root.level));
    }
    load_tree(0);
  }

  void load_tree(uint32_t which) {
    if (which == root_count) return load_tables();
    PageTree* trees[root_count] = {&pool_->bitmap_tree, &pool_->space_tree, &pool_->layer_tree,
                                   &pool_->catalog_tree};
    pool_->loader.load_all(*trees[which], [self = shared_from_this(), which](Status status) {
      if (!status.ok()) return self->fail(status.error().code, status.error().message);
      self->load_tree(which + 1);
    });
  }

  void load_tables() {
    const Superblock& s = pool_->superblock;
    const auto corrupt = [this](std::string what) {
      fail(ErrorCode::pool_corrupt, std::move(what));
    };
    if (!pool_->allocator.load(s.total_chunks)) return corrupt("the bitmap goes beyond the pool's end");
    if (pool_->allocator.owned_count() != s.owned_chunks) {
      return corrupt("the bitmap has " + std::to_string(pool_->allocator.owned_count()) +
                     " chunks owned, the superblock " + std::to_string(s.owned_chunks));
    }
    pool_->devices.divide_chunks();
    if (!pool_->space.load(s.metadata_slots, s.devices[0].chunk_count)) return corrupt("the space map makes no sense");
    if (std::string problem = pool_->layers.load(s.layer_slots); !problem.empty()) {
      return corrupt(std::move(problem));
    }
    if (std::string problem = pool_->catalog.load(s.catalog_cells); !problem.empty()) {
      return corrupt("the catalog: " + problem);
    }
    if (pool_->catalog.record_count() != s.catalog_records) {
      return corrupt("the catalog has " + std::to_string(pool_->catalog.record_count()) +
                     " records, the superblock says " + std::to_string(s.catalog_records));
    }
    pool_->layers.for_each([this](const Layer& layer) { pool_->mapping.count_loaded(layer); });
    pool_->metadata_chunks = fixed_chunks(s) + pool_->space.chunk_count() +
                              pool_->devices.label_chunks();
    journal_ = Journal(s.pool, s.journal_first_chunk, s.journal_bytes);
    position_ = s.journal_position;
    sequence_ = s.next_sequence;
    read_first_block();
  }

  // ---- Replay -----------------------------------------------------------------------------------

  // Reads ring blocks [position, position + blocks) into the buffer, round the ring's end.
  void read_ring(uint64_t position, uint64_t blocks, std::function<void()> then) {
    const uint64_t to_end = journal_.ring_blocks() - position % journal_.ring_blocks();
    const uint64_t first = std::min(blocks, to_end);
    const auto failed = [self = shared_from_this()](int result) {
      if (result == 0) return false;
      Error error = error_from_errno(-result, "reading the journal");
      self->fail(error.code, error.message);
      return true;
    };
    const auto rest = buffer_.span().subspan(first * limits::block_bytes,
                                             (blocks - first) * limits::block_bytes);
    cold_read(device(), journal_.offset_of(position),
              buffer_.span().first(first * limits::block_bytes),
              [self = shared_from_this(), failed, rest, position, first, then](int result) {
                if (failed(result)) return;
                if (rest.empty()) return then();
                cold_read(self->device(), self->journal_.offset_of(position + first), rest,
                          [failed, then](int second) {
                            if (!failed(second)) then();
                          });
              });
  }

  void read_first_block() {
    read_ring(position_, 1, [self = shared_from_this()] {
      const uint32_t blocks = self->journal_.promised_blocks(
          self->buffer_.span().first(limits::block_bytes), self->sequence_, self->position_);
      if (blocks == 0 || self->replayed_blocks_ + blocks > self->journal_.ring_blocks()) {
        return self->search_beyond();
      }
      self->read_ring(self->position_, blocks, [self, blocks] {
        if (!self->journal_.decode(self->buffer_.span().first(blocks * size_t{limits::block_bytes}),
                                   self->sequence_, self->position_, self->records_)) {
          return self->search_beyond();
        }
        self->replayed_blocks_ += blocks;
        self->position_ += blocks;
        ++self->sequence_;
        self->left_ = self->ahead_ = self->records_;
        self->replay();
      });
    });
  }

  void replay() {
    while (!left_.empty()) {
      std::span<const std::byte> after = left_;
      const std::optional<Record> record = decode_record(after);
      if (!record.has_value()) return contradiction("a record of an unknown kind");
      Applied applied = apply(*record);
      if (applied == Applied::loading) return;
      if (applied == Applied::wrong) {
        return contradiction("record kind " + std::to_string(static_cast<uint32_t>(record->kind)) +
                             " for slot " + std::to_string(record->a));
      }
      ++pool_->replayed_records;
      left_ = after;
      asked_ahead_ = 0;
      pool_->gathered(this);
    }
    if (kill_log_step_ > 0) return adopt_kill_log();
    read_first_block();
  }

  void contradiction(const std::string& what) {
    fail(ErrorCode::pool_corrupt, "commit " + std::to_string(sequence_ - 1) +
                                      " of the journal contradicts the checkpoint: " + what);
  }

  enum class Applied : uint8_t { done, loading, wrong };

  // Reads what a record needs, after which it is applied again. What the records after it need is
  // asked for at the same time: records of random writes each want pages of their own. All pages of
  // a record, one of each layer under its own, must be in memory together, whatever the cache.
  Applied load(const MissingPage& missing) {
    pool_->gather(this);
    if (ahead_.size() > left_.size()) ahead_ = left_;  // Overtaken.
    while (left_.size() - ahead_.size() < limits::replay_ahead * sizeof(RecordHeader) &&
           asked_ahead_ < limits::replay_ahead_pages) {
      const std::optional<Record> record = decode_record(ahead_);
      if (!record.has_value()) break;
      Layer* layer = pool_->layers.at(record->a);
      if (record->kind != RecordKind::map_entry || layer == nullptr) continue;
      pool_->loader.bring_in(*layer, record->b / limits::words_per_page, asked_ahead_);
    }
    pool_->loader.load(*missing.tree, missing.found, [self = shared_from_this()](Status status) {
      if (!status.ok()) return self->fail(status.error().code, status.error().message);
      self->replay();
    });
    return Applied::loading;
  }

  Applied apply_map_entry(const Record& record, Layer* layer) {
    if (layer == nullptr || record.b >= limits::max_layer_bytes / limits::chunk_bytes) {
      return Applied::wrong;
    }
    Mapping& mapping = pool_->mapping;
    const uint64_t leaf_index = record.b / limits::words_per_page;
    if (const MissingPage missing = mapping.missing(*layer, leaf_index); missing) {
      return load(missing);
    }
    const auto slot = static_cast<uint32_t>(record.b % limits::words_per_page);
    PageNode& leaf = mapping.leaf(*layer, leaf_index);
    return mapping.apply(*layer, leaf, slot, MapEntry::unpack(record.c), 0) ? Applied::done
                                                                          : Applied::wrong;
  }

  Applied apply_clear_leaf(const Record& record, Layer* layer) {
    if (layer == nullptr || layer->parent.load(std::memory_order_relaxed) != nullptr) {
      return Applied::wrong;
    }
    const PageFound found = layer->map.find(record.b);
    // A leaf that held nothing yet may be known to the journal by its clearing only.
    if (found.state == PageFound::State::absent) return Applied::done;
    if (found.state == PageFound::State::unloaded) return load({&layer->map, found});
    pool_->mapping.apply_clear_leaf(*layer, *found.leaf, 0);
    return Applied::done;
  }

  Applied apply_merge(const Record& record, Layer* layer) {
    if (layer == nullptr || layer->state != LayerState::deleting ||
        layer->only_child() == nullptr) {
      return Applied::wrong;
    }
    Mapping& mapping = pool_->mapping;
    const bool whole = record.kind == RecordKind::merge_leaf;
    const uint64_t leaf_index = whole ? record.b : record.b / limits::words_per_page;
    if (const MissingPage missing = mapping.missing_for_merge(*layer, leaf_index); missing) {
      return load(missing);
    }
    const auto copied = static_cast<uint16_t>(record.c);
    const bool fits = whole ? mapping.apply_merge_leaf(*layer, record.b, 0)
                            : mapping.apply_merge_chunk(*layer, record.b, copied, 0);
    return fits ? Applied::done : Applied::wrong;
  }

  Applied apply(const Record& record) {
    PoolImpl& pool = *pool_;
    Applied applied = Applied::wrong;
    Layer* layer = pool.layers.at(record.a);
    switch (record.kind) {
      case RecordKind::map_entry: return apply_map_entry(record, layer);
      case RecordKind::clear_leaf: return apply_clear_leaf(record, layer);
      case RecordKind::merge_chunk:
      case RecordKind::merge_leaf: return apply_merge(record, layer);
      case RecordKind::metadata_chunk: {
        if (record.b >= pool.devices.first_device_chunks()) return applied;
        const auto chunk = static_cast<uint32_t>(record.b);
        if (!pool.allocator.claim(chunk) || !pool.space.add_chunk(record.a, chunk)) return applied;
        ++pool.metadata_chunks;
        return Applied::done;
      }
      case RecordKind::create_layer: return apply_create(record);
      case RecordKind::layer_state: return apply_state(record, layer);
      case RecordKind::resize_layer:
        if (layer == nullptr || record.b == 0 || record.b > limits::max_layer_bytes) {
          return applied;
        }
        layer->size_bytes = record.b;
        pool.layers.touch(*layer);
        return Applied::done;
      case RecordKind::reserve_layer:
        if (layer == nullptr || layer->state != LayerState::live) return applied;
        pool.mapping.set_reserved(*layer, record.b);
        return Applied::done;
      case RecordKind::remove_layer:
        // Pages that were asked for ahead may turn out not to be needed; they find their tree.
        if (pool.loader.idle()) return apply_remove(layer);
        pool.loader.when_idle([self = shared_from_this()] { self->replay(); });
        return Applied::loading;
      case RecordKind::put_record:
        pool.catalog.put(record.b, record.payload);
        return Applied::done;
      case RecordKind::delete_record:
        return pool.catalog.erase(record.b) ? Applied::done : Applied::wrong;
      case RecordKind::add_device:
        return pool.devices.replay_add(record) ? Applied::done : Applied::wrong;
      case RecordKind::device_state:
        return pool.devices.replay_state(record) ? Applied::done : Applied::wrong;
    }
    return applied;
  }

  Applied apply_create(const Record& record) {
    const auto body = read_at<CreateLayer>(record.payload);
    Layer* parent = nullptr;
    if (body.parent_slot_plus1 != 0) {
      parent = pool_->layers.at(body.parent_slot_plus1 - 1);
      if (parent == nullptr || parent->state == LayerState::deleting) return Applied::wrong;
    }
    if ((body.block_bytes != 512 && body.block_bytes != 4096) || body.size_bytes == 0 ||
        body.size_bytes > limits::max_layer_bytes || body.size_bytes % body.block_bytes != 0) {
      return Applied::wrong;
    }
    Layer* layer = pool_->layers.create(record.a, body.uuid, parent);
    if (layer == nullptr) return Applied::wrong;
    layer->size_bytes = body.size_bytes;
    layer->block_bytes = body.block_bytes;
    layer->created_sequence = body.created_sequence;
    return Applied::done;
  }

  Applied apply_state(const Record& record, Layer* layer) {
    if (layer == nullptr || layer->state == LayerState::deleting) return Applied::wrong;
    if (record.b == static_cast<uint64_t>(LayerState::deleting)) {
      pool_->mapping.begin_delete(*layer);
      return Applied::done;
    }
    if (record.b != static_cast<uint64_t>(LayerState::live) &&
        record.b != static_cast<uint64_t>(LayerState::frozen)) {
      return Applied::wrong;
    }
    layer->state = static_cast<LayerState>(record.b);
    pool_->mapping.set_reserved(*layer, 0);
    return Applied::done;
  }

  Applied apply_remove(Layer* layer) {
    if (layer == nullptr || layer->state != LayerState::deleting || layer->children.size() > 1) {
      return Applied::wrong;
    }
    MissingPage missing;
    const bool nothing_left = layer->nothing_left(missing);
    if (missing) return load(missing);
    if (!nothing_left) return Applied::wrong;
    layer->map.detach_all();
    pool_->views.drop_all(*layer);
    pool_->layers.remove(*layer);
    return Applied::done;
  }

  // ---- The end of the journal -------------------------------------------------------------------

  // What follows is either the end, a torn commit, or a damaged one. A commit is written only when
  // the one before is durable: so a valid later one proves that this one was durable, and is
  // damaged.
  void search_beyond() {
    searched_ = 0;
    search_more();
  }

  void search_more() {
    const uint64_t ring = journal_.ring_blocks();
    if (searched_ >= ring) return read_kill_log();
    const uint64_t ring_block = (position_ + searched_) % ring;
    const uint64_t blocks = std::min({uint64_t{limits::max_commit_bytes / limits::block_bytes},
                                      ring - searched_, ring - ring_block});
    read_ring(position_ + searched_, blocks, [self = shared_from_this(), blocks] {
      for (uint64_t i = 0; i < blocks; ++i) {
        const CommitHeader header = self->journal_.claimed(
            self->buffer_.span().subspan(i * limits::block_bytes, limits::block_bytes));
        const uint64_t here = self->position_ + self->searched_ + i;
        if (header.sequence <= self->sequence_ || header.position != here) continue;
        self->searched_ += i;
        return self->judge_later(header.sequence);
      }
      self->searched_ += blocks;
      self->search_more();
    });
  }

  void judge_later(uint64_t sequence) {
    const uint64_t at = position_ + searched_;
    read_ring(at, 1, [self = shared_from_this(), at, sequence] {
      const uint32_t blocks = self->journal_.promised_blocks(
          self->buffer_.span().first(limits::block_bytes), sequence, at);
      const auto on = [self] {
        ++self->searched_;
        self->search_more();
      };
      if (blocks == 0) return on();
      self->read_ring(at, blocks, [self, at, sequence, blocks, on] {
        std::vector<std::byte> records;
        if (!self->journal_.decode(self->buffer_.span().first(blocks * size_t{limits::block_bytes}),
                                   sequence, at, records)) {
          return on();
        }
        self->fail(ErrorCode::pool_corrupt,
                   "commit " + std::to_string(self->sequence_) +
                       " of the journal is damaged (commit " + std::to_string(sequence) +
                       " after it is whole)");
      });
    });
  }

  // ---- The kill log -----------------------------------------------------------------------------

  // The journal is at its end; what the process noted after its last commit is in the kill log. It
  // is read as a device's range first, since an unreadable page of a mapping would be a signal.
  void read_kill_log() {
    PoolImpl& pool = *pool_;
    pool.committer.start(journal_, position_, pool.superblock.journal_position, sequence_);
    const Superblock& s = pool.superblock;
    const auto scratch =
        std::make_shared<AlignedBuffer>(AlignedBuffer::unwritten(s.kill_log_bytes));
    cold_read(device(), s.kill_log_first_chunk * limits::chunk_bytes, scratch->span(),
              [self = shared_from_this(), scratch](int result) {
                if (result != 0) {
                  Error error = error_from_errno(-result, "reading the kill log");
                  return self->fail(error.code, error.message);
                }
                self->kill_log_ = self->pool_->open_kill_log();
                self->replay_kill_log();
              });
  }

  // Two commits at most can have been open: one being written, one being gathered.
  void replay_kill_log() {
    records_ = kill_log_.read(sequence_);
    if (++kill_log_step_ > 2 || records_.empty()) return finish();
    left_ = ahead_ = records_;
    ++sequence_;  // As after a commit of the ring; its name in messages.
    replay();
  }

  // Applied. It becomes a commit of the journal before anything else may, so that a second end of
  // the process, or of the machine, in the middle of all this finds it in one place or the other.
  void adopt_kill_log() {
    PoolImpl& pool = *pool_;
    if (pool.options.read_only) return replay_kill_log();
    pool.committer.adopt(records_);
    pool.committer.wait([self = shared_from_this()](Status status) {
      if (status.ok()) return self->replay_kill_log();
      const PoolImpl& broken = *self->pool_;
      self->fail(broken.failure_code, "committing the kill log: " + broken.failure);
    });
  }

  void finish() {
    PoolImpl& pool = *pool_;
    if (!pool.options.read_only) pool.committer.keep_through_kills(kill_log_);
    const auto ready = [self = shared_from_this()] {
      const auto told = std::move(self->done_);
      PoolImpl& opened = *self->pool_;
      told(std::unique_ptr<Pool>(std::move(self->pool_)));
      opened.reclaimer.kick();
    };
    const bool older = (pool.superblock.incompatible_features & feature_merging) == 0;
    if (pool.options.read_only || (pool.pages.dirty_count() == 0 && !older)) return ready();
    pool.superblock.incompatible_features |= feature_merging;
    pool.checkpointer.request(false, [self = shared_from_this(), ready](Status status) {
      if (status.ok()) return ready();
      const PoolImpl& broken = *self->pool_;
      self->fail(broken.failure_code, "writing the first checkpoint: " + broken.failure);
    });
  }

  std::unique_ptr<PoolImpl> pool_;
  Done done_;
  AlignedBuffer buffer_ = AlignedBuffer::unwritten(limits::max_commit_bytes);
  SuperblockReading copies_[2];
  Journal journal_;
  uint64_t position_ = 0;
  uint64_t sequence_ = 0;
  uint64_t replayed_blocks_ = 0;
  uint64_t searched_ = 0;
  KillLog kill_log_;
  uint32_t kill_log_step_ = 0;  // Halves begun.
  std::vector<std::byte> records_;
  std::span<const std::byte> left_;
  std::span<const std::byte> ahead_;  // Of records_: those whose pages were not asked for yet.
  uint32_t asked_ahead_ = 0;          // Pages, since a record was last applied.
};

}  // namespace

void Pool::open(std::vector<Port> ports, uint32_t owner, const PoolOptions& options, Random& random,
                Done done) {
  CHECK(owner < ports.size());
  auto pool = std::make_unique<PoolImpl>(std::move(ports), owner, options, random);
  std::make_shared<Opening>(std::move(pool), std::move(done))->begin();
}

}  // namespace ashlar::store
