#include "reactor/probe.h"

#include <liburing.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace ashlar {

namespace {

// 0, or the errno of io_uring_setup with these flags.
int try_ring(unsigned flags, bool* has_features) {
  io_uring ring{};
  io_uring_params params{};
  params.flags = flags;
  const int result = io_uring_queue_init_params(8, &ring, &params);
  if (result < 0) return -result;
  if (has_features != nullptr) {
    // 5.19 is the first with IORING_OP_SOCKET, and with cancellation by IORING_ASYNC_CANCEL_ANY.
    const std::unique_ptr<io_uring_probe, void (*)(io_uring_probe*)> probe(
        io_uring_get_probe_ring(&ring), io_uring_free_probe);
    *has_features = (params.features & IORING_FEAT_EXT_ARG) != 0 &&
                    (params.features & IORING_FEAT_NODROP) != 0 && probe != nullptr &&
                    io_uring_opcode_supported(probe.get(), IORING_OP_SOCKET) != 0;
  }
  io_uring_queue_exit(&ring);
  return 0;
}

std::optional<int> read_sysctl() {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(
      std::fopen("/proc/sys/kernel/io_uring_disabled", "re"), [](FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  if (file == nullptr) return std::nullopt;
  int value = 0;
  if (std::fscanf(file.get(), "%d", &value) != 1) return std::nullopt;
  return value;
}

std::string in_mib(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

}  // namespace

ProbeNotes probe_system() {
  ProbeNotes notes;
  utsname names{};
  if (uname(&names) == 0) notes.kernel_release = names.release;
  notes.sysctl_disabled = read_sysctl();
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    notes.memlock_bytes = limit.rlim_cur;
  }
  notes.setup_errno = try_ring(0, &notes.has_features);
  if (notes.setup_errno != 0) return notes;
  notes.features.coop_taskrun =
      try_ring(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, nullptr) == 0;
  notes.features.single_issuer = try_ring(IORING_SETUP_SINGLE_ISSUER, nullptr) == 0;
  notes.features.defer_taskrun =
      try_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
               nullptr) == 0;
  return notes;
}

ProbeVerdict decide(const ProbeNotes& notes) {
  const std::string kernel = "this kernel (" + notes.kernel_release + ")";
  switch (notes.setup_errno) {
    case 0: break;
    case ENOSYS:
      return {Error{ErrorCode::io_uring_missing,
                    kernel + " has no io_uring; use Linux 5.19 or newer with CONFIG_IO_URING"},
              {}};
    case EPERM:
    case EACCES: {
      std::string why;
      if (notes.sysctl_disabled.value_or(0) != 0) {
        why = "kernel.io_uring_disabled is " + std::to_string(*notes.sysctl_disabled) +
              "; set it to 0 with: sysctl kernel.io_uring_disabled=0";
      } else {
        why = "a seccomp filter or security module refuses it (Docker's default profile does); "
              "start the container with --security-opt seccomp=deploy/docker/seccomp.json of "
              "Ashlar, or allow io_uring_setup, io_uring_enter and io_uring_register in its own";
      }
      return {Error{ErrorCode::io_uring_forbidden, "io_uring is forbidden here: " + why}, {}};
    }
    case ENOMEM:
      return {Error{ErrorCode::memlock_too_small,
                    "the kernel has no memory for an io_uring: the locked-memory limit is " +
                        (notes.memlock_bytes ? in_mib(*notes.memlock_bytes) : "unlimited") +
                        "; raise it (ulimit -l, LimitMEMLOCK=) or the memory limit of the container"},
              {}};
    case EMFILE:
    case ENFILE:
      return {Error{ErrorCode::limit_exceeded,
                    "no file descriptor is left for an io_uring; raise the limit (ulimit -n)"},
              {}};
    default:
      return {Error{ErrorCode::io_error, std::string("io_uring_setup fails: ") +
                                             strerrordesc_np(notes.setup_errno)},
              {}};
  }
  if (!notes.has_features || !notes.features.coop_taskrun) {
    return {Error{ErrorCode::kernel_too_old,
                  kernel + " is too old: its io_uring lacks what the reactors need; use Linux 5.19 "
                           "or newer"},
            {}};
  }
  return {std::nullopt, notes.features};
}

std::vector<std::string> feature_names(const RingFeatures& features) {
  std::vector<std::string> names;
  if (features.coop_taskrun) names.emplace_back("coop-taskrun");
  if (features.single_issuer) names.emplace_back("single-issuer");
  if (features.defer_taskrun) names.emplace_back("defer-taskrun");
  return names;
}

Error memlock_error(uint64_t wanted_bytes, std::optional<uint64_t> limit_bytes) {
  return {ErrorCode::memlock_too_small,
          "cannot lock " + in_mib(wanted_bytes) + " of I/O buffers for each reactor: the limit is " +
              (limit_bytes ? in_mib(*limit_bytes) : "not RLIMIT_MEMLOCK but the machine's memory") +
              "; raise it (ulimit -l, LimitMEMLOCK=, --ulimit memlock=) or ask for smaller buffers"};
}

}  // namespace ashlar
