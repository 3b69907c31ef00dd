// pool*Device: further devices of a pool for JavaScript.
#include "addon/device_binding.h"

#include <algorithm>
#include <utility>

#include "addon/pool_handle.h"
#include "addon/register.h"
#include "device/uring_device.h"

namespace ashlar::addon {

DeviceChoice read_device_spec(Reader& in, Napi::Value spec) {
  DeviceChoice choice;
  const std::string kind = in.text(spec, "kind");
  if (kind == "file") {
    choice.path = in.text(spec, "path");
    if (choice.path.empty()) in.fail(ErrorCode::invalid_argument, "path must not be empty");
  } else if (kind == "memory") {
    choice.memory_bytes = in.u64(spec, "sizeBytes");
    choice.populate = in.flag(spec, "populate");
  } else {
    in.fail(ErrorCode::invalid_argument, "device kind must be 'file' or 'memory'");
  }
  return choice;
}

Result<std::shared_ptr<PoolMember>> PoolMember::open(Runtime& runtime, const DeviceChoice& choice,
                                                     std::optional<uint64_t> create_size_bytes,
                                                     bool read_only) {
  auto member = std::make_shared<PoolMember>();
  if (choice.path.empty()) {
    auto opened = DeviceMemory::open(choice.memory_bytes, choice.populate);
    if (!opened) return opened.error();
    member->memory = std::move(opened).value();
    member->name = "memory";
  } else {
    DeviceFileOptions options;
    options.path = choice.path;
    options.create_size_bytes = create_size_bytes;
    options.read_only = read_only;
    auto opened = DeviceFile::open(options);
    if (!opened) return opened.error();
    member->file = std::move(opened).value();
    member->name = choice.path;
    // Found again after a power loss before the pool says that it has this device.
    if (Status status = member->file->make_durable(); !status.ok()) return status.error();
  }
  for (uint32_t i = 0; i < runtime.reactor_count(); ++i) {
    UringReactor& reactor = runtime.reactor(i);
    if (member->file != nullptr) {
      member->channels.push_back(std::make_unique<UringDevice>(reactor, member->file));
    } else {
      member->channels.push_back(std::make_unique<MemoryDevice>(reactor, member->memory));
    }
  }
  return member;
}

std::vector<Device*> PoolMember::all_channels() const {
  std::vector<Device*> all;
  for (const auto& channel : channels) all.push_back(channel.get());
  return all;
}

void PoolMembers::join(Runtime& runtime, uint32_t owner, store::Pool& pool, bool adding,
                       std::shared_ptr<PoolMember> member, const Reply& reply) {
  const auto done = [this, &runtime, owner, member,
                     reply](const Result<store::PoolDeviceStatus>& result) {
    if (result.ok()) {
      if (member->file != nullptr) member->file->stay();
      member->uuid = result.value().uuid;
      members_.push_back(member);
      reply.resolve([status = result.value(), name = member->name](Napi::Env env) {
        return device_status_value(env, status, name);
      });
      return;
    }
    // Told from inside the device's last operation: it is let go of in a later step, and its file
    // on the JavaScript thread, since that blocks.
    const Error problem{result.error().code, member->name + ": " + result.error().message};
    runtime.post(owner, [member, reply, problem] {
      reply.resolve([member, problem](Napi::Env env) -> Napi::Value {
        member->channels.clear();
        member->file.reset();
        const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
        deferred.Reject(to_js_error(env, problem));
        return deferred.Promise();
      });
    });
  };
  if (adding) {
    pool.add_device(member->all_channels(), done);
  } else {
    pool.attach_device(member->all_channels(), done);
  }
}

std::vector<std::string> PoolMembers::names(const store::PoolStatus& status,
                                            const std::string& first) const {
  std::vector<std::string> names;
  for (const store::PoolDeviceStatus& device : status.devices) {
    const auto at = std::find_if(members_.begin(), members_.end(), [&](const auto& member) {
      return member->uuid == device.uuid;
    });
    names.push_back(device.index == 0         ? first
                    : at != members_.end() ? (*at)->name
                                              : std::string());
  }
  return names;
}

Napi::Value device_status_value(Napi::Env env, const store::PoolDeviceStatus& status,
                                const std::string& name) {
  using State = store::PoolDeviceStatus::State;
  const char* const state = status.state == State::online    ? "online"
                            : status.state == State::missing ? "missing"
                                                             : "failed";
  Napi::Object object = Napi::Object::New(env);
  object["uuid"] = js(env, std::span<const std::byte>(status.uuid));
  object["index"] = js(env, status.index);
  object["path"] = name.empty() ? env.Null() : js(env, name);
  object["sizeBytes"] = js(env, status.size_bytes);
  object["totalChunks"] = js(env, status.total_chunks);
  object["freeChunks"] = js(env, status.free_chunks);
  object["state"] = js(env, state);
  object["readErrors"] = js(env, status.read_errors);
  object["writeErrors"] = js(env, status.write_errors);
  return object;
}

void tell_device_failures(const std::shared_ptr<PoolHandle>& handle) {
  handle->pool->on_device_failed([weak = std::weak_ptr(handle)](const Uuid& uuid,
                                                                const std::string& reason) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->runtime->bridge().emit_once([self, uuid, reason](Napi::Env env) -> Napi::Value {
      Napi::Object event = Napi::Object::New(env);
      event["type"] = js(env, "device-failed");
      event["pool"] = self->object(env, self->runtime->bridge());
      event["uuid"] = js(env, std::span<const std::byte>(uuid));
      event["reason"] = js(env, self->name + ": " + reason);
      return event;
    });
  });
}

namespace {

Napi::Value join_device(const Napi::CallbackInfo& info, bool adding) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  const DeviceChoice choice = read_device_spec(in, info[1]);
  std::optional<uint64_t> create_size_bytes;
  if (adding) create_size_bytes = info[2].IsNull() ? 0 : in.to_u64(info[2], "sizeBytes");
  if (!in.ok()) return in.reject();
  auto opened =
      PoolMember::open(*handle->runtime, choice, create_size_bytes, !adding && handle->read_only);
  if (!opened.ok()) {
    in.fail(opened.error().code, opened.error().message);
    return in.reject();
  }
  return with_pool(info, in, handle,
                   [handle, adding, member = std::move(opened).value()](store::Pool& pool,
                                                                        Reply reply) {
                     handle->members.join(*handle->runtime, handle->owner, pool, adding, member,
                                          reply);
                   });
}

Napi::Value pool_add_device(const Napi::CallbackInfo& info) { return join_device(info, true); }
Napi::Value pool_attach_device(const Napi::CallbackInfo& info) { return join_device(info, false); }

}  // namespace

void register_devices(Napi::Env env, Napi::Object exports) {
  exports["poolAddDevice"] = Napi::Function::New(env, pool_add_device, "poolAddDevice");
  exports["poolAttachDevice"] = Napi::Function::New(env, pool_attach_device, "poolAttachDevice");
}

}  // namespace ashlar::addon
