// Connect, the other Fabrics commands, and the admin queue: what cannot wait for JavaScript is
// answered here, the rest crosses to the control plane and comes back through complete_command().
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "target/connection.h"
#include "target/shard.h"

namespace ashlar::target {

namespace {

using nvme::FabricsType;
using nvme::StatusCode;

constexpr Refusal success{StatusCode::success, false};
// The control plane has no room for another event; the host may try again.
constexpr Refusal control_plane_full{StatusCode::internal_error, false};

FabricsType fabrics_type(const nvme::Sqe& sqe) noexcept {
  return static_cast<FabricsType>(sqe.nsid & 0xff);  // Byte 4.
}

bool is_fabrics(const nvme::Sqe& sqe) noexcept {
  return sqe.opcode == static_cast<uint8_t>(nvme::AdminOpcode::fabrics);
}

// Base 3.3.3.1, opcode bits 1:0, and the same bits of FCTYPE: which way the data goes.
enum class Direction : uint8_t { none = 0, from_host = 1, to_host = 2, both = 3 };
Direction direction(const nvme::Sqe& sqe) noexcept {
  const auto bits = is_fabrics(sqe) ? sqe.nsid : sqe.opcode;
  return static_cast<Direction>(bits & 3);
}

uint64_t invalid_parameter(size_t sqe_offset) noexcept {
  nvme::ConnectInvalid invalid{};
  invalid.ipo = static_cast<uint16_t>(sqe_offset);
  uint32_t value;
  static_assert(sizeof value == sizeof invalid);
  std::memcpy(&value, &invalid, sizeof value);
  return value;
}

}  // namespace

// ---- Connect ------------------------------------------------------------------------------------

// Before the queue is connected only Connect is taken, with its data in the capsule.
void Connection::dispatch_connect(Command& command, uint32_t capsule_bytes) noexcept {
  const nvme::Sqe& sqe = command.sqe;
  if (!is_fabrics(sqe) || fabrics_type(sqe) != FabricsType::connect) {
    refuse(command, {StatusCode::command_sequence_error});
    return;
  }
  nvme::ConnectCommand connect;
  std::memcpy(&connect, &sqe, sizeof connect);
  if (connect.recfmt != 0) {
    refuse(command, {StatusCode::connect_incompatible_format});
    return;
  }
  const uint32_t entries = uint32_t{connect.sqsize_0based} + 1;
  if (entries < limits::min_queue_entries || entries > limits::max_queue_entries) {
    refuse(command, {StatusCode::connect_invalid_parameters},
           invalid_parameter(offsetof(nvme::ConnectCommand, sqsize_0based)));
    return;
  }
  const auto plan = plan_data(sqe, true, capsule_bytes);
  if (const auto* refusal = std::get_if<Refusal>(&plan)) {
    refuse(command, *refusal);
    return;
  }
  command.data = *std::get_if<DataPlan>(&plan);
  if (command.data.path == DataPath::from_host) {
    refuse(command, {StatusCode::sgl_descriptor_type_invalid});
    return;
  }
  if (command.data.bytes != limits::connect_data_bytes) {
    refuse(command, {StatusCode::data_sgl_length_invalid});
    return;
  }
  command.own_data.resize(limits::connect_data_bytes);
  command.own_segment = {command.own_data.data(), command.own_data.size()};
  command.set_state(CommandState::receiving);
  sink_ = &command;
  sink_transfer_ = nullptr;
}

static std::string endpoint_text(const SocketAddress& address) {
  const bool brackets = address.host.find(':') != std::string::npos;
  const std::string host = brackets ? "[" + address.host + "]" : address.host;
  return host + ":" + std::to_string(address.port);
}

void Connection::execute_connect(Command& command) noexcept {
  ConnectRequest request;
  request.connection = id_;
  request.portal = portal_->id;
  request.peer = endpoint_text(stream_->peer());
  request.local = endpoint_text(stream_->local());
  request.tls_identity = stream_->peer_identity();
  request.sqe = command.sqe;
  command.own_segment = {};
  request.data = std::move(command.own_data);
  command.own_data = {};
  set_state(ConnectionState::connecting);
  command.set_state(CommandState::at_control_plane);
  arm_state_timer(limits::accept_timeout_ns);
  if (!shard_.events().connect_requested(std::move(request))) {
    reject({StatusCode::connect_controller_busy, false}, 0);
  }
}

// ---- A queue that has still to authenticate -----------------------------------------------------

// Authentication, one command at a time, and nothing else (Base 8.13.1); an I/O queue may also go.
void Connection::dispatch_unauthenticated(Command& command, uint32_t capsule_bytes) noexcept {
  const nvme::Sqe& sqe = command.sqe;
  const bool fabrics = is_fabrics(sqe);
  if (fabrics && qid_ != 0 && fabrics_type(sqe) == FabricsType::disconnect) {
    dispatch_io_fabrics(command, capsule_bytes);
    return;
  }
  if (!fabrics || !nvme::is_authentication(fabrics_type(sqe)) || gate_ == Gate::shut) {
    refuse(command, {StatusCode::authentication_required});
    return;
  }
  if (forwarded_count_ != 0) {
    refuse(command, {StatusCode::command_sequence_error});
    return;
  }
  forward(command, capsule_bytes);
}

// ---- Fabrics commands on a connected I/O queue --------------------------------------------------

void Connection::dispatch_io_fabrics(Command& command, uint32_t capsule_bytes) noexcept {
  switch (fabrics_type(command.sqe)) {
    case FabricsType::disconnect:
      command.after = AfterResponse::disconnect;
      refuse(command, success);
      return;
    case FabricsType::connect:
      refuse(command, {StatusCode::command_sequence_error});
      return;
    case FabricsType::auth_send:
    case FabricsType::auth_receive: forward(command, capsule_bytes); return;
    case FabricsType::property_set:
    case FabricsType::property_get: break;
  }
  refuse(command, {StatusCode::invalid_opcode});
}

// ---- The admin queue ----------------------------------------------------------------------------

void Connection::dispatch_admin(Command& command, uint32_t capsule_bytes) noexcept {
  const nvme::Sqe& sqe = command.sqe;
  if ((sqe.flags & 3) != 0) {  // FUSE: no fused admin commands.
    refuse(command, {StatusCode::invalid_field});
    return;
  }
  if (is_fabrics(sqe)) {
    switch (fabrics_type(sqe)) {
      case FabricsType::connect: refuse(command, {StatusCode::command_sequence_error}); return;
      // Disconnect ends I/O queues; an admin queue ends with its connection (Base 6.4).
      case FabricsType::disconnect: refuse(command, {StatusCode::invalid_queue_type}); return;
      case FabricsType::property_set:
      case FabricsType::property_get:
      case FabricsType::auth_send:
      case FabricsType::auth_receive: break;
    }
    forward(command, capsule_bytes);
    return;
  }
  // Base 3.5.3: only Fabrics commands before CC.EN.
  if (!controller_->enabled.load(std::memory_order_relaxed)) {
    refuse(command, {StatusCode::command_sequence_error});
    return;
  }
  switch (static_cast<nvme::AdminOpcode>(sqe.opcode)) {
    case nvme::AdminOpcode::keep_alive: on_keep_alive(command); return;
    case nvme::AdminOpcode::abort: on_abort(command); return;
    case nvme::AdminOpcode::async_event_request: on_async_event_request(command); return;
    case nvme::AdminOpcode::get_log_page:
    case nvme::AdminOpcode::identify:
    case nvme::AdminOpcode::set_features:
    case nvme::AdminOpcode::get_features:
    case nvme::AdminOpcode::fabrics: break;
  }
  forward(command, capsule_bytes);
}

// A command for the control plane: plans its data by the direction that its opcode says. What I/O
// queues have there at a time is bounded, as their commands are many.
void Connection::forward(Command& command, uint32_t capsule_bytes) noexcept {
  const nvme::Sqe& sqe = command.sqe;
  if (qid_ != 0 && forwarded_count_ >= limits::forwarded_per_io_queue) {
    refuse(command, control_plane_full);
    return;
  }
  command.forwarded = true;
  ++forwarded_count_;
  const Direction way = direction(sqe);
  if (way == Direction::both) {
    refuse(command, {StatusCode::invalid_opcode});
    return;
  }
  // A command without data need not describe any.
  if (way == Direction::none || (sqe.sgl.length == 0 && capsule_bytes == 0)) {
    if (capsule_bytes != 0) {
      refuse(command, {StatusCode::invalid_field});
      return;
    }
    begin(command);
    return;
  }
  const auto plan = plan_data(sqe, way == Direction::from_host, capsule_bytes);
  if (const auto* refusal = std::get_if<Refusal>(&plan)) {
    refuse(command, *refusal);
    return;
  }
  command.data = *std::get_if<DataPlan>(&plan);
  const bool authentication = is_fabrics(sqe) && nvme::is_authentication(fabrics_type(sqe));
  const uint32_t most = way == Direction::to_host ? limits::admin_to_host_bytes
                        : authentication          ? limits::authentication_bytes
                                                  : limits::admin_from_host_bytes;
  if (command.data.bytes > most) {
    refuse(command, {StatusCode::invalid_field});
    return;
  }
  begin(command);
}

void Connection::execute_at_control_plane(Command& command) noexcept {
  CommandRequest request;
  request.controller = controller_->id;
  request.connection = id_;
  request.qid = qid_;
  request.sqe = command.sqe;
  request.has_data = !command.own_data.empty();
  request.data = std::move(command.own_data);
  command.own_data = {};
  command.own_segment = {};
  if (command.data.path == DataPath::to_host) request.data_room_bytes = command.data.bytes;
  // The token says which use of which slot; a stale one finds nobody.
  next_token_ = (next_token_ + 1) & 0xffff;
  command.token = next_token_ << 16 | command.index;
  request.command = command_name(id_, command.token);
  command.set_state(CommandState::at_control_plane);
  if (!shard_.events().command_requested(std::move(request))) respond(command, control_plane_full);
}

void Connection::complete_command(uint32_t token, CommandCompletion completion,
                                  QueueVerdict verdict) noexcept {
  const uint32_t slot = token & 0xffff;
  if (state_ != ConnectionState::live || slot >= commands_.size()) return;
  Command& command = commands_[slot];
  if (command.state() != CommandState::at_control_plane || command.token != token) return;
  switch (verdict) {
    case QueueVerdict::as_before: break;
    case QueueVerdict::authenticated: on_authenticated(); break;
    case QueueVerdict::suspended: on_suspended(); break;
    case QueueVerdict::refused: on_refused(command); break;
  }
  const auto status = static_cast<StatusCode>(completion.status & 0x7ff);
  if (status == StatusCode::success && command.data.path == DataPath::to_host &&
      !completion.data.empty()) {
    completion.data.resize(std::min<size_t>(completion.data.size(), command.data.bytes));
    command.own_data = std::move(completion.data);
    command.own_segment = {command.own_data.data(), command.own_data.size()};
    command.response_data_bytes = static_cast<uint32_t>(command.own_data.size());
  }
  respond(command, {status, completion.do_not_retry}, completion.result);
}

void Connection::on_keep_alive(Command& command) noexcept {
  if (keep_alive_ms_ != 0) set_keep_alive(keep_alive_ms_);
  refuse(command, success);
}

// Only a parked Asynchronous Event Request can be taken back; everything else is as good as done.
// DW0 bit 0 of the completion: 1 when the command was not aborted.
void Connection::on_abort(Command& command) noexcept {
  const auto sqid = static_cast<uint16_t>(command.sqe.cdw10 & 0xffff);
  const auto cid = static_cast<uint16_t>(command.sqe.cdw10 >> 16);
  Command* found = nullptr;
  for (Command* at = sqid == 0 ? parked_.head : nullptr; at != nullptr; at = at->next) {
    if (at->sqe.cid == cid) found = at;
  }
  if (found != nullptr) {
    CHECK(parked_.remove(*found));
    --parked_count_;
    respond(*found, {StatusCode::abort_requested, true});
  }
  refuse(command, success, found == nullptr ? 1 : 0);
}

void Connection::on_async_event_request(Command& command) noexcept {
  if (command.capsule_bytes != 0) {
    refuse(command, {StatusCode::invalid_field});
    return;
  }
  if (parked_count_ >= controller_->options.max_async_events) {
    refuse(command, {StatusCode::aer_limit_exceeded});
    return;
  }
  command.set_state(CommandState::parked);
  parked_.push(command);
  ++parked_count_;
  deliver_events();
}

void Connection::raise_event(const AsyncEvent& event) noexcept {
  events_.raise(event);
  deliver_events();
}

void Connection::clear_event(const AsyncEvent& event) noexcept { events_.clear(event); }

void Connection::deliver_events() noexcept {
  AsyncEvent event;
  while (may_respond() && parked_.head != nullptr && events_.take(event)) {
    Command& command = *parked_.pop();
    --parked_count_;
    respond(command, success, event.result());
  }
}

}  // namespace ashlar::target
