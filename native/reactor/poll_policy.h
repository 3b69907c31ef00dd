// PollPolicy: whether a reactor with nothing to do should look for work for a while or sleep at
// once.
//
// Going to sleep and being woken costs 5 to 30 us, more in a virtual machine. Polling saves that
// when the next work comes sooner than `limit`, and burns `limit` of CPU time for nothing when it
// does not. So the policy learns from the gaps: it keeps their moving average, each counted as at
// most `cap` limits so that one long pause is forgotten after a dozen short gaps, and polls only
// while the average says that the next work is due within the limit.
//
// Pure: the caller reads the clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ashlar {

class PollPolicy {
 public:
  // 0: never polls. A fresh policy expects nothing and sleeps.
  explicit PollPolicy(uint32_t limit_us) noexcept
      : limit_ns_(uint64_t{limit_us} * 1000), average_ns_(cap * limit_ns_) {}

  bool enabled() const noexcept { return limit_ns_ != 0; }
  // There was nothing to do at `now_ns`. Calls within one gap are one gap.
  void idle_at(uint64_t now_ns) noexcept {
    if (since_ns_ == 0) since_ns_ = now_ns;
  }
  // Whether to look again rather than sleep, `now_ns` into the gap.
  bool poll_on(uint64_t now_ns) const noexcept {
    return average_ns_ <= limit_ns_ && now_ns - since_ns_ < limit_ns_;
  }
  // There is work; the gap, if there was one, is over.
  void busy_at(uint64_t now_ns) noexcept {
    if (since_ns_ == 0) return;
    const uint64_t gap_ns = std::min(now_ns - since_ns_, cap * limit_ns_);
    since_ns_ = 0;
    // An eighth of the way towards the new gap.
    average_ns_ = average_ns_ - average_ns_ / weight + gap_ns / weight;
  }
  bool idle() const noexcept { return since_ns_ != 0; }
  uint64_t average_ns() const noexcept { return average_ns_; }

  static constexpr uint64_t cap = 4;
  static constexpr uint64_t weight = 8;

 private:
  const uint64_t limit_ns_;
  uint64_t average_ns_;
  uint64_t since_ns_ = 0;  // 0: not in a gap.
};

}  // namespace ashlar
