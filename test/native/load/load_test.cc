// The load generator over a lane of memory on a simulated clock, which can be late and can lie.
#include "load/load.h"

#include <cstring>
#include <functional>

#include "../host/world.h"
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar;
using namespace ashlar::load;
using ashlar::host::testing::PlainLoop;
using ashlar::host::testing::StillClock;

namespace {

constexpr uint64_t us = 1'000;
constexpr uint64_t ms = 1'000'000;

class MemoryLane;

struct Rig {
  StillClock clock;
  PlainLoop loop{clock, 0};
  std::vector<std::byte> memory = std::vector<std::byte>(1u << 20);
  // How long each I/O takes, by when it was submitted.
  std::function<uint64_t(uint64_t now_ns)> service_ns = [](uint64_t) { return 100 * us; };
  // Changes what an I/O did, or how it ends; called when it ends.
  std::function<void(LoadIo&)> lie = [](LoadIo&) {};
  uint64_t submitted = 0;
  uint64_t most_in_flight = 0;
  uint64_t in_flight = 0;

  LoadResult run(const LoadOptions& options);
};

class MemoryLane final : public Lane {
 public:
  MemoryLane(Rig& rig, uint32_t number, uint32_t depth)
      : rig_(rig), number_(number), waits_(depth) {}
  Loop& loop() noexcept override { return rig_.loop; }
  uint32_t number() const noexcept override { return number_; }
  std::string describe(const LoadIo& io) const override {
    return "status " + std::to_string(io.status);
  }
  void submit(LoadIo& io) noexcept override {
    Wait& wait = waits_[io.slot];
    wait.io = &io;
    wait.rig = &rig_;
    wait.fire = [](Timer& timer) noexcept { static_cast<Wait&>(timer).finish(); };
    ++rig_.submitted;
    rig_.most_in_flight = std::max(rig_.most_in_flight, ++rig_.in_flight);
    const uint64_t now_ns = rig_.clock.now;
    rig_.loop.arm(wait, now_ns + rig_.service_ns(now_ns));
  }

 private:
  struct Wait : Timer {
    LoadIo* io = nullptr;
    Rig* rig = nullptr;
    void finish() noexcept {
      --rig->in_flight;
      std::byte* place = rig->memory.data() + io->offset_bytes;
      io->fate = IoFate::done;
      io->status = 0;
      if (io->read) std::memcpy(io->memory.iov_base, place, io->memory.iov_len);
      if (!io->read) std::memcpy(place, io->memory.iov_base, io->memory.iov_len);
      rig->lie(*io);
      io->done(*io);
    }
  };
  Rig& rig_;
  const uint32_t number_;
  std::vector<Wait> waits_;
};

LoadResult Rig::run(const LoadOptions& options) {
  std::vector<std::unique_ptr<Lane>> lanes;
  for (uint32_t i = 0; i < options.queues; ++i) {
    lanes.push_back(std::make_unique<MemoryLane>(*this, i + 1, options.depth));
  }
  auto made = Load::create(std::move(lanes), loop, options);
  REQUIRE(made.ok());
  const std::unique_ptr<Load> load = std::move(made).value();
  bool over = false;
  load->run([](void* context, Load&) { *static_cast<bool*>(context) = true; }, &over);
  while (!over) {
    if (loop.run_ready() != 0) continue;
    REQUIRE(loop.next_deadline_ns() != UINT64_MAX);
    clock.now = std::max(clock.now, loop.next_deadline_ns());
  }
  return load->result();
}

LoadOptions options_of(uint32_t depth, uint64_t duration_ns) {
  LoadOptions options;
  options.depth = depth;
  options.span_bytes = 1u << 20;
  options.duration_ns = duration_ns;
  return options;
}

}  // namespace

