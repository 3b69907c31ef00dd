// hostConnect, hostSubmit, hostLoad, hostClose: our own NVMe/TCP host for JavaScript.
#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/load_values.h"
#include "addon/register.h"
#include "addon/runtime.h"
#include "addon/values.h"
#include "base/check.h"
#include "host/association.h"
#include "load/host_lane.h"

namespace ashlar::addon {

namespace {

// The most data that one command from JavaScript carries where the controller names no limit.
constexpr uint32_t max_command_bytes = 16u << 20;

// One connection to a controller. JavaScript thread: the public constants after connecting, uses_.
// Home's thread: association_ and state_.
class Host final : public Handle, public Attachment {
 public:
  static constexpr HandleKind handle_kind = HandleKind::host;

  Host(std::shared_ptr<Runtime> owner, std::string name)
      : Handle(handle_kind), runtime(std::move(owner)), name_(std::move(name)) {
    home = runtime->next_reactor();
  }

  std::shared_ptr<Host> shared() { return std::static_pointer_cast<Host>(shared_from_this()); }
  std::string describe() const override { return "host connection to " + name_; }
  void shut_down(std::function<void()> done) override;

  void connect(const host::AssociationOptions& options, Reply reply);  // Home.
  void close(std::function<void()> over);                              // Home.

  // Any thread, while a Use is held.
  host::Association& association() noexcept { return *association_; }

  // Whoever uses the association holds a Use: it stays in place until the last is gone.
  void begin_use();
  void end_use();

  const std::shared_ptr<Runtime> runtime;
  uint32_t home = 0;
  // Constant once connected.
  uint32_t io_queues = 0;
  uint32_t max_transfer_bytes = max_command_bytes;
  std::vector<uint32_t> queue_reactors;  // By QID.

 private:
  enum class State : uint8_t {
    idle,        // Not yet connecting.
    connecting,  // The association calls connected() back.
    live,        // Also when the connection was lost: close() is still due.
    closing,     // The association calls closed() back.
    closed,      // Waits for the last use.
    over,        // The association is gone.
  };

  void connected(const Status& status, Reply reply);
  void over();
  bool in_use();
  ValueMaker connected_value();

