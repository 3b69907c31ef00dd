#include "store/tail.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

constexpr uint64_t block = limits::block_bytes;

// The first byte that the leaf holds at or beyond `size_bytes`; UINT64_MAX: none.
uint64_t first_in(const PageNode& leaf, uint64_t size_bytes) {
  for (uint32_t slot = 0; slot < limits::words_per_page; ++slot) {
    const MapEntry entry =
        MapEntry::unpack(leaf.words[slot].load(std::memory_order_relaxed));
    const uint64_t start =
        (leaf.index * limits::words_per_page + slot) * limits::chunk_bytes;
    for (uint32_t bits = uint32_t{entry.data} | entry.zero; bits != 0; bits &= bits - 1) {
      const uint64_t at = start + static_cast<uint64_t>(std::countr_zero(bits)) * block;
      if (at + block > size_bytes) return std::max(at, size_bytes);
    }
    if (entry.chunk != 0 && start >= size_bytes) return start;
  }
  return UINT64_MAX;
}

struct Search : std::enable_shared_from_this<Search> {
  PoolImpl& pool;
  Uuid uuid;
  uint64_t size_bytes;
  std::function<void(Result<uint64_t>)> done;

  Search(PoolImpl& in, const Uuid& layer, uint64_t size, std::function<void(Result<uint64_t>)> told)
      : pool(in), uuid(layer), size_bytes(size), done(std::move(told)) {}

  // From the start whenever a page had to be read: the stack may have changed meanwhile.
  void go() {
    Layer* layer = pool.layers.find(uuid);
    if (layer == nullptr) return done(Error{ErrorCode::not_found, "no layer " + to_string(uuid)});
    uint64_t found = UINT64_MAX;
    for (Layer* at = layer; at != nullptr; at = at->parent.load(std::memory_order_relaxed)) {
      MissingPage missing;
      uint64_t leaf = size_bytes / limits::chunk_bytes / limits::words_per_page;
      for (;; ++leaf) {
        leaf = at->map.next_present(leaf, missing);
        if (missing || leaf == UINT64_MAX) break;
        const PageFound page = at->map.find(leaf);
        if (page.state == PageFound::State::unloaded) {
          missing = {&at->map, page};
          break;
        }
        found = std::min(found, first_in(*page.leaf, size_bytes));
        if (found != UINT64_MAX) break;
      }
      if (!missing) continue;
      pool.loader.load(*missing.tree, missing.found,
                       [self = shared_from_this()](const Status& status) {
                         if (!status.ok()) return self->done(status.error());
                         self->go();
                       });
      return;
    }
    done(found);
  }
};

}  // namespace

void find_beyond(PoolImpl& pool, Layer& layer, uint64_t size_bytes,
                 std::function<void(Result<uint64_t>)> done) {
  std::make_shared<Search>(pool, layer.uuid, size_bytes, std::move(done))->go();
}

}  // namespace ashlar::store
