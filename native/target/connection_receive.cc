// The receive side of a connection: bytes from the socket to capsules and data of commands.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/check.h"
#include "target/connection.h"
#include "target/shard.h"

namespace ashlar::target {

namespace {

constexpr tcp::Violation out_of_sequence{tcp::FatalErrorStatus::pdu_sequence_error, 0};
constexpr tcp::Violation out_of_range{tcp::FatalErrorStatus::data_transfer_out_of_range, 0};

constexpr tcp::Violation bad_field(size_t offset) noexcept {
  return {tcp::FatalErrorStatus::invalid_pdu_header_field, static_cast<uint32_t>(offset)};
}

// One piece, as it is no longer than one.
std::span<std::byte> whole(const BufferRequest& held) noexcept {
  static_assert(limits::long_receive_bytes <= ashlar::limits::max_buffer_piece_bytes);
  return {static_cast<std::byte*>(held.pieces[0].iov_base), held.pieces[0].iov_len};
}

}  // namespace

// ---- Bytes --------------------------------------------------------------------------------------

// Receives into the command whose data comes next when there is much of it, otherwise into rx_.
void Connection::post_receive() noexcept {
  if (receive_under_way_ || hold_ != Hold::none) return;
  if (!may_receive() && state_ != ConnectionState::terminating) return;
  CHECK(rx_begin_ == rx_end_);
  rx_begin_ = rx_end_ = 0;
  receive_direct_ = false;
  const uint32_t remaining = state_ == ConnectionState::live ? receiver_.data_remaining() : 0;
  if (remaining >= limits::direct_receive_bytes && sink_transfer_ != nullptr) {
    const uint32_t offset = sink_transfer_->offset_bytes + sink_transfer_->received_bytes;
    const auto to = contiguous_at(sink_->segments(), offset + pdu_data_seen_);
    receive_op_.into = to.first(std::min<size_t>(to.size(), remaining));
    receive_direct_ = true;
  } else {
    const std::span<std::byte> rx = choose_rx();
    rx_ = rx.data();
    // What comes with the header of much data is copied once more than the rest of it.
    receive_op_.into = transfers_under_way_ == 0
                           ? rx
                           : rx.first(std::min<size_t>(rx.size(), limits::short_receive_bytes));
  }
  receive_under_way_ = true;
  stream_->receive(receive_op_);
}

// Where the next bytes go. A queue that has filled its own memory borrows from the reactor's
// buffers, as one receive then brings more capsules, and gives back when it has less to say. Not
// while tenants share the reactor: what eight queues bring at once would be 100 us of copying,
// which no turn of share.h counts.
std::span<std::byte> Connection::choose_rx() noexcept {
  BufferPool& buffers = shard_.buffers();
  const bool is_long = rx_filled_ && !(tenant_ != nullptr && share_.contended());
  if (rx_borrowed_.held) {
    if (is_long) return whole(rx_borrowed_);
    buffers.release(rx_borrowed_);
  } else if (is_long && buffers.free_bytes() >= buffers.size_bytes() / 2) {
    rx_borrowed_.length_bytes = limits::long_receive_bytes;
    if (buffers.try_acquire(rx_borrowed_)) return whole(rx_borrowed_);
  }
  if (may_command() && rx_own_bytes_ < limits::receive_bytes) {
    rx_own_ = std::make_unique_for_overwrite<std::byte[]>(limits::receive_bytes);
    rx_own_bytes_ = limits::receive_bytes;
  }
  return {rx_own_.get(), rx_own_bytes_};
}

void Connection::on_received() noexcept {
  receive_under_way_ = false;
  if (state_ == ConnectionState::closing || state_ == ConnectionState::closed) return;
  if (receive_op_.result <= 0) {
    const bool orderly = receive_op_.result == 0 && receiver_.between_pdus();
    if (orderly || state_ == ConnectionState::terminating) {
      close(true, EndReason::disconnected, "the host closed the connection");
    } else if (receive_op_.result == 0) {
      close(false, EndReason::transport_error, "the host closed in the middle of a PDU");
    } else {
      char text[64];
      std::snprintf(text, sizeof text, "receive failed: errno %d",
                    static_cast<int>(-receive_op_.result));
      close(false, EndReason::transport_error, text);
    }
    return;
  }
  const auto bytes = static_cast<uint32_t>(receive_op_.result);
  received_ns_ = now_ns();
  received_total_ += bytes;
  if (state_ == ConnectionState::terminating) {
    post_receive();
    return;
  }
  if (receive_direct_) {
    // The memory is where the data belongs; only the receiver still has to see it.
    const tcp::Step step = receiver_.next(receive_op_.into.first(bytes));
    CHECK(step.kind == tcp::Step::Kind::data && step.consumed == bytes);
    handle_step(step);
  } else {
    rx_end_ = bytes;
    if (transfers_under_way_ == 0) rx_filled_ = bytes >= limits::receive_bytes;
  }
  pump();
}

// Runs what has come, then asks for more. After capsules_per_turn commands the loop gets its turn
// first: what is ready goes out while its data is in the CPU's cache and the host has nothing to
// do, and other connections need not wait for the rest.
void Connection::pump() noexcept {
  if (tenant_ == nullptr || !share_.contended()) {
    pump_units(limits::capsules_per_turn);
  } else if (const uint32_t units = linked() ? 0 : share_.take_turn(*tenant_); units > 0) {
    MeterPart& tenant = *tenant_;
    pump_units(std::min(units, limits::capsules_per_turn));
    share_.took_turn(tenant);
    // Not behind what others have to send.
    if (send_queue_.head != nullptr) flush_sends();
  } else {
    share_.wait_turn(*tenant_, *this);
  }
}

uint32_t Connection::pump_units(uint32_t most) noexcept {
  pumped_units_ = 0;
  while (may_receive() && hold_ == Hold::none) {
    const tcp::Step step =
        receiver_.next({rx_ + rx_begin_, static_cast<size_t>(rx_end_ - rx_begin_)});
    rx_begin_ += static_cast<uint32_t>(step.consumed);
    if (step.kind == tcp::Step::Kind::need_more) break;
    handle_step(step);
    if (step.kind == tcp::Step::Kind::header && ++pumped_units_ >= most && rx_begin_ != rx_end_) {
      go_on_later();
      return pumped_units_;
    }
  }
  if (may_receive() && !receiver_.between_pdus()) watch_for_stall();
  if (!may_receive()) rx_begin_ = rx_end_ = 0;
  post_receive();
  return pumped_units_;
}

// With what is still there, once others had their turn.
void Connection::go_on_later() noexcept {
  if (tenant_ != nullptr && share_.contended()) {
    share_.wait_turn(*tenant_, *this);
  } else {
    resume();
  }
}

// pump() goes on from the loop.
void Connection::resume() noexcept {
  if (!resume_task_.queued.load(std::memory_order_relaxed)) shard_.loop().defer(resume_task_);
}

void Connection::handle_step(const tcp::Step& step) noexcept {
  switch (step.kind) {
    case tcp::Step::Kind::need_more: CHECK(false); break;
    case tcp::Step::Kind::header: on_header(); break;
    case tcp::Step::Kind::data: on_data(step); break;
    case tcp::Step::Kind::end: on_pdu_end(step.data_digest_ok); break;
    case tcp::Step::Kind::violation: terminate(step.violation); break;
  }
}

// ---- PDUs ---------------------------------------------------------------------------------------

void Connection::on_header() noexcept {
  pdu_data_seen_ = 0;
  switch (receiver_.shape().type) {
    case tcp::PduType::ic_req: on_ic_req(); return;
    case tcp::PduType::capsule_cmd: on_capsule(); return;
    case tcp::PduType::h2c_data: on_h2c_data(); return;
    case tcp::PduType::h2c_term_req: {
      char text[96];
      std::snprintf(text, sizeof text, "the host sent H2CTermReq: FES %02Xh, FEI %Xh",
                    receiver_.term_req().fes, tcp::term_req_fei(receiver_.term_req()));
      close(true, EndReason::transport_error, text);
      return;
    }
    case tcp::PduType::ic_resp:
    case tcp::PduType::c2h_term_req:
    case tcp::PduType::capsule_resp:
    case tcp::PduType::c2h_data:
    case tcp::PduType::r2t: break;
  }
  CHECK(false);  // The receiver lets only PDUs to a controller through.
}

void Connection::on_ic_req() noexcept {
  CHECK(state_ == ConnectionState::await_ic_req);
  const tcp::IcReq& request = receiver_.ic_req();
  uint8_t dgst = 0;
  if (portal_->allow_header_digest) dgst |= request.dgst & tcp::digest_header;
  if (portal_->allow_data_digest) dgst |= request.dgst & tcp::digest_data;
  tcp::Framing framing;
  framing.hdgst = (dgst & tcp::digest_header) != 0;
  framing.ddgst = (dgst & tcp::digest_data) != 0;
  framing.hpda_bytes = tcp::alignment_bytes(request.hpda_0based);
  framing.maxh2cdata = limits::maxh2cdata_bytes;
  framing.max_in_capsule_bytes = limits::in_capsule_bytes;
  maxr2t_ = std::min(request.maxr2t_0based, limits::r2ts_per_command - 1) + 1;
  to_host_ = framing;
  receiver_.negotiated(framing);
  set_state(ConnectionState::await_connect);
  connect_by_ns_ = now_ns() + limits::connect_timeout_ns;
  shard_.loop().arm(state_timer_, connect_by_ns_);
  send_control_pdu(tcp::encode_ic_resp(control_pdu_, 0, dgst, limits::maxh2cdata_bytes));
}

// A whole CapsuleCmd header is here. Also called again when Hold::slot ends.
void Connection::on_capsule() noexcept {
  Command* slot = take_slot();
  if (slot == nullptr) {
    // A host may send the next command as soon as it has a response, which can be before we learn
    // that the response is out. Without such a response it has overrun its queue. A queue that has
    // still to authenticate has fewer slots than entries, and soon a response for each but one.
    if (sending_count_ != 0 || slots_ < entries_) {
      hold_ = Hold::slot;
    } else {
      terminate(out_of_sequence);
    }
    return;
  }
  Command& command = *slot;
  const uint32_t capsule_bytes = receiver_.shape().data_bytes;
  command.sqe = receiver_.capsule_cmd().sqe;
  command.request = IoRequest{};
  command.data = DataPlan{};
  command.skip_data = false;
  command.digest_failed = false;
  command.after = AfterResponse::go_on;
  command.response_data_bytes = 0;
  command.capsule_bytes = capsule_bytes;
  command.requested_bytes = command.received_bytes = 0;
  command.transfers = {};
  command.cursor = 0;
  command.arrived_ns = received_ns_;
  shard_.counters().commands.add(1);
  if (state_ == ConnectionState::live) {
    sq_head_ = static_cast<uint16_t>((sq_head_ + 1u) % entries_);
  }
  command.owns_cid = !cid_in_use(command.sqe.cid);
  if (!command.owns_cid) {
    miss_other_half();
    refuse(command, {nvme::StatusCode::command_id_conflict});
    return;
  }
  mark_cid(command.sqe.cid, true);
  if (state_ != ConnectionState::live) {
    dispatch_connect(command, capsule_bytes);
  } else if (!may_command()) {
    dispatch_unauthenticated(command, capsule_bytes);
  } else if (qid_ == 0) {
    dispatch_admin(command, capsule_bytes);
  } else {
    dispatch_io(command, capsule_bytes);
  }
}

// Answers a command that was not let in; what its capsule carries is read and thrown away first.
void Connection::refuse(Command& command, Refusal refusal, uint64_t result) noexcept {
  if (command.capsule_bytes == 0) {
    respond(command, refusal, result);
    return;
  }
  command.outcome = refusal;
  command.result = result;
  command.skip_data = true;
  command.set_state(CommandState::receiving);
  sink_ = &command;
  sink_transfer_ = nullptr;
}

void Connection::on_h2c_data() noexcept {
  if (state_ != ConnectionState::live) {
    terminate(out_of_sequence);
    return;
  }
  const tcp::H2CData& pdu = receiver_.h2c_data();
  const uint32_t slot = pdu.ttag / limits::r2ts_per_command;
  if (slot >= commands_.size() || commands_[slot].state() != CommandState::awaiting_data) {
    terminate(bad_field(offsetof(tcp::H2CData, ttag)));
    return;
  }
  Command& command = commands_[slot];
  Transfer& transfer = command.transfers[pdu.ttag % limits::r2ts_per_command];
  // An R2T that the host cannot have seen is not its to answer.
  if (!transfer.active || transfer.unsent) {
    terminate(bad_field(offsetof(tcp::H2CData, ttag)));
    return;
  }
  if (pdu.cccid != command.sqe.cid) {
    terminate(bad_field(offsetof(tcp::H2CData, cccid)));
    return;
  }
  // Data of one R2T comes in order and without gaps, and not beyond what was asked for.
  const uint32_t remaining = transfer.length_bytes - transfer.received_bytes;
  if (pdu.datao != transfer.offset_bytes + transfer.received_bytes || pdu.datal > remaining) {
    terminate(out_of_range);
    return;
  }
  const bool last = (pdu.ch.flags & tcp::flag_last) != 0;
  if (last != (pdu.datal == remaining)) {
    terminate(bad_field(offsetof(tcp::CommonHeader, flags)));
    return;
  }
  sink_ = &command;
  sink_transfer_ = &transfer;
}

void Connection::on_data(const tcp::Step& step) noexcept {
  CHECK(sink_ != nullptr);
  Command& command = *sink_;
  pdu_data_seen_ = step.data_offset + static_cast<uint32_t>(step.data.size());
  if (sink_transfer_ != nullptr) {
    command.progress_ns = now_ns();
    if (receive_direct_) return;
    copy_into(command.segments(),
              sink_transfer_->offset_bytes + sink_transfer_->received_bytes + step.data_offset,
              step.data);
    return;
  }
  if (command.skip_data) return;
  // The part of this piece that the SGL names: [from, to) of the capsule's data.
  const uint32_t from = std::max(step.data_offset, command.data.capsule_offset);
  const uint32_t to =
      std::min(pdu_data_seen_, command.data.capsule_offset + command.data.bytes);
  if (from >= to) return;
  copy_into(command.segments(), from - command.data.capsule_offset,
            step.data.subspan(from - step.data_offset, to - from));
}

void Connection::on_pdu_end(bool digest_ok) noexcept {
  CHECK(sink_ != nullptr);
  if (sink_transfer_ != nullptr) {
    on_transfer_end(digest_ok);
    return;
  }
  Command& command = *std::exchange(sink_, nullptr);
  if (command.skip_data) {
    respond(command, command.outcome, command.result);
    return;
  }
  command.digest_failed = !digest_ok;
  command.arrived_ns = received_ns_;
  execute(command);
}

void Connection::on_transfer_end(bool digest_ok) noexcept {
  Command& command = *std::exchange(sink_, nullptr);
  Transfer& transfer = *std::exchange(sink_transfer_, nullptr);
  transfer.received_bytes += pdu_data_seen_;
  command.received_bytes += pdu_data_seen_;
  if (!digest_ok) command.digest_failed = true;
  if (transfer.received_bytes < transfer.length_bytes) return;
  transfer.active = false;
  --transfers_under_way_;
  bool more_due = false;
  for (const Transfer& other : command.transfers) more_due = more_due || other.active;
  if (command.received_bytes == command.data.bytes || (command.digest_failed && !more_due)) {
    command.arrived_ns += received_ns_ - command.waits_since_ns;
    execute(command);
  } else if (!command.digest_failed) {
    issue_r2ts(command);
  }
}

}  // namespace ashlar::target
