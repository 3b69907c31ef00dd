// Where the data of a command lives, and how it is asked for: the connection's share of the buffer
// pool, its reserve, and R2Ts.
#include <algorithm>

#include "base/check.h"
#include "target/connection.h"
#include "target/shard.h"

namespace ashlar::target {

// A command that was let in, with `data` planned. Moves it to whatever it waits for first.
void Connection::begin(Command& command) noexcept {
  // Data in the capsule is next in the stream, where others wait behind it: it is taken first.
  if (command.data.path != DataPath::in_capsule && !pass_limit(command, false)) return;
  // A read has no buffers before it may use them; a write's are where its data comes.
  if (command.data.path == DataPath::to_host && !pass_share(command, false)) return;
  switch (command.data.path) {
    case DataPath::none: execute(command); return;
    case DataPath::to_host:
      if (command.forwarded || acquire(command)) execute(command);
      return;
    case DataPath::from_host:
      if (command.forwarded) {
        command.own_data.resize(command.data.bytes);
        command.own_segment = {command.own_data.data(), command.own_data.size()};
        issue_r2ts(command);
      } else if (command.fuse != 0 || acquire(command)) {
        issue_r2ts(command);
      }
      return;
    case DataPath::in_capsule: begin_in_capsule(command); return;
  }
  CHECK(false);
}

// The data is next in the stream, so it needs a place now, or the stream waits.
void Connection::begin_in_capsule(Command& command) noexcept {
  sink_ = &command;
  sink_transfer_ = nullptr;
  if (command.forwarded) {
    command.own_data.resize(command.data.bytes);
    command.own_segment = {command.own_data.data(), command.own_data.size()};
    command.set_state(CommandState::receiving);
    return;
  }
  if (command.fuse != 0 || acquire(command)) {
    command.set_state(CommandState::receiving);
    return;
  }
  hold_ = Hold::buffers;
  if (reserve_user_ == nullptr) use_reserve(command);
}

// A connection holds what its share allows, and one command whatever its size.
bool Connection::share_allows(uint32_t bytes) const noexcept {
  return held_bytes_ == 0 || held_bytes_ + bytes <= share_bytes_;
}

// True: the command has its buffers. False: it is in a line, and on_buffers() goes on with it.
bool Connection::acquire(Command& command) noexcept {
  command.buffers.length_bytes = command.data.bytes;
  command.buffers.ready = [](BufferRequest& request) noexcept {
    auto& waiting = *static_cast<Command*>(request.context);
    waiting.connection.on_buffers(waiting);
  };
  if (share_line_.head == nullptr && share_allows(command.data.bytes)) {
    held_bytes_ += command.data.bytes;
    command.counted = true;
    if (shard_.buffers().acquire(command.buffers)) return true;
  } else {
    share_line_.push(command);
  }
  command.set_state(CommandState::awaiting_buffers);
  return false;
}

// The reserve serves one command at a time, so that the stream always moves on: its user needs
// nothing more from the stream than the data that is next in it.
void Connection::use_reserve(Command& command) noexcept {
  CHECK(hold_ == Hold::buffers && sink_ == &command && reserve_user_ == nullptr);
  if (command.counted) {
    shard_.buffers().cancel(command.buffers);
    command.counted = false;
    held_bytes_ -= command.data.bytes;
  } else {
    CHECK(share_line_.remove(command));
  }
  reserve_user_ = &command;
  command.own_segment = {reserve_.get(), command.data.bytes};
  command.set_state(CommandState::receiving);
  hold_ = Hold::none;
}

// Gives back whatever the command's data is in. Does nothing when it has none.
void Connection::give_back(Command& command) noexcept {
  command.own_segment = {};
  if (command.counted) {
    command.counted = false;
    held_bytes_ -= command.buffers.length_bytes;
    shard_.buffers().cancel(command.buffers);  // Waiting or held.
    serve_share_line();
  }
  if (reserve_user_ == &command) {
    reserve_user_ = nullptr;
    if (hold_ == Hold::buffers && may_receive()) {
      use_reserve(*sink_);
      resume();
    }
  }
}

void Connection::serve_share_line() noexcept {
  if (serving_share_line_ || !may_respond()) return;
  serving_share_line_ = true;
  while (share_line_.head != nullptr && share_allows(share_line_.head->data.bytes)) {
    Command& command = *share_line_.pop();
    held_bytes_ += command.data.bytes;
    command.counted = true;
    if (shard_.buffers().acquire(command.buffers)) on_buffers(command);
  }
  serving_share_line_ = false;
}

void Connection::on_buffers(Command& command) noexcept {
  if (!may_respond()) return;
  switch (command.data.path) {
    case DataPath::to_host: execute(command); return;
    case DataPath::from_host: issue_r2ts(command); return;
    case DataPath::in_capsule:
      CHECK(hold_ == Hold::buffers && sink_ == &command);
      command.set_state(CommandState::receiving);
      // The stream goes on from the loop: this may run inside the end of another command.
      hold_ = Hold::none;
      resume();
      return;
    case DataPath::none: break;
  }
  CHECK(false);
}

// Asks for the rest of the data in as many R2Ts as the host takes at a time.
void Connection::issue_r2ts(Command& command) noexcept {
  command.progress_ns = now_ns();
  if (command.state() != CommandState::awaiting_data) {
    command.set_state(CommandState::awaiting_data);
    command.waits_since_ns = command.progress_ns;
  }
  uint32_t active = 0;
  for (const Transfer& transfer : command.transfers) active += transfer.active ? 1 : 0;
  for (Transfer& transfer : command.transfers) {
    if (active >= maxr2t_ || command.requested_bytes == command.data.bytes) break;
    if (transfer.active) continue;
    const uint32_t length =
        std::min(command.data.bytes - command.requested_bytes, limits::r2t_bytes);
    transfer = Transfer{command.requested_bytes, length, 0, true, true};
    command.requested_bytes += length;
    ++active;
    ++transfers_under_way_;
  }
  enqueue_send(command);
  watch_for_stall();
}

// All data of the command is here (or a digest was wrong, and no more is due).
void Connection::execute(Command& command) noexcept {
  if (command.digest_failed) {
    other_half_fails(command);
    respond(command, {nvme::StatusCode::transient_transport_error, false});
    return;
  }
  if (&command == &connect_command_) {
    execute_connect(command);
  } else if (command.forwarded) {
    execute_at_control_plane(command);
  } else {
    execute_io(command);
  }
}

}  // namespace ashlar::target
