// World: a whole target on two simulated reactors over a pool on a simulated disk, and a neighbour:
// a host that does everything right. Whatever the others do, the neighbour is served, memory stays
// within its bound, and in the end everything can be taken down.
#pragma once

#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "sim/sim_device.h"
#include "sim/sim_world.h"
#include "store/pool.h"
#include "target/target.h"

#include "peer.h"

namespace ashlar::fuzz {

inline Uuid uuid_of(uint8_t number) {
  Uuid uuid{std::byte{0xa5}};
  uuid[15] = std::byte{number};
  return uuid;
}

inline constexpr uint64_t second_ns = 1'000'000'000;
inline constexpr uint8_t neighbours_layer = 1, large_layer = 2, small_blocks_layer = 3,
                         frozen_layer = 4, live_layer = 5;
inline constexpr uint64_t neighbours_bytes = 256 * 1024;

// A pool, its loops and its disk.
class PoolWorld {
 public:
  PoolWorld(uint64_t seed, const sim::DiskImage& image)
      : world(seed, 3), disk(image, seed ^ 0x5eed) {
    disk.has_kill_safe_memory = false;  // A mapping of its own for every input is what costs most.
  }

  void begin(bool create) {
    std::vector<store::Port> ports;
    for (uint32_t i = 0; i < 2; ++i) {
      devices_.push_back(std::make_unique<sim::SimDevice>(disk, world.loop(i)));
      ports.push_back({&world.loop(i), devices_.back().get()});
    }
    store::PoolOptions options;
    options.uuid = uuid_of(0);
    options.journal_bytes = 1 << 20;
    options.map_cache_bytes = 8 << 20;
    bool answered = false;
    const auto take = [&](Result<std::unique_ptr<store::Pool>> result) {
      CHECK(result.ok());
      pool = std::move(result).value();
      answered = true;
    };
    if (create) {
      store::Pool::create(ports, 0, options, world.random(), take);
    } else {
      store::Pool::open(ports, 0, options, world.random(), take);
    }
    CHECK(world.run_until([&] { return answered; }));
  }
  void commit(std::vector<store::Change> changes) {
    bool answered = false;
    pool->commit(std::move(changes), [&](Status status) {
      CHECK(status.ok());
      answered = true;
    });
    CHECK(world.run_until([&] { return answered; }));
  }
  store::Volume* open_volume(uint8_t layer, bool read_only = false) {
    auto volume = pool->open_volume(uuid_of(layer), read_only);
    CHECK(volume.ok());
    volumes_.push_back(volume.value());
    return volume.value();
  }
  // Closes it all; the pool must be clean.
  void end() {
    for (store::Volume* volume : volumes_) {
      bool closed = false;
      pool->close_volume(*volume, [&] { closed = true; });
      CHECK(world.run_until([&] { return closed; }));
    }
    bool ended = false;
    pool->check([&](Result<store::CheckReport> report) {
      CHECK(report.ok() && report.value().problems.empty());
      ended = true;
    });
    CHECK(world.run_until([&] { return ended; }));
    ended = false;
    pool->close([&](Status status) {
      CHECK(status.ok());
      ended = true;
    });
    CHECK(world.run_until([&] { return ended; }));
    pool.reset();
  }
  // Runs what happens within that time.
  void pass(uint64_t ns) {
    const uint64_t until = world.clock().now_ns() + ns;
    for (;;) {
      bool ready = false;
      for (uint32_t i = 0; i < 3; ++i) {
        ready = ready || world.loop(i).has_ready() || world.loop(i).next_deadline_ns() <= until;
      }
      if (!ready || world.clock().now_ns() > until) break;
      world.step();
    }
    world.clock().advance_to(until);
  }
  bool run_within(uint64_t ns, const std::function<bool()>& done) {
    const uint64_t until = world.clock().now_ns() + ns;
    return world.run_until([&] { return done() || world.clock().now_ns() > until; }) && done();
  }

