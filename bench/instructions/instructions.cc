// What an I/O costs in instructions: the whole target, one thread, no kernel. Run under callgrind,
// which writes one dump a row; prints one JSON object a row with what it counted itself.
//
//   instructions SCENE...    some of the scenes
//   instructions             which there are, after what made the program
//
// What the figures hold: everything from the end of a receive to the beginning of a send, through
// target, store and device. What they leave out: the host, the kernel, io_uring and the reactor's
// half of it (native/reactor/uring*.cc), since valgrind knows no io_uring; and the C library's
// copies, which are told in bytes.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "meter.h"
#include "world.h"

using namespace ashlar;
using namespace ashlar::bench;

namespace {

constexpr uint64_t KiB = 1024, MiB = 1024 * KiB;

struct Row {
  const char* name;
  nvme::IoOpcode op = nvme::IoOpcode::read;
  uint32_t bytes = 4096;
  uint32_t depth = 1;
  size_t first_peer = 0, peers = 1;
  size_t at_once = 1;  // Of the peers, in turn.
  uint32_t ios = 512;
  bool once = false;  // No block twice, none before; then a Flush, which counts.
};

constexpr auto write = nvme::IoOpcode::write;

// Commands in rounds: `at_once` queues get `depth` commands each, and when all are answered the
// next ones do.
class Run {
 public:
  Run(World& world, const Row& row) : world_(world), row_(row) {
    const uint64_t slots = world.options.mapped_bytes / row.bytes;
    for (uint64_t slot = 0; row.once && slot < slots; ++slot) order_.push_back(slot);
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random_.below(i)]);
  }
  uint64_t go(uint32_t ios) {
    uint64_t done = 0;
    while (done < ios) {
      for (size_t i = 0; i < row_.at_once; ++i) {
        Peer& peer = next_peer();
        for (uint32_t d = 0; d < row_.depth; ++d) submit(peer);
      }
      done += round();
    }
    if (row_.once) {
      next_peer().submit(nvme::IoOpcode::flush, 1, 0, 0);
      round();
    }
    return done;
  }

 private:
  Peer& next_peer() {
    Peer& peer = *world_.peers[row_.first_peer + turn_++ % row_.peers];
    active_.push_back(&peer);
    return peer;
  }
  void submit(Peer& peer) {
    const uint64_t slots = world_.options.mapped_bytes / row_.bytes;
    const uint32_t nsid = 1 + static_cast<uint32_t>(random_.below(world_.options.volumes));
    const uint64_t slot = row_.once ? order_.at(next_++) : random_.below(slots);
    peer.submit(row_.op, nsid, slot * (row_.bytes / block_bytes), row_.bytes);
  }
  uint64_t round() {
    uint64_t before = 0, after = 0;
    for (const Peer* peer : active_) before += peer->completed();
    for (bool waits = true; waits;) {
      world_.settle();
      waits = false;
      for (Peer* peer : active_) {
        peer->take();
        waits = waits || peer->under_way() != 0;
      }
    }
    for (const Peer* peer : active_) after += peer->completed();
    active_.clear();
    return after - before;
  }

  World& world_;
  const Row& row_;
  sim::SimRandom random_{7};
  std::vector<uint64_t> order_;
  size_t next_ = 0;
  size_t turn_ = 0;
  std::vector<Peer*> active_;
};

void measure(World& world, const Row& row) {
  // What is made on first use is made before, where a row can be repeated.
  if (!row.once) Run(world, row).go(static_cast<uint32_t>(4 * row.peers * row.depth));
  Run run(world, row);
  Meter::begin();
  const uint64_t ios = run.go(row.ios);
  const Calls calls = Meter::end(row.name);
  const auto each = [&](const char* what, uint64_t count) {
    std::printf(",\"%s\":%" PRIu64, what, count);
  };
  std::printf("{\"row\":\"%s\"", row.name);
  each("ios", ios);
  each("allocations", calls.allocations);
  each("frees", calls.frees);
  each("locks", calls.locks);
  each("copiedBytes", calls.copied_bytes);
  each("setBytes", calls.set_bytes);
  std::puts("}");
  std::fflush(stdout);
}

void measure(World& world, const std::vector<Row>& rows) {
  for (const Row& row : rows) measure(world, row);
}

// ---- Scenes -------------------------------------------------------------------------------------

void depths() {
  World world({});
  world.connect(8, false);
  measure(world, {
                     {.name = "read 4 KiB, depth 1"},
                     {.name = "read 4 KiB, depth 32", .depth = 32},
                     {.name = "read 4 KiB, depth 128", .depth = 128},
                     {.name = "write 4 KiB, depth 1", .op = write},
                     {.name = "write 4 KiB, depth 32", .op = write, .depth = 32},
                     {.name = "write 4 KiB, depth 128", .op = write, .depth = 128},
                     {.name = "read 4 KiB, 8 queues of 32", .depth = 32, .peers = 8, .at_once = 8},
                     {.name = "write 4 KiB, 8 queues of 32",
                      .op = write,
                      .depth = 32,
                      .peers = 8,
                      .at_once = 8},
                 });
}

