#include "target/meter.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "target/connection.h"

namespace ashlar::target {

namespace {

struct Cost {
  IoDirection direction;
  uint64_t bytes;
};

// Of what ranges a Copy has, only its end tells the bytes; of Dataset Management and Write Zeroes
// none are moved.
Cost cost_of(const Command& command) noexcept {
  switch (command.request.kind) {
    case IoKind::read: return {IoDirection::read, command.data.bytes};
    case IoKind::compare:
    case IoKind::verify: return {IoDirection::read, command.request.length_bytes};
    case IoKind::write: return {IoDirection::write, command.data.bytes};
    case IoKind::write_zeroes:
    case IoKind::dataset_management:
    case IoKind::copy: return {IoDirection::write, 0};
    case IoKind::flush:
    case IoKind::flush_all: break;
  }
  CHECK(false);  // A flush is never limited.
}

}  // namespace

// ---- On one reactor -----------------------------------------------------------------------------

MeterPart::MeterPart(Meter& meter, Loop& loop, MeterPart* tenant)
    : meter_(meter), loop_(loop), tenant_(tenant == nullptr ? this : tenant) {
  timer_.owner = this;
  timer_.fire = [](Timer& timer) noexcept { static_cast<OwnedTimer&>(timer).owner->on_timer(); };
}

MeterPart::~MeterPart() {
  CHECK(line_.head == nullptr && !timer_.armed());
  CHECK(share.line.head == nullptr && share.units == 0);
}

bool MeterPart::admit(const Command& command) noexcept {
  if (line_.head != nullptr) return false;
  const Cost cost = cost_of(command);
  const uint64_t now_ns = loop_.clock().now_ns();
  if (meter_.due_ns(cost.direction) > now_ns) return false;
  meter_.take(cost.direction, 1, cost.bytes, now_ns);
  return true;
}

void MeterPart::wait(Command& command) noexcept {
  counts.limited_commands.add(1);
  command.waits_since_ns = loop_.clock().now_ns();
  const bool first = line_.head == nullptr;
  line_.push(command);
  if (first) take_for_first();
}

void MeterPart::take_for_first() noexcept {
  const Cost cost = cost_of(*line_.head);
  first_due_ns_ = meter_.due_ns(cost.direction);
  meter_.take(cost.direction, 1, cost.bytes, loop_.clock().now_ns());
  loop_.arm(timer_, first_due_ns_);
}

// As many go at once as have come to be due: a timer for each would be late for the next.
void MeterPart::on_timer() noexcept {
  const uint64_t now_ns = loop_.clock().now_ns();
  for (uint32_t gone = 0; line_.head != nullptr && first_due_ns_ <= now_ns; ++gone) {
    if (gone == limits::limited_per_turn) {
      loop_.arm(timer_, now_ns);
      return;
    }
    Command& command = *line_.pop();
    // The next is the first before this one goes on, so that what it leads to finds a line.
    if (line_.head != nullptr) take_for_first();
    counts.limited_ns.add(now_ns - command.waits_since_ns);
    command.connection.on_limit(command);
  }
}

void MeterPart::leave(const Connection& connection) noexcept {
  const auto filter = [&](CommandLine& line) {
    CommandLine stay;
    while (Command* command = line.pop()) {
      if (&command->connection != &connection) stay.push(*command);
    }
    line = stay;
  };
  filter(share.line);
  const Command* first = line_.head;
  filter(line_);
  if (line_.head == nullptr) {
    loop_.cancel(timer_);
  } else if (line_.head != first) {
    take_for_first();
  }
}

void MeterPart::charge(IoDirection direction, uint64_t commands, uint64_t bytes) noexcept {
  meter_.take(direction, commands, bytes, loop_.clock().now_ns());
}

void MeterPart::limits_changed() noexcept {
  if (line_.head != nullptr) take_for_first();
}

// ---- Beside others ------------------------------------------------------------------------------

// What has nothing in service may always begin, so that whatever waits has something ahead of it
// whose end lets it go.
bool MeterPart::has_room(const ReactorShare& reactor, uint32_t units) noexcept {
  if (share.version != reactor.version()) {
    share.version = reactor.version();
    share.allowance = reactor.allowance(*this);
  }
  return share.units == 0 || share.units + units <= share.allowance;
}

// The loop, and not what it calls, goes through the line: that may end at once and come by here.
void MeterPart::serve_line(const ReactorShare& reactor) noexcept {
  if (share.serving) return;
  share.serving = true;
  while (share.line.head != nullptr && has_room(reactor, units_of(*share.line.head))) {
    Command& next = *share.line.pop();
    next.service_units = units_of(next);
    share.units += next.service_units;
    next.connection.on_share(next);
  }
  share.serving = false;
}

// ---- Over all reactors --------------------------------------------------------------------------

Meter::Meter(uint32_t reactor_count, std::shared_ptr<Meter> parent)
    : parent_(std::move(parent)),
      reactor_count_(reactor_count),
      parts_(std::make_unique<std::atomic<MeterPart*>[]>(reactor_count)) {
  CHECK(parent_ == nullptr || parent_->parent_ == nullptr);
  update_limited();
}

Meter::~Meter() {
  for (uint32_t i = 0; i < reactor_count_; ++i) delete parts_[i].load();
}

MeterPart& Meter::make_part(uint32_t reactor_index, Loop& loop) noexcept {
  CHECK(reactor_index < reactor_count_);
  MeterPart* tenant = parent_ == nullptr ? nullptr : &parent_->part(reactor_index, loop);
  auto* part = new MeterPart(*this, loop, tenant);
  parts_[reactor_index].store(part, std::memory_order_release);
  return *part;
}

void Meter::set_limits(const RateLimits& limits, uint64_t now_ns) noexcept {
  limit_.set(limits, now_ns);
  own_limits_.store(limits.any(), std::memory_order_relaxed);
  update_limited();
}

void Meter::update_limited() noexcept {
  const bool own = own_limits_.load(std::memory_order_relaxed);
  limited_.store(own || (parent_ != nullptr && parent_->limited()), std::memory_order_relaxed);
}

uint64_t Meter::due_ns(IoDirection direction) const noexcept {
  const uint64_t own = limit_.due_ns(direction);
  return parent_ == nullptr ? own : std::max(own, parent_->limit_.due_ns(direction));
}

void Meter::take(IoDirection direction, uint64_t commands, uint64_t bytes,
                 uint64_t now_ns) noexcept {
  limit_.take(direction, commands, bytes, now_ns);
  if (parent_ != nullptr) parent_->limit_.take(direction, commands, bytes, now_ns);
}

void Meter::read(MeterSum& sum) const noexcept {
  for (uint32_t i = 0; i < reactor_count_; ++i) {
    const MeterPart* part = parts_[i].load(std::memory_order_acquire);
    if (part == nullptr) continue;
    const MeterCounts& counts = part->counts;
    // Ends before beginnings, so that what begins meanwhile is not missing from them.
    uint64_t reads = 0;
    uint64_t writes = 0;
    for (uint32_t bucket = 0; bucket < latency_buckets; ++bucket) {
      const uint64_t of_reads = counts.read_latency[bucket].value();
      const uint64_t of_writes = counts.write_latency[bucket].value();
      reads += of_reads;
      writes += of_writes;
      sum.read_latency[bucket] += of_reads;
      sum.write_latency[bucket] += of_writes;
    }
    const uint64_t others = counts.others.value();
    const uint64_t flushes = counts.flushes.value();
    const uint64_t ended = reads + writes + others + flushes + counts.left.value();
    const uint64_t begun = counts.begun.value();
    sum.under_way += begun > ended ? begun - ended : 0;
    sum.reads += reads;
    sum.writes += writes;
    sum.others += others;
    sum.flushes += flushes;
    sum.read_bytes += counts.read_bytes.value();
    sum.written_bytes += counts.written_bytes.value();
    sum.errors += counts.errors.value();
    sum.limited_commands += counts.limited_commands.value();
    sum.limited_ns += counts.limited_ns.value();
  }
}

}  // namespace ashlar::target
