// The loopback limit. Both sides run the same code: a side takes whole messages of one size and
// answers each with one of another; the requester merely speaks first.
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "common.h"

namespace ashlar::bench {
namespace {

constexpr size_t receive_bytes = 256 * 1024;
constexpr size_t send_bytes = 1024 * 1024;

struct Exchange {
  size_t request = 0, response = 0;
  size_t depth = 1, connections = 1;
  uint64_t ns = 0;
  size_t touch_bytes = 0;  // 0: buffers stay where they are.
  std::string congestion;  // Empty: as native/reactor/socket.cc chooses on loopback.
  int cpus[2] = {0, 1};
};

// Memory of one side: one piece again and again, or, with --touch, the next one of many.
class Memory {
 public:
  Memory(size_t least, size_t touch) : bytes_(std::max(least, touch), 'x'), cycles_(touch > 0) {}
  char* at() { return bytes_.data() + at_; }
  size_t room() const { return bytes_.size() - at_; }
  void used(size_t count) {
    if (!cycles_) return;
    at_ += count;
    // The rest is too short to be worth a call of its own.
    if (room() < 64 * 1024) at_ = 0;
  }

 private:
  std::vector<char> bytes_;
  size_t at_ = 0;
  const bool cycles_;
};

struct Flow {
  int fd = -1;
  size_t have = 0;     // Of a message that has not come whole.
  size_t to_send = 0;  // Bytes due.
  bool broken = false;
};

// One side of some connections, on one thread.
class Side {
 public:
  Side(const Exchange& exchange, bool requester, std::vector<int> fds)
      : in_bytes_(requester ? exchange.response : exchange.request),
        out_bytes_(requester ? exchange.request : exchange.response),
        in_(receive_bytes, exchange.touch_bytes),
        out_(send_bytes, exchange.touch_bytes) {
    for (const int fd : fds) {
      flows_.push_back({fd});
      if (requester) flows_.back().to_send = exchange.depth * exchange.request;
    }
    if (requester && exchange.depth == 1 && exchange.connections == 1) {
      latencies = std::make_unique<Latencies>(exchange.ns / 2000);
    }
  }

  // Counts what came. False: the connection has ended.
  bool took(Flow& flow, ssize_t got) {
    if (got <= 0) {
      flow.broken = flow.broken || got == 0 || (errno != EAGAIN && errno != EINTR);
      return !flow.broken;
    }
    flow.have += static_cast<size_t>(got);
    const size_t whole = flow.have / in_bytes_;
    flow.have -= whole * in_bytes_;
    flow.to_send += whole * out_bytes_;
    done.store(done.load(std::memory_order_relaxed) + whole, std::memory_order_relaxed);
    if (latencies != nullptr && whole > 0) {
      const uint64_t now = now_ns();
      if (measuring.load(std::memory_order_relaxed)) latencies->add(now - began_ns_);
      began_ns_ = now;
    }
    return true;
  }
  bool sent(Flow& flow, ssize_t count) {
    if (count <= 0) {
      flow.broken = flow.broken || (errno != EAGAIN && errno != EINTR);
      return !flow.broken;
    }
    flow.to_send -= static_cast<size_t>(count);
    return true;
  }
  bool receive(Flow& flow, int flags) {
    const ssize_t got = recv(flow.fd, in_.at(), std::min(in_.room(), receive_bytes), flags);
    if (got > 0) in_.used(static_cast<size_t>(got));
    return took(flow, got);
  }
  bool transmit(Flow& flow, int flags) {
    const size_t count = std::min({flow.to_send, out_.room(), send_bytes});
    const ssize_t gone = send(flow.fd, out_.at(), count, flags | MSG_NOSIGNAL);
    if (gone > 0) out_.used(static_cast<size_t>(gone));
    return sent(flow, gone);
  }
  std::vector<Flow>& flows() { return flows_; }

