// RateLimit: how many reads and writes, and how many bytes of them, may begin in a second.
//
// Each rate is a bucket of credits that fills at that rate up to a depth. Instead of a level it
// keeps the moment at which it will be full, so that nothing has to be done as time passes:
//
//   full_at   ≤ now                 full: a depth of credits is there
//   full_at   ≤ now + depth         some are there: a command may begin
//   full_at   > now + depth         none: a command may begin at full_at − depth
//
// A command may begin when any credit is there and then takes what it costs, also when that is
// more: so one of any size begins, and those behind it wait the longer. Over time exactly the rate
// goes through.
//
// Without bursts a bucket is `slack_ns` deep: what was not used for that long, because a reactor
// woke late or a host paused, is not lost. With bursts it is as deep as the burst is long, and a
// second bucket per rate keeps the burst to its own speed.
//
// Any thread: reactors take credits from the same buckets without a lock. Two that look at once may
// both go, each with its own cost; the debt stays, so the rate is kept. Pure: the caller reads the
// clock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace ashlar::target {

// What a limited command does, for its costs.
enum class IoDirection : uint8_t { read, write };

// 0: no limit. At most max_rate. `iops` and `bytes_per_second` are for both directions together.
struct RateLimits {
  uint64_t read_iops = 0;
  uint64_t write_iops = 0;
  uint64_t iops = 0;
  uint64_t read_bytes_per_second = 0;
  uint64_t write_bytes_per_second = 0;
  uint64_t bytes_per_second = 0;
  uint32_t burst_percent = 100;  // 100: no bursts.
  uint32_t burst_seconds = 0;    // 0: likewise.
  bool any() const noexcept {
    return (read_iops | write_iops | iops | read_bytes_per_second | write_bytes_per_second |
            bytes_per_second) != 0;
  }
};

class RateLimit {
 public:
  static constexpr uint64_t slack_ns = 10'000'000;
  // A tebi a second: one credit is then about a nanosecond's 1/1,100, and see ticks_per_ns.
  static constexpr uint64_t max_rate = uint64_t{1} << 40;

  // What is owed stays owed, in credits, as far as the new depths go.
  void set(const RateLimits& limits, uint64_t now_ns) noexcept;
  // When a command may begin: now or before, it may.
  uint64_t due_ns(IoDirection direction) const noexcept;
  // Takes credits for `commands` of `bytes` together, whether they are there or not.
  void take(IoDirection direction, uint64_t commands, uint64_t bytes, uint64_t now_ns) noexcept;

 private:
  // 16 ticks a nanosecond: at 10 GB/s a block costs 409.6 ns, and rounding that down would let
  // 0.15 % more through. 2^64 of them are 36 years of a clock that begins with the machine. The
  // largest cost, 16 MiB at one byte a second, is 2.7e17 ticks.
  static constexpr uint64_t ticks_per_ns = 16;

  struct Bucket {
    std::atomic<uint64_t> rate{0};  // Credits a second; 0: no limit.
    std::atomic<uint64_t> depth_ticks{0};
    std::atomic<uint64_t> full_at_ticks{0};
    void set(uint64_t new_rate, uint64_t new_depth_ticks, uint64_t now_ticks) noexcept;
    uint64_t due_ticks() const noexcept;
    void take(uint64_t credits, uint64_t now_ticks) noexcept;
  };
  struct Rate {
    Bucket lasting;
    Bucket burst;
    void set(uint64_t per_second, const RateLimits& limits, uint64_t now_ticks) noexcept;
    uint64_t due_ticks() const noexcept;
    void take(uint64_t credits, uint64_t now_ticks) noexcept;
  };
  struct Pair {
    Rate commands;
    Rate bytes;
  };

  alignas(64) std::array<Pair, 2> of_;  // By direction.
  Pair both_;
};

}  // namespace ashlar::target
