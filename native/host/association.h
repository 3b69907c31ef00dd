// Association: our own NVMe/TCP host connected to one controller, with an admin queue and I/O
// queues spread over reactors.
//
// One loop is home: the admin queue, the keep-alive timer and every decision live there. Each I/O
// queue lives on its own loop and is used there only; messages between the two are tasks that this
// object owns, each posted at most once in its life.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/command.h"
#include "host/queue.h"

namespace ashlar::host {

struct Reactor {
  Loop* loop = nullptr;
  Network* network = nullptr;
};

struct AssociationOptions {
  SocketAddress address;
  std::string subnqn;
  std::string hostnqn;
  std::array<uint8_t, 16> hostid{};
  uint32_t io_queues = 1;        // 0: an admin queue only, as for discovery.
  uint32_t queue_entries = 128;  // Of each I/O queue; cut to what the controller takes.
  bool hdgst = false;
  bool ddgst = false;
  uint8_t hpda_0based = 0;
  uint32_t keep_alive_ms = 0;  // 0: none.
  uint64_t connect_timeout_ns = 10'000'000'000;
  uint64_t command_timeout_ns = 30'000'000'000;
};

// What the controller said of itself.
struct ControllerFacts {
  uint64_t cap = 0;
  uint16_t cntlid = 0;
  uint32_t max_transfer_bytes = 0;  // 0: no limit.
  uint32_t in_capsule_bytes = 0;    // Of I/O commands.
};

class Association final : private QueueOwner {
 public:
  // `home` and every one of `io_reactors` outlive this. I/O queue n lives on
  // io_reactors[(n - 1) % size]. Fails with invalid_argument.
  static Result<std::unique_ptr<Association>> create(const Reactor& home,
                                                     std::span<const Reactor> io_reactors,
                                                     const AssociationOptions& options);
  ~Association();  // Never connected, or closed; no command is under way.
  Association(const Association&) = delete;
  Association& operator=(const Association&) = delete;

  // The calls and callbacks below are on home's loop.

  // Once. `connected` runs when every queue is live, or with what went wrong; then nothing but the
  // destructor is left to call.
  void connect(void (*connected)(void* context, const Status& status), void* context) noexcept;
  // Gives up while connecting: `connected` is called with `cancelled`. Does nothing afterwards.
  void cancel() noexcept;
  // When a connected association ends by itself: every command was told first. close() is still
  // due. Set before connect().
  void on_lost(void (*lost)(void* context, const Error& reason), void* context) noexcept;
  // Once, after connect() has called back with success. Shuts the controller down in good order
  // when there is still one (CC.SHN), then ends the queues. Commands under way are told `lost`;
  // who wants them to end well waits for them first. `closed` runs last, from a task of its own.
  void close(void (*closed)(void* context), void* context) noexcept;

  // Any thread, once connected. 0 is the admin queue. Commands go to queue(qid).submit() on
  // queue(qid).loop()'s thread.
  Queue& queue(uint32_t qid) noexcept;
  uint32_t io_queues() const noexcept { return io_queue_count_; }
  uint32_t queue_entries() const noexcept { return queue_entries_; }
  const ControllerFacts& facts() const noexcept { return facts_; }
  const Error& end_reason() const noexcept { return reason_; }
  Loop& home() noexcept { return home_loop_; }

 private:
  enum class State : uint8_t {
    idle,
    joining_admin,    // The admin queue connects; its owner call moves on.
    reading_cap,      // Property Get CAP is out.
    enabling,         // Property Set CC is out.
    getting_ready,    // Property Get CSTS is out, or the poll timer runs, until CSTS.RDY.
    identifying,      // Identify Controller is out.
    counting_queues,  // Set Features Number of Queues is out.
    joining_io,       // I/O queues connect; their messages move on.
    live,
    shutting_down,  // CC.SHN is set; CSTS is polled until SHST says complete.
    ending,         // Queues are ending; the last one's message moves on.
    ended,
  };

  // One queue and the messages about it.
  struct Member;
  struct Message : Task {
    Member* member = nullptr;
  };
  struct Member {
    Association* association = nullptr;
    std::optional<Queue> queue;
    bool linger = false;
    bool started = false;
    bool end_posted = false;
    bool end_seen = false;  // The queue's loop is done with `end`.
    bool queue_over = false;
    bool gone() const noexcept { return queue_over && (!end_posted || end_seen); }
    Message start;    // To the queue's loop.
    Message end;      // To the queue's loop.
    Message live;     // To home.
    Message ended;    // To home.
    Message end_ack;  // To home: `end` has run, so the queue may go away.
  };
  struct HomeTask : Task {
    Association* association = nullptr;
  };
  struct HomeTimer : Timer {
    Association* association = nullptr;
  };

  Association(const Reactor& home, std::span<const Reactor> io_reactors,
              const AssociationOptions& options);
  void set_state(State to) noexcept;
  void queue_live(Queue& queue) noexcept override;
  void queue_ended(Queue& queue) noexcept override;
  Member& member_of(const Queue& queue) noexcept;
  std::unique_ptr<Member> make_member(uint16_t qid, uint32_t entries);
  void start(Member& member) noexcept;
  void member_live(Member& member) noexcept;
  void member_gone(Member& member) noexcept;
  void check_all_gone() noexcept;
  void arm_step_timer(uint64_t after_ns) noexcept;

  void send_property_get(nvme::Property property, bool eight_bytes) noexcept;
  void send_property_set(nvme::Property property, uint32_t value) noexcept;
  void send_identify() noexcept;
  void send_number_of_queues() noexcept;
  void step_done() noexcept;
  void took_identify() noexcept;
  void join_io_queues(uint32_t granted) noexcept;
  void timer_fired() noexcept;
  void now_live() noexcept;
  void send_keep_alive() noexcept;
  void keep_alive_done() noexcept;
  void arm_keep_alive() noexcept;
  void fail(Error reason) noexcept;
  void end_all(bool linger) noexcept;
  void all_gone() noexcept;

  const AssociationOptions options_;
  Loop& home_loop_;
  Network& home_network_;
  const std::vector<Reactor> io_reactors_;
  State state_ = State::idle;
  Error reason_{ErrorCode::closed, "the association was closed"};
  ControllerFacts facts_;
  uint32_t io_queue_count_ = 0;
  uint32_t queue_entries_ = 0;
  uint32_t live_io_queues_ = 0;
  bool was_live_ = false;
  std::vector<std::unique_ptr<Member>> members_;  // By QID.

  Command step_;  // The one admin command of the hand-over-hand states.
  iovec step_data_{};
  std::vector<std::byte> step_buffer_;
  Command keep_alive_;
  bool keep_alive_out_ = false;
  bool step_out_ = false;
  uint64_t deadline_ns_ = 0;  // Of the hand-over-hand states.
  HomeTimer timer_;
  HomeTimer keep_alive_timer_;
  HomeTask ended_task_;

  void (*connected_)(void*, const Status&) = nullptr;
  void* connected_context_ = nullptr;
  void (*lost_)(void*, const Error&) = nullptr;
  void* lost_context_ = nullptr;
  void (*closed_)(void*) = nullptr;
  void* closed_context_ = nullptr;
};

}  // namespace ashlar::host
