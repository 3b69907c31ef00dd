// Connection: one queue pair of a controller, on one reactor, from accept to close.
//
//   connection.cc          life, states, timers, messages from the control plane
//   connection_receive.cc  bytes from the socket → PDUs → capsules and data
//   connection_send.cc     responses, data and R2Ts → PDUs → one gathered send
//   connection_data.cc     buffers of a command: share of the pool, reserve, R2Ts
//   connection_io.cc       NVM commands to and from the store
//   connection_copy.cc     Copy, range by range
//   connection_fused.cc    pairs of a Compare and a Write
//   connection_meter.cc    what is counted and limited of a namespace
//   connection_admin.cc    Connect, the other Fabrics commands, and the admin queue
//
// Bounds: commands by the queue's entries, memory by limits.h, buffers by the pool and by this
// connection's share of it. Progress: a command waits for buffers only while it holds none, and
// data in a capsule, which blocks everything behind it in the stream, may always use the
// connection's own reserve, whose last user is at the store and therefore on its way out.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nvme/fabrics.h"
#include "reactor/loop.h"
#include "reactor/network.h"
#include "target/async_events.h"
#include "target/command.h"
#include "target/limits.h"
#include "target/meter.h"
#include "target/range_lock.h"
#include "target/shared.h"
#include "tcp/codec.h"
#include "tcp/receive.h"

namespace ashlar::target {

class Shard;

enum class ConnectionState : uint8_t {
  await_ic_req,   // Accepted; the host's ICReq or a timeout moves it on.
  await_connect,  // ICResp is out; the Connect capsule or a timeout moves it on.
  connecting,     // The control plane has the Connect; its answer or a timeout moves it on.
  live,           // Commands run until the peer, the controller or an error ends it; see Gate.
  terminating,    // C2HTermReq goes out; the peer's close or a timeout moves it on.
  closing,        // The socket closes and commands at the store finish.
  closed,         // Nothing is under way; the shard deletes it.
};

// Which commands a live queue takes.
enum class Gate : uint8_t {
  open,       // All.
  awaiting,   // Authentication only; the control plane's verdict or a timeout moves it on.
  suspended,  // The same, after it was open; a verdict that shuts it or a timeout moves it on.
  shut,       // None: the host failed to authenticate, and the connection ends with the answer.
};

// In its tenant's line (share.h) while what it has received waits for a turn.
class Connection : public ListNode {
 public:
  Connection(Shard& shard, ConnectionId id, std::unique_ptr<Stream> stream,
             std::shared_ptr<PortalState> portal);
  ~Connection();  // Only when closed (CHECKed).
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start() noexcept;
  ConnectionId id() const noexcept { return id_; }
  PortalId portal() const noexcept { return portal_->id; }
  ConnectionState state() const noexcept { return state_; }

  // ---- Messages from the home reactor, on this connection's own ---------------------------------
  // An answer to a Connect that no longer waits is ignored.
  bool accept(AcceptTerms terms) noexcept;  // False: it did not wait.
  // The Connect command that waits for an answer; false when none does.
  bool pending_connect(nvme::ConnectCommand& connect) const noexcept;
  void reject(Refusal refusal, uint64_t result) noexcept;
  // Tells Home::namespaces_settled, now or when the last command of the old table is done.
  void set_namespaces(std::shared_ptr<const NamespaceTable> table, uint64_t update) noexcept;
  void set_keep_alive(uint32_t timeout_ms) noexcept;
  void raise_event(const AsyncEvent& event) noexcept;
  void clear_event(const AsyncEvent& event) noexcept;
  void complete_command(uint32_t token, CommandCompletion completion,
                        QueueVerdict verdict) noexcept;
  // From the gate of this reactor: a change that waited may go on.
  void on_range_free(Command& command) noexcept;
  // From a meter's part on this reactor: a command that a limit kept waiting may begin.
  void on_limit(Command& command) noexcept;
  // Likewise, one that waited until less of its meter is in service.
  void on_share(Command& command) noexcept { go_on(command); }
  // From the reactor's share: its turn. Runs what has come, up to `most` units: one a capsule, and
  // what its data is worth while tenants share the reactor. How many it took.
  uint32_t pump_units(uint32_t most) noexcept;
  void end(EndReason reason, std::string detail) noexcept;
  // The same, but lets a C2HTermReq on its way out arrive.
  void end_with_controller() noexcept;

