// The rig of the target's tests: a whole target on two simulated reactors, a memory volume, a
// control plane that answers at once unless told otherwise, and hosts that speak raw PDUs. One
// thread, one seed, simulated time.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "nvme/fabrics.h"
#include "nvme/nvm.h"
#include "sim/sim_network.h"
#include "target/meter.h"
#include "target/target.h"
#include "tcp/receive.h"

#include "../test.h"

namespace ashlar::target::rig {

using Bytes = std::vector<std::byte>;

struct TestClock final : Clock {
  uint64_t now_ns() noexcept override { return now; }
  uint64_t wall_ms() noexcept override { return now / 1'000'000; }
  uint64_t now = 1;
};

struct TestRandom final : Random {
  explicit TestRandom(uint64_t seed) : state(seed) {}
  uint64_t next_u64() noexcept override {  // SplitMix64.
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  void fill(std::span<std::byte> bytes) noexcept override {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(next_u64());
  }
  uint64_t state;
};

struct TestLoop final : Loop {
  using Loop::Loop;
  void wake() noexcept override {}
};

inline Bytes pattern(size_t length, uint64_t seed) {
  Bytes bytes(length);
  TestRandom(seed).fill(bytes);
  return bytes;
}

// A volume in memory. Completions come from the submitting reactor's loop, or when released.
class MemoryVolume final : public BlockBackend {
 public:
  MemoryVolume(std::vector<Loop*> loops, uint32_t block_bytes, uint64_t size_bytes)
      : memory(size_bytes), block_bytes_(block_bytes), loops_(std::move(loops)) {
    for (size_t i = 0; i < loops_.size(); ++i) {
      runners_.push_back(std::make_unique<Runner>());
      runners_[i]->volume = this;
      runners_[i]->run = [](Task& task) noexcept {
        auto& runner = static_cast<Runner&>(task);
        if (!runner.volume->held) runner.volume->complete(runner);
      };
    }
  }
  uint32_t block_size_bytes() const noexcept override { return block_bytes_; }
  uint64_t size_bytes() const noexcept override { return memory.size(); }
  void submit(uint32_t reactor, BlockIo& io) noexcept override {
    log.push_back({io.op, io.fua, io.deallocate, io.offset_bytes, io.length_bytes});
    runners_[reactor]->waiting.push_back(&io);
    wake(reactor);
  }
  // Pieces of a block each, as long as there are any.
  bool lend(uint32_t, uint64_t offset_bytes, uint64_t length_bytes, Loan& loan) noexcept override {
    if (!lends) return false;
    while (length_bytes > 0) {
      const bool last = loan.piece_count + 1 == loan.pieces.size();
      const uint64_t length = last ? length_bytes : std::min<uint64_t>(length_bytes, 4096);
      loan.pieces[loan.piece_count++] = {&memory[offset_bytes], length};
      offset_bytes += length;
      length_bytes -= length;
    }
    ++loans;
    ++lent;
    return true;
  }
  void end_loan(uint32_t, Loan& loan) noexcept override {
    REQUIRE(loan.piece_count > 0);
    --loans;
  }
  bool write_in_place(uint32_t, uint64_t offset_bytes,
                      std::span<const std::byte> bytes) noexcept override {
    if (!lends) return false;
    std::memcpy(&memory[offset_bytes], bytes.data(), bytes.size());
    ++written_in_place;
    return true;
  }
  void release() {
    held = false;
    for (size_t i = 0; i < runners_.size(); ++i) wake(i);
  }
  size_t under_way() const {
    size_t count = 0;
    for (const auto& runner : runners_) count += runner->waiting.size();
    return count;
  }

  struct Entry {
    BlockOp op;
    bool fua;
    bool deallocate;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    bool operator==(const Entry&) const = default;
  };
  Bytes memory;
  std::vector<Entry> log;
  bool held = false;
  bool lends = false;
  int loans = 0;  // Under way.
  int lent = 0;   // Ever.
  int written_in_place = 0;
  BlockStatus status = BlockStatus::ok;

