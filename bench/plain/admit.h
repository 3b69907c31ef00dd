// admit: what every control plane of the benchmarks answers a Connect with.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "nvme/fabrics.h"
#include "target/meter.h"
#include "target/target.h"

namespace ashlar::bench {

inline constexpr uint32_t max_io_queues = 128;

// An admin queue gets a controller with every backend, NSID 1 and so on; an I/O queue the one that
// it names. `controllers`: how many there were, on any reactor. `meters`: one a backend, or none.
// The new one's id; 0: none was made.
inline uint16_t admit(target::Target& target, const target::ConnectRequest& request,
                      const std::vector<BlockBackend*>& backends,
                      std::atomic<uint16_t>& controllers,
                      const std::vector<std::shared_ptr<target::Meter>>& meters = {}) noexcept {
  nvme::ConnectCommand connect;
  std::memcpy(&connect, &request.sqe, sizeof connect);
  nvme::ConnectData data;
  std::memcpy(&data, request.data.data(), sizeof data);
  if (connect.qid != 0) {
    target.accept(request.connection, data.cntlid);
    return 0;
  }
  const uint16_t id = ++controllers;
  Uuid hostid{};
  std::memcpy(hostid.data(), &id, sizeof id);
  target.create_controller(id, {id, max_io_queues, 4, 1 << 20, hostid});
  std::vector<target::Namespace> namespaces;
  for (BlockBackend* backend : backends) {
    const size_t index = namespaces.size();
    namespaces.push_back({static_cast<uint32_t>(index + 1), 1, false, backend,
                          target::ReservationRule::none,
                          index < meters.size() ? meters[index] : nullptr});
  }
  target.set_namespaces(id, std::move(namespaces), [] {});
  target.accept(request.connection, id);
  return id;
}

}  // namespace ashlar::bench