  std::atomic<uint64_t> done{0};  // Messages taken.
  std::atomic<bool> measuring{false};
  std::unique_ptr<Latencies> latencies;

 private:
  const size_t in_bytes_, out_bytes_;
  Memory in_, out_;
  std::vector<Flow> flows_;
  uint64_t began_ns_ = 0;
};

// ---- The variants: each runs until its connections end ------------------------------------------

// One connection, asleep while there is nothing.
void run_blocking(Side& side) {
  Flow& flow = side.flows()[0];
  for (;;) {
    while (flow.to_send > 0) {
      if (!side.transmit(flow, 0)) return;
    }
    if (!side.receive(flow, 0)) return;
  }
}

// Asks every connection, without end.
void run_spin(Side& side) {
  for (size_t open = side.flows().size(); open > 0;) {
    for (Flow& flow : side.flows()) {
      if (flow.broken) continue;
      bool fine = side.receive(flow, MSG_DONTWAIT);
      if (fine && flow.to_send > 0) fine = side.transmit(flow, MSG_DONTWAIT);
      if (!fine) --open;
    }
  }
}

// Asks the kernel which connections have something, without sleeping.
void run_epoll(Side& side) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  if (poll < 0) fail("epoll_create1");
  std::vector<Flow*> blocked;  // By the window of their peer.
  for (Flow& flow : side.flows()) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &flow;
    if (epoll_ctl(poll, EPOLL_CTL_ADD, flow.fd, &event) != 0) fail("epoll_ctl");
    if (flow.to_send > 0) blocked.push_back(&flow);
  }
  size_t open = side.flows().size();
  const auto push = [&](Flow& flow) {
    if (!flow.broken && !side.transmit(flow, MSG_DONTWAIT)) --open;
    return !flow.broken && flow.to_send > 0;
  };
  std::vector<epoll_event> events(side.flows().size());
  while (open > 0) {
    std::erase_if(blocked, [&](Flow* flow) { return !push(*flow); });
    const int ready = epoll_wait(poll, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < ready; ++i) {
      Flow& flow = *static_cast<Flow*>(events[static_cast<size_t>(i)].data.ptr);
      if (flow.broken) continue;
      const bool was_blocked = flow.to_send > 0;
      if (!side.receive(flow, MSG_DONTWAIT)) {
        --open;
        epoll_ctl(poll, EPOLL_CTL_DEL, flow.fd, nullptr);
      } else if (!was_blocked && flow.to_send > 0 && push(flow)) {
        blocked.push_back(&flow);
      }
    }
  }
  close(poll);
}

// One receive and one send under way for each connection; asleep while nothing has completed. What
// is under way owns its memory, so each connection has its own.
class UringSide {
 public:
  UringSide(Side& side, io_uring& ring, size_t touch) : side_(side), ring_(ring) {
    for (size_t i = 0; i < side.flows().size(); ++i) {
      ends_.push_back({Memory(receive_bytes, touch), Memory(send_bytes, touch)});
    }
  }
  void run() {
    for (size_t i = 0; i < ends_.size(); ++i) {
      post_receive(i);
      post_send(i);
    }
    while (under_way_ > 0) {
      io_uring_submit_and_wait(&ring_, 1);
      unsigned head = 0, count = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        completed(cqe->user_data, cqe->res);
      }
      io_uring_cq_advance(&ring_, count);
    }
  }

 private:
  struct End {
    Memory in, out;
    bool sending = false;
  };
  void completed(uint64_t data, int result) {
    --under_way_;
    const size_t i = data >> 1;
    Flow& flow = side_.flows()[i];
    End& end = ends_[i];
    errno = result < 0 ? -result : 0;
    if ((data & 1) != 0) {
      end.sending = false;
      if (result > 0) end.out.used(static_cast<size_t>(result));
      if (side_.sent(flow, result)) post_send(i);
      return;
    }
    if (result > 0) end.in.used(static_cast<size_t>(result));
    if (!side_.took(flow, result)) return;
    post_receive(i);
    post_send(i);
  }
  io_uring_sqe* take() {
    ++under_way_;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe != nullptr) return sqe;
    io_uring_submit(&ring_);
    return io_uring_get_sqe(&ring_);
  }
  void post_receive(size_t i) {
    io_uring_sqe* const sqe = take();
    Memory& in = ends_[i].in;
    io_uring_prep_recv(sqe, side_.flows()[i].fd, in.at(), std::min(in.room(), receive_bytes), 0);
    sqe->user_data = i << 1;
  }
  void post_send(size_t i) {
    Flow& flow = side_.flows()[i];
    End& end = ends_[i];
    if (flow.to_send == 0 || end.sending || flow.broken) return;
    io_uring_sqe* const sqe = take();
    const size_t count = std::min({flow.to_send, end.out.room(), send_bytes});
    io_uring_prep_send(sqe, flow.fd, end.out.at(), count, MSG_NOSIGNAL);
    sqe->user_data = i << 1 | 1;
    end.sending = true;
  }

  Side& side_;
  io_uring& ring_;
  std::vector<End> ends_;
  size_t under_way_ = 0;
};

