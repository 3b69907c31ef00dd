#include "target/rate_limit.h"

#include <algorithm>

namespace ashlar::target {

namespace {

constexpr uint64_t second_ns = 1'000'000'000;

// Limits are changed on one thread while others take credits: each value is whole, and together
// they are as good as those of a moment before or after.
uint64_t read(const std::atomic<uint64_t>& value) noexcept {
  return value.load(std::memory_order_relaxed);
}

}  // namespace

// ---- One bucket ---------------------------------------------------------------------------------

void RateLimit::Bucket::set(uint64_t new_rate, uint64_t new_depth_ticks,
                            uint64_t now_ticks) noexcept {
  const uint64_t old_rate = read(rate);
  const uint64_t full_at = read(full_at_ticks);
  uint64_t owed_ticks = full_at > now_ticks ? full_at - now_ticks : 0;
  if (old_rate == 0 || new_rate == 0) {
    owed_ticks = 0;
  } else {
    // The same credits, at the new rate. Both fit a double to 53 bits, which is enough here.
    const double ticks = static_cast<double>(owed_ticks) *
                         (static_cast<double>(old_rate) / static_cast<double>(new_rate));
    owed_ticks = ticks < static_cast<double>(new_depth_ticks) ? static_cast<uint64_t>(ticks)
                                                              : new_depth_ticks;
  }
  depth_ticks.store(new_depth_ticks, std::memory_order_relaxed);
  full_at_ticks.store(now_ticks + owed_ticks, std::memory_order_relaxed);
  rate.store(new_rate, std::memory_order_relaxed);
}

uint64_t RateLimit::Bucket::due_ticks() const noexcept {
  if (read(rate) == 0) return 0;
  const uint64_t full_at = read(full_at_ticks);
  const uint64_t depth = read(depth_ticks);
  return full_at > depth ? full_at - depth : 0;
}

void RateLimit::Bucket::take(uint64_t credits, uint64_t now_ticks) noexcept {
  const uint64_t per_second = read(rate);
  if (per_second == 0 || credits == 0) return;
  const uint64_t cost_ticks = credits * (second_ns * ticks_per_ns) / per_second;
  uint64_t full_at = read(full_at_ticks);
  while (!full_at_ticks.compare_exchange_weak(full_at, std::max(full_at, now_ticks) + cost_ticks,
                                              std::memory_order_relaxed)) {
  }
}

// ---- One rate -----------------------------------------------------------------------------------

void RateLimit::Rate::set(uint64_t per_second, const RateLimits& limits,
                          uint64_t now_ticks) noexcept {
  constexpr uint64_t slack_ticks = slack_ns * ticks_per_ns;
  if (limits.burst_percent <= 100 || limits.burst_seconds == 0) {
    lasting.set(per_second, slack_ticks, now_ticks);
    burst.set(0, slack_ticks, now_ticks);
    return;
  }
  // So many credits that a burst at its own speed empties it in burst_seconds. At 100 times the
  // rate for an hour that is 100 hours, 5.8e15 ticks.
  const uint64_t depth_ns =
      (limits.burst_percent - 100) * uint64_t{limits.burst_seconds} * (second_ns / 100);
  lasting.set(per_second, slack_ticks + depth_ns * ticks_per_ns, now_ticks);
  burst.set(per_second == 0 ? 0 : std::max<uint64_t>(1, per_second * limits.burst_percent / 100),
            slack_ticks, now_ticks);
}

uint64_t RateLimit::Rate::due_ticks() const noexcept {
  return std::max(lasting.due_ticks(), burst.due_ticks());
}

void RateLimit::Rate::take(uint64_t credits, uint64_t now_ticks) noexcept {
  lasting.take(credits, now_ticks);
  burst.take(credits, now_ticks);
}

// ---- All of a meter -----------------------------------------------------------------------------

void RateLimit::set(const RateLimits& limits, uint64_t now_ns) noexcept {
  const uint64_t now = now_ns * ticks_per_ns;
  Pair& reads = of_[static_cast<size_t>(IoDirection::read)];
  Pair& writes = of_[static_cast<size_t>(IoDirection::write)];
  reads.commands.set(limits.read_iops, limits, now);
  reads.bytes.set(limits.read_bytes_per_second, limits, now);
  writes.commands.set(limits.write_iops, limits, now);
  writes.bytes.set(limits.write_bytes_per_second, limits, now);
  both_.commands.set(limits.iops, limits, now);
  both_.bytes.set(limits.bytes_per_second, limits, now);
}

uint64_t RateLimit::due_ns(IoDirection direction) const noexcept {
  const Pair& own = of_[static_cast<size_t>(direction)];
  const uint64_t ticks = std::max({own.commands.due_ticks(), own.bytes.due_ticks(),
                                   both_.commands.due_ticks(), both_.bytes.due_ticks()});
  return (ticks + ticks_per_ns - 1) / ticks_per_ns;
}

void RateLimit::take(IoDirection direction, uint64_t commands, uint64_t bytes,
                     uint64_t now_ns) noexcept {
  const uint64_t now = now_ns * ticks_per_ns;
  Pair& own = of_[static_cast<size_t>(direction)];
  own.commands.take(commands, now);
  own.bytes.take(bytes, now);
  both_.commands.take(commands, now);
  both_.bytes.take(bytes, now);
}

}  // namespace ashlar::target
