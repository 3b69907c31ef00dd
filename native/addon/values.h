// Values: reading arguments from JavaScript and making objects for it.
//
// TypeScript is the only caller and the compiler has checked it, so a wrong type is a bug in lib/;
// it must still never crash the process. Reader notes the first problem and gives zeroes from then
// on; the binding asks ok() once, after reading everything.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "addon/bridge.h"
#include "base/result.h"
#include "base/uuid.h"

namespace ashlar::addon {

class Reader {
 public:
  explicit Reader(Napi::Env env) : env_(env) {}

  bool ok() const noexcept { return !problem_.has_value(); }
  const Error& problem() const { return *problem_; }
  // Notes a problem of the binding's own; the first one counts.
  void fail(ErrorCode code, std::string message);
  // Throws the noted problem; for calls that return at once. Returns undefined.
  Napi::Value raise() const;
  // A promise rejected with the noted problem.
  Napi::Value reject() const;

  // Fields of an object: `field` is the name in lib/native.ts, which messages repeat.
  Napi::Value field(Napi::Value object, const char* field);
  template <class T>
    requires std::is_unsigned_v<T>
  T number(Napi::Value object, const char* name) {
    static_assert(sizeof(T) <= 4, "64-bit numbers are bigints: use u64()");
    return static_cast<T>(
        to_number(field(object, name), name, static_cast<double>(std::numeric_limits<T>::max())));
  }
  uint64_t u64(Napi::Value object, const char* name) { return to_u64(field(object, name), name); }
  bool boolean(Napi::Value object, const char* name);
  bool flag(Napi::Value object, const char* name);  // Not given: false.
  std::string text(Napi::Value object, const char* name) {
    return to_text(field(object, name), name);
  }
  std::vector<std::byte> bytes(Napi::Value object, const char* name) {
    return to_bytes(field(object, name), name);
  }
  Uuid uuid(Napi::Value object, const char* name) { return to_uuid(field(object, name), name); }
  // `T | null` fields.
  template <class T>
  std::optional<T> number_or_null(Napi::Value object, const char* name) {
    if (is_null(object, name)) return std::nullopt;
    return number<T>(object, name);
  }
  std::optional<uint64_t> u64_or_null(Napi::Value object, const char* name) {
    if (is_null(object, name)) return std::nullopt;
    return u64(object, name);
  }
  std::optional<std::vector<std::byte>> bytes_or_null(Napi::Value object, const char* name) {
    if (is_null(object, name)) return std::nullopt;
    return bytes(object, name);
  }
  std::optional<Uuid> uuid_or_null(Napi::Value object, const char* name) {
    if (is_null(object, name)) return std::nullopt;
    return uuid(object, name);
  }
  bool is_null(Napi::Value object, const char* name);

  // Arguments and array elements themselves; `name` is for the message.
  double to_number(Napi::Value value, const char* name, double max);
  uint64_t to_u64(Napi::Value value, const char* name);
  std::string to_text(Napi::Value value, const char* name);
  std::vector<std::byte> to_bytes(Napi::Value value, const char* name);  // A copy.
  Uuid to_uuid(Napi::Value value, const char* name);
  // Null (and noted) when it is not an array.
  std::optional<Napi::Array> to_array(Napi::Value value, const char* name);

  // The handle of that type; null (and noted: 'invalid-argument' or 'closed') otherwise.
  template <class T>
  std::shared_ptr<T> handle(Napi::Value value) {
    return std::static_pointer_cast<T>(open_handle(value, T::handle_kind));
  }

 private:
  std::shared_ptr<Handle> open_handle(Napi::Value value, HandleKind kind);
  void wrong_type(const char* name, const char* wanted);

  Napi::Env env_;
  std::optional<Error> problem_;
};

// Making values. 64-bit numbers are bigints; bytes are copied into a fresh Uint8Array.
inline Napi::Value js(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }
inline Napi::Value js(Napi::Env env, uint32_t value) { return Napi::Number::New(env, value); }
inline Napi::Value js(Napi::Env env, bool value) { return Napi::Boolean::New(env, value); }
inline Napi::Value js(Napi::Env env, std::string_view value) {
  return Napi::String::New(env, value.data(), value.size());
}
inline Napi::Value js(Napi::Env env, const char* value) { return js(env, std::string_view(value)); }
inline Napi::Value js(Napi::Env env, const std::string& value) {
  return js(env, std::string_view(value));
}
Napi::Value js(Napi::Env env, std::span<const std::byte> value);

}  // namespace ashlar::addon
