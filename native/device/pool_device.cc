#include "device/pool_device.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace ashlar {

void PoolFailures::mark(uint32_t member, int reason) noexcept {
  int none = 0;
  reasons_[member].compare_exchange_strong(none, reason, std::memory_order_acq_rel);
  const uint32_t bit = 1u << member;
  const uint32_t before = failed_.fetch_or(bit, std::memory_order_seq_cst);
  if ((before & bit) == 0 && reason != 0 && told != nullptr) told(context);
}

void PoolDevice::Queue::push(DeviceOp& op) noexcept {
  op.next = nullptr;
  (head == nullptr ? head : tail->next) = &op;
  tail = &op;
}

DeviceOp* PoolDevice::Queue::pop() noexcept {
  DeviceOp* op = head;
  if (op != nullptr) head = op->next;
  return op;
}

PoolDevice::PoolDevice(Loop& loop, Device& first, PoolFailures& failures)
    : loop_(loop), failures_(failures) {
  for (uint32_t i = 0; i < limits::pool_members; ++i) {
    members_[i].pool = this;
    members_[i].index = i;
  }
  members_[0].channel = &first;
  for (Flush& flush : flushes_) flush.pool = this;
  for (Split& split : splits_) split.pool = this;
  teller_.pool = this;
  teller_.run = [](Task& task) noexcept { static_cast<Teller&>(task).pool->tell(); };
  measure();
}

PoolDevice::~PoolDevice() {
  CHECK(answered_.head == nullptr && waiting_flushes_.head == nullptr &&
        waiting_splits_.head == nullptr);
  for (const Flush& flush : flushes_) CHECK(flush.left == 0);
  for (const Split& split : splits_) CHECK(split.whole == nullptr);
}

// ---- Members ------------------------------------------------------------------------------------

void PoolDevice::add_member(uint64_t offset_bytes, uint64_t length_bytes,
                            Device* channel) noexcept {
  CHECK(count_ < limits::pool_members);
  Member& before = members_[count_ - 1];
  // The first one ends where the second begins: a part of a chunk at its end is nobody's.
  if (count_ == 1) before.end_byte = offset_bytes;
  CHECK(before.first_byte < offset_bytes && before.end_byte == offset_bytes);
  Member& member = members_[count_];
  member.channel = channel;
  member.first_byte = offset_bytes;
  member.end_byte = offset_bytes + length_bytes;
  ++count_;
  measure();
}

void PoolDevice::attach(uint32_t member, Device& channel) noexcept {
  CHECK(member < count_ && members_[member].channel == nullptr);
  members_[member].channel = &channel;
  measure();
}

void PoolDevice::measure() noexcept {
  geometry_ = members_[0].channel->geometry();
  for (uint32_t i = 1; i < count_; ++i) {
    const Member& member = members_[i];
    geometry_.size_bytes = member.end_byte;
    if (member.channel == nullptr) continue;
    const DeviceGeometry& is = member.channel->geometry();
    geometry_.logical_block_bytes = std::max(geometry_.logical_block_bytes, is.logical_block_bytes);
    geometry_.memory_alignment_bytes =
        std::max(geometry_.memory_alignment_bytes, is.memory_alignment_bytes);
    geometry_.atomic_write_bytes = std::min(geometry_.atomic_write_bytes, is.atomic_write_bytes);
    geometry_.discard = geometry_.discard || is.discard;
    geometry_.volatile_cache = geometry_.volatile_cache || is.volatile_cache;
  }
}

KillSafeMemory PoolDevice::kill_safe_memory(uint64_t offset_bytes, uint64_t length_bytes) {
  return members_[0].channel->kill_safe_memory(offset_bytes, length_bytes);
}

// Null: beyond the last member.
PoolDevice::Member* PoolDevice::member_at(uint64_t offset) noexcept {
  Member* const end = members_.data() + count_;
  Member* const found = std::upper_bound(
      members_.data(), end, offset,
      [](uint64_t at, const Member& member) { return at < member.end_byte; });
  return found == end ? nullptr : found;
}

