// Our host against our target, simulated: what one connection does, and how it ends.
#include "host/association.h"

#include <cstdlib>
#include <deque>
#include <optional>

#include "world.h"
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar;
using namespace ashlar::host;
using namespace ashlar::host::testing;

namespace {

uint64_t first_seed() {
  const char* asked = std::getenv("ASHLAR_TEST_SEED");
  return asked != nullptr ? std::strtoull(asked, nullptr, 10) : 1;
}

// One seed when one is asked for, else `count` of them.
uint64_t seeds(uint64_t count) {
  return std::getenv("ASHLAR_TEST_SEED") != nullptr ? 1 : count;
}

void fill(std::vector<std::byte>& memory, SeededRandom& random) {
  random.fill(memory);
}

void run(World& world, Queue& queue, TestIo& io) {
  queue.submit(io.command);
  CHECK_EQ(io.told, 0);  // Never from inside submit().
  world.run_until([&io] { return io.over(); });
  CHECK_EQ(io.told, 1);
}

}  // namespace

TEST_CASE("host: connects, writes, reads back and closes, with every digest and alignment") {
  for (const bool hdgst : {false, true}) {
    for (const bool ddgst : {false, true}) {
      for (const uint8_t hpda : {uint8_t{0}, uint8_t{3}, uint8_t{31}}) {
        CAPTURE(hdgst);
        CAPTURE(ddgst);
        CAPTURE(hpda);
        World world(7);
        auto options = world.options();
        options.hdgst = hdgst;
        options.ddgst = ddgst;
        options.hpda_0based = hpda;
        TestHost host(world, options);
        host.wait_connected();
        REQUIRE(host.connected);
        CHECK_EQ(host.association->io_queues(), 2);
        CHECK_EQ(host.association->queue_entries(), 32);
        CHECK_EQ(host.association->queue(1).framing().hdgst, hdgst);
        CHECK_EQ(host.association->queue(1).framing().ddgst, ddgst);
        // In the capsule, just beyond it, and beyond one R2T's PDU.
        for (const uint32_t blocks : {1u, 2u, 3u, 64u, 256u}) {
          TestIo write(nvme::IoOpcode::write, 5, blocks);
          fill(write.memory, world.random);
          run(world, host.association->queue(1), write);
          CHECK(write.command.succeeded());
          TestIo read(nvme::IoOpcode::read, 5, blocks);
          run(world, host.association->queue(2), read);
          CHECK(read.command.succeeded());
          CHECK_EQ(read.command.data_in_bytes, blocks * 4096);
          CHECK(read.memory == write.memory);
        }
        TestIo flush(nvme::IoOpcode::flush);
        run(world, host.association->queue(1), flush);
        CHECK(flush.command.succeeded());
        host.close();
        CHECK(!host.lost);
        world.settle();
        CHECK_EQ(world.control.ended, 1);
      }
    }
  }
}

TEST_CASE("host: data in many pieces of memory is put together") {
  World world(11);
  TestHost host(world, world.options());
  host.wait_connected();
  REQUIRE(host.connected);
  TestIo write(nvme::IoOpcode::write, 0, 48);
  fill(write.memory, world.random);
  std::vector<iovec> pieces;
  size_t at = 0;
  while (at < write.memory.size() && pieces.size() + 1 < max_command_segments) {
    const size_t length = std::min<size_t>(1 + world.random.below(6000), write.memory.size() - at);
    pieces.push_back({write.memory.data() + at, length});
    at += length;
  }
  if (at < write.memory.size())
    pieces.push_back({write.memory.data() + at, write.memory.size() - at});
  write.command.data_out = pieces;
  run(world, host.association->queue(1), write);
  CHECK(write.command.succeeded());
  TestIo read(nvme::IoOpcode::read, 0, 48);
  std::vector<iovec> into;
  at = 0;
  for (const iovec& piece : pieces) {
    into.push_back({read.memory.data() + at, piece.iov_len});
    at += piece.iov_len;
  }
  read.command.data_in = into;
  run(world, host.association->queue(1), read);
  CHECK(read.command.succeeded());
  CHECK(read.memory == write.memory);
}

