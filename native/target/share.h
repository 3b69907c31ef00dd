// ReactorShare: who goes next on a reactor when more than one tenant wants it, by weights.
//
//   ReactorShare ─▶ part of a tenant's meter ─▶ part of a volume's meter
//
// As long as one tenant alone has commands, it takes all that the reactor gives, and nothing here
// does anything. When several have, two things are shared:
//
// - The turns of the loop. What a tenant's queues have sent waits in its line, queue by queue, and
//   each turn takes a quantum of it, as large as its weight is among the tenants. So a command of a
//   tenant with one waits for one quantum of each other tenant, however many queues those fill. A
//   tenant that last wanted less than its quantum goes before those that wanted more, as new flows
//   do in RFC 8290 (FQ-CoDel): once in each round at once, with its answers, and then first in
//   line.
// - The store. So many commands of a volume are there at a time as its weight is among the volumes
//   of its tenant, and that among the tenants; at least one. What is beyond waits here, reads
//   before they have buffers, and not in the queue of a device where nobody can pass it. Volumes of
//   a tenant that is alone share the store when one of them was given a weight, and otherwise
//   nothing: who has asked for no order has all that the device gives.
//
// A meter takes part for one to two epochs after its last command: a tenant that does one read in a
// while finds its place kept. Own thread only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/list.h"
#include "reactor/loop.h"

namespace ashlar::target {

class Connection;
class MeterPart;

// The weights of those below that took part, in this epoch and the one before.
class Weights {
 public:
  void begin_epoch(uint64_t epoch) noexcept {
    if (epoch == epoch_) return;
    before_ = epoch == epoch_ + 1 ? now_ : 0;
    now_ = 0;
    epoch_ = epoch;
  }
  void add(uint32_t weight) noexcept { now_ += weight; }
  // As the epoch begins few have been seen in it.
  uint32_t sum() const noexcept { return std::max(before_, now_); }

 private:
  uint64_t epoch_ = 0;
  uint32_t before_ = 0;
  uint32_t now_ = 0;
};

class ReactorShare {
 public:
  explicit ReactorShare(Loop& loop);
  ~ReactorShare();  // No connection waits (CHECKed).
  ReactorShare(const ReactorShare&) = delete;
  ReactorShare& operator=(const ReactorShare&) = delete;

  // A command of this meter came, received at `now_ns`, before others that were seen or not. In
  // meter.h.
  void seen(MeterPart& part, uint64_t now_ns) noexcept;
  // More than one tenant takes part.
  bool contended() const noexcept { return tenants_.sum() > last_weight_; }
  // Changes whenever an allowance may have.
  uint64_t version() const noexcept { return version_; }
  // Units that the volume may have in service now; none: as many as it likes.
  static constexpr uint32_t none = UINT32_MAX;
  uint32_t allowance(const MeterPart& part) const noexcept;

  // Units that a connection of this tenant may take at once; 0: it waits. took_turn() follows.
  uint32_t take_turn(MeterPart& tenant) noexcept;
  void took_turn(MeterPart& tenant) noexcept;
  // What a connection of this tenant has received waits for its tenant's turn, which pumps it.
  void wait_turn(MeterPart& tenant, Connection& connection) noexcept;
  void leave(MeterPart& tenant, Connection& connection) noexcept;

 private:
  struct OwnedTask : Task {
    ReactorShare* owner = nullptr;
  };
  static constexpr uint32_t epoch_bits = 26;  // 67 ms.
  void enter(MeterPart& part, uint64_t epoch) noexcept;
  void enter_tenant(MeterPart& tenant, uint64_t epoch) noexcept;
  void serve() noexcept;
  static constexpr uint64_t parts_per_unit = 1024;
  uint32_t quantum_parts(const MeterPart& tenant) const noexcept;

  Loop& loop_;
  uint64_t epoch_ = 0;  // Never goes back.
  Weights tenants_;
  uint32_t last_weight_ = 0;  // Of the tenant that was seen last.
  uint64_t version_ = 1;
  uint64_t round_ = 1;       // Of turns for those who wait.
  List<MeterPart> waiting_;  // Tenants with connections that wait.
  OwnedTask serve_task_;
};

}  // namespace ashlar::target
