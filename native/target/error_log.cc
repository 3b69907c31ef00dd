#include "target/error_log.h"

#include <algorithm>
#include <cstddef>

#include "nvme/nvm.h"

namespace ashlar::target {

namespace {

using nvme::IoOpcode;
using nvme::Sqe;
using nvme::StatusCode;

constexpr uint16_t no_single_field = 0xffff;

bool has_slba(uint16_t sqid, const Sqe& sqe) noexcept {
  if (sqid == 0) return false;
  switch (static_cast<IoOpcode>(sqe.opcode)) {
    case IoOpcode::read:
    case IoOpcode::write:
    case IoOpcode::compare:
    case IoOpcode::verify:
    case IoOpcode::write_zeroes:
    case IoOpcode::copy: return true;
    default: return false;  // Any byte may come here.
  }
}

// The byte of the entry that is at fault, where the status says which.
uint16_t parameter_location(uint16_t sqid, const Sqe& sqe, StatusCode status) noexcept {
  switch (status) {
    case StatusCode::invalid_opcode: return offsetof(Sqe, opcode);
    case StatusCode::aborted_missing_fused: return offsetof(Sqe, flags);
    case StatusCode::command_id_conflict: return offsetof(Sqe, cid);
    case StatusCode::invalid_namespace_or_format: return offsetof(Sqe, nsid);
    case StatusCode::data_sgl_length_invalid:
      return offsetof(Sqe, sgl) + offsetof(nvme::SglDescriptor, length);
    case StatusCode::sgl_descriptor_type_invalid:
      return offsetof(Sqe, sgl) + offsetof(nvme::SglDescriptor, type_subtype);
    case StatusCode::sgl_offset_invalid:
      return offsetof(Sqe, sgl) + offsetof(nvme::SglDescriptor, address);
    case StatusCode::invalid_log_page: return offsetof(Sqe, cdw10);
    case StatusCode::lba_out_of_range: {
      // A list of ranges has it in its data; so may a Copy.
      const bool copy = sqe.opcode == static_cast<uint8_t>(IoOpcode::copy);
      return has_slba(sqid, sqe) && !copy ? uint16_t{offsetof(Sqe, cdw10)} : no_single_field;
    }
    case StatusCode::atomic_write_unit_exceeded: return offsetof(Sqe, cdw12);
    default: return no_single_field;
  }
}

}  // namespace

bool belongs_in_error_log(StatusCode status) noexcept {
  constexpr uint16_t path_related = 3;
  if (static_cast<uint16_t>(status) >> 8 == path_related) return false;
  return status != StatusCode::success && status != StatusCode::abort_requested &&
         status != StatusCode::compare_failure && status != StatusCode::aborted_failed_fused;
}

ErrorRecord error_record(uint16_t sqid, const Sqe& sqe, Refusal outcome) noexcept {
  ErrorRecord record;
  record.sqid = sqid;
  record.cid = sqe.cid;
  record.status_field = nvme::status_field(outcome.status, outcome.do_not_retry);
  record.parameter_location = parameter_location(sqid, sqe, outcome.status);
  record.lba = has_slba(sqid, sqe) ? nvme::slba(sqe) : 0;
  // Fabrics commands have their type where others have the NSID.
  record.nsid = sqe.opcode == static_cast<uint8_t>(IoOpcode::fabrics) ? 0 : sqe.nsid;
  record.opcode = sqe.opcode;
  return record;
}

void ErrorLog::add(ErrorRecord record) noexcept {
  const std::lock_guard lock(mutex_);
  record.count = ++count_;
  ring_[(record.count - 1) % ring_.size()] = record;
}

ErrorLog::Contents ErrorLog::read() const {
  const std::lock_guard lock(mutex_);
  Contents contents;
  contents.count = count_;
  const uint64_t kept = std::min<uint64_t>(count_, ring_.size());
  for (uint64_t i = 0; i < kept; ++i) {
    contents.newest.push_back(ring_[(count_ - 1 - i) % ring_.size()]);
  }
  return contents;
}

}  // namespace ashlar::target