 private:
  struct Runner : Task {
    MemoryVolume* volume = nullptr;
    std::deque<BlockIo*> waiting;
  };
  void wake(size_t reactor) {
    if (!runners_[reactor]->queued.load()) loops_[reactor]->defer(*runners_[reactor]);
  }
  void complete(Runner& runner) {
    std::deque<BlockIo*> batch;
    batch.swap(runner.waiting);
    for (BlockIo* io : batch) {
      uint64_t at = io->offset_bytes;
      io->status = status;
      for (const iovec& segment : io->segments) {
        if (io->op == BlockOp::read) std::memcpy(segment.iov_base, &memory[at], segment.iov_len);
        if (io->op == BlockOp::write) std::memcpy(&memory[at], segment.iov_base, segment.iov_len);
        at += segment.iov_len;
      }
      if (io->op == BlockOp::write_zeroes || io->op == BlockOp::deallocate) {
        std::memset(&memory[at], 0, io->length_bytes);
      }
      io->done(*io);
    }
  }
  const uint32_t block_bytes_;
  std::vector<Loop*> loops_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

struct RigOptions {
  uint64_t seed = 1;
  sim::SimNetworkOptions network{.min_delay_ns = 1000,
                                 .max_delay_ns = 5000,
                                 .split = false,
                                 .min_window_bytes = 256 * 1024,
                                 .max_window_bytes = 256 * 1024};
  uint64_t buffer_bytes = 8 << 20;
  uint32_t block_bytes = 4096;
  uint64_t volume_bytes = 16 << 20;
  bool allow_header_digest = true;
  bool allow_data_digest = true;
  PortalTls tls = PortalTls::none;
};

inline constexpr PortalId portal_id = 7;
inline constexpr uint16_t cntlid = 0x123;

class Rig final : public TargetEvents {
 public:
  explicit Rig(RigOptions options = {})
      : random(options.seed), wire(random, options.network), volume({&a, &b}, options.block_bytes,
                                                                    options.volume_bytes) {
    REQUIRE(a_buffers.open(options.buffer_bytes).ok());
    REQUIRE(b_buffers.open(options.buffer_bytes).ok());
    target = std::make_unique<Target>(
        std::vector<ReactorPort>{{&a, &a_network, &a_buffers, &a_counters},
                                 {&b, &b_network, &b_buffers, &b_counters}},
        *this);
    target->listen({portal_id, {"10.0.0.1", 4420}, options.allow_header_digest,
                    options.allow_data_digest, options.tls},
                   [this](Result<uint16_t> result) { port = result.ok() ? result.value() : 0; });
    run_until([this] { return port != 0; });
  }
  ~Rig() {
    bool closed = false;
    volume.release();
    target->close([&] { closed = true; });
    CHECK(run_until([&] { return closed; }));
    settle();
    CHECK_EQ(volume.under_way(), 0);
    CHECK_EQ(counted().under_way, 0);
  }

  bool step() {
    if (a.run_ready() + b.run_ready() + host.run_ready() > 0) return true;
    const uint64_t next =
        std::min({a.next_deadline_ns(), b.next_deadline_ns(), host.next_deadline_ns()});
    if (next == UINT64_MAX || next > time_limit) return false;
    clock.now = std::max(clock.now, next);
    return true;
  }
  // Runs until it holds, for a simulated minute at most.
  bool run_until(const std::function<bool()>& condition) {
    time_limit = clock.now + 60'000'000'000;
    for (int i = 0; i < 5'000'000; ++i) {
      if (condition()) return true;
      if (!step()) break;
    }
    return condition();
  }
  // Lets everything that follows from what has happened happen, short of timeouts.
  void settle(uint64_t within_ns = 100'000'000) {
    time_limit = clock.now + within_ns;
    while (step()) {
    }
  }
  void pass(uint64_t ns) {
    settle(ns);
    clock.now = std::max(clock.now, time_limit);
    settle(0);
  }