// 0 or -errno. The ring belongs to the thread that opens it.
int open_ring(io_uring& ring) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (io_uring_queue_init_params(1024, &ring, &params) == 0) return 0;
  return io_uring_queue_init(1024, &ring, 0);
}

void run_uring(Side& side, size_t touch_bytes) {
  io_uring ring{};
  if (open_ring(ring) != 0) refuse("io_uring is not available any more");
  UringSide(side, ring, touch_bytes / side.flows().size()).run();
  io_uring_queue_exit(&ring);
}

// ---- One measurement ----------------------------------------------------------------------------

void set_congestion(int fd, const std::string& wanted) {
  const auto set = [fd](const std::string& name) {
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.c_str(),
                      static_cast<socklen_t>(name.size())) == 0;
  };
  if (wanted == "system") return;
  if (!wanted.empty()) {
    if (!set(wanted)) fail("congestion control '" + wanted + "'");
    return;
  }
  if (!set("cubic")) set("reno");
}

std::string congestion_of(int fd) {
  char name[32] = {};
  socklen_t length = sizeof name - 1;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0) return "unknown";
  return name;
}

// Pairs of sockets that are connected over loopback, both ends with the target's options.
struct Connections {
  explicit Connections(const Exchange& exchange) {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener, raw, length) != 0 || listen(listener, 128) != 0) fail("listen on loopback");
    getsockname(listener, raw, &length);
    for (size_t i = 0; i < exchange.connections; ++i) {
      near.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (connect(near.back(), raw, length) != 0) fail("connect over loopback");
      far.push_back(accept(listener, nullptr, nullptr));
      if (far.back() < 0) fail("accept over loopback");
      for (const int fd : {near.back(), far.back()}) {
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        set_congestion(fd, exchange.congestion);
      }
    }
    close(listener);
  }
  ~Connections() {
    for (const int fd : near) close(fd);
    for (const int fd : far) close(fd);
  }
  void end() {
    for (const int fd : near) shutdown(fd, SHUT_RDWR);
    for (const int fd : far) shutdown(fd, SHUT_RDWR);
  }
  std::vector<int> near, far;
};

struct Variant {
  const char* name;
  void (*run)(Side&, const Exchange&);
  bool thread_each = false;  // Of the connections.
  bool burns = false;        // Its CPU, so that two of them need two.
  bool own_memory = false;   // Not the Side's.
};
constexpr Variant variants[] = {
    {.name = "blocking",
     .run = [](Side& side, const Exchange&) { run_blocking(side); },
     .thread_each = true},
    {.name = "spin", .run = [](Side& side, const Exchange&) { run_spin(side); }, .burns = true},
    {.name = "epoll", .run = [](Side& side, const Exchange&) { run_epoll(side); }, .burns = true},
    {.name = "uring",
     .run = [](Side& side, const Exchange& exchange) { run_uring(side, exchange.touch_bytes); },
     .own_memory = true},
};

