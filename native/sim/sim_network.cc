#include "sim/sim_network.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"

namespace ashlar::sim {

namespace {

// Moves up to `room` bytes out of the front of `from`.
size_t take_front(std::deque<std::byte>& from, std::span<std::byte> into) {
  const size_t count = std::min(from.size(), into.size());
  const auto end = from.begin() + static_cast<std::ptrdiff_t>(count);
  std::copy(from.begin(), end, into.begin());
  from.erase(from.begin(), end);
  return count;
}

}  // namespace

// ---- Connections --------------------------------------------------------------------------------

// Both ends of one connection. Each end's stream and every attempt to deliver holds a share.
class SimConnection : public std::enable_shared_from_this<SimConnection> {
 public:
  SimConnection(SimWire& wire, SocketAddress connector, SocketAddress acceptor);
  ~SimConnection();

  void bind(int end, Loop& loop);
  void receive(int end, StreamOp& op) noexcept;
  void send(int end, StreamOp& op) noexcept;
  int64_t send_now(int end, std::span<const iovec> segments) noexcept;
  void close(int end, bool linger, Task& closed) noexcept;
  void abandon(int end);  // An accepted stream was dropped unused.
  const SocketAddress& address(int end) const { return at_end(end).address; }
  bool closed(int end) const { return at_end(end).closing; }

  void cut();
  void silence();

 private:
  // What one end has and is waiting for. Bytes flow from the other end through `under_way`, by the
  // timer's arrivals, into `arrived`, and out by receive().
  struct Side {
    struct ArrivalTimer : Timer {
      SimConnection* connection = nullptr;
      int end = 0;
    } arrival;
    struct ProgressTask : Task {
      SimConnection* connection = nullptr;
      int end = 0;
    } progress;
    SocketAddress address;
    Loop* loop = nullptr;  // Until adopted: nothing arrives.
    size_t window_bytes = 0;
    std::deque<std::byte> under_way;
    std::deque<std::byte> arrived;
    bool end_under_way = false;  // The other end's FIN follows what is under way.
    bool end_arrived = false;
    bool reset_under_way = false;
    bool reset_arrived = false;
    bool closing = false;
    StreamOp* receiving = nullptr;
    StreamOp* sending = nullptr;
    size_t next_segment = 0;
    size_t segment_offset = 0;
    Task* closed_task = nullptr;
    std::shared_ptr<SimConnection> keep;  // While the progress task is queued.
  };

  Side& at_end(int end) { return sides_[static_cast<size_t>(end)]; }
  const Side& at_end(int end) const { return sides_[static_cast<size_t>(end)]; }
  Side& other(int end) { return at_end(1 - end); }
  void schedule_arrival(int end);
  void arrive(int end);
  void schedule_progress(int end);
  void progress(int end);
  bool progress_receive(Side& side);
  void progress_send(int end);
  bool push(int end);
  void send_reset(int to_end);