  // ---- The control plane ----
  bool connect_requested(ConnectRequest request) noexcept override {
    connects.push_back(request);
    if (full) return false;
    if (!answer_connects) return true;
    nvme::ConnectCommand connect;
    std::memcpy(&connect, &request.sqe, sizeof connect);
    if (connect.qid == 0) {
      make_controller(next_controller);
      target->accept(request.connection, next_controller++, authentication);
    } else {
      target->accept(request.connection, next_controller - 1, authentication);
    }
    return true;
  }
  void make_controller(ControllerId id) {
    target->create_controller(id, {cntlid, max_io_queues, 4, 1 << 20, hostid});
    target->set_namespaces(id, namespaces(), [] {});
    target->set_keep_alive(id, keep_alive_ms);
    target->set_enabled(id, enabled);
  }
  bool command_requested(CommandRequest request) noexcept override {
    forwarded.push_back(request);
    if (full) return false;
    if (answer_commands) {
      CommandCompletion completion;
      completion.result = 0xabcd;
      completion.data = command_answer;
      target->complete_command(request.controller, request.command, std::move(completion));
    }
    return true;
  }
  void controller_ended(ControllerEnded end) noexcept override { ended.push_back(end); }
  std::vector<Namespace> namespaces() {
    return {{1, 1, false, &volume, ReservationRule::none, meter},
            {5, 2, true, &volume, ReservationRule::none, meter}};
  }
  MeterSum counted() const {
    MeterSum sum;
    meter->read(sum);
    return sum;
  }
  // As the control plane does it, on both reactors.
  void limit(const RateLimits& limits) {
    meter->set_limits(limits, clock.now);
    for (uint32_t reactor = 0; reactor < 2; ++reactor) {
      MeterPart* part = meter->part_if_made(reactor);
      if (part != nullptr) part->limits_changed();
    }
  }

  TestClock clock;
  TestRandom random;
  TestLoop a{clock, 0};
  TestLoop b{clock, 1};
  TestLoop host{clock, 2};
  sim::SimWire wire;
  sim::SimNetwork a_network{wire, a, "10.0.0.1"};
  sim::SimNetwork b_network{wire, b, "10.0.0.1"};
  sim::SimNetwork host_network{wire, host, "10.0.0.9"};
  ReactorCounters a_counters;
  ReactorCounters b_counters;
  BufferPool a_buffers{a, a_counters};
  BufferPool b_buffers{b, b_counters};
  MemoryVolume volume;
  std::shared_ptr<Meter> tenant = std::make_shared<Meter>(2, nullptr);
  std::shared_ptr<Meter> meter = std::make_shared<Meter>(2, tenant);
  std::unique_ptr<Target> target;
  uint16_t port = 0;
  uint64_t time_limit = 0;

