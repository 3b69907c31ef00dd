// What connections on several reactors read of their portal and controller, and whom they tell.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/uuid.h"
#include "target/ana.h"
#include "target/error_log.h"
#include "target/events.h"
#include "target/namespaces.h"
#include "tls/session.h"

namespace ashlar::target {

struct PortalState {
  PortalId id = 0;
  bool allow_header_digest = true;
  bool allow_data_digest = true;
  std::shared_ptr<tls::Context> tls;  // Null: plain connections only.
  bool allow_plain = true;
  AnaTable ana;
};

struct ControllerOptions {
  uint16_t cntlid = 0;
  uint32_t max_io_queues = 0;      // 0 for discovery.
  uint32_t max_async_events = 1;   // 1 to limits::max_async_events.
  uint32_t max_transfer_bytes = 0; // Up to limits::max_transfer_bytes.
  // The host's. A new association of a host is let in when the commands of its ended ones are done.
  Uuid hostid{};
};

struct ControllerState {
  ControllerId id = 0;
  ControllerOptions options;
  // CC.EN. Written by the home reactor, read by every queue of the controller.
  std::atomic<bool> enabled{false};
  ErrorLog errors;
};

class RangeLocks;

// What a connection learns when the control plane takes it into a controller.
struct AcceptTerms {
  std::shared_ptr<ControllerState> controller;
  std::shared_ptr<const NamespaceTable> namespaces;
  uint32_t keep_alive_ms = 0;  // Admin queues only.
  Authentication authentication = Authentication::none;
};

// The home reactor, as a connection on any reactor sees it. Each call but range_locks() is a
// message.
class Home {
 public:
  virtual ~Home() = default;
  // The admin queue of this controller is ending; its other queues must end too.
  virtual void admin_queue_ending(ControllerId controller, EndReason reason,
                                  std::string detail) = 0;
  // No command of the connection is under way at the store for a table before this update.
  virtual void namespaces_settled(ControllerId controller, ConnectionId connection,
                                  uint64_t update) = 0;
  // The connection is gone, and with it everything that it had under way. `controller` is 0 when
  // it had none.
  virtual void connection_left(ControllerId controller, ConnectionId connection) = 0;
  virtual RangeLocks& range_locks() noexcept = 0;
};

}  // namespace ashlar::target
