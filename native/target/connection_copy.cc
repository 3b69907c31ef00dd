// Copy (NVM 3.2.2): source ranges of a namespace, one behind the other, to a place in it. Every
// range is judged before the first block is written. Then each goes piece by piece through the
// connection's scratch buffer, so that a Copy of any length takes no more memory than a Compare.
#include <algorithm>

#include "base/check.h"
#include "target/connection.h"
#include "target/shard.h"

namespace ashlar::target {

namespace {

NamespaceView view_of(const Command& command) noexcept {
  return {command.backend->block_size_bytes(), command.backend->size_bytes(), false,
          AnaState::optimized};
}

// The list is at most one page, and buffers of that size are one segment.
std::span<const std::byte> list_of(const Command& command) noexcept {
  const std::span<const std::byte> list = contiguous_at(command.segments(), 0);
  const size_t bytes = command.request.range_count * sizeof(nvme::CopyRange);
  CHECK(list.size() >= bytes);
  return list.first(bytes);
}

}  // namespace

// Where the data goes, or false: the command was answered.
bool Connection::check_copy_ranges(Command& command) noexcept {
  const auto judged = validate_copy_ranges(command.sqe, list_of(command), view_of(command));
  if (const auto* refusal = std::get_if<Refusal>(&judged)) {
    respond(command, *refusal);
    return false;
  }
  const auto& destination = *std::get_if<ByteRange>(&judged);
  command.request.offset_bytes = destination.offset_bytes;
  command.request.length_bytes = destination.length_bytes;
  return true;
}

// Reads the next piece, or writes the one that has been read; false when all is written. `cursor`
// is the source range.
bool Connection::next_copy_step(Command& command) noexcept {
  BlockIo& io = command.io;
  if (io.op == BlockOp::read && command.scratch_segment.iov_len != 0) {
    io.op = BlockOp::write;
    io.fua = command.request.fua;
    io.offset_bytes = command.request.offset_bytes + command.copied_bytes;
    command.backend->submit(shard_.reactor_index(), io);
    return true;
  }
  const auto written = static_cast<uint32_t>(command.scratch_segment.iov_len);
  command.copied_bytes += written;
  command.copied_of_range_bytes += written;
  if (command.cursor == command.request.range_count) return false;
  ByteRange source = copy_source(list_of(command), command.cursor, view_of(command));
  if (command.copied_of_range_bytes == source.length_bytes) {
    command.copied_of_range_bytes = 0;
    if (++command.cursor == command.request.range_count) return false;
    source = copy_source(list_of(command), command.cursor, view_of(command));
  }
  const uint64_t left = source.length_bytes - command.copied_of_range_bytes;
  const uint64_t length = std::min<uint64_t>(left, limits::compare_piece_bytes);
  command.scratch_segment = {scratch_.get(), static_cast<size_t>(length)};
  io.op = BlockOp::read;
  io.fua = false;
  io.offset_bytes = source.offset_bytes + command.copied_of_range_bytes;
  io.length_bytes = length;
  io.segments = {&command.scratch_segment, 1};
  command.backend->submit(shard_.reactor_index(), io);
  return true;
}

}  // namespace ashlar::target