  SimWire& wire_;
  const uint64_t number_;
  std::array<Side, 2> sides_;
  bool silent_ = false;
};

SimConnection::SimConnection(SimWire& wire, SocketAddress connector, SocketAddress acceptor)
    : wire_(wire), number_(wire.next_connection_++) {
  sides_[0].address = std::move(connector);
  sides_[1].address = std::move(acceptor);
  for (int end = 0; end < 2; ++end) {
    Side& side = at_end(end);
    side.window_bytes = static_cast<size_t>(
        wire.draw(wire.options_.min_window_bytes, wire.options_.max_window_bytes));
    side.arrival.connection = side.progress.connection = this;
    side.arrival.end = side.progress.end = end;
    side.arrival.fire = [](Timer& timer) noexcept {
      auto& arrival = static_cast<Side::ArrivalTimer&>(timer);
      arrival.connection->arrive(arrival.end);
    };
    side.progress.run = [](Task& task) noexcept {
      auto& progress = static_cast<Side::ProgressTask&>(task);
      const std::shared_ptr<SimConnection> keep =
          std::move(progress.connection->at_end(progress.end).keep);
      keep->progress(progress.end);
    };
  }
  wire_.connections_[number_] = this;
  ++wire_.counts_.connections;
}

SimConnection::~SimConnection() {
  for (Side& side : sides_) {
    CHECK(side.receiving == nullptr && side.sending == nullptr);
    if (side.loop != nullptr) side.loop->cancel(side.arrival);
  }
  wire_.connections_.erase(number_);
}

void SimConnection::bind(int end, Loop& loop) {
  Side& side = at_end(end);
  CHECK(side.loop == nullptr);
  side.loop = &loop;
  schedule_arrival(end);
}

void SimConnection::schedule_arrival(int end) {
  Side& side = at_end(end);
  if (side.loop == nullptr || side.arrival.armed() || silent_ || side.reset_arrived) return;
  if (side.under_way.empty() && !side.end_under_way && !side.reset_under_way) return;
  const uint64_t delay_ns = wire_.draw(wire_.options_.min_delay_ns, wire_.options_.max_delay_ns);
  side.loop->arm(side.arrival, side.loop->clock().now_ns() + delay_ns);
}

void SimConnection::arrive(int end) {
  if (silent_) return;
  Side& side = at_end(end);
  ++wire_.counts_.arrivals;
  if (wire_.chance(wire_.options_.silences_per_million)) {
    silence();
    return;
  }
  if (wire_.chance(wire_.options_.cuts_per_million)) cut();
  if (side.reset_under_way) {
    // A reset overtakes: what has not been read is lost.
    side.reset_under_way = false;
    side.reset_arrived = true;
    side.under_way.clear();
    side.arrived.clear();
  } else if (!side.under_way.empty()) {
    size_t count = side.under_way.size();
    if (wire_.options_.split) {
      // A third of the arrivals are a few bytes, so that every header gets torn somewhere.
      const bool few = wire_.draw(0, 2) == 0;
      count = static_cast<size_t>(wire_.draw(1, few ? std::min<size_t>(count, 12) : count));
    }
    const auto split = side.under_way.begin() + static_cast<std::ptrdiff_t>(count);
    if (!side.closing) side.arrived.insert(side.arrived.end(), side.under_way.begin(), split);
    side.under_way.erase(side.under_way.begin(), split);
    wire_.counts_.bytes += count;
    // Bytes for an end that is closed are answered with a reset.
    if (side.closing) send_reset(1 - end);
  } else if (side.end_under_way) {
    side.end_under_way = false;
    side.end_arrived = true;
  }
  schedule_arrival(end);
  schedule_progress(end);
  schedule_progress(1 - end);
}

void SimConnection::schedule_progress(int end) {
  Side& side = at_end(end);
  if (side.loop == nullptr || side.keep != nullptr) return;
  if (side.receiving == nullptr && side.sending == nullptr && side.closed_task == nullptr) return;
  side.keep = shared_from_this();
  side.loop->defer(side.progress);
}

void SimConnection::progress(int end) {
  Side& side = at_end(end);
  const bool made_room = progress_receive(side);
  progress_send(end);
  if (side.closed_task != nullptr && side.receiving == nullptr && side.sending == nullptr) {
    side.loop->defer(*std::exchange(side.closed_task, nullptr));
  }
  // Only then: two ends that both wait to send would otherwise wake each other for ever.
  if (made_room && other(end).sending != nullptr) schedule_progress(1 - end);
}

// True when bytes were taken, which is room for the other end's.
bool SimConnection::progress_receive(Side& side) {
  if (side.receiving == nullptr) return false;
  int64_t result = 0;
  if (side.closing) {
    result = -ECANCELED;
  } else if (!side.arrived.empty()) {
    result = static_cast<int64_t>(take_front(side.arrived, side.receiving->into));
  } else if (side.reset_arrived) {
    result = -ECONNRESET;
  } else if (!side.end_arrived) {
    return false;
  }
  StreamOp& op = *std::exchange(side.receiving, nullptr);
  op.result = result;
  op.done(op);
  return result > 0;
}

void SimConnection::progress_send(int end) {
  Side& side = at_end(end);
  if (side.sending == nullptr) return;
  if (side.closing) {
    side.sending->result = -ECANCELED;
  } else if (side.reset_arrived) {
    side.sending->result = -EPIPE;
  } else if (!push(end)) {
    return;
  }
  StreamOp& op = *std::exchange(side.sending, nullptr);
  op.done(op);
}

// Hands over what the other end's window takes; true when that was the rest.
bool SimConnection::push(int end) {
  Side& side = at_end(end);
  Side& to = other(end);
  StreamOp& op = *side.sending;
  while (side.next_segment < op.segments.size()) {
    const size_t used = to.under_way.size() + to.arrived.size();
    const size_t room = to.window_bytes > used ? to.window_bytes - used : 0;
    const iovec& segment = op.segments[side.next_segment];
    const size_t count = std::min(room, segment.iov_len - side.segment_offset);
    const auto* from = static_cast<const std::byte*>(segment.iov_base) + side.segment_offset;
    to.under_way.insert(to.under_way.end(), from, from + count);
    op.result += static_cast<int64_t>(count);
    side.segment_offset += count;
    if (side.segment_offset < segment.iov_len) break;
    side.segment_offset = 0;
    ++side.next_segment;
  }
  schedule_arrival(1 - end);
  return side.next_segment == op.segments.size();
}

void SimConnection::receive(int end, StreamOp& op) noexcept {
  Side& side = at_end(end);
  CHECK(!side.closing && side.receiving == nullptr && !op.into.empty());
  side.receiving = &op;
  schedule_progress(end);
}

void SimConnection::send(int end, StreamOp& op) noexcept {
  Side& side = at_end(end);
  CHECK(!side.closing && side.sending == nullptr && !op.segments.empty());
  op.result = 0;
  side.sending = &op;
  side.next_segment = side.segment_offset = 0;
  schedule_progress(end);
}

int64_t SimConnection::send_now(int end, std::span<const iovec> segments) noexcept {
  Side& side = at_end(end);
  CHECK(!side.closing && side.sending == nullptr && !segments.empty());
  if (side.reset_arrived) return -EPIPE;
  StreamOp op;
  op.segments = segments;
  side.sending = &op;
  side.next_segment = side.segment_offset = 0;
  push(end);
  side.sending = nullptr;
  return op.result > 0 ? op.result : -EAGAIN;
}

void SimConnection::close(int end, bool linger, Task& closed) noexcept {
  Side& side = at_end(end);
  CHECK(!side.closing);
  side.closing = true;
  side.closed_task = &closed;
  side.arrived.clear();
  if (linger) {
    other(end).end_under_way = true;
    schedule_arrival(1 - end);
  } else {
    send_reset(1 - end);
  }
  schedule_progress(end);
}

void SimConnection::abandon(int end) {
  at_end(end).closing = true;
  send_reset(1 - end);
}

void SimConnection::send_reset(int to_end) {
  Side& side = at_end(to_end);
  if (side.reset_arrived) return;
  side.reset_under_way = true;
  schedule_arrival(to_end);
}

void SimConnection::cut() {
  ++wire_.counts_.cuts;
  for (int end = 0; end < 2; ++end) send_reset(end);
}

void SimConnection::silence() {
  if (silent_) return;
  ++wire_.counts_.silences;
  silent_ = true;
  for (Side& side : sides_) {
    if (side.loop != nullptr) side.loop->cancel(side.arrival);
  }
}

// ---- The classes behind the seam ----------------------------------------------------------------

namespace {

class SimStream final : public Stream {
 public:
  SimStream(std::shared_ptr<SimConnection> connection, int end)
      : connection_(std::move(connection)), end_(end) {}
  ~SimStream() override {
    if (!connection_->closed(end_)) connection_->abandon(end_);
  }
  void receive(StreamOp& op) noexcept override { connection_->receive(end_, op); }
  void send(StreamOp& op) noexcept override { connection_->send(end_, op); }
  int64_t send_now(std::span<const iovec> segments) noexcept override {
    return connection_->send_now(end_, segments);
  }
  void close(bool linger, Task& closed) noexcept override {
    connection_->close(end_, linger, closed);
  }
  SocketAddress local() const override { return connection_->address(end_); }
  SocketAddress peer() const override { return connection_->address(1 - end_); }
  SimConnection& connection() noexcept { return *connection_; }

