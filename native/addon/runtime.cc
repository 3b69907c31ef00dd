#include "addon/runtime.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <utility>

#include "base/check.h"

namespace ashlar::addon {

// One piece of control work on its way to a reactor: frees itself when it has run.
struct Runtime::PostedWork : Task {
  explicit PostedWork(std::function<void()> what) : work(std::move(what)) {
    run = [](Task& task) noexcept {
      const std::unique_ptr<PostedWork> self(&static_cast<PostedWork&>(task));
      self->work();
    };
  }
  std::function<void()> work;
};

Runtime::Runtime(std::shared_ptr<Bridge> bridge,
                 std::vector<std::unique_ptr<UringReactor>> reactors)
    : Handle(handle_kind), bridge_(std::move(bridge)), reactors_(std::move(reactors)) {}

Runtime::~Runtime() {
  // The environment's clean-up hook owns a share until the reactors are stopped.
  CHECK(stopped_);
}

Napi::Value Runtime::call(Napi::Env env, uint32_t reactor, std::function<void(Reply)> work) {
  Bridge::Begun begun = bridge_->begin(env);
  if (begun.reply != nullptr) {
    post(reactor, [work = std::move(work), reply = *begun.reply] { work(reply); });
  }
  return begun.promise;
}

void Runtime::post(uint32_t reactor, std::function<void()> work) {
  CHECK(reactor < reactors_.size());
  if (stopped_) return;
  reactors_[reactor]->post(*new PostedWork(std::move(work)));
}

void Runtime::post_all(std::function<void(uint32_t reactor)> work, std::function<void()> done) {
  struct Shared {
    std::function<void(uint32_t)> work;
    std::function<void()> done;
    std::atomic<uint32_t> remaining;
  };
  // Not make_shared: clang 14 has no parenthesized initialization of aggregates.
  const std::shared_ptr<Shared> shared(
      new Shared{std::move(work), std::move(done), reactor_count()});
  for (uint32_t index = 0; index < reactor_count(); ++index) {
    post(index, [shared, index] {
      shared->work(index);
      if (shared->remaining.fetch_sub(1, std::memory_order_acq_rel) == 1) shared->done();
    });
  }
}

void Runtime::attach(std::shared_ptr<Attachment> attachment) {
  attachments_.push_back(std::move(attachment));
}

void Runtime::detach(const Attachment* attachment) {
  std::erase_if(attachments_, [attachment](const auto& item) { return item.get() == attachment; });
}

Napi::Value Runtime::close(Napi::Env env) {
  const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  if (!attachments_.empty()) {
    std::string names;
    for (const auto& attachment : attachments_) {
      names += (names.empty() ? "" : ", ") + attachment->describe();
    }
    deferred.Reject(to_js_error(
        env, {ErrorCode::busy, "the runtime cannot close while these are open: " + names +
                                   "; close them first"}));
    return deferred.Promise();
  }
  mark_closed();
  stop_reactors();
  bridge_->close();
  // Drops the share that kept this object alive; the caller holds one of its own.
  std::exchange(on_closed_, nullptr)();
  deferred.Resolve(env.Undefined());
  return deferred.Promise();
}

void Runtime::end_with_environment() {
  mark_closed();
  while (!attachments_.empty()) {
    struct Gate {
      std::mutex mutex;
      std::condition_variable opened;
      bool open = false;
    };
    // The gate is shared: a late answer must not find the stack frame gone.
    auto gate = std::make_shared<Gate>();
    const std::shared_ptr<Attachment> attachment = std::move(attachments_.back());
    attachments_.pop_back();
    attachment->shut_down([gate] {
      const std::lock_guard lock(gate->mutex);
      gate->open = true;
      gate->opened.notify_one();
    });
    std::unique_lock lock(gate->mutex);
    if (!gate->opened.wait_for(lock, std::chrono::seconds(10), [&] { return gate->open; })) {
      // Its reactors may still use our memory. Leaving everything in place is safe; freeing is not.
      std::fprintf(stderr, "ashlar: %s did not close within 10 s; leaving it to the system\n",
                   attachment->describe().c_str());
      new std::shared_ptr<Runtime>(shared());
      bridge_->close();
      return;
    }
  }
  stop_reactors();
  bridge_->close();
}

void Runtime::stop_reactors() {
  // All threads end before any reactor is destroyed: they may hold each other's addresses.
  for (const auto& reactor : reactors_) reactor->stop();
  stopped_ = true;
  extensions_.clear();
  reactors_.clear();
}

}  // namespace ashlar::addon
