// The sending half of Queue: command slots, capsules, H2CData.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "host/queue.h"

namespace ashlar::host {

namespace {

uint32_t total_bytes(std::span<const iovec> segments) noexcept {
  uint64_t total = 0;
  for (const iovec& segment : segments) total += segment.iov_len;
  CHECK(total <= UINT32_MAX);
  return static_cast<uint32_t>(total);
}

constexpr uint8_t psdt_sgl = 1 << 6;

}  // namespace

void Queue::submit(Command& command) noexcept {
  CHECK(command.done != nullptr);
  CHECK(command.data_out.empty() || command.data_in.empty());
  CHECK(command.data_out.size() <= max_command_segments);
  command.fate = Fate::pending;
  command.data_in_bytes = 0;
  if (state_ != State::live) {
    untaken_.push_back(command);
    if (!refuse_task_.queued.load(std::memory_order_relaxed)) loop_.defer(refuse_task_);
    return;
  }
  enqueue(command);
}

void Queue::enqueue(Command& command) noexcept {
  if (free_slots_.empty()) {
    waiting_.push_back(command);
    return;
  }
  Slot& slot = slots_[free_slots_.back()];
  free_slots_.pop_back();
  assign(slot, command);
}

void Queue::assign(Slot& slot, Command& command) noexcept {
  CHECK(slot.command == nullptr && !slot.linked());
  // The next generation, so that an answer to the slot's last command finds nobody.
  slot.cid = static_cast<uint16_t>(slot.cid + (1u << slot_bits));
  slot.command = &command;
  slot.capsule_sent = slot.in_batch = slot.answered = false;
  slot.digest_failed = slot.last_data_seen = slot.timed = false;
  slot.out_bytes = total_bytes(command.data_out);
  slot.in_bytes = total_bytes(command.data_in);
  slot.out_sent = slot.r2t_end = 0;
  slot.received = slot.in_segment = 0;
  slot.in_segment_offset = 0;
  command.sqe.cid = slot.cid;
  out_.push_back(slot);
  schedule_flush();
}

// Commands submitted in one turn of the loop leave in one send.
void Queue::schedule_flush() noexcept {
  if (!sending_ && !flush_task_.queued.load(std::memory_order_relaxed)) {
    loop_.defer(flush_task_);
  }
}

void Queue::flush() noexcept {
  if (sending_) return;
  if (state_ == State::terminating) {
    batch_.clear();
    batch_slot_count_ = 0;
    batch_.add_header(tcp::encode_term_req(batch_.header_room(), tcp::Role::host, violation_,
                                           receiver_.header_bytes()));
    term_req_sent_ = true;
  } else if (state_ == State::joining || state_ == State::live) {
    if (out_.empty()) return;
    batch_.clear();
    batch_slot_count_ = 0;
    while (batch_.has_room() && !out_.empty()) {
      Slot& slot = *out_.pop_front();
      if (slot.capsule_sent) {
        put_h2c_data(slot);
      } else {
        put_capsule(slot);
      }
    }
    stamp_deadlines();
  } else {
    return;
  }
  sending_ = true;
  send_op_.segments = batch_.segments();
  stream_->send(send_op_);
}

void Queue::put_capsule(Slot& slot) noexcept {
  Command& command = *slot.command;
  const tcp::Framing& framing = receiver_.framing();
  // Fabrics commands and the admin queue have 8 KiB in the capsule, whatever IOCCSZ says.
  const bool fabrics = command.sqe.opcode == static_cast<uint8_t>(nvme::AdminOpcode::fabrics);
  const uint32_t room =
      options_.qid == 0 || fabrics ? tcp::admin_in_capsule_bytes : options_.in_capsule_bytes;
  const bool in_capsule = slot.out_bytes != 0 && slot.out_bytes <= room;
  command.sqe.flags = static_cast<uint8_t>((command.sqe.flags & 0x3f) | psdt_sgl);
  command.sqe.sgl = {};
  command.sqe.sgl.length = in_capsule || slot.out_bytes != 0 ? slot.out_bytes : slot.in_bytes;
  command.sqe.sgl.type_subtype =
      in_capsule ? nvme::sgl_data_block_offset : nvme::sgl_transport_data_block;
  const uint32_t carried = in_capsule ? slot.out_bytes : 0;
  batch_.add_header(tcp::encode_capsule_cmd(batch_.header_room(), framing, command.sqe, carried));
  if (in_capsule) {
    batch_.add_data(command.data_out, 0, carried, framing.ddgst);
    slot.out_sent = slot.r2t_end = carried;
  }
  slot.capsule_sent = true;
  slot.in_batch = true;
  batch_slots_[batch_slot_count_++] = &slot;
  // An Asynchronous Event Request is answered when there is an event, if ever.
  const bool waits_for_event =
      options_.qid == 0 &&
      command.sqe.opcode == static_cast<uint8_t>(nvme::AdminOpcode::async_event_request);
  slot.timed = options_.command_timeout_ns != 0 && state_ == State::live && !waits_for_event;
}

void Queue::put_h2c_data(Slot& slot) noexcept {
  const tcp::Framing& framing = receiver_.framing();
  const uint32_t left = slot.r2t_end - slot.out_sent;
  // A piece also leaves room for others in the batch: MAXH2CDATA may be the whole command.
  const uint32_t length = std::min({left, framing.maxh2cdata, max_batch_data_bytes});
  const bool last = length == left;
  batch_.add_header(tcp::encode_h2c_data(batch_.header_room(), framing, slot.cid, slot.ttag,
                                         slot.out_sent, length, last));
  batch_.add_data(slot.command->data_out, slot.out_sent, length, framing.ddgst);
  slot.out_sent += length;
  if (!slot.in_batch) {
    slot.in_batch = true;
    batch_slots_[batch_slot_count_++] = &slot;
  }
  if (!last) out_.push_back(slot);
}

void Queue::send_done() noexcept {
  sending_ = false;
  const bool whole = send_op_.result >= 0;
  if (state_ == State::closing) return;  // stream_closed() tells everybody.
  if (!whole) {
    if (state_ == State::terminating) {
      loop_.cancel(timer_);
      set_state(State::closing);
      stream_->close(false, closed_task_);
    } else {
      end(error_from_errno(static_cast<int>(-send_op_.result), "sending to the controller"), false);
    }
    return;
  }
  const uint32_t count = std::exchange(batch_slot_count_, 0);
  for (uint32_t i = 0; i < count; ++i) batch_slots_[i]->in_batch = false;
  if (state_ == State::terminating) {
    // After the TermReq the controller closes, or the timer does. Closing now, with bytes unread,
    // would reset the connection and could destroy the TermReq on its way.
    if (!term_req_sent_) flush();
    return;
  }
  for (uint32_t i = 0; i < count && open(); ++i) {
    Slot& slot = *batch_slots_[i];
    if (slot.answered) {
      slot.answered = false;
      finish(slot, Fate::completed);
    }
  }
  if (open()) schedule_flush();
}

// The last that this slot does for its command; the slot goes to who waits longest.
void Queue::finish(Slot& slot, Fate fate) noexcept {
  CHECK(slot.command != nullptr && !slot.in_batch);
  Command& command = *std::exchange(slot.command, nullptr);
  if (slot.linked()) out_.remove(slot);
  if (data_slot_ == &slot) data_slot_ = nullptr;
  command.fate = fate;
  command.data_in_bytes = slot.received;
  if (state_ == State::live && !waiting_.empty()) {
    assign(slot, *waiting_.pop_front());
  } else {
    free_slots_.push_back(static_cast<uint16_t>(&slot - slots_.data()));
  }
  command.done(command);
}

// One timer for the queue looks at all slots every quarter of the timeout: a command is noticed at
// most that much late, and sending one costs no timer.
void Queue::stamp_deadlines() noexcept {
  if (options_.command_timeout_ns == 0 || state_ != State::live) return;
  const uint64_t now_ns = loop_.clock().now_ns();
  for (uint32_t i = 0; i < batch_slot_count_; ++i) {
    batch_slots_[i]->deadline_ns = now_ns + options_.command_timeout_ns;
  }
  if (!timer_.armed()) loop_.arm(timer_, now_ns + options_.command_timeout_ns / 4 + 1);
}

}  // namespace ashlar::host