// Why a variant cannot run; empty: it can.
std::string obstacle(const Variant& variant, const Exchange& exchange) {
  if (variant.burns && exchange.cpus[0] == exchange.cpus[1]) return "both sides share a CPU";
  // Both ends of a connection could be asleep in send.
  const size_t both_ways = exchange.depth * std::min(exchange.request, exchange.response);
  if (variant.thread_each && both_ways > 256 * 1024) return "it could wait for itself";
  if (std::strcmp(variant.name, "uring") == 0) {
    io_uring ring{};
    if (const int failed = open_ring(ring); failed != 0) {
      return "io_uring: " + std::string(std::strerror(-failed));
    }
    io_uring_queue_exit(&ring);
  }
  return {};
}

struct Measured {
  double per_second = 0;
  double cpu[2] = {0, 0};  // CPUs that the requester and the responder took.
  std::string congestion;
  std::unique_ptr<Latencies> latencies;
};

uint64_t cpu_ns(std::span<std::thread> threads) {
  uint64_t sum = 0;
  for (std::thread& thread : threads) {
    clockid_t clock{};
    timespec used{};
    if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0) continue;
    clock_gettime(clock, &used);
    sum += static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
  }
  return sum;
}

Measured measure(const Variant& variant, const Exchange& exchange) {
  Connections connections(exchange);
  std::vector<std::unique_ptr<Side>> near, far;
  const size_t threads = variant.thread_each ? exchange.connections : 1;
  Exchange each = exchange;
  each.touch_bytes = variant.own_memory ? 0 : exchange.touch_bytes / threads;
  for (size_t i = 0; i < threads; ++i) {
    const auto of = [&](const std::vector<int>& fds) {
      return threads == 1 ? fds : std::vector<int>{fds[i]};
    };
    near.push_back(std::make_unique<Side>(each, true, of(connections.near)));
    far.push_back(std::make_unique<Side>(each, false, of(connections.far)));
  }
  std::vector<std::thread> running;
  const auto start = [&](std::vector<std::unique_ptr<Side>>& sides, int cpu) {
    for (const auto& side : sides) {
      running.emplace_back([&variant, &exchange, &side = *side, cpu] {
        pin(cpu);
        variant.run(side, exchange);
      });
    }
  };
  start(far, exchange.cpus[1]);
  start(near, exchange.cpus[0]);
  const auto count = [&near] {
    uint64_t sum = 0;
    for (const auto& side : near) sum += side->done.load(std::memory_order_relaxed);
    return sum;
  };
  // Memory is taken from the system before the first message.
  while (count() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::nanoseconds(exchange.ns / 10));
  for (const auto& side : near) side->measuring.store(true, std::memory_order_relaxed);
  const auto far_threads = std::span(running).first(threads);
  const auto near_threads = std::span(running).last(threads);
  const uint64_t near_from = cpu_ns(near_threads), far_from = cpu_ns(far_threads);
  const uint64_t from_ns = now_ns(), before = count();
  std::this_thread::sleep_for(std::chrono::nanoseconds(exchange.ns));
  const uint64_t after = count(), until_ns = now_ns();
  const auto took_ns = static_cast<double>(until_ns - from_ns);
  Measured measured;
  measured.cpu[0] = static_cast<double>(cpu_ns(near_threads) - near_from) / took_ns;
  measured.cpu[1] = static_cast<double>(cpu_ns(far_threads) - far_from) / took_ns;
  measured.congestion = congestion_of(connections.near[0]);
  connections.end();
  for (std::thread& thread : running) thread.join();
  measured.per_second = static_cast<double>(after - before) * 1e9 / took_ns;
  measured.latencies = std::move(near[0]->latencies);
  return measured;
}

