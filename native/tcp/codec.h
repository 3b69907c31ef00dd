// The NVMe/TCP PDU codec: pure functions between bytes and headers, for controller and host alike.
//
// Decoders judge what a peer sent. They read nothing but the span and the negotiated Framing, and
// answer with the header or with a Violation, which is what a TermReq then says. A header that a
// decoder let through keeps these promises, so that nobody checks them again:
//   HLEN is the type's size; header digest and data digest flags agree with the Framing;
//   HLEN + HDGST <= PDO, PDO is aligned, PDO + data + DDGST == PLEN exactly (no overflow);
//   the data is not longer than the Framing allows; DATAO + DATAL and R2TO + R2TL fit 32 bits.
// What needs the state of a command (is this TTAG ours, is DATAO the next one) is the caller's.
//
//      0      8        HLEN  +4 (HDGSTF)   PDO               PLEN-4 (DDGSTF)  PLEN
//      | CH   | PSH    | HDGST | padding   | data            | DDGST          |
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <variant>

#include "base/check.h"
#include "base/crc32c.h"
#include "nvme/wire.h"
#include "tcp/limits.h"
#include "tcp/pdu.h"

namespace ashlar::tcp {

// Whose receiver this is: a controller takes ICReq, CapsuleCmd, H2CData and H2CTermReq, a host
// ICResp, CapsuleResp, C2HData, R2T and C2HTermReq.
enum class Role : uint8_t { controller, host };

// What ICReq and ICResp settled, plus the receiver's own limits. The default is the state before
// the exchange: no digests, dword alignment.
struct Framing {
  bool hdgst = false;
  bool ddgst = false;
  // Alignment of PDO in PDUs to the controller (CPDA) and to the host (HPDA), bytes: 4 to 128.
  uint32_t cpda_bytes = 4;
  uint32_t hpda_bytes = 4;
  // The longest data of one H2CData (the controller's MAXH2CDATA), bytes.
  uint32_t maxh2cdata = min_maxh2cdata;
  // The longest in-capsule data, bytes: what IOCCSZ says (8192 on an admin queue).
  uint32_t max_in_capsule_bytes = admin_in_capsule_bytes;
  // The longest data of one C2HData that the host takes, bytes.
  uint32_t max_c2h_data_bytes = max_c2h_data_bytes_default;
};

// CPDA and HPDA on the wire, 0-based dwords, as bytes.
constexpr uint32_t alignment_bytes(uint8_t pda_0based) noexcept {
  return (uint32_t{pda_0based} + 1) * 4;
}

// Why a connection must end. `fei`: the byte offset of the offending field from the start of the
// PDU; for header_digest_error the digest that came; sent as zero where the spec reserves it.
struct Violation {
  FatalErrorStatus status;
  uint32_t fei;
};

// A header, or the reason why there is none.
template <class T>
class [[nodiscard]] Decoded {
 public:
  Decoded(const T& value) noexcept : state_(std::in_place_index<0>, value) {}
  Decoded(Violation violation) noexcept : state_(std::in_place_index<1>, violation) {}
  bool ok() const noexcept { return state_.index() == 0; }
  const T& value() const noexcept {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  Violation violation() const noexcept {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Violation> state_;
};

// Where everything of one PDU lies.
struct PduShape {
  PduType type;
  uint8_t flags;
  uint32_t header_bytes;   // HLEN + header digest if present.
  uint32_t padding_bytes;  // Between header digest and data.
  uint32_t data_bytes;
  bool data_digest;  // Four bytes follow the data.
};

// ---- Decoders -----------------------------------------------------------------------------------
// `header` holds exactly the bytes that the names say (8 for the common header, HLEN without digest
// for the others); a shorter or longer span is our own mistake (CHECK).

// Checks type, direction, flags, HLEN, PDO and PLEN, so that reading can go on safely. It does not
// know in which state the connection is: see PduReceiver.
Decoded<PduShape> decode_common_header(std::span<const std::byte> header, Role role,
                                       const Framing& framing) noexcept;

// True when a receiver of this role may be sent a PDU of this type, at some time.
bool receives(Role role, uint8_t type) noexcept;

// The header digest that came against the one over `header` (HLEN bytes). True when equal.
bool header_digest_matches(std::span<const std::byte> header, uint32_t received) noexcept;

// To the controller.
Decoded<IcReq> decode_ic_req(std::span<const std::byte> header) noexcept;
Decoded<CapsuleCmd> decode_capsule_cmd(std::span<const std::byte> header,
                                       const Framing& framing) noexcept;
Decoded<H2CData> decode_h2c_data(std::span<const std::byte> header,
                                 const Framing& framing) noexcept;
Decoded<TermReq> decode_h2c_term_req(std::span<const std::byte> header) noexcept;

// To the host.
Decoded<IcResp> decode_ic_resp(std::span<const std::byte> header, uint8_t dgst_asked) noexcept;
Decoded<CapsuleResp> decode_capsule_resp(std::span<const std::byte> header,
                                         const Framing& framing) noexcept;
Decoded<C2HData> decode_c2h_data(std::span<const std::byte> header,
                                 const Framing& framing) noexcept;
Decoded<R2T> decode_r2t(std::span<const std::byte> header, const Framing& framing) noexcept;
Decoded<TermReq> decode_c2h_term_req(std::span<const std::byte> header) noexcept;

// FEI is an unaligned little-endian dword.
uint32_t term_req_fei(const TermReq& term) noexcept;

// ---- Encoders -----------------------------------------------------------------------------------
// Each writes header, header digest (when negotiated) and the zero padding before the data, and
// returns how many bytes that is: the caller sends them, then the data, then data_digest() of it
// when framing.ddgst. `out` has at least `max_header_bytes` bytes (CHECKed against what is needed).

uint32_t encode_ic_req(std::span<std::byte> out, uint8_t hpda_0based, uint8_t dgst,
                       uint32_t maxr2t_0based) noexcept;
uint32_t encode_ic_resp(std::span<std::byte> out, uint8_t cpda_0based, uint8_t dgst,
                        uint32_t maxh2cdata) noexcept;
// `in_capsule_bytes` 0: no data follows.
uint32_t encode_capsule_cmd(std::span<std::byte> out, const Framing& framing, const nvme::Sqe& sqe,
                            uint32_t in_capsule_bytes) noexcept;
uint32_t encode_capsule_resp(std::span<std::byte> out, const Framing& framing,
                             const nvme::Cqe& cqe) noexcept;
uint32_t encode_h2c_data(std::span<std::byte> out, const Framing& framing, uint16_t cccid,
                         uint16_t ttag, uint32_t datao, uint32_t datal, bool last) noexcept;
// `success` (only with `last`): this PDU also completes the command; no CapsuleResp follows.
uint32_t encode_c2h_data(std::span<std::byte> out, const Framing& framing, uint16_t cccid,
                         uint32_t datao, uint32_t datal, bool last, bool success) noexcept;
uint32_t encode_r2t(std::span<std::byte> out, const Framing& framing, uint16_t cccid, uint16_t ttag,
                    uint32_t r2to, uint32_t r2tl) noexcept;
// The whole PDU, with as much of the offending header as fits behind it; no digests, by the spec.
// `sender`: a controller sends C2HTermReq, a host H2CTermReq.
uint32_t encode_term_req(std::span<std::byte> out, Role sender, Violation violation,
                         std::span<const std::byte> offending_header) noexcept;

// ---- Digests ------------------------------------------------------------------------------------

// DDGST over data that comes in pieces: update() with each, value() is what goes on the wire.
using DataDigest = Crc32c;

inline uint32_t data_digest(std::span<const std::byte> data) noexcept {
  return crc32c(data);
}

}  // namespace ashlar::tcp
