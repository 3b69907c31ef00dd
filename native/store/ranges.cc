// Pool::ranges: what a layer holds, or where it differs from another, read off the maps.
//
// Two layers that share an ancestor differ at most where the layers between them and that ancestor
// say something, data or zeroes: those are the differences, told by how the block reads in the
// newer one. One leaf a turn; the stack is looked up anew each time, as merges may change it while
// a page is read. A merge moves what layers say within a stack and changes nothing of this.
#include <algorithm>
#include <bit>
#include <memory>
#include <unordered_set>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;
using Done = std::function<void(Result<LayerRanges>)>;

class Walk : public std::enable_shared_from_this<Walk> {
 public:
  Walk(PoolImpl& pool, const Uuid& layer, const Uuid& since, uint64_t offset_bytes, uint32_t limit,
       Done done)
      : pool_(pool),
        layer_(layer),
        since_(since),
        offset_bytes_(round_down(offset_bytes, block)),
        limit_(limit),
        done_(std::move(done)) {
    ++pool_.checks_under_way;
  }

  void turn() {
    if (pool_.closing) return fail({ErrorCode::closed, "the pool is being closed"});
    if (!find_stack()) return;
    MissingPage missing;
    const uint64_t leaf = next_leaf(missing);
    if (missing) return load(missing);
    if (leaf == UINT64_MAX || leaf * limits::words_per_page * chunk_size >= size_bytes_) {
      return end(std::nullopt);
    }
    const View* below = nullptr;
    if (!collect(leaf, below, missing)) return load(missing);
    if (!visit(leaf, below)) return;
    offset_bytes_ = std::max(offset_bytes_, (leaf + 1) * limits::words_per_page * chunk_size);
    pool_.trim();
    next_turn();
  }

 private:
  struct TurnTask : Task {
    std::shared_ptr<Walk> walk;
  };

  void next_turn() {
    task_.walk = shared_from_this();
    task_.run = [](Task& task) noexcept {
      const std::shared_ptr<Walk> walk = std::move(static_cast<TurnTask&>(task).walk);
      walk->turn();
    };
    pool_.loop().defer(task_);
  }

  void load(const MissingPage& missing) {
    pool_.loader.load(*missing.tree, missing.found, [self = shared_from_this()](Status status) {
      if (!status.ok()) return self->fail(status.error());
      self->turn();
    });
  }

  void fail(const Error& error) {
    --pool_.checks_under_way;
    const auto told = std::move(done_);
    told(error);
  }

  void end(std::optional<uint64_t> next) {
    --pool_.checks_under_way;
    found_.next_offset_bytes = next;
    const auto told = std::move(done_);
    told(std::move(found_));
  }

  // The layers that say something: all of the stack, or what lies between the two and the layer
  // that both stand on.
  bool find_stack() {
    top_ = pool_.layers.find(layer_);
    Layer* since = since_ == nil_uuid ? nullptr : pool_.layers.find(since_);
    if (top_ == nullptr || (since == nullptr && since_ != nil_uuid)) {
      fail({ErrorCode::not_found, "no layer " + to_string(top_ == nullptr ? layer_ : since_)});
      return false;
    }
    size_bytes_ = top_->size_bytes;
    if (version_ == pool_.layers.version()) return true;
    version_ = pool_.layers.version();
    stack_.clear();
    const auto parent_of = [](const Layer* layer) {
      return layer->parent.load(std::memory_order_relaxed);
    };
    std::unordered_set<const Layer*> older;
    for (Layer* at = since; at != nullptr; at = parent_of(at)) older.insert(at);
    Layer* shared = top_;
    while (shared != nullptr && !older.contains(shared)) {
      stack_.push_back(shared);
      shared = parent_of(shared);
    }
    for (Layer* at = since; at != shared; at = parent_of(at)) stack_.push_back(at);
    return true;
  }

