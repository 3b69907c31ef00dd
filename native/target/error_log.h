// ErrorLog: the newest commands of a controller that failed, on whichever queue.
//
// Only a failing command comes here, so the lock is off the path of those that succeed; a host that
// fails on purpose makes its own controller's queues wait for each other, and no other's.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "nvme/wire.h"
#include "target/limits.h"
#include "target/validate.h"

namespace ashlar::target {

// As Base 5.16.1.2 lays it out, but for what is the same for all.
struct ErrorRecord {
  uint64_t count = 0;  // Of all errors of the controller, from 1.
  uint16_t sqid = 0;
  uint16_t cid = 0;
  uint16_t status_field = 0;  // As in the completion.
  uint16_t parameter_location = 0;
  uint64_t lba = 0;
  uint32_t nsid = 0;
  uint8_t opcode = 0;
};

// Whether a host that reads its error log looks for this. Not what a command asked about (Compare),
// not what says "use another path" or "as you wished", and not the half of a fused pair whose other
// half is in the log or failed its comparison.
bool belongs_in_error_log(nvme::StatusCode status) noexcept;

ErrorRecord error_record(uint16_t sqid, const nvme::Sqe& sqe, Refusal outcome) noexcept;

class ErrorLog {
 public:
  void add(ErrorRecord record) noexcept;
  // Of all errors since the controller began, and the newest of them, newest first.
  struct Contents {
    uint64_t count = 0;
    std::vector<ErrorRecord> newest;
  };
  Contents read() const;

 private:
  mutable std::mutex mutex_;
  uint64_t count_ = 0;
  std::array<ErrorRecord, limits::error_log_entries> ring_{};
};

}  // namespace ashlar::target
