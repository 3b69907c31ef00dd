// History: what a pool may hold, given the commands it was sent and the answers it gave.
//
// Every write has an interval: submitted, completed (an answer was seen), durable (a flush that
// began after its completion was answered, or it was FUA). What a sector may hold is then one rule:
// a value is possible unless another write, of which it is certain that it happened, was submitted
// after this one had completed. "Certain" means durable after a power loss and completed after a
// kill; so overlapping commands need no order of their own. Transactions are all or nothing: while
// one is under way the pool is what it was or what it will be.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ashlar::store::testing {

// What the reader of a sector knows to have happened.
enum class Certain : uint8_t {
  durable,    // A power loss: what was made durable.
  completed,  // A kill, or no crash at all: what was answered.
};

struct Write {
  uint64_t stamp = 0;  // What TestIo::fill() was given; 0: zeroes.
  uint64_t submitted = 0;
  uint64_t completed = UINT64_MAX;
  bool durable = false;
  bool failed = false;  // Answered with an error: any part of it may have happened.
};

// The sectors of one layer.
class Content {
 public:
  explicit Content(uint64_t sectors) { resize(sectors); }

  uint64_t sectors() const noexcept { return sectors_.size(); }
  void resize(uint64_t sectors) { sectors_.resize(sectors, {Entry{&nothing, false}}); }
  // Nothing is left beyond.
  void cut(uint64_t sectors) {
    const uint64_t all = sectors_.size();
    sectors_.resize(sectors);
    resize(all);
  }
  // `maybe`: it may have gone to another layer instead.
  void add(uint64_t sector, const Write* write, bool maybe) {
    sectors_[sector].push_back({write, maybe});
  }
  bool untouched(uint64_t sector) const noexcept {
    return sectors_[sector].size() == 1 && sectors_[sector][0].write == &nothing;
  }
  // `before`: for a read that was submitted then, what completed later is not certain.
  bool allows(uint64_t sector, Certain certain, uint64_t stamp,
              uint64_t before = UINT64_MAX) const noexcept {
    const uint64_t least = floor(sector, certain, before);
    for (const Entry& entry : sectors_[sector]) {
      if (entry.write->stamp == stamp && entry.write->completed >= least) return true;
    }
    return false;
  }
  // Forgets what is impossible for good; no command is under way.
  void prune() {
    for (uint64_t s = 0; s < sectors_.size(); ++s) {
      if (sectors_[s].size() == 1) continue;
      const uint64_t least = floor(s, Certain::durable);
      std::erase_if(sectors_[s], [&](const Entry& e) { return e.write->completed < least; });
    }
  }
  // One instant of it: all that it may hold now.
  std::shared_ptr<Content> frozen() const {
    auto copy = std::make_shared<Content>(0);
    copy->sectors_.resize(sectors_.size());
    for (uint64_t s = 0; s < sectors_.size(); ++s) {
      const uint64_t least = floor(s, Certain::completed);
      for (const Entry& entry : sectors_[s]) {
        if (entry.write->completed >= least) copy->sectors_[s].push_back({entry.write, true});
      }
    }
    return copy;
  }
  // It was read there; it never changes, so from now on nothing else is possible.
  void pin(uint64_t sector, uint64_t stamp) {
    std::erase_if(sectors_[sector], [&](const Entry& e) { return e.write->stamp != stamp; });
    CHECK(!sectors_[sector].empty());
  }
  template <class Function>
  void for_each_write(uint64_t sector, Function function) const {
    for (const Entry& entry : sectors_[sector]) function(*entry.write);
  }

 private:
  struct Entry {
    const Write* write;
    bool maybe;
  };
  uint64_t floor(uint64_t sector, Certain certain, uint64_t before = UINT64_MAX) const noexcept {
    uint64_t least = 0;
    for (const Entry& entry : sectors_[sector]) {
      const Write& write = *entry.write;
      if (entry.maybe || write.failed) continue;
      const bool happened =
          certain == Certain::durable ? write.durable : write.completed < before;
      if (happened && write.submitted > least) least = write.submitted;
    }
    return least;
  }
  static inline const Write nothing{0, 0, 0, true, false};

  std::vector<std::vector<Entry>> sectors_;
};

// What a transaction decides: which layers there are, how large, and the catalog.
struct Facts {
  struct Layer {
    uint64_t size_bytes = 0;
    uint32_t block_bytes = 4096;
    bool frozen = false;
    std::shared_ptr<Content> content;
  };
  std::map<uint64_t, Layer> layers;
  std::map<uint64_t, std::vector<std::byte>> records;
};

class History {
 public:
  Facts now;
  std::vector<uint64_t> gone;  // Layers that were deleted.
  // While a transaction is under way: what will be.
  std::unique_ptr<Facts> next;

  uint64_t tick() noexcept { return ++time_; }
  // Grows with every answer: what was possible before may not be any more.
  uint64_t answers() const noexcept { return answers_; }