  const std::string name_;
  State state_ = State::idle;
  std::unique_ptr<host::Association> association_;
  std::vector<std::function<void()>> when_over_;
  std::mutex use_mutex_;
  uint32_t uses_ = 0;
  bool closed_by_association_ = false;  // Under use_mutex_: the last use ends it all.
};

// Taken on the JavaScript thread, dropped on any.
class Use {
 public:
  explicit Use(std::shared_ptr<Host> host) : host_(std::move(host)) { host_->begin_use(); }
  ~Use() { host_->end_use(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  const std::shared_ptr<Host> host_;
};

void Host::begin_use() {
  const std::lock_guard lock(use_mutex_);
  ++uses_;
}

void Host::end_use() {
  {
    const std::lock_guard lock(use_mutex_);
    CHECK(uses_ > 0);
    if (--uses_ != 0 || !closed_by_association_) return;
  }
  runtime->post(home, [self = shared()] { self->over(); });
}

bool Host::in_use() {
  const std::lock_guard lock(use_mutex_);
  closed_by_association_ = true;
  return uses_ != 0;
}

// A promise that is rejected on the JavaScript thread, after `first` has run there.
ValueMaker rejection(Error error, std::function<void()> first) {
  return [error = std::move(error), first = std::move(first)](Napi::Env env) -> Napi::Value {
    first();
    const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(to_js_error(env, error));
    return deferred.Promise();
  };
}

void Host::connect(const host::AssociationOptions& options, Reply reply) {
  std::vector<host::Reactor> reactors;
  const uint32_t count = runtime->reactor_count();
  for (uint32_t i = 0; i < count; ++i) {
    UringReactor& reactor = runtime->reactor((home + i) % count);
    reactors.push_back({&reactor, &reactor.network()});
  }
  const auto detach = [self = shared()] { self->runtime->detach(self.get()); };
  if (state_ != State::idle) {  // Shut down before it began.
    reply.resolve(rejection({ErrorCode::cancelled, "connecting was given up"}, detach));
    return;
  }
  auto made = host::Association::create(reactors[0], reactors, options);
  if (!made) {
    state_ = State::over;
    reply.resolve(rejection(made.error(), detach));
    return;
  }
  association_ = std::move(made).value();
  state_ = State::connecting;
  struct Call {
    std::shared_ptr<Host> host;
    Reply reply;
  };
  association_->connect(
      [](void* context, const Status& status) {
        const std::unique_ptr<Call> call(static_cast<Call*>(context));
        call->host->connected(status, call->reply);
      },
      new Call{shared(), reply});
}

void Host::connected(const Status& status, Reply reply) {
  CHECK(state_ == State::connecting);
  if (!status) {
    reply.resolve(
        rejection(status.error(), [self = shared()] { self->runtime->detach(self.get()); }));
    over();
    return;
  }
  state_ = State::live;
  io_queues = association_->io_queues();
  for (uint32_t qid = 0; qid <= io_queues; ++qid) {
    queue_reactors.push_back(association_->queue(qid).loop().index());
  }
  const uint32_t most = association_->facts().max_transfer_bytes;
  if (most != 0) max_transfer_bytes = std::min(most, max_command_bytes);
  reply.resolve(connected_value());
}

ValueMaker Host::connected_value() {
  return [self = shared(), cntlid = association_->facts().cntlid,
          entries = association_->queue_entries()](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result["host"] = self->object(env, self->runtime->bridge());
    result["cntlid"] = js(env, uint32_t{cntlid});
    result["ioQueues"] = js(env, self->io_queues);
    result["queueDepth"] = js(env, entries);
    return result;
  };
}

void Host::close(std::function<void()> when_over) {
  if (state_ == State::idle || state_ == State::over) {
    state_ = State::over;
    when_over();
    return;
  }
  when_over_.push_back(std::move(when_over));
  if (state_ == State::connecting) {
    association_->cancel();
  } else if (state_ == State::live) {
    state_ = State::closing;
    association_->close(
        [](void* context) {
          Host& self = *static_cast<Host*>(context);
          self.state_ = State::closed;
          if (!self.in_use()) self.over();
        },
        this);
  }
}

void Host::over() {
  CHECK(state_ == State::connecting || state_ == State::closed);
  const std::shared_ptr<Host> keep = shared();
  association_.reset();
  state_ = State::over;
  for (const auto& tell : std::exchange(when_over_, {})) tell();
}

void Host::shut_down(std::function<void()> done) {
  runtime->post(home, [self = shared(), done = std::move(done)] { self->close(done); });
}

// ---- hostConnect and hostClose ------------------------------------------------------------------

Napi::Value host_connect(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto runtime = in.handle<Runtime>(info[0]);
  const Napi::Value given = info[1];
  host::AssociationOptions options;
  options.address.host = in.text(given, "address");
  options.address.port = in.number<uint16_t>(given, "port");
  options.subnqn = in.text(given, "subnqn");
  options.hostnqn = in.text(given, "hostnqn");
  const std::vector<std::byte> hostid = in.bytes(given, "hostid");
  if (hostid.size() != options.hostid.size()) {
    in.fail(ErrorCode::invalid_argument,
            "hostid must be 16 bytes, not " + std::to_string(hostid.size()));
  } else {
    std::memcpy(options.hostid.data(), hostid.data(), hostid.size());
  }
  options.io_queues = in.number<uint32_t>(given, "ioQueues");
  options.queue_entries = in.number<uint32_t>(given, "queueDepth");
  options.hdgst = in.boolean(given, "headerDigest");
  options.ddgst = in.boolean(given, "dataDigest");
  options.keep_alive_ms = in.number<uint32_t>(given, "keepAliveMs");
  options.connect_timeout_ns = uint64_t{in.number<uint32_t>(given, "connectTimeoutMs")} * 1'000'000;
  if (!in.ok()) return in.reject();
  auto host = std::make_shared<Host>(
      runtime, options.address.host + ":" + std::to_string(options.address.port));
  runtime->attach(host);
  return runtime->call(info.Env(), host->home,
                       [host, options](Reply reply) { host->connect(options, reply); });
}

Napi::Value host_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto host = in.handle<Host>(info[0]);
  if (!in.ok()) return in.reject();
  host->mark_closed();
  return host->runtime->call(info.Env(), host->home, [host](Reply reply) {
    host->close([host, reply] {
      reply.resolve([host](Napi::Env env) -> Napi::Value {
        host->runtime->detach(host.get());
        return env.Undefined();
      });
    });
  });
}

// ---- hostSubmit ---------------------------------------------------------------------------------

// One command from JavaScript. It owns itself while the queue has it.
struct Submission : std::enable_shared_from_this<Submission> {
  explicit Submission(std::shared_ptr<Host> to)
      : host(std::move(to)), use(std::make_shared<Use>(host)) {}

  void start(Reply answer) {
    reply.emplace(answer);
    self = shared_from_this();
    host->association().queue(qid).submit(command);
  }
  void told();

