// A connection's commands at the meters of their namespaces: counted from when they are let in to
// their answer, and kept waiting by limits. What a meter is, meter.h says.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "target/connection.h"
#include "target/meter.h"
#include "target/shard.h"

namespace ashlar::target {

namespace {

// Compare reads what it compares with; a Flush moves nothing and is never kept waiting.
constexpr bool may_be_limited(IoKind kind) noexcept {
  return kind != IoKind::flush && kind != IoKind::flush_all;
}

// SCT 3h says that another path is to be used, not that anything failed.
constexpr bool is_error(nvme::StatusCode status) noexcept {
  return status != nvme::StatusCode::success && (static_cast<uint16_t>(status) >> 8 & 7) != 3;
}

}  // namespace

// The command was judged by a table. It may have been at another meter, by an older one.
void Connection::change_meter(Command& command, const Namespace* ns) noexcept {
  MeterPart* part = nullptr;
  if (ns != nullptr) {
    part = &ns->meter->part(shard_.reactor_index(), shard_.loop());
    if (!linked()) tenant_ = &part->tenant();
    share_.seen(*part, received_ns_);
    met_ = {ns, part, received_ns_};
  }
  if (command.part == part) return;
  if (command.part != nullptr) unmeter(command);
  if (part != nullptr) enter_part(command, *part);
}

// It ends without an answer, or leaves the meter for another.
void Connection::unmeter(Command& command) noexcept {
  if (command.part == nullptr) return;
  command.part->counts.left.add(1);
  leave_part(command);
}

// Its answer goes out now.
void Connection::count_answer(Command& command) noexcept {
  if (answer_ns_ == 0) answer_ns_ = now_ns();
  const uint64_t latency_ns = answer_ns_ > command.arrived_ns ? answer_ns_ - command.arrived_ns : 0;
  const bool ok = command.outcome.status == nvme::StatusCode::success;
  MeterCounts& counts = command.part->counts;
  switch (command.request.kind) {
    case IoKind::read:
      counts.read_latency[latency_bucket(latency_ns)].add(1);
      if (ok) counts.read_bytes.add(command.data.bytes);
      break;
    case IoKind::compare:
    case IoKind::verify:
      counts.read_latency[latency_bucket(latency_ns)].add(1);
      if (ok) counts.read_bytes.add(command.request.length_bytes);
      break;
    case IoKind::write:
      counts.write_latency[latency_bucket(latency_ns)].add(1);
      if (ok) counts.written_bytes.add(command.data.bytes);
      break;
    case IoKind::copy:
      counts.others.add(1);
      counts.written_bytes.add(command.copied_bytes);
      if (command.part->limited()) {
        command.part->charge(IoDirection::write, 0, command.copied_bytes);
      }
      break;
    case IoKind::write_zeroes:
    case IoKind::dataset_management: counts.others.add(1); break;
    case IoKind::flush:
    case IoKind::flush_all: counts.flushes.add(1); break;
  }
  if (!ok && is_error(command.outcome.status)) counts.errors.add(1);
  leave_part(command);
}

// ---- Limits -------------------------------------------------------------------------------------

// Whether a limit lets the command begin; it is asked once, and then has what it costs.
bool Connection::admit_limited(Command& command) noexcept {
  MeterPart* part = command.part;
  if (command.admitted || !may_be_limited(command.request.kind)) return true;
  if (command.fuse != 0) {
    // A pair holds its range and its place in the queue: it does not wait, others pay for it.
    part->charge(command.request.kind == IoKind::write ? IoDirection::write : IoDirection::read, 1,
                 command.data.bytes);
    command.admitted = true;
  } else {
    command.admitted = part->admit(command);
  }
  return command.admitted;
}

// False: it waits, and on_limit() goes on with it. `with_data`: all that it needs is here.
bool Connection::wait_for_limit(Command& command, bool with_data) noexcept {
  command.waits_with_data = with_data;
  command.set_state(CommandState::awaiting_limit);
  command.part->wait(command);
  return false;
}

void Connection::on_limit(Command& command) noexcept {
  command.admitted = true;
  go_on(command);
}

void Connection::go_on(Command& command) noexcept {
  if (!may_respond()) return;
  if (command.waits_with_data) {
    execute_io(command);
  } else {
    begin(command);
  }
}

// ---- Shares -------------------------------------------------------------------------------------

bool Connection::wait_for_share(Command& command, bool with_data) noexcept {
  command.waits_with_data = with_data;
  command.set_state(CommandState::awaiting_share);
  command.part->wait_for_service(command);
  return false;
}

// ---- Changes ------------------------------------------------------------------------------------

// Every command leaves the meter that it is at, but for those at the store: namespaces_ is about to
// be another table, and the old one's meters may go when they have settled. Those that wait for a
// limit are judged by the new table; true when there are any.
bool Connection::leave_meters() noexcept {
  bool waiting = false;
  if (linked()) {
    share_.leave(*tenant_, *this);
    if (may_receive()) resume();
  }
  tenant_ = nullptr;
  met_ = {};
  MeterPart* left = nullptr;
  for (Command& command : commands_) {
    if (command.part == nullptr) continue;
    switch (command.state()) {
      case CommandState::at_store: break;
      case CommandState::responding:
        answer_ns_ = 0;
        count_answer(command);
        break;
      case CommandState::awaiting_limit:
      case CommandState::awaiting_share:
        if (left != command.part) command.part->leave(*this);
        left = command.part;
        waiting = true;
        unmeter(command);
        break;
      case CommandState::free:
      case CommandState::receiving:
      case CommandState::awaiting_buffers:
      case CommandState::awaiting_data:
      case CommandState::awaiting_range:
      case CommandState::awaiting_other_half:
      case CommandState::awaiting_scratch:
      case CommandState::at_control_plane:
      case CommandState::parked:
      case CommandState::sending: unmeter(command); break;
    }
  }
  return waiting;
}

void Connection::judge_waiting_again() noexcept {
  for (Command& command : commands_) {
    const bool waits = command.state() == CommandState::awaiting_limit ||
                       command.state() == CommandState::awaiting_share;
    if (waits && command.part == nullptr) {
      go_on(command);
    }
  }
}

}  // namespace ashlar::target