TEST_CASE("closed loop: the depth is kept, and latency is that of each I/O") {
  Rig rig;
  const LoadResult result = rig.run(options_of(8, 100 * ms));
  CHECK_EQ(rig.most_in_flight, 8);
  // 1,000 turns of 8; the last ends the time with its first answer.
  CHECK_EQ(result.commands, 7'993);
  CHECK_EQ(result.reads.min(), 100 * us);
  CHECK_EQ(result.reads.max(), 100 * us);
}

TEST_CASE("rate: so many a second, at equal distances, whatever the depth") {
  Rig rig;
  LoadOptions options = options_of(32, 1000 * ms);
  options.queues = 2;
  options.rate_per_second = 1'000;
  const LoadResult result = rig.run(options);
  CHECK_EQ(rig.submitted, 1'000);
  CHECK_EQ(result.commands, 1'000);
  CHECK_EQ(rig.most_in_flight, 1);  // The queues take turns.
  CHECK_EQ(result.reads.max(), 100 * us);
  CHECK_EQ(result.behind, 0);
}

TEST_CASE("rate: a standstill counts with all that was due in it, not once") {
  Rig rig;
  // Between 200 and 300 ms nothing is answered.
  rig.service_ns = [](uint64_t now_ns) {
    return now_ns >= 200 * ms && now_ns < 300 * ms ? 300 * ms - now_ns + 100 * us : 100 * us;
  };
  LoadOptions options = options_of(1, 1000 * ms);
  SUBCASE("with a rate, a tenth of all waited") {
    options.rate_per_second = 1'000;
    const LoadResult result = rig.run(options);
    CHECK_EQ(result.commands, 1'000);
    // 100 were due in those 100 ms; the first of them waited 100 ms and the others 1 ms less each.
    CHECK(result.reads.percentile(890) < 2 * ms);
    CHECK(result.reads.percentile(950) > 40 * ms);
    CHECK(result.reads.max() >= 99 * ms);
  }
  SUBCASE("in a closed loop it is one slow answer") {
    const LoadResult result = rig.run(options);
    CHECK(result.reads.percentile(999) < 101 * us);
    CHECK(result.reads.max() >= 99 * ms);
  }
}

TEST_CASE("rate: more than the target does: the latency grows and what is left over is told") {
  Rig rig;  // 100 us each, one at a time: 10,000 a second.
  LoadOptions options = options_of(1, 100 * ms);
  options.rate_per_second = 20'000;
  const LoadResult result = rig.run(options);
  CHECK(result.commands >= 999);
  CHECK(result.commands <= 1'001);
  CHECK(result.behind >= 998);
  CHECK_EQ(result.commands + result.behind, 2'000);
  CHECK(result.reads.max() >= 49 * ms);
}

TEST_CASE("a number of commands: exactly so many, over all queues, each block once in sequence") {
  Rig rig;
  LoadOptions options = options_of(4, 0);
  options.queues = 3;
  options.pattern = Pattern::sequential;
  options.read_percent = 0;
  options.max_ios = 256;
  const LoadResult result = rig.run(options);
  CHECK_EQ(result.commands, 256);
  for (size_t at = 0; at < rig.memory.size(); at += 4096) {
    const bool written = std::any_of(rig.memory.begin() + static_cast<ptrdiff_t>(at),
                                     rig.memory.begin() + static_cast<ptrdiff_t>(at) + 64,
                                     [](std::byte each) { return each != std::byte{0}; });
    if (!written) FAIL("block " << at / 4096 << " was not written");
  }
}

TEST_CASE("verify: right data passes, and all that was written is read at the end") {
  Rig rig;
  LoadOptions options = options_of(8, 20 * ms);
  options.queues = 2;
  options.read_percent = 30;
  options.io_bytes = 8192;
  options.verify = true;
  const LoadResult result = rig.run(options);
  CHECK_EQ(result.errors, 0);
  CHECK(result.verified_blocks > 2'000);
}

TEST_CASE("verify: what the target does wrong is found and named") {
  Rig rig;
  LoadOptions options = options_of(4, 20 * ms);
  options.read_percent = 50;
  options.verify = true;
  options.max_errors = 1;
  uint64_t ios = 0;
  std::string word;
  SUBCASE("a write that is acknowledged and lost") {
    word = "lost";
    rig.lie = [&](LoadIo& io) {
      if (!io.read && ++ios == 20) std::memset(rig.memory.data() + io.offset_bytes, 0, 4096);
    };
  }
  SUBCASE("a write that lands elsewhere") {
    word = "misplaced";
    options.span_bytes = 32 * 4096;
    rig.lie = [&](LoadIo& io) {
      if (io.read || ++ios != 150) return;
      const uint64_t other = (io.offset_bytes + 4096) % (32 * 4096);
      std::memcpy(rig.memory.data() + other, io.memory.iov_base, 4096);
    };
  }
  SUBCASE("a read of half of an earlier write") {
    word = "torn";
    options.span_bytes = 32 * 4096;
    std::vector<std::byte> first(rig.memory.size());
    rig.lie = [&rig, &ios, first](LoadIo& io) mutable {
      if (!io.read && ++ios <= 50) {
        std::memcpy(first.data() + io.offset_bytes, io.memory.iov_base, 4096);
      }
      if (io.read && ios > 150) {
        auto* data = static_cast<std::byte*>(io.memory.iov_base);
        if (std::memcmp(data, first.data() + io.offset_bytes, 40) != 0) {
          std::memcpy(data + 2048, first.data() + io.offset_bytes + 2048, 2048);
        }
      }
    };
  }
  SUBCASE("a block as it was before") {
    word = "stale";
    options.span_bytes = 32 * 4096;
    std::vector<std::byte> first(rig.memory.size());
    rig.lie = [&rig, &ios, first](LoadIo& io) mutable {
      if (!io.read && ++ios <= 50) {
        std::memcpy(first.data() + io.offset_bytes, io.memory.iov_base, 4096);
      }
      if (io.read && ios > 150 && first[io.offset_bytes] != std::byte{0}) {
        std::memcpy(io.memory.iov_base, first.data() + io.offset_bytes, 4096);
      }
    };
  }
  SUBCASE("a flipped bit") {
    word = "damaged";
    rig.lie = [&](LoadIo& io) {
      if (io.read && ++ios > 20) static_cast<std::byte*>(io.memory.iov_base)[999] ^= std::byte{1};
    };
  }
  const LoadResult result = rig.run(options);
  CHECK(result.wrong_blocks > 0);
  CHECK(result.failure.kind == LoadFailure::Kind::wrong_data);
  CAPTURE(result.failure.message);
  CHECK(result.failure.message.find("wrong data") != std::string::npos);
  CHECK(result.failure.message.find("(" + word + ")") != std::string::npos);
  CHECK(result.failure.message.find("on queue 1") != std::string::npos);
}

TEST_CASE("errors: the first is named, and after so many the load gives up") {
  Rig rig;
  LoadOptions options = options_of(4, 100'000 * ms);
  options.queues = 2;
  options.max_errors = 10;
  rig.lie = [](LoadIo& io) {
    if (io.offset_bytes < (512u << 10)) return;
    io.fate = IoFate::failed;
    io.status = 0x80;
  };
  const LoadResult result = rig.run(options);
  CHECK(result.errors >= 10);
  CHECK(result.errors < 30);
  CHECK(result.commands > 0);
  CHECK(result.failure.kind == LoadFailure::Kind::status);
  CHECK(result.failure.message.find("read of LBA ") == 0);
  CHECK(result.failure.message.find("status 128") != std::string::npos);
}
