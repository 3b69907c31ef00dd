// inspect*: pools that nobody has open, as they lie on the device, for repair and dump.
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "addon/check_value.h"
#include "addon/register.h"
#include "addon/runtime.h"
#include "addon/values.h"
#include "device/device_file.h"
#include "device/uring_device.h"
#include "store/dump.h"
#include "store/repair.h"

namespace ashlar::addon {

namespace {

// A device with a pool on it, locked but not opened as a pool. One call at a time is under way.
class InspectHandle final : public Handle, public Attachment {
 public:
  static constexpr HandleKind handle_kind = HandleKind::inspect;

  explicit InspectHandle(std::shared_ptr<Runtime> on)
      : Handle(handle_kind), runtime(std::move(on)), owner(runtime->next_reactor()) {}

  std::shared_ptr<InspectHandle> shared() {
    return std::static_pointer_cast<InspectHandle>(shared_from_this());
  }
  std::string describe() const override { return "inspected pool " + name; }
  void shut_down(std::function<void()> done) override {
    runtime->post(owner, [self = shared(), done = std::move(done)] {
      self->when_idle = [self, done] {
        self->drop();
        done();
      };
      self->look();
    });
  }
  // The owner's thread from here on.
  void begin_call() { busy = true; }
  void end_call() {
    busy = false;
    look();
  }
  void look() {
    if (!busy && when_idle != nullptr) runtime->post(owner, std::exchange(when_idle, nullptr));
  }
  void drop() {
    device.reset();
    file.reset();
  }
  Error named(const Error& error) const {
    return Error{error.code, name + ": " + error.message};
  }

  const std::shared_ptr<Runtime> runtime;
  const uint32_t owner;
  std::string name;
  std::shared_ptr<DeviceFile> file;
  std::unique_ptr<Device> device;
  bool read_only = false;
  bool busy = false;
  std::function<void()> when_idle;
};

Napi::Value pool_inspect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  DeviceFileOptions options;
  options.path = in.text(info[1], "path");
  options.read_only = in.boolean(info[1], "readOnly");
  if (!in.ok()) return in.raise();
  auto opened = DeviceFile::open(options);
  if (!opened) {
    in.fail(opened.error().code, opened.error().message);
    return in.raise();
  }
  auto handle = std::make_shared<InspectHandle>(runtime);
  handle->name = options.path;
  handle->read_only = options.read_only;
  handle->file = std::move(opened).value();
  handle->device =
      std::make_unique<UringDevice>(runtime->reactor(handle->owner), handle->file);
  runtime->attach(handle);
  return handle->object(env, runtime->bridge());
}

// Runs `work` on the owner's thread, unless another call is under way.
Napi::Value with_device(const Napi::CallbackInfo& info, Reader& in,
                        const std::shared_ptr<InspectHandle>& handle,
                        std::function<void(Device&, Reply)> work) {
  if (!in.ok()) return in.reject();
  return handle->runtime->call(
      info.Env(), handle->owner, [handle, work = std::move(work)](Reply reply) {
        if (handle->device == nullptr) {
          return reply.reject({ErrorCode::closed, handle->describe() + " is closed"});
        }
        if (handle->busy) {
          const std::string what = handle->describe() + ": another call is under way";
          return reply.reject({ErrorCode::busy, what});
        }
        handle->begin_call();
        work(*handle->device, reply);
      });
}

Napi::Value inspect_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<InspectHandle>(info[0]);
  if (!in.ok()) return in.reject();
  handle->mark_closed();
  return handle->runtime->call(info.Env(), handle->owner, [handle](Reply reply) {
    handle->when_idle = [handle, reply] {
      handle->drop();
      reply.resolve([handle](Napi::Env env) -> Napi::Value {
        handle->runtime->detach(handle.get());
        return env.Undefined();
      });
    };
    handle->look();
  });
}

// ---- Repair -------------------------------------------------------------------------------------

