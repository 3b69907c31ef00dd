// Pool::commit: a transaction is judged whole, applied whole, and journaled in one commit.
#include <algorithm>
#include <cstring>
#include <set>

#include "store/pool_impl.h"
#include "store/tail.h"

namespace ashlar::store {

namespace {

Error refuse(ErrorCode code, std::string message) { return Error{code, std::move(message)}; }

bool is_nil(const Uuid& uuid) noexcept { return uuid == nil_uuid; }

}  // namespace

// What the pool would look like after the changes judged so far, where it differs from now.
class Transaction {
 public:
  Transaction(PoolImpl& pool, std::vector<Change> changes)
      : pool_(pool), changes_(std::move(changes)) {}

  // Empty when every change is possible in its turn.
  Status judge() {
    record_bytes_ = 0;
    pages_ = 16;
    promised_ = 0;
    for (auto* set : {&created_, &deleted_, &parents_, &moved_}) set->clear();
    put_records_.clear();
    erased_records_.clear();
    for (const Change& change : changes_) {
      if (Status status = judge_one(change); !status.ok()) return status;
    }
    const size_t most = pool_.committer.max_transaction_bytes();
    if (record_bytes_ > most) {
      return refuse(ErrorCode::limit_exceeded,
                    "the transaction takes " + std::to_string(record_bytes_) +
                        " bytes of journal; at most " + std::to_string(most) +
                        " are possible: split it");
    }
    return judge_promises();
  }
  // Layers that shrink, for a look at what lies beyond; and layers that must settle first.
  std::vector<std::pair<Uuid, uint64_t>> shrinking() const {
    std::vector<std::pair<Uuid, uint64_t>> found;
    for (const Change& change : changes_) {
      const Layer* layer = pool_.layers.find(change.layer);
      if (change.kind == Change::Kind::resize_layer && layer != nullptr &&
          change.size_bytes < layer->size_bytes) {
        found.emplace_back(change.layer, change.size_bytes);
      }
    }
    return found;
  }
  bool must_wait_for_settling() const {
    for (const Change& change : changes_) {
      for (const Uuid* uuid : {&change.layer, &change.parent, &change.volume_from}) {
        const Layer* layer = is_nil(*uuid) ? nullptr : pool_.layers.find(*uuid);
        if (layer == nullptr) continue;
        const Layer* parent = layer->parent.load(std::memory_order_relaxed);
        if (layer->settling || (parent != nullptr && parent->settling)) return true;
      }
    }
    return false;
  }
  size_t record_bytes() const noexcept { return record_bytes_; }
  int64_t pages() const noexcept { return pages_; }

  void apply() {
    pool_.committer.begin_transaction();
    for (Change& change : changes_) apply_one(change);
    pool_.committer.end_transaction();
  }

  std::vector<std::pair<Uuid, uint64_t>> resized;
  std::vector<Layer*> frozen_open;  // Writes may still land in them.

 private:
  // Layers as they would be: created and deleted ones of this transaction count.
  bool exists(const Uuid& uuid) const {
    if (deleted_.contains(uuid)) return false;
    return created_.contains(uuid) || pool_.layers.find(uuid) != nullptr;
  }

  Status judge_one(const Change& change) {
    switch (change.kind) {
      case Change::Kind::create_layer: return judge_create(change);
      case Change::Kind::delete_layer: return judge_delete(change);
      case Change::Kind::resize_layer: return judge_resize(change);
      case Change::Kind::reserve_layer: return judge_reserve(change);
      case Change::Kind::put_record:
        if (change.value.size() > limits::max_catalog_value_bytes) {
          return refuse(ErrorCode::limit_exceeded,
                        "a catalog record of " + std::to_string(change.value.size()) +
                            " bytes; at most " + std::to_string(limits::max_catalog_value_bytes) +
                            " are possible");
        }
        record_bytes_ += encoded_bytes(change.value.size());
        pages_ += static_cast<int64_t>(change.value.size() / limits::page_bytes) + 4;
        erased_records_.erase(change.key);
        put_records_.insert(change.key);
        return Unit{};
      case Change::Kind::delete_record:
        if ((!pool_.catalog.contains(change.key) && !put_records_.contains(change.key)) ||
            erased_records_.contains(change.key)) {
          return refuse(ErrorCode::not_found,
                        "no catalog record with key " + std::to_string(change.key));
        }
        record_bytes_ += sizeof(RecordHeader);
        pages_ += 16;
        erased_records_.insert(change.key);
        put_records_.erase(change.key);
        return Unit{};
    }
    CHECK(false);
  }

