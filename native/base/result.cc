#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace ashlar {

const char* error_code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid-argument";
    case ErrorCode::not_found: return "not-found";
    case ErrorCode::already_exists: return "already-exists";
    case ErrorCode::busy: return "busy";
    case ErrorCode::closed: return "closed";
    case ErrorCode::limit_exceeded: return "limit-exceeded";
    case ErrorCode::timed_out: return "timed-out";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::io_error: return "io-error";
    case ErrorCode::no_space: return "no-space";
    case ErrorCode::permission_denied: return "permission-denied";
    case ErrorCode::io_uring_forbidden: return "io-uring-forbidden";
    case ErrorCode::io_uring_missing: return "io-uring-missing";
    case ErrorCode::kernel_too_old: return "kernel-too-old";
    case ErrorCode::memlock_too_small: return "memlock-too-small";
    case ErrorCode::address_in_use: return "address-in-use";
    case ErrorCode::address_unavailable: return "address-unavailable";
    case ErrorCode::connection_refused: return "connection-refused";
    case ErrorCode::connection_lost: return "connection-lost";
    case ErrorCode::protocol_error: return "protocol-error";
    case ErrorCode::pool_exists: return "pool-exists";
    case ErrorCode::pool_not_a_pool: return "pool-not-a-pool";
    case ErrorCode::pool_locked: return "pool-locked";
    case ErrorCode::pool_newer_format: return "pool-newer-format";
    case ErrorCode::pool_truncated: return "pool-truncated";
    case ErrorCode::pool_corrupt: return "pool-corrupt";
    case ErrorCode::pool_failed: return "pool-failed";
  }
  CHECK(false);
}

namespace {

ErrorCode code_from_errno(int errno_value) noexcept {
  switch (errno_value) {
    case ENOENT: return ErrorCode::not_found;
    case EEXIST: return ErrorCode::already_exists;
    case EACCES:
    case EPERM: return ErrorCode::permission_denied;
    case ENOSPC:
    case EDQUOT: return ErrorCode::no_space;
    case EADDRINUSE: return ErrorCode::address_in_use;
    case EADDRNOTAVAIL: return ErrorCode::address_unavailable;
    case ECONNREFUSED: return ErrorCode::connection_refused;
    case ECONNRESET:
    case EPIPE: return ErrorCode::connection_lost;
    case ETIMEDOUT: return ErrorCode::timed_out;
    case ECANCELED: return ErrorCode::cancelled;
    case EINVAL: return ErrorCode::invalid_argument;
    case EBUSY: return ErrorCode::busy;
    default: return ErrorCode::io_error;
  }
}

}  // namespace

Error error_from_errno(int errno_value, std::string what) {
  char text[128];
  // The GNU strerror_r returns the text, which may or may not be in our buffer.
  const char* reason = strerror_r(errno_value, text, sizeof text);
  return Error{code_from_errno(errno_value), std::move(what) + ": " + reason};
}

}  // namespace ashlar