TEST_CASE("host: commands beyond the queue's entries wait and are all told once") {
  World world(3);
  auto options = world.options();
  options.queue_entries = 4;
  TestHost host(world, options);
  host.wait_connected();
  REQUIRE(host.connected);
  std::deque<TestIo> ios;
  for (int i = 0; i < 100; ++i) {
    TestIo& io = ios.emplace_back(nvme::IoOpcode::read, static_cast<uint64_t>(i));
    host.association->queue(1 + static_cast<uint32_t>(i) % 2).submit(io.command);
  }
  world.run_until([&ios] {
    return std::all_of(ios.begin(), ios.end(), [](const TestIo& io) { return io.over(); });
  });
  for (const TestIo& io : ios) {
    CHECK_EQ(io.told, 1);
    CHECK(io.command.succeeded());
  }
}

TEST_CASE("host: a failed command carries the controller's status") {
  World world(5);
  TestHost host(world, world.options());
  host.wait_connected();
  REQUIRE(host.connected);
  TestIo beyond(nvme::IoOpcode::read, 1u << 20, 1);
  run(world, host.association->queue(1), beyond);
  CHECK(beyond.command.fate == Fate::completed);
  CHECK_EQ(beyond.command.status(), 0x080);
  CHECK_EQ(beyond.command.data_in_bytes, 0);
  TestIo too_long(nvme::IoOpcode::write, 1u << 20, 64);
  run(world, host.association->queue(1), too_long);
  CHECK(too_long.command.fate == Fate::completed);
  CHECK_EQ(too_long.command.status(), 0x080);
}

TEST_CASE("host: refusals are told with a reason, and nothing is left behind") {
  World world(9);
  auto options = world.options();
  SUBCASE("an unknown subsystem") {
    options.subnqn = "nqn.2026-01.io.ashlar:another";
    TestHost host(world, options);
    host.wait_connected();
    CHECK(!host.connected);
    CHECK(host.refusal.code == ErrorCode::connection_refused);
    CHECK(host.refusal.message.find("182h") != std::string::npos);
  }
  SUBCASE("nobody listens") {
    options.address.port = 4421;
    TestHost host(world, options);
    host.wait_connected();
    CHECK(host.refusal.code == ErrorCode::connection_refused);
  }
  SUBCASE("connecting is never answered") {
    world.wire.swallow(options.address, true);
    TestHost host(world, options);
    host.wait_connected();
    CHECK(host.refusal.code == ErrorCode::timed_out);
  }
  SUBCASE("given up while connecting, at any moment") {
    for (int turns = 0; turns < 400; turns += 7) {
      TestHost host(world, options);
      for (int i = 0; i < turns && !host.answered; ++i) world.step();
      host.association->cancel();
      host.wait_connected();
      if (!host.connected) CHECK(host.refusal.code == ErrorCode::cancelled);
    }
  }
  SUBCASE("fewer queues granted than asked for") {
    world.control.queues_granted = 1;
    world.control.mqes_0based = 15;
    options.io_queues = 8;
    options.queue_entries = 128;
    TestHost host(world, options);
    host.wait_connected();
    CHECK(host.connected);
    CHECK_EQ(host.association->io_queues(), 1);
    CHECK_EQ(host.association->queue_entries(), 16);
  }
  world.settle();
  CHECK_EQ(world.control.controllers(), 0);
}

