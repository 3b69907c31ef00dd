// The short cuts of a pool in memory: a read lends the blocks where they are, a write of blocks
// that the top layer holds goes straight to its place. Everything else says no, and goes by
// submit().
//
// They obey what the fast path obeys (volume.cc): the look-up and the use of what was found lie in
// one epoch, so that a chunk is not reused under them and a snapshot waits for writes under way.
// The writes of one turn are in one epoch together.
#include <algorithm>
#include <utility>

#include "base/copy.h"
#include "store/pool_impl.h"
#include "store/volume.h"

namespace ashlar::store {

namespace {

constexpr uint64_t block = limits::block_bytes;
constexpr uint64_t chunk_size = limits::chunk_bytes;

// What blocks read as that no layer holds. Never written.
alignas(4096) constinit std::byte zero_chunk[chunk_size] = {};

// Adds the memory to the loan, to its last piece where it goes on there; false: no piece is left.
bool add(Loan& loan, std::byte* base, uint64_t bytes) noexcept {
  if (loan.piece_count != 0) {
    iovec& last = loan.pieces[loan.piece_count - 1];
    if (static_cast<std::byte*>(last.iov_base) + last.iov_len == base) {
      last.iov_len += bytes;
      return true;
    }
  }
  if (loan.piece_count == loan.pieces.size()) return false;
  loan.pieces[loan.piece_count++] = {base, bytes};
  return true;
}

// The blocks of [offset, end) that lie in one chunk.
struct Part {
  uint64_t index;
  uint32_t first;
  uint32_t end;
};
Part part_at(uint64_t offset, uint64_t end) noexcept {
  const uint64_t index = offset / chunk_size;
  const uint64_t chunk_end = std::min(end, (index + 1) * chunk_size);
  return {index, static_cast<uint32_t>(offset % chunk_size / block),
          static_cast<uint32_t>((chunk_end - index * chunk_size) / block)};
}

// Lends a chunk's part. Blocks side by side on the device are one piece.
bool lend_part(Layer& top, Device& device, const Part& part, Loan& loan) noexcept {
  ChunkView view;
  view_chunk(top, part.index, block_mask(part.first, part.end), view);
  if (view.state != ChunkView::State::known) return false;
  for (uint32_t i = part.first; i < part.end; ++i) {
    std::byte* at = zero_chunk + i * block;
    if (view.device_block[i] != 0) {
      const auto memory = device.memory(view.device_block[i] * block, block);
      if (memory.empty()) return false;
      at = memory.data();
    }
    if (!add(loan, at, block)) return false;
  }
  return true;
}

}  // namespace

// Whether I/O of this volume may use the device's memory: of what else a command waits for, a
// lock, a failure to be told, nothing is the matter.
bool VolumeImpl::in_memory() const noexcept {
  return block_bytes_ == block && !closing_.load(std::memory_order_acquire) && !pool_.failed() &&
         pool_.devices.failed() == 0;
}

bool VolumeImpl::lend(uint32_t reactor_index, uint64_t offset_bytes, uint64_t length_bytes,
                      Loan& loan) noexcept {
  PortContext& port = *pool_.ports_in_place[reactor_index];
  if (port.device->memory(0, block).empty() || !in_memory()) return false;
  loan.piece_count = 0;
  loan.parity = pool_.epochs.enter(reactor_index);
  Layer& top = this->top();
  const uint64_t end = offset_bytes + length_bytes;
  for (uint64_t at = offset_bytes; at < end;) {
    const Part part = part_at(at, end);
    if (!lend_part(top, *port.device, part, loan)) {
      pool_.epochs.leave(reactor_index, loan.parity);
      return false;
    }
    at += (part.end - part.first) * block;
  }
  ++ports_[reactor_index].in_flight;
  return true;
}

void VolumeImpl::end_loan(uint32_t reactor_index, Loan& loan) noexcept {
  pool_.epochs.leave(reactor_index, loan.parity);
  left_flight(ports_[reactor_index]);
}

void VolumeImpl::left_flight(PortState& port) noexcept {
  CHECK(port.in_flight > 0);
  --port.in_flight;
  if (port.in_flight == 0 && port.draining) drained_on(port);
}

bool VolumeImpl::write_in_place(uint32_t reactor_index, uint64_t offset_bytes,
                                std::span<const std::byte> bytes) noexcept {
  PortContext& port = *pool_.ports_in_place[reactor_index];
  if (port.device->memory(0, block).empty() || !in_memory()) return false;
  if (read_only_ || pool_.options.write_through) return false;
  PortState& state = ports_[reactor_index];
  if (!state.written) begin_written(state, port);
  Layer& top = this->top();
  const uint64_t end = offset_bytes + bytes.size();
  // All of it is looked up before the first byte is written: half a write that then goes the long
  // way would be seen twice.
  Loan places;
  bool held = true;
  for (uint64_t at = offset_bytes; held && at < end;) {
    const Part part = part_at(at, end);
    const uint16_t wanted = block_mask(part.first, part.end);
    ChunkView view;
    view_top(top, part.index, wanted, view);
    held = view.state == ChunkView::State::known && (wanted & ~view.top_data) == 0;
    for (uint32_t i = part.first; held && i < part.end; ++i) {
      const auto memory = port.device->memory(view.device_block[i] * block, block);
      held = !memory.empty() && add(places, memory.data(), block);
    }
    at += (part.end - part.first) * block;
  }
  if (!held) return false;
  for (const iovec& place : places.segments()) {
    copy_past_cache(place.iov_base, bytes.data(), place.iov_len);
    bytes = bytes.subspan(place.iov_len);
  }
  return true;
}

// The first write in place of this turn. What they find stays theirs until the copies are fenced,
// which for all of them together costs what it costs for one.
void VolumeImpl::begin_written(PortState& state, PortContext& port) noexcept {
  state.written_parity = pool_.epochs.enter(port.index);
  state.written = true;
  state.next_written = std::exchange(port.written, &state);
  ++state.in_flight;
  if (port.settle.queued.load(std::memory_order_relaxed)) return;
  port.settle.port = &port;
  port.settle.run = [](Task& task) noexcept {
    PortContext& settling = *static_cast<PortContext::Settle&>(task).port;
    fence_copies();
    WrittenInPlace* next = std::exchange(settling.written, nullptr);
    while (next != nullptr) settle_written(*std::exchange(next, next->next_written));
  };
  port.loop->defer(port.settle);
}

// May end the volume, and with the last one the pool.
void VolumeImpl::settle_written(WrittenInPlace& written) noexcept {
  auto& state = static_cast<PortState&>(written);
  state.written = false;
  state.volume->pool_.epochs.leave(state.port, state.written_parity);
  state.volume->left_flight(state);
}

}  // namespace ashlar::store