  sim::SimWorld world;
  sim::SimDisk disk;
  std::unique_ptr<store::Pool> pool;

 private:
  std::vector<std::unique_ptr<sim::SimDevice>> devices_;
  std::vector<store::Volume*> volumes_;
};

inline const Bytes& neighbours_content() {
  static const Bytes content = pattern(neighbours_bytes, 7);
  return content;
}

// The disk that every input starts from: five layers, the neighbour's written.
inline const sim::DiskImage& first_image() {
  static const sim::DiskImage image = [] {
    PoolWorld made(1, sim::DiskImage(32 << 20));
    made.begin(true);
    const auto layer = [](uint8_t number, uint64_t size, uint32_t block, uint8_t parent) {
      store::Change change{};
      change.kind = store::Change::Kind::create_layer;
      change.layer = uuid_of(number);
      if (parent != 0) change.parent = uuid_of(parent);
      change.size_bytes = size;
      change.block_bytes = block;
      return change;
    };
    made.commit({layer(neighbours_layer, neighbours_bytes, 4096, 0),
                 layer(large_layer, 64 << 20, 4096, 0),  // Twice the pool.
                 layer(small_blocks_layer, 4 << 20, 512, 0),
                 layer(frozen_layer, 4 << 20, 4096, 0)});
    made.commit({layer(live_layer, 4 << 20, 4096, frozen_layer)});
    alignas(4096) static std::byte bytes[neighbours_bytes];
    std::memcpy(bytes, neighbours_content().data(), sizeof bytes);
    iovec segment{bytes, sizeof bytes};
    static bool done;
    BlockIo io;
    io.op = BlockOp::write;
    io.length_bytes = neighbours_bytes;
    io.segments = {&segment, 1};
    io.done = [](BlockIo& ended) noexcept { done = ended.status == BlockStatus::ok; };
    made.open_volume(neighbours_layer)->submit(0, io);
    CHECK(made.world.run_until([] { return done; }));
    made.end();
    return made.disk.newest();
  }();
  return image;
}

inline nvme::Sqe make_sqe(uint8_t opcode, uint16_t cid, uint32_t nsid) {
  nvme::Sqe sqe{};
  sqe.opcode = opcode;
  sqe.flags = 0x40;
  sqe.cid = cid;
  sqe.nsid = nsid;
  sqe.sgl.type_subtype = nvme::sgl_transport_data_block;
  return sqe;
}

inline nvme::Sqe connect_sqe(uint16_t cid, uint16_t qid, uint16_t sqsize_0based, uint8_t cattr) {
  nvme::ConnectCommand connect{};
  connect.opcode = 0x7f;
  connect.flags = 0x40;
  connect.cid = cid;
  connect.fctype = static_cast<uint8_t>(nvme::FabricsType::connect);
  connect.sgl.type_subtype = nvme::sgl_data_block_offset;
  connect.sgl.length = sizeof(nvme::ConnectData);
  connect.qid = qid;
  connect.sqsize_0based = sqsize_0based;
  connect.cattr = cattr;
  nvme::Sqe sqe;
  std::memcpy(&sqe, &connect, sizeof sqe);
  return sqe;
}

class World final : public target::TargetEvents {
 public:
  explicit World(uint64_t seed, bool split)
      : allocated_before_(__sanitizer_get_current_allocated_bytes()),
        store(seed, first_image()),
        wire(store.world.random(), sim::SimNetworkOptions{.min_delay_ns = 1000,
                                                          .max_delay_ns = 5000,
                                                          .split = split,
                                                          .min_window_bytes = 4096,
                                                          .max_window_bytes = 256 * 1024}) {
    store.begin(false);
    CHECK(a_buffers.open(2 << 20).ok() && b_buffers.open(2 << 20).ok());
    neighbours_ = store.open_volume(neighbours_layer);
    hostile_ = {{1, 1, false, store.open_volume(large_layer)},
                {2, 1, false, store.open_volume(small_blocks_layer)},
                {3, 2, false, store.open_volume(live_layer)},
                {5, 3, true, store.open_volume(frozen_layer, true)}};
    target = std::make_unique<target::Target>(
        std::vector<target::ReactorPort>{
            {&store.world.loop(0), &a_network, &a_buffers, &a_counters},
            {&store.world.loop(1), &b_network, &b_buffers, &b_counters}},
        *this);
    target->listen({portal, {"10.0.0.1", 4420}, true, true}, [](Result<uint16_t> listening) {
      CHECK(listening.ok() && listening.value() == port);
    });
    store.pass(0);
    admin_ = join(0);
    io_ = join(1);
  }
  ~World() override {
    serve_neighbour();
    for (Peer* peer : {admin_.get(), io_.get()}) peer->close(true);
    bool closed = false;
    target->close([&] { closed = true; });
    // A connection in the middle of anything ends at once; the disk has no delays.
    CHECK(store.run_within(second_ns, [&] { return closed && admin_->gone() && io_->gone(); }));
    CHECK(a_counters.connections.value() == 0 && b_counters.connections.value() == 0);
    CHECK(a_counters.buffers_in_use.value() == 0 && b_counters.buffers_in_use.value() == 0);
    CHECK(ended == created);
    CHECK(a_counters.io_path_allocations.value() == 0);
    store.end();
    target.reset();
  }

