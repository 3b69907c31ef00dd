#include "world.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "plain/admit.h"
#include "store/cold_io.h"

namespace ashlar::bench {
namespace {

constexpr uint64_t MiB = 1 << 20;
constexpr uint64_t turn_ns = 1000;
constexpr uint32_t layers_per_commit = 64;
constexpr uint64_t write_bytes = MiB;

Uuid uuid_of(uint64_t number) {
  Uuid uuid{std::byte{0xb5}};
  std::memcpy(uuid.data() + 8, &number, sizeof number);
  return uuid;
}

store::Change new_layer(uint64_t number, uint64_t bytes, uint64_t parent) {
  store::Change change{};
  change.kind = store::Change::Kind::create_layer;
  change.layer = uuid_of(number);
  if (parent != 0) change.parent = change.volume_from = uuid_of(parent);
  change.size_bytes = bytes;
  change.block_bytes = block_bytes;
  return change;
}

}  // namespace

World::World(const WorldOptions& chosen) : options(chosen) {
  Meter::rest();
  make_pool();
  make_volumes();
  CHECK(buffers_.open(limits::default_buffer_bytes).ok());
  target_ = std::make_unique<target::Target>(
      std::vector<target::ReactorPort>{{&sim_.loop(0), &wire_, &buffers_, &counters_}}, *this);
  bool listens = false;
  target_->listen({1, {"10.0.0.1", 4420}, true, true}, [&](Result<uint16_t> listening) {
    CHECK(listening.ok());
    listens = true;
  });
  settle_until([&] { return listens; });
}

World::~World() {
  Meter::rest();
  bool done = false;
  target_->close([&] { done = true; });
  settle_until([&] { return std::exchange(done, false); });
  for (store::Volume* volume : volumes_) {
    pool_->close_volume(*volume, [&] { done = true; });
    settle_until([&] { return std::exchange(done, false); });
  }
  pool_->close([&](Status closed) {
    CHECK(closed.ok());
    done = true;
  });
  settle_until([&] { return done; });
}

void World::settle() {
  sim::SimLoop& loop = sim_.loop(0);
  while (loop.has_ready() || wire_.has_ready()) {
    wire_.deliver();
    Meter::target_runs(true);
    loop.run_ready();
    Meter::target_runs(false);
    sim_.clock().advance_to(sim_.clock().now_ns() + turn_ns);
  }
}

void World::settle_until(const std::function<bool()>& done) {
  for (;;) {
    settle();
    if (done()) return;
    // Only a timer can move it on.
    const uint64_t next_ns = sim_.loop(0).next_deadline_ns();
    CHECK(next_ns != UINT64_MAX);
    sim_.clock().advance_to(next_ns);
    sim_.loop(0).run_ready();
  }
}

// ---- The store ----------------------------------------------------------------------------------

void World::make_pool() {
  // Pages of what is never written are never taken from the system.
  const uint64_t data = options.volumes * (options.mapped_bytes * (1 + options.snapshots));
  auto memory = DeviceMemory::open(2 * data + options.volumes * 64 * 1024 * 2 + 512 * MiB);
  CHECK(memory.ok());
  device_ = std::make_unique<MemoryDevice>(sim_.loop(0), std::move(memory).value());
  store::PoolOptions settings;
  settings.uuid = uuid_of(0);
  bool made = false;
  store::Pool::create({{&sim_.loop(0), device_.get()}}, 0, settings, sim_.random(),
                      [&](Result<std::unique_ptr<store::Pool>> result) {
                        CHECK(result.ok());
                        pool_ = std::move(result).value();
                        made = true;
                      });
  settle_until([&] { return made; });
}

void World::commit(std::vector<store::Change> changes) {
  bool done = false;
  pool_->commit(std::move(changes), [&](Status status) {
    CHECK(status.ok());
    done = true;
  });
  settle_until([&] { return done; });
}

void World::make_volumes() {
  std::vector<store::Change> changes;
  for (uint32_t nsid = 1; nsid <= options.volumes; ++nsid) {
    changes.push_back(new_layer(++layers_, options.volume_bytes, 0));
    if (changes.size() == layers_per_commit || nsid == options.volumes) {
      commit(std::exchange(changes, {}));
    }
  }
  for (uint32_t nsid = 1; nsid <= options.volumes; ++nsid) {
    auto opened = pool_->open_volume(uuid_of(nsid));
    CHECK(opened.ok());
    volumes_.push_back(opened.value());
    backends_.push_back(opened.value());
    if (options.plain) {
      auto memory = DeviceMemory::open(options.volume_bytes);
      CHECK(memory.ok());
      plain_.push_back(std::make_unique<PlainMemory>(std::vector<Loop*>{&sim_.loop(0)},
                                                     std::move(memory).value()));
      backends_.back() = plain_.back().get();
    }
    if (options.metered != Metered::no) {
      meters_.push_back(std::make_shared<target::Meter>(1, tenant_));
      // As after the first command.
      meters_.back()->part(0, sim_.loop(0));
    }
    if (options.metered == Metered::limited) {
      meters_.back()->set_limits({.iops = 1'000'000'000, .bytes_per_second = uint64_t{1} << 40},
                                 sim_.loop(0).clock().now_ns());
    }
    const uint64_t step = std::min(options.mapped_bytes, write_bytes);
    for (uint64_t at = 0; at < options.mapped_bytes; at += step) {
      write(nsid, at / block_bytes, step);
    }
  }
  for (uint32_t taken = 0; taken < options.snapshots; ++taken) {
    snapshot();
    const uint64_t blocks = options.mapped_bytes / block_bytes;
    for (uint64_t i = 0; i < blocks / (options.snapshots + 1); ++i) {
      write(1, sim_.random().below(blocks), block_bytes);
    }
  }
}

void World::snapshot() {
  const uint64_t top = options.volumes == layers_ ? 1 : layers_;
  commit({new_layer(++layers_, options.volume_bytes, top)});
}

void World::write(uint32_t nsid, uint64_t block, uint64_t bytes) {
  static store::AlignedBuffer memory(write_bytes);
  for (uint64_t at = 0; at < bytes; at += block_bytes) {
    const uint64_t stamp = stamp_of(nsid, block + at / block_bytes);
    std::memcpy(memory.data() + at, &stamp, sizeof stamp);
  }
  const iovec segment{memory.data(), bytes};
  bool done = false;
  BlockIo io;
  io.op = BlockOp::write;
  io.offset_bytes = block * block_bytes;
  io.length_bytes = bytes;
  io.segments = {&segment, 1};
  io.context = &done;
  io.done = [](BlockIo& ended) noexcept {
    CHECK(ended.status == BlockStatus::ok);
    *static_cast<bool*>(ended.context) = true;
  };
  backends_[nsid - 1]->submit(0, io);
  settle_until([&] { return done; });
}

// ---- The control plane --------------------------------------------------------------------------

bool World::connect_requested(target::ConnectRequest request) noexcept {
  const uint16_t made = admit(*target_, request, backends_, controllers_, meters_);
  if (made != 0) target_->set_enabled(made, true);
  return true;
}

std::unique_ptr<Peer> World::join(uint16_t qid, uint16_t cntlid, bool digests, uint16_t entries) {
  auto peer = std::make_unique<Peer>(wire_, digests);
  settle();
  peer->send_ic_req();
  settle();
  peer->take();
  CHECK(peer->exchanged());
  peer->send_connect(qid, cntlid, entries);
  settle();
  peer->take();
  CHECK(peer->under_way() == 0);
  return peer;
}

void World::connect(uint16_t io_queues, bool digests, uint16_t entries) {
  Meter::rest();
  admins_.push_back(join(0, 0xffff, digests, 32));
  for (uint16_t qid = 1; qid <= io_queues; ++qid) {
    peers.push_back(join(qid, controllers_, digests, entries));
  }
}

}  // namespace ashlar::bench
