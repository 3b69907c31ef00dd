// Meter: what is counted of the I/O of a namespace, and how much of it there may be.
//
//   Meter ──parts──▶ MeterPart, one a reactor      counts (one writer, any reader)
//     │                                            commands that wait for a limit, in order
//     └──parent──▶ Meter                           limits of several together; counts nothing
//
// A command belongs to the meter of its namespace from when it is let in until its answer is with
// the socket (connection_meter.cc). A namespace without one costs a test for null; one without
// limits a test of `limited()`.
//
// Of several that want one reactor at once each has its share (share.h).
//
// Limits hold over all reactors (rate_limit.h). Commands that may not begin wait on their own
// reactor, before they have buffers unless their data came with the capsule, in the order in which
// they came. The first of each line has taken its credits and waits until they are there; so
// meters that share a parent, and reactors that share a meter, take turns.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/list.h"
#include "reactor/counters.h"
#include "reactor/loop.h"
#include "target/command.h"
#include "target/rate_limit.h"
#include "target/share.h"

namespace ashlar::target {

// ---- Latency ------------------------------------------------------------------------------------

// Four buckets an octave, from 1,024 ns to 17.2 s (2^34 ns), one for less and one for more: no
// bucket is wider than a quarter of what it begins with.
inline constexpr uint32_t latency_first_bit = 10;
inline constexpr uint32_t latency_last_bit = 33;
inline constexpr uint32_t latency_bounds = (latency_last_bit - latency_first_bit + 1) * 4 + 1;
inline constexpr uint32_t latency_buckets = latency_bounds + 1;

constexpr uint32_t latency_bucket(uint64_t ns) noexcept {
  if (ns < (uint64_t{1} << latency_first_bit)) return 0;
  const auto bit = 63u - static_cast<uint32_t>(__builtin_clzll(ns));
  if (bit > latency_last_bit) return latency_buckets - 1;
  return 1 + (bit - latency_first_bit) * 4 + static_cast<uint32_t>(ns >> (bit - 2) & 3);
}

// What bucket `index` counts is below this, and what the next one counts is not.
constexpr uint64_t latency_bound_ns(uint32_t index) noexcept {
  if (index == 0) return uint64_t{1} << latency_first_bit;
  const uint32_t bit = latency_first_bit + (index - 1) / 4;
  return (uint64_t{1} << bit) + ((index - 1) % 4 + 1) * (uint64_t{1} << (bit - 2));
}

// ---- Counts -------------------------------------------------------------------------------------

// Of one meter on one reactor: 1.7 KiB. Each command is added to `begun` and, when it ends, to one
// other: a bucket of latency, which makes a read or a write of it, `others`, `flushes` or `left`.
struct MeterCounts {
  Counter begun;
  Counter left;  // Not answered: their connection ended before, or they went to another meter.
  Counter others;
  Counter flushes;
  Counter read_bytes;
  Counter written_bytes;
  Counter errors;
  Counter limited_commands;
  Counter limited_ns;
  std::array<Counter, latency_buckets> read_latency;
  std::array<Counter, latency_buckets> write_latency;
};

// The sum over reactors, as lib/native/meters.ts tells it.
struct MeterSum {
  uint64_t under_way = 0;
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t others = 0;
  uint64_t flushes = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t errors = 0;
  uint64_t limited_commands = 0;
  uint64_t limited_ns = 0;
  std::array<uint64_t, latency_buckets> read_latency{};
  std::array<uint64_t, latency_buckets> write_latency{};
};

// ---- Meters -------------------------------------------------------------------------------------

class Connection;
class Meter;

// What ReactorShare knows of a meter.
struct PartShare {
  uint64_t epoch = 0;  // When a command of it was last seen.
  // Of its commands that have begun and are not done.
  uint64_t version = 0;  // Of ReactorShare, when `allowance` was looked up.
  uint32_t allowance = ReactorShare::none;
  uint32_t units = 0;
  CommandLine line;  // Those that may not begin.
  bool serving = false;
  // Of a tenant's.
  uint64_t tenant_epoch = 0;
  bool sparse = true;  // When it last had a turn it wanted less than its quantum.
  uint64_t round = 0;  // Of ReactorShare, when it last went on at once.
  Weights volumes;
  List<Connection> connections;  // Those that wait for a turn.
  uint64_t turn_parts = 0;       // Of units that it may take and has not.
};

// Own thread only, but for what may be read of `counts`. In ReactorShare's list while connections
// of this tenant wait.
class alignas(64) MeterPart : public ListNode {
 public:
  // `tenant`: of the meter's parent on this reactor; null: it has none.
  MeterPart(Meter& meter, Loop& loop, MeterPart* tenant);
  ~MeterPart();  // Nothing waits (CHECKed).
  MeterPart(const MeterPart&) = delete;
  MeterPart& operator=(const MeterPart&) = delete;

  MeterCounts counts;
  PartShare share;

  // The one that shares the reactor with others: the parent's, or this.
  MeterPart& tenant() const noexcept { return *tenant_; }
  uint32_t weight() const noexcept;
  // Of a tenant: somebody has given one of its volumes another weight than all have.
  bool orders_volumes() const noexcept;

