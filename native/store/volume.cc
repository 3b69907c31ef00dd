#include "store/volume.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;

BlockStatus status_of(DeviceOpKind kind, int result) noexcept {
  if (result == 0) return BlockStatus::ok;
  if (kind == DeviceOpKind::read) return BlockStatus::read_error;
  // The file system under a sparse pool file is full: the pool is, for this block.
  if (result == -ENOSPC || result == -EDQUOT) return BlockStatus::capacity_exceeded;
  return BlockStatus::write_error;
}

}  // namespace

namespace {

// The top layer's entry; false: its page is not in memory.
bool top_entry(Layer& top, uint64_t index, ChunkView& view, MapEntry& entry) noexcept {
  view.found = top.map.find(index / limits::words_per_page);
  entry = MapEntry{};
  if (view.found.state == PageFound::State::unloaded) {
    view.state = ChunkView::State::unloaded;
    view.layer = &top;
    return false;
  }
  if (view.found.state == PageFound::State::loaded) {
    entry = MapEntry::unpack(view.found.leaf->words[index % limits::words_per_page].load(
        std::memory_order_acquire));
  }
  return true;
}

// What the entry itself says of the blocks `wanted`.
void view_entry(MapEntry entry, uint16_t wanted, ChunkView& view) noexcept {
  view.state = ChunkView::State::known;
  view.top_data = entry.data;
  for (uint32_t bits = wanted & (entry.data | entry.zero); bits != 0; bits &= bits - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(bits));
    view.device_block[i] =
        (entry.data >> i & 1) != 0 ? uint64_t{entry.chunk} * limits::blocks_per_chunk + i : 0;
  }
}

// The blocks `left` of the chunk as the layer and its ancestors hold them; false: no view.
bool view_below(Layer* layer, uint64_t index, uint16_t left, ChunkView& view) noexcept {
  const View* flat = nullptr;
  if (layer != nullptr && index < layer->chunk_count()) {
    const ViewTable* table = layer->views.load(std::memory_order_acquire);
    if (table != nullptr) flat = table->find(index / limits::words_per_page);
    if (flat == nullptr) {
      view.state = ChunkView::State::unseen;
      view.layer = layer;
      return false;
    }
    if (!flat->recent.load(std::memory_order_relaxed)) {
      flat->recent.store(true, std::memory_order_relaxed);
    }
  }
  const auto slot = static_cast<uint32_t>(index % limits::words_per_page);
  const uint16_t held = flat == nullptr ? uint16_t{0} : flat->data(slot);
  for (uint32_t bits = left; bits != 0; bits &= bits - 1) {
    const auto i = static_cast<uint32_t>(std::countr_zero(bits));
    view.device_block[i] = (held >> i & 1) != 0
                               ? uint64_t{flat->chunk(slot, i)} * limits::blocks_per_chunk + i
                               : 0;
  }
  return true;
}

}  // namespace

void view_top(Layer& top, uint64_t index, uint16_t wanted, ChunkView& view) noexcept {
  MapEntry entry;
  if (top_entry(top, index, view, entry)) view_entry(entry, wanted, view);
}

void view_chunk(Layer& top, uint64_t index, uint16_t wanted, ChunkView& view) noexcept {
  MapEntry entry;
  if (!top_entry(top, index, view, entry)) return;
  for (;;) {
    view_entry(entry, wanted, view);
    const auto left = static_cast<uint16_t>(wanted & ~(entry.data | entry.zero));
    if (left == 0) return;
    if (!view_below(top.parent.load(std::memory_order_acquire), index, left, view)) return;
    // A merge moves blocks from below into the entry, then takes them from the view. Who saw the
    // old entry with the new view sees the new entry now.
    MapEntry again;
    if (!top_entry(top, index, view, again)) return;
    if (again.pack() == entry.pack()) return;
    entry = again;
  }
}

