// NVMe over Fabrics (Base 2.0, chapter 6): the commands and the data of queue creation and the
// properties, laid over the submission queue entry.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nvme/wire.h"

namespace ashlar::nvme {

inline constexpr uint32_t nqn_bytes = 256;      // Field size, with at least one NUL.
inline constexpr uint32_t max_nqn_chars = 223;  // Base 4.5.

// 6.3: Connect.
struct ConnectCommand {
  uint8_t opcode;  // 7Fh
  uint8_t flags;
  uint16_t cid;
  uint8_t fctype;  // FabricsType::connect
  uint8_t reserved0[19];
  SglDescriptor sgl;
  uint16_t recfmt;  // 0
  uint16_t qid;
  uint16_t sqsize_0based;
  uint8_t cattr;
  uint8_t reserved1;
  uint32_t kato_ms;
  uint8_t reserved2[12];
};
static_assert(sizeof(ConnectCommand) == 64);
static_assert(offsetof(ConnectCommand, fctype) == 4);
static_assert(offsetof(ConnectCommand, sgl) == 24);
static_assert(offsetof(ConnectCommand, recfmt) == 40);
static_assert(offsetof(ConnectCommand, qid) == 42);
static_assert(offsetof(ConnectCommand, sqsize_0based) == 44);
static_assert(offsetof(ConnectCommand, cattr) == 46);
static_assert(offsetof(ConnectCommand, kato_ms) == 48);

// CATTR bit 2: the host asks for no SQ flow control; a controller that agrees answers SQHD FFFFh.
inline constexpr uint8_t cattr_disable_sqflow = 1 << 2;
inline constexpr uint16_t sqhd_flow_disabled = 0xffff;

struct ConnectData {
  uint8_t hostid[16];
  uint16_t cntlid;
  uint8_t reserved0[238];
  char subnqn[nqn_bytes];
  char hostnqn[nqn_bytes];
  uint8_t reserved1[256];
};
static_assert(sizeof(ConnectData) == 1024);
static_assert(offsetof(ConnectData, cntlid) == 16);
static_assert(offsetof(ConnectData, subnqn) == 256);
static_assert(offsetof(ConnectData, hostnqn) == 512);

// DW0 of a successful Connect: CNTLID, and AUTHREQ in bits 31:16, whose bit 1 (ATR) says that the
// queue takes nothing but authentication until the host has authenticated (6.3, 8.13.1), and whose
// bit 2 (ASCR) that the host has to go on over TLS then.
inline constexpr uint32_t connect_authreq_atr = 1u << 17;
inline constexpr uint32_t connect_authreq_ascr = 1u << 18;

// The host takes whichever controller the subsystem gives (dynamic controller model).
inline constexpr uint16_t cntlid_dynamic = 0xffff;

// Connect failed with invalid parameters: DW0 says where.
struct ConnectInvalid {
  uint16_t ipo;   // Byte offset of the field, in the SQE or in the data.
  uint8_t iattr;  // Bit 0: 0 the SQE, 1 the data.
  uint8_t reserved;
};
static_assert(sizeof(ConnectInvalid) == 4);

// 6.6 and 6.4: Property Get and Set.
struct PropertyCommand {
  uint8_t opcode;
  uint8_t flags;
  uint16_t cid;
  uint8_t fctype;
  uint8_t reserved0[35];
  uint8_t attrib;  // Bits 2:0: 0 four bytes, 1 eight bytes.
  uint8_t reserved1[3];
  uint32_t offset;
  uint64_t value;  // Set only.
  uint8_t reserved2[8];
};
static_assert(sizeof(PropertyCommand) == 64);
static_assert(offsetof(PropertyCommand, attrib) == 40);
static_assert(offsetof(PropertyCommand, offset) == 44);
static_assert(offsetof(PropertyCommand, value) == 48);

// Base 3.1.3: the properties, by offset.
enum class Property : uint32_t {
  cap = 0x00,  // 8 bytes.
  vs = 0x08,
  cc = 0x14,
  csts = 0x1c,
  nssr = 0x20,
};

// CAP: bits 15:0 MQES (0-based), 31:24 TO in 500 ms, 36:35 of NSSRS/BPS are not ours, 51:48 MPSMIN.
constexpr uint32_t cap_mqes_0based(uint64_t cap) noexcept {
  return cap & 0xffff;
}
constexpr uint32_t cap_timeout_ms(uint64_t cap) noexcept {
  return static_cast<uint32_t>((cap >> 24) & 0xff) * 500;
}

// CC.
inline constexpr uint32_t cc_enable = 1;
inline constexpr uint32_t cc_mps_shift = 7;
inline constexpr uint32_t cc_shn_shift = 14;  // Bits 15:14: 1 normal, 2 abrupt.
inline constexpr uint32_t cc_shn_normal = 1u << cc_shn_shift;
inline constexpr uint32_t cc_iosqes_64 = 6u << 16;  // 2^6 bytes.
inline constexpr uint32_t cc_iocqes_16 = 4u << 20;  // 2^4 bytes.

// CSTS.
inline constexpr uint32_t csts_ready = 1;
inline constexpr uint32_t csts_fatal = 1u << 1;
inline constexpr uint32_t csts_shst_shift = 2;  // Bits 3:2: 0 normal, 1 under way, 2 complete.
inline constexpr uint32_t csts_shst_mask = 3u << csts_shst_shift;
inline constexpr uint32_t csts_shst_complete = 2u << csts_shst_shift;

// Feature identifiers (Base 5.27.1) that the native host uses.
inline constexpr uint8_t feature_number_of_queues = 0x07;
inline constexpr uint8_t feature_async_event_config = 0x0b;
inline constexpr uint8_t feature_keep_alive_timer = 0x0f;

// Identify (Base 5.17): the fields of the controller data that a native host needs.
inline constexpr uint8_t cns_namespace = 0x00;
inline constexpr uint8_t cns_controller = 0x01;
inline constexpr uint8_t cns_active_namespaces = 0x02;
inline constexpr uint32_t identify_bytes = 4096;
inline constexpr uint32_t identify_controller_mdts = 77;
inline constexpr uint32_t identify_controller_kas = 320;  // 16 bits, in 100 ms.
inline constexpr uint32_t identify_controller_sqes = 512;
inline constexpr uint32_t identify_controller_maxcmd = 514;   // 16 bits.
inline constexpr uint32_t identify_controller_nn = 516;       // 32 bits.
inline constexpr uint32_t identify_controller_sgls = 536;     // 32 bits.
inline constexpr uint32_t identify_controller_ioccsz = 1792;  // 32 bits, in 16 bytes.
inline constexpr uint32_t identify_controller_iorcsz = 1796;
inline constexpr uint32_t identify_controller_icdoff = 1800;  // 16 bits, in 16 bytes.

}  // namespace ashlar::nvme
