// The structures of NVMe Base 2.0 and NVMe-oF that the data path reads and writes: submission and
// completion queue entries, SGL descriptors, opcodes and statuses.
//
// All fields are little-endian; so are the machines we build for (asserted), which makes a wire
// struct a plain struct. Fields that count from zero carry `_0based` in their names and are
// converted once, where they are decoded. Admin payloads (Identify, log pages) are TypeScript's.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace ashlar::nvme {

static_assert(std::endian::native == std::endian::little);

// Base 4.1.1: the SGL descriptor.
struct SglDescriptor {
  uint64_t address;  // Offset into in-capsule data for an offset subtype.
  uint32_t length;   // Bytes.
  uint8_t reserved[3];
  uint8_t type_subtype;  // Bits 7:4 type, 3:0 subtype.
};
static_assert(sizeof(SglDescriptor) == 16);
static_assert(offsetof(SglDescriptor, length) == 8);
static_assert(offsetof(SglDescriptor, type_subtype) == 15);

inline constexpr uint8_t sgl_data_block_offset = 0x01;       // Type 0, subtype 1: in-capsule.
inline constexpr uint8_t sgl_transport_data_block = 0x5a;    // Type 5, subtype Ah: by transport.

// Base 3.3.3.1: the submission queue entry. Command dwords 10 to 15 mean what the opcode says.
struct Sqe {
  uint8_t opcode;
  uint8_t flags;  // Bits 1:0 FUSE, 7:6 PSDT.
  uint16_t cid;
  uint32_t nsid;
  uint32_t cdw2;
  uint32_t cdw3;
  uint64_t mptr;
  SglDescriptor sgl;
  uint32_t cdw10;
  uint32_t cdw11;
  uint32_t cdw12;
  uint32_t cdw13;
  uint32_t cdw14;
  uint32_t cdw15;
};
static_assert(sizeof(Sqe) == 64);
static_assert(offsetof(Sqe, sgl) == 24);
static_assert(offsetof(Sqe, cdw10) == 40);

// Base 3.3.3.2: the completion queue entry.
struct Cqe {
  uint64_t result;  // DW0 and DW1.
  uint16_t sqhd;
  uint16_t sqid;
  uint16_t cid;
  uint16_t status;  // Bit 0 phase (0 over fabrics), 8:1 SC, 11:9 SCT, 13:12 CRD, 14 M, 15 DNR.
};
static_assert(sizeof(Cqe) == 16);
static_assert(offsetof(Cqe, cid) == 12);
static_assert(offsetof(Cqe, status) == 14);

// FUSE. 11b is reserved.
inline constexpr uint8_t fuse_first = 1;
inline constexpr uint8_t fuse_second = 2;
constexpr uint8_t fuse(const Sqe& sqe) noexcept { return sqe.flags & 3; }

enum class AdminOpcode : uint8_t {
  get_log_page = 0x02,
  identify = 0x06,
  abort = 0x08,
  set_features = 0x09,
  get_features = 0x0a,
  async_event_request = 0x0c,
  keep_alive = 0x18,
  fabrics = 0x7f,
};

enum class IoOpcode : uint8_t {
  flush = 0x00,
  write = 0x01,
  read = 0x02,
  write_uncorrectable = 0x04,
  compare = 0x05,
  write_zeroes = 0x08,
  dataset_management = 0x09,
  verify = 0x0c,
  reservation_register = 0x0d,
  reservation_report = 0x0e,
  reservation_acquire = 0x11,
  reservation_release = 0x15,
  copy = 0x19,
  fabrics = 0x7f,
};

// Base 7.2 to 7.5: commands on I/O queues that the control plane answers.
constexpr bool is_reservation(uint8_t opcode) noexcept {
  const auto of = static_cast<IoOpcode>(opcode);
  return of == IoOpcode::reservation_register || of == IoOpcode::reservation_report ||
         of == IoOpcode::reservation_acquire || of == IoOpcode::reservation_release;
}

enum class FabricsType : uint8_t {
  property_set = 0x00,
  connect = 0x01,
  property_get = 0x04,
  auth_send = 0x05,
  auth_receive = 0x06,
  disconnect = 0x08,
};

// Base 8.13: the commands that carry messages of authentication.
constexpr bool is_authentication(FabricsType type) noexcept {
  return type == FabricsType::auth_send || type == FabricsType::auth_receive;
}

// A status without phase and DNR: SCT << 8 | SC, as the spec tabulates it (Base 3.3.3.2.1).
enum class StatusCode : uint16_t {
  success = 0x000,
  invalid_opcode = 0x001,
  invalid_field = 0x002,
  command_id_conflict = 0x003,
  data_transfer_error = 0x004,
  internal_error = 0x006,
  abort_requested = 0x007,
  aborted_failed_fused = 0x009,
  aborted_missing_fused = 0x00a,
  invalid_namespace_or_format = 0x00b,
  command_sequence_error = 0x00c,
  invalid_sgl_segment_descriptor = 0x00d,
  invalid_sgl_descriptor_count = 0x00e,
  data_sgl_length_invalid = 0x00f,
  sgl_descriptor_type_invalid = 0x011,
  atomic_write_unit_exceeded = 0x014,
  sgl_offset_invalid = 0x016,
  keep_alive_timeout_invalid = 0x01a,
  namespace_write_protected = 0x020,
  command_interrupted = 0x021,
  transient_transport_error = 0x022,
  lba_out_of_range = 0x080,
  capacity_exceeded = 0x081,
  namespace_not_ready = 0x082,
  reservation_conflict = 0x083,
  invalid_log_page = 0x109,
  abort_limit_exceeded = 0x103,
  aer_limit_exceeded = 0x105,
  feature_not_changeable = 0x10e,
  conflicting_attributes = 0x180,
  command_size_limit_exceeded = 0x183,
  overlapping_io_range = 0x187,
  connect_incompatible_format = 0x180,
  connect_controller_busy = 0x181,
  connect_invalid_parameters = 0x182,
  connect_invalid_host = 0x184,
  invalid_queue_type = 0x185,
  authentication_required = 0x191,
  write_fault = 0x280,
  unrecovered_read_error = 0x281,
  compare_failure = 0x285,
  ana_persistent_loss = 0x301,
  ana_inaccessible = 0x302,
  ana_transition = 0x303,
  command_aborted_by_host = 0x371,
};

// The wire form of Cqe::status.
constexpr uint16_t status_field(StatusCode code, bool do_not_retry) noexcept {
  return static_cast<uint16_t>((static_cast<uint16_t>(code) << 1) | (do_not_retry ? 0x8000 : 0));
}

}  // namespace ashlar::nvme