  const std::shared_ptr<Host> host;
  // Dropped when the command was told, not when JavaScript has taken the answer: at the end of the
  // environment it never does.
  std::shared_ptr<Use> use;
  uint32_t qid = 0;
  host::Command command;
  std::vector<std::byte> data_out;
  std::vector<std::byte> data_in;
  iovec memory{};
  std::optional<Reply> reply;
  std::shared_ptr<Submission> self;
};

void Submission::told() {
  const std::shared_ptr<Submission> keep = std::move(self);
  const std::shared_ptr<Use> last_use = std::move(use);
  switch (command.fate) {
    case host::Fate::pending: CHECK(false);
    case host::Fate::completed:
      reply->resolve([keep](Napi::Env env) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result["status"] = js(env, uint32_t{keep->command.status()});
        result["doNotRetry"] = js(env, keep->command.do_not_retry());
        result["result"] = js(env, keep->command.cqe.result);
        result["data"] =
            keep->data_in.empty() ? env.Null() : js(env, std::span<const std::byte>(keep->data_in));
        result["dataBytes"] = js(env, keep->command.data_in_bytes);
        return result;
      });
      return;
    case host::Fate::lost:
      reply->reject({ErrorCode::connection_lost,
                     "the connection ended before the command was answered: it may have been "
                     "applied or not"});
      break;
    case host::Fate::never_sent:
      reply->reject({ErrorCode::closed,
                     "the connection had ended before the command was sent: it was not applied"});
      break;
  }
  // The queue is still in the middle of telling; the association may not go before it is out.
  host->runtime->post(host->queue_reactors[qid], [last_use] {});
}

Napi::Value host_submit(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto host = in.handle<Host>(info[0]);
  const Napi::Value given = info[1];
  const auto qid = in.number<uint32_t>(given, "qid");
  const std::vector<std::byte> sqe = in.bytes(given, "sqe");
  std::vector<std::byte> data_out;
  if (!in.is_null(given, "dataOut")) data_out = in.bytes(given, "dataOut");
  const auto data_in_bytes = in.number<uint32_t>(given, "dataInBytes");
  if (!in.ok()) return in.reject();
  if (qid > host->io_queues) {
    in.fail(ErrorCode::invalid_argument, "queue " + std::to_string(qid) + " of " +
                                             std::to_string(host->io_queues) + " I/O queues");
  }
  if (sqe.size() != sizeof(nvme::Sqe)) {
    in.fail(ErrorCode::invalid_argument, "sqe must be 64 bytes, not " + std::to_string(sqe.size()));
  }
  if (!data_out.empty() && data_in_bytes != 0) {
    in.fail(ErrorCode::invalid_argument, "a command has data in one direction only");
  }
  const size_t data_bytes = std::max<size_t>(data_out.size(), data_in_bytes);
  if (data_bytes > host->max_transfer_bytes) {
    in.fail(ErrorCode::limit_exceeded, std::to_string(data_bytes) +
                                           " bytes in one command; the controller takes at most " +
                                           std::to_string(host->max_transfer_bytes));
  }
  if (!in.ok()) return in.reject();

  auto submission = std::make_shared<Submission>(host);
  submission->qid = qid;
  submission->data_out = std::move(data_out);
  submission->data_in.resize(data_in_bytes);
  host::Command& command = submission->command;
  std::memcpy(&command.sqe, sqe.data(), sqe.size());
  command.context = submission.get();
  command.done = [](host::Command& told) noexcept {
    static_cast<Submission*>(told.context)->told();
  };
  if (!submission->data_out.empty()) {
    submission->memory = {submission->data_out.data(), submission->data_out.size()};
    command.data_out = {&submission->memory, 1};
  } else if (!submission->data_in.empty()) {
    submission->memory = {submission->data_in.data(), submission->data_in.size()};
    command.data_in = {&submission->memory, 1};
  }
  return host->runtime->call(info.Env(), host->queue_reactors[qid],
                             [submission](Reply reply) { submission->start(reply); });
}

// ---- hostLoad -----------------------------------------------------------------------------------

struct LoadRun : std::enable_shared_from_this<LoadRun> {
  explicit LoadRun(std::shared_ptr<Host> on)
      : host(std::move(on)), use(std::make_unique<Use>(host)) {}

  void start(Reply answer) {
    auto made = load::load_of(host->association(), options);
    if (!made) {
      answer.reject(made.error());
      return;
    }
    load = std::move(made).value();
    reply.emplace(answer);
    self = shared_from_this();
    load->run([](void* context, load::Load&) { static_cast<LoadRun*>(context)->done(); }, this);
  }

  void done() {
    const std::shared_ptr<LoadRun> keep = std::move(self);
    const auto result = std::make_shared<const load::LoadResult>(load->result());
    load.reset();
    use.reset();
    reply->resolve([result](Napi::Env env) { return load_result_value(env, *result); });
  }

  const std::shared_ptr<Host> host;
  std::unique_ptr<Use> use;
  load::LoadOptions options;
  std::unique_ptr<load::Load> load;
  std::optional<Reply> reply;
  std::shared_ptr<LoadRun> self;
};

Napi::Value host_load(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto host = in.handle<Host>(info[0]);
  const Napi::Value given = info[1];
  const load::LoadOptions options = read_load_options(in, given);
  if (!in.ok()) return in.reject();
  auto run = std::make_shared<LoadRun>(host);
  run->options = options;
  return host->runtime->call(info.Env(), host->home, [run](Reply reply) { run->start(reply); });
}

}  // namespace

void register_host(Napi::Env env, Napi::Object exports) {
  exports["hostConnect"] = Napi::Function::New<host_connect>(env, "hostConnect");
  exports["hostSubmit"] = Napi::Function::New<host_submit>(env, "hostSubmit");
  exports["hostLoad"] = Napi::Function::New<host_load>(env, "hostLoad");
  exports["hostClose"] = Napi::Function::New<host_close>(env, "hostClose");
}

}  // namespace ashlar::addon
