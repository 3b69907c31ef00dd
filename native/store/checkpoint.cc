#include "store/checkpoint.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {
// The nodes lie all over memory: so many are fetched ahead of the one that is looked at.
constexpr size_t prefetched = 16;
}  // namespace

Checkpointer::Checkpointer(PoolImpl& pool) : pool_(pool), buffers_(limits::checkpoint_buffers) {}

void Checkpointer::request() {
  requested_ = true;
  if (phase_ == Phase::idle) pool_.committer.request();
}

void Checkpointer::request(bool clean, std::function<void(Status)> done) {
  if (pool_.failed()) {
    done(pool_.failure_error());
    return;
  }
  waiting_.push_back(std::move(done));
  clean_ = clean_ || clean;
  request();
}

void Checkpointer::release() {
  CHECK(holds_ > 0);
  if (--holds_ == 0 && requested_) pool_.committer.request();
}

bool Checkpointer::wants_to_begin() const noexcept {
  if (phase_ != Phase::idle || holds_ > 0 || pool_.failed() || pool_.options.read_only) {
    return false;
  }
  return requested_ || pool_.committer.used_blocks() > pool_.committer.ring_blocks() / 2 ||
         pool_.pages.dirty_count() > pool_.dirty_pages_wanted();
}

uint64_t Checkpointer::sequence() const noexcept { return pool_.superblock.next_sequence - 1; }

Checkpointer::Sealed::Sealed(PageNode& of)
    : tree(uint64_t{of.tree->kind() != TreeKind::map} << 63 | uint64_t{of.level} << 56 |
           uint64_t{static_cast<uint8_t>(of.tree->kind())} << 48 | of.tree->id()),
      index(of.index),
      node(&of) {
  static_assert(limits::max_layers <= 1ull << 48);  // A map's id is its layer's slot.
}

Checkpointer::FrozenRoot Checkpointer::root_of(const PageTree& tree) {
  FrozenRoot root;
  root.node = tree.root();
  root.ref = tree.root_disk();
  root.level = tree.root_level();
  return root;
}

void Checkpointer::assign_pages() {
  const std::vector<PageNode*>& dirty = pool_.pages.dirty();
  for (const uint64_t page : pool_.pages.take_detached()) pool_.space.release_page(page);
  const auto assign = [this](PageNode& node) {
    if (!node.disk.none()) pool_.space.release_page(node.disk.page());
    node.assigned = pool_.space.take_page();
  };
  // In the order in which they are written, so that they lie side by side on the device.
  std::vector<Sealed>& order = order_;
  order.clear();
  const size_t known = dirty.size();
  for (size_t i = 0; i < known; ++i) {
    if (i + prefetched < known) __builtin_prefetch(&dirty[i + prefetched]->index);
    order.emplace_back(*dirty[i]);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 0; i < known; ++i) {
    if (i + prefetched < known) __builtin_prefetch(&order[i + prefetched].node->index);
    assign(*order[i].node);
  }
  // Taking and releasing pages dirties the space map, whose pages get new places too. That ends,
  // since each page is dealt with once.
  for (size_t i = known; i < dirty.size(); ++i) {
    assign(*dirty[i]);
    order.emplace_back(*dirty[i]);
  }
  const auto middle = order.begin() + static_cast<ptrdiff_t>(known);
  std::sort(middle, order.end());
  std::inplace_merge(order.begin(), middle, order.end());
  pool_.pages.take_dirty();
  image_.clear();
  for (const Sealed& each : order) image_.push_back(each.node);
}

void Checkpointer::freeze(uint64_t journal_position, uint64_t next_sequence) {
  CHECK(phase_ == Phase::idle && !pool_.pages.frozen_pending());
  requested_ = false;
  commit_durable_ = false;
  write_result_ = 0;
  next_page_ = 0;
  std::swap(current_, waiting_);
  map_roots_.clear();
  for (PageNode* node : pool_.pages.dirty()) {
    if (node->tree->kind() != TreeKind::layers || node->level != 0) continue;
    pool_.layers.fill_leaf(*node);
    for (uint32_t i = 0; i < limits::layer_records_per_page; ++i) {
      const uint64_t slot = node->index * limits::layer_records_per_page + i;
      if (const Layer* layer = pool_.layers.at(slot); layer != nullptr) {
        map_roots_.emplace(layer->slot, root_of(layer->map));
      }
    }
  }
  assign_pages();
  const PageTree* trees[root_count] = {&pool_.bitmap_tree, &pool_.space_tree, &pool_.layer_tree,
                                       &pool_.catalog_tree};
  for (uint32_t i = 0; i < root_count; ++i) roots_[i] = root_of(*trees[i]);

  Superblock& next = next_superblock_;
  next = pool_.superblock;
  ++next.generation;
  next.journal_position = journal_position;
  next.next_sequence = next_sequence;
  pool_.devices.fill(next);
  next.owned_chunks = pool_.allocator.owned_count();
  next.metadata_slots = pool_.space.chunk_count();
  next.layer_slots = pool_.layers.slot_count();
  next.catalog_cells = pool_.catalog.cell_count();
  next.catalog_records = pool_.catalog.record_count();
  next.clean = clean_ ? 1 : 0;
  phase_ = Phase::writing;
  write_more();
}

void Checkpointer::sealed_more(uint64_t blocks) {
  CHECK(phase_ == Phase::writing || phase_ == Phase::settling);
  next_superblock_.journal_position += blocks;
  pool_.devices.fill_states(next_superblock_);
}

