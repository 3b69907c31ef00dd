// Target: the NVMe/TCP controller side. Portals accept connections, connections become queues of
// controllers, and the control plane (TargetEvents) decides who may have which.
//
// The records of portals and controllers live on the home reactor, the first one; connections live
// where the round robin put them. They talk by messages that carry ids, so neither ever holds a
// pointer into the other.
//
//   portal ──accept──▶ shard 0..N-1: Connection ──ConnectRequest──▶ control plane
//                            ▲                                          │
//                            └──accept / reject── home: Controller ◀────┘
//
// Every call may be made on any thread and is carried out on the home reactor, calls of one thread
// in their order; `done` runs there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "reactor/network.h"
#include "target/call.h"
#include "target/controller.h"
#include "target/events.h"
#include "target/shard.h"
#include "target/shared.h"
#include "tls/keys.h"
#include "tls/session.h"

namespace ashlar::target {

enum class PortalTls : uint8_t {
  none,
  allowed,   // The first byte of a connection decides.
  required,  // Plain connections are closed.
};

struct PortalOptions {
  PortalId id = 0;
  SocketAddress address;
  bool allow_header_digest = true;
  bool allow_data_digest = true;
  PortalTls tls = PortalTls::none;
  tls::Records tls_records = tls::Records::process;
};

class Target final : private Home {
 public:
  Target(std::vector<ReactorPort> reactors, TargetEvents& events);
  // Only after close() or a quiesce() that found nothing, when no reactor runs any of our work.
  ~Target() override;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // The port that it listens on. Errors: those of Network::listen, already_exists, closed, and
  // invalid_argument when TLS is asked for and this process cannot do it.
  void listen(PortalOptions options, std::function<void(Result<uint16_t>)> done);
  // Stops accepting; `drop` also ends the connections that came through it, and `done` waits until
  // they have left.
  void close_portal(PortalId portal, bool drop, std::function<void()> done);
  // `done` when every command that a connection of the portal receives is judged by these states.
  // A portal that has gone is ignored.
  void set_ana(PortalId portal, std::vector<AnaChange> changes, std::function<void()> done);
  void set_ana(PortalId portal, uint32_t anagrpid, AnaState state) {
    set_ana(portal, {{anagrpid, state}}, [] {});
  }

  // The PSKs of handshakes that begin from now on; at once, on any thread.
  void set_tls_keys(std::shared_ptr<const tls::KeyTable> table,
                    tls::PskOrigin origin = tls::PskOrigin::configured) noexcept;

  void create_controller(ControllerId id, const ControllerOptions& options);
  // `done` when no command of a removed namespace is under way, or the controller has ended.
  void set_namespaces(ControllerId id, std::vector<Namespace> namespaces,
                      std::function<void()> done);
  void set_keep_alive(ControllerId id, uint32_t timeout_ms);
  void set_enabled(ControllerId id, bool enabled);
  void raise_event(ControllerId id, const AsyncEvent& event);
  void clear_event(ControllerId id, const AsyncEvent& event);
  void destroy_controller(ControllerId id);
  // Empty when the controller has ended.
  void read_errors(ControllerId id, std::function<void(ErrorLog::Contents)> done);

  // A connection or a command that has gone is ignored.
  // `authentication`: whether this queue takes anything else before the host has authenticated.
  void accept(ConnectionId connection, ControllerId controller,
              Authentication authentication = Authentication::none);
  // `status` is final for the host, except Controller Busy.
  void reject(ConnectionId connection, uint16_t status, uint64_t result);
  // A verdict other than as_before is for commands of authentication. It counts only while the
  // command waits, so it never meets a later queue of the same QID.
  void complete_command(ControllerId id, uint64_t command, CommandCompletion completion,
                        QueueVerdict verdict = QueueVerdict::as_before);

  // Closes every portal and connection; controllers end. `done` when nothing is left under way.
  void close(std::function<void()> done);
  // When no portal and no controller is left: ends the connections that never became queues, and
  // says true when they have left. Says false at once otherwise.
  void quiesce(std::function<void(bool)> done);

 private:
  struct Portal {
    std::shared_ptr<PortalState> state;
    std::unique_ptr<Listener> listener;
    std::function<void()> done;
    bool drop = false;
  };
  struct ClosedTask : Task {
    Target* target = nullptr;
    PortalId portal = 0;
  };

  void admin_queue_ending(ControllerId controller, EndReason reason, std::string detail) override;
  void namespaces_settled(ControllerId controller, ConnectionId connection,
                          uint64_t update) override;
  void connection_left(ControllerId controller, ConnectionId connection) override;
  RangeLocks& range_locks() noexcept override { return range_locks_; }

  // Home thread.
  template <class Function>
  void at_home(Function&& function) {
    call_on(home_loop(), std::forward<Function>(function));
  }
  // Runs `function(Connection&)` where the connection lives, unless it has gone.
  template <class Function>
  void at_connection(ConnectionId id, Function&& function);
  Loop& home_loop() noexcept { return shards_[0]->loop(); }
  Controller* find(ControllerId id) noexcept;
  void do_listen(const PortalOptions& options, const std::function<void(Result<uint16_t>)>& done);
  void do_close_portal(PortalId portal, bool drop, std::function<void()> done);
  // What the control plane decided about a Connect.
  struct Admission {
    ConnectionId connection = 0;
    ControllerId controller = 0;
    Authentication authentication = Authentication::none;
  };
  // Waits until no shard has a connection that `counts`; `done` then.
  struct Farewell {
    std::function<size_t(Shard&)> count;
    std::function<void()> done;
  };
  void await_farewell(Farewell farewell);
  void ask_farewell(const std::shared_ptr<Farewell>& farewell);
  void portal_closed(PortalId portal);
  void do_accept(const Admission& admission);
  void do_reject(ConnectionId connection, Refusal refusal, uint64_t result);
  void join(const Admission& admission, uint16_t qid);
  void abandon(ControllerId id);
  bool predecessor_is_ending(const Controller& controller) const noexcept;
  void start_update(Controller& controller);
  void finish_update(Controller& controller);
  void end_controller(Controller& controller, EndReason reason, std::string detail);
  void finish_if_ended(Controller& controller);
  void on_all_shards(const std::function<void(Shard&)>& function, std::function<void()> done);

  TargetEvents& events_;
  const std::shared_ptr<tls::Keys> tls_keys_ = std::make_shared<tls::Keys>();
  std::map<tls::Records, std::shared_ptr<tls::Context>> tls_;  // Made when a portal needs them.
  RangeLocks range_locks_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<uint32_t> next_shard_{0};
  std::map<PortalId, Portal> portals_;
  std::unordered_map<ControllerId, std::unique_ptr<Controller>> controllers_;
  bool closing_ = false;
  std::vector<Admission> successors_;  // Admin queues that wait for an ending association.
  std::vector<std::shared_ptr<Farewell>> farewells_;  // Asked again whenever a connection leaves.
};

}  // namespace ashlar::target