 private:
  // ---- connection.cc ----------------------------------------------------------------------------
  void set_state(ConnectionState to) noexcept;
  void note_end(EndReason reason, std::string detail) noexcept;
  void terminate(tcp::Violation violation) noexcept;
  void close(bool linger, EndReason reason, std::string detail) noexcept;
  void on_stream_closed() noexcept;
  void finish_if_idle() noexcept;
  void arm_state_timer(uint64_t timeout_ns) noexcept;
  void on_state_timer() noexcept;
  void watch_for_stall() noexcept;
  void on_stall_timer() noexcept;
  bool stalled(std::string& what) noexcept;
  bool awaiting_peer() const noexcept;
  void on_keep_alive_timer() noexcept;
  bool may_receive() const noexcept;
  bool may_respond() const noexcept;
  bool may_command() const noexcept;
  void open_queue() noexcept;
  void on_authenticated() noexcept;
  void on_suspended() noexcept;
  void on_refused(Command& command) noexcept;
  void settle_namespaces() noexcept;
  uint64_t now_ns() noexcept;

  // ---- Slots ------------------------------------------------------------------------------------
  Command* take_slot() noexcept;
  void free_slot(Command& command) noexcept;
  bool cid_in_use(uint16_t cid) const noexcept;
  void mark_cid(uint16_t cid, bool in_use) noexcept;

  // ---- connection_receive.cc --------------------------------------------------------------------
  void post_receive() noexcept;
  std::span<std::byte> choose_rx() noexcept;
  void on_received() noexcept;
  void pump() noexcept;
  void go_on_later() noexcept;
  void resume() noexcept;
  void handle_step(const tcp::Step& step) noexcept;
  void on_header() noexcept;
  void on_ic_req() noexcept;
  void on_capsule() noexcept;
  void on_h2c_data() noexcept;
  void on_data(const tcp::Step& step) noexcept;
  void on_pdu_end(bool digest_ok) noexcept;
  void on_transfer_end(bool digest_ok) noexcept;
  void refuse(Command& command, Refusal refusal, uint64_t result = 0) noexcept;

  // ---- connection_data.cc -----------------------------------------------------------------------
  void begin(Command& command) noexcept;
  void begin_in_capsule(Command& command) noexcept;
  bool acquire(Command& command) noexcept;
  void give_back(Command& command) noexcept;
  void use_reserve(Command& command) noexcept;
  void on_buffers(Command& command) noexcept;
  void serve_share_line() noexcept;
  bool share_allows(uint32_t bytes) const noexcept;
  void issue_r2ts(Command& command) noexcept;
  void execute(Command& command) noexcept;

  // ---- connection_send.cc -----------------------------------------------------------------------
  void respond(Command& command, Refusal outcome, uint64_t result = 0) noexcept;
  bool send_lent() noexcept;
  void take_home(Command& command) noexcept;
  void end_loans() noexcept;
  void enqueue_send(Command& command) noexcept;
  void schedule_send() noexcept;
  void flush_sends() noexcept;
  bool send_has_room() const noexcept;
  void put_response(Command& command) noexcept;
  void put_r2ts(Command& command) noexcept;
  void put_segment(const void* base, size_t length) noexcept;
  std::span<std::byte> header_room() noexcept;
  void on_sent() noexcept;
  void send_control_pdu(uint32_t bytes) noexcept;

  // ---- connection_io.cc -------------------------------------------------------------------------
  void dispatch_io(Command& command, uint32_t capsule_bytes) noexcept;
  bool judge_io(Command& command, uint32_t capsule_bytes, Refusal& refusal) noexcept;
  void execute_io(Command& command) noexcept;
  bool must_wait_for_range(const Command& command) noexcept;
  bool lend(Command& command) noexcept;
  void end_loan(Command& command) noexcept;
  bool write_in_place(Command& command, uint32_t capsule_bytes) noexcept;
  void enter_store(Command& command) noexcept;
  void submit_io(Command& command) noexcept;
  bool next_dsm_range(Command& command) noexcept;
  bool next_flush(Command& command) noexcept;
  bool check_dsm_ranges(Command& command) noexcept;
  void start_with_scratch(Command& command) noexcept;
  bool next_scratch_piece(Command& command) noexcept;
  bool compare_piece_equal(Command& command) noexcept;
  void on_store_done(Command& command) noexcept;
  void finish_at_store(Command& command, Refusal outcome, uint64_t result = 0) noexcept;

  // ---- connection_copy.cc -----------------------------------------------------------------------
  bool check_copy_ranges(Command& command) noexcept;
  bool next_copy_step(Command& command) noexcept;

  // ---- connection_fused.cc ----------------------------------------------------------------------
  bool admit_fused(Command& command) noexcept;
  bool halves_match(const Command& second) const noexcept;
  bool take_fused_block(Command& command) noexcept;
  void free_fused(Command& command) noexcept;
  std::byte* fused_memory(uint32_t block) noexcept;
  void miss_other_half() noexcept;
  void other_half_fails(Command& half) noexcept;
  void abort_half(Command& half, Refusal why) noexcept;
  void on_half_ready(Command& half) noexcept;
  void next_fused() noexcept;
  bool pair_still_right(Command& first, Command& second) noexcept;
  void on_range_locked() noexcept;
  void on_fused_read(Command& first) noexcept;
  void on_fused_written(Command& second) noexcept;
  void finish_fused(Refusal of_first, Refusal of_second) noexcept;

