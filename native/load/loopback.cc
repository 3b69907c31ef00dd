#include "load/loopback.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "reactor/socket.h"

namespace ashlar::load {

namespace {

using Clock = std::chrono::steady_clock;

// Of the first message: memory is taken from the system before it.
constexpr auto patience = std::chrono::seconds(10);
// A blocking side whose peer sends as well could wait for itself beyond this.
constexpr uint64_t most_both_ways_bytes = 256 * 1024;

cpu_set_t one_cpu(uint32_t cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return set;
}

// ---- Judging ------------------------------------------------------------------------------------

Status check_threads(const SideThreads& threads, const char* side) {
  const auto invalid = [side](std::string what) {
    return Error{ErrorCode::invalid_argument, std::string(side) + ": " + std::move(what)};
  };
  if (threads.count == 0 || threads.count > max_loopback_threads) {
    return invalid(std::to_string(threads.count) + " threads are not 1 to " +
                   std::to_string(max_loopback_threads));
  }
  if (!threads.cpus.empty() && threads.cpus.size() != threads.count) {
    return invalid(std::to_string(threads.cpus.size()) + " CPUs for " +
                   std::to_string(threads.count) + " threads; name one for each");
  }
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (const uint32_t cpu : threads.cpus) {
    if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed)) {
      return invalid("this process may not run on CPU " + std::to_string(cpu));
    }
  }
  return Unit{};
}

Status check_range(const char* what, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return Unit{};
  return Error{ErrorCode::invalid_argument, std::string(what) + " of " + std::to_string(value) +
                                                " is not " + std::to_string(least) + " to " +
                                                std::to_string(most)};
}

Status check(const LoopbackOptions& options) {
  const ExchangeShape& shape = options.shape;
  for (const Messages& messages : {shape.read, shape.write}) {
    for (const uint64_t bytes : {messages.request_bytes, messages.response_bytes}) {
      if (Status s = check_range("a message", bytes, 1, max_loopback_message_bytes); !s) return s;
    }
  }
  if (Status s = check_range("a depth", shape.depth, 1, max_loopback_depth); !s) return s;
  if (Status s = check_range("connections", shape.connections, 1, max_loopback_connections); !s) {
    return s;
  }
  if (Status s = check_range("a share of reads", shape.read_percent, 0, 100); !s) return s;
  if (Status s = check_range("touched memory", shape.touch_bytes, 0, max_loopback_touch_bytes);
      !s) {
    return s;
  }
  if (options.duration_ns == 0) {
    return Error{ErrorCode::invalid_argument, "a duration of 0 measures nothing"};
  }
  if (Status s = check_threads(options.requester, "requester"); !s) return s;
  return check_threads(options.responder, "responder");
}

// Threads that never sleep need a CPU each.
bool cpus_suffice(const LoopbackOptions& options) {
  std::vector<uint32_t> pinned = options.requester.cpus;
  pinned.insert(pinned.end(), options.responder.cpus.begin(), options.responder.cpus.end());
  std::sort(pinned.begin(), pinned.end());
  if (std::adjacent_find(pinned.begin(), pinned.end()) != pinned.end()) return false;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
  const uint32_t connections = options.shape.connections;
  return std::min(options.requester.count, connections) +
             std::min(options.responder.count, connections) <=
         static_cast<uint32_t>(CPU_COUNT(&allowed));
}

std::string obstacle(ExchangeWay way, const LoopbackOptions& options) {
  const ExchangeShape& shape = options.shape;
  switch (way) {
    case ExchangeWay::blocking: {
      const auto both_ways = [&shape](const Messages& messages) {
        return shape.depth * std::min(messages.request_bytes, messages.response_bytes);
      };
      // A mix has large messages in both directions.
      const bool mixed = shape.read_percent != 0 && shape.read_percent != 100;
      const uint64_t most =
          mixed ? shape.depth * std::min(shape.write.request_bytes, shape.read.response_bytes)
                : both_ways(shape.read_percent == 100 ? shape.read : shape.write);
      return most > most_both_ways_bytes ? "it could wait for itself" : "";
    }
    case ExchangeWay::spin:
    case ExchangeWay::epoll: return cpus_suffice(options) ? "" : "not enough CPUs";
    case ExchangeWay::uring: {
      const int problem = exchange_uring_problem();
      return problem == 0 ? "" : std::string("io_uring: ") + std::strerror(problem);
    }
  }
  return "";
}

// ---- Connections --------------------------------------------------------------------------------

struct Connections {
  std::vector<Descriptor> near, far;

  void end() noexcept {
    for (const Descriptor& end : near) ::shutdown(end.get(), SHUT_RDWR);
    for (const Descriptor& end : far) ::shutdown(end.get(), SHUT_RDWR);
  }
};

// Both ends with the target's own options.
Result<Connections> connect_pairs(uint32_t count) {
  const auto listening = open_listening({"127.0.0.1", 0});
  if (!listening) return listening.error();
  const int listener = listening.value().get();
  const auto address = to_raw(local_address(listener));
  if (!address) return address.error();
  Connections made;
  for (uint32_t i = 0; i < count; ++i) {
    Descriptor near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!near.valid()) return error_from_errno(errno, "a socket for the loopback limit");
    const RawAddress& raw = address.value();
    if (::connect(near.get(), raw.get(), raw.length) != 0) {
      return error_from_errno(errno, "a connection over loopback");
    }
    pollfd arrival{listener, POLLIN, 0};
    ::poll(&arrival, 1, 1000);
    Descriptor far(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!far.valid()) return error_from_errno(errno, "a connection over loopback");
    set_options(near.get());
    set_options(far.get());
    made.near.push_back(std::move(near));
    made.far.push_back(std::move(far));
  }
  return made;
}

