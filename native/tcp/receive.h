// PduReceiver: cuts a byte stream into PDUs. It is pure: bytes go in, steps come out, and it
// neither reads a socket nor owns the memory that data goes to.
//
//   for (;;) {  // Until need_more: an `end` may follow the last byte of the input.
//     Step step = receiver.next(input);
//     input = input.subspan(step.consumed);
//     switch (step.kind) { … }
//   }
//
// Every PDU gives one `header` step. One with data (shape().data_bytes != 0) then gives `data`
// steps and exactly one `end`, with or without digest.
// `data` steps point into the input: the owner copies them to where they belong, or, when
// data_remaining() says that the stream is inside a PDU's data, receives from the socket straight
// to where they belong and passes that memory as the input (then there is nothing to copy).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "tcp/codec.h"

namespace ashlar::tcp {

struct Step {
  enum class Kind : uint8_t {
    need_more,  // The input is used up; nothing else happened.
    // A whole header, checked and its digest verified: see shape() and the typed accessors. It is
    // also the end of the PDU when shape().data_bytes is 0.
    header,
    data,       // `data` are the next bytes of the PDU's data, `data_offset` from its start.
    end,        // A PDU with data is complete; `data_digest_ok` says whether to believe it.
    violation,  // Send a TermReq that says `violation` and close. next() must not be called again.
  };
  Kind kind = Kind::need_more;
  bool data_digest_ok = true;  // A wrong data digest ends the command, not the connection.
  uint32_t data_offset = 0;
  size_t consumed = 0;  // How much of the input this step took.
  std::span<const std::byte> data;
  Violation violation{FatalErrorStatus::invalid_pdu_header_field, 0};
};

class PduReceiver {
 public:
  // `dgst_asked`: a host's own ICReq DGST bits (the controller may not enable others); 0 for a
  // controller.
  explicit PduReceiver(Role role, uint8_t dgst_asked = 0) noexcept
      : role_(role), dgst_asked_(dgst_asked) {}

  // Judges the input up to the next step. The first PDU must be the ICReq (ICResp) and no other
  // may be; after its `header` step the owner calls negotiated() before it goes on.
  Step next(std::span<const std::byte> input) noexcept;

  void negotiated(const Framing& framing) noexcept;
  const Framing& framing() const noexcept { return framing_; }

  // The PDU under way; valid from its `header` step until next() is called after its end.
  const PduShape& shape() const noexcept { return shape_; }
  // HLEN bytes, or what came of them: what a TermReq quotes.
  std::span<const std::byte> header_bytes() const noexcept;
  const IcReq& ic_req() const noexcept { return as<IcReq>(PduType::ic_req); }
  const CapsuleCmd& capsule_cmd() const noexcept { return as<CapsuleCmd>(PduType::capsule_cmd); }
  const H2CData& h2c_data() const noexcept { return as<H2CData>(PduType::h2c_data); }
  const IcResp& ic_resp() const noexcept { return as<IcResp>(PduType::ic_resp); }
  const CapsuleResp& capsule_resp() const noexcept {
    return as<CapsuleResp>(PduType::capsule_resp);
  }
  const C2HData& c2h_data() const noexcept { return as<C2HData>(PduType::c2h_data); }
  const R2T& r2t() const noexcept { return as<R2T>(PduType::r2t); }
  // Either direction's.
  const TermReq& term_req() const noexcept {
    return as<TermReq>(role_ == Role::controller ? PduType::h2c_term_req : PduType::c2h_term_req);
  }

  // Bytes of data that come next in the stream, with nothing before them; 0 when something else
  // comes next. The next next() may be given up to this many from anywhere.
  uint32_t data_remaining() const noexcept {
    return state_ == State::data ? shape_.data_bytes - data_seen_ : 0;
  }
  // All data of the PDU, where `input`, which comes next in the stream, has all of it and a digest
  // that is right; otherwise empty, and next() says what is the matter. Before any data was seen.
  std::span<const std::byte> whole_data(std::span<const std::byte> input) const noexcept;
  // The owner has dealt with whole_data(): the PDU has ended. Returns how much of the input it was.
  size_t skip_whole_data() noexcept;
  // After need_more: the least number of bytes after which the next step is certain to come.
  uint32_t bytes_wanted() const noexcept;
  // True between PDUs: the stream may end here without cutting one off.
  bool between_pdus() const noexcept { return state_ == State::common_header && have_ == 0; }

 private:
  enum class State : uint8_t {
    common_header,  // Gathers the first 8 bytes; they say how long the header is.
    header,         // Gathers the rest of HLEN and the header digest.
    negotiating,    // ICReq or ICResp was handed out; negotiated() moves on.
    padding,        // Skips what lies between header and PDO.
    data,           // Hands out data.
    data_digest,    // Gathers the four bytes of DDGST.
    ended,          // The last step was the end of a PDU; the next call starts another.
    failed,         // A violation was reported.
  };
  void set_state(State to) noexcept;
  size_t gather(std::span<const std::byte> input, uint32_t wanted) noexcept;
  Step fail(Violation violation, size_t consumed) noexcept;
  Step finish_common_header(size_t consumed) noexcept;
  Step finish_header(size_t consumed) noexcept;
  bool decode_header(Violation& violation) const noexcept;
  Step take_data(std::span<const std::byte> input, size_t before) noexcept;
  Step finish_data(bool digest_ok) noexcept;

  template <class T>
  const T& as(PduType type) const noexcept {
    CHECK(shape_.type == type && state_ != State::common_header && state_ != State::header);
    // buffer_ is aligned for every wire struct and holds HLEN == sizeof(T) bytes of one.
    return *reinterpret_cast<const T*>(buffer_);
  }

  const Role role_;
  const uint8_t dgst_asked_;
  State state_ = State::common_header;
  bool exchanged_ = false;  // ICReq and ICResp are behind us.
  uint32_t have_ = 0;       // Bytes gathered of the header, or of the digest, or of the padding.
  uint32_t data_seen_ = 0;
  Framing framing_;
  PduShape shape_{};
  DataDigest digest_;
  std::byte digest_bytes_[digest_bytes] = {};
  alignas(8) std::byte buffer_[max_received_header_bytes] = {};
};

}  // namespace ashlar::tcp
