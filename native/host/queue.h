// Queue: one queue pair of our own host, over one connection, on one loop.
//
// It connects, exchanges ICReq and ICResp, sends Fabrics Connect, and then carries commands until
// it ends. It believes nothing that the controller sends before it is checked. However it ends,
// every command it took is told exactly once, and only after the connection no longer touches the
// command's memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/list.h"
#include "base/result.h"
#include "host/command.h"
#include "host/limits.h"
#include "host/send_batch.h"
#include "nvme/fabrics.h"
#include "reactor/loop.h"
#include "reactor/network.h"
#include "tcp/receive.h"

namespace ashlar::host {

class Queue;

// Told on the queue's own loop.
class QueueOwner {
 public:
  virtual void queue_live(Queue& queue) noexcept = 0;
  // Once, last: every command has been told and the queue may be destroyed from another task.
  virtual void queue_ended(Queue& queue) noexcept = 0;

 protected:
  ~QueueOwner() = default;
};

struct QueueOptions {
  SocketAddress address;
  uint16_t qid = 0;
  uint32_t entries = admin_queue_entries;  // 2 to max_queue_entries; one less can be in flight.
  bool hdgst = false;
  bool ddgst = false;
  uint8_t hpda_0based = 0;
  // What IOCCSZ leaves for data in the capsule of an I/O command.
  uint32_t in_capsule_bytes = 0;
  uint64_t connect_timeout_ns = 0;
  uint64_t command_timeout_ns = 0;  // Of each command from when it is sent; 0: none.
  uint32_t kato_ms = 0;             // Admin queue only.
  nvme::ConnectData connect_data{};
};

class Queue {
 public:
  Queue(Loop& loop, Network& network, const QueueOptions& options, QueueOwner& owner);
  ~Queue();  // Never started, or queue_ended() was called.
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // All on the loop's thread.
  void start() noexcept;
  // Takes any command at any time. Beyond the entries it waits, in order. On a queue that is not
  // live it is told never_sent.
  void submit(Command& command) noexcept;
  // Ends the connection; the first reason stays. `linger`: let what was sent arrive.
  void end(Error reason, bool linger) noexcept;

  Loop& loop() noexcept { return loop_; }
  uint16_t qid() const noexcept { return options_.qid; }
  uint32_t entries() const noexcept { return options_.entries; }
  bool live() const noexcept { return state_ == State::live; }
  bool ended() const noexcept { return state_ == State::ended; }
  const Error& end_reason() const noexcept { return reason_; }
  uint16_t cntlid() const noexcept { return cntlid_; }  // As the answer to Connect said.
  const tcp::Framing& framing() const noexcept { return receiver_.framing(); }

 private:
  enum class State : uint8_t {
    idle,         // Not started.
    connecting,   // TCP; the network's completion moves on.
    exchanging,   // ICReq is out; the controller's ICResp moves on, or the timer.
    joining,      // Fabrics Connect is out; its completion moves on, or the timer.
    live,         // Commands flow.
    terminating,  // H2CTermReq is on its way; the controller's closing moves on, or the timer.
    closing,      // The stream is closing; its `closed` task moves on.
    telling,      // Commands are being told; a task behind them moves on.
    ended,
  };

  // One command identifier. In out_ while something of it waits to be sent.
  struct Slot : ListNode {
    Command* command = nullptr;  // Null: free.
    uint16_t cid = 0;
    bool capsule_sent = false;   // Put into a batch: some of it may have left.
    bool in_batch = false;       // The send under way names the command's memory.
    bool answered = false;       // Told once the send under way is over.
    bool digest_failed = false;  // Some data came damaged.
    bool last_data_seen = false;
    bool timed = false;
    uint64_t deadline_ns = 0;
    uint32_t out_bytes = 0;
    uint32_t in_bytes = 0;
    // R2T under way: [out_sent, r2t_end) still has to go.
    uint32_t out_sent = 0;
    uint32_t r2t_end = 0;
    uint16_t ttag = 0;
    // Data that came, and the place in data_in where the next goes.
    uint32_t received = 0;
    uint32_t in_segment = 0;
    size_t in_segment_offset = 0;
  };

  template <class Base>
  struct Owned : Base {
    Queue* queue = nullptr;
  };

  void set_state(State to) noexcept;
  bool open() const noexcept {
    return state_ == State::exchanging || state_ == State::joining || state_ == State::live;
  }

  // queue.cc: the life of the connection.
  void connected() noexcept;
  void send_connect_command() noexcept;
  void joined() noexcept;
  void timer_fired() noexcept;
  void stream_closed() noexcept;
  void tell_rest() noexcept;
  void terminate(tcp::Violation violation, const char* what) noexcept;

  // queue_send.cc
  void enqueue(Command& command) noexcept;
  void assign(Slot& slot, Command& command) noexcept;
  void schedule_flush() noexcept;
  void flush() noexcept;
  void put_capsule(Slot& slot) noexcept;
  void put_h2c_data(Slot& slot) noexcept;
  void send_done() noexcept;
  void finish(Slot& slot, Fate fate) noexcept;
  void stamp_deadlines() noexcept;

  // queue_receive.cc
  void start_receive() noexcept;
  void received() noexcept;
  void take(std::span<const std::byte> input) noexcept;
  void take_header() noexcept;
  void take_ic_resp() noexcept;
  void take_capsule_resp() noexcept;
  void take_r2t() noexcept;
  void take_c2h_header() noexcept;
  void take_c2h_data(const tcp::Step& step) noexcept;
  void take_c2h_end(bool digest_ok) noexcept;
  void answer(Slot& slot, const nvme::Cqe& cqe) noexcept;
  Slot* find(uint16_t cid) noexcept;
  std::span<std::byte> destination(Slot& slot) noexcept;

  Loop& loop_;
  Network& network_;
  const QueueOptions options_;
  QueueOwner& owner_;
  State state_ = State::idle;
  Error reason_{ErrorCode::closed, ""};
  bool end_wanted_ = false;  // While connecting: end as soon as the network has answered.
  uint16_t cntlid_ = 0;

  ConnectOp connect_op_;
  std::unique_ptr<Stream> stream_;
  tcp::PduReceiver receiver_;

  StreamOp receive_op_;
  Slot* data_slot_ = nullptr;  // Whose C2HData is under way.
  std::vector<std::byte> receive_buffer_;

  StreamOp send_op_;
  bool sending_ = false;
  tcp::Violation violation_{};
  bool term_req_sent_ = false;
  SendBatch batch_;
  std::array<Slot*, max_batch_pdus> batch_slots_{};
  uint32_t batch_slot_count_ = 0;

  std::vector<Slot> slots_;
  std::vector<uint16_t> free_slots_;  // Capacity fixed at the start.
  List<Slot> out_;
  List<Command> waiting_;  // For a slot.
  List<Command> untaken_;  // Submitted to a queue that is not live.

  Owned<Task> flush_task_;
  Owned<Task> closed_task_;
  Owned<Task> refuse_task_;
  Owned<Task> ended_task_;
  Owned<Timer> timer_;

  Command join_command_;
  iovec join_data_{};
};

}  // namespace ashlar::host