  Write& begin_write(uint64_t number, uint64_t offset, uint64_t length, uint64_t stamp) {
    writes_.push_back({});
    Write& write = writes_.back();
    write.stamp = stamp;
    write.submitted = tick();
    Content& content = *now.layers.at(number).content;
    for (uint64_t s = offset / 512; s < (offset + length) / 512; ++s) {
      content.add(s, &write, false);
    }
    under_way_.push_back({&write, &content, offset / 512, (offset + length) / 512});
    for (const Fork& fork : forks_) {
      if (fork.from == &content) copy(under_way_.back(), *fork.to);
    }
    return write;
  }
  void end_write(Write& write, bool ok, bool durable) {
    write.completed = tick();
    write.failed = !ok;
    write.durable = ok && durable;
    std::erase_if(under_way_, [&](const UnderWay& each) { return each.write == &write; });
    ++answers_;
  }
  // A flush: of what the volume was when it was submitted.
  struct Flush {
    std::shared_ptr<Content> content;
    uint64_t submitted;
  };
  Flush begin_flush(uint64_t number) { return {now.layers.at(number).content, tick()}; }
  void end_flush(const Flush& flush) {
    make_durable(*flush.content, flush.submitted);
    ++answers_;
  }

  // A transaction begins; change what `next` says with the calls below. `end_commit` ends it.
  void begin_commit() {
    CHECK(next == nullptr);
    next = std::make_unique<Facts>(now);
    commit_submitted_ = tick();
  }
  void create(uint64_t number, uint64_t size, uint32_t block) {
    next->layers[number] = {size, block, false, std::make_shared<Content>(size / 512)};
  }
  // `top` is what `from` was, and `from` is frozen.
  void snapshot(uint64_t from, uint64_t top) {
    const Facts::Layer live = next->layers.at(from);
    Facts::Layer& frozen = next->layers.at(from);
    frozen.frozen = true;
    frozen.content = fork(*live.content, live.content->frozen());
    next->layers[top] = live;
    settled_.push_back(live.content.get());
  }
  // A new live layer on a frozen one.
  void clone(uint64_t from, uint64_t top) {
    Facts::Layer layer = next->layers.at(from);
    CHECK(layer.frozen);
    layer.frozen = false;
    const Content* source = layer.content.get();
    layer.content = source->frozen();
    for (const Fork& fork : std::vector<Fork>(forks_)) {
      if (fork.to.get() == source) forks_.push_back({fork.from, layer.content});
    }
    next->layers[top] = layer;
  }
  // The volume of `from` goes on, on `top`, from what the frozen `to` holds; `from` is frozen.
  void rollback(uint64_t from, uint64_t to, uint64_t top) {
    const Facts::Layer live = next->layers.at(from);
    clone(to, top);
    resize(top, live.size_bytes);
    forks_.push_back({live.content.get(), next->layers[top].content});
    for (const UnderWay& each : under_way_) {
      if (each.content == live.content.get()) copy(each, *next->layers[top].content);
    }
    Facts::Layer& frozen = next->layers.at(from);
    frozen.frozen = true;
    frozen.content = fork(*live.content, live.content->frozen());
  }
  void remove(uint64_t number) { next->layers.erase(number); }
  void resize(uint64_t number, uint64_t size) {
    Facts::Layer& layer = next->layers.at(number);
    layer.size_bytes = size;
    if (size / 512 > layer.content->sectors()) layer.content->resize(size / 512);
  }
  void put(uint64_t key, std::vector<std::byte> value) { next->records[key] = std::move(value); }
  void erase(uint64_t key) { next->records.erase(key); }
  void end_commit(bool ok) {
    if (ok) {
      for (const auto& [number, layer] : now.layers) {
        if (!next->layers.contains(number)) gone.push_back(number);
      }
      now = std::move(*next);
      for (Content* content : settled_) make_durable(*content, commit_submitted_);
    }
    next.reset();
    forks_.clear();
    settled_.clear();
    ++answers_;
  }
  // Forgets what is impossible for good; at a time of rest.
  void prune() {
    CHECK(next == nullptr && under_way_.empty());
    for (auto& [number, layer] : now.layers) layer.content->prune();
  }
  // Goes on from another one at rest, which outlives this.
  void inherit(const History& before) {
    CHECK(before.next == nullptr && before.under_way_.empty());
    time_ = before.time_;
    gone = before.gone;
    now = before.now;
    for (auto& [number, layer] : now.layers) {
      layer.content = std::make_shared<Content>(*layer.content);
    }
  }

 private:
  struct UnderWay {
    Write* write;
    Content* content;
    uint64_t first, end;
  };
  struct Fork {
    const Content* from;
    std::shared_ptr<Content> to;
  };
  // Writes that come to `from` until the transaction ends may go to `to` as well.
  std::shared_ptr<Content> fork(const Content& from, std::shared_ptr<Content> to) {
    forks_.push_back({&from, to});
    return to;
  }
  static void copy(const UnderWay& each, Content& to) {
    for (uint64_t s = each.first; s < each.end && s < to.sectors(); ++s) {
      to.add(s, each.write, true);
    }
  }
  void make_durable(Content& content, uint64_t upto) {
    for (uint64_t s = 0; s < content.sectors(); ++s) {
      content.for_each_write(s, [&](const Write& write) {
        if (write.durable || write.failed || write.completed >= upto) return;
        const_cast<Write&>(write).durable = true;
      });
    }
  }

  uint64_t time_ = 0;
  uint64_t answers_ = 0;
  std::deque<Write> writes_;
  std::vector<UnderWay> under_way_;
  std::vector<Fork> forks_;
  std::vector<Content*> settled_;
  uint64_t commit_submitted_ = 0;
};

}  // namespace ashlar::store::testing
