// Scene: a pool in use, its history kept. Commands and transactions are begun here, and their
// answers noted; the world is run by whoever holds the scene.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "judge.h"
#include "pool_fixture.h"

namespace ashlar::store::testing {

class Scene {
 public:
  Scene(uint64_t seed, uint64_t size, uint32_t loops = 1) : fixture(seed, size, loops) {}
  Scene(uint64_t seed, const sim::DiskImage& image, uint32_t loops = 1)
      : fixture(seed, image, loops) {}

  Fixture fixture;
  History history;
  std::map<uint64_t, Volume*> volumes;  // Open ones, by the number of their top layer.
  uint64_t refused = 0;                 // Writes that found no space.
  std::string failure;                  // An answer that must not be; empty: none.
  // The device fails: commands and transactions may answer with errors.
  bool device_fails = false;
  // Told of each command that has ended, with the number under which it was begun.
  std::function<void(uint64_t number, const BlockIo& io)> on_end;
  template <class Function>
  void for_each_under_way(Function function) const {
    for (const Running& each : ios_) function(each.number, each.io->io);
  }

  size_t under_way() const noexcept { return ios_.size() + (committing_ ? 1 : 0); }
  bool committing() const noexcept { return committing_; }

  void begin(uint64_t number, BlockOp op, uint64_t offset, uint64_t length, bool fua = false,
             uint32_t reactor = 0, size_t segment_bytes = 1 << 20) {
    ios_.emplace_back();
    const auto at = std::prev(ios_.end());
    at->io = std::make_unique<TestIo>(op, offset, length, segment_bytes);
    at->number = number;
    TestIo& io = *at->io;
    io.io.fua = fua && op != BlockOp::flush;
    if (op == BlockOp::read) {
      std::memset(io.memory.data(), 0xee, io.memory.size());
      at->flush = history.begin_flush(number);
    } else if (op == BlockOp::flush) {
      at->flush = history.begin_flush(number);
    } else {
      const uint64_t stamp = op == BlockOp::write ? ++stamp_ : 0;
      if (op == BlockOp::write) io.fill(stamp);
      at->write = &history.begin_write(number, offset, length, stamp);
    }
    // Zeroing a part of a block that an ancestor holds writes that block, and so needs a chunk.
    const bool may_lack_space = op != BlockOp::flush && op != BlockOp::read;
    io.then = [this, at, may_lack_space] {
      const BlockStatus status = at->io->io.status;
      const bool lacked = may_lack_space && status == BlockStatus::capacity_exceeded;
      if (lacked) ++refused;
      if (status != BlockStatus::ok && !lacked && !device_fails) failure = "a command failed";
      const BlockIo& ended = at->io->io;
      if (ended.op == BlockOp::read && status != BlockStatus::ok) {
        // Nothing was learnt.
      } else if (ended.op == BlockOp::read) {
        const std::string what = judge_content(
            *at->flush.content, at->io->data(),
            {Certain::completed, ended.offset_bytes / 512, at->flush.submitted, false});
        if (!what.empty()) failure = "a read: " + what;
      } else if (at->write == nullptr) {
        if (status == BlockStatus::ok) history.end_flush(at->flush);
      } else {
        history.end_write(*at->write, status == BlockStatus::ok,
                          at->io->io.fua || fixture.options.write_through);
      }
      if (on_end) on_end(at->number, ended);
      ended_.splice(ended_.end(), ios_, at);  // Not gone before its callback has returned.
    };
    volumes.at(number)->submit(reactor, io.io);
  }

  // ---- Transactions: steps, then commit() -------------------------------------------------------

