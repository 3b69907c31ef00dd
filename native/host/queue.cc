#include "host/queue.h"

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/check.h"

namespace ashlar::host {

namespace {

std::string place(const QueueOptions& options) {
  return options.address.host + ":" + std::to_string(options.address.port) + " queue " +
         std::to_string(options.qid);
}

Error refusal(const QueueOptions& options, const Command& connect) {
  char status[16];
  std::snprintf(status, sizeof status, "%03xh", connect.status());
  const std::string where =
      place(options) + ": the controller refused Connect with status " + status;
  switch (static_cast<nvme::StatusCode>(connect.status())) {
    case nvme::StatusCode::connect_invalid_host:
      return {ErrorCode::permission_denied, where + " (the host NQN is not allowed)"};
    case nvme::StatusCode::connect_controller_busy:
      return {ErrorCode::busy, where + " (controller busy)"};
    case nvme::StatusCode::connect_invalid_parameters: {
      const auto at = static_cast<uint16_t>(connect.cqe.result);
      const bool in_data = (connect.cqe.result >> 16 & 1) != 0;
      return {ErrorCode::connection_refused, where + " (invalid parameter at byte " +
                                                 std::to_string(at) + " of the " +
                                                 (in_data ? "data)" : "command)")};
    }
    default: return {ErrorCode::connection_refused, where};
  }
}

}  // namespace

Queue::Queue(Loop& loop, Network& network, const QueueOptions& options, QueueOwner& owner)
    : loop_(loop),
      network_(network),
      options_(options),
      owner_(owner),
      receiver_(tcp::Role::host, static_cast<uint8_t>((options.hdgst ? tcp::digest_header : 0) |
                                                      (options.ddgst ? tcp::digest_data : 0))),
      receive_buffer_(receive_buffer_bytes),
      slots_(options.entries - 1) {
  CHECK(options.entries >= 2 && options.entries <= max_queue_entries);
  free_slots_.reserve(slots_.size());
  for (size_t i = slots_.size(); i > 0; --i) {
    slots_[i - 1].cid = static_cast<uint16_t>(i - 1);
    free_slots_.push_back(static_cast<uint16_t>(i - 1));
  }
  flush_task_.queue = this;
  flush_task_.run = [](Task& task) noexcept { static_cast<Owned<Task>&>(task).queue->flush(); };
  closed_task_.queue = this;
  closed_task_.run = [](Task& task) noexcept {
    static_cast<Owned<Task>&>(task).queue->stream_closed();
  };
  refuse_task_.queue = this;
  refuse_task_.run = [](Task& task) noexcept {
    Queue& self = *static_cast<Owned<Task>&>(task).queue;
    // Those who submit again from done() wait for the next turn, so this ends.
    for (size_t count = self.untaken_.size(); count > 0; --count) {
      Command& command = *self.untaken_.pop_front();
      command.fate = Fate::never_sent;
      command.done(command);
    }
    if (!self.untaken_.empty() && !self.refuse_task_.queued.load(std::memory_order_relaxed)) {
      self.loop_.defer(self.refuse_task_);
    }
  };
  ended_task_.queue = this;
  ended_task_.run = [](Task& task) noexcept {
    Queue& self = *static_cast<Owned<Task>&>(task).queue;
    // Whatever this queue had deferred before has run by now, except what the last round deferred.
    if (!self.untaken_.empty()) {
      self.loop_.defer(self.ended_task_);
      return;
    }
    self.set_state(State::ended);
    self.owner_.queue_ended(self);
  };
  timer_.queue = this;
  timer_.fire = [](Timer& timer) noexcept {
    static_cast<Owned<Timer>&>(timer).queue->timer_fired();
  };
  receive_op_.context = this;
  receive_op_.done = [](StreamOp& op) noexcept { static_cast<Queue*>(op.context)->received(); };
  send_op_.context = this;
  send_op_.done = [](StreamOp& op) noexcept { static_cast<Queue*>(op.context)->send_done(); };
  connect_op_.context = this;
  connect_op_.done = [](ConnectOp& op) noexcept { static_cast<Queue*>(op.context)->connected(); };
  join_command_.context = this;
  join_command_.done = [](Command& command) noexcept {
    static_cast<Queue*>(command.context)->joined();
  };
}

Queue::~Queue() {
  CHECK(state_ == State::idle || state_ == State::ended);
}

void Queue::set_state(State to) noexcept {
  switch (to) {
    case State::idle: CHECK(false);
    case State::connecting: CHECK(state_ == State::idle); break;
    case State::exchanging: CHECK(state_ == State::connecting); break;
    case State::joining: CHECK(state_ == State::exchanging); break;
    case State::live: CHECK(state_ == State::joining); break;
    case State::terminating: CHECK(open()); break;
    case State::closing: CHECK(open() || state_ == State::terminating); break;
    case State::telling:
      CHECK(state_ == State::idle || state_ == State::connecting || state_ == State::closing);
      break;
    case State::ended: CHECK(state_ == State::telling); break;
  }
  state_ = to;
}

void Queue::start() noexcept {
  if (end_wanted_) return;
  set_state(State::connecting);
  connect_op_.to = options_.address;
  connect_op_.timeout_ns = options_.connect_timeout_ns;
  network_.connect(connect_op_);
}

void Queue::connected() noexcept {
  CHECK(state_ == State::connecting);
  stream_ = std::move(connect_op_.stream);
  if (connect_op_.result != 0) {
    if (!end_wanted_) {
      reason_ = error_from_errno(-connect_op_.result, "cannot connect to " + place(options_));
    }
    tell_rest();
    return;
  }
  CHECK(stream_ != nullptr);
  set_state(State::exchanging);
  if (end_wanted_) {
    Error reason = std::move(reason_);
    end(std::move(reason), false);
    return;
  }
  loop_.arm(timer_, loop_.clock().now_ns() + options_.connect_timeout_ns);
  batch_.clear();
  const auto dgst = static_cast<uint8_t>((options_.hdgst ? tcp::digest_header : 0) |
                                         (options_.ddgst ? tcp::digest_data : 0));
  // MAXR2T 1: each command answers one R2T at a time.
  batch_.add_header(
      tcp::encode_ic_req(batch_.header_room(), options_.hpda_0based, dgst, /*maxr2t_0based=*/0));
  batch_slot_count_ = 0;
  sending_ = true;
  send_op_.segments = batch_.segments();
  stream_->send(send_op_);
  start_receive();
}

void Queue::send_connect_command() noexcept {
  set_state(State::joining);
  nvme::ConnectCommand connect{};
  connect.opcode = static_cast<uint8_t>(nvme::AdminOpcode::fabrics);
  connect.fctype = static_cast<uint8_t>(nvme::FabricsType::connect);
  connect.qid = options_.qid;
  connect.sqsize_0based = static_cast<uint16_t>(options_.entries - 1);
  connect.kato_ms = options_.kato_ms;
  static_assert(sizeof connect == sizeof join_command_.sqe);
  std::memcpy(&join_command_.sqe, &connect, sizeof connect);
  join_data_ = {const_cast<nvme::ConnectData*>(&options_.connect_data),
                sizeof options_.connect_data};
  join_command_.data_out = {&join_data_, 1};
  enqueue(join_command_);
}

void Queue::joined() noexcept {
  if (join_command_.fate != Fate::completed) return;  // The connection is ending already.
  if (join_command_.status() != 0) {
    end(refusal(options_, join_command_), true);
    return;
  }
  CHECK(state_ == State::joining);
  cntlid_ = static_cast<uint16_t>(join_command_.cqe.result);
  loop_.cancel(timer_);
  set_state(State::live);
  owner_.queue_live(*this);
}

void Queue::timer_fired() noexcept {
  const uint64_t now_ns = loop_.clock().now_ns();
  switch (state_) {
    case State::exchanging:
    case State::joining:
      end({ErrorCode::timed_out, place(options_) + ": no answer to the NVMe/TCP handshake in " +
                                     std::to_string(options_.connect_timeout_ns / 1'000'000) +
                                     " ms"},
          false);
      return;
    case State::live: {
      bool any = false;
      for (const Slot& slot : slots_) {
        if (slot.command == nullptr || !slot.timed) continue;
        any = true;
        if (slot.deadline_ns > now_ns) continue;
        end({ErrorCode::timed_out, place(options_) + ": a command was not answered in " +
                                       std::to_string(options_.command_timeout_ns / 1'000'000) +
                                       " ms"},
            false);
        return;
      }
      // With nothing to watch the queue sleeps; the next batch arms the timer again.
      if (any) loop_.arm(timer_, now_ns + options_.command_timeout_ns / 4 + 1);
      return;
    }
    case State::terminating:
      set_state(State::closing);
      stream_->close(false, closed_task_);
      return;
    case State::idle:
    case State::connecting:
    case State::closing:
    case State::telling:
    case State::ended: CHECK(false);
  }
}

void Queue::end(Error reason, bool linger) noexcept {
  switch (state_) {
    case State::idle:
    case State::connecting:
      if (end_wanted_) return;
      end_wanted_ = true;
      reason_ = std::move(reason);
      // The network calls back in time; idle has nobody to wait for.
      if (state_ == State::idle) tell_rest();
      return;
    case State::exchanging:
    case State::joining:
    case State::live:
      reason_ = std::move(reason);
      loop_.cancel(timer_);
      set_state(State::closing);
      stream_->close(linger, closed_task_);
      return;
    case State::terminating:
    case State::closing:
    case State::telling:
    case State::ended: return;
  }
}

// The controller broke the protocol: say how, then end.
void Queue::terminate(tcp::Violation violation, const char* what) noexcept {
  if (!open()) return;
  reason_ = {ErrorCode::protocol_error,
             place(options_) + ": " + what + " (fatal error status " +
                 std::to_string(static_cast<unsigned>(violation.status)) + ", field at byte " +
                 std::to_string(violation.fei) + ")"};
  violation_ = violation;
  data_slot_ = nullptr;  // What still comes is read and thrown away.
  set_state(State::terminating);
  loop_.arm(timer_, loop_.clock().now_ns() + terminate_ns);
  if (!sending_) flush();
}

void Queue::stream_closed() noexcept {
  CHECK(state_ == State::closing);
  stream_.reset();
  sending_ = false;
  tell_rest();
}

// Nothing touches the commands' memory any more: each is told what is known of it.
void Queue::tell_rest() noexcept {
  set_state(State::telling);
  while (out_.pop_front() != nullptr) {
  }
  data_slot_ = nullptr;
  for (Slot& slot : slots_) {
    if (slot.command == nullptr) continue;
    slot.in_batch = false;
    const bool answered = std::exchange(slot.answered, false);
    const bool may_have_left = slot.capsule_sent;
    finish(slot, answered ? Fate::completed : may_have_left ? Fate::lost : Fate::never_sent);
  }
  while (Command* command = waiting_.pop_front()) {
    command->fate = Fate::never_sent;
    command->done(*command);
  }
  loop_.defer(ended_task_);
}

}  // namespace ashlar::host