  // ---- connection_meter.cc ----------------------------------------------------------------------
  // What a command without a meter, or without limits, pays is here: a look at two pointers.
  void meter(Command& command, const Namespace* ns) noexcept {
    if (ns != nullptr && ns == met_.ns && received_ns_ == met_.at_ns && command.part == nullptr) {
      enter_part(command, *met_.part);
      return;
    }
    const bool metered = ns != nullptr && ns->meter != nullptr;
    if (metered || command.part != nullptr) {
      change_meter(command, metered ? ns : nullptr);
    }
  }
  bool admit(Command& command) noexcept {
    return command.part == nullptr || !command.part->limited() || admit_limited(command);
  }
  bool pass_limit(Command& command, bool with_data) noexcept {
    return admit(command) || wait_for_limit(command, with_data);
  }
  // Whether it may begin beside what its meter has in service; on_share() goes on with it
  // otherwise.
  bool pass_share(Command& command, bool with_data) noexcept {
    return command.part == nullptr || command.service_units != 0 ||
           command.part->enter_service(share_, command) || wait_for_share(command, with_data);
  }
  bool wait_for_share(Command& command, bool with_data) noexcept;
  void change_meter(Command& command, const Namespace* ns) noexcept;
  static void enter_part(Command& command, MeterPart& part) noexcept {
    command.part = &part;
    command.admitted = false;
    part.counts.begun.add(1);
  }
  void unmeter(Command& command) noexcept;
  void leave_part(Command& command) noexcept {
    if (command.service_units != 0) command.part->leave_service(share_, command);
    command.part = nullptr;
  }
  void count_answer(Command& command) noexcept;
  bool admit_limited(Command& command) noexcept;
  bool wait_for_limit(Command& command, bool with_data) noexcept;
  void go_on(Command& command) noexcept;
  bool leave_meters() noexcept;
  void judge_waiting_again() noexcept;

  // ---- connection_admin.cc ----------------------------------------------------------------------
  void dispatch_connect(Command& command, uint32_t capsule_bytes) noexcept;
  void dispatch_unauthenticated(Command& command, uint32_t capsule_bytes) noexcept;
  void dispatch_io_fabrics(Command& command, uint32_t capsule_bytes) noexcept;
  void dispatch_admin(Command& command, uint32_t capsule_bytes) noexcept;
  void forward(Command& command, uint32_t capsule_bytes) noexcept;
  void execute_at_control_plane(Command& command) noexcept;
  void execute_connect(Command& command) noexcept;
  void on_keep_alive(Command& command) noexcept;
  void on_abort(Command& command) noexcept;
  void on_async_event_request(Command& command) noexcept;
  void deliver_events() noexcept;

  struct OwnedTimer : Timer {
    Connection* owner = nullptr;
  };
  struct OwnedTask : Task {
    Connection* owner = nullptr;
  };
  enum class Hold : uint8_t {
    none,
    slot,     // The capsule waits for a slot whose response is with the socket.
    buffers,  // The capsule's data waits for buffers.
  };
  using Line = CommandLine;

  Shard& shard_;
  ReactorShare& share_;
  const ConnectionId id_;
  std::unique_ptr<Stream> stream_;
  std::shared_ptr<PortalState> portal_;
  ConnectionState state_ = ConnectionState::await_ic_req;

  // What ICReq and Connect settled.
  tcp::Framing to_host_;          // For encoders; the receiver has its own.
  uint32_t maxr2t_ = 1;
  bool sqflow_disabled_ = false;  // No SQHD is needed: C2HData may complete a command (SUCCESS).
  Gate gate_ = Gate::open;
  uint16_t qid_ = 0;
  uint32_t entries_ = 0;
  uint16_t sq_head_ = 0;
  std::shared_ptr<ControllerState> controller_;

  // Slots.
  Command connect_command_;       // Before the connection is live.
  std::deque<Command> commands_;  // As many as were ever needed; each stays where it is.
  uint32_t slots_ = 0;            // The most of them.
  Command* free_ = nullptr;
  uint32_t sending_count_ = 0;    // Slots whose response is with the socket.
  std::vector<uint64_t> cids_;    // One bit a CID: outstanding. Empty before open_queue().

