#include "tcp/receive.h"

#include <algorithm>

#include "base/bytes.h"

namespace ashlar::tcp {

void PduReceiver::set_state(State to) noexcept {
  switch (to) {
    case State::common_header: CHECK(state_ == State::ended); break;
    case State::header: CHECK(state_ == State::common_header); break;
    case State::negotiating: CHECK(state_ == State::header); break;
    case State::padding: CHECK(state_ == State::header); break;
    case State::data: CHECK(state_ == State::header || state_ == State::padding); break;
    case State::data_digest: CHECK(state_ == State::data); break;
    case State::ended:
      CHECK(state_ == State::header || state_ == State::negotiating || state_ == State::data ||
            state_ == State::data_digest);
      break;
    case State::failed: CHECK(state_ == State::common_header || state_ == State::header); break;
  }
  state_ = to;
  have_ = 0;
}

// Copies from the input until `wanted` bytes are in the buffer; returns how many it took.
size_t PduReceiver::gather(std::span<const std::byte> input, uint32_t wanted) noexcept {
  std::byte* to = state_ == State::data_digest ? digest_bytes_ : buffer_;
  const size_t take = std::min<size_t>(input.size(), wanted - have_);
  if (take != 0) std::memcpy(to + have_, input.data(), take);
  have_ += static_cast<uint32_t>(take);
  return take;
}

Step PduReceiver::fail(Violation violation, size_t consumed) noexcept {
  const uint32_t gathered = have_;
  set_state(State::failed);
  have_ = gathered;  // header_bytes() quotes them.
  Step step;
  step.kind = Step::Kind::violation;
  step.consumed = consumed;
  step.violation = violation;
  return step;
}

std::span<const std::byte> PduReceiver::header_bytes() const noexcept {
  const std::span<const std::byte> all(buffer_);
  switch (state_) {
    case State::common_header:
    case State::header:
    case State::failed: return all.first(have_);
    case State::negotiating:
    case State::padding:
    case State::data:
    case State::data_digest:
    case State::ended: break;
  }
  // HLEN was checked to be the type's own size, which fits the buffer.
  return all.first(std::to_integer<size_t>(buffer_[offsetof(CommonHeader, hlen)]));
}

Step PduReceiver::next(std::span<const std::byte> input) noexcept {
  CHECK(state_ != State::failed && state_ != State::negotiating);
  if (state_ == State::ended) set_state(State::common_header);
  size_t consumed = 0;
  if (state_ == State::common_header) {
    consumed = gather(input, sizeof(CommonHeader));
    if (have_ == sizeof(CommonHeader)) {
      const Step step = finish_common_header(consumed);
      if (step.kind != Step::Kind::need_more) return step;
    }
  }
  if (state_ == State::header) {
    consumed += gather(input.subspan(consumed), shape_.header_bytes);
    if (have_ == shape_.header_bytes) return finish_header(consumed);
  }
  if (state_ == State::padding) {
    const size_t skip = std::min<size_t>(input.size(), shape_.padding_bytes - have_);
    have_ += static_cast<uint32_t>(skip);
    consumed = skip;
    if (have_ == shape_.padding_bytes) set_state(State::data);
  }
  if (state_ == State::data) {
    if (data_seen_ == shape_.data_bytes) return finish_data(true);
    if (input.size() > consumed) return take_data(input.subspan(consumed), consumed);
  }
  if (state_ == State::data_digest) {
    consumed = gather(input, digest_bytes);
    if (have_ == digest_bytes) {
      uint32_t received;
      std::memcpy(&received, digest_bytes_, digest_bytes);
      Step step = finish_data(received == digest_.value());
      step.consumed = consumed;
      return step;
    }
  }
  Step step;
  step.consumed = consumed;
  return step;
}

Step PduReceiver::finish_common_header(size_t consumed) noexcept {
  const auto bytes = std::span<const std::byte>(buffer_).first(sizeof(CommonHeader));
  const auto shape = decode_common_header(bytes, role_, framing_);
  if (!receives(role_, std::to_integer<uint8_t>(bytes[0]))) {
    return fail(shape.violation(), consumed);
  }
  const auto type = static_cast<PduType>(bytes[0]);
  const bool exchange = type == PduType::ic_req || type == PduType::ic_resp;
  const bool terminates = type == PduType::h2c_term_req || type == PduType::c2h_term_req;
  // The exchange comes first and once; a TermReq may come at any time. This goes before the other
  // fields, as they have no meaning yet in a PDU that comes too early.
  if (exchange == exchanged_ && !terminates) {
    return fail({FatalErrorStatus::pdu_sequence_error, 0}, consumed);
  }
  if (!shape.ok()) return fail(shape.violation(), consumed);
  shape_ = shape.value();
  const uint32_t gathered = have_;
  set_state(State::header);
  have_ = gathered;
  data_seen_ = 0;
  digest_.reset();
  return Step{};
}

bool PduReceiver::decode_header(Violation& violation) const noexcept {
  const auto header =
      header_bytes().first(std::to_integer<size_t>(buffer_[offsetof(CommonHeader, hlen)]));
  const auto judge = [&violation](const auto& decoded) {
    if (decoded.ok()) return true;
    violation = decoded.violation();
    return false;
  };
  switch (shape_.type) {
    case PduType::ic_req: return judge(decode_ic_req(header));
    case PduType::ic_resp: return judge(decode_ic_resp(header, dgst_asked_));
    case PduType::h2c_term_req: return judge(decode_h2c_term_req(header));
    case PduType::c2h_term_req: return judge(decode_c2h_term_req(header));
    case PduType::capsule_cmd: return judge(decode_capsule_cmd(header, framing_));
    case PduType::capsule_resp: return judge(decode_capsule_resp(header, framing_));
    case PduType::h2c_data: return judge(decode_h2c_data(header, framing_));
    case PduType::c2h_data: return judge(decode_c2h_data(header, framing_));
    case PduType::r2t: return judge(decode_r2t(header, framing_));
  }
  CHECK(false);
}

Step PduReceiver::finish_header(size_t consumed) noexcept {
  if ((shape_.flags & flag_hdgst) != 0) {
    const uint32_t hlen = shape_.header_bytes - digest_bytes;
    uint32_t received;
    std::memcpy(&received, buffer_ + hlen, digest_bytes);
    if (!header_digest_matches(std::span<const std::byte>(buffer_).first(hlen), received)) {
      return fail({FatalErrorStatus::header_digest_error, received}, consumed);
    }
  }
  Violation violation{};
  if (!decode_header(violation)) return fail(violation, consumed);

  if (shape_.type == PduType::ic_req || shape_.type == PduType::ic_resp) {
    set_state(State::negotiating);
  } else if (shape_.padding_bytes != 0) {
    set_state(State::padding);
  } else {
    set_state(shape_.data_bytes != 0 ? State::data : State::ended);
  }
  Step step;
  step.kind = Step::Kind::header;
  step.consumed = consumed;
  return step;
}

// `before`: what was consumed of the same input before these. The step is made where the caller has
// it: a copy would wait, in the processor, until the data of the PDU before is in its place.
Step PduReceiver::take_data(std::span<const std::byte> input, size_t before) noexcept {
  Step step;
  step.kind = Step::Kind::data;
  step.data_offset = data_seen_;
  step.data = input.first(std::min<size_t>(input.size(), shape_.data_bytes - data_seen_));
  step.consumed = before + step.data.size();
  data_seen_ += static_cast<uint32_t>(step.data.size());
  if (shape_.data_digest) {
    digest_.update(step.data);
    if (data_seen_ == shape_.data_bytes) set_state(State::data_digest);
  }
  return step;
}

Step PduReceiver::finish_data(bool digest_ok) noexcept {
  set_state(State::ended);
  Step step;
  step.kind = Step::Kind::end;
  step.data_digest_ok = digest_ok;
  return step;
}

std::span<const std::byte> PduReceiver::whole_data(
    std::span<const std::byte> input) const noexcept {
  if (state_ != State::data || data_seen_ != 0) return {};
  const size_t digest_length = shape_.data_digest ? digest_bytes : 0;
  if (input.size() < shape_.data_bytes + digest_length) return {};
  const auto data = input.first(shape_.data_bytes);
  if (shape_.data_digest) {
    DataDigest digest;
    digest.update(data);
    if (read_at<uint32_t>(input, data.size()) != digest.value()) return {};
  }
  return data;
}

size_t PduReceiver::skip_whole_data() noexcept {
  CHECK(state_ == State::data && data_seen_ == 0);
  set_state(State::ended);
  return shape_.data_bytes + (shape_.data_digest ? digest_bytes : 0);
}

void PduReceiver::negotiated(const Framing& framing) noexcept {
  CHECK(state_ == State::negotiating);
  framing_ = framing;
  exchanged_ = true;
  set_state(State::ended);
}

uint32_t PduReceiver::bytes_wanted() const noexcept {
  switch (state_) {
    case State::common_header: return static_cast<uint32_t>(sizeof(CommonHeader)) - have_;
    case State::header: return shape_.header_bytes - have_;
    case State::padding: return shape_.padding_bytes - have_ + 1;
    case State::data: return 1;
    case State::data_digest: return digest_bytes - have_;
    case State::ended: return sizeof(CommonHeader);
    case State::negotiating:
    case State::failed: return 0;
  }
  CHECK(false);
}

}  // namespace ashlar::tcp