  // The neighbour reads what it once wrote and writes it again, within a second.
  void serve_neighbour() {
    const uint64_t slba = turn_++ % (neighbours_bytes / 4096);
    const auto content = std::span(neighbours_content()).subspan(slba * 4096, 4096);
    nvme::Sqe read = make_sqe(static_cast<uint8_t>(nvme::IoOpcode::read), 1, 1);
    read.cdw10 = static_cast<uint32_t>(slba);
    read.sgl.length = 4096;
    io_->reads.clear();
    io_->send(io_->command(read));
    CHECK(answer_of_neighbour() == 0);
    CHECK(io_->reads.size() == 1 && std::ranges::equal(io_->reads[0], content));
    nvme::Sqe write = read;
    write.opcode = static_cast<uint8_t>(nvme::IoOpcode::write);
    io_->send(io_->command(write));
    CHECK(store.run_within(second_ns, [&] { return !io_->r2ts.empty(); }));
    const tcp::R2T r2t = io_->r2ts.front();
    io_->r2ts.clear();
    io_->send(io_->h2c_data(r2t.cccid, r2t.ttag, 0, content, true));
    CHECK(answer_of_neighbour() == 0);
    admin_->send(admin_->command(make_sqe(0x18, 1, 0)));  // Keep Alive.
    CHECK(store.run_within(second_ns, [&] { return !admin_->responses.empty(); }));
    CHECK(admin_->responses.front().status == 0);
    admin_->responses.clear();
  }
  void check_memory() const {
    // The disk remembers what was written twice; all else is the target's, the pool's, the wire's.
    const uint64_t bound = (uint64_t{64} << 20) + 3 * store.disk.written_bytes;
    CHECK(__sanitizer_get_current_allocated_bytes() - allocated_before_ < bound);
  }