VolumeImpl::VolumeImpl(PoolImpl& pool, Layer& layer, bool read_only)
    : pool_(pool),
      top_(&layer),
      read_only_(read_only),
      block_bytes_(layer.block_bytes),
      size_bytes_(layer.size_bytes),
      failures_told_(pool.devices.failed()),
      ports_(std::make_unique<PortState[]>(pool.ports.size())),
      port_count_(pool.ports.size()) {
  for (size_t i = 0; i < port_count_; ++i) {
    ports_[i].volume = this;
    ports_[i].port = static_cast<uint16_t>(i);
  }
  layer.volume = this;
}

VolumeImpl::~VolumeImpl() { top().volume = nullptr; }

void VolumeImpl::set_top(Layer& layer) noexcept {
  top().volume = nullptr;
  layer.volume = this;
  top_.store(&layer, std::memory_order_release);
}

void VolumeImpl::submit(uint32_t reactor_index, BlockIo& io) noexcept {
  CHECK(reactor_index < port_count_);
  auto* state = new (io.scratch) IoState;
  state->io = &io;
  state->volume = this;
  state->port = static_cast<uint16_t>(reactor_index);
  state->cursor = io.offset_bytes;
  state->durable = io.fua || pool_.options.write_through;
  state->failed_devices = pool_.devices.failed();
  io.status = BlockStatus::ok;
  ++ports_[reactor_index].in_flight;
  state->submitting = true;
  const bool changes = io.op != BlockOp::read && io.op != BlockOp::flush;
  if (closing_.load(std::memory_order_acquire) || (read_only_ && changes)) {
    io.status = changes && read_only_ ? BlockStatus::write_error : BlockStatus::gone;
    end_fast(*state);
    state->submitting = false;
    return;
  }
  const uint64_t size = size_bytes();
  CHECK(io.offset_bytes <= size && io.length_bytes <= size - io.offset_bytes);
  CHECK(io.offset_bytes % block_bytes_ == 0 && io.length_bytes % block_bytes_ == 0);
  PortContext& port = *pool_.ports_in_place[reactor_index];
  switch (io.op) {
    case BlockOp::read:
    case BlockOp::write:
      advance(*state);
      break;
    case BlockOp::flush:
      submit_flush(*state, port);
      break;
    case BlockOp::write_zeroes:
    case BlockOp::deallocate:
      state->needs_owner = true;
      end_fast(*state);
      break;
  }
  state->submitting = false;
}

bool VolumeImpl::direct(const IoState& state) const noexcept {
  if (block_bytes_ == block) return true;
  // Every write of a 512-byte volume is ordered by the owner's block locks.
  if (state.io->op == BlockOp::write) return false;
  if (is_multiple(state.io->offset_bytes, block) && is_multiple(state.io->length_bytes, block)) {
    return true;
  }
  return pool_.devices.small_direct();
}

void VolumeImpl::submit_flush(IoState& state, PortContext& port) noexcept {
  // Read-only pools have nothing to flush. With records pending, the owner commits them.
  if (pool_.options.read_only) {
    end_fast(state);
    return;
  }
  if (pool_.failed() || pool_.committer.records_pending() || pool_.devices.failures_pending()) {
    state.needs_owner = true;
    end_fast(state);
    return;
  }
  RunOp* run = port.take_run();
  if (run == nullptr) {
    state.resume = [](IoState& waiter) noexcept {
      VolumeImpl& volume = *waiter.volume;
      volume.submit_flush(waiter, *volume.pool_.ports_in_place[waiter.port]);
    };
    port.waiting.push(state);
    return;
  }
  run->op = DeviceOp{};
  run->op.kind = DeviceOpKind::flush;
  run->state = &state;
  run->op.context = run;
  run->op.done = [](DeviceOp& op) noexcept {
    auto& self = *static_cast<RunOp*>(op.context);
    self.state->volume->run_done(self);
  };
  ++state.in_flight;
  port.device->submit(run->op);
}

void VolumeImpl::advance_from_queue(IoState& state) noexcept { state.volume->advance(state); }

