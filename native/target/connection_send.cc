// The send side of a connection: what is ready in one turn of the loop leaves in one send, data
// straight from the memory it is in.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/copy.h"
#include "target/connection.h"
#include "target/shard.h"

namespace ashlar::target {

// The command is done; `outcome` goes to the host, and data with it when it succeeded.
void Connection::respond(Command& command, Refusal outcome, uint64_t result) noexcept {
  command.outcome = outcome;
  command.result = result;
  if (outcome.status != nvme::StatusCode::success) {
    command.response_data_bytes = 0;
    // Who has not authenticated does not write into the log of who has.
    if (controller_ != nullptr && gate_ == Gate::open && belongs_in_error_log(outcome.status)) {
      controller_->errors.add(error_record(qid_, command.sqe, outcome));
    }
  }
  command.set_state(CommandState::responding);
  if (command.response_data_bytes == 0) give_back(command);
  if (command.service_units != 0) command.part->leave_service(share_, command);
  if (command.part != nullptr && command.table != namespaces_.get()) {
    answer_ns_ = 0;
    count_answer(command);
  }
  if (may_respond()) {
    enqueue_send(command);
  } else {
    unmeter(command);
  }
}

void Connection::enqueue_send(Command& command) noexcept {
  if (command.queued_to_send) return;
  command.queued_to_send = true;
  send_queue_.push(command);
  schedule_send();
}

void Connection::send_control_pdu(uint32_t bytes) noexcept {
  control_pdu_bytes_ = bytes;
  schedule_send();
}

// Waits for the end of the turn, so that everything that becomes ready in it goes out together.
void Connection::schedule_send() noexcept {
  if (send_under_way_ || flush_task_.queued.load(std::memory_order_relaxed)) return;
  if (state_ == ConnectionState::closing || state_ == ConnectionState::closed) return;
  shard_.loop().defer(flush_task_);
}

bool Connection::send_has_room() const noexcept {
  // A command puts a header, its data, a digest and a CapsuleResp; or as many R2Ts.
  constexpr size_t headers = 2 * tcp::max_header_bytes;
  return send_segments_.size() - send_segments_used_ >= limits::segments_per_pdu &&
         send_headers_.size() - send_headers_used_ >= headers &&
         send_bytes_ < limits::send_data_bytes;
}

void Connection::flush_sends() noexcept {
  if (send_under_way_) return;
  const bool terminating = state_ == ConnectionState::terminating;
  if (!may_respond() && !terminating) return;
  if (may_command() && send_headers_.size() < limits::send_header_bytes) {
    send_headers_.resize(limits::send_header_bytes);
    send_segments_.resize(limits::send_segments);
  }
  send_headers_used_ = send_segments_used_ = send_bytes_ = 0;
  answer_ns_ = 0;
  send_has_loans_ = false;
  if (control_pdu_bytes_ != 0) {
    put_segment(control_pdu_.data(), std::exchange(control_pdu_bytes_, 0));
  }
  while (!terminating && send_queue_.head != nullptr && send_has_room()) {
    Command& command = *send_queue_.pop();
    command.queued_to_send = false;
    if (command.state() == CommandState::responding) {
      put_response(command);
    } else {
      put_r2ts(command);
    }
  }
  if (send_segments_used_ == 0) return;
  if (std::exchange(wrote_in_place_, false)) fence_copies();
  send_op_.segments = {send_segments_.data(), send_segments_used_};
  if (send_has_loans_ && send_lent()) return;
  send_under_way_ = true;
  stream_->send(send_op_);
  watch_for_stall();
}

// Sends what the socket takes now. What it does not take leaves the backend's memory before
// anything else runs. False: the rest is in send_op_.
bool Connection::send_lent() noexcept {
  const int64_t sent = stream_->send_now(send_op_.segments);
  size_t left = sent > 0 ? static_cast<size_t>(sent) : 0;
  const bool all = left == send_bytes_;
  for (Command* command = sent_.head; command != nullptr; command = command->next) {
    if (!command->lent) continue;
    if (!all) take_home(*command);
    end_loan(*command);
  }
  if (all) {
    send_op_.result = sent;
    on_sent();
    return true;
  }
  auto rest = std::span<iovec>(send_segments_).first(send_segments_used_);
  while (left >= rest.front().iov_len) {
    left -= rest.front().iov_len;
    rest = rest.subspan(1);
  }
  rest.front().iov_base = static_cast<std::byte*>(rest.front().iov_base) + left;
  rest.front().iov_len -= left;
  send_op_.segments = rest;
  return false;
}

// Copies lent data into the command's own buffer, and has the send under way take it from there.
void Connection::take_home(Command& command) noexcept {
  auto* home = static_cast<std::byte*>(command.buffers.pieces[0].iov_base);
  for (uint32_t i = 0; i < command.loan().piece_count; ++i) {
    iovec& segment = send_segments_[command.loan_segment + i];
    std::memcpy(home, segment.iov_base, segment.iov_len);
    segment.iov_base = home;
    home += segment.iov_len;
  }
}

// Nothing is sent any more: the backend has its memory back.
void Connection::end_loans() noexcept {
  for (Command& command : commands_) {
    if (command.lent) end_loan(command);
  }
}

void Connection::put_segment(const void* base, size_t length) noexcept {
  send_bytes_ += length;
  if (send_segments_used_ != 0 && base > send_headers_.data() &&
      base < send_headers_.data() + send_headers_.size()) {
    // Headers lie one behind the other: one segment for all of a run of CapsuleResps.
    iovec& previous = send_segments_[send_segments_used_ - 1];
    if (static_cast<const std::byte*>(previous.iov_base) + previous.iov_len == base) {
      previous.iov_len += length;
      return;
    }
  }
  CHECK(send_segments_used_ < send_segments_.size());
  send_segments_[send_segments_used_++] = {const_cast<void*>(base), length};
}

std::span<std::byte> Connection::header_room() noexcept {
  return std::span<std::byte>(send_headers_).subspan(send_headers_used_);
}

void Connection::put_response(Command& command) noexcept {
  command.set_state(CommandState::sending);
  ++sending_count_;
  if (command.part != nullptr) count_answer(command);
  if (command.owns_cid) mark_cid(command.sqe.cid, false);
  sent_.push(command);
  const uint32_t data_bytes = command.response_data_bytes;
  bool answered = false;
  if (data_bytes != 0) {
    // 3.6.2.10: SUCCESS stands for a completion of zeroes, so there must be nothing else to say;
    // SQHD is something to say unless the host does without SQ flow control.
    answered = sqflow_disabled_ && command.result == 0;
    const auto out = header_room();
    const uint32_t bytes = tcp::encode_c2h_data(out, to_host_, command.sqe.cid, 0, data_bytes,
                                                true, answered);
    put_segment(out.data(), bytes);
    send_headers_used_ += bytes;
    tcp::DataDigest digest;
    uint32_t left = data_bytes;
    if (command.lent) {
      send_has_loans_ = true;
      command.loan_segment = static_cast<uint16_t>(send_segments_used_);
    }
    for (const iovec& segment : command.lent ? command.loan().segments() : command.segments()) {
      const size_t length = std::min<size_t>(segment.iov_len, left);
      if (length == 0) break;
      put_segment(segment.iov_base, length);
      if (to_host_.ddgst) digest.update({static_cast<std::byte*>(segment.iov_base), length});
      left -= static_cast<uint32_t>(length);
    }
    CHECK(left == 0);
    if (to_host_.ddgst) {
      const uint32_t value = digest.value();
      const auto at = header_room();
      std::memcpy(at.data(), &value, sizeof value);
      put_segment(at.data(), sizeof value);
      send_headers_used_ += sizeof value;
    }
  }
  if (answered) return;
  nvme::Cqe cqe{};
  cqe.result = command.result;
  cqe.sqhd = sqflow_disabled_ ? nvme::sqhd_flow_disabled : sq_head_;
  cqe.cid = command.sqe.cid;
  cqe.status = nvme::status_field(command.outcome.status, command.outcome.do_not_retry);
  const auto out = header_room();
  const uint32_t bytes = tcp::encode_capsule_resp(out, to_host_, cqe);
  put_segment(out.data(), bytes);
  send_headers_used_ += bytes;
}

void Connection::put_r2ts(Command& command) noexcept {
  for (uint32_t i = 0; i < command.transfers.size(); ++i) {
    Transfer& transfer = command.transfers[i];
    if (!transfer.unsent) continue;
    transfer.unsent = false;
    const auto ttag = static_cast<uint16_t>(command.index * limits::r2ts_per_command + i);
    const auto out = header_room();
    const uint32_t bytes = tcp::encode_r2t(out, to_host_, command.sqe.cid, ttag,
                                           transfer.offset_bytes, transfer.length_bytes);
    put_segment(out.data(), bytes);
    send_headers_used_ += bytes;
  }
}

void Connection::on_sent() noexcept {
  send_under_way_ = false;
  ++sent_total_;
  if (state_ == ConnectionState::closing || state_ == ConnectionState::closed) return;
  if (send_op_.result < 0) {
    char text[64];
    std::snprintf(text, sizeof text, "send failed: errno %d", static_cast<int>(-send_op_.result));
    close(false, EndReason::transport_error, text);
    return;
  }
  AfterResponse after = AfterResponse::go_on;
  while (Command* command = sent_.pop()) {
    if (command->after != AfterResponse::go_on) after = command->after;
    --sending_count_;
    free_slot(*command);
  }
  switch (after) {
    case AfterResponse::go_on: break;
    case AfterResponse::disconnect:
      close(true, EndReason::disconnected, "the host sent Disconnect");
      return;
    case AfterResponse::refuse:
      close(true, EndReason::not_authenticated, "the host failed to authenticate");
      return;
    case AfterResponse::give_up:
      close(true, EndReason::transport_error, "no Connect command that is accepted in time");
      return;
  }
  if (hold_ == Hold::slot && free_ != nullptr && may_receive()) {
    hold_ = Hold::none;
    on_capsule();
    pump();
  }
  if (send_queue_.head != nullptr || control_pdu_bytes_ != 0) schedule_send();
}

}  // namespace ashlar::target
