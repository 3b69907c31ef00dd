// A controller that lies: scripted over the simulated network, it answers the handshake well and
// then sends one wrong thing. The host ends the association with the right word, tells every
// command exactly once, and touches no memory but the commands' own.
#include <array>
#include <cstdlib>
#include <deque>
#include <functional>

#include "tcp/receive.h"
#include "world.h"
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar;
using namespace ashlar::host;
using namespace ashlar::host::testing;

namespace {

using Bytes = std::vector<std::byte>;

// One connection of the false controller. It answers the handshake and admin commands of a host as
// a good controller would; I/O commands go to `on_io`.
class FalseQueue {
 public:
  FalseQueue(std::unique_ptr<Stream> stream, std::function<void(FalseQueue&)> on_io)
      : on_io_(std::move(on_io)), stream_(std::move(stream)) {
    receive_.context = send_.context = this;
    receive_.done = [](StreamOp& op) noexcept { static_cast<FalseQueue*>(op.context)->got(); };
    send_.done = [](StreamOp& op) noexcept { static_cast<FalseQueue*>(op.context)->sent(); };
    closed_.queue = this;
    closed_.run = [](Task& task) noexcept {
      static_cast<Closed&>(task).queue->closed_done_ = true;
    };
    receive();
  }

  void close() {
    if (!closing_) {
      closing_ = true;
      stream_->close(false, closed_);
    }
  }
  bool closed() const { return closed_done_; }

  // The command that on_io is told of.
  const nvme::Sqe& command() const { return command_; }
  const tcp::Framing& framing() const { return receiver_.framing(); }
  // Headers are encoded here, then sent with what follows them.
  std::array<std::byte, tcp::max_header_bytes> header{};
  void send_header(uint32_t bytes) { append({header.data(), bytes}); }
  void append(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    flush();
  }
  // The FES of the H2CTermReq that came; 0: none yet.
  uint16_t term_req_fes = 0;

 private:
  struct Closed : Task {
    FalseQueue* queue = nullptr;
  };

  void receive() {
    receive_.into = buffer_;
    stream_->receive(receive_);
  }
  void got() {
    if (closing_) return;
    if (receive_.result <= 0) {
      close();
      return;
    }
    std::span<const std::byte> input(buffer_.data(), static_cast<size_t>(receive_.result));
    for (;;) {
      const tcp::Step step = receiver_.next(input);
      input = input.subspan(step.consumed);
      CHECK(step.kind != tcp::Step::Kind::violation);  // Our own host never lies.
      if (step.kind == tcp::Step::Kind::need_more) break;
      if (step.kind == tcp::Step::Kind::header) take_header();
    }
    receive();
  }
  void take_header() {
    switch (receiver_.shape().type) {
      case tcp::PduType::ic_req: {
        tcp::Framing framing;
        framing.maxh2cdata = 65536;
        receiver_.negotiated(framing);
        send_header(tcp::encode_ic_resp(header, 0, 0, 65536));
        return;
      }
      case tcp::PduType::h2c_term_req: term_req_fes = receiver_.term_req().fes; return;
      case tcp::PduType::capsule_cmd: break;
      default: return;
    }
    command_ = receiver_.capsule_cmd().sqe;
    if (admin_ || command_.opcode == 0x7f) {
      answer_commands();
    } else {
      on_io_(*this);
    }
  }
  void answer_commands() {
    nvme::Cqe cqe{};
    cqe.cid = command_.cid;
    nvme::PropertyCommand property;
    std::memcpy(&property, &command_, sizeof property);
    nvme::ConnectCommand connect;
    std::memcpy(&connect, &command_, sizeof connect);
    if (command_.opcode == 0x7f && property.fctype == 1) {
      admin_ = connect.qid == 0;
      cqe.result = 1;
    } else if (command_.opcode == 0x7f && property.fctype == 4) {
      cqe.result = property.offset == 0 ? uint64_t{1023} | uint64_t{20} << 24
                                        : nvme::csts_ready | nvme::csts_shst_complete;
    } else if (command_.opcode == 0x06) {
      Bytes identify(nvme::identify_bytes);
      write_at<uint32_t>(identify, nvme::identify_controller_ioccsz, 4);  // No data in capsules.
      send_header(
          tcp::encode_c2h_data(header, framing(), cqe.cid, 0, nvme::identify_bytes, true, true));
      append(identify);
      return;
    }
    send_header(tcp::encode_capsule_resp(header, framing(), cqe));
  }
  void flush() {
    if (sending_ || closing_ || out_.empty()) return;
    in_flight_.swap(out_);
    out_.clear();
    segment_ = {in_flight_.data(), in_flight_.size()};
    send_.segments = {&segment_, 1};
    sending_ = true;
    stream_->send(send_);
  }
  void sent() {
    sending_ = false;
    in_flight_.clear();
    if (!closing_ && send_.result >= 0) flush();
  }