void VolumeImpl::advance(IoState& state) noexcept {
  PortContext& port = *pool_.ports_in_place[state.port];
  state.resume = advance_from_queue;
  if (state.io->op == BlockOp::write && pool_.failed()) {
    state.cursor = state.end();  // Not acknowledged, so not begun either.
  } else if (!direct(state)) {
    state.needs_owner = true;
  } else {
    if (!state.in_epoch) {
      state.parity = pool_.epochs.enter(state.port);
      state.in_epoch = true;
    }
    while (state.cursor < state.end() && !state.needs_owner) {
      if (!step(state, port)) return;  // Queued for a RunOp.
    }
  }
  if (state.in_flight == 0) end_fast(state);
}

bool VolumeImpl::step(IoState& state, PortContext& port) noexcept {
  const bool writing = state.io->op == BlockOp::write;
  Layer& top = this->top();
  // Collects the longest run of blocks that lie side by side on the device (or are all zeroes),
  // over chunk boundaries.
  uint64_t length = 0;
  uint64_t device_offset = 0;
  bool zeroes = false;
  while (state.cursor + length < state.end() && length < limits::max_run_bytes) {
    const uint64_t at = state.cursor + length;
    const uint64_t index = at / chunk_size;
    const uint32_t first = static_cast<uint32_t>(at % chunk_size / block);
    const uint64_t chunk_end = std::min(state.end(), (index + 1) * chunk_size);
    const uint32_t end =
        static_cast<uint32_t>((chunk_end - index * chunk_size + block - 1) / block);
    ChunkView view;
    const uint16_t wanted = block_mask(first, end);
    if (writing) {
      view_top(top, index, wanted, view);
    } else {
      view_chunk(top, index, wanted, view);
    }
    if (view.state != ChunkView::State::known) {
      state.needs_owner = true;
      break;
    }
    uint32_t i = first;
    for (; i < end; ++i) {
      const uint64_t here = index * chunk_size + i * block;
      const uint64_t begin = std::max(here, at);
      if (writing && (view.top_data >> i & 1) == 0) {
        state.needs_owner = true;
        break;
      }
      const bool zero = view.device_block[i] == 0;
      const uint64_t device = view.device_block[i] * block + (begin - here);
      if (length == 0) {
        zeroes = zero;
        device_offset = device;
      } else if (zero != zeroes || (!zero && device != device_offset + length)) {
        break;
      }
      length += std::min(chunk_end, here + block) - begin;
    }
    if (i < end) break;
  }
  if (length == 0) return true;  // Only the owner can go on.
  length = std::min<uint64_t>(length, limits::max_run_bytes);
  if (zeroes) {
    zero_out(state, length);
    state.cursor += length;
    return true;
  }
  RunOp* run = port.take_run();
  if (run == nullptr) {
    state.needs_owner = false;  // Found again when it goes on.
    port.waiting.push(state);
    return false;
  }
  run->op = DeviceOp{};
  run->op.kind = writing ? DeviceOpKind::write : DeviceOpKind::read;
  run->op.durable = writing && state.durable;
  run->op.offset_bytes = device_offset;
  run->state = &state;
  state.cursor += cut_segments(state, length, *run);
  run->op.context = run;
  run->op.done = [](DeviceOp& op) noexcept {
    auto& self = *static_cast<RunOp*>(op.context);
    self.state->volume->run_done(self);
  };
  ++state.in_flight;
  port.device->submit(run->op);
  return true;
}

void VolumeImpl::run_done(RunOp& run) noexcept {
  IoState& state = *run.state;
  PortContext& port = *pool_.ports_in_place[state.port];
  const DeviceOpKind kind = run.op.kind;
  const int result = run.op.result;
  port.give_run(run);
  --state.in_flight;
  if (kind == DeviceOpKind::flush) {
    if (result != 0) pool_.fail_from(state.port, "a device flush failed", result);
  } else if (result != 0 && state.io->status == BlockStatus::ok) {
    state.io->status = status_of(kind, result);
  }
  const bool waits_for_run = state.cursor < state.end() && !state.needs_owner &&
                             state.io->op != BlockOp::flush;
  if (state.in_flight == 0 && !waits_for_run) end_fast(state);
  port.resume_waiting();
}

