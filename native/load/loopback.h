// Loopback: exchanges a second over 127.0.0.1, in every way that can run here. The best is the
// limit for any target on this machine that is asked for the same bytes with as much under way.
//
// It blocks the calling thread for the time of all ways, and starts threads of its own meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "load/exchange.h"

namespace ashlar::load {

// The threads of one side. Connections are dealt out to them in turn.
struct SideThreads {
  uint32_t count = 1;
  std::vector<uint32_t> cpus;  // One for each; empty: not pinned.
};

struct LoopbackOptions {
  ExchangeShape shape;  // `connections`: all of them.
  SideThreads requester;
  SideThreads responder;
  uint64_t duration_ns = 0;        // Of each way, after a tenth of it that does not count.
  std::optional<ExchangeWay> way;  // Nothing: all.
};

inline constexpr uint32_t max_loopback_connections = 256;
inline constexpr uint32_t max_loopback_depth = 65536;
inline constexpr uint64_t max_loopback_message_bytes = 64 << 20;
inline constexpr uint64_t max_loopback_touch_bytes = uint64_t{64} << 30;
inline constexpr uint32_t max_loopback_threads = 64;

struct WayResult {
  ExchangeWay way = ExchangeWay::blocking;
  std::string left_out;  // Why; empty: it ran.
  double per_second = 0;
  // CPUs that each side took: far below its threads where one burns them, somebody else had them.
  double requester_cpus = 0;
  double responder_cpus = 0;
  // ns; all 0 unless one request was under way over one connection.
  uint64_t p50_ns = 0, p99_ns = 0, p999_ns = 0, max_ns = 0;
};

struct LoopbackResult {
  double per_second = 0;
  ExchangeWay best = ExchangeWay::blocking;
  std::string congestion;  // The congestion control of the connections.
  std::vector<WayResult> ways;
};

// Fails with invalid_argument, timed_out when nothing came in any way, or what the system says of a
// socket.
Result<LoopbackResult> measure_loopback(const LoopbackOptions& options);

}  // namespace ashlar::load
