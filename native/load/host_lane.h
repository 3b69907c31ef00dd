// HostLane: loading an I/O queue of our own host.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "host/association.h"
#include "load/lane.h"
#include "load/load.h"

namespace ashlar::load {

// A load over I/O queues 1 to `options.queues` of a live association that outlives it. Fails with
// invalid_argument or limit_exceeded.
Result<std::unique_ptr<Load>> load_of(host::Association& association, const LoadOptions& options);

}  // namespace ashlar::load
