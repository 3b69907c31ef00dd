// Fused Compare and Write (Base 3.4.2, NVM 2.1.4): two commands that follow each other in the queue
// and count as one. Each half goes through the receive side by itself, into memory of its own, as
// it must hold it until the other one is here. Then the pair waits for its range's lock, compares
// and, if equal, writes. One pair of a queue at a time, in their order.
#include <bit>
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
constexpr Refusal failed_fused{StatusCode::aborted_failed_fused};
constexpr Refusal missing_fused{StatusCode::aborted_missing_fused};
// For now: the pair may be sent again.
constexpr Refusal interrupted{StatusCode::command_interrupted, false};

}  // namespace

Connection::Fused::Fused(RangeLocks& locks, Loop& loop)
    : lock(locks, loop),
      memory(static_cast<std::byte*>(std::aligned_alloc(
          ashlar::limits::block_bytes,
          (limits::fused_per_queue + 1) * size_t{ashlar::limits::block_bytes}))) {
  CHECK(memory != nullptr);
}

// ---- The halves ---------------------------------------------------------------------------------

// What a command means to a pair: every command of an I/O queue comes by here when it, or the one
// before it, is fused. False: it was refused.
bool Connection::admit_fused(Command& command) noexcept {
  const uint8_t fuse = nvme::fuse(command.sqe);
  if (fuse != nvme::fuse_second) {
    miss_other_half();
    if (fuse != nvme::fuse_first) return true;  // 11b is the validator's.
    fused_first_ = &command;
  } else if (std::exchange(fused_first_failed_, false)) {
    refuse(command, failed_fused);
    return false;
  } else if (fused_first_ == nullptr) {
    refuse(command, missing_fused);
    return false;
  } else {
    command.partner = std::exchange(fused_first_, nullptr);
    command.partner->partner = &command;
  }
  command.fuse = fuse;
  if (take_fused_block(command)) return true;
  other_half_fails(command);
  refuse(command, interrupted);
  return false;
}

// The second half against the first, when each is right by itself.
bool Connection::halves_match(const Command& second) const noexcept {
  const Command& first = *second.partner;
  return first.sqe.nsid == second.sqe.nsid &&
         first.request.offset_bytes == second.request.offset_bytes &&
         first.request.length_bytes == second.request.length_bytes;
}

bool Connection::take_fused_block(Command& command) noexcept {
  if (fused_ == nullptr) {
    fused_ = std::make_unique<Fused>(shard_.home().range_locks(), shard_.loop());
    fused_->lock.context = this;
    fused_->lock.granted = [](RangeLock& lock) noexcept {
      static_cast<Connection*>(lock.context)->on_range_locked();
    };
    fused_->lock.released = [](RangeLock& lock) noexcept {
      auto& self = *static_cast<Connection*>(lock.context);
      self.next_fused();
      self.finish_if_idle();
    };
  }
  static_assert(limits::fused_per_queue == 32);  // Bits of `used`.
  if (fused_->used == UINT32_MAX) return false;
  command.fused_block = static_cast<uint8_t>(std::countr_one(fused_->used));
  fused_->used |= 1u << command.fused_block;
  return true;
}

void Connection::free_fused(Command& command) noexcept {
  if (command.fused_block != no_fused_block) fused_->used &= ~(1u << command.fused_block);
  command.fused_block = no_fused_block;
  command.fuse = 0;
  command.partner = nullptr;
  command.fused_abort = StatusCode::success;
}

std::byte* Connection::fused_memory(uint32_t block) noexcept {
  return fused_->memory.get() + size_t{block} * ashlar::limits::block_bytes;
}

// The command after a first half is not its second half.
void Connection::miss_other_half() noexcept {
  fused_first_failed_ = false;
  Command* first = std::exchange(fused_first_, nullptr);
  if (first != nullptr) abort_half(*first, missing_fused);
}

// This half gets an answer of its own; what of the other?
void Connection::other_half_fails(Command& half) noexcept {
  if (fused_first_ == &half) {
    fused_first_ = nullptr;
    fused_first_failed_ = true;
  }
  Command* other = std::exchange(half.partner, nullptr);
  if (other == nullptr) return;
  other->partner = nullptr;
  abort_half(*other, failed_fused);
}

