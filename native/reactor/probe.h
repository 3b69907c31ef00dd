// Probe: can the reactors run on this machine, and which optional kernel features do they get?
//
// Trying is separated from deciding: try_ring() makes system calls and notes what happened,
// decide() is a pure function of the notes, so that every refusal can be tested on any machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace ashlar {

// Optional features, as found. Linux 6.1 has all of them; 5.19 lacks the first two.
struct RingFeatures {
  bool single_issuer = false;  // 6.0
  bool defer_taskrun = false;  // 6.1
  bool coop_taskrun = false;   // 5.19
};

// What the attempts gave. errno values; 0: it worked.
struct ProbeNotes {
  std::string kernel_release;  // uname -r
  int setup_errno = 0;         // io_uring_setup without any flags.
  bool has_features = false;   // The flags and operations that 5.19 brings.
  RingFeatures features;
  // /proc/sys/kernel/io_uring_disabled: 0 all may, 1 some may, 2 none; absent before 6.6.
  std::optional<int> sysctl_disabled;
  std::optional<uint64_t> memlock_bytes;  // Absent: unlimited.
};

struct ProbeVerdict {
  std::optional<Error> problem;  // io_uring_missing, io_uring_forbidden, kernel_too_old, …
  RingFeatures features;
};

ProbeNotes probe_system();
ProbeVerdict decide(const ProbeNotes& notes);
// Names as `Probe.features` in lib/native.ts lists them.
std::vector<std::string> feature_names(const RingFeatures& features);
// The refusal when `wanted_bytes` of buffers a reactor cannot be registered.
Error memlock_error(uint64_t wanted_bytes, std::optional<uint64_t> limit_bytes);

}  // namespace ashlar
