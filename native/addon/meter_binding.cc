// The "Meters" section of lib/native.ts: what is counted of I/O, and limits of it.
#include <napi.h>

#include <algorithm>
#include <memory>
#include <string>

#include "addon/meter_handle.h"
#include "addon/register.h"
#include "addon/values.h"
#include "reactor/uring.h"

namespace ashlar::addon {

namespace {

using target::MeterSum;

constexpr uint32_t meters_at_once = 4096;
constexpr uint32_t max_weight = 10'000;
constexpr uint32_t max_burst_percent = 10'000;
constexpr uint32_t max_burst_seconds = 3'600;

Napi::Value latency_bounds_ns(const Napi::CallbackInfo& info) {
  Napi::Array bounds = Napi::Array::New(info.Env(), target::latency_bounds);
  for (uint32_t i = 0; i < target::latency_bounds; ++i) {
    bounds[i] = js(info.Env(), target::latency_bound_ns(i));
  }
  return bounds;
}

Napi::Value meter_create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  std::shared_ptr<MeterHandle> parent;
  if (!info[1].IsNull()) parent = in.handle<MeterHandle>(info[1]);
  if (in.ok() && parent != nullptr && parent->runtime != runtime) {
    in.fail(ErrorCode::invalid_argument, "the parent belongs to another runtime");
  }
  if (in.ok() && parent != nullptr && parent->parent != nullptr) {
    in.fail(ErrorCode::invalid_argument, "the parent of a meter must not have a parent itself");
  }
  if (!in.ok()) return in.raise();
  const auto handle = std::make_shared<MeterHandle>(runtime, parent);
  if (parent != nullptr) parent->children.emplace(handle.get(), handle);
  return handle->object(env, runtime->bridge());
}

// ---- Limits -------------------------------------------------------------------------------------

target::RateLimits read_limits(Reader& in, Napi::Value value) {
  const auto rate = [&](const char* name) -> uint64_t {
    const auto given = in.u64_or_null(value, name);
    if (!in.ok() || !given) return 0;
    if (*given == 0 || *given > target::RateLimit::max_rate) {
      in.fail(ErrorCode::invalid_argument, std::string(name) + " must be 1 to " +
                                               std::to_string(target::RateLimit::max_rate) +
                                               ", not " + std::to_string(*given));
    }
    return *given;
  };
  target::RateLimits limits;
  limits.read_iops = rate("readIops");
  limits.write_iops = rate("writeIops");
  limits.iops = rate("iops");
  limits.read_bytes_per_second = rate("readBytesPerSecond");
  limits.write_bytes_per_second = rate("writeBytesPerSecond");
  limits.bytes_per_second = rate("bytesPerSecond");
  limits.burst_percent = in.number<uint32_t>(value, "burstPercent");
  limits.burst_seconds = in.number<uint32_t>(value, "burstSeconds");
  if (in.ok() && (limits.burst_percent < 100 || limits.burst_percent > max_burst_percent)) {
    in.fail(ErrorCode::invalid_argument,
            "burstPercent must be 100 to 10000, not " + std::to_string(limits.burst_percent));
  }
  if (in.ok() && limits.burst_seconds > max_burst_seconds) {
    in.fail(ErrorCode::invalid_argument,
            "burstSeconds must be 0 to 3600, not " + std::to_string(limits.burst_seconds));
  }
  return limits;
}

// Has what waits on each reactor look at the limits again.
void tell_reactors(const MeterHandle& handle) {
  Runtime& runtime = *handle.runtime;
  for (uint32_t reactor = 0; reactor < runtime.reactor_count(); ++reactor) {
    runtime.post(reactor, [meter = handle.meter, reactor] {
      target::MeterPart* part = meter->part_if_made(reactor);
      if (part != nullptr) part->limits_changed();
    });
  }
}

Napi::Value meter_set(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto handle = in.handle<MeterHandle>(info[0]);
  target::RateLimits limits;
  if (!info[1].IsNull()) limits = read_limits(in, info[1]);
  const auto weight = static_cast<uint32_t>(in.to_number(info[2], "weight", UINT32_MAX));
  if (in.ok() && (weight < 1 || weight > max_weight)) {
    in.fail(ErrorCode::invalid_argument,
            "weight must be 1 to 10000, not " + std::to_string(weight));
  }
  if (!in.ok()) return in.raise();
  if (handle->runtime->closed()) return env.Undefined();
  handle->meter->set_weight(weight);
  handle->meter->set_limits(limits, handle->runtime->reactor(0).clock().now_ns());
  tell_reactors(*handle);
  for (const auto& [key, weak] : handle->children) {
    const auto child = weak.lock();
    if (child == nullptr) continue;
    child->meter->parent_changed();
    tell_reactors(*child);
  }
  return env.Undefined();
}

// ---- Counts -------------------------------------------------------------------------------------

void add(MeterSum& sum, const MeterSum& more) {
  sum.under_way += more.under_way;
  sum.reads += more.reads;
  sum.writes += more.writes;
  sum.others += more.others;
  sum.flushes += more.flushes;
  sum.read_bytes += more.read_bytes;
  sum.written_bytes += more.written_bytes;
  sum.errors += more.errors;
  sum.limited_commands += more.limited_commands;
  sum.limited_ns += more.limited_ns;
  for (uint32_t i = 0; i < target::latency_buckets; ++i) {
    sum.read_latency[i] += more.read_latency[i];
    sum.write_latency[i] += more.write_latency[i];
  }
}

MeterSum sum_of(const MeterHandle& handle) {
  MeterSum sum = handle.past;
  handle.meter->read(sum);
  for (const auto& [key, weak] : handle.children) {
    if (const auto child = weak.lock()) child->meter->read(sum);
  }
  return sum;
}

Napi::Value histogram(Napi::Env env, const std::array<uint64_t, target::latency_buckets>& counts) {
  auto array = Napi::BigUint64Array::New(env, counts.size());
  std::copy(counts.begin(), counts.end(), array.Data());
  return array;
}

Napi::Object counters(Napi::Env env, const MeterSum& sum) {
  Napi::Object result = Napi::Object::New(env);
  result["reads"] = js(env, sum.reads);
  result["writes"] = js(env, sum.writes);
  result["others"] = js(env, sum.others);
  result["flushes"] = js(env, sum.flushes);
  result["readBytes"] = js(env, sum.read_bytes);
  result["writtenBytes"] = js(env, sum.written_bytes);
  result["errors"] = js(env, sum.errors);
  result["underWay"] = js(env, static_cast<uint32_t>(sum.under_way));
  result["limitedCommands"] = js(env, sum.limited_commands);
  result["limitedNs"] = js(env, sum.limited_ns);
  result["readLatency"] = histogram(env, sum.read_latency);
  result["writeLatency"] = histogram(env, sum.write_latency);
  return result;
}

Napi::Value meter_read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto array = in.to_array(info[0], "meters");
  if (in.ok() && array->Length() > meters_at_once) {
    in.fail(ErrorCode::limit_exceeded, "at most " + std::to_string(meters_at_once) +
                                           " meters can be read at once, not " +
                                           std::to_string(array->Length()));
  }
  if (!in.ok()) return in.raise();
  Napi::Array results = Napi::Array::New(env, array->Length());
  for (uint32_t i = 0; i < array->Length(); ++i) {
    // Of a daemon with 4,096 volumes, many of these: none of them outlives its turn.
    const Napi::HandleScope scope(env);
    const auto handle = in.handle<MeterHandle>(array->Get(i));
    if (!in.ok()) return in.raise();
    results[i] = counters(env, sum_of(*handle));
  }
  return results;
}

Napi::Value meter_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<MeterHandle>(info[0]);
  if (in.ok())
    std::erase_if(handle->children, [](const auto& child) { return child.second.expired(); });
  if (in.ok() && !handle->children.empty()) {
    in.fail(ErrorCode::busy, std::to_string(handle->children.size()) +
                                 " meters below it are open; close them first");
  }
  if (!in.ok()) return in.raise();
  if (handle->parent != nullptr) {
    MeterSum past = sum_of(*handle);
    past.under_way = 0;
    add(handle->parent->past, past);
    handle->parent->children.erase(handle.get());
  }
  handle->mark_closed();
  return info.Env().Undefined();
}

}  // namespace

void register_meters(Napi::Env env, Napi::Object exports) {
  exports["latencyBoundsNs"] = Napi::Function::New<latency_bounds_ns>(env, "latencyBoundsNs");
  exports["meterCreate"] = Napi::Function::New<meter_create>(env, "meterCreate");
  exports["meterSet"] = Napi::Function::New<meter_set>(env, "meterSet");
  exports["meterRead"] = Napi::Function::New<meter_read>(env, "meterRead");
  exports["meterClose"] = Napi::Function::New<meter_close>(env, "meterClose");
}

}  // namespace ashlar::addon