bool PoolDevice::takes_part(const Member& member) const noexcept {
  return member.index == 0 || (member.channel != nullptr && !failures_.failed(member.index));
}

// ---- Operations that lie in one member ----------------------------------------------------------

void PoolDevice::submit(DeviceOp& op) noexcept {
  CHECK(op.done != nullptr);
  if (op.kind == DeviceOpKind::flush) return submit_flush(op);
  if (count_ == 1) return hand_on(members_[0], op);
  Member* const member = member_at(op.offset_bytes);
  if (member == nullptr) return answer(op, -EIO);
  if (op.length_bytes > member->end_byte - op.offset_bytes) return submit_split(op);
  hand_on(*member, op);
}

void PoolDevice::hand_on(Member& member, DeviceOp& op) noexcept {
  if (!takes_part(member)) return answer(op, -EIO);
  if (op.kind == DeviceOpKind::discard && !member.channel->geometry().discard) {
    return answer(op, 0);  // A hint that this one cannot follow.
  }
  op.submitted.done = std::exchange(op.done, &PoolDevice::handed_back);
  op.submitted.context = std::exchange(op.context, &member);
  op.submitted.offset_bytes = op.offset_bytes;
  op.offset_bytes -= member.first_byte;
  member.channel->submit(op);
}

void PoolDevice::handed_back(DeviceOp& op) noexcept {
  Member& member = *static_cast<Member*>(op.context);
  op.done = op.submitted.done;
  op.context = op.submitted.context;
  op.offset_bytes = op.submitted.offset_bytes;
  if (op.result != 0) {
    // Each counter is written by this thread only.
    std::atomic<uint64_t>* const errors =
        op.kind == DeviceOpKind::read ? &member.read_errors : &member.write_errors;
    const bool full = op.result == -ENOSPC || op.result == -EDQUOT;
    if (op.kind != DeviceOpKind::discard && !full) {
      errors->store(errors->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
  } else if (op.kind == DeviceOpKind::write && member.index > 0 &&
             member.pool->failures_.failed(member.index)) {
    // No flush goes there any more, so that this write can never be made durable.
    op.result = -EIO;
  }
  op.done(op);
}

void PoolDevice::answer(DeviceOp& op, int result) noexcept {
  op.result = result;
  answered_.push(op);
  if (!teller_.queued.load(std::memory_order_relaxed)) loop_.defer(teller_);
}

void PoolDevice::tell() noexcept {
  Queue batch = std::exchange(answered_, {});
  while (DeviceOp* op = batch.pop()) op->done(*op);  // May submit more, told next turn.
}

// ---- Flushes ------------------------------------------------------------------------------------

void PoolDevice::submit_flush(DeviceOp& op) noexcept {
  uint32_t others = 0;
  for (uint32_t i = 1; i < count_; ++i) others += takes_part(members_[i]) ? 1 : 0;
  if (others == 0) return hand_on(members_[0], op);
  for (Flush& flush : flushes_) {
    if (flush.left != 0) continue;
    flush.told.push(op);
    begin_flush(flush);
    return;
  }
  waiting_flushes_.push(op);
}

void PoolDevice::begin_flush(Flush& flush) noexcept {
  flush.result = 0;
  // All counted first, so that none ends the whole before the last one is out.
  std::array<bool, limits::pool_members> goes{};
  for (uint32_t i = 0; i < count_; ++i) {
    goes[i] = takes_part(members_[i]);
    flush.left += goes[i] ? 1 : 0;
  }
  for (uint32_t i = 0; i < count_; ++i) {
    if (!goes[i]) continue;
    DeviceOp& op = flush.ops[i];
    op = DeviceOp{};
    op.kind = DeviceOpKind::flush;
    op.context = &flush;
    op.done = [](DeviceOp& done) noexcept {
      Flush& whole = *static_cast<Flush*>(done.context);
      const auto member = static_cast<uint32_t>(&done - whole.ops.data());
      if (member == 0) {
        whole.result = done.result;
      } else if (done.result != 0) {
        whole.pool->failures_.mark(member, done.result);
      }
      if (--whole.left == 0) whole.pool->flush_ended(whole);
    };
    hand_on(members_[i], op);
  }
}

void PoolDevice::flush_ended(Flush& flush) noexcept {
  Queue told = std::exchange(flush.told, {});
  const int result = flush.result;
  if (waiting_flushes_.head != nullptr) {
    flush.told = std::exchange(waiting_flushes_, {});
    begin_flush(flush);
  }
  while (DeviceOp* op = told.pop()) {
    op->result = result;
    op->done(*op);  // May submit another.
  }
}

// ---- Operations over several members ------------------------------------------------------------

void PoolDevice::submit_split(DeviceOp& op) noexcept {
  for (Split& split : splits_) {
    if (split.whole != nullptr) continue;
    split.whole = &op;
    split.done_bytes = 0;
    split.segment = 0;
    split.segment_offset = 0;
    next_piece(split);
    return;
  }
  waiting_splits_.push(op);
}

void PoolDevice::next_piece(Split& split) noexcept {
  const DeviceOp& whole = *split.whole;
  const uint64_t offset = whole.offset_bytes + split.done_bytes;
  DeviceOp& piece = split.piece;
  piece = DeviceOp{};
  piece.kind = whole.kind;
  piece.durable = whole.durable;
  piece.offset_bytes = offset;
  piece.context = &split;
  piece.done = [](DeviceOp& op) noexcept {
    Split& self = *static_cast<Split*>(op.context);
    self.pool->piece_ended(self);
  };
  Member* const member = member_at(offset);
  const uint64_t left = whole.length_bytes - split.done_bytes;
  if (member == nullptr) {
    piece.length_bytes = left;
    return answer(piece, -EIO);
  }
  const uint64_t length = std::min(left, member->end_byte - offset);
  if (whole.kind == DeviceOpKind::discard) {
    piece.length_bytes = length;
  } else {
    cut_segments(split, length);
  }
  hand_on(*member, piece);
}

// Up to `length` bytes of the whole's memory become the piece's; fewer when its segments are many.
void PoolDevice::cut_segments(Split& split, uint64_t length) noexcept {
  const std::span<const iovec> all = split.whole->segments;
  size_t count = 0;
  uint64_t cut = 0;
  while (cut < length && count < split.segments.size()) {
    CHECK(split.segment < all.size());
    const iovec& from = all[split.segment];
    const uint64_t part =
        std::min<uint64_t>(from.iov_len - split.segment_offset, length - cut);
    split.segments[count++] =
        iovec{static_cast<std::byte*>(from.iov_base) + split.segment_offset, part};
    cut += part;
    split.segment_offset += part;
    if (split.segment_offset == from.iov_len) {
      ++split.segment;
      split.segment_offset = 0;
    }
  }
  split.piece.length_bytes = cut;
  split.piece.segments = std::span<const iovec>(split.segments.data(), count);
}

void PoolDevice::piece_ended(Split& split) noexcept {
  split.done_bytes += split.piece.length_bytes;
  // A discard is a hint for each member; a transfer ends with its first error.
  const bool broken = split.piece.result != 0 && split.piece.kind != DeviceOpKind::discard;
  if (!broken && split.done_bytes < split.whole->length_bytes) return next_piece(split);
  DeviceOp& whole = *std::exchange(split.whole, nullptr);
  whole.result = broken ? split.piece.result : 0;
  if (DeviceOp* next = waiting_splits_.pop(); next != nullptr) submit_split(*next);
  whole.done(whole);
}

}  // namespace ashlar
