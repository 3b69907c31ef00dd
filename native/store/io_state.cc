#include "store/io_state.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ashlar::store {

namespace {

// Calls visit(address, length) for each piece of the next `length` bytes and advances the place.
template <class Visit>
void walk(IoState& state, uint64_t length, Visit visit) noexcept {
  while (length > 0) {
    CHECK(state.segment < state.io->segments.size());
    const iovec& segment = state.io->segments[state.segment];
    const uint64_t piece = std::min<uint64_t>(length, segment.iov_len - state.segment_offset);
    if (piece > 0 &&
        !visit(static_cast<std::byte*>(segment.iov_base) + state.segment_offset, piece)) {
      return;
    }
    length -= piece;
    state.segment_offset += piece;
    if (state.segment_offset == segment.iov_len) {
      ++state.segment;
      state.segment_offset = 0;
    }
  }
}

}  // namespace

uint64_t measure_segments(const IoState& state, uint64_t wanted) noexcept {
  uint64_t length = 0;
  uint64_t skip = state.segment_offset;
  for (uint32_t i = 0; i < limits::run_segments && length < wanted; ++i) {
    CHECK(state.segment + i < state.io->segments.size());
    length += state.io->segments[state.segment + i].iov_len - skip;
    skip = 0;
  }
  return std::min(length, wanted);
}

uint64_t cut_segments(IoState& state, uint64_t wanted, RunOp& run) noexcept {
  size_t count = 0;
  uint64_t cut = 0;
  walk(state, wanted, [&](std::byte* address, uint64_t length) {
    if (count == limits::run_segments) return false;
    run.segments[count++] = iovec{address, length};
    cut += length;
    return true;
  });
  run.op.segments = std::span<const iovec>(run.segments, count);
  run.op.length_bytes = cut;
  return cut;
}

void copy_out(IoState& state, const std::byte* bytes, uint64_t length) noexcept {
  walk(state, length, [&](std::byte* address, uint64_t piece) {
    std::memcpy(address, bytes, piece);
    bytes += piece;
    return true;
  });
}

void copy_in(IoState& state, std::byte* bytes, uint64_t length) noexcept {
  walk(state, length, [&](const std::byte* address, uint64_t piece) {
    std::memcpy(bytes, address, piece);
    bytes += piece;
    return true;
  });
}

void zero_out(IoState& state, uint64_t length) noexcept {
  walk(state, length, [&](std::byte* address, uint64_t piece) {
    std::memset(address, 0, piece);
    return true;
  });
}

}  // namespace ashlar::store
