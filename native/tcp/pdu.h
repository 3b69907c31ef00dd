// NVMe/TCP Transport 1.1, section 3.6: the PDUs, byte for byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nvme/wire.h"

namespace ashlar::tcp {

enum class PduType : uint8_t {
  ic_req = 0x00,
  ic_resp = 0x01,
  h2c_term_req = 0x02,
  c2h_term_req = 0x03,
  capsule_cmd = 0x04,
  capsule_resp = 0x05,
  h2c_data = 0x06,
  c2h_data = 0x07,
  r2t = 0x09,
};

// CH, 3.6.1: the common header. HLEN and PDO count bytes from the start of the PDU; PLEN is the
// whole PDU with digests and padding.
struct CommonHeader {
  uint8_t type;
  uint8_t flags;
  uint8_t hlen;
  uint8_t pdo;
  uint32_t plen;
};
static_assert(sizeof(CommonHeader) == 8);
static_assert(offsetof(CommonHeader, plen) == 4);

inline constexpr uint8_t flag_hdgst = 0x01;    // HDGSTF: a header digest follows the header.
inline constexpr uint8_t flag_ddgst = 0x02;    // DDGSTF: a data digest follows the data.
inline constexpr uint8_t flag_last = 0x04;     // H2CData, C2HData: LAST_PDU.
inline constexpr uint8_t flag_success = 0x08;  // C2HData: no CapsuleResp follows.

inline constexpr uint8_t digest_header = 0x01;  // ICReq/ICResp DGST bits.
inline constexpr uint8_t digest_data = 0x02;
inline constexpr uint32_t digest_bytes = 4;

// 3.6.2.2 and 3.6.2.3
struct IcReq {
  CommonHeader ch;  // HLEN 128, PLEN 128, no digest.
  uint16_t pfv;
  uint8_t hpda_0based;  // Host PDU data alignment in dwords.
  uint8_t dgst;
  uint32_t maxr2t_0based;
  uint8_t reserved[112];
};
static_assert(sizeof(IcReq) == 128);

struct IcResp {
  CommonHeader ch;
  uint16_t pfv;
  uint8_t cpda_0based;
  uint8_t dgst;
  uint32_t maxh2cdata;
  uint8_t reserved[112];
};
static_assert(sizeof(IcResp) == 128);

// 3.6.2.4 and 3.6.2.5. Data: the first bytes (up to 128) of the offending PDU.
struct TermReq {
  CommonHeader ch;
  uint16_t fes;
  uint8_t fei[4];  // Little-endian, unaligned.
  uint8_t reserved[10];
};
static_assert(sizeof(TermReq) == 24);

enum class FatalErrorStatus : uint16_t {
  invalid_pdu_header_field = 0x01,  // FEI: offset of the field.
  pdu_sequence_error = 0x02,
  header_digest_error = 0x03,  // FEI: the digest received.
  data_transfer_out_of_range = 0x04,
  data_transfer_limit_exceeded = 0x05,  // Host: R2T limit exceeded.
  unsupported_parameter = 0x06,         // FEI: offset of the field.
};

struct CapsuleCmd {
  CommonHeader ch;
  nvme::Sqe sqe;
};
static_assert(sizeof(CapsuleCmd) == 72);

struct CapsuleResp {
  CommonHeader ch;
  nvme::Cqe cqe;
};
static_assert(sizeof(CapsuleResp) == 24);

struct H2CData {
  CommonHeader ch;
  uint16_t cccid;
  uint16_t ttag;
  uint32_t datao;
  uint32_t datal;
  uint32_t reserved;
};
static_assert(sizeof(H2CData) == 24);

struct C2HData {
  CommonHeader ch;
  uint16_t cccid;
  uint16_t reserved0;
  uint32_t datao;
  uint32_t datal;
  uint32_t reserved1;
};
static_assert(sizeof(C2HData) == 24);

struct R2T {
  CommonHeader ch;
  uint16_t cccid;
  uint16_t ttag;
  uint32_t r2to;
  uint32_t r2tl;
  uint32_t reserved;
};
static_assert(sizeof(R2T) == 24);

}  // namespace ashlar::tcp