  // Receive side.
  tcp::PduReceiver receiver_{tcp::Role::controller};
  std::unique_ptr<std::byte[]> rx_own_;
  uint32_t rx_own_bytes_ = 0;
  BufferRequest rx_borrowed_;  // Instead of rx_own_ while receives are long.
  bool rx_filled_ = false;     // The last receive that could bring receive_bytes has.
  std::byte* rx_ = nullptr;    // Of the two, the one that is in use.
  uint32_t rx_begin_ = 0;
  uint32_t rx_end_ = 0;
  StreamOp receive_op_;
  bool receive_under_way_ = false;
  bool receive_direct_ = false;   // Into a command's memory instead of rx_.
  Hold hold_ = Hold::none;
  Command* sink_ = nullptr;       // Whose data the stream is in (or waits for, with Hold::buffers).
  Transfer* sink_transfer_ = nullptr;
  uint32_t pdu_data_seen_ = 0;
  uint32_t transfers_under_way_ = 0;  // R2Ts that have not had all their data.
  uint64_t received_total_ = 0;
  uint32_t pumped_units_ = 0;    // In this call of pump_units().
  // The namespace of the command before, which most commands of one receive have in common; its
  // meter has been seen then.
  struct {
    const Namespace* ns = nullptr;
    MeterPart* part = nullptr;
    uint64_t at_ns = 0;
  } met_;
  MeterPart* tenant_ = nullptr;  // Whose share of the reactor it uses; null: not known.
  uint64_t received_ns_ = 0;  // When the last receive completed.

  // Buffers.
  uint64_t held_bytes_ = 0;       // Held, or in the pool's line.
  uint64_t share_bytes_ = 0;
  Line share_line_;
  bool serving_share_line_ = false;
  struct FreePages {
    void operator()(std::byte* memory) const noexcept;
  };
  std::unique_ptr<std::byte, FreePages> reserve_;
  Command* reserve_user_ = nullptr;
  std::unique_ptr<std::byte, FreePages> scratch_;
  Command* scratch_user_ = nullptr;
  Line scratch_line_;

  // Fused pairs.
  struct Fused {
    Fused(RangeLocks& locks, Loop& loop);
    RangeLock lock;
    std::unique_ptr<std::byte, FreePages> memory;
    uint32_t used = 0;  // Blocks of `memory`, a bit each.
  };
  std::unique_ptr<Fused> fused_;     // Made with the first fused command.
  Command* fused_first_ = nullptr;   // The command that comes next must be its second half.
  bool fused_first_failed_ = false;  // Likewise, but it has been answered.
  Line fused_line_;                  // Second halves of pairs that are here whole.
  Command* fused_active_ = nullptr;  // Of the pair that has the lock or awaits it.

  // Send side.
  Line send_queue_;
  Line sent_;                     // Responses in the send under way.
  std::vector<std::byte> send_headers_;
  size_t send_headers_used_ = 0;
  std::vector<iovec> send_segments_;
  size_t send_segments_used_ = 0;
  size_t send_bytes_ = 0;
  bool send_has_loans_ = false;
  uint64_t answer_ns_ = 0;       // When the answers of this send go out; 0: not looked at yet.
  bool wrote_in_place_ = false;  // Since the last send: what it answers is to be fenced before.
  StreamOp send_op_;
  bool send_under_way_ = false;
  OwnedTask flush_task_;
  OwnedTask resume_task_;  // Goes on with the stream: see resume().
  std::array<std::byte, tcp::max_term_req_bytes> control_pdu_{};
  uint32_t control_pdu_bytes_ = 0;  // ICResp or C2HTermReq that waits to go out.
  uint64_t sent_total_ = 0;         // Sends completed.

  // Store.
  std::shared_ptr<const NamespaceTable> namespaces_;
  // The one before, until it has settled: its meters count what is still at the store.
  std::shared_ptr<const NamespaceTable> settling_;
  uint8_t table_parity_ = 0;
  uint32_t at_store_[2] = {0, 0};  // By parity of the table they began with.
  uint64_t settling_update_ = 0;   // 0: none.

  // At the control plane.
  uint32_t forwarded_count_ = 0;
  uint32_t next_token_ = 1;

  // Admin queue.
  AsyncEvents events_;
  Line parked_;
  uint32_t parked_count_ = 0;
  uint32_t keep_alive_ms_ = 0;

  // End.
  OwnedTimer state_timer_;
  uint64_t connect_by_ns_ = 0;  // By when a Connect has to be here that is accepted.
  OwnedTimer stall_timer_;
  OwnedTimer keep_alive_timer_;
  uint64_t stall_received_ = 0;
  uint64_t stall_sent_ = 0;
  OwnedTask closed_task_;
  bool stream_closed_ = false;
  bool end_noted_ = false;
};

}  // namespace ashlar::target
