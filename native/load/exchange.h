// Exchange: what the machine does for the bytes of a load without a protocol and without a store.
//
// Messages go over TCP between two sides of this process. The requester keeps `depth` requests
// under way on each connection; the responder answers each with a response. Neither looks at a
// byte. What is left is the kernel's copies, its TCP and the system calls.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "load/histogram.h"

namespace ashlar::load {

// One request and its response, bytes.
struct Messages {
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

struct ExchangeShape {
  Messages read;
  Messages write;
  uint32_t read_percent = 100;
  uint32_t depth = 1;        // Of each connection.
  uint32_t connections = 1;  // Those of one side.
  // Memory on each side that payload moves through, in turn; 0: it stays in the processor's cache.
  uint64_t touch_bytes = 0;
};

// Memory of one side: one piece again and again, or the next one of many.
class SideMemory {
 public:
  SideMemory(size_t least, size_t touch)
      : bytes_(least > touch ? least : touch, 'x'), cycles_(touch > 0) {}
  char* at() noexcept { return bytes_.data() + at_; }
  size_t room() const noexcept { return bytes_.size() - at_; }
  void used(size_t count) noexcept;

 private:
  std::vector<char> bytes_;
  size_t at_ = 0;
  const bool cycles_;
};

// One connection as one side sees it.
struct Flow {
  int fd = -1;
  uint64_t taken = 0;    // Messages that came whole.
  uint64_t have = 0;     // Bytes of the one that has not.
  uint64_t to_send = 0;  // Bytes due.
  bool broken = false;
};

// One side of some connections, on one thread. `done` and `measuring` alone are for others.
class Side {
 public:
  // Lends the descriptors.
  Side(const ExchangeShape& shape, bool requester, const std::vector<int>& fds);

  // Count what came and went; `count` is what the system call returned, with errno beside it.
  // False: the connection has ended.
  bool took(Flow& flow, ssize_t count) noexcept;
  bool sent(Flow& flow, ssize_t count) noexcept;
  bool receive(Flow& flow, int flags) noexcept;
  bool transmit(Flow& flow, int flags) noexcept;
  std::vector<Flow>& flows() noexcept { return flows_; }

  std::atomic<uint64_t> done{0};  // Messages taken.
  std::atomic<bool> measuring{false};
  // From a response to the next, where one request is under way; null: more are.
  std::unique_ptr<Histogram> latencies;

 private:
  // Of the nth message of a connection. Reads are spread evenly, and both sides know how.
  uint64_t request_bytes(uint64_t nth) const noexcept {
    return (reads_[nth % 100] ? shape_.read : shape_.write).request_bytes;
  }
  uint64_t response_bytes(uint64_t nth) const noexcept {
    return (reads_[nth % 100] ? shape_.read : shape_.write).response_bytes;
  }

  const ExchangeShape shape_;
  const bool requester_;
  std::bitset<100> reads_;
  SideMemory in_, out_;
  std::vector<Flow> flows_;
  uint64_t began_ns_ = 0;
};

// Ways to move messages; the fastest of them is the limit.
enum class ExchangeWay : uint8_t {
  blocking,  // A thread for each connection, asleep while there is nothing.
  spin,      // Asks every connection, without end.
  epoll,     // Asks the kernel which connections have something, without sleeping.
  uring,     // A receive and a send under way for each connection; asleep while nothing completes.
};
inline constexpr ExchangeWay exchange_ways[] = {ExchangeWay::blocking, ExchangeWay::spin,
                                                ExchangeWay::epoll, ExchangeWay::uring};

const char* exchange_way_name(ExchangeWay way) noexcept;

// Until all of its connections have ended. `touch_bytes` is of the whole side.
void run_side(ExchangeWay way, Side& side, uint64_t touch_bytes) noexcept;

// 0, or the errno for which there is no io_uring here.
int exchange_uring_problem() noexcept;

}  // namespace ashlar::load
