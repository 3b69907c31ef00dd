// The receiving half of Queue. Everything here was sent by the controller and is not believed:
// the decoders have checked each PDU by itself; here it is checked against what the host asked for.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "host/queue.h"

namespace ashlar::host {

namespace {

using tcp::FatalErrorStatus;

// The field of a PDU to the host that names the command.
constexpr uint32_t at_cccid = offsetof(tcp::C2HData, cccid);
static_assert(at_cccid == offsetof(tcp::R2T, cccid));

constexpr tcp::Violation unknown_command{FatalErrorStatus::invalid_pdu_header_field, at_cccid};

}  // namespace

void Queue::start_receive() noexcept {
  receive_op_.into = receive_buffer_;
  // A long stretch of data goes straight to its place.
  const uint32_t remaining = receiver_.data_remaining();
  if (data_slot_ != nullptr && remaining >= direct_receive_bytes) {
    const std::span<std::byte> place = destination(*data_slot_);
    if (place.size() >= direct_receive_bytes) {
      receive_op_.into = place.first(std::min<size_t>(place.size(), remaining));
    }
  }
  stream_->receive(receive_op_);
}

void Queue::received() noexcept {
  if (state_ == State::terminating) {
    if (receive_op_.result > 0) {
      start_receive();
      return;
    }
    loop_.cancel(timer_);
    set_state(State::closing);
    stream_->close(false, closed_task_);
    return;
  }
  if (!open()) return;  // Closing: the data has no taker any more.
  if (receive_op_.result <= 0) {
    if (receive_op_.result == 0) {
      end({ErrorCode::connection_lost,
           options_.address.host + ":" + std::to_string(options_.address.port) + " queue " +
               std::to_string(options_.qid) + ": the controller closed the connection"},
          false);
    } else {
      Error error =
          error_from_errno(static_cast<int>(-receive_op_.result), "receiving from the controller");
      error.code = ErrorCode::connection_lost;
      end(std::move(error), false);
    }
    return;
  }
  take(receive_op_.into.first(static_cast<size_t>(receive_op_.result)));
  if (open() || state_ == State::terminating) start_receive();
}

void Queue::take(std::span<const std::byte> input) noexcept {
  while (open()) {
    const tcp::Step step = receiver_.next(input);
    input = input.subspan(step.consumed);
    switch (step.kind) {
      case tcp::Step::Kind::need_more: return;
      case tcp::Step::Kind::header: take_header(); break;
      case tcp::Step::Kind::data: take_c2h_data(step); break;
      case tcp::Step::Kind::end: take_c2h_end(step.data_digest_ok); break;
      case tcp::Step::Kind::violation:
        terminate(step.violation, "the controller sent a wrong PDU");
        return;
    }
  }
}

void Queue::take_header() noexcept {
  switch (receiver_.shape().type) {
    case tcp::PduType::ic_resp: take_ic_resp(); return;
    case tcp::PduType::capsule_resp: take_capsule_resp(); return;
    case tcp::PduType::c2h_data: take_c2h_header(); return;
    case tcp::PduType::r2t: take_r2t(); return;
    case tcp::PduType::c2h_term_req: {
      const tcp::TermReq& term = receiver_.term_req();
      end({ErrorCode::protocol_error,
           options_.address.host + ":" + std::to_string(options_.address.port) + " queue " +
               std::to_string(options_.qid) +
               ": the controller ended the connection with fatal error status " +
               std::to_string(term.fes) + ", field " + std::to_string(tcp::term_req_fei(term))},
          false);
      return;
    }
    case tcp::PduType::ic_req:
    case tcp::PduType::h2c_term_req:
    case tcp::PduType::capsule_cmd:
    case tcp::PduType::h2c_data: CHECK(false);  // The receiver lets none through to a host.
  }
}

void Queue::take_ic_resp() noexcept {
  CHECK(state_ == State::exchanging);
  const tcp::IcResp& response = receiver_.ic_resp();
  tcp::Framing framing;
  framing.hdgst = (response.dgst & tcp::digest_header) != 0;
  framing.ddgst = (response.dgst & tcp::digest_data) != 0;
  framing.cpda_bytes = tcp::alignment_bytes(response.cpda_0based);
  framing.hpda_bytes = tcp::alignment_bytes(options_.hpda_0based);
  framing.maxh2cdata = response.maxh2cdata;
  framing.max_in_capsule_bytes = std::max(tcp::admin_in_capsule_bytes, options_.in_capsule_bytes);
  receiver_.negotiated(framing);
  send_connect_command();
}

Queue::Slot* Queue::find(uint16_t cid) noexcept {
  const uint32_t index = cid & (max_queue_entries - 1);
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  const bool expects = slot.command != nullptr && slot.capsule_sent && !slot.answered;
  return expects && slot.cid == cid ? &slot : nullptr;
}

void Queue::take_capsule_resp() noexcept {
  const nvme::Cqe& cqe = receiver_.capsule_resp().cqe;
  Slot* slot = find(cqe.cid);
  if (slot == nullptr) {
    terminate({FatalErrorStatus::invalid_pdu_header_field,
               offsetof(tcp::CapsuleResp, cqe) + offsetof(nvme::Cqe, cid)},
              "the controller completed a command that is not under way");
    return;
  }
  answer(*slot, cqe);
}

void Queue::answer(Slot& slot, const nvme::Cqe& cqe) noexcept {
  slot.command->cqe = cqe;
  if (slot.digest_failed) {
    // What came is not what was sent: whatever the controller says, the data is not to be used.
    slot.command->cqe.status =
        nvme::status_field(nvme::StatusCode::transient_transport_error, false);
  }
  if (slot.linked()) out_.remove(slot);  // The controller wants no more of its data.
  if (slot.in_batch) {
    slot.answered = true;  // The send under way still reads its memory; send_done() moves on.
    return;
  }
  finish(slot, Fate::completed);
}

void Queue::take_r2t() noexcept {
  const tcp::R2T& r2t = receiver_.r2t();
  Slot* slot = find(r2t.cccid);
  if (slot == nullptr || slot->out_bytes == 0) {
    terminate(unknown_command, "the controller asked for data of a command that has none");
    return;
  }
  if (slot->out_sent != slot->r2t_end) {
    terminate({FatalErrorStatus::data_transfer_limit_exceeded, 0},
              "the controller sent more R2Ts at once than ICReq allowed");
    return;
  }
  // In order and within the command; the decoder has made sure that the sum does not wrap.
  if (r2t.r2to != slot->out_sent || r2t.r2to + r2t.r2tl > slot->out_bytes) {
    terminate({FatalErrorStatus::data_transfer_out_of_range, offsetof(tcp::R2T, r2to)},
              "the controller asked for data outside of the command's");
    return;
  }
  slot->r2t_end = r2t.r2to + r2t.r2tl;
  slot->ttag = r2t.ttag;
  out_.push_back(*slot);
  schedule_flush();
}

void Queue::take_c2h_header() noexcept {
  const tcp::C2HData& pdu = receiver_.c2h_data();
  Slot* slot = find(pdu.cccid);
  if (slot == nullptr || slot->in_bytes == 0 || slot->last_data_seen) {
    terminate(unknown_command, "the controller sent data that no command waits for");
    return;
  }
  if (pdu.datao != slot->received || pdu.datal > slot->in_bytes - slot->received) {
    terminate({FatalErrorStatus::data_transfer_out_of_range, offsetof(tcp::C2HData, datao)},
              "the controller sent data outside of the command's");
    return;
  }
  slot->last_data_seen = (pdu.ch.flags & tcp::flag_last) != 0;
  data_slot_ = slot;
}

// The free part of the piece of data_in where the next byte goes.
std::span<std::byte> Queue::destination(Slot& slot) noexcept {
  const std::span<const iovec> pieces = slot.command->data_in;
  while (slot.in_segment_offset == pieces[slot.in_segment].iov_len) {
    ++slot.in_segment;
    slot.in_segment_offset = 0;
    CHECK(slot.in_segment < pieces.size());
  }
  const iovec& piece = pieces[slot.in_segment];
  return std::span(static_cast<std::byte*>(piece.iov_base), piece.iov_len)
      .subspan(slot.in_segment_offset);
}

void Queue::take_c2h_data(const tcp::Step& step) noexcept {
  if (data_slot_ == nullptr) return;  // A TermReq quotes the PDU that it complains about.
  Slot& slot = *data_slot_;
  std::span<const std::byte> data = step.data;
  while (!data.empty()) {
    const std::span<std::byte> place = destination(slot);
    const size_t length = std::min(place.size(), data.size());
    // Received straight to its place: nothing to copy.
    if (place.data() != data.data()) std::memcpy(place.data(), data.data(), length);
    slot.in_segment_offset += length;
    slot.received += static_cast<uint32_t>(length);
    data = data.subspan(length);
  }
}

void Queue::take_c2h_end(bool digest_ok) noexcept {
  if (data_slot_ == nullptr) return;
  Slot& slot = *std::exchange(data_slot_, nullptr);
  if (!digest_ok) slot.digest_failed = true;
  if ((receiver_.c2h_data().ch.flags & tcp::flag_success) == 0) return;
  // The SUCCESS flag stands for a CapsuleResp with status 0.
  nvme::Cqe cqe{};
  cqe.cid = slot.cid;
  cqe.sqid = options_.qid;
  answer(slot, cqe);
}

}  // namespace ashlar::host
