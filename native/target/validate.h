// The judge of I/O commands: one pure function from a submission queue entry, the namespace it
// names and the limits of the queue to a request that is safe to run, or to the status that says
// why not. Nothing behind it checks a range, a length or an alignment again.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "base/block_io.h"
#include "nvme/nvm.h"
#include "nvme/wire.h"
#include "target/ana.h"

namespace ashlar::target {

enum class IoKind : uint8_t {
  read,
  write,
  compare,
  flush,
  flush_all,  // NSID FFFFFFFFh: every attached namespace.
  write_zeroes,
  dataset_management,
  copy,
  verify,  // Reads back and transfers nothing.
};

// How the data of a command travels.
enum class DataPath : uint8_t {
  none,
  to_host,     // C2HData PDUs.
  from_host,   // R2T and H2CData PDUs.
  in_capsule,  // It came with the command.
};

// Where the data is and how long it is. `capsule_offset`: of the first byte within the capsule's
// data; only for in_capsule.
struct DataPlan {
  DataPath path = DataPath::none;
  uint32_t bytes = 0;
  uint32_t capsule_offset = 0;
};

struct IoRequest {
  IoKind kind = IoKind::flush;
  bool fua = false;
  bool deallocate = false;  // Write Zeroes: DEAC. Dataset Management: AD.
  uint16_t range_count = 0;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  DataPlan data;
};

// Do Not Retry (DNR) is set where the same command would fail the same way again.
struct Refusal {
  nvme::StatusCode status;
  bool do_not_retry = true;
};

// What the reservation of a namespace leaves to the host of this controller (Base 8.19). The
// control plane works it out of type, holder and registrants.
enum class ReservationRule : uint8_t {
  none,                      // Everything: no reservation, or one that lets this host pass.
  writes_refused,            // The Write Exclusive types: commands that read go on.
  reads_and_writes_refused,  // The Exclusive Access types.
};

struct NamespaceView {
  uint32_t block_bytes = 0;  // A power of two: 512 or 4,096.
  uint64_t size_bytes = 0;
  bool read_only = false;
  AnaState ana = AnaState::optimized;
  ReservationRule reservation = ReservationRule::none;
};

struct TransferLimits {
  uint32_t max_transfer_bytes = 0;
};

// Whether it changes what a namespace holds.
bool changes_data(IoKind kind) noexcept;

using Verdict = std::variant<IoRequest, Refusal>;

// `ns`: null when the NSID is not active (or is the broadcast value). `capsule_bytes`: how much
// data the capsule carries.
Verdict validate_io(const nvme::Sqe& sqe, const NamespaceView* ns, uint32_t capsule_bytes,
                    const TransferLimits& limits) noexcept;

// Which way the SGL says the data goes. `from_host`: the opcode's direction. `bytes` is the SGL's
// length; the caller compares it with what the command needs.
std::variant<DataPlan, Refusal> plan_data(const nvme::Sqe& sqe, bool from_host,
                                          uint32_t capsule_bytes) noexcept;

// One range of a Dataset Management command, against the namespace.
struct ByteRange {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;  // 0: nothing to do.
};
std::variant<ByteRange, Refusal> validate_dsm_range(const nvme::DsmRange& range,
                                                    const NamespaceView& ns) noexcept;

// The source ranges of a Copy, whole: how long they are, each and together (MSSRL, MCL), that they
// and the destination exist and that no source is overwritten. Answers the destination.
std::variant<ByteRange, Refusal> validate_copy_ranges(const nvme::Sqe& sqe,
                                                      std::span<const std::byte> list,
                                                      const NamespaceView& ns) noexcept;
// One of them. `index` is below their number; they have been judged.
ByteRange copy_source(std::span<const std::byte> list, uint32_t index,
                      const NamespaceView& ns) noexcept;

// What the store's answer means to a host.
Refusal refusal_of(BlockStatus status, bool is_read) noexcept;

}  // namespace ashlar::target