  Status judge_create(const Change& change) {
    const std::string name = "layer " + to_string(change.layer);
    if (is_nil(change.layer)) return refuse(ErrorCode::invalid_argument, "a layer without a UUID");
    if (exists(change.layer) || created_.contains(change.layer)) {
      return refuse(ErrorCode::already_exists, name + " exists already");
    }
    if (change.block_bytes != 512 && change.block_bytes != 4096) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": blocks of " + std::to_string(change.block_bytes) +
                        " bytes; 512 and 4096 are possible");
    }
    if (change.size_bytes == 0 || change.size_bytes > limits::max_layer_bytes ||
        change.size_bytes % change.block_bytes != 0) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": a size of " + std::to_string(change.size_bytes) +
                        " bytes; a multiple of the block size from one block to 256 TiB is possible");
    }
    if (!is_nil(change.volume_from)) {
      if (Status status = judge_volume_from(change, name); !status.ok()) return status;
    }
    if (!is_nil(change.parent)) {
      if (Status status = judge_parent(change, name); !status.ok()) return status;
    }
    if (change.reserved) promised_ += static_cast<int64_t>(reservation_for(change.size_bytes));
    if (pool_.layers.count() + created_.size() + 1 > limits::max_layers) {
      return refuse(ErrorCode::limit_exceeded,
                    "there are " + std::to_string(pool_.layers.count()) + " layers, the most a pool can have");
    }
    created_.insert(change.layer);
    record_bytes_ += encoded_bytes(sizeof(CreateLayer)) + 3 * sizeof(RecordHeader);
    pages_ += 16;
    return Unit{};
  }

  Status judge_parent(const Change& change, const std::string& name) {
    if (!exists(change.parent)) {
      return refuse(ErrorCode::not_found, "no layer " + to_string(change.parent) + " to be the parent");
    }
    const Layer* parent = pool_.layers.find(change.parent);
    if (parent == nullptr) return Unit{};  // Made by this transaction.
    if (parent->volume != nullptr && parent->state == LayerState::live &&
        !moved_.contains(change.parent)) {
      return refuse(ErrorCode::busy, "layer " + to_string(change.parent) +
                                         " is open: its volume must move to a new layer first");
    }
    if (change.block_bytes != parent->block_bytes) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": blocks of " + std::to_string(change.block_bytes) +
                        " bytes; its parent's have " + std::to_string(parent->block_bytes));
    }
    if (change.size_bytes < parent->size_bytes) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": " + std::to_string(change.size_bytes) + " bytes is less than its parent's " +
                        std::to_string(parent->size_bytes));
    }
    parents_.insert(change.parent);
    return Unit{};
  }

  Status judge_volume_from(const Change& change, const std::string& name) {
    const Layer* from = pool_.layers.find(change.volume_from);
    if (from == nullptr || deleted_.contains(change.volume_from)) {
      return refuse(ErrorCode::not_found,
                    "no layer " + to_string(change.volume_from) + " to take the volume from");
    }
    if (from->state != LayerState::live || moved_.contains(change.volume_from)) {
      return refuse(ErrorCode::busy, "layer " + to_string(change.volume_from) +
                                         " is frozen: it has no volume to take");
    }
    if (change.size_bytes < from->size_bytes || change.block_bytes != from->block_bytes) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": " + std::to_string(change.size_bytes) + " bytes in blocks of " +
                        std::to_string(change.block_bytes) + " cannot take over a volume of " +
                        std::to_string(from->size_bytes) + " in blocks of " +
                        std::to_string(from->block_bytes));
    }
    promised_ -= static_cast<int64_t>(from->reservation_left());
    moved_.insert(change.volume_from);
    return Unit{};
  }

  Status judge_delete(const Change& change) {
    const std::string name = "layer " + to_string(change.layer);
    if (!exists(change.layer)) return refuse(ErrorCode::not_found, "no " + name);
    if (created_.contains(change.layer)) {
      return refuse(ErrorCode::busy, name + " is made by an earlier step of the same transaction");
    }
    const Layer* layer = pool_.layers.find(change.layer);
    if (layer->volume != nullptr && !moved_.contains(change.layer)) {
      return refuse(ErrorCode::busy, name + " is open: close it first");
    }
    deleted_.insert(change.layer);
    record_bytes_ += sizeof(RecordHeader);
    pages_ += 16;
    return Unit{};
  }

  Status judge_resize(const Change& change) {
    const std::string name = "layer " + to_string(change.layer);
    if (!exists(change.layer)) return refuse(ErrorCode::not_found, "no " + name);
    const Layer* layer = pool_.layers.find(change.layer);
    if (layer == nullptr) {
      return refuse(ErrorCode::busy, name + " is created by the same transaction");
    }
    if (layer->state != LayerState::live || moved_.contains(change.layer)) {
      return refuse(ErrorCode::busy, name + " is frozen for good");
    }
    if (change.size_bytes == 0 || change.size_bytes > limits::max_layer_bytes ||
        change.size_bytes % layer->block_bytes != 0) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": cannot become " + std::to_string(change.size_bytes) +
                        " bytes; whole blocks up to 256 TiB are possible");
    }
    if (change.size_bytes < layer->size_bytes && layer->volume != nullptr) {
      return refuse(ErrorCode::busy, name + " is open: close it before it shrinks");
    }
    if (layer->reserved_chunks > 0) {
      promised_ += static_cast<int64_t>(reservation_for(change.size_bytes)) -
                   static_cast<int64_t>(reservation_for(layer->size_bytes));
    }
    record_bytes_ += 2 * sizeof(RecordHeader);
    pages_ += 4;
    return Unit{};
  }

  Status judge_reserve(const Change& change) {
    const std::string name = "layer " + to_string(change.layer);
    const Layer* layer = pool_.layers.find(change.layer);
    if (layer == nullptr) return refuse(ErrorCode::not_found, "no " + name);
    if (layer->state != LayerState::live || moved_.contains(change.layer)) {
      return refuse(ErrorCode::busy, name + " is frozen: only what is written needs room");
    }
    if (change.reserved) {
      const uint64_t wanted = reservation_for(layer->size_bytes);
      promised_ += static_cast<int64_t>(wanted - std::min(wanted, layer->allocated_chunks)) -
                   static_cast<int64_t>(layer->reservation_left());
    }
    record_bytes_ += sizeof(RecordHeader);
    pages_ += 4;
    return Unit{};
  }

  // All promises together, against what is free and promised to nobody.
  Status judge_promises() const {
    const int64_t free = pool_.unpromised_chunks();
    if (promised_ <= 0 || promised_ <= free) return Unit{};
    const auto bytes = [](int64_t chunks) {
      return std::to_string(std::max<int64_t>(chunks, 0) * limits::chunk_bytes);
    };
    return refuse(ErrorCode::no_space,
                  "the reservation takes " + bytes(promised_) + " bytes more, " + bytes(free) +
                      " are free and not promised to others: " + bytes(promised_ - free) +
                      " are missing; delete volumes or snapshots, or add a device");
  }

  void apply_one(Change& change) {
    Committer& committer = pool_.committer;
    switch (change.kind) {
      case Change::Kind::create_layer: {
        apply_create(change);
        return;
      }
      case Change::Kind::delete_layer: {
        Layer& layer = *pool_.layers.find(change.layer);
        layer.deleted_record = committer.append({RecordKind::layer_state, layer.slot,
                                                 static_cast<uint64_t>(LayerState::deleting), 0,
                                                 {}});
        pool_.mapping.begin_delete(layer);
        pool_.reclaimer.look_again();
        return;
      }
      case Change::Kind::resize_layer: {
        Layer& layer = *pool_.layers.find(change.layer);
        layer.size_bytes = change.size_bytes;
        pool_.layers.touch(layer);
        resized.emplace_back(change.layer, change.size_bytes);
        committer.append({RecordKind::resize_layer, layer.slot, change.size_bytes, 0, {}});
        if (layer.reserved_chunks > 0) reserve(layer, true);
        return;
      }
      case Change::Kind::reserve_layer:
        reserve(*pool_.layers.find(change.layer), change.reserved);
        return;
      case Change::Kind::put_record:
        pool_.catalog.put(change.key, change.value);
        committer.append(
            {RecordKind::put_record, 0, change.key, change.value.size(), change.value});
        return;
      case Change::Kind::delete_record:
        CHECK(pool_.catalog.erase(change.key));
        committer.append({RecordKind::delete_record, 0, change.key, 0, {}});
        return;
    }
  }

  void freeze(Layer& layer) {
    if (layer.state != LayerState::live) return;
    if (layer.volume != nullptr || layer.runs_in_flight > 0) frozen_open.push_back(&layer);
    layer.state = LayerState::frozen;
    pool_.mapping.set_reserved(layer, 0);
    pool_.committer.append({RecordKind::layer_state, layer.slot,
                            static_cast<uint64_t>(LayerState::frozen), 0, {}});
  }

  void reserve(Layer& layer, bool reserved) {
    const uint64_t chunks = reserved ? reservation_for(layer.size_bytes) : 0;
    pool_.mapping.set_reserved(layer, chunks);
    pool_.committer.append({RecordKind::reserve_layer, layer.slot, chunks, 0, {}});
  }

  void apply_create(const Change& change) {
    Committer& committer = pool_.committer;
    Layer* parent = is_nil(change.parent) ? nullptr : pool_.layers.find(change.parent);
    Layer* from = is_nil(change.volume_from) ? nullptr : pool_.layers.find(change.volume_from);
    if (parent != nullptr) freeze(*parent);
    if (from != nullptr) freeze(*from);
    const uint32_t slot = pool_.layers.free_slot();
    Layer* layer = pool_.layers.create(slot, change.layer, parent);
    CHECK(layer != nullptr);
    layer->size_bytes = change.size_bytes;
    layer->block_bytes = change.block_bytes;
    layer->created_sequence = committer.durable_sequence() + 1;
    CreateLayer body;
    body.uuid = change.layer;
    body.parent_slot_plus1 = parent == nullptr ? 0 : parent->slot + 1;
    body.block_bytes = change.block_bytes;
    body.size_bytes = change.size_bytes;
    body.created_sequence = layer->created_sequence;
    committer.append({RecordKind::create_layer, slot, 0, sizeof body,
                      std::as_bytes(std::span<const CreateLayer>(&body, 1))});
    if (change.reserved) reserve(*layer, true);
    if (from != nullptr && from->volume != nullptr) {
      // The instant: what is looked up from now on begins at the new layer. All steps of the
      // transaction happen in this turn, and every write to a new layer needs this thread.
      from->volume->set_top(*layer);
      resized.emplace_back(change.layer, change.size_bytes);
    }
  }

  PoolImpl& pool_;
  std::vector<Change> changes_;
  size_t record_bytes_ = 0;
  int64_t pages_ = 0;
  int64_t promised_ = 0;  // Chunks that the pool would have to promise more than now.
  std::set<Uuid> created_, deleted_, parents_, moved_;
  std::set<uint64_t> put_records_, erased_records_;
};