Napi::Value inspect_repair(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<InspectHandle>(info[0]);
  const bool dry_run = in.boolean(info[1], "dryRun");
  if (handle != nullptr && !dry_run && handle->read_only) {
    in.fail(ErrorCode::invalid_argument, handle->describe() + " is open for reading only");
  }
  return with_device(info, in, handle, [handle, dry_run](Device& device, Reply reply) {
    store::repair_pool(device, dry_run,
                       [handle, reply](const Result<store::RepairReport>& result) {
      handle->end_call();
      if (!result.ok()) return reply.reject(handle->named(result.error()));
      reply.resolve([report = result.value()](Napi::Env env) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object["found"] = check_report_value(env, report.found);
        object["mendable"] = js(env, report.mendable);
        object["changed"] = js(env, report.changed);
        object["pagesWritten"] = js(env, report.pages_written);
        object["checked"] = check_report_value(env, report.checked);
        return object;
      });
    });
  });
}

// ---- Dump ---------------------------------------------------------------------------------------

store::DumpSection read_section(Reader& in, Napi::Value request) {
  using store::DumpSection;
  static constexpr std::pair<const char*, DumpSection> sections[] = {
      {"superblock", DumpSection::superblock}, {"devices", DumpSection::devices},
      {"layers", DumpSection::layers},         {"map", DumpSection::map},
      {"space", DumpSection::space},           {"journal", DumpSection::journal},
      {"kill-log", DumpSection::kill_log},     {"catalog", DumpSection::catalog}};
  const std::string name = in.text(request, "section");
  for (const auto& [each, section] : sections) {
    if (name == each) return section;
  }
  in.fail(ErrorCode::invalid_argument, "'" + name + "' is no section");
  return DumpSection::superblock;
}

Napi::Value dump_value(Napi::Env env, const store::DumpValue& value) {
  if (const auto* number = std::get_if<uint64_t>(&value)) return js(env, *number);
  if (const auto* text = std::get_if<std::string>(&value)) return js(env, *text);
  return js(env, std::span<const std::byte>(std::get<std::vector<std::byte>>(value)));
}

Napi::Value dump_page(Napi::Env env, const store::DumpPage& page) {
  Napi::Array rows = Napi::Array::New(env, page.rows.size());
  uint32_t count = 0;
  for (const store::DumpRow& row : page.rows) {
    Napi::Object object = Napi::Object::New(env);
    for (const auto& [name, value] : row) object[name] = dump_value(env, value);
    rows[count++] = object;
  }
  Napi::Object object = Napi::Object::New(env);
  object["rows"] = rows;
  object["next"] = env.Null();
  if (page.next.has_value()) {
    Napi::Object next = Napi::Object::New(env);
    next["at"] = js(env, page.next->at);
    next["sequence"] = js(env, page.next->sequence);
    object["next"] = next;
  }
  return object;
}

Napi::Value inspect_dump(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<InspectHandle>(info[0]);
  store::DumpRequest request;
  request.section = read_section(in, info[1]);
  request.layer_slot = in.u64_or_null(info[1], "layerSlot").value_or(0);
  request.limit = in.number<uint32_t>(info[1], "limit");
  if (!in.is_null(info[1], "cursor")) {
    const Napi::Value cursor = in.field(info[1], "cursor");
    request.cursor.at = in.u64(cursor, "at");
    request.cursor.sequence = in.u64(cursor, "sequence");
  }
  if (request.limit == 0 || request.limit > 65536) {
    in.fail(ErrorCode::invalid_argument, "limit is outside 1 to 65536");
  }
  return with_device(info, in, handle, [handle, request](Device& device, Reply reply) {
    store::dump_pool(device, request, [handle, reply](Result<store::DumpPage> result) {
      handle->end_call();
      if (!result.ok()) return reply.reject(handle->named(result.error()));
      auto page = std::make_shared<store::DumpPage>(std::move(result).value());
      reply.resolve([page](Napi::Env env) { return dump_page(env, *page); });
    });
  });
}

void add(Napi::Env env, Napi::Object exports, const char* name,
         Napi::Value (*function)(const Napi::CallbackInfo&)) {
  exports[name] = Napi::Function::New(env, function, name);
}

}  // namespace

void register_inspect(Napi::Env env, Napi::Object exports) {
  add(env, exports, "poolInspect", pool_inspect);
  add(env, exports, "inspectRepair", inspect_repair);
  add(env, exports, "inspectDump", inspect_dump);
  add(env, exports, "inspectClose", inspect_close);
}

}  // namespace ashlar::addon
