#include "target/share.h"

#include "base/check.h"
#include "target/connection.h"
#include "target/limits.h"
#include "target/meter.h"

namespace ashlar::target {

ReactorShare::ReactorShare(Loop& loop) : loop_(loop) {
  serve_task_.owner = this;
  serve_task_.run = [](Task& task) noexcept { static_cast<OwnedTask&>(task).owner->serve(); };
}

ReactorShare::~ReactorShare() {
  CHECK(waiting_.empty());
}

// ---- Who takes part -----------------------------------------------------------------------------

void ReactorShare::enter(MeterPart& part, uint64_t epoch) noexcept {
  MeterPart& tenant = part.tenant();
  part.share.epoch = epoch;
  if (&tenant == &part) return;
  const uint32_t weight = part.weight();
  tenant.share.volumes.add(weight);
  ++version_;
}

void ReactorShare::enter_tenant(MeterPart& tenant, uint64_t epoch) noexcept {
  tenant.share.tenant_epoch = epoch;
  tenant.share.volumes.begin_epoch(epoch);
  tenants_.begin_epoch(epoch);
  last_weight_ = tenant.weight();
  tenants_.add(last_weight_);
  ++version_;
}

uint32_t ReactorShare::allowance(const MeterPart& part) const noexcept {
  const MeterPart& tenant = part.tenant();
  const uint64_t tenants = tenants_.sum();
  const bool alone = tenants <= tenant.weight();
  const bool among = &tenant != &part && (!alone || tenant.orders_volumes());
  const uint64_t volumes = among ? tenant.share.volumes.sum() : 0;
  const uint64_t of_tenant = tenant.weight();
  const uint64_t of_volume = part.weight();
  if (alone && volumes <= of_volume) return none;
  uint64_t parts = limits::shared_units * parts_per_unit;
  if (!alone) parts = parts * of_tenant / tenants;
  if (volumes > of_volume) parts = parts * of_volume / volumes;
  const uint64_t nearest = (parts + parts_per_unit / 2) / parts_per_unit;
  return static_cast<uint32_t>(std::max<uint64_t>(nearest, 1));
}

// ---- Turns --------------------------------------------------------------------------------------

// In parts of a unit, so that small weights are no smaller than they are.
uint32_t ReactorShare::quantum_parts(const MeterPart& tenant) const noexcept {
  const uint64_t sum = std::max(tenants_.sum(), tenant.weight());
  return static_cast<uint32_t>(limits::shared_per_turn * parts_per_unit * tenant.weight() / sum);
}

uint32_t ReactorShare::take_turn(MeterPart& tenant) noexcept {
  PartShare& share = tenant.share;
  if (!share.sparse || share.round == round_ || tenant.linked()) return 0;
  const uint32_t units = quantum_parts(tenant) / parts_per_unit;
  if (units == 0) return 0;
  share.round = round_;
  share.sparse = false;  // What it has beyond these waits as that of others does.
  return units;
}

void ReactorShare::took_turn(MeterPart& tenant) noexcept {
  tenant.share.sparse = !tenant.linked();
}

void ReactorShare::wait_turn(MeterPart& tenant, Connection& connection) noexcept {
  if (connection.linked()) return;
  tenant.share.connections.push_back(connection);
  if (!tenant.linked() && tenant.share.sparse) {
    waiting_.push_front(tenant);
  } else if (!tenant.linked()) {
    waiting_.push_back(tenant);
  }
  if (!serve_task_.queued.load(std::memory_order_relaxed)) loop_.defer(serve_task_);
}

void ReactorShare::leave(MeterPart& tenant, Connection& connection) noexcept {
  if (!connection.linked()) return;
  tenant.share.connections.remove(connection);
  if (tenant.share.connections.empty() && tenant.linked()) waiting_.remove(tenant);
}

// One quantum for each tenant that waits. What a connection still has, or has again, waits for the
// next turn behind those of its tenant that had none.
void ReactorShare::serve() noexcept {
  ++round_;
  for (size_t left = waiting_.size(); left > 0; --left) {
    MeterPart* tenant = waiting_.pop_front();
    if (tenant == nullptr) break;
    tenant->share.turn_parts += quantum_parts(*tenant);
    auto units = static_cast<uint32_t>(tenant->share.turn_parts / parts_per_unit);
    size_t turns = tenant->share.connections.size();
    while (units > 0 && turns-- > 0) {
      Connection* connection = tenant->share.connections.pop_front();
      if (connection == nullptr) break;
      const uint32_t took = connection->pump_units(std::min(units, limits::capsules_per_turn));
      units -= std::min(units, took);
      // What the last command was too large for is not asked back: it is data of one at most.
      tenant->share.turn_parts -= std::min(tenant->share.turn_parts, took * parts_per_unit);
    }
    tenant->share.sparse = tenant->share.connections.empty() && units > 0;
    if (tenant->share.connections.empty()) {
      tenant->share.turn_parts = 0;  // Who wants nothing saves nothing.
    } else if (!tenant->linked()) {
      waiting_.push_back(*tenant);
    }
  }
  if (!waiting_.empty() && !serve_task_.queued.load(std::memory_order_relaxed)) {
    loop_.defer(serve_task_);
  }
}

}  // namespace ashlar::target