void read_cpus(const Options& options, int (&cpus)[2]) {
  const std::string text = options.text("cpus", "0,1");
  if (std::sscanf(text.c_str(), "%d,%d", &cpus[0], &cpus[1]) != 2 || cpus[0] < 0 || cpus[1] < 0) {
    refuse("--cpus '" + text + "' is not two numbers, as 0,1");
  }
}

const char* includes(const Exchange& exchange) {
  return exchange.touch_bytes == 0
             ? "the kernel's copies between buffers that stay in cache, its TCP, the system calls"
             : "the kernel's copies between buffers that change, its TCP, the system calls";
}

}  // namespace

int run_ping(const Options& options) {
  int cpus[2];
  read_cpus(options, cpus);
  alignas(64) std::atomic<unsigned> turn{0};
  constexpr unsigned rounds = 200'000;
  const auto wait_for = [&turn](unsigned value) {
    while (turn.load(std::memory_order_acquire) != value) {
    }
  };
  std::thread other([&] {
    pin(cpus[1]);
    for (unsigned i = 0; i < rounds; ++i) {
      wait_for(2 * i + 1);
      turn.store(2 * i + 2, std::memory_order_release);
    }
  });
  pin(cpus[0]);
  const uint64_t from_ns = now_ns();
  for (unsigned i = 0; i < rounds; ++i) {
    turn.store(2 * i + 1, std::memory_order_release);
    wait_for(2 * i + 2);
  }
  const auto took = static_cast<double>(now_ns() - from_ns);
  other.join();
  std::puts(Json().text("kind", "ping").number("ns", took / rounds).end().c_str());
  return 0;
}

int run_tcp(const Options& options) {
  Exchange exchange;
  exchange.request = options.number("request", 72, 1, 64 << 20);
  exchange.response = options.number("response", 4120, 1, 64 << 20);
  exchange.depth = options.number("depth", 1, 1, 65536);
  exchange.connections = options.number("connections", 1, 1, 256);
  exchange.ns = options.number("ms", 1000, 1, 3'600'000) * 1'000'000;
  exchange.touch_bytes = options.number("touch", 0, 0, uint64_t{64} << 30);
  exchange.congestion = options.text("congestion", "");
  read_cpus(options, exchange.cpus);
  const std::string wanted = options.text("variant", "all");

  std::vector<std::string> told;
  double best = -1;
  std::string best_name, congestion;
  for (const Variant& variant : variants) {
    if (wanted != "all" && wanted != variant.name) continue;
    const std::string why_not = obstacle(variant, exchange);
    Json json;
    json.text("name", variant.name);
    if (!why_not.empty()) {
      told.push_back(json.text("leftOut", why_not).end());
      continue;
    }
    const Measured measured = measure(variant, exchange);
    Latencies none(0);
    json.number("perSecond", measured.per_second);
    json.number("requesterCpus", measured.cpu[0]).number("responderCpus", measured.cpu[1]);
    json.latencies(measured.latencies != nullptr ? *measured.latencies : none);
    told.push_back(json.end());
    if (measured.per_second <= best) continue;
    best = measured.per_second;
    best_name = variant.name;
    congestion = measured.congestion;
  }
  if (best < 0) refuse("no variant '" + wanted + "' that can run here: " + json_array(told));
  Json json;
  json.text("kind", "tcp");
  json.number("requestBytes", static_cast<double>(exchange.request));
  json.number("responseBytes", static_cast<double>(exchange.response));
  json.number("depth", static_cast<double>(exchange.depth));
  json.number("connections", static_cast<double>(exchange.connections));
  json.number("touchBytes", static_cast<double>(exchange.touch_bytes));
  json.text("congestion", congestion).text("includes", includes(exchange));
  json.text("best", best_name).number("perSecond", best).raw("variants", json_array(told));
  std::puts(json.end().c_str());
  return 0;
}

}  // namespace ashlar::bench
