#include "tcp/codec.h"

#include <algorithm>

namespace ashlar::tcp {

namespace {

// Byte offsets of the fields that a Violation names.
constexpr uint32_t at_type = offsetof(CommonHeader, type);
constexpr uint32_t at_flags = offsetof(CommonHeader, flags);
constexpr uint32_t at_hlen = offsetof(CommonHeader, hlen);
constexpr uint32_t at_pdo = offsetof(CommonHeader, pdo);
constexpr uint32_t at_plen = offsetof(CommonHeader, plen);

constexpr Violation bad_field(uint32_t offset) noexcept {
  return Violation{FatalErrorStatus::invalid_pdu_header_field, offset};
}

template <class T>
T load(std::span<const std::byte> bytes) noexcept {
  CHECK(bytes.size() == sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// What the spec fixes for one PDU type, given what was negotiated.
struct TypeRule {
  Role receiver;
  uint8_t hlen;
  bool may_have_hdgst;  // The exchange and the TermReqs never carry digests.
  bool may_have_ddgst;
  bool must_have_data;
  uint32_t max_data_bytes;   // 0: no data at all.
  uint32_t alignment_bytes;  // Of PDO; 0: PDO is reserved (data, if any, follows HLEN).
};

bool rule_of(uint8_t type, const Framing& f, TypeRule& rule) noexcept {
  switch (static_cast<PduType>(type)) {
    case PduType::ic_req:
      rule = {Role::controller, sizeof(IcReq), false, false, false, 0, 0};
      return true;
    case PduType::ic_resp:
      rule = {Role::host, sizeof(IcResp), false, false, false, 0, 0};
      return true;
    case PduType::h2c_term_req:
      rule = {Role::controller, sizeof(TermReq), false, false, false, max_term_req_data_bytes, 0};
      return true;
    case PduType::c2h_term_req:
      rule = {Role::host, sizeof(TermReq), false, false, false, max_term_req_data_bytes, 0};
      return true;
    case PduType::capsule_cmd:
      rule = {Role::controller,       sizeof(CapsuleCmd), true, true, false,
              f.max_in_capsule_bytes, f.cpda_bytes};
      return true;
    case PduType::capsule_resp:
      rule = {Role::host, sizeof(CapsuleResp), true, false, false, 0, 0};
      return true;
    case PduType::h2c_data:
      rule = {Role::controller, sizeof(H2CData), true, true, true, f.maxh2cdata, f.cpda_bytes};
      return true;
    case PduType::c2h_data:
      rule = {Role::host, sizeof(C2HData), true, true, true, f.max_c2h_data_bytes, f.hpda_bytes};
      return true;
    case PduType::r2t: rule = {Role::host, sizeof(R2T), true, false, false, 0, 0}; return true;
  }
  return false;
}

// The data length that PLEN and PDO leave, for a type whose PDO counts.
Decoded<PduShape> shape_with_data(const CommonHeader& ch, const TypeRule& rule,
                                  const Framing& framing, PduShape shape) noexcept {
  if (ch.plen == shape.header_bytes && !rule.must_have_data) {
    return shape;  // PDO is reserved when there is no data, and DDGST has nothing to cover.
  }
  const bool ddgst = (ch.flags & flag_ddgst) != 0;
  if (ddgst != framing.ddgst) return bad_field(at_flags);
  if (ch.pdo < shape.header_bytes || ch.pdo % rule.alignment_bytes != 0) return bad_field(at_pdo);
  // PDO has 8 bits, so the sum cannot overflow; the subtraction below cannot either.
  const uint32_t around_data = uint32_t{ch.pdo} + (ddgst ? digest_bytes : 0);
  if (ch.plen <= around_data) return bad_field(at_plen);
  const uint32_t data_bytes = ch.plen - around_data;
  if (data_bytes > rule.max_data_bytes) {
    // The spec has a word of its own for H2CData beyond MAXH2CDATA.
    if (shape.type == PduType::h2c_data) {
      return Violation{FatalErrorStatus::data_transfer_limit_exceeded, at_plen};
    }
    return bad_field(at_plen);
  }
  shape.padding_bytes = ch.pdo - shape.header_bytes;
  shape.data_bytes = data_bytes;
  shape.data_digest = ddgst;
  return shape;
}

}  // namespace

Decoded<PduShape> decode_common_header(std::span<const std::byte> header, Role role,
                                       const Framing& framing) noexcept {
  const auto ch = load<CommonHeader>(header);
  TypeRule rule{};
  if (!rule_of(ch.type, framing, rule) || rule.receiver != role) return bad_field(at_type);

  const bool hdgst = (ch.flags & flag_hdgst) != 0;
  if (hdgst != (rule.may_have_hdgst && framing.hdgst)) return bad_field(at_flags);
  if ((ch.flags & flag_ddgst) != 0 && !(rule.may_have_ddgst && framing.ddgst)) {
    return bad_field(at_flags);
  }
  if (ch.hlen != rule.hlen) return bad_field(at_hlen);

  PduShape shape{};
  shape.type = static_cast<PduType>(ch.type);
  shape.flags = ch.flags;
  shape.header_bytes = uint32_t{ch.hlen} + (hdgst ? digest_bytes : 0);
  if (ch.plen < shape.header_bytes) return bad_field(at_plen);
  if (rule.alignment_bytes != 0) return shape_with_data(ch, rule, framing, shape);

  if (ch.plen - shape.header_bytes > rule.max_data_bytes) return bad_field(at_plen);
  shape.data_bytes = ch.plen - shape.header_bytes;
  return shape;
}

bool receives(Role role, uint8_t type) noexcept {
  TypeRule rule{};
  return rule_of(type, Framing{}, rule) && rule.receiver == role;
}

bool header_digest_matches(std::span<const std::byte> header, uint32_t received) noexcept {
  return crc32c(header) == received;
}

Decoded<IcReq> decode_ic_req(std::span<const std::byte> header) noexcept {
  const auto pdu = load<IcReq>(header);
  if (pdu.pfv != 0) {
    return Violation{FatalErrorStatus::unsupported_parameter, offsetof(IcReq, pfv)};
  }
  if (pdu.hpda_0based > max_pda_0based) return bad_field(offsetof(IcReq, hpda_0based));
  return pdu;
}

Decoded<IcResp> decode_ic_resp(std::span<const std::byte> header, uint8_t dgst_asked) noexcept {
  const auto pdu = load<IcResp>(header);
  if (pdu.pfv != 0) {
    return Violation{FatalErrorStatus::unsupported_parameter, offsetof(IcResp, pfv)};
  }
  if (pdu.cpda_0based > max_pda_0based) return bad_field(offsetof(IcResp, cpda_0based));
  // A controller enables only what the host asked for.
  constexpr uint8_t known = digest_header | digest_data;
  if ((pdu.dgst & known & ~dgst_asked) != 0) return bad_field(offsetof(IcResp, dgst));
  if (pdu.maxh2cdata < min_maxh2cdata || pdu.maxh2cdata % 4 != 0) {
    return bad_field(offsetof(IcResp, maxh2cdata));
  }
  return pdu;
}

Decoded<CapsuleCmd> decode_capsule_cmd(std::span<const std::byte> header,
                                       const Framing& /*framing*/) noexcept {
  // The common header says all about the capsule; the command inside is the validator's, because
  // a wrong command ends with a status and not with the connection.
  return load<CapsuleCmd>(header);
}

Decoded<CapsuleResp> decode_capsule_resp(std::span<const std::byte> header,
                                         const Framing& /*framing*/) noexcept {
  return load<CapsuleResp>(header);
}

namespace {

// DATAO and DATAL of either direction: aligned, equal to the data that PLEN leaves, no wrap.
template <class T>
Decoded<T> decode_data(std::span<const std::byte> header, uint32_t alignment,
                       const Framing& framing, Role receiver) noexcept {
  const auto pdu = load<T>(header);
  const auto shape = decode_common_header(header.first(sizeof(CommonHeader)), receiver, framing);
  if (!shape.ok()) return shape.violation();
  if (pdu.datao % alignment != 0) return bad_field(offsetof(T, datao));
  if (pdu.datal != shape.value().data_bytes) return bad_field(offsetof(T, datal));
  if (pdu.datal > UINT32_MAX - pdu.datao) {
    return Violation{FatalErrorStatus::data_transfer_out_of_range, offsetof(T, datao)};
  }
  return pdu;
}

// The spec: DATAO and R2TO are dword aligned.
constexpr uint32_t offset_alignment_bytes = 4;

}  // namespace

Decoded<H2CData> decode_h2c_data(std::span<const std::byte> header,
                                 const Framing& framing) noexcept {
  return decode_data<H2CData>(header, offset_alignment_bytes, framing, Role::controller);
}

Decoded<C2HData> decode_c2h_data(std::span<const std::byte> header,
                                 const Framing& framing) noexcept {
  auto pdu = decode_data<C2HData>(header, offset_alignment_bytes, framing, Role::host);
  if (!pdu.ok()) return pdu;
  const uint8_t flags = pdu.value().ch.flags;
  if ((flags & flag_success) != 0 && (flags & flag_last) == 0) return bad_field(at_flags);
  return pdu;
}

Decoded<R2T> decode_r2t(std::span<const std::byte> header, const Framing& /*framing*/) noexcept {
  const auto pdu = load<R2T>(header);
  if (pdu.r2to % offset_alignment_bytes != 0) return bad_field(offsetof(R2T, r2to));
  if (pdu.r2tl == 0) return bad_field(offsetof(R2T, r2tl));
  if (pdu.r2tl > UINT32_MAX - pdu.r2to) {
    return Violation{FatalErrorStatus::data_transfer_out_of_range, offsetof(R2T, r2to)};
  }
  return pdu;
}

Decoded<TermReq> decode_h2c_term_req(std::span<const std::byte> header) noexcept {
  return load<TermReq>(header);  // Whatever it says, the connection ends.
}

Decoded<TermReq> decode_c2h_term_req(std::span<const std::byte> header) noexcept {
  return load<TermReq>(header);
}

uint32_t term_req_fei(const TermReq& term) noexcept {
  uint32_t fei;
  std::memcpy(&fei, term.fei, sizeof fei);
  return fei;
}

// ---- Encoders -----------------------------------------------------------------------------------

namespace {

// Writes `pdu` with its digest and zeroes up to `pdo` (0: nothing more), and completes its common
// header. Returns the bytes written.
template <class T>
uint32_t put(std::span<std::byte> out, T& pdu, PduType type, uint8_t flags, const Framing& framing,
             uint32_t alignment, uint32_t data_bytes) noexcept {
  static_assert(sizeof(T) + digest_bytes <= max_header_bytes);
  CHECK(sizeof(T) + digest_bytes <= out.size());
  uint32_t written = sizeof(T) + (framing.hdgst ? digest_bytes : 0);
  uint32_t plen = written;
  pdu.ch.type = static_cast<uint8_t>(type);
  pdu.ch.hlen = sizeof(T);
  pdu.ch.pdo = 0;
  if (framing.hdgst) flags |= flag_hdgst;
  if (data_bytes != 0) {
    const uint32_t pdo = (written + alignment - 1) / alignment * alignment;
    CHECK(pdo <= out.size() && pdo <= UINT8_MAX);
    CHECK(data_bytes <= UINT32_MAX - pdo - digest_bytes);
    std::memset(out.data() + written, 0, pdo - written);
    plen = pdo + data_bytes + (framing.ddgst ? digest_bytes : 0);
    if (framing.ddgst) flags |= flag_ddgst;
    pdu.ch.pdo = static_cast<uint8_t>(pdo);
    written = pdo;
  }
  pdu.ch.flags = flags;
  pdu.ch.plen = plen;
  std::memcpy(out.data(), &pdu, sizeof(T));
  if (framing.hdgst) {
    const uint32_t digest = crc32c(out.first(sizeof(T)));
    std::memcpy(out.data() + sizeof(T), &digest, digest_bytes);
  }
  return written;
}

// The exchange comes before any digest and has a length of its own.
template <class T>
uint32_t put_exchange(std::span<std::byte> out, T& pdu, PduType type) noexcept {
  CHECK(sizeof(T) <= out.size());
  pdu.ch = CommonHeader{static_cast<uint8_t>(type), 0, sizeof(T), 0, sizeof(T)};
  std::memcpy(out.data(), &pdu, sizeof(T));
  return sizeof(T);
}

}  // namespace

uint32_t encode_ic_req(std::span<std::byte> out, uint8_t hpda_0based, uint8_t dgst,
                       uint32_t maxr2t_0based) noexcept {
  CHECK(hpda_0based <= max_pda_0based);
  IcReq pdu{};
  pdu.hpda_0based = hpda_0based;
  pdu.dgst = dgst;
  pdu.maxr2t_0based = maxr2t_0based;
  return put_exchange(out, pdu, PduType::ic_req);
}

uint32_t encode_ic_resp(std::span<std::byte> out, uint8_t cpda_0based, uint8_t dgst,
                        uint32_t maxh2cdata) noexcept {
  CHECK(cpda_0based <= max_pda_0based);
  CHECK(maxh2cdata >= min_maxh2cdata && maxh2cdata % 4 == 0);
  IcResp pdu{};
  pdu.cpda_0based = cpda_0based;
  pdu.dgst = dgst;
  pdu.maxh2cdata = maxh2cdata;
  return put_exchange(out, pdu, PduType::ic_resp);
}

uint32_t encode_capsule_cmd(std::span<std::byte> out, const Framing& framing, const nvme::Sqe& sqe,
                            uint32_t in_capsule_bytes) noexcept {
  CHECK(in_capsule_bytes <= framing.max_in_capsule_bytes);
  CapsuleCmd pdu{};
  pdu.sqe = sqe;
  return put(out, pdu, PduType::capsule_cmd, 0, framing, framing.cpda_bytes, in_capsule_bytes);
}

uint32_t encode_capsule_resp(std::span<std::byte> out, const Framing& framing,
                             const nvme::Cqe& cqe) noexcept {
  CapsuleResp pdu{};
  pdu.cqe = cqe;
  return put(out, pdu, PduType::capsule_resp, 0, framing, framing.hpda_bytes, 0);
}

uint32_t encode_h2c_data(std::span<std::byte> out, const Framing& framing, uint16_t cccid,
                         uint16_t ttag, uint32_t datao, uint32_t datal, bool last) noexcept {
  CHECK(datal != 0 && datal <= framing.maxh2cdata && datal <= UINT32_MAX - datao);
  H2CData pdu{};
  pdu.cccid = cccid;
  pdu.ttag = ttag;
  pdu.datao = datao;
  pdu.datal = datal;
  return put(out, pdu, PduType::h2c_data, last ? flag_last : uint8_t{0}, framing,
             framing.cpda_bytes, datal);
}

uint32_t encode_c2h_data(std::span<std::byte> out, const Framing& framing, uint16_t cccid,
                         uint32_t datao, uint32_t datal, bool last, bool success) noexcept {
  CHECK(datal != 0 && datal <= UINT32_MAX - datao);
  CHECK(last || !success);
  C2HData pdu{};
  pdu.cccid = cccid;
  pdu.datao = datao;
  pdu.datal = datal;
  const auto flags = static_cast<uint8_t>((last ? flag_last : 0) | (success ? flag_success : 0));
  return put(out, pdu, PduType::c2h_data, flags, framing, framing.hpda_bytes, datal);
}

uint32_t encode_r2t(std::span<std::byte> out, const Framing& framing, uint16_t cccid, uint16_t ttag,
                    uint32_t r2to, uint32_t r2tl) noexcept {
  CHECK(r2tl != 0 && r2tl <= UINT32_MAX - r2to);
  R2T pdu{};
  pdu.cccid = cccid;
  pdu.ttag = ttag;
  pdu.r2to = r2to;
  pdu.r2tl = r2tl;
  return put(out, pdu, PduType::r2t, 0, framing, framing.hpda_bytes, 0);
}

uint32_t encode_term_req(std::span<std::byte> out, Role sender, Violation violation,
                         std::span<const std::byte> offending_header) noexcept {
  CHECK(out.size() >= max_term_req_bytes);
  const size_t quoted = std::min<size_t>(offending_header.size(), max_term_req_data_bytes);
  const auto total = static_cast<uint32_t>(sizeof(TermReq) + quoted);
  TermReq pdu{};
  const PduType type = sender == Role::controller ? PduType::c2h_term_req : PduType::h2c_term_req;
  pdu.ch = CommonHeader{static_cast<uint8_t>(type), 0, sizeof(TermReq), 0, total};
  pdu.fes = static_cast<uint16_t>(violation.status);
  // FEI is reserved for the other statuses.
  switch (violation.status) {
    case FatalErrorStatus::invalid_pdu_header_field:
    case FatalErrorStatus::header_digest_error:
    case FatalErrorStatus::unsupported_parameter:
      std::memcpy(pdu.fei, &violation.fei, sizeof pdu.fei);
      break;
    case FatalErrorStatus::pdu_sequence_error:
    case FatalErrorStatus::data_transfer_out_of_range:
    case FatalErrorStatus::data_transfer_limit_exceeded: break;
  }
  std::memcpy(out.data(), &pdu, sizeof pdu);
  if (quoted != 0) std::memcpy(out.data() + sizeof pdu, offending_header.data(), quoted);
  return total;
}

}  // namespace ashlar::tcp
