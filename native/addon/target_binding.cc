// The "Target" section of lib/native.ts: portals, controllers, and the answers to Connect and admin
// commands.
//
// All calls become messages to the target's home reactor; names of things that have gone are
// ignored there. The JavaScript thread counts what is open, so that the runtime is not closed under
// it, and lets the target rest when nothing is left.
#include <napi.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "addon/meter_handle.h"
#include "addon/register.h"
#include "addon/runtime.h"
#include "addon/values.h"
#include "addon/volume_handle.h"
#include "target/target.h"

namespace ashlar::addon {

namespace {

std::span<const std::byte> bytes_of(const nvme::Sqe& sqe) {
  return std::as_bytes(std::span(&sqe, 1));
}

struct PortalHandle final : Handle {
  static constexpr HandleKind handle_kind = HandleKind::portal;
  PortalHandle(std::shared_ptr<Runtime> of, target::PortalId portal)
      : Handle(handle_kind), runtime(std::move(of)), id(portal) {}
  const std::shared_ptr<Runtime> runtime;
  const target::PortalId id;
};

struct ControllerHandle final : Handle {
  static constexpr HandleKind handle_kind = HandleKind::controller;
  ControllerHandle(std::shared_ptr<Runtime> of, target::ControllerId controller)
      : Handle(handle_kind), runtime(std::move(of)), id(controller) {}
  const std::shared_ptr<Runtime> runtime;
  const target::ControllerId id;
};

struct ConnectHandle final : Handle {
  static constexpr HandleKind handle_kind = HandleKind::connect;
  ConnectHandle(std::shared_ptr<Runtime> of, target::ConnectionId connection)
      : Handle(handle_kind), runtime(std::move(of)), id(connection) {}
  const std::shared_ptr<Runtime> runtime;
  const target::ConnectionId id;
};

const char* reason_word(target::EndReason reason) {
  switch (reason) {
    case target::EndReason::disconnected: return "disconnected";
    case target::EndReason::keep_alive_expired: return "keep-alive-expired";
    case target::EndReason::transport_error: return "transport-error";
    case target::EndReason::not_authenticated: return "not-authenticated";
    case target::EndReason::destroyed: return "destroyed";
  }
  return "destroyed";
}

// ---- The target of one runtime ------------------------------------------------------------------

class TargetExtension final : public Extension, private target::TargetEvents {
 public:
  static constexpr char key = 0;

  explicit TargetExtension(Runtime& runtime) : runtime_(runtime), target_(ports(runtime), *this) {}

  target::Target& target() noexcept { return target_; }

  // JavaScript thread. Something of the target is open: the runtime stays, and so does the process.
  void opened(Napi::Env env) {
    if (open_++ != 0) return;
    if (!attached_) {
      attached_ = true;
      runtime_.attach(std::make_shared<Guard>(*this));
    }
    runtime_.bridge().hold(env);
  }
  void closed(Napi::Env env) {
    CHECK(open_ > 0);
    if (--open_ == 0) runtime_.bridge().unhold(env);
  }
  // After the last thing was closed: true, the reactors have nothing of the target left.
  void detach_if_unused(bool quiet) {
    if (!quiet || open_ != 0 || !attached_) return;
    attached_ = false;
    runtime_.detach(guard_);
  }
  bool unused() const noexcept { return open_ == 0; }

  std::shared_ptr<ControllerHandle> make_controller(Napi::Env env) {
    const target::ControllerId id = next_controller_++;
    auto handle = std::make_shared<ControllerHandle>(runtime_.shared(), id);
    controllers_.emplace(id, handle);
    opened(env);
    return handle;
  }

 private:
  // What keeps the runtime from closing under the target.
  struct Guard final : Attachment {
    explicit Guard(TargetExtension& of) : extension(of) { extension.guard_ = this; }
    std::string describe() const override {
      return "the NVMe/TCP target (its portals and controllers)";
    }
    void shut_down(std::function<void()> done) override {
      extension.target_.close(std::move(done));
    }
    TargetExtension& extension;
  };

