// Runtime: the reactors of one JavaScript environment, and what lives on them.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "addon/bridge.h"
#include "base/result.h"
#include "reactor/uring.h"

namespace ashlar::addon {

class Runtime;

// Something open on a runtime that must be closed before it: a pool, a portal, a host connection.
class Attachment {
 public:
  virtual ~Attachment() = default;
  // For the refusal to close: "pool /var/lib/x.pool".
  virtual std::string describe() const = 0;
  // JavaScript thread, at the end of the environment (process exit, a worker ending) only: closes
  // in an orderly way on the reactors and calls `done` from any thread. JavaScript can no longer be
  // reached. Attachments are shut down one by one, the youngest first.
  virtual void shut_down(std::function<void()> done) = 0;
};

// Per-runtime state of one binding file (its tables, one slot a reactor). Destroyed on the
// JavaScript thread after all reactor threads have ended.
class Extension {
 public:
  virtual ~Extension() = default;
};

class Runtime final : public Handle {
 public:
  static constexpr HandleKind handle_kind = HandleKind::runtime;

  Runtime(std::shared_ptr<Bridge> bridge, std::vector<std::unique_ptr<UringReactor>> reactors);
  ~Runtime() override;

  std::shared_ptr<Runtime> shared() {
    return std::static_pointer_cast<Runtime>(shared_from_this());
  }
  Bridge& bridge() noexcept { return *bridge_; }
  uint32_t reactor_count() const noexcept { return static_cast<uint32_t>(reactors_.size()); }
  // Loop, network(), buffers(), random(), counters(): reactor/uring.h. Only post() and counters()
  // may be used from another thread.
  UringReactor& reactor(uint32_t index) noexcept { return *reactors_[index]; }
  // A reactor for the next thing that wants one: round robin. JavaScript thread.
  uint32_t next_reactor() noexcept { return next_reactor_++ % reactor_count(); }

  // JavaScript thread: runs `work` on that reactor's thread and returns the promise of its answer.
  Napi::Value call(Napi::Env env, uint32_t reactor, std::function<void(Reply)> work);
  // Any thread, while the runtime is open: runs `work` there, without an answer. Allocates: for
  // control work, not for I/O.
  void post(uint32_t reactor, std::function<void()> work);
  // Runs `work` on every reactor and then `done` on the last of them to finish.
  void post_all(std::function<void(uint32_t reactor)> work, std::function<void()> done);

  // JavaScript thread. An attachment stays owned by its handle; detach when it is closed.
  void attach(std::shared_ptr<Attachment> attachment);
  void detach(const Attachment* attachment);

  // JavaScript thread: the one extension of type T of this runtime, made on first use as
  // T(Runtime&). T has `static constexpr char key = 0;`, whose address names it.
  template <class T>
  T& extension() {
    std::unique_ptr<Extension>& slot = extensions_[&T::key];
    if (slot == nullptr) slot = std::make_unique<T>(*this);
    return static_cast<T&>(*slot);
  }

  // For runtime_binding.cc: refuses while something is attached.
  Napi::Value close(Napi::Env env);
  void on_closed(std::function<void()> forget) { on_closed_ = std::move(forget); }
  void end_with_environment();

 private:
  struct PostedWork;
  void stop_reactors();

  std::shared_ptr<Bridge> bridge_;
  std::vector<std::unique_ptr<UringReactor>> reactors_;
  std::vector<std::shared_ptr<Attachment>> attachments_;
  std::unordered_map<const void*, std::unique_ptr<Extension>> extensions_;
  std::function<void()> on_closed_;
  uint32_t next_reactor_ = 0;
  bool stopped_ = false;  // Written when no reactor runs any more.
};

}  // namespace ashlar::addon
