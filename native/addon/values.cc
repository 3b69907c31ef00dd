#include "addon/values.h"

#include <cmath>
#include <cstring>
#include <utility>

namespace ashlar::addon {

void Reader::fail(ErrorCode code, std::string message) {
  if (!problem_) problem_ = Error{code, std::move(message)};
}

void Reader::wrong_type(const char* name, const char* wanted) {
  fail(ErrorCode::invalid_argument, std::string(name) + " must be " + wanted);
}

Napi::Value Reader::raise() const {
  napi_throw(env_, to_js_error(env_, *problem_));
  return env_.Undefined();
}

Napi::Value Reader::reject() const {
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env_);
  deferred.Reject(to_js_error(env_, *problem_));
  return deferred.Promise();
}

Napi::Value Reader::field(Napi::Value object, const char* name) {
  if (!object.IsObject()) {
    wrong_type(name, "a field of an object");
    return env_.Undefined();
  }
  const Napi::Value value = object.As<Napi::Object>().Get(name);
  if (env_.IsExceptionPending()) {  // A getter that throws.
    env_.GetAndClearPendingException();
    wrong_type(name, "a plain field");
    return env_.Undefined();
  }
  return value;
}

bool Reader::flag(Napi::Value object, const char* name) {
  if (!object.IsObject() || !object.As<Napi::Object>().Has(name)) return false;
  return boolean(object, name);
}

bool Reader::boolean(Napi::Value object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsBoolean()) {
    wrong_type(name, "a boolean");
    return false;
  }
  return value.As<Napi::Boolean>();
}

bool Reader::is_null(Napi::Value object, const char* name) { return field(object, name).IsNull(); }

double Reader::to_number(Napi::Value value, const char* name, double max) {
  if (!value.IsNumber()) {
    wrong_type(name, "a number");
    return 0;
  }
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= max) || number != std::floor(number)) {
    fail(ErrorCode::invalid_argument, std::string(name) + " must be a whole number from 0 to " +
                                          std::to_string(static_cast<uint64_t>(max)));
    return 0;
  }
  return number;
}

uint64_t Reader::to_u64(Napi::Value value, const char* name) {
  if (!value.IsBigInt()) {
    wrong_type(name, "a bigint");
    return 0;
  }
  bool lossless = false;
  const uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) {
    wrong_type(name, "a bigint from 0 to 2^64 - 1");
    return 0;
  }
  return number;
}

std::string Reader::to_text(Napi::Value value, const char* name) {
  if (!value.IsString()) {
    wrong_type(name, "a string");
    return {};
  }
  return value.As<Napi::String>().Utf8Value();
}

std::vector<std::byte> Reader::to_bytes(Napi::Value value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    wrong_type(name, "a Uint8Array");
    return {};
  }
  const auto array = value.As<Napi::Uint8Array>();
  const auto* start = reinterpret_cast<const std::byte*>(array.Data());
  return {start, start + array.ByteLength()};
}

Uuid Reader::to_uuid(Napi::Value value, const char* name) {
  Uuid uuid{};
  const std::vector<std::byte> bytes = to_bytes(value, name);
  if (bytes.size() != uuid.size()) {
    wrong_type(name, "16 bytes");
    return uuid;
  }
  std::memcpy(uuid.data(), bytes.data(), uuid.size());
  return uuid;
}

std::optional<Napi::Array> Reader::to_array(Napi::Value value, const char* name) {
  if (!value.IsArray()) {
    wrong_type(name, "an array");
    return std::nullopt;
  }
  return value.As<Napi::Array>();
}

std::shared_ptr<Handle> Reader::open_handle(Napi::Value value, HandleKind kind) {
  std::shared_ptr<Handle> handle = Handle::from_value(env_, value, kind);
  const std::string name = Handle::kind_name(kind);
  if (handle == nullptr) {
    fail(ErrorCode::invalid_argument, "not a " + name + " handle");
    return nullptr;
  }
  if (handle->closed()) {
    fail(ErrorCode::closed, "this " + name + " is closed");
    return nullptr;
  }
  return handle;
}

Napi::Value js(Napi::Env env, std::span<const std::byte> value) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, value.size());
  if (!value.empty()) std::memcpy(array.Data(), value.data(), value.size());
  return array;
}

}  // namespace ashlar::addon