  bool answer_connects = true;
  bool answer_commands = true;
  bool full = false;
  Authentication authentication = Authentication::none;
  bool enabled = true;
  uint32_t max_io_queues = 4;
  uint32_t keep_alive_ms = 0;
  Uuid hostid{};
  ControllerId next_controller = 1;
  Bytes command_answer;
  std::vector<ConnectRequest> connects;
  std::vector<CommandRequest> forwarded;
  std::vector<ControllerEnded> ended;
};

constexpr uint16_t code(nvme::StatusCode status) { return static_cast<uint16_t>(status); }

// One PDU that came from the target.
struct Received {
  tcp::PduType type{};
  uint8_t flags = 0;
  uint32_t padding_bytes = 0;
  Bytes header;
  Bytes data;
  bool digest_ok = true;
  template <class T>
  T as() const {
    T value;
    std::memcpy(&value, header.data(), sizeof value);
    return value;
  }
};

struct PeerOptions {
  uint8_t hpda_0based = 0;
  uint8_t dgst = 0;
  uint32_t maxr2t_0based = 0;
  bool disable_sqflow = false;
  uint16_t sqsize_0based = 31;
  // Puts something between the host and its socket.
  std::function<std::unique_ptr<Stream>(Loop&, std::unique_ptr<Stream>)> wrap;
};

inline nvme::Sqe make_sqe(uint8_t opcode, uint16_t cid, uint32_t nsid = 1) {
  nvme::Sqe sqe{};
  sqe.opcode = opcode;
  sqe.flags = 0x40;
  sqe.cid = cid;
  sqe.nsid = nsid;
  sqe.sgl.type_subtype = nvme::sgl_transport_data_block;
  return sqe;
}

inline nvme::Sqe make_sqe(nvme::IoOpcode opcode, uint16_t cid, uint64_t slba, uint32_t blocks,
                          uint32_t block_bytes = 4096) {
  nvme::Sqe sqe = make_sqe(static_cast<uint8_t>(opcode), cid);
  sqe.cdw10 = static_cast<uint32_t>(slba);
  sqe.cdw11 = static_cast<uint32_t>(slba >> 32);
  sqe.cdw12 = blocks - 1;
  sqe.sgl.length = blocks * block_bytes;
  return sqe;
}

inline nvme::Sqe in_capsule(nvme::Sqe sqe, uint32_t offset = 0) {
  sqe.sgl.type_subtype = nvme::sgl_data_block_offset;
  sqe.sgl.address = offset;
  return sqe;
}

// A host that says exactly what a test wants it to say.
class Peer {
 public:
  explicit Peer(Rig& of, PeerOptions peer_options = {}, sim::SimNetwork* from = nullptr)
      : rig(of), options(peer_options) {
    connect_op_.to = {"10.0.0.1", rig.port};
    connect_op_.timeout_ns = 1'000'000'000;
    connect_op_.done = [](ConnectOp& op) noexcept {
      static_cast<Peer*>(op.context)->tried_ = true;
    };
    connect_op_.context = this;
    receive_op_.context = send_op_.context = this;
    receive_op_.done = [](StreamOp& op) noexcept { static_cast<Peer*>(op.context)->on_received(); };
    send_op_.done = [](StreamOp& op) noexcept { static_cast<Peer*>(op.context)->on_sent(); };
    (from != nullptr ? *from : rig.host_network).connect(connect_op_);
    rig.run_until([this] { return tried_; });
    stream = std::move(connect_op_.stream);
    if (options.wrap && stream != nullptr) stream = options.wrap(rig.host, std::move(stream));
    if (stream != nullptr) listen();
  }
  ~Peer() {
    hang_up();
  }
  void hang_up(bool linger = true) {
    if (stream == nullptr) return;
    closed_task_.run = [](Task& task) noexcept { static_cast<ClosedTask&>(task).done = true; };
    stream->close(linger, closed_task_);
    rig.run_until([this] { return closed_task_.done; });
    stream.reset();
  }

  // ---- Bytes ----
  void send(Bytes bytes) {
    if (stream == nullptr) return;
    outgoing_.push_back(std::move(bytes));
    if (!sending_) send_next();
  }
  // ---- PDUs ----
  void send_ic_req() {
    Bytes bytes(128);
    tcp::encode_ic_req(bytes, options.hpda_0based, options.dgst, options.maxr2t_0based);
    send(bytes);
  }
  Bytes command_pdu(const nvme::Sqe& sqe, std::span<const std::byte> data = {}) {
    Bytes bytes(tcp::max_header_bytes);
    bytes.resize(tcp::encode_capsule_cmd(bytes, framing, sqe, static_cast<uint32_t>(data.size())));
    append_data(bytes, data);
    return bytes;
  }
  void send_command(const nvme::Sqe& sqe, std::span<const std::byte> data = {}) {
    send(command_pdu(sqe, data));
  }
  Bytes h2c_pdu(uint16_t cccid, uint16_t ttag, uint32_t datao, std::span<const std::byte> data,
                bool last) {
    Bytes bytes(tcp::max_header_bytes);
    bytes.resize(tcp::encode_h2c_data(bytes, framing, cccid, ttag, datao,
                                      static_cast<uint32_t>(data.size()), last));
    append_data(bytes, data);
    return bytes;
  }
  void send_h2c(uint16_t cccid, uint16_t ttag, uint32_t datao, std::span<const std::byte> data,
                bool last) {
    send(h2c_pdu(cccid, ttag, datao, data, last));
  }
  void append_data(Bytes& bytes, std::span<const std::byte> data) {
    bytes.insert(bytes.end(), data.begin(), data.end());
    if (!framing.ddgst || data.empty()) return;
    const uint32_t digest = tcp::data_digest(data);
    bytes.resize(bytes.size() + 4);
    std::memcpy(bytes.data() + bytes.size() - 4, &digest, 4);
  }