  static std::vector<target::ReactorPort> ports(Runtime& runtime) {
    std::vector<target::ReactorPort> ports;
    for (uint32_t i = 0; i < runtime.reactor_count(); ++i) {
      UringReactor& reactor = runtime.reactor(i);
      ports.push_back({&reactor, &reactor.network(), &reactor.buffers(), &reactor.counters()});
    }
    return ports;
  }

  // ---- Reactor threads ----
  bool connect_requested(target::ConnectRequest request) noexcept override {
    auto shared = std::make_shared<target::ConnectRequest>(std::move(request));
    return runtime_.bridge().emit([this, shared](Napi::Env env) -> Napi::Value {
      Napi::Object event = Napi::Object::New(env);
      event["type"] = js(env, "connect");
      auto handle = std::make_shared<ConnectHandle>(runtime_.shared(), shared->connection);
      event["connect"] = handle->object(env, runtime_.bridge());
      event["portalId"] = js(env, shared->portal);
      event["peer"] = js(env, shared->peer);
      event["local"] = js(env, shared->local);
      event["tlsIdentity"] =
          shared->tls_identity.empty() ? env.Null() : js(env, shared->tls_identity);
      event["sqe"] = js(env, bytes_of(shared->sqe));
      event["data"] = js(env, std::span<const std::byte>(shared->data));
      return event;
    });
  }

  bool command_requested(target::CommandRequest request) noexcept override {
    auto shared = std::make_shared<target::CommandRequest>(std::move(request));
    return runtime_.bridge().emit([this, shared](Napi::Env env) -> Napi::Value {
      Napi::Object event = Napi::Object::New(env);
      event["type"] = js(env, "command");
      event["controller"] = controller_object(env, shared->controller);
      event["queue"] = js(env, shared->connection);
      event["qid"] = js(env, uint32_t{shared->qid});
      event["command"] = js(env, shared->command);
      event["sqe"] = js(env, bytes_of(shared->sqe));
      event["data"] = shared->has_data ? js(env, std::span<const std::byte>(shared->data))
                                       : env.Null();
      event["dataRoomBytes"] = js(env, shared->data_room_bytes);
      return event;
    });
  }

  void controller_ended(target::ControllerEnded ended) noexcept override {
    runtime_.bridge().emit_once([this, ended = std::move(ended)](Napi::Env env) -> Napi::Value {
      Napi::Object event = Napi::Object::New(env);
      event["type"] = js(env, "controller-ended");
      event["controller"] = controller_object(env, ended.controller);
      event["reason"] = js(env, reason_word(ended.reason));
      event["detail"] = js(env, ended.detail);
      controllers_.erase(ended.controller);
      closed(env);
      if (unused()) rest(env);
      return event;
    });
  }

  Napi::Value controller_object(Napi::Env env, target::ControllerId id) {
    const auto at = controllers_.find(id);
    CHECK(at != controllers_.end());  // The end of a controller is its last event.
    return at->second->object(env, runtime_.bridge());
  }

  // The last controller ended after the last portal: connections that never became queues end too.
  void rest(Napi::Env env) {
    Bridge::Begun begun = runtime_.bridge().begin(env);
    if (begun.reply == nullptr) return;
    target_.quiesce([this, reply = *begun.reply](bool quiet) {
      reply.resolve([this, quiet](Napi::Env later) -> Napi::Value {
        detach_if_unused(quiet);
        return later.Undefined();
      });
    });
  }

