// Result<T>: an operating error as a value.
//
// Slow-path calls (open, create, listen) return Result. The I/O path uses BlockStatus and NVMe
// statuses instead, which carry no text and allocate nothing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace ashlar {

// Every way in which the outside can refuse us. error_code_name() gives the kebab-case word that
// crosses to TypeScript, where lib/errors.ts holds the same closed list.
enum class ErrorCode : uint8_t {
  invalid_argument,
  not_found,
  already_exists,
  busy,
  closed,
  limit_exceeded,
  timed_out,
  cancelled,
  io_error,
  no_space,
  permission_denied,
  // Runtime.
  io_uring_forbidden,
  io_uring_missing,
  kernel_too_old,
  memlock_too_small,
  // Network.
  address_in_use,
  address_unavailable,
  connection_refused,
  connection_lost,
  protocol_error,
  // Pool.
  pool_exists,
  pool_not_a_pool,
  pool_locked,
  pool_newer_format,
  pool_truncated,
  pool_corrupt,
  pool_failed,
};

const char* error_code_name(ErrorCode code) noexcept;

// `message` is one line that names the thing, the value, the limit and what to do next.
struct Error {
  ErrorCode code;
  std::string message;
};

struct Unit {};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  Error& error() & {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const& {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<Unit>;

// "<what>: <strerror>" with the ErrorCode that fits the errno; `what` names the thing concerned.
Error error_from_errno(int errno_value, std::string what);

}  // namespace ashlar