  bool limited() const noexcept;
  // Whether the command may go on now; it has taken its credits then.
  bool admit(const Command& command) noexcept;
  // Connection::on_limit() follows, unless it leaves before.
  void wait(Command& command) noexcept;
  // Whether the command may begin beside what the meter has in service; it has its units then.
  bool enter_service(const ReactorShare& reactor, Command& command) noexcept {
    if (share.line.head != nullptr) return false;
    const bool known = share.version == reactor.version();
    const uint32_t units = units_of(command);
    if (!(known && share.units + units <= share.allowance) && !has_room(reactor, units)) {
      return false;
    }
    command.service_units = units;
    share.units += units;
    return true;
  }
  void leave_service(const ReactorShare& reactor, Command& command) noexcept {
    share.units -= command.service_units;
    command.service_units = 0;
    if (share.line.head != nullptr) serve_line(reactor);
  }
  // Connection::on_share() follows, unless it leaves before.
  void wait_for_service(Command& command) noexcept { share.line.push(command); }

  // All commands of a connection that wait here, for limits or for service.
  void leave(const Connection& connection) noexcept;
  // It goes on whatever the limits say, and what comes behind it pays.
  void charge(IoDirection direction, uint64_t commands, uint64_t bytes) noexcept;
  // The first command waits by the limits as they are now.
  void limits_changed() noexcept;

 private:
  struct OwnedTimer : Timer {
    MeterPart* owner = nullptr;
  };
  void on_timer() noexcept;
  void take_for_first() noexcept;

  static uint32_t units_of(const Command& command) noexcept {
    return 1 + command.data.bytes / limits::service_unit_bytes;
  }
  bool has_room(const ReactorShare& reactor, uint32_t units) noexcept;
  void serve_line(const ReactorShare& reactor) noexcept;

  Meter& meter_;
  Loop& loop_;
  MeterPart* const tenant_;
  CommandLine line_;
  uint64_t first_due_ns_ = 0;
  OwnedTimer timer_;
};

class Meter {
 public:
  static constexpr uint32_t default_weight = 100;

  // A parent has no parent.
  Meter(uint32_t reactor_count, std::shared_ptr<Meter> parent);
  ~Meter();  // No reactor uses it any more.
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  const std::shared_ptr<Meter>& parent() const noexcept { return parent_; }
  // On that reactor's thread: its part, made when it is first asked for.
  MeterPart& part(uint32_t reactor_index, Loop& loop) noexcept {
    MeterPart* part = parts_[reactor_index].load(std::memory_order_relaxed);
    return part != nullptr ? *part : make_part(reactor_index, loop);
  }
  // On that reactor's thread: null when it was never asked for.
  MeterPart* part_if_made(uint32_t reactor_index) noexcept {
    return parts_[reactor_index].load(std::memory_order_relaxed);
  }

  // One thread at a time. What waits learns of it by limits_changed(), which is the caller's to
  // send to each reactor, for this meter and its children.
  void set_limits(const RateLimits& limits, uint64_t now_ns) noexcept;
  // Of a meter with a parent: the parent's limits have come or gone.
  void parent_changed() noexcept { update_limited(); }
  void set_weight(uint32_t weight) noexcept {
    weight_.store(weight, std::memory_order_relaxed);
    if (parent_ != nullptr && weight != default_weight) {
      parent_->orders_children_.store(true, std::memory_order_relaxed);
    }
  }
  // One of those below was given another weight than the default, since this was made.
  bool orders_children() const noexcept {
    return orders_children_.load(std::memory_order_relaxed);
  }
  uint32_t weight() const noexcept { return weight_.load(std::memory_order_relaxed); }
  // Any thread. Adds to `sum`.
  void read(MeterSum& sum) const noexcept;

  // Any reactor.
  bool limited() const noexcept { return limited_.load(std::memory_order_relaxed); }
  uint64_t due_ns(IoDirection direction) const noexcept;
  void take(IoDirection direction, uint64_t commands, uint64_t bytes, uint64_t now_ns) noexcept;

 private:
  MeterPart& make_part(uint32_t reactor_index, Loop& loop) noexcept;
  void update_limited() noexcept;

  const std::shared_ptr<Meter> parent_;
  const uint32_t reactor_count_;
  const std::unique_ptr<std::atomic<MeterPart*>[]> parts_;
  std::atomic<bool> own_limits_{false};
  std::atomic<bool> limited_{false};  // By its own limits or its parent's.
  std::atomic<uint32_t> weight_{default_weight};
  std::atomic<bool> orders_children_{false};
  RateLimit limit_;
};

inline uint32_t MeterPart::weight() const noexcept {
  return meter_.weight();
}
inline bool MeterPart::orders_volumes() const noexcept { return meter_.orders_children(); }
inline void ReactorShare::seen(MeterPart& part, uint64_t now_ns) noexcept {
  // What waited here was received before others that have been seen.
  epoch_ = std::max(epoch_, (now_ns >> epoch_bits) + 1);  // 0: never seen.
  const uint64_t epoch = epoch_;
  MeterPart& tenant = part.tenant();
  if (tenant.share.tenant_epoch != epoch) enter_tenant(tenant, epoch);
  // As long as volumes share nothing nobody has to know which there are: among many each command is
  // the first of its volume for a while.
  if (part.share.epoch != epoch && (contended() || tenant.orders_volumes())) enter(part, epoch);
}

inline bool MeterPart::limited() const noexcept {
  return meter_.limited();
}

}  // namespace ashlar::target