  Runtime& runtime_;
  target::Target target_;
  // JavaScript thread.
  uint32_t open_ = 0;  // Portals and controllers.
  bool attached_ = false;
  const Attachment* guard_ = nullptr;
  target::ControllerId next_controller_ = 1;
  std::unordered_map<target::ControllerId, std::shared_ptr<ControllerHandle>> controllers_;
};

// The handle behind an argument whose runtime is still open; null otherwise. Calls that name a
// thing which has ended do nothing, as they may cross its end on the way.
template <class T>
std::shared_ptr<T> named(const Napi::CallbackInfo& info, size_t index, Reader& in) {
  auto handle = std::static_pointer_cast<T>(
      Handle::from_value(info.Env(), info[index], T::handle_kind));
  if (handle == nullptr) {
    in.fail(ErrorCode::invalid_argument,
            std::string("argument ") + std::to_string(index + 1) + " is not a " +
                Handle::kind_name(T::handle_kind) + " handle");
    return nullptr;
  }
  if (handle->runtime->closed()) {
    in.fail(ErrorCode::closed, std::string("the runtime of this ") +
                                   Handle::kind_name(T::handle_kind) + " was closed");
    return nullptr;
  }
  return handle;
}

TargetExtension& extension_of(Runtime& runtime) { return runtime.extension<TargetExtension>(); }

template <class T>
target::Target& target_of(const T& handle) {
  return extension_of(*handle->runtime).target();
}

// ---- Portals ------------------------------------------------------------------------------------

Napi::Value portal_listen(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  target::PortalOptions options;
  options.id = in.number<uint16_t>(info[1], "portalId");
  options.address.host = in.text(info[1], "address");
  options.address.port = in.number<uint16_t>(info[1], "port");
  options.allow_header_digest = in.boolean(info[1], "allowHeaderDigest");
  options.allow_data_digest = in.boolean(info[1], "allowDataDigest");
  const std::string tls = in.text(info[1], "tls");
  if (tls == "allowed") {
    options.tls = target::PortalTls::allowed;
  } else if (tls == "required") {
    options.tls = target::PortalTls::required;
  } else if (in.ok() && tls != "none") {
    in.fail(ErrorCode::invalid_argument, "tls must be none, allowed or required, not '" + tls + "'");
  }
  const std::string records = in.text(info[1], "tlsRecords");
  if (records == "kernel") {
    options.tls_records = tls::Records::kernel;
  } else if (in.ok() && records != "process") {
    in.fail(ErrorCode::invalid_argument,
            "tlsRecords must be kernel or process, not '" + records + "'");
  }
  if (in.ok() && options.id == 0) {
    in.fail(ErrorCode::invalid_argument, "portalId must be 1 to 65535, not 0");
  }
  if (!in.ok()) return in.reject();
  TargetExtension& extension = extension_of(*runtime);
  Bridge::Begun begun = runtime->bridge().begin(env);
  if (begun.reply == nullptr) return begun.promise;
  // A failure has to be counted on the JavaScript thread, and a rejection runs nothing there.
  Bridge::Begun account = runtime->bridge().begin(env);
  if (account.reply == nullptr) {
    begun.reply->reject({ErrorCode::limit_exceeded, "too many calls wait for an answer"});
    return begun.promise;
  }
  extension.opened(env);
  extension.target().listen(
      options, [runtime, &extension, id = options.id, reply = *begun.reply,
                accounted = *account.reply](Result<uint16_t> port) {
        if (port.ok()) {
          accounted.resolve();
          reply.resolve([runtime, id, bound = port.value()](Napi::Env later) -> Napi::Value {
            Napi::Object result = Napi::Object::New(later);
            auto handle = std::make_shared<PortalHandle>(runtime, id);
            result["portal"] = handle->object(later, runtime->bridge());
            result["port"] = js(later, uint32_t{bound});
            return result;
          });
          return;
        }
        // As after a close: the rejection also means that the runtime may close.
        extension.target().quiesce(
            [&extension, accounted, reply, error = port.error()](bool quiet) {
              accounted.resolve([&extension, quiet](Napi::Env later) -> Napi::Value {
                extension.closed(later);
                extension.detach_if_unused(quiet);
                return later.Undefined();
              });
              reply.reject(error);
            });
      });
  return begun.promise;
}

Napi::Value tls_set_keys(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  const std::string origin = in.to_text(info[1], "origin");
  if (in.ok() && origin != "configured" && origin != "generated") {
    in.fail(ErrorCode::invalid_argument,
            "origin must be 'configured' or 'generated', not '" + origin + "'");
  }
  const auto array = in.to_array(info[2], "keys");
  auto table = std::make_shared<tls::KeyTable>();
  for (uint32_t i = 0; in.ok() && i < array->Length(); ++i) {
    const Napi::Value entry = array->Get(i);
    std::string identity = in.text(entry, "identity");
    const std::string word = in.text(entry, "hash");
    std::vector<std::byte> psk = in.bytes(entry, "psk");
    const auto hash = word == "sha256" ? tls::PskHash::sha256 : tls::PskHash::sha384;
    if (in.ok() && word != "sha256" && word != "sha384") {
      in.fail(ErrorCode::invalid_argument, "hash must be sha256 or sha384, not '" + word + "'");
    }
    if (in.ok() && psk.size() != tls::psk_bytes(hash)) {
      in.fail(ErrorCode::invalid_argument,
              "psk must have " + std::to_string(tls::psk_bytes(hash)) + " bytes with " + word +
                  ", not " + std::to_string(psk.size()));
    }
    if (in.ok()) {
      const Status added = table->add(std::move(identity), hash, psk);
      if (!added.ok()) in.fail(added.error().code, added.error().message);
    }
    tls::forget(psk);
  }
  if (!in.ok()) return in.raise();
  extension_of(*runtime).target().set_tls_keys(
      std::move(table),
      origin == "generated" ? tls::PskOrigin::generated : tls::PskOrigin::configured);
  return env.Undefined();
}

Napi::Value portal_close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto portal = in.handle<PortalHandle>(info[0]);
  if (!info[1].IsBoolean()) in.fail(ErrorCode::invalid_argument, "drop must be a boolean");
  if (!in.ok()) return in.reject();
  TargetExtension& extension = extension_of(*portal->runtime);
  Bridge::Begun begun = portal->runtime->bridge().begin(env);
  if (begun.reply == nullptr) return begun.promise;
  portal->mark_closed();
  extension.target().close_portal(
      portal->id, info[1].As<Napi::Boolean>().Value(),
      [portal, &extension, reply = *begun.reply] {
        // When this was the last, the promise also means that the reactors are at rest.
        extension.target().quiesce([portal, &extension, reply](bool quiet) {
          reply.resolve([portal, &extension, quiet](Napi::Env later) -> Napi::Value {
            extension.closed(later);
            extension.detach_if_unused(quiet);
            return later.Undefined();
          });
        });
      });
  return begun.promise;
}

// One entry of portalSetAna's list.
target::AnaChange ana_change(Reader& in, const Napi::Value& value) {
  static constexpr std::pair<const char*, target::AnaState> words[] = {
      {"optimized", target::AnaState::optimized},
      {"non-optimized", target::AnaState::non_optimized},
      {"inaccessible", target::AnaState::inaccessible},
      {"persistent-loss", target::AnaState::persistent_loss},
      {"change", target::AnaState::change},
  };
  target::AnaChange change{in.number<uint32_t>(value, "anagrpid"), target::AnaState::optimized};
  const std::string word = in.text(value, "state");
  const std::pair<const char*, target::AnaState>* found = nullptr;
  for (const auto& entry : words) {
    if (word == entry.first) found = &entry;
  }
  if (in.ok() && (change.anagrpid < 1 || change.anagrpid > target::limits::max_ana_groups)) {
    in.fail(ErrorCode::invalid_argument,
            "anagrpid must be 1 to " + std::to_string(target::limits::max_ana_groups) + ", not " +
                std::to_string(change.anagrpid));
  }
  if (in.ok() && found == nullptr) {
    in.fail(ErrorCode::invalid_argument, "state must be an ANA state, not '" + word + "'");
  }
  if (found != nullptr) change.state = found->second;
  return change;
}

Napi::Value portal_set_ana(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto portal = in.handle<PortalHandle>(info[0]);
  std::vector<target::AnaChange> changes;
  const auto array = in.to_array(info[1], "changes");
  for (uint32_t i = 0; array && in.ok() && i < array->Length(); ++i) {
    changes.push_back(ana_change(in, array->Get(i)));
  }
  if (!in.ok()) return in.reject();
  Bridge::Begun begun = portal->runtime->bridge().begin(env);
  if (begun.reply == nullptr) return begun.promise;
  target_of(portal).set_ana(portal->id, std::move(changes),
                            [reply = *begun.reply] { reply.resolve(); });
  return begun.promise;
}

// ---- Controllers --------------------------------------------------------------------------------

Napi::Value controller_create(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  target::ControllerOptions options;
  options.cntlid = in.number<uint16_t>(info[1], "cntlid");
  options.max_io_queues = in.number<uint32_t>(info[1], "maxIoQueues");
  options.max_async_events = in.number<uint32_t>(info[1], "maxAsyncEvents");
  options.max_transfer_bytes = in.number<uint32_t>(info[1], "maxTransferBytes");
  const std::vector<std::byte> hostid = in.bytes(info[1], "hostid");
  if (in.ok() && hostid.size() != options.hostid.size()) {
    in.fail(ErrorCode::invalid_argument,
            "hostid must be 16 bytes, not " + std::to_string(hostid.size()));
  }
  if (in.ok()) std::memcpy(options.hostid.data(), hostid.data(), hostid.size());
  const std::string kind = in.text(info[1], "kind");
  if (in.ok() && kind != "io" && kind != "discovery") {
    in.fail(ErrorCode::invalid_argument, "kind must be 'io' or 'discovery', not '" + kind + "'");
  }
  const auto within = [&in](const char* name, uint32_t value, uint32_t least, uint32_t most) {
    if (!in.ok() || (value >= least && value <= most)) return;
    in.fail(ErrorCode::invalid_argument, std::string(name) + " must be " + std::to_string(least) +
                                             " to " + std::to_string(most) + ", not " +
                                             std::to_string(value));
  };
  within("maxIoQueues", options.max_io_queues, 0,
         kind == "discovery" ? 0 : target::limits::max_io_queues);
  within("maxAsyncEvents", options.max_async_events, 1, target::limits::max_async_events);
  within("maxTransferBytes", options.max_transfer_bytes, limits::block_bytes,
         target::limits::max_transfer_bytes);
  if (!in.ok()) return in.raise();
  TargetExtension& extension = extension_of(*runtime);
  const auto handle = extension.make_controller(env);
  extension.target().create_controller(handle->id, options);
  return handle->object(env, runtime->bridge());
}

target::ReservationRule read_reservation(Reader& in, Napi::Value attachment) {
  const std::string word = in.text(attachment, "reservation");
  if (word == "writes-refused") return target::ReservationRule::writes_refused;
  if (word == "reads-and-writes-refused") return target::ReservationRule::reads_and_writes_refused;
  if (in.ok() && word != "none") {
    in.fail(ErrorCode::invalid_argument,
            "reservation must be 'none', 'writes-refused' or 'reads-and-writes-refused', not '" +
                word + "'");
  }
  return target::ReservationRule::none;
}

std::vector<target::Namespace> read_namespaces(Reader& in, Napi::Value value) {
  std::vector<target::Namespace> namespaces;
  const auto array = in.to_array(value, "namespaces");
  for (uint32_t i = 0; array && in.ok() && i < array->Length(); ++i) {
    const Napi::Value item = array->Get(i);
    target::Namespace ns;
    ns.nsid = in.number<uint32_t>(item, "nsid");
    ns.anagrpid = in.number<uint32_t>(item, "anagrpid");
    ns.read_only = in.boolean(item, "readOnly");
    ns.reservation = read_reservation(in, item);
    const auto volume = in.handle<VolumeHandle>(in.field(item, "volume"));
    if (in.ok() && !in.is_null(item, "meter")) {
      const auto meter = in.handle<MeterHandle>(in.field(item, "meter"));
      if (meter != nullptr) ns.meter = meter->meter;
    }
    if (!in.ok()) break;
    ns.backend = &volume->backend();
    if (ns.nsid == 0 || ns.nsid == nvme::nsid_all) {
      in.fail(ErrorCode::invalid_argument, "nsid must be 1 to 4294967294");
    }
    if (ns.anagrpid < 1 || ns.anagrpid > target::limits::max_ana_groups) {
      in.fail(ErrorCode::invalid_argument,
              "anagrpid must be 1 to " + std::to_string(target::limits::max_ana_groups));
    }
    for (const target::Namespace& other : namespaces) {
      if (other.nsid == ns.nsid) {
        in.fail(ErrorCode::already_exists,
                "namespace " + std::to_string(ns.nsid) + " is given twice");
      }
    }
    namespaces.push_back(std::move(ns));
  }
  return namespaces;
}

Napi::Value controller_set_namespaces(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto controller = named<ControllerHandle>(info, 0, in);
  if (!in.ok()) return in.reject();
  std::vector<target::Namespace> namespaces = read_namespaces(in, info[1]);
  if (!in.ok()) return in.reject();
  Bridge::Begun begun = controller->runtime->bridge().begin(env);
  if (begun.reply == nullptr) return begun.promise;
  target_of(controller).set_namespaces(controller->id, std::move(namespaces),
                                       [reply = *begun.reply] { reply.resolve(); });
  return begun.promise;
}

Napi::Value controller_set_keep_alive(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  const auto timeout = static_cast<uint32_t>(in.to_number(info[1], "timeoutMs", UINT32_MAX));
  if (!in.ok()) return in.raise();
  target_of(controller).set_keep_alive(controller->id, timeout);
  return info.Env().Undefined();
}

Napi::Value controller_set_enabled(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  if (!info[1].IsBoolean()) in.fail(ErrorCode::invalid_argument, "enabled must be a boolean");
  if (!in.ok()) return in.raise();
  target_of(controller).set_enabled(controller->id, info[1].As<Napi::Boolean>().Value());
  return info.Env().Undefined();
}

Napi::Value error_log(Napi::Env env, const target::ErrorLog::Contents& contents) {
  Napi::Object log = Napi::Object::New(env);
  Napi::Array entries = Napi::Array::New(env, contents.newest.size());
  for (uint32_t i = 0; i < contents.newest.size(); ++i) {
    const target::ErrorRecord& record = contents.newest[i];
    Napi::Object entry = Napi::Object::New(env);
    entry["errorCount"] = js(env, record.count);
    entry["sqid"] = js(env, uint32_t{record.sqid});
    entry["cid"] = js(env, uint32_t{record.cid});
    entry["statusField"] = js(env, uint32_t{record.status_field});
    entry["parameterLocation"] = js(env, uint32_t{record.parameter_location});
    entry["lba"] = js(env, record.lba);
    entry["nsid"] = js(env, record.nsid);
    entry["opcode"] = js(env, uint32_t{record.opcode});
    entries[i] = entry;
  }
  log["errorCount"] = js(env, contents.count);
  log["entries"] = entries;
  return log;
}

Napi::Value controller_error_log(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto controller = named<ControllerHandle>(info, 0, in);
  if (!in.ok()) return in.reject();
  Bridge::Begun begun = controller->runtime->bridge().begin(env);
  if (begun.reply == nullptr) return begun.promise;
  target_of(controller).read_errors(
      controller->id, [reply = *begun.reply](target::ErrorLog::Contents contents) {
        reply.resolve([contents = std::move(contents)](Napi::Env later) {
          return error_log(later, contents);
        });
      });
  return begun.promise;
}

target::AsyncEvent read_event(Reader& in, Napi::Value value) {
  target::AsyncEvent event;
  event.event_type = in.number<uint8_t>(value, "eventType");
  event.information = in.number<uint8_t>(value, "information");
  event.log_page = in.number<uint8_t>(value, "logPage");
  return event;
}

Napi::Value controller_raise_event(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  const target::AsyncEvent event = read_event(in, info[1]);
  if (!in.ok()) return in.raise();
  target_of(controller).raise_event(controller->id, event);
  return info.Env().Undefined();
}

Napi::Value controller_clear_event(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  const target::AsyncEvent event = read_event(in, info[1]);
  if (!in.ok()) return in.raise();
  target_of(controller).clear_event(controller->id, event);
  return info.Env().Undefined();
}

Napi::Value controller_destroy(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  if (!in.ok()) return in.raise();
  target_of(controller).destroy_controller(controller->id);
  return info.Env().Undefined();
}

// ---- Answers ------------------------------------------------------------------------------------

Napi::Value connect_accept(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto connect = named<ConnectHandle>(info, 0, in);
  const auto controller = named<ControllerHandle>(info, 1, in);
  if (in.ok() && connect->runtime != controller->runtime) {
    in.fail(ErrorCode::invalid_argument, "the controller belongs to another runtime");
  }
  const std::string word = in.to_text(info[2], "authentication");
  static constexpr std::pair<const char*, target::Authentication> words[] = {
      {"none", target::Authentication::none},
      {"required", target::Authentication::required},
      {"required-with-tls", target::Authentication::required_with_tls},
  };
  const std::pair<const char*, target::Authentication>* found = nullptr;
  for (const auto& entry : words) {
    if (word == entry.first) found = &entry;
  }
  if (in.ok() && found == nullptr) {
    in.fail(ErrorCode::invalid_argument,
            "authentication must be 'none', 'required' or 'required-with-tls', not '" + word + "'");
  }
  if (!in.ok()) return in.raise();
  target_of(connect).accept(connect->id, controller->id, found->second);
  return info.Env().Undefined();
}

Napi::Value connect_reject(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto connect = named<ConnectHandle>(info, 0, in);
  const auto status = static_cast<uint16_t>(in.to_number(info[1], "status", 0x7ff));
  const uint64_t result = in.to_u64(info[2], "result");
  if (in.ok() && status == 0) in.fail(ErrorCode::invalid_argument, "status must not be success");
  if (!in.ok()) return in.raise();
  target_of(connect).reject(connect->id, status, result);
  return info.Env().Undefined();
}

target::CommandCompletion read_completion(Reader& in, Napi::Value value) {
  target::CommandCompletion completion;
  completion.status = in.number<uint16_t>(value, "status");
  completion.do_not_retry = in.boolean(value, "doNotRetry");
  completion.result = in.u64(value, "result");
  completion.data = in.bytes_or_null(value, "data").value_or(std::vector<std::byte>());
  if (in.ok() && completion.status > 0x7ff) {
    in.fail(ErrorCode::invalid_argument, "status must be SCT << 8 | SC");
  }
  return completion;
}

Napi::Value authentication_complete(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  const uint64_t command = in.to_u64(info[1], "command");
  target::CommandCompletion completion = read_completion(in, info[2]);
  const std::string word = in.to_text(info[3], "verdict");
  static constexpr std::pair<const char*, target::QueueVerdict> words[] = {
      {"as-before", target::QueueVerdict::as_before},
      {"authenticated", target::QueueVerdict::authenticated},
      {"suspended", target::QueueVerdict::suspended},
      {"refused", target::QueueVerdict::refused},
  };
  const std::pair<const char*, target::QueueVerdict>* found = nullptr;
  for (const auto& entry : words) {
    if (word == entry.first) found = &entry;
  }
  if (in.ok() && found == nullptr) {
    in.fail(ErrorCode::invalid_argument,
            "verdict must be 'as-before', 'authenticated', 'suspended' or 'refused', not '" + word + "'");
  }
  if (!in.ok()) return in.raise();
  target_of(controller)
      .complete_command(controller->id, command, std::move(completion), found->second);
  return info.Env().Undefined();
}

Napi::Value command_complete(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto controller = named<ControllerHandle>(info, 0, in);
  const uint64_t command = in.to_u64(info[1], "command");
  target::CommandCompletion completion = read_completion(in, info[2]);
  if (!in.ok()) return in.raise();
  target_of(controller).complete_command(controller->id, command, std::move(completion));
  return info.Env().Undefined();
}

}  // namespace

void register_target(Napi::Env env, Napi::Object exports) {
  const auto add = [&]<Napi::Value (*function)(const Napi::CallbackInfo&)>(const char* name) {
    exports[name] = Napi::Function::New<function>(env, name);
  };
  add.operator()<portal_listen>("portalListen");
  add.operator()<portal_close>("portalClose");
  add.operator()<tls_set_keys>("tlsSetKeys");
  add.operator()<portal_set_ana>("portalSetAna");
  add.operator()<controller_create>("controllerCreate");
  add.operator()<controller_set_namespaces>("controllerSetNamespaces");
  add.operator()<controller_set_keep_alive>("controllerSetKeepAlive");
  add.operator()<controller_set_enabled>("controllerSetEnabled");
  add.operator()<controller_raise_event>("controllerRaiseEvent");
  add.operator()<controller_clear_event>("controllerClearEvent");
  add.operator()<controller_error_log>("controllerErrorLog");
  add.operator()<controller_destroy>("controllerDestroy");
  add.operator()<connect_accept>("connectAccept");
  add.operator()<connect_reject>("connectReject");
  add.operator()<command_complete>("commandComplete");
  add.operator()<authentication_complete>("authenticationComplete");
}

}  // namespace ashlar::addon