void Checkpointer::fill_page(PageNode& node, std::span<std::byte> out) {
  const auto put = [&](uint32_t word, uint64_t value) {
    write_at(out, limits::page_header_bytes + word * 8ull, value);
  };
  for (uint32_t i = 0; i < limits::words_per_page; ++i) {
    uint64_t value = node.frozen != nullptr ? node.frozen->words[i]
                                            : node.words[i].load(std::memory_order_relaxed);
    if (node.level > 0 && value != 0 && (value & 1) == 0) {
      value = reinterpret_cast<const PageNode*>(static_cast<uintptr_t>(value))->disk.word;
    }
    put(i, value);
  }
  if (node.tree->kind() == TreeKind::layers && node.level == 0) {
    for (uint32_t i = 0; i < limits::layer_records_per_page; ++i) {
      const uint64_t slot = node.index * limits::layer_records_per_page + i;
      const auto root = map_roots_.find(static_cast<uint32_t>(slot));
      if (root == map_roots_.end()) continue;
      const PageRef ref = root->second.node != nullptr ? root->second.node->disk : root->second.ref;
      constexpr uint32_t root_word = offsetof(LayerRecord, map_root) / 8;
      put(layer_record_word(slot) + root_word, ref.word);
      const size_t level_at = limits::page_header_bytes + layer_record_word(slot) * 8ull +
                              offsetof(LayerRecord, map_level);
      out[level_at] = static_cast<std::byte>(ref.none() ? 0 : root->second.level);
    }
  }
  const PageIdentity identity{node.tree->kind(), node.level, node.tree->id(), node.index};
  const uint32_t crc = seal_page(out, pool_.superblock.pool, identity, node.assigned,
                                 next_superblock_.generation);
  node.disk = PageRef::make(node.assigned, crc);
  node.assigned = 0;
  pool_.pages.end_freeze_of(node);
}

void Checkpointer::write_more() {
  for (Buffer& buffer : buffers_) {
    if (next_page_ == image_.size()) break;
    if (buffer.busy) continue;
    // As many pages as lie side by side go out in one write.
    const uint64_t first = image_[next_page_]->assigned;
    uint32_t count = 0;
    while (next_page_ < image_.size() && count < limits::pages_per_chunk &&
           image_[next_page_]->assigned == first + count) {
      fill_page(*image_[next_page_], buffer.memory.span().subspan(
                                         size_t{count} * limits::page_bytes, limits::page_bytes));
      ++count;
      ++next_page_;
    }
    buffer.busy = true;
    ++writes_in_flight_;
    cold_write(pool_.device(), first * limits::page_bytes,
               buffer.memory.span().first(size_t{count} * limits::page_bytes), false,
               [this, &buffer](int result) { page_written(buffer, result); });
  }
  if (next_page_ == image_.size() && writes_in_flight_ == 0) pages_done();
}

void Checkpointer::page_written(Buffer& buffer, int result) {
  buffer.busy = false;
  --writes_in_flight_;
  if (result != 0) write_result_ = result;
  if (write_result_ != 0 || pool_.failed()) {
    if (writes_in_flight_ > 0) return;
    if (write_result_ != 0) {
      pool_.fail_from(pool_.owner, "writing metadata failed", write_result_);
    }
    end(pool_.failure_error());
    return;
  }
  write_more();
  pool_.room_changed();
}

void Checkpointer::pages_done() {
  if (phase_ != Phase::writing) return;
  phase_ = Phase::settling;
  if (commit_durable_) commit_finished();
}

void Checkpointer::commit_finished() {
  // The first commit to finish after the freeze is the one that was sealed with it.
  commit_durable_ = true;
  if (phase_ != Phase::settling) return;
  phase_ = Phase::flushing;
  cold_flush(pool_.device(), [this](int result) {
    if (result != 0) pool_.fail_from(pool_.owner, "a device flush failed", result);
    if (pool_.failed()) {
      end(pool_.failure_error());
      return;
    }
    flip();
  });
}

void Checkpointer::flip() {
  phase_ = Phase::flipping;
  for (uint32_t i = 0; i < root_count; ++i) {
    const PageRef ref = roots_[i].node != nullptr ? roots_[i].node->disk : roots_[i].ref;
    next_superblock_.roots[i] = TreeRoot{ref.word, ref.none() ? 0 : uint64_t{roots_[i].level}};
  }
  seal_superblock(next_superblock_);
  std::memcpy(superblock_memory_.data(), &next_superblock_, sizeof next_superblock_);
  cold_write(pool_.device(), superblock_offsets[next_superblock_.generation % 2],
             superblock_memory_.span(), true, [this](int result) { flipped(result); });
}

void Checkpointer::flipped(int result) {
  if (result != 0) pool_.fail_from(pool_.owner, "writing the superblock failed", result);
  if (pool_.failed()) {
    end(pool_.failure_error());
    return;
  }
  pool_.superblock = next_superblock_;
  ++count_;
  pool_.space.settle();
  end(Unit{});
  pool_.committer.advance_tail(pool_.superblock.journal_position);
  pool_.trim();
  pool_.room_changed();
  if (requested_) pool_.committer.request();
}

void Checkpointer::end(const Status& status) {
  phase_ = Phase::idle;
  image_.clear();
  map_roots_.clear();
  const auto calls = std::exchange(current_, {});
  for (const auto& call : calls) call(status);
  if (!status.ok()) fail_all();
}

void Checkpointer::fail_all() {
  if (phase_ == Phase::settling) {
    end(pool_.failure_error());  // The commit it waits for will not come.
    return;
  }
  if (phase_ != Phase::idle) return;  // The operation under way ends it.
  const auto calls = std::exchange(waiting_, {});
  for (const auto& call : calls) call(pool_.failure_error());
}

}  // namespace ashlar::store
