// The static limits of the PDU codec, with their arithmetic.
#pragma once

#include <cstdint>

#include "tcp/pdu.h"

namespace ashlar::tcp {

// HPDA and CPDA are 0-based dwords from 0 to 31: 4 to 128 bytes.
inline constexpr uint8_t max_pda_0based = 31;
inline constexpr uint32_t max_alignment_bytes = 128;

// 3.6.2.4: a TermReq is 152 bytes at most, so it quotes 128 bytes of the offending PDU.
inline constexpr uint32_t max_term_req_bytes = 152;
inline constexpr uint32_t max_term_req_data_bytes = max_term_req_bytes - sizeof(TermReq);
static_assert(max_term_req_data_bytes == 128);

// The longest header a receiver gathers: ICReq and ICResp (128, never with a digest) against
// CapsuleCmd and its digest (72 + 4).
inline constexpr uint32_t max_received_header_bytes = 128;

// The longest thing an encoder writes: 72 + 4 and 24 + 4 padded to 128, ICReq 128, TermReq 152.
inline constexpr uint32_t max_header_bytes = 152;

// 3.6.2.3: a controller's MAXH2CDATA is at least 4,096.
inline constexpr uint32_t min_maxh2cdata = 4096;

// NVMe-oF: an admin queue always takes 8 KiB in a capsule, whatever IOCCSZ says of the others.
inline constexpr uint32_t admin_in_capsule_bytes = 8192;

// NVMe/TCP sets no limit on one C2HData. A host takes no more than a command can ask for; this is
// the bound until the owner of the receiver says a smaller one.
inline constexpr uint32_t max_c2h_data_bytes_default = 64u << 20;

}  // namespace ashlar::tcp