  std::function<void(FalseQueue&)> on_io_;
  std::unique_ptr<Stream> stream_;
  tcp::PduReceiver receiver_{tcp::Role::controller};
  Bytes buffer_ = Bytes(64 * 1024);
  StreamOp receive_;
  StreamOp send_;
  iovec segment_{};
  Bytes out_;
  Bytes in_flight_;
  bool sending_ = false;
  bool admin_ = false;
  bool closing_ = false;
  bool closed_done_ = false;
  Closed closed_;
  nvme::Sqe command_{};
};

// A false controller beside the world's true target.
struct FalseController {
  FalseController(World& in, std::function<void(FalseQueue&)> on_io) : world(in) {
    auto made = in.networks[2].listen(
        {"10.0.0.9", 6666}, [this, on_io](std::unique_ptr<AcceptedStream> accepted) {
          auto stream = world.networks[2].adopt(std::move(accepted));
          CHECK(stream.ok());
          queues.push_back(std::make_unique<FalseQueue>(std::move(stream).value(), on_io));
        });
    CHECK(made.ok());
    listener = std::move(made).value();
  }
  ~FalseController() {
    Task gone;
    gone.run = [](Task&) noexcept {};
    listener->close(gone);
    for (const auto& queue : queues) queue->close();
    world.run_until([this] {
      return std::all_of(queues.begin(), queues.end(), [](const auto& q) { return q->closed(); });
    });
    world.settle(1'000'000'000);
  }
  uint16_t term_req_fes() const {
    uint16_t fes = 0;
    for (const auto& queue : queues) fes = std::max(fes, queue->term_req_fes);
    return fes;
  }

  World& world;
  std::unique_ptr<Listener> listener;
  std::vector<std::unique_ptr<FalseQueue>> queues;
};

struct Lie {
  const char* name;
  nvme::IoOpcode opcode;
  uint16_t fes;  // What the H2CTermReq says; 0: none is sent.
  std::function<void(FalseQueue&)> tell;
};

const Bytes data(131072, std::byte{0x5a});
std::span<const std::byte> some(size_t bytes) {
  return std::span(data).first(bytes);
}

nvme::Cqe cqe_of(uint16_t cid) {
  nvme::Cqe cqe{};
  cqe.cid = cid;
  return cqe;
}

// Each command is of 8 blocks: 32 KiB.
const std::vector<Lie> lies = {
    {"a response for a slot that does not exist", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_capsule_resp(q.header, q.framing(), cqe_of(1023)));
     }},
    {"a response for an earlier generation of the slot", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       const auto cid = static_cast<uint16_t>(q.command().cid - 1024);
       q.send_header(tcp::encode_capsule_resp(q.header, q.framing(), cqe_of(cid)));
     }},
    {"a response twice", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(tcp::encode_capsule_resp(q.header, q.framing(), cqe_of(cid)));
       q.send_header(tcp::encode_capsule_resp(q.header, q.framing(), cqe_of(cid)));
     }},
    {"data for a slot that does not exist", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), 900, 0, 4096, true, true));
       q.append(some(4096));
     }},
    {"data for a write", nvme::IoOpcode::write, 1,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 0, 4096, true, true));
       q.append(some(4096));
     }},
    {"more data than was asked for, in one PDU", nvme::IoOpcode::read, 4,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 0, 32772, true, true));
       q.append(some(32772));
     }},
    {"more data than was asked for, in a second PDU", nvme::IoOpcode::read, 4,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 0, 32768, false, false));
       q.append(some(32768));
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 32768, 4, true, true));
       q.append(some(4));
     }},
    {"data after the last", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 0, 4096, true, false));
       q.append(some(4096));
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 4096, 4096, true, false));
       q.append(some(4096));
     }},
    {"data from an offset that leaves a gap", nvme::IoOpcode::read, 4,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(tcp::encode_c2h_data(q.header, q.framing(), cid, 4, 4096, true, true));
       q.append(some(4096));
     }},
    {"data at the far end of 32 bits", nvme::IoOpcode::read, 4,
     [](FalseQueue& q) {
       const uint16_t cid = q.command().cid;
       q.send_header(
           tcp::encode_c2h_data(q.header, q.framing(), cid, 0xffffeffc, 4096, true, true));
       q.append(some(4096));
     }},
    {"R2T for a read", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_r2t(q.header, q.framing(), q.command().cid, 0, 0, 4096));
     }},
    {"R2T for a slot that does not exist", nvme::IoOpcode::write, 1,
     [](FalseQueue& q) { q.send_header(tcp::encode_r2t(q.header, q.framing(), 777, 0, 0, 4096)); }},
    {"R2T beyond the command's data", nvme::IoOpcode::write, 4,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_r2t(q.header, q.framing(), q.command().cid, 0, 0, 32772));
     }},
    {"R2T from the middle", nvme::IoOpcode::write, 4,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_r2t(q.header, q.framing(), q.command().cid, 0, 4096, 4096));
     }},
    {"R2T for the whole of it twice", nvme::IoOpcode::write, 5,
     [](FalseQueue& q) {
       // In one piece: the host allowed one R2T at a time, and has both before it can answer.
       Bytes both(48);
       tcp::encode_r2t(q.header, q.framing(), q.command().cid, 0, 0, 32768);
       std::memcpy(both.data(), q.header.data(), 24);
       tcp::encode_r2t(q.header, q.framing(), q.command().cid, 1, 0, 32768);
       std::memcpy(both.data() + 24, q.header.data(), 24);
       q.append(both);
     }},
    {"a second IC response", nvme::IoOpcode::read, 2,
     [](FalseQueue& q) { q.send_header(tcp::encode_ic_resp(q.header, 0, 0, 4096)); }},
    {"a PDU of the host's own direction", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_capsule_cmd(q.header, q.framing(), nvme::Sqe{}, 0));
     }},
    {"a digest that was not negotiated", nvme::IoOpcode::read, 1,
     [](FalseQueue& q) {
       tcp::Framing with_digest = q.framing();
       with_digest.hdgst = true;
       q.send_header(tcp::encode_capsule_resp(q.header, with_digest, cqe_of(q.command().cid)));
     }},
    {"a C2HTermReq", nvme::IoOpcode::read, 0,
     [](FalseQueue& q) {
       q.send_header(tcp::encode_term_req(q.header, tcp::Role::controller,
                                          {tcp::FatalErrorStatus::pdu_sequence_error, 0}, {}));
     }},
};

}  // namespace