 private:
  const std::shared_ptr<SimConnection> connection_;
  const int end_;
};

class SimAcceptedStream final : public AcceptedStream {
 public:
  explicit SimAcceptedStream(std::shared_ptr<SimConnection> connection)
      : connection_(std::move(connection)) {}
  ~SimAcceptedStream() override {
    if (connection_ != nullptr) connection_->abandon(1);
  }
  std::shared_ptr<SimConnection> take() noexcept { return std::move(connection_); }

 private:
  std::shared_ptr<SimConnection> connection_;
};

}  // namespace

class SimListener final : public Listener {
 public:
  SimListener(SimWire& wire, Loop& loop, SocketAddress at,
              std::function<void(std::unique_ptr<AcceptedStream>)> on_accept)
      : wire_(wire), loop_(loop), at_(std::move(at)), on_accept_(std::move(on_accept)) {
    wire_.listeners_[{at_.host, at_.port}] = this;
    accept_task_.listener = this;
    accept_task_.run = [](Task& task) noexcept {
      static_cast<AcceptTask&>(task).listener->accept_waiting();
    };
  }
  ~SimListener() override { CHECK(closed_); }
  SocketAddress local() const override { return at_; }
  void close(Task& closed) noexcept override {
    CHECK(!closed_);
    closed_ = true;
    wire_.listeners_.erase({at_.host, at_.port});
    closed_task_ = &closed;
    if (!accept_task_.queued.load()) loop_.defer(accept_task_);
  }
  // Called on the connector's side; on_accept runs from the listener's loop.
  void offer(std::shared_ptr<SimConnection> connection) {
    waiting_.push_back(std::make_unique<SimAcceptedStream>(std::move(connection)));
    if (!accept_task_.queued.load()) loop_.defer(accept_task_);
  }

