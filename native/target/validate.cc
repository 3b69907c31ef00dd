#include "target/validate.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "target/limits.h"

namespace ashlar::target {

namespace {

using nvme::IoOpcode;
using nvme::Sqe;
using nvme::StatusCode;

constexpr uint8_t psdt_sgl = 1;
constexpr uint32_t dtype_mask = 0xfu << 20;  // CDW12 of Write and Copy: no directives.
constexpr uint32_t dsm_attributes = 7;             // IDR, IDW, AD.

constexpr uint8_t psdt(const Sqe& sqe) noexcept { return static_cast<uint8_t>(sqe.flags >> 6); }

bool kind_of(uint8_t opcode, IoKind& kind) noexcept {
  switch (static_cast<IoOpcode>(opcode)) {
    case IoOpcode::flush: kind = IoKind::flush; return true;
    case IoOpcode::write: kind = IoKind::write; return true;
    case IoOpcode::read: kind = IoKind::read; return true;
    case IoOpcode::compare: kind = IoKind::compare; return true;
    case IoOpcode::write_zeroes: kind = IoKind::write_zeroes; return true;
    case IoOpcode::dataset_management: kind = IoKind::dataset_management; return true;
    case IoOpcode::copy: kind = IoKind::copy; return true;
    case IoOpcode::verify: kind = IoKind::verify; return true;
    case IoOpcode::write_uncorrectable:
    case IoOpcode::reservation_register:
    case IoOpcode::reservation_report:
    case IoOpcode::reservation_acquire:
    case IoOpcode::reservation_release:
    case IoOpcode::fabrics: return false;
  }
  return false;
}

// 8.1.3: what a path that may not serve answers. These are about the path, so never DNR.
bool path_refuses(AnaState state, Refusal& refusal) noexcept {
  switch (state) {
    case AnaState::optimized:
    case AnaState::non_optimized: return false;
    case AnaState::inaccessible: refusal = {StatusCode::ana_inaccessible, false}; return true;
    case AnaState::persistent_loss: refusal = {StatusCode::ana_persistent_loss, false}; return true;
    case AnaState::change: refusal = {StatusCode::ana_transition, false}; return true;
  }
  CHECK(false);
}

// Base 8.19, "Command Behavior in the Presence of a Reservation": Compare and Verify count as
// reads; Flush, Copy and Dataset Management as writes. Flush of every namespace is not about this
// one: it goes on.
bool reservation_refuses(ReservationRule rule, IoKind kind) noexcept {
  if (rule == ReservationRule::none) return false;
  switch (kind) {
    case IoKind::read:
    case IoKind::compare:
    case IoKind::verify: return rule == ReservationRule::reads_and_writes_refused;
    case IoKind::write:
    case IoKind::write_zeroes:
    case IoKind::copy:
    case IoKind::dataset_management:
    case IoKind::flush: return true;
    case IoKind::flush_all: return false;
  }
  CHECK(false);
}

// SLBA and a count of blocks to bytes. `blocks` is at most 2^32, so only SLBA can overflow.
bool to_bytes(uint64_t slba, uint64_t blocks, const NamespaceView& ns, ByteRange& range) noexcept {
  const auto shift = static_cast<uint32_t>(std::countr_zero(ns.block_bytes));
  const uint64_t size_blocks = ns.size_bytes >> shift;
  if (slba > size_blocks || blocks > size_blocks - slba) return false;
  range = {slba << shift, blocks << shift};
  return true;
}

Verdict validate_flush(const Sqe& sqe, const NamespaceView* ns) noexcept {
  IoRequest request;
  request.kind = ns == nullptr ? IoKind::flush_all : IoKind::flush;
  CHECK(ns != nullptr || sqe.nsid == nvme::nsid_all);
  return request;
}

// Read, Write, Compare.
Verdict validate_transfer(const Sqe& sqe, IoKind kind, const NamespaceView& ns,
                          uint32_t capsule_bytes, const TransferLimits& transfer) noexcept {
  if (kind == IoKind::write && (sqe.cdw12 & dtype_mask) != 0) {
    return Refusal{StatusCode::invalid_field};
  }
  ByteRange range;
  if (!to_bytes(nvme::slba(sqe), nvme::number_of_blocks(sqe), ns, range)) {
    return Refusal{StatusCode::lba_out_of_range};
  }
  if (range.length_bytes > transfer.max_transfer_bytes) return Refusal{StatusCode::invalid_field};
  if (nvme::fuse(sqe) != 0 && range.length_bytes > limits::fused_bytes) {
    return Refusal{StatusCode::atomic_write_unit_exceeded};
  }
  const auto plan = plan_data(sqe, kind != IoKind::read, capsule_bytes);
  if (const auto* refusal = std::get_if<Refusal>(&plan)) return *refusal;
  IoRequest request;
  request.data = *std::get_if<DataPlan>(&plan);
  if (request.data.bytes != range.length_bytes) return Refusal{StatusCode::data_sgl_length_invalid};
  request.kind = kind;
  request.fua = (sqe.cdw12 & nvme::rw_fua) != 0;
  request.offset_bytes = range.offset_bytes;
  request.length_bytes = range.length_bytes;
  return request;
}

Verdict validate_write_zeroes(const Sqe& sqe, const NamespaceView& ns) noexcept {
  ByteRange range;
  if (!to_bytes(nvme::slba(sqe), nvme::number_of_blocks(sqe), ns, range)) {
    return Refusal{StatusCode::lba_out_of_range};
  }
  IoRequest request;
  request.kind = IoKind::write_zeroes;
  request.fua = (sqe.cdw12 & nvme::rw_fua) != 0;
  request.deallocate = (sqe.cdw12 & nvme::write_zeroes_deac) != 0;
  request.offset_bytes = range.offset_bytes;
  request.length_bytes = range.length_bytes;
  return request;
}

// VSL is what MDTS is: one Verify keeps the scratch buffer of its queue no longer than a Compare.
Verdict validate_verify(const Sqe& sqe, const NamespaceView& ns,
                        const TransferLimits& transfer) noexcept {
  ByteRange range;
  if (!to_bytes(nvme::slba(sqe), nvme::number_of_blocks(sqe), ns, range)) {
    return Refusal{StatusCode::lba_out_of_range};
  }
  if (range.length_bytes > transfer.max_transfer_bytes) return Refusal{StatusCode::invalid_field};
  IoRequest request;
  request.kind = IoKind::verify;
  request.offset_bytes = range.offset_bytes;
  request.length_bytes = range.length_bytes;
  return request;
}

// Hosts may send the whole 4 KiB list whatever the number of ranges says; the ranges themselves
// are judged when they have arrived.
Verdict validate_dataset_management(const Sqe& sqe, uint32_t capsule_bytes) noexcept {
  if ((sqe.cdw11 & ~dsm_attributes) != 0) return Refusal{StatusCode::invalid_field};
  const uint32_t count = nvme::number_of_dsm_ranges(sqe);
  const auto plan = plan_data(sqe, true, capsule_bytes);
  if (const auto* refusal = std::get_if<Refusal>(&plan)) return *refusal;
  IoRequest request;
  request.data = *std::get_if<DataPlan>(&plan);
  if (request.data.bytes < count * sizeof(nvme::DsmRange) ||
      request.data.bytes > nvme::max_dsm_ranges * sizeof(nvme::DsmRange)) {
    return Refusal{StatusCode::data_sgl_length_invalid};
  }
  request.kind = IoKind::dataset_management;
  request.deallocate = (sqe.cdw11 & nvme::dsm_deallocate) != 0;
  request.range_count = static_cast<uint16_t>(count);
  return request;
}

// The ranges themselves are judged when they have arrived.
Verdict validate_copy(const Sqe& sqe, uint32_t capsule_bytes) noexcept {
  if ((sqe.cdw12 & (nvme::copy_desfmt_mask | dtype_mask)) != 0) {
    return Refusal{StatusCode::invalid_field};
  }
  const uint32_t count = nvme::number_of_copy_ranges(sqe);
  if (count > limits::copy_ranges) return Refusal{StatusCode::command_size_limit_exceeded};
  const auto plan = plan_data(sqe, true, capsule_bytes);
  if (const auto* refusal = std::get_if<Refusal>(&plan)) return *refusal;
  IoRequest request;
  request.data = *std::get_if<DataPlan>(&plan);
  if (request.data.bytes < count * sizeof(nvme::CopyRange) ||
      request.data.bytes > limits::copy_ranges * sizeof(nvme::CopyRange)) {
    return Refusal{StatusCode::data_sgl_length_invalid};
  }
  request.kind = IoKind::copy;
  request.fua = (sqe.cdw12 & nvme::rw_fua) != 0;
  request.range_count = static_cast<uint16_t>(count);
  return request;
}

nvme::CopyRange copy_range(std::span<const std::byte> list, uint32_t index) noexcept {
  nvme::CopyRange range;
  CHECK((index + 1) * sizeof range <= list.size());
  std::memcpy(&range, list.data() + index * sizeof range, sizeof range);
  return range;
}

// Compare first, Write second.
bool fuse_allowed(const Sqe& sqe, IoKind kind) noexcept {
  switch (nvme::fuse(sqe)) {
    case 0: return true;
    case nvme::fuse_first: return kind == IoKind::compare;
    case nvme::fuse_second: return kind == IoKind::write;
    default: return false;
  }
}

}  // namespace

bool changes_data(IoKind kind) noexcept {
  switch (kind) {
    case IoKind::write:
    case IoKind::write_zeroes:
    case IoKind::copy:
    case IoKind::dataset_management: return true;
    case IoKind::read:
    case IoKind::compare:
    case IoKind::verify:
    case IoKind::flush:
    case IoKind::flush_all: return false;
  }
  CHECK(false);
}

std::variant<DataPlan, Refusal> plan_data(const Sqe& sqe, bool from_host,
                                          uint32_t capsule_bytes) noexcept {
  if (psdt(sqe) != psdt_sgl) return Refusal{StatusCode::invalid_field};
  switch (sqe.sgl.type_subtype) {
    case nvme::sgl_transport_data_block:
      if (capsule_bytes != 0) return Refusal{StatusCode::invalid_field};
      if (sqe.sgl.length == 0) return DataPlan{};
      return DataPlan{from_host ? DataPath::from_host : DataPath::to_host, sqe.sgl.length, 0};
    case nvme::sgl_data_block_offset:
      // Controller memory cannot be read from through a capsule.
      if (!from_host) return Refusal{StatusCode::sgl_descriptor_type_invalid};
      if (sqe.sgl.address > capsule_bytes ||
          sqe.sgl.length > capsule_bytes - sqe.sgl.address) {
        return Refusal{StatusCode::sgl_offset_invalid};
      }
      if (sqe.sgl.length == 0) {
        if (capsule_bytes != 0) return Refusal{StatusCode::data_sgl_length_invalid};
        return DataPlan{};
      }
      return DataPlan{DataPath::in_capsule, sqe.sgl.length,
                      static_cast<uint32_t>(sqe.sgl.address)};
    default: return Refusal{StatusCode::sgl_descriptor_type_invalid};
  }
}

Verdict validate_io(const Sqe& sqe, const NamespaceView* ns, uint32_t capsule_bytes,
                    const TransferLimits& transfer) noexcept {
  IoKind kind{};
  if (!kind_of(sqe.opcode, kind)) return Refusal{StatusCode::invalid_opcode};
  if (!fuse_allowed(sqe, kind)) return Refusal{StatusCode::invalid_field};
  const bool carries_data =
      kind != IoKind::flush && kind != IoKind::write_zeroes && kind != IoKind::verify;
  if (!carries_data && capsule_bytes != 0) return Refusal{StatusCode::invalid_field};
  if (ns == nullptr) {
    if (kind == IoKind::flush && sqe.nsid == nvme::nsid_all) return validate_flush(sqe, nullptr);
    return Refusal{StatusCode::invalid_namespace_or_format};
  }
  Refusal refusal{};
  if (path_refuses(ns->ana, refusal)) return refusal;
  if (reservation_refuses(ns->reservation, kind)) return Refusal{StatusCode::reservation_conflict};
  if (ns->read_only && changes_data(kind)) return Refusal{StatusCode::namespace_write_protected};
  switch (kind) {
    case IoKind::flush:
    case IoKind::flush_all: return validate_flush(sqe, ns);
    case IoKind::read:
    case IoKind::write:
    case IoKind::compare: return validate_transfer(sqe, kind, *ns, capsule_bytes, transfer);
    case IoKind::write_zeroes: return validate_write_zeroes(sqe, *ns);
    case IoKind::copy: return validate_copy(sqe, capsule_bytes);
    case IoKind::verify: return validate_verify(sqe, *ns, transfer);
    case IoKind::dataset_management: return validate_dataset_management(sqe, capsule_bytes);
  }
  CHECK(false);
}

std::variant<ByteRange, Refusal> validate_dsm_range(const nvme::DsmRange& range,
                                                    const NamespaceView& ns) noexcept {
  ByteRange bytes;
  if (!to_bytes(range.slba, range.length_blocks, ns, bytes)) {
    return Refusal{StatusCode::lba_out_of_range};
  }
  return bytes;
}

std::variant<ByteRange, Refusal> validate_copy_ranges(const Sqe& sqe,
                                                      std::span<const std::byte> list,
                                                      const NamespaceView& ns) noexcept {
  const auto count = static_cast<uint32_t>(list.size() / sizeof(nvme::CopyRange));
  uint64_t total_blocks = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const nvme::CopyRange range = copy_range(list, i);
    const uint64_t blocks = uint64_t{range.nlb_0based} + 1;
    total_blocks += blocks;
    if (blocks * ns.block_bytes > limits::copy_range_bytes ||
        total_blocks * ns.block_bytes > limits::copy_bytes) {
      return Refusal{StatusCode::command_size_limit_exceeded};
    }
    ByteRange source;
    if (!to_bytes(range.slba, blocks, ns, source)) return Refusal{StatusCode::lba_out_of_range};
  }
  ByteRange to;
  if (!to_bytes(nvme::slba(sqe), total_blocks, ns, to)) {
    return Refusal{StatusCode::lba_out_of_range};
  }
  for (uint32_t i = 0; i < count; ++i) {
    const ByteRange from = copy_source(list, i, ns);
    if (from.offset_bytes < to.offset_bytes + to.length_bytes &&
        to.offset_bytes < from.offset_bytes + from.length_bytes) {
      return Refusal{StatusCode::overlapping_io_range};
    }
  }
  return to;
}

ByteRange copy_source(std::span<const std::byte> list, uint32_t index,
                      const NamespaceView& ns) noexcept {
  const nvme::CopyRange range = copy_range(list, index);
  ByteRange source;
  CHECK(to_bytes(range.slba, uint64_t{range.nlb_0based} + 1, ns, source));
  return source;
}

Refusal refusal_of(BlockStatus status, bool is_read) noexcept {
  switch (status) {
    case BlockStatus::ok: return {StatusCode::success, false};
    case BlockStatus::capacity_exceeded: return {StatusCode::capacity_exceeded, true};
    case BlockStatus::read_error: return {StatusCode::unrecovered_read_error, true};
    case BlockStatus::write_error: return {StatusCode::write_fault, true};
    // Rule 6 of the store: final, and a retry on this path must not look like a success.
    case BlockStatus::pool_failed:
      return {is_read ? StatusCode::internal_error : StatusCode::write_fault, true};
    case BlockStatus::gone: return {StatusCode::invalid_namespace_or_format, true};
  }
  CHECK(false);
}

}  // namespace ashlar::target
