// Pool::commit: a transaction is judged whole, applied whole, and journaled in one commit.
#include <algorithm>
#include <cstring>
#include <set>

#include "store/pool_impl.h"

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
    return Unit{};
  }
  size_t record_bytes() const noexcept { return record_bytes_; }
  int64_t pages() const noexcept { return pages_; }

  void apply() {
    pool_.committer.begin_transaction();
    for (Change& change : changes_) apply_one(change);
    pool_.committer.end_transaction();
  }

  std::vector<std::pair<Uuid, uint64_t>> resized;

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
    if (!is_nil(change.parent)) {
      if (Status status = judge_parent(change, name); !status.ok()) return status;
    }
    if (pool_.layers.count() + created_.size() + 1 > limits::max_layers) {
      return refuse(ErrorCode::limit_exceeded,
                    "there are " + std::to_string(pool_.layers.count()) + " layers, the most a pool can have");
    }
    created_.insert(change.layer);
    record_bytes_ += encoded_bytes(sizeof(CreateLayer)) + sizeof(RecordHeader);
    pages_ += 8;
    return Unit{};
  }

  Status judge_parent(const Change& change, const std::string& name) {
    if (!exists(change.parent)) {
      return refuse(ErrorCode::not_found, "no layer " + to_string(change.parent) + " to be the parent");
    }
    const Layer* parent = pool_.layers.find(change.parent);
    if (parent == nullptr) return Unit{};  // Made by this transaction.
    if (parent->volume != nullptr) {
      return refuse(ErrorCode::busy, "layer " + to_string(change.parent) +
                                         " is open: close it before it gets a child");
    }
    if (change.size_bytes < parent->size_bytes) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": " + std::to_string(change.size_bytes) + " bytes is less than its parent's " +
                        std::to_string(parent->size_bytes));
    }
    parents_.insert(change.parent);
    return Unit{};
  }

  Status judge_delete(const Change& change) {
    const std::string name = "layer " + to_string(change.layer);
    if (!exists(change.layer)) return refuse(ErrorCode::not_found, "no " + name);
    if (created_.contains(change.layer) || parents_.contains(change.layer)) {
      return refuse(ErrorCode::busy, name + " is used by an earlier step of the same transaction");
    }
    const Layer* layer = pool_.layers.find(change.layer);
    if (layer->volume != nullptr) return refuse(ErrorCode::busy, name + " is open: close it first");
    uint32_t children = layer->children;
    // Children deleted by earlier steps do not count.
    for (const Uuid& uuid : deleted_) {
      const Layer* gone = pool_.layers.find(uuid);
      if (gone != nullptr && gone->parent.load() == layer) --children;
    }
    if (children > 0) {
      return refuse(ErrorCode::busy, name + " has " + std::to_string(children) +
                                         " children: delete them first");
    }
    deleted_.insert(change.layer);
    record_bytes_ += sizeof(RecordHeader);
    pages_ += 8;
    return Unit{};
  }

  Status judge_resize(const Change& change) {
    const std::string name = "layer " + to_string(change.layer);
    if (!exists(change.layer)) return refuse(ErrorCode::not_found, "no " + name);
    const Layer* layer = pool_.layers.find(change.layer);
    if (layer == nullptr) {
      return refuse(ErrorCode::busy, name + " is created by the same transaction");
    }
    if (layer->children > 0) return refuse(ErrorCode::busy, name + " is frozen by its children");
    if (change.size_bytes < layer->size_bytes || change.size_bytes > limits::max_layer_bytes ||
        change.size_bytes % layer->block_bytes != 0) {
      return refuse(ErrorCode::invalid_argument,
                    name + ": cannot become " + std::to_string(change.size_bytes) +
                        " bytes; from its " + std::to_string(layer->size_bytes) +
                        " up to 256 TiB in whole blocks is possible");
    }
    record_bytes_ += sizeof(RecordHeader);
    pages_ += 4;
    return Unit{};
  }

  void apply_one(Change& change) {
    Committer& committer = pool_.committer;
    switch (change.kind) {
      case Change::Kind::create_layer: {
        Layer* parent = is_nil(change.parent) ? nullptr : pool_.layers.find(change.parent);
        if (parent != nullptr && parent->state == LayerState::live) {
          parent->state = LayerState::frozen;
          pool_.layers.touch(*parent);
          committer.append({RecordKind::layer_state, parent->slot,
                            static_cast<uint64_t>(LayerState::frozen), 0, {}});
        }
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
        return;
      }
      case Change::Kind::delete_layer: {
        Layer& layer = *pool_.layers.find(change.layer);
        committer.append({RecordKind::layer_state, layer.slot,
                          static_cast<uint64_t>(LayerState::deleting), 0, {}});
        pool_.layers.begin_delete(layer);
        pool_.reclaimer.kick();
        return;
      }
      case Change::Kind::resize_layer: {
        Layer& layer = *pool_.layers.find(change.layer);
        layer.size_bytes = change.size_bytes;
        pool_.layers.touch(layer);
        resized.emplace_back(change.layer, change.size_bytes);
        committer.append({RecordKind::resize_layer, layer.slot, change.size_bytes, 0, {}});
        return;
      }
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

  PoolImpl& pool_;
  std::vector<Change> changes_;
  size_t record_bytes_ = 0;
  int64_t pages_ = 0;
  std::set<Uuid> created_, deleted_, parents_;
  std::set<uint64_t> put_records_, erased_records_;
};

namespace {

// Tries now, and again whenever there may be room.
void attempt(PoolImpl& pool, const std::shared_ptr<Transaction>& transaction, uint32_t tries,
             const std::shared_ptr<std::function<void(Status)>>& done) {
  const auto answer = [&](Status status) { (*done)(std::move(status)); };
  if (pool.failed()) return answer(pool.failure_error());
  if (Status status = transaction->judge(); !status.ok()) return answer(std::move(status));
  const auto again = [&pool, transaction, tries, done] {
    attempt(pool, transaction, tries + 1, done);
  };
  const Room room = pool.room(true, transaction->record_bytes());
  if (room == Room::now &&
      pool.available_pages() >= transaction->pages() + limits::pages_floor_free) {
    transaction->apply();
    pool.committer.wait([&pool, transaction, done](Status status) {
      if (status.ok()) {
        for (const auto& [uuid, size] : transaction->resized) {
          const Layer* layer = pool.layers.find(uuid);
          if (layer != nullptr && layer->volume != nullptr) layer->volume->set_size(size);
        }
      }
      (*done)(std::move(status));
    });
    return;
  }
  // Metadata grows by one chunk (16 pages) a time, so that a large transaction may come back often.
  if (room == Room::none || tries > 256) {
    return answer(Error{ErrorCode::no_space,
                        "the pool has no room for metadata: " +
                            std::to_string(pool.allocator.free_count()) +
                            " chunks are free; delete volumes or data, or grow the pool"});
  }
  if (room == Room::now && !pool.ask_for_pages()) {
    return answer(Error{ErrorCode::no_space,
                        "the pool has no room for the metadata of this transaction; delete "
                        "volumes or data, or grow the pool"});
  }
  pool.wait_for_room(again);
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
  attempt(*this, std::make_shared<Transaction>(*this, std::move(changes)), 0,
          std::make_shared<std::function<void(Status)>>(std::move(done)));
}

}  // namespace ashlar::store
