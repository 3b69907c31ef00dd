// Bridge: how the JavaScript thread and the reactors talk.
//
// JavaScript → reactor: a binding function reads its arguments (values.h), then starts work on a
// reactor's loop with Runtime::call() and returns the Promise it gets. Reactor → JavaScript: the
// work settles its Reply, from any thread, once; events go out through Bridge::emit(). Both go
// through one queue, in order, with one coalesced wake-up of the event loop however many there are.
//
// A worked example, a binding with a handle, a call and an event:
//
//   struct Portal final : Handle {                        // What JavaScript holds.
//     static constexpr HandleKind handle_kind = HandleKind::portal;
//     Portal(Runtime& r) : Handle(handle_kind), runtime(r.shared()) {}
//     std::shared_ptr<Runtime> runtime;
//     uint32_t reactor = 0;
//     std::unique_ptr<target::Listener> listener;         // Used on that reactor's thread only.
//   };
//
//   Napi::Value portal_listen(const Napi::CallbackInfo& info) {
//     Reader in(info.Env());
//     auto runtime = in.handle<Runtime>(info[0]);         // null and noted when wrong or closed
//     const std::string address = in.text(info[1], "address");
//     const uint16_t port = in.number<uint16_t>(info[1], "port");
//     if (!in.ok()) return in.reject();                   // a promise rejected with what was noted
//     auto portal = std::make_shared<Portal>(*runtime);
//     return runtime->call(portal->reactor, [=](Reply reply) {       // on the reactor's thread
//       auto listener = target::listen(…);
//       if (!listener) return reply.reject(listener.error());
//       portal->listener = std::move(listener).value();
//       reply.resolve([=](Napi::Env env) -> Napi::Value {            // on the JavaScript thread
//         return portal->object(env, portal->runtime->bridge());
//       });
//     });
//   }
//
//   // From a reactor's thread:
//   if (!bridge.emit([=](Napi::Env env) -> Napi::Value { …{ type: 'connect', … }… })) { refuse }
//
// Closing: mark the handle on the JavaScript thread (handle->mark_closed()) as soon as the close
// call begins, so that a second close and every later use throws 'closed'; then close on the
// reactor; then settle. What must be closed before the runtime may be is announced with
// Runtime::attach().
#pragma once

#include <napi.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/limits.h"
#include "base/result.h"

namespace ashlar::addon {

class Bridge;

// Makes the JavaScript value, on the JavaScript thread.
using ValueMaker = std::function<Napi::Value(Napi::Env)>;

// `{ code, message }` on an Error object, as lib/errors.ts expects it.
Napi::Value to_js_error(Napi::Env env, const Error& error);

// The answer to one call: a copyable name for it. Exactly one of resolve() and reject() is called,
// once (CHECKed), from any thread. Never settling leaves the promise pending until the process
// ends.
class Reply {
 public:
  void resolve() const;  // With undefined.
  void resolve(ValueMaker make) const;
  void reject(Error error) const;
  // resolve() when ok, else reject().
  void settle(const Status& status) const;

 private:
  friend class Bridge;
  struct Pending;
  explicit Reply(Pending* pending) : pending_(pending) {}
  Pending* pending_;
};

class Bridge : public std::enable_shared_from_this<Bridge> {
 public:
  // JavaScript thread.
  static std::shared_ptr<Bridge> open(Napi::Env env, Napi::Function on_events);
  ~Bridge();

  // JavaScript thread: a promise and the reply that settles it. Beyond max_pending_calls the
  // promise is rejected at once with 'limit-exceeded' and the second is nothing.
  struct Begun {
    Napi::Promise promise;
    std::unique_ptr<Reply> reply;
  };
  Begun begin(Napi::Env env);

  // Any thread: an event for onEvents. False when max_queued_events wait already: the caller then
  // refuses what caused it (ends that connection). Events that happen once in the life of an object
  // pass `once` and are never refused.
  [[nodiscard]] bool emit(ValueMaker make);
  void emit_once(ValueMaker make);

  // JavaScript thread, counted: while held, the process stays alive (as a listening server does).
  // Pending calls hold by themselves.
  void hold(Napi::Env env);
  void unhold(Napi::Env env);

  // JavaScript thread: no more values reach JavaScript; late replies and events are dropped.
  void close();

 private:
  friend class Reply;
  friend class Handle;
  struct Message;
  struct EventMessage;
  struct Box;

  Bridge() = default;
  void push(Message* message);
  void discard();
  void drain(Napi::Env env);
  void deliver(Napi::Env env, Message* oldest_first);

  napi_threadsafe_function wake_function_ = nullptr;
  Napi::FunctionReference on_events_;
  uint32_t pending_calls_ = 0;  // JavaScript thread.
  uint32_t holds_ = 0;
  std::unordered_map<const void*, Box*> boxes_;  // The JavaScript object of each handle, weakly.

  std::atomic<Message*> queue_{nullptr};  // LIFO, reversed when taken.
  std::atomic<uint32_t> queued_events_{0};
  std::atomic<bool> wake_sent_{false};
  std::mutex wake_mutex_;  // Orders close() against a wake-up on its way.
  bool closed_ = false;    // Under wake_mutex_ for writers; the JavaScript thread reads freely.
};

enum class HandleKind : uint8_t {
  runtime,
  pool,
  volume,
  portal,
  controller,
  connect,
  host,
  inspect,
  local,
  meter,
};

// Something that JavaScript holds as an opaque object. The object keeps the Handle alive; when it
// is garbage collected the Handle merely loses one owner, so a destructor may run on any thread and
// must not do I/O or touch JavaScript.
class Handle : public std::enable_shared_from_this<Handle> {
 public:
  explicit Handle(HandleKind kind) : kind_(kind) {}
  virtual ~Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  HandleKind kind() const noexcept { return kind_; }
  // JavaScript thread from here on.
  bool closed() const noexcept { return closed_; }
  void mark_closed() noexcept { closed_ = true; }
  // The object that stands for this handle: the same one as long as JavaScript holds it.
  Napi::Value object(Napi::Env env, Bridge& bridge);
  // The handle behind a value of that kind, closed ones included; null when it is anything else.
  static std::shared_ptr<Handle> from_value(Napi::Env env, Napi::Value value, HandleKind kind);
  static const char* kind_name(HandleKind kind) noexcept;

 private:
  friend class Bridge;
  const HandleKind kind_;
  bool closed_ = false;
};

}  // namespace ashlar::addon