// Nothing is under way here: to the owner with what is left, or answered.
void VolumeImpl::end_fast(IoState& state) noexcept {
  if (state.in_epoch) {
    pool_.epochs.leave(state.port, state.parity);
    state.in_epoch = false;
  }
  const bool changes = state.io->op != BlockOp::read;
  if (changes && pool_.failed() && state.io->status != BlockStatus::gone) {
    state.io->status = BlockStatus::pool_failed;
  }
  // A durable overwrite of a block whose mapping is not durable yet needs that commit too. The
  // record was pending before the mapping became visible, so it is seen here.
  if (state.io->op == BlockOp::write && state.durable && pool_.committer.records_pending()) {
    state.needs_owner = true;
  }
  if (state.needs_owner && state.io->status == BlockStatus::ok) {
    if (state.port == pool_.owner && state.submitting) {
      pool_.owner_io.take(state);
      return;
    }
    state.task.run = [](Task& task) noexcept {
      IoState& at_owner = io_state(task);
      at_owner.volume->pool_.owner_io.take(at_owner);
    };
    // Not at once when it came back from there for more: that could go on and on in one call.
    if (state.port == pool_.owner) {
      pool_.loop().defer(state.task);
    } else {
      pool_.ports[pool_.owner].loop->post(state.task);
    }
    return;
  }
  end_here(state);
}

// On its port. Never inside submit(): its caller hears of the end from the loop.
void VolumeImpl::end_here(IoState& state) noexcept {
  if (!state.submitting) {
    finish(state);
    return;
  }
  state.task.run = [](Task& task) noexcept {
    IoState& ended = io_state(task);
    ended.volume->finish(ended);
  };
  pool_.ports[state.port].loop->defer(state.task);
}

// A device of the pool has failed. Writes that it acknowledged may be lost, so that no flush may
// vouch for them: those that were under way when it failed tell of it, and so does the first one
// submitted afterwards. A write that was under way then may be answered only after that one: then
// the next flush tells once more.
void VolumeImpl::heed_failures(IoState& state, uint32_t failed) noexcept {
  BlockIo& io = *state.io;
  if (io.status != BlockStatus::ok || io.op == BlockOp::read) return;
  if (state.failed_devices != failed) {
    if (io.op == BlockOp::flush || state.durable) {
      io.status = BlockStatus::write_error;
    } else {
      failures_told_.fetch_and(state.failed_devices, std::memory_order_seq_cst);
    }
    return;
  }
  if (io.op == BlockOp::flush &&
      (failures_told_.fetch_or(failed, std::memory_order_seq_cst) & failed) != failed) {
    io.status = BlockStatus::write_error;
  }
}

void VolumeImpl::finish(IoState& state) noexcept {
  PortState& port = ports_[state.port];
  BlockIo& io = *state.io;
  CHECK(port.in_flight > 0);
  --port.in_flight;
  if (const uint32_t failed = pool_.devices.failed(); failed != 0) heed_failures(state, failed);
  io.done(io);
  // Asked afterwards: done() may have submitted another command, which is still to be answered.
  if (port.in_flight == 0 && port.draining) drained_on(port);
}

// ---- Closing ------------------------------------------------------------------------------------

void VolumeImpl::close(std::function<void()> drained) {
  CHECK(!closing_.load(std::memory_order_relaxed));
  drained_ = std::move(drained);
  closing_.store(true, std::memory_order_release);
  for (size_t i = 0; i < port_count_; ++i) {
    ports_[i].run = [](Task& task) noexcept {
      auto& port = static_cast<PortState&>(task);
      port.draining = true;
      if (port.in_flight == 0) port.volume->drained_on(port);
    };
    pool_.ports[i].loop->post(ports_[i]);
  }
}

void VolumeImpl::drained_on(PortState& port) noexcept {
  // A command that is answered `gone` after this port said so would be told twice.
  if (port.drained) return;
  port.drained = true;
  port.run = [](Task& task) noexcept {
    VolumeImpl& volume = *static_cast<PortState&>(task).volume;
    if (++volume.drained_ports_ < volume.port_count_) return;
    const auto told = std::move(volume.drained_);
    told();  // The pool destroys the volume.
  };
  pool_.ports[pool_.owner].loop->post(port);
}

}  // namespace ashlar::store
