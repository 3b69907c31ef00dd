// Control: the least of a control plane that a host of ours gets along with: any host, one
// subsystem, all namespaces.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "target/target.h"

namespace ashlar::bench {

class Control final : public target::TargetEvents {
 public:
  // `backends`: NSID 1 and so on. Before the target listens.
  void serve(target::Target& target, std::vector<BlockBackend*> backends) {
    target_ = &target;
    backends_ = std::move(backends);
  }

 private:
  bool connect_requested(target::ConnectRequest request) noexcept override;
  bool command_requested(target::CommandRequest request) noexcept override;
  void controller_ended(target::ControllerEnded) noexcept override {}

  target::CommandCompletion answer(const target::CommandRequest& request);
  target::CommandCompletion fabrics(const target::CommandRequest& request);
  std::vector<std::byte> identify(const nvme::Sqe& sqe) const;

  target::Target* target_ = nullptr;
  std::vector<BlockBackend*> backends_;
  std::atomic<uint16_t> controllers_{0};  // Admin queues may be on several reactors.
};

}  // namespace ashlar::bench
