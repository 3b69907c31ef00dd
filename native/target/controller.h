// Controller: the home reactor's record of one association: its queues and its namespaces.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "target/events.h"
#include "target/namespaces.h"
#include "target/shared.h"

namespace ashlar::target {

enum class ControllerPhase : uint8_t {
  fresh,    // Made by the control plane; the admin queue's Connect moves it on.
  running,  // It has an admin queue; that queue's end, or destroy, moves it on.
  ending,   // Its connections are told to end; the last one's leaving deletes it.
};

struct Controller {
  Controller(ControllerId id, const ControllerOptions& options)
      : state(std::make_shared<ControllerState>()),
        namespaces(std::make_shared<const NamespaceTable>()) {
    state->id = id;
    state->options = options;
  }

  struct Update {
    std::shared_ptr<const NamespaceTable> table;
    std::function<void()> done;
  };

  // Legal: fresh → running → ending, fresh → ending.
  void set_phase(ControllerPhase to) noexcept;

  // QIDs in use. A queue counts until its connection has left.
  bool has_queue(uint16_t qid) const noexcept;
  ConnectionId admin_queue() const noexcept;  // 0: none.
  // On which queue a command waits for the control plane; 0: that queue has gone.
  ConnectionId queue_of(uint64_t command) const noexcept;

  std::shared_ptr<ControllerState> state;
  ControllerPhase phase = ControllerPhase::fresh;
  std::map<ConnectionId, uint16_t> queues;  // → QID
  uint32_t keep_alive_ms = 0;

  // The newest table, and the replacements in their order: the first is being settled.
  std::shared_ptr<const NamespaceTable> namespaces;
  std::deque<Update> updates;
  std::set<ConnectionId> unsettled;  // Who has yet to settle updates.front().
  uint64_t update_number = 0;

  EndReason reason = EndReason::disconnected;
  std::string detail;
};

}  // namespace ashlar::target
