// probe, tlsKernelProblem, runtimeOpen, runtimeClose, runtimeCounters.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "addon/register.h"
#include "addon/runtime.h"
#include "addon/values.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "reactor/kernel_tls.h"
#include "reactor/probe.h"

namespace ashlar::addon {

namespace {

uint32_t cpu_count() noexcept {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
    return static_cast<uint32_t>(std::max(CPU_COUNT(&cpus), 1));
  }
  return std::max(std::thread::hardware_concurrency(), 1u);
}

const char* io_uring_word(const ProbeVerdict& verdict) noexcept {
  if (!verdict.problem) return "ok";
  switch (verdict.problem->code) {
    case ErrorCode::io_uring_missing: return "missing";
    case ErrorCode::kernel_too_old: return "kernel-too-old";
    default: return "forbidden";
  }
}

Napi::Value probe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ProbeNotes notes = probe_system();
  const ProbeVerdict verdict = decide(notes);
  Napi::Object result = Napi::Object::New(env);
  result["kernelRelease"] = js(env, notes.kernel_release);
  result["ioUring"] = js(env, io_uring_word(verdict));
  result["problem"] = verdict.problem ? js(env, verdict.problem->message) : env.Null();
  Napi::Array features = Napi::Array::New(env);
  uint32_t count = 0;
  for (const std::string& name : feature_names(verdict.features)) {
    features[count++] = js(env, name);
  }
  result["features"] = features;
  result["memlockBytes"] = notes.memlock_bytes ? js(env, *notes.memlock_bytes) : env.Null();
  result["cpus"] = js(env, cpu_count());
  result["crc32c"] = js(env, crc32c_implementation());
  return result;
}

Napi::Value tls_kernel_problem(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<std::string> problem = kernel_tls_problem();
  return problem ? js(env, *problem) : env.Null();
}

struct RuntimeSettings {
  uint32_t reactors = 0;
  std::vector<uint32_t> cpus;
  std::optional<uint64_t> buffer_bytes;
  uint32_t busy_poll_us = 0;
};

RuntimeSettings read_settings(Reader& in, Napi::Value options) {
  RuntimeSettings settings;
  settings.reactors = in.number_or_null<uint32_t>(options, "reactors")
                          .value_or(std::clamp(cpu_count() - 1, 1u, limits::default_max_reactors));
  if (settings.reactors < 1 || settings.reactors > limits::max_reactors) {
    in.fail(ErrorCode::invalid_argument,
            "reactors must be 1 to " + std::to_string(limits::max_reactors) + ", not " +
                std::to_string(settings.reactors));
  }
  if (!in.is_null(options, "cpus")) {
    const auto cpus = in.to_array(in.field(options, "cpus"), "cpus");
    for (uint32_t i = 0; cpus && i < cpus->Length(); ++i) {
      settings.cpus.push_back(static_cast<uint32_t>(in.to_number(cpus->Get(i), "cpus", 1023)));
    }
    if (settings.cpus.size() != settings.reactors) {
      in.fail(ErrorCode::invalid_argument,
              "cpus names " + std::to_string(settings.cpus.size()) + " CPUs for " +
                  std::to_string(settings.reactors) + " reactors; name one for each");
    }
  }
  settings.buffer_bytes = in.u64_or_null(options, "bufferBytes");
  settings.busy_poll_us = in.number<uint32_t>(options, "busyPollUs");
  return settings;
}

Result<std::vector<std::unique_ptr<UringReactor>>> start_reactors(const RuntimeSettings& settings) {
  std::vector<std::unique_ptr<UringReactor>> reactors;
  for (uint32_t index = 0; index < settings.reactors; ++index) {
    UringOptions options;
    options.index = index;
    options.cpu = settings.cpus.empty() ? -1 : static_cast<int>(settings.cpus[index]);
    // Whoever names a size wants exactly that, locked; the default takes what the limit allows.
    options.buffer_bytes = settings.buffer_bytes.value_or(limits::default_buffer_bytes);
    options.require_registered_buffers = settings.buffer_bytes.has_value();
    options.busy_poll_us = settings.busy_poll_us;
    auto reactor = UringReactor::start(options);
    if (!reactor) return reactor.error();
    reactors.push_back(std::move(reactor).value());
  }
  return reactors;
}

// What the environment's clean-up hook gets: it keeps the runtime alive until closed.
struct EnvironmentEnd {
  std::shared_ptr<Runtime> runtime;
};

void end_with_environment(void* data) {
  const std::unique_ptr<EnvironmentEnd> end(static_cast<EnvironmentEnd*>(data));
  end->runtime->end_with_environment();
}

Napi::Value runtime_open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const RuntimeSettings settings = read_settings(in, info[0]);
  if (!info[1].IsFunction()) in.fail(ErrorCode::invalid_argument, "onEvents must be a function");
  if (!in.ok()) return in.raise();
  auto reactors = start_reactors(settings);
  if (!reactors) {
    in.fail(reactors.error().code, reactors.error().message);
    return in.raise();
  }
  auto runtime = std::make_shared<Runtime>(Bridge::open(env, info[1].As<Napi::Function>()),
                                           std::move(reactors).value());
  auto* end = new EnvironmentEnd{runtime};
  runtime->on_closed([env = static_cast<napi_env>(env), end] {
    napi_remove_env_cleanup_hook(env, end_with_environment, end);
    delete end;
  });
  napi_add_env_cleanup_hook(env, end_with_environment, end);
  return runtime->object(env, runtime->bridge());
}

Napi::Value runtime_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto runtime = in.handle<Runtime>(info[0]);
  if (!in.ok()) return in.reject();
  return runtime->close(info.Env());
}

Napi::Value counters_object(Napi::Env env, const ReactorCounters& counters) {
  Napi::Object result = Napi::Object::New(env);
  result["turns"] = js(env, counters.turns.value());
  result["sleeps"] = js(env, counters.sleeps.value());
  result["busyNs"] = js(env, counters.busy_ns.value());
  result["connections"] = js(env, static_cast<uint32_t>(counters.connections.value()));
  result["commands"] = js(env, counters.commands.value());
  result["readBytes"] = js(env, counters.read_bytes.value());
  result["writtenBytes"] = js(env, counters.written_bytes.value());
  result["buffersInUse"] = js(env, static_cast<uint32_t>(counters.buffers_in_use.value()));
  result["tlsKernelConnections"] = js(env, counters.tls_kernel_connections.value());
  result["tlsProcessConnections"] = js(env, counters.tls_process_connections.value());
  result["tlsOffloadsRefused"] = js(env, counters.tls_offloads_refused.value());
  result["ioPathAllocations"] = js(env, counters.io_path_allocations.value());
  return result;
}

Napi::Value runtime_counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  if (!in.ok()) return in.raise();
  Napi::Array result = Napi::Array::New(env, runtime->reactor_count());
  for (uint32_t i = 0; i < runtime->reactor_count(); ++i) {
    result[i] = counters_object(env, runtime->reactor(i).counters());
  }
  return result;
}

}  // namespace

void register_runtime(Napi::Env env, Napi::Object exports) {
  exports["probe"] = Napi::Function::New<probe>(env, "probe");
  exports["tlsKernelProblem"] = Napi::Function::New<tls_kernel_problem>(env, "tlsKernelProblem");
  exports["runtimeOpen"] = Napi::Function::New<runtime_open>(env, "runtimeOpen");
  exports["runtimeClose"] = Napi::Function::New<runtime_close>(env, "runtimeClose");
  exports["runtimeCounters"] = Napi::Function::New<runtime_counters>(env, "runtimeCounters");
}

}  // namespace ashlar::addon
