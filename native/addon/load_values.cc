#include "addon/load_values.h"

#include <string>

namespace ashlar::addon {

namespace {

load::Pattern read_pattern(Reader& in, Napi::Value given) {
  const std::string pattern = in.text(given, "pattern");
  if (pattern == "random") return load::Pattern::random;
  if (pattern == "sequential") return load::Pattern::sequential;
  if (pattern == "zipf") return load::Pattern::zipf;
  in.fail(ErrorCode::invalid_argument, "pattern must be random, sequential or zipf");
  return load::Pattern::random;
}

const char* kind_word(load::LoadFailure::Kind kind) noexcept {
  switch (kind) {
    case load::LoadFailure::Kind::status: return "status";
    case load::LoadFailure::Kind::lost: return "lost";
    case load::LoadFailure::Kind::never_sent: return "never-sent";
    case load::LoadFailure::Kind::wrong_data: return "wrong-data";
  }
  return "status";
}

Napi::Value failure_value(Napi::Env env, const load::LoadFailure& failure) {
  if (failure.message.empty()) return env.Null();
  Napi::Object value = Napi::Object::New(env);
  value["kind"] = js(env, kind_word(failure.kind));
  value["op"] = js(env, failure.read ? "read" : "write");
  value["nsid"] = js(env, failure.nsid);
  value["lba"] = js(env, failure.lba);
  value["blocks"] = js(env, failure.blocks);
  value["queue"] = js(env, failure.queue);
  value["status"] = js(env, failure.status);
  value["message"] = js(env, failure.message);
  return value;
}

Napi::Value histogram_value(Napi::Env env, const load::Histogram& histogram) {
  Napi::Object value = Napi::Object::New(env);
  Napi::Array indexes = Napi::Array::New(env);
  Napi::Array counts = Napi::Array::New(env);
  uint32_t used = 0;
  for (uint32_t index = 0; index < load::Histogram::bucket_count; ++index) {
    const uint64_t count = histogram.bucket(index);
    if (count == 0) continue;
    indexes[used] = js(env, index);
    counts[used] = Napi::Number::New(env, static_cast<double>(count));
    ++used;
  }
  value["indexes"] = indexes;
  value["counts"] = counts;
  value["minNs"] = js(env, histogram.min());
  value["maxNs"] = js(env, histogram.max());
  value["sumNs"] = js(env, histogram.sum());
  return value;
}

}  // namespace

load::LoadOptions read_load_options(Reader& in, Napi::Value given) {
  load::LoadOptions options;
  options.nsids.clear();
  const auto nsids = in.to_array(in.field(given, "nsids"), "nsids");
  for (uint32_t i = 0; nsids && i < nsids->Length(); ++i) {
    options.nsids.push_back(
        static_cast<uint32_t>(in.to_number(nsids->Get(i), "nsids", UINT32_MAX)));
  }
  options.block_bytes = in.number<uint32_t>(given, "blockBytes");
  options.depth = in.number<uint32_t>(given, "depth");
  options.queues = in.number<uint32_t>(given, "queues");
  options.io_bytes = in.number<uint32_t>(given, "ioBytes");
  options.pattern = read_pattern(in, given);
  const Napi::Value theta = in.field(given, "zipfTheta");
  if (theta.IsNumber()) options.zipf_theta = theta.As<Napi::Number>().DoubleValue();
  options.read_percent = in.number<uint32_t>(given, "readPercent");
  options.span_bytes = in.u64(given, "spanBytes");
  options.rate_per_second = in.number<uint32_t>(given, "ratePerSecond");
  options.verify = in.boolean(given, "verify");
  options.warmup_ns = uint64_t{in.number<uint32_t>(given, "warmupMs")} * 1'000'000;
  options.duration_ns = uint64_t{in.number<uint32_t>(given, "durationMs")} * 1'000'000;
  options.max_ios = in.u64(given, "maxCommands");
  options.max_errors = in.number<uint32_t>(given, "maxErrors");
  options.seed = in.u64(given, "seed");
  return options;
}

Napi::Value load_result_value(Napi::Env env, const load::LoadResult& result) {
  load::Histogram both = result.reads;
  both.merge(result.writes);
  Napi::Object value = Napi::Object::New(env);
  value["commands"] = js(env, result.commands);
  value["bytes"] = js(env, result.bytes);
  value["elapsedNs"] = js(env, result.elapsed_ns);
  value["errors"] = js(env, result.errors);
  const std::string& message = result.failure.message;
  value["firstError"] = message.empty() ? env.Null() : js(env, message);
  value["failure"] = failure_value(env, result.failure);
  Napi::Array latency = Napi::Array::New(env, 4);
  latency.Set(0u, js(env, both.percentile(500)));
  latency.Set(1u, js(env, both.percentile(990)));
  latency.Set(2u, js(env, both.percentile(999)));
  latency.Set(3u, js(env, both.max()));
  value["latencyNs"] = latency;
  value["reads"] = histogram_value(env, result.reads);
  value["writes"] = histogram_value(env, result.writes);
  value["behind"] = js(env, result.behind);
  value["verifiedBlocks"] = js(env, result.verified_blocks);
  value["wrongBlocks"] = js(env, result.wrong_blocks);
  value["hostCpuNs"] = js(env, result.host_cpu_ns);
  return value;
}

}  // namespace ashlar::addon