 private:
  struct AcceptTask : Task {
    SimListener* listener = nullptr;
  };
  void accept_waiting() {
    while (!waiting_.empty() && !closed_) {
      std::unique_ptr<AcceptedStream> next = std::move(waiting_.front());
      waiting_.pop_front();
      on_accept_(std::move(next));
    }
    if (closed_) {
      waiting_.clear();
      loop_.defer(*std::exchange(closed_task_, nullptr));
    }
  }

  SimWire& wire_;
  Loop& loop_;
  const SocketAddress at_;
  std::function<void(std::unique_ptr<AcceptedStream>)> on_accept_;
  std::deque<std::unique_ptr<AcceptedStream>> waiting_;
  AcceptTask accept_task_;
  Task* closed_task_ = nullptr;
  bool closed_ = false;
};

// One attempt: the answer (or the timeout) comes later, then it frees itself.
class SimConnecting {
 public:
  SimConnecting(SimWire& wire, Loop& loop, ConnectOp& op, std::string from)
      : wire_(wire), loop_(loop), op_(op), from_(std::move(from)), answer_(*this), timeout_(*this) {
    answer_.fire = [](Timer& timer) noexcept { static_cast<Own&>(timer).self.answer(); };
    timeout_.fire = [](Timer& timer) noexcept {
      static_cast<Own&>(timer).self.finish(-ETIMEDOUT);
    };
  }
  void start() {
    const uint64_t now_ns = loop_.clock().now_ns();
    const SimNetworkOptions& options = wire_.options_;
    if (!wire_.swallowed_.contains({op_.to.host, op_.to.port})) {
      loop_.arm(answer_, now_ns + wire_.draw(options.min_delay_ns, options.max_delay_ns));
    }
    // Without a timeout of its own the system gives up after about two minutes.
    loop_.arm(timeout_, now_ns + (op_.timeout_ns > 0 ? op_.timeout_ns : 130'000'000'000));
  }

 private:
  struct Own : Timer {
    explicit Own(SimConnecting& owner) : self(owner) {}
    SimConnecting& self;
  };
  void answer() {
    SimListener* listener = wire_.find_listener(op_.to);
    if (listener == nullptr) {
      finish(-ECONNREFUSED);
      return;
    }
    if (wire_.next_port_ == 65535) wire_.next_port_ = 49152;
    auto connection = std::make_shared<SimConnection>(
        wire_, SocketAddress{from_, wire_.next_port_++}, op_.to);
    connection->bind(0, loop_);
    op_.stream = std::make_unique<SimStream>(connection, 0);
    listener->offer(std::move(connection));
    finish(0);
  }
  void finish(int result) {
    const std::unique_ptr<SimConnecting> self(this);
    loop_.cancel(answer_);
    loop_.cancel(timeout_);
    op_.result = result;
    op_.done(op_);
  }

  SimWire& wire_;
  Loop& loop_;
  ConnectOp& op_;
  const std::string from_;
  Own answer_;
  Own timeout_;
};

// ---- The wire -----------------------------------------------------------------------------------

SimWire::SimWire(Random& random, const SimNetworkOptions& options)
    : random_(random), options_(options) {}

SimWire::~SimWire() { CHECK(listeners_.empty() && connections_.empty()); }

uint64_t SimWire::draw(uint64_t least, uint64_t most) {
  CHECK(least <= most && most - least < UINT64_MAX);
  return least + random_.next_u64() % (most - least + 1);
}

bool SimWire::chance(uint32_t per_million) {
  // Drawn only when it may happen: leaving faults out does not shift the rest of the history.
  return per_million > 0 && draw(0, 999'999) < per_million;
}

SimListener* SimWire::find_listener(const SocketAddress& to) const {
  for (const std::string& host : {to.host, std::string("0.0.0.0"), std::string("::")}) {
    if (const auto found = listeners_.find({host, to.port}); found != listeners_.end()) {
      return found->second;
    }
  }
  return nullptr;
}

void SimWire::cut(Stream& stream) { static_cast<SimStream&>(stream).connection().cut(); }

void SimWire::silence(Stream& stream) { static_cast<SimStream&>(stream).connection().silence(); }

void SimWire::cut_all() {
  for (const auto& [number, connection] : connections_) connection->cut();
}

void SimWire::swallow(const SocketAddress& address, bool swallowed) {
  if (swallowed) {
    swallowed_.insert({address.host, address.port});
  } else {
    swallowed_.erase({address.host, address.port});
  }
}

// ---- The network of one loop --------------------------------------------------------------------

SimNetwork::SimNetwork(SimWire& wire, Loop& loop, std::string host)
    : wire_(wire), loop_(loop), host_(std::move(host)) {}

Result<std::unique_ptr<Listener>> SimNetwork::listen(
    const SocketAddress& at, std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) {
  SocketAddress own = at;
  if (own.port == 0) own.port = wire_.next_port_++;
  if (wire_.listeners_.contains({own.host, own.port})) {
    return Error{ErrorCode::address_in_use,
                 "cannot listen on " + own.host + ":" + std::to_string(own.port) +
                     ": another program does already; stop it or choose another port"};
  }
  std::unique_ptr<Listener> listener =
      std::make_unique<SimListener>(wire_, loop_, own, std::move(on_accept));
  return listener;
}

Result<std::unique_ptr<Stream>> SimNetwork::adopt(std::unique_ptr<AcceptedStream> accepted) {
  std::shared_ptr<SimConnection> connection = static_cast<SimAcceptedStream&>(*accepted).take();
  connection->bind(1, loop_);
  std::unique_ptr<Stream> stream = std::make_unique<SimStream>(std::move(connection), 1);
  return stream;
}

void SimNetwork::connect(ConnectOp& op) noexcept {
  (new SimConnecting(wire_, loop_, op, host_))->start();
}

}  // namespace ashlar::sim