namespace {

using Done = std::shared_ptr<std::function<void(Status)>>;

void attempt(PoolImpl& pool, const std::shared_ptr<Transaction>& transaction, const Done& done);

// Applied: what it froze settles, then all of it becomes durable.
void finish(PoolImpl& pool, const std::shared_ptr<Transaction>& transaction, const Done& done) {
  const auto commit = [&pool, transaction, done] {
    pool.committer.wait([&pool, transaction, done](Status status) {
      if (status.ok()) {
        for (const auto& [uuid, size] : transaction->resized) {
          const Layer* layer = pool.layers.find(uuid);
          if (layer != nullptr && layer->volume != nullptr) layer->volume->set_size(size);
        }
      }
      (*done)(std::move(status));
    });
  };
  if (transaction->frozen_open.empty()) return commit();
  pool.settling.begin(std::move(transaction->frozen_open), commit);
}

// Looks beyond the new ends of layers that shrink, one after the other, then `then`.
void look_beyond(PoolImpl& pool, std::vector<std::pair<Uuid, uint64_t>> shrinking,
                 const Done& done, const std::function<void()>& then) {
  if (shrinking.empty()) return then();
  const auto [uuid, size] = shrinking.back();
  shrinking.pop_back();
  find_beyond(pool, *pool.layers.find(uuid), size,
              [&pool, uuid = uuid, size = size, shrinking, done, then](Result<uint64_t> found) {
                if (!found.ok()) return (*done)(found.error());
                if (found.value() != UINT64_MAX) {
                  return (*done)(Error{
                      ErrorCode::busy,
                      "layer " + to_string(uuid) + " cannot shrink to " + std::to_string(size) +
                          " bytes: there is something at " + std::to_string(found.value()) +
                          ", in it or in a snapshot under it; discard the tail, and delete the "
                          "snapshots that hold it"});
                }
                look_beyond(pool, shrinking, done, then);
              });
}

// Everything is known: judges, and applies when there is room.
void decide(PoolImpl& pool, const std::shared_ptr<Transaction>& transaction, const Done& done) {
  const auto answer = [&](Status status) { (*done)(std::move(status)); };
  if (pool.failed()) return answer(pool.failure_error());
  if (Status status = transaction->judge(); !status.ok()) return answer(std::move(status));
  const Room room = pool.room_for_transaction(true, transaction->record_bytes());
  if (room == Room::now &&
      pool.available_pages() >= transaction->pages() + limits::pages_floor_free) {
    transaction->apply();
    return finish(pool, transaction, done);
  }
  if (room == Room::none) {
    return answer(Error{ErrorCode::no_space,
                        "the pool has no room for metadata: " +
                            std::to_string(pool.allocator.free_count()) +
                            " chunks are free; delete volumes or data, or grow the pool"});
  }
  // Metadata grows by a few chunks a time, so that a large transaction may come back often.
  if (room == Room::now && !pool.ask_for_pages()) {
    return answer(Error{ErrorCode::no_space,
                        "the pool has no room for the metadata of this transaction; delete "
                        "volumes or data, or grow the pool"});
  }
  pool.wait_for_room([&pool, transaction, done] { attempt(pool, transaction, done); });
}

// Tries now, and again whenever there may be room.
void attempt(PoolImpl& pool, const std::shared_ptr<Transaction>& transaction, const Done& done) {
  if (pool.failed()) return (*done)(pool.failure_error());
  if (transaction->must_wait_for_settling()) {
    pool.wait_for_room([&pool, transaction, done] { attempt(pool, transaction, done); });
    return;
  }
  // What is refused anyway is refused before anything is read.
  if (Status status = transaction->judge(); !status.ok()) return (*done)(std::move(status));
  look_beyond(pool, transaction->shrinking(), done, [&pool, transaction, done] {
    decide(pool, transaction, done);
  });
}

}  // namespace

void PoolImpl::commit(std::vector<Change> changes, std::function<void(Status)> done) {
  if (options.read_only) {
    done(Error{ErrorCode::permission_denied, "the pool is open read-only"});
    return;
  }
  if (closing) {
    done(Error{ErrorCode::closed, "the pool is being closed"});
    return;
  }
  attempt(*this, std::make_shared<Transaction>(*this, std::move(changes)),
          std::make_shared<std::function<void(Status)>>(std::move(done)));
}

}  // namespace ashlar::store