  // ---- The control plane ----
  enum class Way : uint8_t { answer, hold, refuse };
  bool connect_requested(target::ConnectRequest request) noexcept override {
    if (request.peer.starts_with("10.0.0.9:")) {
      let_in(request, 0);
      return true;
    }
    if (connects == Way::refuse) return false;
    if (connects == Way::hold && held_connects.size() < 64) {
      held_connects.push_back(std::move(request));
    } else {
      let_in(request, 0);
    }
    return true;
  }
  // As the control plane does: an admin queue gets a controller of its own, others the one that
  // CNTLID of the data names.
  void let_in(const target::ConnectRequest& request, uint64_t named) {
    nvme::ConnectCommand connect;
    std::memcpy(&connect, &request.sqe, sizeof connect);
    nvme::ConnectData data;
    std::memcpy(&data, request.data.data(), sizeof data);
    const bool neighbour = request.peer.starts_with("10.0.0.9:");
    target::ControllerId id = named != 0 ? named : data.cntlid;
    if (!neighbour && id == 1) id = 0;  // That one is not theirs.
    if (connect.qid == 0) {
      id = ++created;
      Uuid hostid;
      std::memcpy(hostid.data(), data.hostid, sizeof data.hostid);
      target->create_controller(id, {static_cast<uint16_t>(id), 16, 4, 1 << 20, hostid});
      target->set_namespaces(
          id, neighbour ? std::vector<target::Namespace>{{1, 1, false, neighbours_}} : hostile_,
          [] {});
      target->set_keep_alive(id, connect.kato_ms);
      target->set_enabled(id, neighbour || enabled);
    }
    target->accept(request.connection, id);
  }
  bool command_requested(target::CommandRequest request) noexcept override {
    if (commands == Way::refuse) return false;
    if (commands == Way::hold && held_commands.size() < 64) {
      held_commands.push_back(std::move(request));
    } else {
      complete(request, 0);
    }
    return true;
  }
  void complete(const target::CommandRequest& request, uint16_t status) {
    target::CommandCompletion completion;
    completion.status = status;
    completion.data = Bytes(request.data_room_bytes);
    target->complete_command(request.controller, request.command, std::move(completion));
  }
  void controller_ended(target::ControllerEnded) noexcept override { ++ended; }
  const std::vector<target::Namespace>& hostile_namespaces() const { return hostile_; }

 private:
  const size_t allocated_before_;

 public:
  static constexpr uint16_t port = 4420;
  static constexpr target::PortalId portal = 7;

  PoolWorld store;
  sim::SimWire wire;
  sim::SimNetwork a_network{wire, store.world.loop(0), "10.0.0.1"};
  sim::SimNetwork b_network{wire, store.world.loop(1), "10.0.0.1"};
  sim::SimNetwork neighbours_network{wire, store.world.loop(2), "10.0.0.9"};
  sim::SimNetwork hostile_network{wire, store.world.loop(2), "10.0.0.66"};
  ReactorCounters a_counters, b_counters;
  BufferPool a_buffers{store.world.loop(0), a_counters};
  BufferPool b_buffers{store.world.loop(1), b_counters};
  std::unique_ptr<target::Target> target;
  Way connects = Way::answer, commands = Way::answer;
  bool enabled = true;
  std::vector<target::ConnectRequest> held_connects;
  std::vector<target::CommandRequest> held_commands;
  target::ControllerId created = 0;
  uint64_t ended = 0;

 private:
  std::unique_ptr<Peer> join(uint16_t qid) {
    auto peer = std::make_unique<Peer>(neighbours_network, port);
    CHECK(store.run_within(second_ns, [&] { return peer->open(); }));
    peer->send(peer->ic_req(0, 0, 0));
    CHECK(store.run_within(second_ns, [&] { return peer->exchanged(); }));
    nvme::ConnectData data{};
    data.cntlid = 1;
    peer->send(peer->command(connect_sqe(1, qid, 31, 0), std::as_bytes(std::span(&data, 1))));
    CHECK(store.run_within(second_ns, [&] { return !peer->responses.empty(); }));
    CHECK(peer->responses.front().status == 0);
    peer->responses.clear();
    return peer;
  }
  uint16_t answer_of_neighbour() {
    CHECK(store.run_within(second_ns, [&] { return !io_->responses.empty(); }));
    const uint16_t status = io_->responses.front().status;
    io_->responses.clear();
    return status;
  }

  store::Volume* neighbours_ = nullptr;
  std::vector<target::Namespace> hostile_;
  std::unique_ptr<Peer> admin_, io_;
  uint64_t turn_ = 0;
};

}  // namespace ashlar::fuzz
