// loopbackMeasure: the limit of the machine for what goes over its own network.
#include <memory>
#include <string>
#include <utility>

#include "addon/register.h"
#include "addon/values.h"
#include "load/loopback.h"

namespace ashlar::addon {

namespace {

Napi::Value way_value(Napi::Env env, const load::WayResult& way) {
  const auto number = [env](double value) { return Napi::Number::New(env, value); };
  Napi::Object value = Napi::Object::New(env);
  value["way"] = js(env, load::exchange_way_name(way.way));
  value["leftOut"] = way.left_out.empty() ? env.Null() : js(env, way.left_out);
  value["perSecond"] = number(way.per_second);
  value["requesterCpus"] = number(way.requester_cpus);
  value["responderCpus"] = number(way.responder_cpus);
  if (way.max_ns == 0) {
    value["latencyNs"] = env.Null();
    return value;
  }
  Napi::Array latency = Napi::Array::New(env, 4);
  latency.Set(0u, js(env, way.p50_ns));
  latency.Set(1u, js(env, way.p99_ns));
  latency.Set(2u, js(env, way.p999_ns));
  latency.Set(3u, js(env, way.max_ns));
  value["latencyNs"] = latency;
  return value;
}

// On a thread of Node's pool: it sleeps while threads of its own exchange messages.
class Measuring final : public Napi::AsyncWorker {
 public:
  Measuring(Napi::Env env, load::LoopbackOptions options)
      : Napi::AsyncWorker(env),
        options_(std::move(options)),
        promise_(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise promise() const { return promise_.Promise(); }

  void Execute() override { result_ = load::measure_loopback(options_); }
  void OnOK() override {
    const Napi::Env env = Env();
    if (!result_) {
      Napi::Error error = Napi::Error::New(env, result_.error().message);
      error.Set("code", js(env, error_code_name(result_.error().code)));
      promise_.Reject(error.Value());
      return;
    }
    const load::LoopbackResult& measured = result_.value();
    Napi::Object value = Napi::Object::New(env);
    value["perSecond"] = Napi::Number::New(env, measured.per_second);
    value["best"] = js(env, load::exchange_way_name(measured.best));
    value["congestion"] = js(env, measured.congestion);
    Napi::Array ways = Napi::Array::New(env, measured.ways.size());
    for (uint32_t i = 0; i < measured.ways.size(); ++i) ways[i] = way_value(env, measured.ways[i]);
    value["ways"] = ways;
    promise_.Resolve(value);
  }

 private:
  const load::LoopbackOptions options_;
  const Napi::Promise::Deferred promise_;
  Result<load::LoopbackResult> result_ = Error{ErrorCode::cancelled, "not measured"};
};

load::Messages read_messages(Reader& in, Napi::Value given) {
  return {in.number<uint32_t>(given, "requestBytes"), in.number<uint32_t>(given, "responseBytes")};
}

load::SideThreads read_threads(Reader& in, Napi::Value given) {
  load::SideThreads threads;
  threads.count = in.number<uint32_t>(given, "threads");
  if (in.is_null(given, "cpus")) return threads;
  const auto cpus = in.to_array(in.field(given, "cpus"), "cpus");
  for (uint32_t i = 0; cpus && i < cpus->Length(); ++i) {
    threads.cpus.push_back(static_cast<uint32_t>(in.to_number(cpus->Get(i), "cpus", 1023)));
  }
  return threads;
}

Napi::Value loopback_measure(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const Napi::Value given = info[0];
  load::LoopbackOptions options;
  options.shape.read = read_messages(in, in.field(given, "read"));
  options.shape.write = read_messages(in, in.field(given, "write"));
  options.shape.read_percent = in.number<uint32_t>(given, "readPercent");
  options.shape.depth = in.number<uint32_t>(given, "depth");
  options.shape.connections = in.number<uint32_t>(given, "connections");
  options.shape.touch_bytes = in.u64(given, "touchBytes");
  options.requester = read_threads(in, in.field(given, "requester"));
  options.responder = read_threads(in, in.field(given, "responder"));
  options.duration_ns = uint64_t{in.number<uint32_t>(given, "durationMs")} * 1'000'000;
  if (!in.is_null(given, "way")) {
    const std::string name = in.text(given, "way");
    for (const load::ExchangeWay way : load::exchange_ways) {
      if (name == load::exchange_way_name(way)) options.way = way;
    }
    if (!options.way) {
      in.fail(ErrorCode::invalid_argument, "way must be blocking, spin, epoll or uring");
    }
  }
  if (!in.ok()) return in.reject();
  auto* const measuring = new Measuring(info.Env(), std::move(options));
  const Napi::Promise promise = measuring->promise();
  measuring->Queue();  // It destroys itself.
  return promise;
}

}  // namespace

void register_loopback(Napi::Env env, Napi::Object exports) {
  exports["loopbackMeasure"] = Napi::Function::New<loopback_measure>(env, "loopbackMeasure");
}

}  // namespace ashlar::addon
