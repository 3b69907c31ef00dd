#include "addon/bridge.h"

#include <utility>
#include <variant>

#include "base/check.h"

namespace ashlar::addon {

// ---- Messages -----------------------------------------------------------------------------------

struct Bridge::Message {
  Message* next = nullptr;
  const bool is_event;
  explicit Message(bool event) : is_event(event) {}
  virtual ~Message() = default;
};

struct Reply::Pending final : Bridge::Message {
  Pending(Napi::Promise::Deferred promise, std::shared_ptr<Bridge> owner)
      : Message(false), deferred(promise), bridge(std::move(owner)) {}

  void settle(std::variant<ValueMaker, Error> what) {
    CHECK(!settled.exchange(true, std::memory_order_relaxed));
    outcome = std::move(what);
    // Taken out: once pushed, `this` may be gone at any moment, and a message in the queue must not
    // own the queue.
    const std::shared_ptr<Bridge> keep = std::move(bridge);
    keep->push(this);
  }

  Napi::Promise::Deferred deferred;
  std::shared_ptr<Bridge> bridge;
  std::atomic<bool> settled{false};
  std::variant<ValueMaker, Error> outcome;
};

struct Bridge::EventMessage final : Bridge::Message {
  EventMessage(ValueMaker maker, bool is_counted)
      : Message(true), make(std::move(maker)), counted(is_counted) {}
  ValueMaker make;
  const bool counted;
};

Napi::Value to_js_error(Napi::Env env, const Error& error) {
  Napi::Object value = Napi::Error::New(env, error.message).Value();
  value.Set("code", Napi::String::New(env, error_code_name(error.code)));
  return value;
}

void Reply::resolve() const {
  pending_->settle(ValueMaker([](Napi::Env env) { return env.Undefined(); }));
}

void Reply::resolve(ValueMaker make) const { pending_->settle(std::move(make)); }

void Reply::reject(Error error) const { pending_->settle(std::move(error)); }

void Reply::settle(const Status& status) const {
  if (status) {
    resolve();
  } else {
    reject(status.error());
  }
}

// ---- Bridge -------------------------------------------------------------------------------------

std::shared_ptr<Bridge> Bridge::open(Napi::Env env, Napi::Function on_events) {
  std::shared_ptr<Bridge> bridge(new Bridge());
  bridge->on_events_ = Napi::Persistent(on_events);
  // The function's context owns a share of the bridge until Node says that no call will come.
  auto* context = new std::shared_ptr<Bridge>(bridge);
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, "ashlar"), 0, 1, context,
      [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Bridge>*>(data); },
      context,
      [](napi_env call_env, napi_value, void* data, void*) {
        if (call_env == nullptr) return;  // The environment is going away.
        const std::shared_ptr<Bridge> keep = *static_cast<std::shared_ptr<Bridge>*>(data);
        keep->drain(call_env);
      },
      &bridge->wake_function_);
  CHECK(status == napi_ok);
  CHECK(napi_unref_threadsafe_function(env, bridge->wake_function_) == napi_ok);
  return bridge;
}

Bridge::~Bridge() { discard(); }

void Bridge::discard() {
  Message* message = queue_.exchange(nullptr, std::memory_order_seq_cst);
  while (message != nullptr) delete std::exchange(message, message->next);
}

Bridge::Begun Bridge::begin(Napi::Env env) {
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  if (closed_ || pending_calls_ >= limits::max_pending_calls) {
    Error error = closed_ ? Error{ErrorCode::closed, "the runtime is closed"}
                          : Error{ErrorCode::limit_exceeded,
                                  std::to_string(pending_calls_) +
                                      " calls wait for an answer already, which is the limit; "
                                      "await some of them before making more"};
    deferred.Reject(to_js_error(env, error));
    return {deferred.Promise(), nullptr};
  }
  ++pending_calls_;
  hold(env);
  auto* pending = new Reply::Pending(deferred, shared_from_this());
  return {deferred.Promise(), std::unique_ptr<Reply>(new Reply(pending))};
}

