// A world for the host's tests: our host and our target on simulated loops, one thread, one seed,
// with a backend in memory behind and a small control plane in place of TypeScript.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/block_io.h"
#include "base/bytes.h"
#include "base/check.h"
#include "host/association.h"
#include "nvme/fabrics.h"
#include "nvme/nvm.h"
#include "reactor/buffers.h"
#include "reactor/counters.h"
#include "sim/sim_network.h"
#include "target/target.h"

namespace ashlar::host::testing {

struct StillClock final : Clock {
  uint64_t now_ns() noexcept override { return now; }
  uint64_t wall_ms() noexcept override { return now / 1'000'000; }
  uint64_t now = 1;
};

// SplitMix64.
struct SeededRandom final : Random {
  explicit SeededRandom(uint64_t seed) : state(seed) {}
  uint64_t next_u64() noexcept override {
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  void fill(std::span<std::byte> bytes) noexcept override {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(next_u64());
  }
  uint64_t below(uint64_t bound) noexcept { return next_u64() % bound; }
  bool one_in(uint64_t n) noexcept { return below(n) == 0; }
  uint64_t state;
};

struct PlainLoop final : Loop {
  using Loop::Loop;
  void wake() noexcept override {}
};

// Blocks in memory. Each I/O takes a random time and takes effect at its end.
class MemoryBackend final : public BlockBackend {
 public:
  MemoryBackend(std::vector<PlainLoop*> loops, SeededRandom& random, uint32_t block_bytes,
                uint64_t size_bytes)
      : loops_(std::move(loops)), random_(random), block_bytes_(block_bytes), bytes_(size_bytes) {}
  ~MemoryBackend() override { CHECK(under_way_ == 0); }
  uint32_t block_size_bytes() const noexcept override { return block_bytes_; }
  uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  void submit(uint32_t reactor_index, BlockIo& io) noexcept override {
    auto* wait = new Wait;
    wait->backend = this;
    wait->io = &io;
    wait->fire = [](Timer& timer) noexcept {
      const std::unique_ptr<Wait> self(&static_cast<Wait&>(timer));
      self->backend->finish(*self->io);
    };
    ++under_way_;
    PlainLoop& loop = *loops_[reactor_index];
    loop.arm(*wait, loop.clock().now_ns() + 1'000 + random_.below(max_delay_ns));
  }
  uint64_t max_delay_ns = 300'000;
  size_t under_way() const noexcept { return under_way_; }

 private:
  struct Wait : Timer {
    MemoryBackend* backend = nullptr;
    BlockIo* io = nullptr;
  };
  void finish(BlockIo& io) noexcept {
    --under_way_;
    size_t at = io.offset_bytes;
    switch (io.op) {
      case BlockOp::read:
        for (const iovec& piece : io.segments) {
          std::memcpy(piece.iov_base, bytes_.data() + at, piece.iov_len);
          at += piece.iov_len;
        }
        break;
      case BlockOp::write:
        for (const iovec& piece : io.segments) {
          std::memcpy(bytes_.data() + at, piece.iov_base, piece.iov_len);
          at += piece.iov_len;
        }
        break;
      case BlockOp::write_zeroes:
      case BlockOp::deallocate: std::memset(bytes_.data() + at, 0, io.length_bytes); break;
      case BlockOp::flush: break;
    }
    io.status = BlockStatus::ok;
    io.done(io);
  }

  const std::vector<PlainLoop*> loops_;
  SeededRandom& random_;
  const uint32_t block_bytes_;
  std::vector<std::byte> bytes_;
  size_t under_way_ = 0;
};

// The least that a host needs of a control plane; every host gets the one namespace.
class ControlPlane final : public target::TargetEvents {
 public:
  target::Target* target = nullptr;
  BlockBackend* backend = nullptr;
  uint32_t queues_granted = 64;
  uint32_t mqes_0based = 127;
  uint64_t connects = 0;
  uint64_t ended = 0;

