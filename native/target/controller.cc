#include "target/controller.h"

#include "base/check.h"

namespace ashlar::target {

void Controller::set_phase(ControllerPhase to) noexcept {
  switch (to) {
    case ControllerPhase::fresh: CHECK(false); break;
    case ControllerPhase::running: CHECK(phase == ControllerPhase::fresh); break;
    case ControllerPhase::ending:
      CHECK(phase == ControllerPhase::fresh || phase == ControllerPhase::running);
      break;
  }
  phase = to;
}

bool Controller::has_queue(uint16_t qid) const noexcept {
  for (const auto& [connection, used] : queues) {
    if (used == qid) return true;
  }
  return false;
}

ConnectionId Controller::admin_queue() const noexcept {
  for (const auto& [connection, qid] : queues) {
    if (qid == 0) return connection;
  }
  return 0;
}

ConnectionId Controller::queue_of(uint64_t command) const noexcept {
  for (const auto& [connection, qid] : queues) {
    if (command_name(connection, token_of(command)) == command) return connection;
  }
  return 0;
}

}  // namespace ashlar::target