bool Bridge::emit(ValueMaker make) {
  if (queued_events_.fetch_add(1, std::memory_order_relaxed) >= limits::max_queued_events) {
    queued_events_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  push(new EventMessage(std::move(make), true));
  return true;
}

void Bridge::emit_once(ValueMaker make) { push(new EventMessage(std::move(make), false)); }

void Bridge::hold(Napi::Env env) {
  if (holds_++ == 0 && !closed_) napi_ref_threadsafe_function(env, wake_function_);
}

void Bridge::unhold(Napi::Env env) {
  CHECK(holds_ > 0);
  if (--holds_ == 0 && !closed_) napi_unref_threadsafe_function(env, wake_function_);
}

void Bridge::close() {
  {
    const std::lock_guard lock(wake_mutex_);
    if (closed_) return;
    closed_ = true;
  }
  wake_sent_.store(false, std::memory_order_seq_cst);  // The next late message discards itself.
  discard();
  on_events_.Reset();
  napi_release_threadsafe_function(wake_function_, napi_tsfn_abort);
}

void Bridge::push(Message* message) {
  Message* head = queue_.load(std::memory_order_relaxed);
  do {
    message->next = head;
  } while (!queue_.compare_exchange_weak(head, message, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  if (wake_sent_.exchange(true, std::memory_order_seq_cst)) return;
  {
    const std::lock_guard lock(wake_mutex_);
    if (!closed_) {
      napi_call_threadsafe_function(wake_function_, nullptr, napi_tsfn_nonblocking);
      return;
    }
  }
  wake_sent_.store(false, std::memory_order_seq_cst);
  discard();
}

void Bridge::drain(Napi::Env env) {
  if (closed_) return;
  // Before taking the queue: a message pushed after the exchange below sends a new wake-up.
  wake_sent_.store(false, std::memory_order_seq_cst);
  Message* newest = queue_.exchange(nullptr, std::memory_order_seq_cst);
  Message* oldest = nullptr;
  while (newest != nullptr) {
    Message* next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  deliver(env, oldest);
}

void Bridge::deliver(Napi::Env env, Message* oldest) {
  const Napi::HandleScope scope(env);
  Napi::Array events = Napi::Array::New(env);
  uint32_t event_count = 0;
  while (oldest != nullptr) {
    const std::unique_ptr<Message> message(std::exchange(oldest, oldest->next));
    const Napi::HandleScope message_scope(env);
    if (message->is_event) {
      auto& event = static_cast<EventMessage&>(*message);
      if (event.counted) queued_events_.fetch_sub(1, std::memory_order_relaxed);
      events.Set(event_count++, event.make(env));
      continue;
    }
    auto& pending = static_cast<Reply::Pending&>(*message);
    --pending_calls_;
    unhold(env);
    if (const Error* error = std::get_if<Error>(&pending.outcome)) {
      pending.deferred.Reject(to_js_error(env, *error));
    } else {
      pending.deferred.Resolve(std::get<ValueMaker>(pending.outcome)(env));
    }
  }
  if (event_count > 0) on_events_.Call({events});
}

// ---- Handles ------------------------------------------------------------------------------------

// What the JavaScript object wraps.
struct Bridge::Box {
  std::shared_ptr<Handle> handle;
  std::shared_ptr<Bridge> bridge;
  napi_ref reference = nullptr;  // Weak.
};

namespace {

constexpr napi_type_tag type_tag(HandleKind kind) {
  return {0x6173686c61722d68, 0x616e646c65000000 | static_cast<uint64_t>(kind)};
}

}  // namespace

Napi::Value Handle::object(Napi::Env env, Bridge& bridge) {
  if (const auto found = bridge.boxes_.find(this); found != bridge.boxes_.end()) {
    napi_value existing = nullptr;
    CHECK(napi_get_reference_value(env, found->second->reference, &existing) == napi_ok);
    if (existing != nullptr) return {env, existing};
    // Collected, but its finalizer has not run yet: that one finds that the entry is not its own.
  }
  auto* box = new Bridge::Box{shared_from_this(), bridge.shared_from_this()};
  const Napi::Object object = Napi::Object::New(env);
  const napi_type_tag tag = type_tag(kind_);
  CHECK(napi_type_tag_object(env, object, &tag) == napi_ok);
  const napi_status status = napi_wrap(
      env, object, box,
      [](napi_env finalizer_env, void* data, void*) {
        const std::unique_ptr<Bridge::Box> mine(static_cast<Bridge::Box*>(data));
        auto& boxes = mine->bridge->boxes_;
        const auto entry = boxes.find(mine->handle.get());
        if (entry != boxes.end() && entry->second == mine.get()) boxes.erase(entry);
        napi_delete_reference(finalizer_env, mine->reference);
      },
      nullptr, &box->reference);
  CHECK(status == napi_ok);
  bridge.boxes_[this] = box;
  return object;
}

std::shared_ptr<Handle> Handle::from_value(Napi::Env env, Napi::Value value, HandleKind kind) {
  if (!value.IsObject()) return nullptr;
  const napi_type_tag tag = type_tag(kind);
  bool matches = false;
  if (napi_check_object_type_tag(env, value, &tag, &matches) != napi_ok || !matches) return nullptr;
  void* data = nullptr;
  CHECK(napi_unwrap(env, value, &data) == napi_ok);
  return static_cast<Bridge::Box*>(data)->handle;
}

const char* Handle::kind_name(HandleKind kind) noexcept {
  switch (kind) {
    case HandleKind::runtime: return "runtime";
    case HandleKind::pool: return "pool";
    case HandleKind::volume: return "volume";
    case HandleKind::portal: return "portal";
    case HandleKind::controller: return "controller";
    case HandleKind::connect: return "connect";
    case HandleKind::host: return "host";
    case HandleKind::inspect: return "inspected pool";
    case HandleKind::local: return "local load";
    case HandleKind::meter: return "meter";
  }
  CHECK(false);
}

}  // namespace ashlar::addon