  // ---- Steps ----
  bool exchange() {
    send_ic_req();
    return rig.run_until([this] { return exchanged || ended(); }) && exchanged;
  }
  nvme::Sqe connect_sqe(uint16_t qid) {
    nvme::ConnectCommand connect{};
    connect.opcode = 0x7f;
    connect.flags = 0x40;
    connect.cid = 0x55;
    connect.fctype = static_cast<uint8_t>(nvme::FabricsType::connect);
    connect.sgl.type_subtype = nvme::sgl_data_block_offset;
    connect.sgl.length = 1024;
    connect.qid = qid;
    connect.sqsize_0based = options.sqsize_0based;
    connect.cattr = options.disable_sqflow ? nvme::cattr_disable_sqflow : 0;
    nvme::Sqe sqe;
    std::memcpy(&sqe, &connect, sizeof sqe);
    return sqe;
  }
  std::optional<nvme::Cqe> connect_queue(uint16_t qid) {
    send_command(connect_sqe(qid), pattern(1024, qid));
    return response();
  }
  bool join(uint16_t qid) {
    if (!exchange()) return false;
    const auto cqe = connect_queue(qid);
    return cqe.has_value() && cqe->status == 0;
  }
  // The next PDU; nothing when the connection ended (or a minute passed) first.
  std::optional<Received> next() {
    rig.run_until([this] { return !received.empty() || ended(); });
    if (received.empty()) return std::nullopt;
    Received pdu = std::move(received.front());
    received.pop_front();
    return pdu;
  }
  std::optional<nvme::Cqe> response() {
    const auto pdu = next();
    if (!pdu || pdu->type != tcp::PduType::capsule_resp) return std::nullopt;
    return pdu->as<tcp::CapsuleResp>().cqe;
  }
  // Status (SCT << 8 | SC) of the next response; FFFFh when none comes.
  uint16_t status() {
    const auto cqe = response();
    return cqe ? static_cast<uint16_t>(cqe->status >> 1 & 0x7ff) : uint16_t{0xffff};
  }
  uint16_t run(const nvme::Sqe& sqe, std::span<const std::byte> data = {}) {
    send_command(sqe, data);
    return status();
  }
  // Answers R2Ts until the response: several H2CData for one R2T, `piece` bytes each.
  uint16_t write_by_r2t(const nvme::Sqe& sqe, const Bytes& data, uint32_t piece) {
    send_command(sqe);
    for (;;) {
      const auto pdu = next();
      if (!pdu) return 0xffff;
      if (pdu->type != tcp::PduType::r2t) {
        return static_cast<uint16_t>(pdu->as<tcp::CapsuleResp>().cqe.status >> 1 & 0x7ff);
      }
      const auto r2t = pdu->as<tcp::R2T>();
      ++r2ts;
      for (uint32_t done = 0; done < r2t.r2tl; done += piece) {
        const uint32_t length = std::min(piece, r2t.r2tl - done);
        send_h2c(r2t.cccid, r2t.ttag, r2t.r2to + done,
                 std::span(data).subspan(r2t.r2to + done, length), done + length == r2t.r2tl);
      }
    }
  }
  // The C2HTermReq that ends the connection, and that it does end.
  std::optional<tcp::TermReq> termination() {
    std::optional<tcp::TermReq> term;
    while (const auto pdu = next()) {
      if (pdu->type == tcp::PduType::c2h_term_req) {
        term = pdu->as<tcp::TermReq>();
        quoted = pdu->data;
        break;
      }
    }
    return term;
  }
  bool ended() const { return end_of_stream; }

