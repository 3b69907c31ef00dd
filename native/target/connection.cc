#include "target/connection.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "target/shard.h"

namespace ashlar::target {

namespace {

std::string describe(tcp::Violation violation) {
  char text[96];
  std::snprintf(text, sizeof text, "fatal transport error: FES %02Xh, FEI %Xh",
                static_cast<unsigned>(violation.status), violation.fei);
  return text;
}

}  // namespace

void Connection::FreePages::operator()(std::byte* memory) const noexcept { std::free(memory); }

Connection::Connection(Shard& shard, ConnectionId id, std::unique_ptr<Stream> stream,
                       std::shared_ptr<PortalState> portal)
    : shard_(shard),
      share_(shard.share()),
      id_(id),
      stream_(std::move(stream)),
      portal_(std::move(portal)),
      connect_command_(*this),
      rx_own_(std::make_unique<std::byte[]>(limits::first_receive_bytes)),
      rx_own_bytes_(limits::first_receive_bytes),
      send_headers_(2 * tcp::max_header_bytes),
      send_segments_(limits::segments_per_pdu) {
  receive_op_.context = this;
  receive_op_.done = [](StreamOp& op) noexcept {
    static_cast<Connection*>(op.context)->on_received();
  };
  send_op_.context = this;
  send_op_.done = [](StreamOp& op) noexcept { static_cast<Connection*>(op.context)->on_sent(); };
  flush_task_.owner = this;
  flush_task_.run = [](Task& task) noexcept {
    static_cast<OwnedTask&>(task).owner->flush_sends();
  };
  resume_task_.owner = this;
  resume_task_.run = [](Task& task) noexcept { static_cast<OwnedTask&>(task).owner->pump(); };
  closed_task_.owner = this;
  closed_task_.run = [](Task& task) noexcept {
    static_cast<OwnedTask&>(task).owner->on_stream_closed();
  };
  state_timer_.owner = stall_timer_.owner = keep_alive_timer_.owner = this;
  state_timer_.fire = [](Timer& timer) noexcept {
    static_cast<OwnedTimer&>(timer).owner->on_state_timer();
  };
  stall_timer_.fire = [](Timer& timer) noexcept {
    static_cast<OwnedTimer&>(timer).owner->on_stall_timer();
  };
  keep_alive_timer_.fire = [](Timer& timer) noexcept {
    static_cast<OwnedTimer&>(timer).owner->on_keep_alive_timer();
  };
}

Connection::~Connection() {
  CHECK(state_ == ConnectionState::closed);
  CHECK(at_store_[0] == 0 && at_store_[1] == 0);
  for (Command& command : commands_) {
    CHECK(command.part == nullptr);
    give_back(command);
  }
  shard_.buffers().cancel(rx_borrowed_);
}

uint64_t Connection::now_ns() noexcept { return shard_.loop().clock().now_ns(); }

void Connection::start() noexcept {
  arm_state_timer(limits::ic_req_timeout_ns);
  post_receive();
}

void Connection::set_state(ConnectionState to) noexcept {
  using S = ConnectionState;
  const S from = state_;
  const bool open = from != S::terminating && from != S::closing && from != S::closed;
  switch (to) {
    case S::await_ic_req: CHECK(false); break;
    case S::await_connect: CHECK(from == S::await_ic_req || from == S::connecting); break;
    case S::connecting: CHECK(from == S::await_connect); break;
    case S::live: CHECK(from == S::connecting); break;
    case S::terminating: CHECK(open); break;
    case S::closing: CHECK(open || from == S::terminating); break;
    case S::closed: CHECK(from == S::closing); break;
  }
  state_ = to;
}

bool Connection::may_receive() const noexcept {
  switch (state_) {
    case ConnectionState::await_ic_req:
    case ConnectionState::await_connect:
    case ConnectionState::connecting:
    case ConnectionState::live: return true;
    case ConnectionState::terminating:  // Bytes are read and thrown away, outside pump().
    case ConnectionState::closing:
    case ConnectionState::closed: return false;
  }
  CHECK(false);
}

bool Connection::may_respond() const noexcept { return may_receive(); }

bool Connection::may_command() const noexcept {
  return state_ == ConnectionState::live && gate_ == Gate::open;
}

// ---- Ends ---------------------------------------------------------------------------------------

// The first reason counts; the other queues of the controller end as soon as the admin queue does.
void Connection::note_end(EndReason reason, std::string detail) noexcept {
  if (std::exchange(end_noted_, true)) return;
  if (controller_ != nullptr && qid_ == 0) {
    shard_.home().admin_queue_ending(controller_->id, reason, std::move(detail));
  }
}

// Says why in a C2HTermReq, then reads on until the host closes: closing first could reset the
// connection and lose the reason on its way. Called from pump(), which goes on to receive.
void Connection::terminate(tcp::Violation violation) noexcept {
  if (!may_receive()) return;
  note_end(EndReason::transport_error, describe(violation));
  const auto header = receiver_.header_bytes();
  set_state(ConnectionState::terminating);
  keep_alive_ms_ = 0;
  shard_.loop().cancel(keep_alive_timer_);
  arm_state_timer(limits::terminate_timeout_ns);
  end_loans();
  send_control_pdu(
      tcp::encode_term_req(control_pdu_, tcp::Role::controller, violation, header));
}

void Connection::end(EndReason reason, std::string detail) noexcept {
  close(false, reason, std::move(detail));
}

void Connection::end_with_controller() noexcept {
  if (state_ != ConnectionState::terminating) {
    end(EndReason::destroyed, "the controller has ended");
  }
}

void Connection::close(bool linger, EndReason reason, std::string detail) noexcept {
  if (state_ == ConnectionState::closing || state_ == ConnectionState::closed) return;
  note_end(reason, std::move(detail));
  set_state(ConnectionState::closing);
  keep_alive_ms_ = 0;
  shard_.loop().cancel(state_timer_);
  shard_.loop().cancel(stall_timer_);
  shard_.loop().cancel(keep_alive_timer_);
  for (Command& command : commands_) {
    if (command.state() == CommandState::awaiting_buffers) {
      shard_.buffers().cancel(command.buffers);
    } else if (command.state() == CommandState::awaiting_range) {
      shard_.range_gate().leave(command);
    }
  }
  leave_meters();
  end_loans();
  stream_->close(linger, closed_task_);
}

void Connection::on_stream_closed() noexcept {
  stream_closed_ = true;
  finish_if_idle();
}

// The memory of the connection may go when neither the socket nor the store knows it.
void Connection::finish_if_idle() noexcept {
  if (state_ != ConnectionState::closing || !stream_closed_) return;
  if (at_store_[0] != 0 || at_store_[1] != 0) return;
  if (fused_ != nullptr && fused_->lock.phase() != RangeLock::Phase::idle) return;
  CHECK(!receive_under_way_ && !send_under_way_);
  set_state(ConnectionState::closed);
  shard_.retire(*this, controller_ == nullptr ? 0 : controller_->id);
}

// ---- Timers -------------------------------------------------------------------------------------

void Connection::arm_state_timer(uint64_t timeout_ns) noexcept {
  shard_.loop().arm(state_timer_, now_ns() + timeout_ns);
}

void Connection::on_state_timer() noexcept {
  switch (state_) {
    case ConnectionState::await_ic_req:
      close(false, EndReason::transport_error, "no ICReq in time");
      break;
    case ConnectionState::await_connect:
      close(false, EndReason::transport_error, "no Connect command in time");
      break;
    case ConnectionState::connecting:
      close(false, EndReason::transport_error, "the control plane did not answer Connect in time");
      break;
    case ConnectionState::terminating:
      close(false, EndReason::transport_error, "the host did not close in time");
      break;
    case ConnectionState::live:
      CHECK(gate_ != Gate::open);
      close(false, EndReason::not_authenticated, "the host did not authenticate in time");
      break;
    case ConnectionState::closing:
    case ConnectionState::closed: CHECK(false);
  }
}

bool Connection::awaiting_peer() const noexcept {
  return send_under_way_ || !receiver_.between_pdus();
}

// Armed only while the peer owes something, so that idle connections cost no timers. It stays armed
// over many commands and compares totals when it fires.
void Connection::watch_for_stall() noexcept {
  if (state_ != ConnectionState::live || stall_timer_.armed()) return;
  stall_received_ = received_total_;
  stall_sent_ = sent_total_;
  shard_.loop().arm(stall_timer_, now_ns() + limits::stall_timeout_ns);
}

bool Connection::stalled(std::string& what) noexcept {
  if (send_under_way_ && sent_total_ == stall_sent_) {
    what = "the host does not read what was sent to it";
    return true;
  }
  // While a capsule is held back for want of buffers it is we who do not read.
  if (hold_ == Hold::none && received_total_ == stall_received_ && !receiver_.between_pdus()) {
    what = "the host stopped in the middle of a PDU";
    return true;
  }
  const uint64_t now = now_ns();
  for (const Command& command : commands_) {
    if (hold_ == Hold::none && command.state() == CommandState::awaiting_data &&
        now - command.progress_ns >= limits::stall_timeout_ns) {
      what = "the host does not send the data that an R2T asked for";
      return true;
    }
  }
  return false;
}

void Connection::on_stall_timer() noexcept {
  if (state_ != ConnectionState::live) return;
  std::string what;
  if (stalled(what)) {
    close(false, EndReason::transport_error, std::move(what));
    return;
  }
  bool owed = awaiting_peer();
  for (const Command& command : commands_) {
    owed = owed || command.state() == CommandState::awaiting_data;
  }
  if (owed) watch_for_stall();
}

void Connection::on_keep_alive_timer() noexcept {
  char text[64];
  std::snprintf(text, sizeof text, "no Keep Alive for %u ms", keep_alive_ms_);
  close(false, EndReason::keep_alive_expired, text);
}

// ---- Slots --------------------------------------------------------------------------------------

// Makes a slot when none is free and the queue may have one more: most queues are never as deep as
// their entries.
Command* Connection::take_slot() noexcept {
  if (state_ != ConnectionState::live) {
    return connect_command_.state() == CommandState::free ? &connect_command_ : nullptr;
  }
  Command* command = free_;
  if (command != nullptr) {
    free_ = std::exchange(command->next, nullptr);
    return command;
  }
  if (commands_.size() == slots_) return nullptr;
  command = &commands_.emplace_back(*this);
  command->index = static_cast<uint16_t>(commands_.size() - 1);
  return command;
}

void Connection::free_slot(Command& command) noexcept {
  give_back(command);
  if (std::exchange(command.forwarded, false)) --forwarded_count_;
  if (command.fuse != 0) free_fused(command);
  if (command.own_data.capacity() != 0) std::vector<std::byte>().swap(command.own_data);
  command.set_state(CommandState::free);
  if (&command == &connect_command_) return;
  command.next = free_;
  free_ = &command;
}

bool Connection::cid_in_use(uint16_t cid) const noexcept {
  return !cids_.empty() && (cids_[cid / 64] >> (cid % 64) & 1) != 0;
}

void Connection::mark_cid(uint16_t cid, bool in_use) noexcept {
  if (cids_.empty()) return;
  const uint64_t bit = uint64_t{1} << (cid % 64);
  cids_[cid / 64] = in_use ? cids_[cid / 64] | bit : cids_[cid / 64] & ~bit;
}

// ---- Messages from the home reactor -------------------------------------------------------------

bool Connection::pending_connect(nvme::ConnectCommand& connect) const noexcept {
  if (state_ != ConnectionState::connecting) return false;
  std::memcpy(&connect, &connect_command_.sqe, sizeof connect);
  return true;
}

bool Connection::accept(AcceptTerms terms) noexcept {
  if (state_ != ConnectionState::connecting) return false;
  nvme::ConnectCommand connect;
  std::memcpy(&connect, &connect_command_.sqe, sizeof connect);
  shard_.loop().cancel(state_timer_);
  controller_ = std::move(terms.controller);
  namespaces_ = std::move(terms.namespaces);
  qid_ = connect.qid;
  sqflow_disabled_ = (connect.cattr & nvme::cattr_disable_sqflow) != 0;
  entries_ = uint32_t{connect.sqsize_0based} + 1;
  share_bytes_ = shard_.buffers().size_bytes() / limits::buffer_share;
  set_state(ConnectionState::live);
  uint32_t authreq = 0;
  if (terms.authentication != Authentication::none) {
    gate_ = Gate::awaiting;
    authreq = nvme::connect_authreq_atr;
    if (terms.authentication == Authentication::required_with_tls) {
      authreq |= nvme::connect_authreq_ascr;
    }
    slots_ = std::min(entries_, limits::unauthenticated_slots);
    arm_state_timer(limits::authentication_timeout_ns);
  } else {
    open_queue();
  }
  sq_head_ = static_cast<uint16_t>(1 % entries_);  // Connect took the first entry.
  respond(connect_command_, Refusal{nvme::StatusCode::success, false},
          controller_->options.cntlid | authreq);
  if (qid_ == 0) set_keep_alive(terms.keep_alive_ms);
  return true;
}

// The host is who it says: the queue gets what it asked for in Connect.
void Connection::open_queue() noexcept {
  shard_.settled(id_);
  gate_ = Gate::open;
  slots_ = entries_;
  cids_.assign(65536 / 64, 0);
  if (qid_ == 0) return;
  reserve_.reset(static_cast<std::byte*>(
      std::aligned_alloc(ashlar::limits::block_bytes, limits::in_capsule_bytes)));
  CHECK(reserve_ != nullptr);
}

void Connection::on_authenticated() noexcept {
  if (gate_ != Gate::awaiting) return;  // It was before, and still is.
  shard_.loop().cancel(state_timer_);
  open_queue();
  if (keep_alive_ms_ != 0) set_keep_alive(keep_alive_ms_);
}

// An open queue that fails to authenticate again stays for the answer only.
void Connection::on_suspended() noexcept {
  if (gate_ != Gate::open) return;
  gate_ = Gate::suspended;
  arm_state_timer(limits::authentication_timeout_ns);
}

// Also of a queue that was open and authenticates again: what it has under way ends unseen.
void Connection::on_refused(Command& command) noexcept {
  gate_ = Gate::shut;
  command.after = AfterResponse::refuse;
}

void Connection::reject(Refusal refusal, uint64_t result) noexcept {
  if (state_ != ConnectionState::connecting) return;
  set_state(ConnectionState::await_connect);
  // A further Connect gets no further time, and an answer that came late is the last.
  const bool late = now_ns() >= connect_by_ns_;
  connect_command_.after = late ? AfterResponse::give_up : AfterResponse::go_on;
  shard_.loop().arm(state_timer_, late ? now_ns() + limits::second_ns : connect_by_ns_);
  respond(connect_command_, refusal, result);
}

void Connection::set_namespaces(std::shared_ptr<const NamespaceTable> table,
                                uint64_t update) noexcept {
  if (controller_ == nullptr) return;  // It closed before it was taken in.
  CHECK(settling_update_ == 0);  // The controller sends the next one after this one has settled.
  const bool waiting = leave_meters();
  settling_ = std::exchange(namespaces_, std::move(table));
  table_parity_ ^= 1;
  settling_update_ = update;
  settle_namespaces();
  if (waiting) judge_waiting_again();
}

void Connection::settle_namespaces() noexcept {
  if (settling_update_ == 0 || at_store_[table_parity_ ^ 1] != 0) return;
  settling_.reset();
  shard_.home().namespaces_settled(controller_->id, id_, std::exchange(settling_update_, 0));
}

void Connection::set_keep_alive(uint32_t timeout_ms) noexcept {
  if (state_ != ConnectionState::live) return;
  keep_alive_ms_ = timeout_ms;
  if (timeout_ms == 0 || gate_ == Gate::awaiting) {  // Until then it is authentication's time.
    shard_.loop().cancel(keep_alive_timer_);
  } else {
    shard_.loop().arm(keep_alive_timer_, now_ns() + uint64_t{timeout_ms} * 1'000'000);
  }
}

}  // namespace ashlar::target