  uint64_t next_leaf(MissingPage& missing) {
    const uint64_t from = offset_bytes_ / chunk_size / limits::words_per_page;
    uint64_t first = UINT64_MAX;
    for (Layer* layer : stack_) {
      first = std::min(first, layer->map.next_present(from, missing));
      if (missing || first == from) break;
    }
    return missing ? UINT64_MAX : first;
  }

  bool collect(uint64_t leaf, const View*& below, MissingPage& missing) {
    leaves_.clear();
    top_leaf_ = nullptr;
    for (Layer* layer : stack_) {
      const PageFound found = layer->map.find(leaf);
      if (found.state == PageFound::State::unloaded) {
        missing = {&layer->map, found};
        return false;
      }
      if (found.state == PageFound::State::loaded) leaves_.push_back(found.leaf);
    }
    const PageFound own = top_->map.find(leaf);
    if (own.state == PageFound::State::unloaded) {
      missing = {&top_->map, own};
      return false;
    }
    if (own.state == PageFound::State::loaded) top_leaf_ = own.leaf;
    Layer* parent = top_->parent.load(std::memory_order_relaxed);
    if (parent == nullptr) return true;
    below = pool_.views.get(*parent, leaf, missing);
    return below != nullptr;
  }

  // False: the answer is full, and has been given.
  bool visit(uint64_t leaf, const View* below) {
    for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
      const auto entry_of = [slot](const PageNode* page) {
        return MapEntry::unpack(page->words[slot].load(std::memory_order_relaxed));
      };
      const MapEntry entry = top_leaf_ == nullptr ? MapEntry{} : entry_of(top_leaf_);
      const uint16_t shown = below == nullptr ? uint16_t{0} : below->data(slot);
      const auto data = static_cast<uint16_t>(entry.data | (shown & ~entry.zero));
      uint16_t said = since_ == nil_uuid ? data : uint16_t{0};
      if (since_ != nil_uuid) {
        for (const PageNode* page : leaves_) {
          const MapEntry each = entry_of(page);
          said = static_cast<uint16_t>(said | each.data | each.zero);
        }
      }
      const uint64_t start = (leaf * limits::words_per_page + slot) * chunk_size;
      for (uint32_t bits = said; bits != 0; bits &= bits - 1) {
        const auto b = static_cast<uint32_t>(std::countr_zero(bits));
        if (!add(start + b * block, (data >> b & 1) == 0)) return false;
      }
    }
    return true;
  }

  bool add(uint64_t offset, bool zero) {
    if (offset < offset_bytes_ || offset >= size_bytes_) return true;
    const uint64_t length = std::min(block, size_bytes_ - offset);
    if (!found_.ranges.empty()) {
      LayerRange& last = found_.ranges.back();
      if (last.zero == zero && last.offset_bytes + last.length_bytes == offset) {
        last.length_bytes += length;
        return true;
      }
    }
    if (found_.ranges.size() == limit_) {
      end(offset);
      return false;
    }
    found_.ranges.push_back({offset, length, zero});
    return true;
  }

  PoolImpl& pool_;
  const Uuid layer_, since_;
  uint64_t offset_bytes_;
  const uint32_t limit_;
  Done done_;
  LayerRanges found_;
  Layer* top_ = nullptr;
  uint64_t size_bytes_ = 0;
  uint64_t version_ = UINT64_MAX;
  std::vector<Layer*> stack_;
  std::vector<const PageNode*> leaves_;
  const PageNode* top_leaf_ = nullptr;
  TurnTask task_;
};

}  // namespace

void PoolImpl::ranges(const Uuid& layer, const Uuid& since, uint64_t offset_bytes, uint32_t limit,
                      std::function<void(Result<LayerRanges>)> done) {
  CHECK(limit > 0);
  std::make_shared<Walk>(*this, layer, since, offset_bytes, limit, std::move(done))->turn();
}

}  // namespace ashlar::store