// At once, or when its own data is here: until then its R2Ts are out.
void Connection::abort_half(Command& half, Refusal why) noexcept {
  half.fused_abort = why.status;
  if (half.state() == CommandState::awaiting_other_half) respond(half, why);
}

// The data of this half is here.
void Connection::on_half_ready(Command& half) noexcept {
  if (half.fused_abort != StatusCode::success) {
    respond(half, {half.fused_abort});
    return;
  }
  half.set_state(CommandState::awaiting_other_half);
  Command* other = half.partner;
  if (other == nullptr || other->state() != CommandState::awaiting_other_half) return;
  fused_line_.push(half.fuse == nvme::fuse_second ? half : *other);
  next_fused();
}

// ---- The pair -----------------------------------------------------------------------------------

void Connection::next_fused() noexcept {
  if (!may_respond() || fused_active_ != nullptr || fused_line_.head == nullptr) return;
  if (fused_->lock.phase() != RangeLock::Phase::idle) return;
  fused_active_ = fused_line_.pop();
  const IoRequest& request = fused_active_->request;
  fused_->lock.acquire(*fused_active_->backend, request.offset_bytes, request.length_bytes);
}

// Both halves are judged again when the namespaces have changed since.
bool Connection::pair_still_right(Command& first, Command& second) noexcept {
  const BlockBackend* locked = second.backend;
  for (Command* half : {&first, &second}) {
    Refusal refusal{};
    if (half->table == namespaces_.get() || judge_io(*half, half->capsule_bytes, refusal)) continue;
    respond(*half, refusal);
    other_half_fails(*half);
    return false;
  }
  if (first.backend == locked && second.backend == locked) return true;
  respond(first, interrupted);  // Another volume by the same NSID.
  other_half_fails(first);
  return false;
}

void Connection::on_range_locked() noexcept {
  Command& second = *fused_active_;
  Command& first = *second.partner;
  if (!may_respond() || !pair_still_right(first, second)) {
    fused_active_ = nullptr;
    fused_->lock.release();
    return;
  }
  enter_store(first);
  enter_store(second);
  first.scratch_segment = {fused_memory(limits::fused_per_queue), first.data.bytes};
  first.io.op = BlockOp::read;
  first.io.fua = false;
  first.io.segments = {&first.scratch_segment, 1};
  first.io.done = [](BlockIo& done) noexcept {
    auto& compared = *static_cast<Command*>(done.context);
    compared.connection.on_fused_read(compared);
  };
  first.backend->submit(shard_.reactor_index(), first.io);
}

void Connection::on_fused_read(Command& first) noexcept {
  Command& second = *first.partner;
  if (first.io.status != BlockStatus::ok) {
    finish_fused(refusal_of(first.io.status, true), failed_fused);
    return;
  }
  const void* given = first.own_segment.iov_base;
  if (std::memcmp(given, first.scratch_segment.iov_base, first.data.bytes) != 0) {
    finish_fused({StatusCode::compare_failure}, failed_fused);
    return;
  }
  if (!may_respond()) {  // Nobody would hear of the write, and it has not begun.
    finish_fused(success, failed_fused);
    return;
  }
  second.io.op = BlockOp::write;
  second.io.segments = second.segments();
  second.io.done = [](BlockIo& done) noexcept {
    auto& written = *static_cast<Command*>(done.context);
    written.connection.on_fused_written(written);
  };
  second.backend->submit(shard_.reactor_index(), second.io);
}

void Connection::on_fused_written(Command& second) noexcept {
  if (second.io.status == BlockStatus::ok) {
    shard_.counters().written_bytes.add(second.data.bytes);
  }
  finish_fused(success, refusal_of(second.io.status, false));
}

void Connection::finish_fused(Refusal of_first, Refusal of_second) noexcept {
  Command& second = *std::exchange(fused_active_, nullptr);
  Command& first = *second.partner;
  first.partner = second.partner = nullptr;
  fused_->lock.release();
  finish_at_store(first, of_first);
  finish_at_store(second, of_second);
}

}  // namespace ashlar::target