TEST_CASE("hostile controller: one lie of each kind ends the association with the right word") {
  for (const Lie& lie : lies) {
    INFO(std::string(lie.name));
    // Undivided, so that what is said at once is heard at once.
    sim::SimNetworkOptions network;
    network.split = false;
    network.min_window_bytes = network.max_window_bytes;
    World world(41, network);
    bool told = false;
    FalseController controller(world, [&](FalseQueue& queue) {
      if (!told) lie.tell(queue);
      told = true;
    });
    auto options = world.options();
    options.address.port = 6666;
    options.io_queues = 1;
    TestHost host(world, options);
    host.wait_connected();
    REQUIRE(host.connected);
    // Memory right behind the command's own shows whether more was written than belongs.
    std::deque<TestIo> ios;
    for (int i = 0; i < 5; ++i) {
      TestIo& io = ios.emplace_back(lie.opcode, static_cast<uint64_t>(i) * 8, 8);
      io.memory.resize(io.memory.size() + 4096, std::byte{0x11});
      io.piece = {io.memory.data(), io.memory.size() - 4096};
      host.association->queue(1).submit(io.command);
    }
    world.run_until([&host] { return host.lost; });
    CHECK(host.association->end_reason().code == ErrorCode::protocol_error);
    for (const TestIo& io : ios) {
      CHECK_EQ(io.told, 1);
      CHECK(std::all_of(io.memory.end() - 4096, io.memory.end(),
                        [](std::byte b) { return b == std::byte{0x11}; }));
    }
    world.settle(1'000'000'000);
    CHECK_EQ(controller.term_req_fes(), lie.fes);
    host.close();
  }
}

TEST_CASE("hostile controller: a write answered before its data was asked for ends well") {
  World world(43);
  FalseController controller(world, [](FalseQueue& queue) {
    // Legal: the command has failed, so the controller wants no data. The host must not send any.
    nvme::Cqe cqe = cqe_of(queue.command().cid);
    cqe.status = nvme::status_field(nvme::StatusCode::namespace_write_protected, true);
    queue.send_header(tcp::encode_capsule_resp(queue.header, queue.framing(), cqe));
  });
  auto options = world.options();
  options.address.port = 6666;
  TestHost host(world, options);
  host.wait_connected();
  REQUIRE(host.connected);
  std::deque<TestIo> ios;
  for (int i = 0; i < 100; ++i) {
    host.association->queue(1).submit(ios.emplace_back(nvme::IoOpcode::write, 0, 8).command);
  }
  world.run_until([&ios] {
    return std::all_of(ios.begin(), ios.end(), [](const TestIo& io) { return io.over(); });
  });
  for (const TestIo& io : ios) {
    CHECK(io.command.fate == Fate::completed);
    CHECK_EQ(io.command.status(), 0x020);
    CHECK(io.command.do_not_retry());
  }
  CHECK(!host.lost);
}

TEST_CASE("hostile controller: random bytes after the handshake never do more than end it") {
  const char* asked = std::getenv("ASHLAR_TEST_SEED");
  const uint64_t first = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 1;
  for (uint64_t seed = first; seed < first + (asked != nullptr ? 1 : 300); ++seed) {
    INFO("ASHLAR_TEST_SEED=", seed);
    World world(seed);
    FalseController controller(world, [&world](FalseQueue& queue) {
      SeededRandom& random = world.random;
      const uint16_t cid = queue.command().cid;
      // A good header, a byte or two of it spoiled, and noise behind.
      uint32_t length = 0;
      switch (random.below(3)) {
        case 0:
          length = tcp::encode_capsule_resp(queue.header, queue.framing(), cqe_of(cid));
          break;
        case 1:
          length = tcp::encode_c2h_data(queue.header, queue.framing(), cid, 0, 4096, true, true);
          break;
        default: length = tcp::encode_r2t(queue.header, queue.framing(), cid, 0, 0, 4096); break;
      }
      for (uint64_t i = random.below(3); i > 0; --i) {
        queue.header[random.below(length)] = static_cast<std::byte>(random.next_u64());
      }
      queue.send_header(length);
      Bytes noise(random.below(5000));
      random.fill(noise);
      queue.append(noise);
    });
    auto options = world.options();
    options.address.port = 6666;
    options.io_queues = 1;
    options.keep_alive_ms = 2000;
    options.command_timeout_ns = 3'000'000'000;
    TestHost host(world, options);
    host.wait_connected();
    REQUIRE(host.connected);
    std::deque<TestIo> ios;
    for (int i = 0; i < 12; ++i) {
      const auto opcode = i % 2 == 0 ? nvme::IoOpcode::read : nvme::IoOpcode::write;
      host.association->queue(1).submit(ios.emplace_back(opcode, 0, 8).command);
    }
    world.run_until([&ios] {
      return std::all_of(ios.begin(), ios.end(), [](const TestIo& io) { return io.over(); });
    });
    for (const TestIo& io : ios) CHECK_EQ(io.told, 1);
  }
}