std::string congestion_of(const Descriptor& socket) {
  char name[32] = {};
  socklen_t length = sizeof name - 1;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0) return "unknown";
  return name;
}

// ---- One measurement ----------------------------------------------------------------------------

// The sides of one end of all connections, and their threads.
class End {
 public:
  End(ExchangeWay way, const LoopbackOptions& options, bool requester,
      const std::vector<Descriptor>& sockets)
      : way_(way), threads_(requester ? options.requester : options.responder) {
    const auto connections = static_cast<uint32_t>(sockets.size());
    const uint32_t count =
        way == ExchangeWay::blocking ? connections : std::min(threads_.count, connections);
    std::vector<std::vector<int>> dealt(count);
    for (uint32_t i = 0; i < connections; ++i) dealt[i % count].push_back(sockets[i].get());
    touch_bytes_ = options.shape.touch_bytes / count;
    ExchangeShape shape = options.shape;
    // Of this way the memory belongs to each connection, and the side needs none.
    shape.touch_bytes = way == ExchangeWay::uring ? 0 : touch_bytes_;
    for (const std::vector<int>& fds : dealt) {
      sides_.push_back(std::make_unique<Side>(shape, requester, fds));
    }
  }
  void start() {
    for (size_t i = 0; i < sides_.size(); ++i) {
      running_.emplace_back([this, i] {
        if (!threads_.cpus.empty()) {
          const cpu_set_t set = one_cpu(threads_.cpus[i % threads_.cpus.size()]);
          pthread_setaffinity_np(pthread_self(), sizeof set, &set);
        }
        run_side(way_, *sides_[i], touch_bytes_);
      });
    }
  }
  void join() {
    for (std::thread& thread : running_) thread.join();
  }
  uint64_t done() const noexcept {
    uint64_t sum = 0;
    for (const auto& side : sides_) sum += side->done.load(std::memory_order_relaxed);
    return sum;
  }
  void begin_measuring() noexcept {
    for (const auto& side : sides_) side->measuring.store(true, std::memory_order_relaxed);
  }
  uint64_t cpu_ns() noexcept {
    uint64_t sum = 0;
    for (std::thread& thread : running_) {
      clockid_t clock{};
      timespec used{};
      if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0) continue;
      clock_gettime(clock, &used);
      sum +=
          static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
    }
    return sum;
  }
  // Null: more than one request was under way.
  const Histogram* latencies() const noexcept {
    return sides_.size() == 1 ? sides_[0]->latencies.get() : nullptr;
  }

 private:
  const ExchangeWay way_;
  const SideThreads& threads_;
  uint64_t touch_bytes_ = 0;
  std::vector<std::unique_ptr<Side>> sides_;
  std::vector<std::thread> running_;
};

Result<WayResult> measure_way(ExchangeWay way, const LoopbackOptions& options,
                              std::string& congestion) {
  auto pairs = connect_pairs(options.shape.connections);
  if (!pairs) return pairs.error();
  Connections connections = std::move(pairs).value();
  End near(way, options, true, connections.near), far(way, options, false, connections.far);
  far.start();
  near.start();
  const auto give_up = Clock::now() + patience;
  while (near.done() == 0 && Clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::this_thread::sleep_for(std::chrono::nanoseconds(options.duration_ns / 10));
  near.begin_measuring();
  const uint64_t near_from = near.cpu_ns(), far_from = far.cpu_ns(), before = near.done();
  const auto from = Clock::now();
  std::this_thread::sleep_for(std::chrono::nanoseconds(options.duration_ns));
  const uint64_t after = near.done();
  const auto took_ns = static_cast<double>((Clock::now() - from).count());
  WayResult result;
  result.way = way;
  result.per_second = static_cast<double>(after - before) * 1e9 / took_ns;
  result.requester_cpus = static_cast<double>(near.cpu_ns() - near_from) / took_ns;
  result.responder_cpus = static_cast<double>(far.cpu_ns() - far_from) / took_ns;
  congestion = congestion_of(connections.near[0]);
  connections.end();
  near.join();
  far.join();
  // Where others have the CPUs, a way that needs them may not get to run in a short time.
  if (after == before) result.left_out = "nothing came in its time";
  if (const Histogram* const latencies = near.latencies(); latencies != nullptr) {
    result.p50_ns = latencies->percentile(500);
    result.p99_ns = latencies->percentile(990);
    result.p999_ns = latencies->percentile(999);
    result.max_ns = latencies->max();
  }
  return result;
}

}  // namespace

Result<LoopbackResult> measure_loopback(const LoopbackOptions& options) {
  if (Status status = check(options); !status) return status.error();
  LoopbackResult result;
  for (const ExchangeWay way : exchange_ways) {
    if (options.way && *options.way != way) continue;
    std::string why_not = obstacle(way, options);
    if (!why_not.empty()) {
      WayResult left_out;
      left_out.way = way;
      left_out.left_out = std::move(why_not);
      result.ways.push_back(std::move(left_out));
      continue;
    }
    auto measured = measure_way(way, options, result.congestion);
    if (!measured) return measured.error();
    result.ways.push_back(std::move(measured).value());
    const double per_second = result.ways.back().per_second;
    if (per_second <= result.per_second) continue;
    result.per_second = per_second;
    result.best = way;
  }
  if (result.per_second > 0) return result;
  std::string why = "no message came over loopback";
  for (const WayResult& way : result.ways) {
    why += std::string("; ") + exchange_way_name(way.way) + ": " + way.left_out;
  }
  return Error{ErrorCode::timed_out, std::move(why)};
}

}  // namespace ashlar::load
