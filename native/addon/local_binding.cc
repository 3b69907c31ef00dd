// local*: loading a file or block device without a network, for what the machine itself allows.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/load_values.h"
#include "addon/register.h"
#include "addon/runtime.h"
#include "addon/values.h"
#include "device/device_file.h"
#include "device/uring_device.h"
#include "load/device_lane.h"

namespace ashlar::addon {

namespace {

// An open file or device, one channel a reactor. One load at a time. Home's thread: everything
// behind `home`.
class Local final : public Handle, public Attachment {
 public:
  static constexpr HandleKind handle_kind = HandleKind::local;

  explicit Local(std::shared_ptr<Runtime> on)
      : Handle(handle_kind), runtime(std::move(on)), home(runtime->next_reactor()) {}

  std::shared_ptr<Local> shared() { return std::static_pointer_cast<Local>(shared_from_this()); }
  std::string describe() const override { return "local load on " + name; }
  void shut_down(std::function<void()> done) override {
    runtime->post(home, [self = shared(), done = std::move(done)] { self->close(done); });
  }

  void run(const load::LoadOptions& options, Reply reply);
  void close(std::function<void()> closed) {
    when_idle = std::move(closed);
    if (load == nullptr) drop();
  }

  const std::shared_ptr<Runtime> runtime;
  const uint32_t home;
  std::string name;
  bool read_only = false;
  std::shared_ptr<DeviceFile> file;
  std::vector<std::unique_ptr<UringDevice>> channels;
  std::unique_ptr<load::Load> load;
  std::optional<Reply> answer;
  std::function<void()> when_idle;

 private:
  void finished();
  // Every reactor has left the channels' code when the last of these has run.
  void drop() {
    runtime->post_all([](uint32_t) {},
                      [self = shared()] {
                        self->channels.clear();
                        self->file.reset();
                        std::exchange(self->when_idle, nullptr)();
                      });
  }
};

void Local::run(const load::LoadOptions& options, Reply reply) {
  const auto invalid = [&reply](std::string message) {
    reply.reject({ErrorCode::invalid_argument, std::move(message)});
  };
  if (when_idle != nullptr || channels.empty()) {
    return reply.reject({ErrorCode::closed, describe() + " is closed"});
  }
  if (load != nullptr) {
    return reply.reject({ErrorCode::busy, describe() + ": another load is under way"});
  }
  if (read_only && options.read_percent < 100) {
    return invalid(describe() + " is open for reading only");
  }
  if (options.queues == 0) return invalid("load on 0 queues");
  const DeviceGeometry& geometry = file->geometry();
  if (options.block_bytes == 0 || options.block_bytes % geometry.logical_block_bytes != 0) {
    return invalid(name + " has blocks of " + std::to_string(geometry.logical_block_bytes) +
                   " bytes; " + std::to_string(options.block_bytes) + " are no number of them");
  }
  if (options.span_bytes > geometry.size_bytes || options.nsids.size() != 1) {
    return invalid("a span of " + std::to_string(options.span_bytes) + " bytes; " + name + " has " +
                   std::to_string(geometry.size_bytes));
  }
  std::vector<std::unique_ptr<load::Lane>> lanes;
  for (uint32_t i = 0; i < options.queues; ++i) {
    const auto reactor = static_cast<uint32_t>((home + i) % channels.size());
    lanes.push_back(std::make_unique<load::DeviceLane>(runtime->reactor(reactor),
                                                       *channels[reactor], i + 1, options.depth));
  }
  auto made = load::Load::create(std::move(lanes), runtime->reactor(home), options);
  if (!made) return reply.reject(made.error());
  load = std::move(made).value();
  answer.emplace(reply);
  load->run([](void* context, load::Load&) { static_cast<Local*>(context)->finished(); }, this);
}

void Local::finished() {
  const auto keep = shared();
  const auto result = std::make_shared<const load::LoadResult>(load->result());
  load.reset();
  answer->resolve([keep, result](Napi::Env env) { return load_result_value(env, *result); });
  answer.reset();
  if (when_idle != nullptr) drop();
}

Napi::Value local_open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  DeviceFileOptions options;
  options.path = in.text(info[1], "path");
  options.create_size_bytes = in.u64_or_null(info[1], "createSizeBytes");
  options.read_only = in.boolean(info[1], "readOnly");
  if (options.read_only && options.create_size_bytes.has_value()) {
    in.fail(ErrorCode::invalid_argument, "what is made here is not for reading only");
  }
  if (!in.ok()) return in.raise();
  auto opened = DeviceFile::open(options);
  if (!opened) {
    in.fail(opened.error().code, opened.error().message);
    return in.raise();
  }
  auto local = std::make_shared<Local>(runtime);
  local->name = options.path;
  local->read_only = options.read_only;
  local->file = std::move(opened).value();
  for (uint32_t i = 0; i < runtime->reactor_count(); ++i) {
    local->channels.push_back(std::make_unique<UringDevice>(runtime->reactor(i), local->file));
  }
  runtime->attach(local);
  Napi::Object result = Napi::Object::New(env);
  result["local"] = local->object(env, runtime->bridge());
  result["sizeBytes"] = js(env, local->file->geometry().size_bytes);
  result["blockBytes"] = js(env, local->file->geometry().logical_block_bytes);
  result["direct"] = js(env, local->file->direct());
  return result;
}

Napi::Value local_load(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto local = in.handle<Local>(info[0]);
  const load::LoadOptions options = read_load_options(in, info[1]);
  if (!in.ok()) return in.reject();
  return local->runtime->call(info.Env(), local->home,
                              [local, options](Reply reply) { local->run(options, reply); });
}

Napi::Value local_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto local = in.handle<Local>(info[0]);
  if (!in.ok()) return in.reject();
  local->mark_closed();
  return local->runtime->call(info.Env(), local->home, [local](Reply reply) {
    local->close([local, reply] {
      reply.resolve([local](Napi::Env env) -> Napi::Value {
        local->runtime->detach(local.get());
        return env.Undefined();
      });
    });
  });
}

}  // namespace

void register_local(Napi::Env env, Napi::Object exports) {
  exports["localOpen"] = Napi::Function::New<local_open>(env, "localOpen");
  exports["localLoad"] = Napi::Function::New<local_load>(env, "localLoad");
  exports["localClose"] = Napi::Function::New<local_close>(env, "localClose");
}

}  // namespace ashlar::addon
