// What the machine's loopback gives at most, measured by the simplest honest program: two pinned
// threads, one TCP connection, blocking calls, requests and responses of the sizes that NVMe/TCP
// would send. No protocol, no storage.
//
//   loopback ping CPU CPU                             → nanoseconds of one cache-line round trip
//   loopback tcp CPU CPU REQUEST RESPONSE DEPTH MS    → exchanges a second
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// Sends `bytes` of whatever, in as few calls as the socket takes.
bool send_all(int fd, const std::vector<char>& from, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = send(fd, from.data(), std::min(bytes, from.size()), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

void respond(int fd, int cpu, size_t request, size_t response) {
  pin(cpu);
  std::vector<char> in(256 * 1024);
  const std::vector<char> out(1024 * 1024, 'r');
  size_t have = 0;
  for (;;) {
    const ssize_t got = recv(fd, in.data(), in.size(), 0);
    if (got <= 0) return;
    have += static_cast<size_t>(got);
    const size_t whole = have / request;
    have -= whole * request;
    if (whole > 0 && !send_all(fd, out, whole * response)) return;
  }
}

int ping(int first_cpu, int second_cpu) {
  alignas(64) std::atomic<unsigned> turn{0};
  constexpr unsigned rounds = 200'000;
  std::thread other([&] {
    pin(second_cpu);
    for (unsigned i = 0; i < rounds; ++i) {
      while (turn.load(std::memory_order_acquire) != 2 * i + 1) {
      }
      turn.store(2 * i + 2, std::memory_order_release);
    }
  });
  pin(first_cpu);
  const auto from = Clock::now();
  for (unsigned i = 0; i < rounds; ++i) {
    turn.store(2 * i + 1, std::memory_order_release);
    while (turn.load(std::memory_order_acquire) != 2 * i + 2) {
    }
  }
  const auto took = std::chrono::duration<double, std::nano>(Clock::now() - from).count();
  other.join();
  std::printf("%.1f\n", took / rounds);
  return 0;
}

int tcp(int first_cpu, int second_cpu, size_t request, size_t response, size_t depth, int ms) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0) fail("bind");
  if (listen(listener, 1) != 0) fail("listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const int near = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(near, reinterpret_cast<sockaddr*>(&address), length) != 0) fail("connect");
  const int far = accept(listener, nullptr, nullptr);
  if (far < 0) fail("accept");
  const int on = 1;
  setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::thread responder(respond, far, second_cpu, request, response);

  pin(first_cpu);
  std::vector<char> in(256 * 1024);
  const std::vector<char> out(1024 * 1024, 'q');
  const auto from = Clock::now();
  const auto until = from + std::chrono::milliseconds(ms);
  size_t done = 0;
  size_t have = 0;
  bool fine = send_all(near, out, depth * request);
  while (fine && Clock::now() < until) {
    const ssize_t got = recv(near, in.data(), in.size(), 0);
    if (got <= 0) break;
    have += static_cast<size_t>(got);
    const size_t whole = have / response;
    have -= whole * response;
    done += whole;
    if (whole > 0) fine = send_all(near, out, whole * request);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - from).count();
  shutdown(near, SHUT_RDWR);
  shutdown(far, SHUT_RDWR);
  responder.join();
  std::printf("%.0f\n", static_cast<double>(done) / seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [argv](int i) { return std::atoi(argv[i]); };
  if (argc == 4 && std::string(argv[1]) == "ping") return ping(number(2), number(3));
  if (argc == 8 && std::string(argv[1]) == "tcp") {
    return tcp(number(2), number(3), static_cast<size_t>(number(4)), static_cast<size_t>(number(5)),
               static_cast<size_t>(number(6)), number(7));
  }
  std::fprintf(stderr, "usage: loopback ping CPU CPU | tcp CPU CPU REQUEST RESPONSE DEPTH MS\n");
  return 2;
}