constexpr uint32_t large = 128 * KiB;

void large_ones() {
  World world({});
  world.connect(1, false);
  measure(
      world,
      {{.name = "read 128 KiB, depth 32", .bytes = large, .depth = 32, .ios = 64},
       {.name = "write 128 KiB, depth 32", .op = write, .bytes = large, .depth = 32, .ios = 64}});
}

void digests() {
  World world({});
  world.connect(1, true);
  measure(world,
          {{.name = "read 4 KiB, depth 32, digests", .depth = 32},
           {.name = "write 4 KiB, depth 32, digests", .op = write, .depth = 32},
           {.name = "read 128 KiB, depth 32, digests", .bytes = large, .depth = 32, .ios = 32},
           {.name = "write 128 KiB, depth 32, digests",
            .op = write,
            .bytes = large,
            .depth = 32,
            .ios = 32}});
}

// One command at a time, each on the next connection: what idle connections cost those that are not
// shows in full.
void connections() {
  World world({.volume_bytes = 16 * MiB, .mapped_bytes = 16 * MiB});
  world.connect(1, false, 32);
  const auto rows = [&](const char* one, const char* other, const char* all = nullptr) {
    const size_t count = world.peers.size();
    measure(world, {{.name = one, .peers = count, .ios = 1000},
                    {.name = other, .op = write, .peers = count, .ios = 1000}});
    if (all == nullptr) return;
    measure(world, {.name = all, .peers = count, .at_once = count, .ios = 1000});
  };
  rows("read 4 KiB, 1 connection", "write 4 KiB, 1 connection");
  while (world.peers.size() < 100) world.connect(9, false, 32);
  rows("read 4 KiB, 100 connections", "write 4 KiB, 100 connections");
  while (world.peers.size() < 1000) world.connect(10, false, 32);
  rows("read 4 KiB, 1000 connections", "write 4 KiB, 1000 connections",
       "read 4 KiB, 1000 connections at once");
}

void volumes(uint32_t count, const char* one, const char* other) {
  World world({.volumes = count, .volume_bytes = 1 * MiB, .mapped_bytes = 4 * KiB});
  world.connect(1, false);
  measure(world, {{.name = one, .depth = 32, .ios = 512},
                  {.name = other, .op = write, .depth = 32, .ios = 512}});
}
void volumes_1() {
  volumes(1, "read 4 KiB, 1 volume", "write 4 KiB, 1 volume");
}
void volumes_1000() {
  volumes(1000, "read 4 KiB, 1000 volumes", "write 4 KiB, 1000 volumes");
}
void volumes_10000() {
  volumes(10000, "read 4 KiB, 10000 volumes", "write 4 KiB, 10000 volumes");
}

void snapshots() {
  World world({.volume_bytes = 64 * MiB, .mapped_bytes = 64 * MiB, .snapshots = 16});
  world.connect(1, false);
  measure(world, {{.name = "read 4 KiB, 16 snapshots", .depth = 32, .ios = 512}});
  world.snapshot();
  measure(world, {{.name = "first write 4 KiB after a snapshot",
                   .op = write,
                   .depth = 32,
                   .ios = 512,
                   .once = true}});
}

// What the rows of the same names in `depths` cost less without a map.
void plain() {
  World world({.plain = true});
  world.connect(1, false);
  measure(world, {{.name = "read 4 KiB, depth 32, plain memory", .depth = 32},
                  {.name = "write 4 KiB, depth 32, plain memory", .op = write, .depth = 32}});
}

// What the rows of the same names in `depths` cost without being counted, and with limits.
void not_counted() {
  World world({.metered = Metered::no});
  world.connect(1, false);
  measure(world, {{.name = "read 4 KiB, depth 32, not counted", .depth = 32},
                  {.name = "write 4 KiB, depth 32, not counted", .op = write, .depth = 32}});
}
void limited() {
  World world({.metered = Metered::limited});
  world.connect(1, false);
  measure(world, {{.name = "read 4 KiB, depth 32, limited", .depth = 32},
                  {.name = "write 4 KiB, depth 32, limited", .op = write, .depth = 32}});
}

struct Scene {
  const char* name;
  void (*run)();
};
constexpr Scene scenes[] = {
    {"depths", depths},
    {"large", large_ones},
    {"digests", digests},
    {"connections", connections},
    {"volumes-1", volumes_1},
    {"volumes-1000", volumes_1000},
    {"volumes-10000", volumes_10000},
    {"snapshots", snapshots},
    {"plain", plain},
    {"not-counted", not_counted},
    {"limited", limited},
};

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const auto* const found = std::find_if(std::begin(scenes), std::end(scenes), [&](auto& scene) {
      return std::strcmp(scene.name, argv[i]) == 0;
    });
    if (found == std::end(scenes)) {
      std::fprintf(stderr, "no scene '%s'\n", argv[i]);
      return 2;
    }
    found->run();
  }
  if (argc == 1) {
    std::puts("g++ " __VERSION__);
    for (const Scene& scene : scenes) std::puts(scene.name);
  }
  return 0;
}