  bool connect_requested(target::ConnectRequest request) noexcept override {
    ++connects;
    nvme::ConnectCommand connect;
    std::memcpy(&connect, &request.sqe, sizeof connect);
    nvme::ConnectData data;
    CHECK(request.data.size() == sizeof data);
    std::memcpy(&data, request.data.data(), sizeof data);
    if (std::string(data.subnqn) != subnqn) {
      target->reject(request.connection, 0x182, 1u << 16 | offsetof(nvme::ConnectData, subnqn));
      return true;
    }
    if (connect.qid != 0) {
      target->accept(request.connection, data.cntlid);
      return true;
    }
    const target::ControllerId id = next_id_++;
    target::ControllerOptions options;
    options.cntlid = static_cast<uint16_t>(id);
    options.max_io_queues = queues_granted;
    options.max_transfer_bytes = limits::max_transfer_bytes;
    target->create_controller(id, options);
    target->set_namespaces(id, {target::Namespace{1, 1, false, backend}}, [] {});
    target->set_keep_alive(id, connect.kato_ms);
    controllers_[id] = {};
    target->accept(request.connection, id);
    return true;
  }

  bool command_requested(target::CommandRequest request) noexcept override {
    target::CommandCompletion completion;
    answer(request, completion);
    target->complete_command(request.controller, request.command, std::move(completion));
    return true;
  }

  void controller_ended(target::ControllerEnded what) noexcept override {
    ++ended;
    controllers_.erase(what.controller);
  }
  size_t controllers() const noexcept { return controllers_.size(); }

  static constexpr const char* subnqn = "nqn.2026-01.io.ashlar:test";

 private:
  struct Registers {
    uint32_t cc = 0;
  };

  void answer(const target::CommandRequest& request, target::CommandCompletion& completion) {
    Registers& registers = controllers_[request.controller];
    nvme::PropertyCommand property;
    std::memcpy(&property, &request.sqe, sizeof property);
    switch (static_cast<nvme::AdminOpcode>(request.sqe.opcode)) {
      case nvme::AdminOpcode::fabrics:
        if (property.fctype == static_cast<uint8_t>(nvme::FabricsType::property_set)) {
          registers.cc = static_cast<uint32_t>(property.value);
          target->set_enabled(request.controller, (registers.cc & nvme::cc_enable) != 0);
        } else if (property.offset == 0) {
          completion.result = uint64_t{1} << 37 | uint64_t{20} << 24 | mqes_0based;
        } else {
          completion.result = registers.cc & nvme::cc_enable;
          if ((registers.cc & nvme::cc_shn_normal) != 0) {
            completion.result |= nvme::csts_shst_complete;
          }
        }
        return;
      case nvme::AdminOpcode::identify:
        completion.data.resize(nvme::identify_bytes);
        write_at<uint8_t>(completion.data, nvme::identify_controller_mdts, 8);
        write_at<uint32_t>(completion.data, nvme::identify_controller_ioccsz,
                           (64 + target::limits::in_capsule_bytes) / 16);
        return;
      case nvme::AdminOpcode::set_features:
        completion.result = (queues_granted - 1) << 16 | (queues_granted - 1);
        return;
      default: completion.status = 1; return;
    }
  }

  target::ControllerId next_id_ = 1;
  std::unordered_map<target::ControllerId, Registers> controllers_;
};

struct World {
  explicit World(uint64_t seed, sim::SimNetworkOptions network = {}, uint32_t block_bytes = 4096,
                 uint64_t size_bytes = 4u << 20)
      : random(seed),
        wire(random, network),
        backend({&loops[2], &loops[3]}, random, block_bytes, size_bytes) {
    for (BufferPool& pool : pools) CHECK(pool.open(8u << 20).ok());
    target = std::make_unique<target::Target>(
        std::vector<target::ReactorPort>{{&loops[2], &networks[2], &pools[0], &counters[0]},
                                         {&loops[3], &networks[3], &pools[1], &counters[1]}},
        control);
    control.target = target.get();
    control.backend = &backend;
    target->listen({1, {"10.0.0.9", 4420}}, [this](Result<uint16_t> result) {
      CHECK(result.ok());
      listening = true;
    });
    run_until([this] { return listening; });
  }

  ~World() {
    bool closed = false;
    target->close([&closed] { closed = true; });
    run_until([&closed] { return closed; });
    settle();
    target.reset();
  }