TEST_CASE("host: a silent network is noticed by the keep-alive, commands are told lost") {
  World world(13);
  auto options = world.options();
  options.keep_alive_ms = 2'000;
  TestHost host(world, options);
  host.wait_connected();
  REQUIRE(host.connected);
  // Keep Alives hold an idle connection for as long as one likes.
  world.settle(30'000'000'000);
  REQUIRE(!host.lost);
  world.wire.options().silences_per_million = 1'000'000;
  TestIo write(nvme::IoOpcode::write, 0, 1);
  host.association->queue(1).submit(write.command);
  world.run_until([&host] { return host.lost; });
  CHECK_EQ(write.told, 1);
  CHECK(write.command.fate == Fate::lost);
  CHECK(host.association->end_reason().code == ErrorCode::timed_out);
  world.wire.options().silences_per_million = 0;
}

TEST_CASE("host: a command that is never answered ends the association after its timeout") {
  World world(17);
  auto options = world.options();
  options.command_timeout_ns = 1'000'000'000;
  TestHost host(world, options);
  host.wait_connected();
  REQUIRE(host.connected);
  world.backend.max_delay_ns = 100'000'000'000;
  TestIo read(nvme::IoOpcode::read, 0, 1);
  const uint64_t from_ns = world.clock.now;
  host.association->queue(1).submit(read.command);
  world.run_until([&host] { return host.lost; });
  CHECK_EQ(read.told, 1);
  if (read.command.fate == Fate::lost) {
    CHECK(world.clock.now - from_ns >= 1'000'000'000);
    CHECK(world.clock.now - from_ns <= 1'500'000'000);
  }
}

TEST_CASE("host: commands submitted after the end are told never_sent") {
  World world(19);
  TestHost host(world, world.options());
  host.wait_connected();
  REQUIRE(host.connected);
  world.wire.cut_all();
  world.run_until([&host] { return host.lost; });
  TestIo read(nvme::IoOpcode::read);
  run(world, host.association->queue(1), read);
  CHECK(read.command.fate == Fate::never_sent);
}

namespace {

// What one block may hold: its last acknowledged value, and those of writes whose fate is not
// known. Values are numbers that a whole block repeats; 0 is what it held at first.
struct BlockModel {
  uint32_t stored = 0;
  std::vector<uint32_t> maybe;
  bool writing = false;  // Writes have a block to themselves,
  uint32_t reading = 0;  // and so do reads.
  bool allows(uint32_t value) const {
    return value == stored || std::find(maybe.begin(), maybe.end(), value) != maybe.end();
  }
};

// Random I/O on one host after another, over a network that splits, delays and cuts, against the
// model. The rules: every command is told once; an acknowledged write is there; a command told
// never_sent was not applied; no block ever holds a third value.
struct Soak {
  static constexpr uint32_t block_bytes = 4096;
  static constexpr uint64_t blocks = 512;

  explicit Soak(uint64_t seed, sim::SimNetworkOptions network)
      : world(seed, wide(network), block_bytes, blocks * block_bytes), model(blocks) {}

  // A window of a few bytes would make a transfer of 1 MiB take a day.
  static sim::SimNetworkOptions wide(sim::SimNetworkOptions network) {
    network.min_window_bytes = 8 * 1024;
    return network;
  }

  struct Io : TestIo {
    using TestIo::TestIo;
    uint64_t lba = 0;
    uint32_t count = 0;
    uint32_t value = 0;
    bool is_write = false;
  };

  void life(uint32_t commands) {
    auto options = world.options();
    options.hdgst = world.random.one_in(2);
    options.ddgst = world.random.one_in(2);
    options.hpda_0based = static_cast<uint8_t>(world.random.below(32));
    options.io_queues = 1 + static_cast<uint32_t>(world.random.below(4));
    options.queue_entries = 2 + static_cast<uint32_t>(world.random.below(31));
    options.keep_alive_ms = 5'000;
    options.command_timeout_ns = 20'000'000'000;
    TestHost host(world, options);
    host.wait_connected();
    if (!host.connected) {
      ++failed_connects;
      return;
    }
    std::deque<Io> ios;
    uint32_t sent = 0;
    uint64_t steps = 0;
    while (sent < commands || !ios.empty()) {
      while (sent < commands && ios.size() < 64 && !world.random.one_in(4)) {
        submit(host, ios);
        ++sent;
      }
      world.step();
      // A hang is a failure, not a wait.
      if (++steps == 3'000'000) {
        FAIL("no end: sent ", sent, ", waiting for ", ios.size(), ", at ", world.clock.now,
             " ns, turns ", world.turns, ", bytes ", world.wire.counts().bytes, ", arrivals ",
             world.wire.counts().arrivals, ", backend ", world.backend.under_way());
      }
      while (!ios.empty() && ios.front().over()) {
        take(ios.front());
        ios.pop_front();
      }
    }
    if (host.lost) ++losses;
  }

  void submit(TestHost& host, std::deque<Io>& ios) {
    SeededRandom& random = world.random;
    const uint32_t count =
        1 + static_cast<uint32_t>(random.one_in(4) ? random.below(256) : random.below(4));
    const uint64_t lba = random.below(blocks - count + 1);
    bool writes = false;
    bool reads = false;
    for (uint64_t b = lba; b < lba + count; ++b) {
      writes = writes || model[b].writing;
      reads = reads || model[b].reading != 0;
    }
    if (writes) return;
    const bool write = !reads && random.one_in(2);
    Io& io = ios.emplace_back(write ? nvme::IoOpcode::write : nvme::IoOpcode::read, lba, count,
                              block_bytes);
    io.lba = lba;
    io.count = count;
    io.is_write = write;
    if (write) {
      io.value = ++last_value;
      for (size_t at = 0; at < io.memory.size(); at += 4) {
        std::memcpy(io.memory.data() + at, &io.value, 4);
      }
      for (uint64_t b = lba; b < lba + count; ++b) {
        model[b].writing = true;
        model[b].maybe.push_back(io.value);
      }
    } else {
      for (uint64_t b = lba; b < lba + count; ++b) ++model[b].reading;
      std::memset(io.memory.data(), 0xee, io.memory.size());
    }
    const auto qid = 1 + static_cast<uint32_t>(random.below(host.association->io_queues()));
    host.association->queue(qid).submit(io.command);
  }

  void take(Io& io) {
    REQUIRE_EQ(io.told, 1);
    const bool ok = io.command.succeeded();
    if (io.command.fate == Fate::completed) REQUIRE_EQ(io.command.status(), 0);
    for (uint64_t b = io.lba; b < io.lba + io.count; ++b) {
      BlockModel& block = model[b];
      if (!io.is_write) {
        --block.reading;
        if (ok) check_block(io, b);
        continue;
      }
      block.writing = false;
      auto& maybe = block.maybe;
      if (ok) {
        block.stored = io.value;
        maybe.clear();
      } else if (io.command.fate == Fate::never_sent) {
        maybe.erase(std::find(maybe.begin(), maybe.end(), io.value));
      } else {
        ++unknown;
      }
    }
  }

  void check_block(const Io& io, uint64_t b) {
    ++checked;
    const std::byte* at = io.memory.data() + (b - io.lba) * block_bytes;
    uint32_t value;
    std::memcpy(&value, at, 4);
    // The same number from end to end: no block is mixed or has bytes of another place.
    REQUIRE(std::memcmp(at, at + 4, block_bytes - 4) == 0);
    REQUIRE(model[b].allows(value));
  }

  World world;
  std::vector<BlockModel> model;
  uint32_t last_value = 0;
  uint64_t checked = 0;
  uint64_t unknown = 0;
  uint64_t losses = 0;
  uint64_t failed_connects = 0;
};

}  // namespace

TEST_CASE("host and target: random I/O over a network that splits and delays: the model agrees") {
  for (uint64_t seed = first_seed(), i = 0; i < seeds(20); ++i, ++seed) {
    INFO("ASHLAR_TEST_SEED=", seed);
    Soak soak(seed, {});
    soak.life(300);
    CHECK_EQ(soak.losses, 0);
    CHECK_EQ(soak.failed_connects, 0);
    CHECK(soak.checked > 0);
  }
}

TEST_CASE("host and target: connections are cut at any moment: no third value, told once") {
  uint64_t losses = 0;
  uint64_t unknown = 0;
  uint64_t failed_connects = 0;
  for (uint64_t seed = first_seed(), i = 0; i < seeds(30); ++i, ++seed) {
    INFO("ASHLAR_TEST_SEED=", seed);
    sim::SimNetworkOptions network;
    network.cuts_per_million = 500;
    Soak soak(seed, network);
    for (int life = 0; life < 12; ++life) soak.life(120);
    losses += soak.losses;
    unknown += soak.unknown;
    failed_connects += soak.failed_connects;
    // The last word: without faults, every block holds what the model allows.
    soak.world.wire.options().cuts_per_million = 0;
    soak.life(200);
    soak.world.settle();
    CHECK_EQ(soak.world.control.controllers(), 0);
    CHECK_EQ(soak.world.backend.under_way(), 0);
  }
  // The run has been where it was meant to go.
  if (seeds(30) > 1) {
    CHECK(losses > 0);
    CHECK(unknown > 0);
    CHECK(failed_connects > 0);
  }
}

TEST_CASE("host and target: one seed gives one history") {
  const auto history = [](uint64_t seed) {
    sim::SimNetworkOptions network;
    network.cuts_per_million = 300;
    Soak soak(seed, network);
    for (int life = 0; life < 3; ++life) soak.life(60);
    const auto& counts = soak.world.wire.counts();
    return std::vector<uint64_t>{counts.connections, counts.arrivals,      counts.bytes,
                                 counts.cuts,        soak.world.clock.now, soak.world.turns,
                                 soak.unknown,       soak.checked};
  };
  for (uint64_t seed = first_seed(), i = 0; i < seeds(3); ++i, ++seed) {
    CHECK(history(seed) == history(seed));
  }
}