  Rig& rig;
  PeerOptions options;
  std::unique_ptr<Stream> stream;
  tcp::Framing framing;  // Towards the target, and of what comes back.
  bool exchanged = false;
  bool end_of_stream = false;
  bool reading = true;  // False: bytes are left in the wire.
  std::deque<Received> received;
  Bytes quoted;
  int r2ts = 0;
  tcp::IcResp ic_resp{};

 private:
  struct ClosedTask : Task {
    bool done = false;
  };

 public:
  void listen() {
    if (receiving_ || end_of_stream || !reading) return;
    receiving_ = true;
    receive_op_.into = buffer_;
    stream->receive(receive_op_);
  }

 private:
  void on_received() {
    receiving_ = false;
    if (receive_op_.result <= 0) {
      end_of_stream = true;
      return;
    }
    std::span<const std::byte> input(buffer_.data(), static_cast<size_t>(receive_op_.result));
    for (;;) {
      const tcp::Step step = receiver_.next(input);
      input = input.subspan(step.consumed);
      if (step.kind == tcp::Step::Kind::need_more) break;
      take(step);
      if (step.kind == tcp::Step::Kind::violation) break;
    }
    listen();
  }
  void take(const tcp::Step& step) {
    switch (step.kind) {
      case tcp::Step::Kind::header: {
        const auto& shape = receiver_.shape();
        const auto header = receiver_.header_bytes();
        Received pdu{shape.type, shape.flags, shape.padding_bytes,
                     Bytes(header.begin(), header.end()), {}, true};
        if (shape.type == tcp::PduType::ic_resp) {
          ic_resp = receiver_.ic_resp();
          framing.hdgst = (ic_resp.dgst & tcp::digest_header) != 0;
          framing.ddgst = (ic_resp.dgst & tcp::digest_data) != 0;
          framing.cpda_bytes = tcp::alignment_bytes(ic_resp.cpda_0based);
          framing.hpda_bytes = tcp::alignment_bytes(options.hpda_0based);
          framing.maxh2cdata = ic_resp.maxh2cdata;
          receiver_.negotiated(framing);
          exchanged = true;
          return;
        }
        current_ = std::move(pdu);
        if (shape.data_bytes == 0) received.push_back(std::move(current_));
        return;
      }
      case tcp::Step::Kind::data:
        current_.data.insert(current_.data.end(), step.data.begin(), step.data.end());
        return;
      case tcp::Step::Kind::end:
        current_.digest_ok = step.data_digest_ok;
        received.push_back(std::move(current_));
        return;
      case tcp::Step::Kind::violation:
        FAIL("the target sent a malformed PDU");
        return;
      case tcp::Step::Kind::need_more: return;
    }
  }
  void send_next() {
    if (outgoing_.empty()) return;
    sending_ = true;
    segment_ = {outgoing_.front().data(), outgoing_.front().size()};
    send_op_.segments = {&segment_, 1};
    stream->send(send_op_);
  }
  void on_sent() {
    sending_ = false;
    outgoing_.pop_front();
    if (send_op_.result < 0) {
      outgoing_.clear();
      return;
    }
    send_next();
  }

  ConnectOp connect_op_;
  StreamOp receive_op_;
  StreamOp send_op_;
  iovec segment_{};
  ClosedTask closed_task_;
  bool tried_ = false;
  bool receiving_ = false;
  bool sending_ = false;
  Received current_;
  Bytes buffer_ = Bytes(16384);
  std::deque<Bytes> outgoing_;
  tcp::PduReceiver receiver_{tcp::Role::host, 3};
};

// A controller with an admin queue and one I/O queue.
struct Live {
  explicit Live(RigOptions options = {}, PeerOptions peer = {})
      : rig(options), admin(rig), io(rig, peer) {
    REQUIRE(admin.join(0));
    REQUIRE(io.join(1));
  }
  Rig rig;
  Peer admin;
  Peer io;
};

}  // namespace ashlar::target::rig