  void create(uint64_t number, uint64_t size, uint32_t block = 4096, bool reserved = false) {
    Change& change = step(Change::Kind::create_layer, number);
    change.size_bytes = size;
    change.block_bytes = block;
    change.reserved = reserved;
    history.create(number, size, block);
  }
  void snapshot(uint64_t from, uint64_t top) {
    create_on(top, from, from);
    history.snapshot(from, top);
    moves_.emplace_back(from, top);
  }
  void clone(uint64_t from, uint64_t top) {
    create_on(top, from, 0);
    history.clone(from, top);
  }
  void rollback(uint64_t from, uint64_t to, uint64_t top) {
    create_on(top, to, from);
    history.rollback(from, to, top);
    moves_.emplace_back(from, top);
  }
  void remove(uint64_t number) {
    step(Change::Kind::delete_layer, number);
    history.remove(number);
  }
  void resize(uint64_t number, uint64_t size) {
    step(Change::Kind::resize_layer, number).size_bytes = size;
    history.resize(number, size);
  }
  void reserve(uint64_t number, bool reserved) {
    step(Change::Kind::reserve_layer, number).reserved = reserved;
  }
  void put(uint64_t key, uint64_t stamp, size_t bytes) {
    Change& change = step(Change::Kind::put_record, 0);
    change.key = key;
    change.value.assign(bytes, static_cast<std::byte>(stamp));
    history.put(key, change.value);
  }
  void erase(uint64_t key) {
    step(Change::Kind::delete_record, 0).key = key;
    history.erase(key);
  }
  // Begins it; `refusal`: an error that is all right, after which nothing has changed.
  void commit(std::optional<ErrorCode> refusal = std::nullopt) {
    committing_ = true;
    fixture.pool->commit(std::exchange(changes_, {}), [this, refusal](Status status) {
      committing_ = false;
      last_refused = !status.ok();
      const auto moves = std::exchange(moves_, {});
      if (!status.ok() && device_fails && status.error().code == ErrorCode::pool_failed) {
        return;  // It may have happened or not: that is for a recovery to say.
      }
      if (!status.ok()) {
        if (refusal != status.error().code && !device_fails) failure = "a commit: " + status.error().message;
      } else {
        for (const auto& [from, top] : moves) {
          const auto at = volumes.find(from);
          if (at == volumes.end()) continue;
          volumes[top] = at->second;
          volumes.erase(from);
        }
      }
      history.end_commit(status.ok());
    });
  }
  bool last_refused = false;

  // ---- Running ----------------------------------------------------------------------------------

  void step_world() {
    fixture.world.step();
    ended_.clear();
  }
  void wait() {
    if (!fixture.world.run_until([&] { return under_way() == 0; }, 2'000'000)) {
      failure = committing_ ? "never answered: a transaction" : "never answered:";
      for (const Running& each : ios_) {
        const BlockIo& io = each.io->io;
        failure += " op " + std::to_string(static_cast<int>(io.op)) + " of layer " +
                   std::to_string(each.number) + " at " + std::to_string(io.offset_bytes) + "+" +
                   std::to_string(io.length_bytes);
      }
      return;
    }
    ended_.clear();
    if (history.next == nullptr) history.prune();
  }
  // Until the transaction under way has ended; the commands go on.
  void wait_for_commit() {
    if (!fixture.world.run_until([&] { return !committing_; }, 2'000'000)) {
      failure = "a transaction is never answered";
      committing_ = false;
    }
    ended_.clear();
  }
  // Until nothing happens by itself any more, or for this many steps.
  void rest(uint64_t steps = 20'000) {
    for (uint64_t i = 0; i < steps && fixture.world.step(); ++i) {
    }
    ended_.clear();
  }
  void open(uint64_t number) {
    volumes[number] = fixture.open_volume(number);
    CHECK(volumes[number] != nullptr);
  }
  void close(uint64_t number) {
    fixture.close_volume(*volumes.at(number));
    volumes.erase(number);
  }
  // Everything that there is at a time of rest is the history that another scene begins with.
  void inherit(const Scene& before) {
    stamp_ = before.stamp_;
    history.inherit(before.history);
  }

 private:
  struct Running {
    std::unique_ptr<TestIo> io;
    uint64_t number = 0;
    Write* write = nullptr;
    History::Flush flush;  // A read's as well: what it reads, and since when.
  };
  Change& step(Change::Kind kind, uint64_t number) {
    if (changes_.empty()) history.begin_commit();
    changes_.emplace_back();
    Change& change = changes_.back();
    change.kind = kind;
    if (number != 0) change.layer = uuid_of(number);
    return change;
  }
  void create_on(uint64_t top, uint64_t parent, uint64_t volume_from) {
    Change& change = step(Change::Kind::create_layer, top);
    const auto& facts = history.next->layers;
    const auto& model = facts.at(volume_from != 0 ? volume_from : parent);
    change.parent = uuid_of(parent);
    if (volume_from != 0) change.volume_from = uuid_of(volume_from);
    change.size_bytes = model.size_bytes;
    change.block_bytes = model.block_bytes;
  }

  std::list<Running> ios_, ended_;
  std::vector<Change> changes_;
  std::vector<std::pair<uint64_t, uint64_t>> moves_;
  bool committing_ = false;
  uint64_t stamp_ = 0;
};

}  // namespace ashlar::store::testing