  // Runs what is ready, then moves time to the next timer; false when nothing is left to happen.
  bool step() {
    size_t ran = 0;
    for (PlainLoop& loop : loops) ran += loop.run_ready();
    turns += ran;
    if (ran != 0) return true;
    uint64_t next = UINT64_MAX;
    for (PlainLoop& loop : loops) next = std::min(next, loop.next_deadline_ns());
    if (next == UINT64_MAX) return false;
    clock.now = std::max(clock.now, next);
    return true;
  }
  template <class Condition>
  void run_until(Condition condition) {
    for (uint64_t steps = 0; !condition(); ++steps) {
      CHECK(steps < 50'000'000);  // A hang is a failure, not a wait.
      CHECK(step());
    }
  }
  // Everything that needs no further timer beyond `for_ns` from now.
  void settle(uint64_t for_ns = 60'000'000'000) {
    const uint64_t until = clock.now + for_ns;
    while (clock.now < until && step()) {
    }
  }

  AssociationOptions options() const {
    AssociationOptions o;
    o.address = {"10.0.0.9", 4420};
    o.subnqn = ControlPlane::subnqn;
    o.hostnqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
    o.io_queues = 2;
    o.queue_entries = 32;
    return o;
  }

  StillClock clock;
  SeededRandom random;
  sim::SimWire wire;
  // 0 and 1 are the host's, 2 and 3 the target's.
  PlainLoop loops[4]{{clock, 0}, {clock, 1}, {clock, 0}, {clock, 1}};
  sim::SimNetwork networks[4]{{wire, loops[0], "10.0.0.1"},
                              {wire, loops[1], "10.0.0.1"},
                              {wire, loops[2], "10.0.0.9"},
                              {wire, loops[3], "10.0.0.9"}};
  ReactorCounters counters[2];
  BufferPool pools[2]{{loops[2], counters[0]}, {loops[3], counters[1]}};
  MemoryBackend backend;
  ControlPlane control;
  std::unique_ptr<target::Target> target;
  bool listening = false;
  uint64_t turns = 0;
};

// A host of the world, with its callbacks written down.
struct TestHost {
  TestHost(World& in, const AssociationOptions& options) : world(in) {
    const Reactor home{&in.loops[0], &in.networks[0]};
    const std::vector<Reactor> reactors{{&in.loops[1], &in.networks[1]}, home};
    auto made = Association::create(home, reactors, options);
    CHECK(made.ok());
    association = std::move(made).value();
    association->on_lost(
        [](void* context, const Error&) { static_cast<TestHost*>(context)->lost = true; }, this);
    association->connect(
        [](void* context, const Status& status) {
          TestHost& self = *static_cast<TestHost*>(context);
          self.answered = true;
          if (status.ok()) {
            self.connected = true;
          } else {
            self.refusal = status.error();
          }
        },
        this);
  }
  ~TestHost() {
    CHECK(answered);
    if (connected && !closed) close();
  }
  void wait_connected() {
    world.run_until([this] { return answered; });
  }
  void close() {
    association->close([](void* context) { static_cast<TestHost*>(context)->closed = true; }, this);
    world.run_until([this] { return closed; });
  }

  World& world;
  std::unique_ptr<Association> association;
  bool answered = false;
  bool connected = false;
  bool lost = false;
  bool closed = false;
  Error refusal{ErrorCode::closed, ""};
};

// One I/O command with its own memory.
struct TestIo {
  explicit TestIo(nvme::IoOpcode opcode, uint64_t lba = 0, uint32_t blocks = 1,
                  uint32_t block_bytes = 4096)
      : memory(size_t{blocks} * block_bytes), piece{memory.data(), memory.size()} {
    command.sqe.opcode = static_cast<uint8_t>(opcode);
    command.sqe.nsid = 1;
    if (opcode != nvme::IoOpcode::flush) {
      command.sqe.cdw10 = static_cast<uint32_t>(lba);
      command.sqe.cdw11 = static_cast<uint32_t>(lba >> 32);
      command.sqe.cdw12 = blocks - 1;
    }
    if (opcode == nvme::IoOpcode::read) command.data_in = {&piece, 1};
    if (opcode == nvme::IoOpcode::write || opcode == nvme::IoOpcode::compare) {
      command.data_out = {&piece, 1};
    }
    command.context = this;
    command.done = [](Command& c) noexcept { ++static_cast<TestIo*>(c.context)->told; };
  }
  bool over() const noexcept { return told != 0; }

  std::vector<std::byte> memory;
  iovec piece;
  Command command;
  uint32_t told = 0;
};

}  // namespace ashlar::host::testing
