// NVM commands: from a judged request to the store and back.
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "target/connection.h"
#include "target/shard.h"

namespace ashlar::target {

namespace {

using nvme::StatusCode;

constexpr Refusal success{StatusCode::success, false};

// These go through the connection's scratch buffer.
constexpr bool needs_scratch(IoKind kind) noexcept {
  return kind == IoKind::compare || kind == IoKind::verify || kind == IoKind::copy;
}

}  // namespace

void Connection::dispatch_io(Command& command, uint32_t capsule_bytes) noexcept {
  if (command.sqe.opcode == static_cast<uint8_t>(nvme::IoOpcode::fabrics)) {
    miss_other_half();
    dispatch_io_fabrics(command, capsule_bytes);
    return;
  }
  if (!controller_->enabled.load(std::memory_order_relaxed)) {
    miss_other_half();
    refuse(command, {StatusCode::command_sequence_error});
    return;
  }
  if (nvme::is_reservation(command.sqe.opcode)) {
    miss_other_half();
    forward(command, capsule_bytes);
    return;
  }
  const bool of_a_pair =
      nvme::fuse(command.sqe) != 0 || fused_first_ != nullptr || fused_first_failed_;
  if (of_a_pair && !admit_fused(command)) return;
  Refusal refusal{};
  if (!judge_io(command, capsule_bytes, refusal)) {
    other_half_fails(command);
    refuse(command, refusal);
    return;
  }
  if (command.fuse == nvme::fuse_second && !halves_match(command)) {
    Command& first = *command.partner;
    command.partner = first.partner = nullptr;
    abort_half(first, {StatusCode::invalid_field});
    refuse(command, {StatusCode::invalid_field});
    return;
  }
  if (share_.contended()) pumped_units_ += command.data.bytes / limits::turn_unit_bytes;
  if (command.request.kind == IoKind::write && write_in_place(command, capsule_bytes)) return;
  begin(command);
}

// Judges the command against the namespaces as they are now. False: `refusal` says why not.
bool Connection::judge_io(Command& command, uint32_t capsule_bytes, Refusal& refusal) noexcept {
  NamespaceView view;
  const Namespace* ns = namespaces_->find(command.sqe.nsid);
  if (ns != nullptr) {
    view = {ns->backend->block_size_bytes(), ns->backend->size_bytes(), ns->read_only,
            portal_->ana.state(ns->anagrpid), ns->reservation};
  }
  const TransferLimits transfer{controller_->options.max_transfer_bytes};
  const Verdict verdict =
      validate_io(command.sqe, ns == nullptr ? nullptr : &view, capsule_bytes, transfer);
  if (const auto* refused = std::get_if<Refusal>(&verdict)) {
    refusal = *refused;
    return false;
  }
  command.request = *std::get_if<IoRequest>(&verdict);
  command.data = command.request.data;
  command.backend = ns == nullptr ? nullptr : ns->backend;
  command.table = namespaces_.get();
  meter(command, ns);
  if (command.fuse != 0) {
    command.own_segment = {fused_memory(command.fused_block), command.data.bytes};
  }
  return true;
}

// The namespace may have been taken away while the command waited for buffers or data: what counts
// is what is attached when the command goes to the store.
void Connection::execute_io(Command& command) noexcept {
  if (command.fuse != 0) {
    on_half_ready(command);
    return;
  }
  if (command.table != namespaces_.get()) {
    Refusal refusal{};
    if (!judge_io(command, command.capsule_bytes, refusal)) {
      respond(command, refusal);
      return;
    }
  }
  if (!pass_limit(command, true) || !pass_share(command, true)) return;
  if (command.request.kind == IoKind::dataset_management && !check_dsm_ranges(command)) return;
  if (command.request.kind == IoKind::copy && !check_copy_ranges(command)) return;
  if (must_wait_for_range(command)) {
    command.set_state(CommandState::awaiting_range);
    shard_.range_gate().wait(command);
    return;
  }
  if (needs_scratch(command.request.kind) && scratch_user_ != nullptr) {
    command.set_state(CommandState::awaiting_scratch);
    scratch_line_.push(command);
    return;
  }
  if (command.request.kind == IoKind::read && lend(command)) return;
  submit_io(command);
}

// A read whose data goes from where it is to the socket. The command has buffers all the same, for
// what the socket does not take at once: the backend's memory is not kept waiting for a host. With
// a digest all of it is taken into them first: what is under one must not change, and a loan may.
bool Connection::lend(Command& command) noexcept {
  if (command.buffers.piece_count != 1) return false;
  const IoRequest& request = command.request;
  Loan& loan = *new (command.io.scratch) Loan;
  if (!command.backend->lend(shard_.reactor_index(), request.offset_bytes, request.length_bytes,
                             loan)) {
    return false;
  }
  command.set_state(CommandState::at_store);
  command.response_data_bytes = command.data.bytes;
  shard_.counters().read_bytes.add(command.data.bytes);
  if (to_host_.ddgst) {
    auto* home = static_cast<std::byte*>(command.buffers.pieces[0].iov_base);
    for (const iovec& piece : loan.segments()) {
      std::memcpy(home, piece.iov_base, piece.iov_len);
      home += piece.iov_len;
    }
    command.backend->end_loan(shard_.reactor_index(), loan);
  } else {
    command.table_parity = table_parity_;
    ++at_store_[table_parity_];
    command.lent = true;
  }
  respond(command, success);
  return true;
}

// Until here the command counted as under way in its namespace.
void Connection::end_loan(Command& command) noexcept {
  command.backend->end_loan(shard_.reactor_index(), command.loan());
  command.lent = false;
  CHECK(at_store_[command.table_parity] > 0);
  --at_store_[command.table_parity];
  settle_namespaces();
}

// A write whose data has all come with its capsule, to a backend that takes it as it is.
bool Connection::write_in_place(Command& command, uint32_t capsule_bytes) noexcept {
  const IoRequest& request = command.request;
  if (request.fua || command.fuse != 0) return false;
  if (command.data.path != DataPath::in_capsule || command.data.bytes != capsule_bytes ||
      must_wait_for_range(command)) {
    return false;
  }
  const auto bytes =
      receiver_.whole_data({rx_ + rx_begin_, static_cast<size_t>(rx_end_ - rx_begin_)});
  if (bytes.empty() || !admit(command) ||
      !command.backend->write_in_place(shard_.reactor_index(), request.offset_bytes, bytes)) {
    return false;
  }
  rx_begin_ += static_cast<uint32_t>(receiver_.skip_whole_data());
  shard_.counters().written_bytes.add(capsule_bytes);
  wrote_in_place_ = true;
  respond(command, success);
  return true;
}

// Whether a fused pair has the blocks that this command would change. Of Dataset Management any
// block may be one.
bool Connection::must_wait_for_range(const Command& command) noexcept {
  const IoRequest& request = command.request;
  if (!changes_data(request.kind)) return false;
  const bool any = request.kind == IoKind::dataset_management;
  return shard_.range_gate().closed_to(command.backend, any ? 0 : request.offset_bytes,
                                       any ? UINT64_MAX : request.length_bytes);
}

void Connection::on_range_free(Command& command) noexcept {
  if (may_respond()) execute_io(command);
}

// From here until finish_at_store() the command counts as under way in its namespace.
void Connection::enter_store(Command& command) noexcept {
  command.set_state(CommandState::at_store);
  command.table_parity = table_parity_;
  ++at_store_[table_parity_];
  command.cursor = 0;
  BlockIo& io = command.io;
  const IoRequest& request = command.request;
  io.fua = request.fua;
  io.deallocate = request.deallocate;
  io.offset_bytes = request.offset_bytes;
  io.length_bytes = request.length_bytes;
  io.segments = {};
  io.status = BlockStatus::ok;
}

void Connection::submit_io(Command& command) noexcept {
  enter_store(command);
  BlockIo& io = command.io;
  const IoRequest& request = command.request;
  io.done = [](BlockIo& done) noexcept {
    auto& finished = *static_cast<Command*>(done.context);
    finished.connection.on_store_done(finished);
  };
  if (changes_data(request.kind)) {
    command.counts_as_change = true;
    command.change_parity = shard_.range_gate().begin_change();
  }
  switch (request.kind) {
    case IoKind::read:
      io.op = BlockOp::read;
      io.segments = command.segments();
      break;
    case IoKind::write:
      io.op = BlockOp::write;
      io.segments = command.segments();
      break;
    case IoKind::write_zeroes: io.op = BlockOp::write_zeroes; break;
    case IoKind::flush:
      io.op = BlockOp::flush;
      io.offset_bytes = io.length_bytes = 0;
      break;
    case IoKind::flush_all:
      if (!next_flush(command)) finish_at_store(command, success);
      return;
    case IoKind::dataset_management:
      if (!next_dsm_range(command)) finish_at_store(command, success);
      return;
    case IoKind::compare:
    case IoKind::verify:
    case IoKind::copy: start_with_scratch(command); return;
  }
  command.backend->submit(shard_.reactor_index(), io);
}

void Connection::on_store_done(Command& command) noexcept {
  const BlockStatus status = command.io.status;
  const IoKind kind = command.request.kind;
  if (status != BlockStatus::ok || !may_respond()) {
    // Of a Copy DW0 tells the lowest range that is not copied.
    finish_at_store(command, refusal_of(status, command.io.op == BlockOp::read),
                    kind == IoKind::copy ? command.cursor : 0);
    return;
  }
  switch (kind) {
    case IoKind::read:
      command.response_data_bytes = command.data.bytes;
      shard_.counters().read_bytes.add(command.data.bytes);
      break;
    case IoKind::write: shard_.counters().written_bytes.add(command.data.bytes); break;
    case IoKind::flush:
    case IoKind::write_zeroes: break;
    case IoKind::flush_all:
      if (next_flush(command)) return;
      break;
    case IoKind::dataset_management:
      if (next_dsm_range(command)) return;
      break;
    case IoKind::compare:
      if (!compare_piece_equal(command)) {
        finish_at_store(command, {StatusCode::compare_failure, true});
        return;
      }
      if (next_scratch_piece(command)) return;
      break;
    case IoKind::copy:
      if (next_copy_step(command)) return;
      shard_.counters().written_bytes.add(command.copied_bytes);
      break;
    case IoKind::verify:
      command.cursor += static_cast<uint32_t>(command.scratch_segment.iov_len);
      if (next_scratch_piece(command)) return;
      break;
  }
  finish_at_store(command, success);
}

void Connection::finish_at_store(Command& command, Refusal outcome, uint64_t result) noexcept {
  CHECK(at_store_[command.table_parity] > 0);
  --at_store_[command.table_parity];
  if (std::exchange(command.counts_as_change, false)) {
    shard_.range_gate().end_change(command.change_parity);
  }
  if (scratch_user_ == &command) scratch_user_ = nullptr;
  respond(command, outcome, result);
  settle_namespaces();
  // One of them takes the buffer; those that are refused by now leave it to the next.
  while (may_respond() && scratch_user_ == nullptr && scratch_line_.head != nullptr) {
    execute_io(*scratch_line_.pop());
  }
  finish_if_idle();
}

// ---- Flush of every namespace -------------------------------------------------------------------

// Flushes the next namespace by NSID; false when there is none left. `cursor` is the last NSID.
bool Connection::next_flush(Command& command) noexcept {
  if (command.cursor == UINT32_MAX) return false;
  const Namespace* ns = namespaces_->at_or_after(command.cursor + 1);
  if (ns == nullptr) return false;
  command.cursor = ns->nsid;
  command.io.op = BlockOp::flush;
  command.io.offset_bytes = command.io.length_bytes = 0;
  ns->backend->submit(shard_.reactor_index(), command.io);
  return true;
}

// ---- Dataset Management -------------------------------------------------------------------------

// Every range is judged before the first is applied. False: the command was answered.
bool Connection::check_dsm_ranges(Command& command) noexcept {
  const NamespaceView view{command.backend->block_size_bytes(), command.backend->size_bytes(),
                           false, AnaState::optimized};
  for (uint32_t i = 0; i < command.request.range_count; ++i) {
    nvme::DsmRange range;
    copy_from(command.segments(), i * static_cast<uint32_t>(sizeof range),
              std::as_writable_bytes(std::span(&range, 1)));
    const auto judged = validate_dsm_range(range, view);
    if (const auto* refusal = std::get_if<Refusal>(&judged)) {
      respond(command, *refusal);
      return false;
    }
  }
  return true;
}

// Applies the next range that is not empty; false when there is none left. Without AD the ranges
// are hints about access, which we take note of by doing nothing.
bool Connection::next_dsm_range(Command& command) noexcept {
  const NamespaceView view{command.backend->block_size_bytes(), command.backend->size_bytes(),
                           false, AnaState::optimized};
  while (command.request.deallocate && command.cursor < command.request.range_count) {
    nvme::DsmRange range;
    copy_from(command.segments(), command.cursor * static_cast<uint32_t>(sizeof range),
              std::as_writable_bytes(std::span(&range, 1)));
    ++command.cursor;
    const auto judged = validate_dsm_range(range, view);
    // Judged before, and a volume never shrinks while it is open.
    const auto* bytes = std::get_if<ByteRange>(&judged);
    CHECK(bytes != nullptr);
    if (bytes->length_bytes == 0) continue;
    command.io.op = BlockOp::deallocate;
    command.io.offset_bytes = bytes->offset_bytes;
    command.io.length_bytes = bytes->length_bytes;
    command.backend->submit(shard_.reactor_index(), command.io);
    return true;
  }
  return false;
}

// ---- Compare and Verify -------------------------------------------------------------------------

// One command at a time goes through the connection's scratch buffer, so that a command never
// waits for buffers while it holds some.
void Connection::start_with_scratch(Command& command) noexcept {
  if (scratch_ == nullptr) {
    scratch_.reset(static_cast<std::byte*>(
        std::aligned_alloc(ashlar::limits::block_bytes, limits::compare_piece_bytes)));
    CHECK(scratch_ != nullptr);
  }
  scratch_user_ = &command;
  command.scratch_segment = {};
  command.copied_bytes = command.copied_of_range_bytes = 0;
  if (command.request.kind == IoKind::copy) {
    CHECK(next_copy_step(command));
    return;
  }
  CHECK(next_scratch_piece(command));
}

// False: all of the range has been read.
bool Connection::next_scratch_piece(Command& command) noexcept {
  const auto left = static_cast<uint32_t>(command.request.length_bytes) - command.cursor;
  if (left == 0) return false;
  const uint32_t length = std::min(left, limits::compare_piece_bytes);
  command.scratch_segment = {scratch_.get(), length};
  command.io.op = BlockOp::read;
  command.io.fua = false;
  command.io.offset_bytes = command.request.offset_bytes + command.cursor;
  command.io.length_bytes = length;
  command.io.segments = {&command.scratch_segment, 1};
  command.backend->submit(shard_.reactor_index(), command.io);
  return true;
}

bool Connection::compare_piece_equal(Command& command) noexcept {
  std::span<const std::byte> stored(scratch_.get(), command.scratch_segment.iov_len);
  while (!stored.empty()) {
    const auto given = contiguous_at(command.segments(), command.cursor);
    const size_t length = std::min(given.size(), stored.size());
    if (std::memcmp(given.data(), stored.data(), length) != 0) return false;
    stored = stored.subspan(length);
    command.cursor += static_cast<uint32_t>(length);
  }
  return true;
}

}  // namespace ashlar::target
