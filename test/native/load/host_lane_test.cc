// The load generator over our own host and our own target, simulated.
#include "load/load.h"

#include "../host/world.h"
#include "load/host_lane.h"
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar;
using namespace ashlar::host::testing;
using namespace ashlar::load;

TEST_CASE("load: keeps the depth, counts what was done and repeats nothing of its own by chance") {
  World world(23);
  auto options = world.options();
  TestHost host(world, options);
  host.wait_connected();
  REQUIRE(host.connected);
  LoadOptions load_options;
  load_options.queues = 2;
  load_options.depth = 8;
  load_options.read_percent = 50;
  load_options.span_bytes = 1u << 20;
  load_options.warmup_ns = 5'000'000;
  load_options.duration_ns = 50'000'000;
  SUBCASE("random") {}
  SUBCASE("zipf") {
    load_options.pattern = Pattern::zipf;
    load_options.zipf_theta = 1.1;
  }
  SUBCASE("verify") {
    load_options.verify = true;
  }
  SUBCASE("sequential") {
    load_options.pattern = Pattern::sequential;
  }
  auto made = load_of(*host.association, load_options);
  REQUIRE(made.ok());
  const std::unique_ptr<Load> load = std::move(made).value();
  bool done = false;
  load->run([](void* context, Load&) { *static_cast<bool*>(context) = true; }, &done);
  world.run_until([&done] { return done; });
  const LoadResult& result = load->result();
  Histogram both = result.reads;
  both.merge(result.writes);
  CHECK_EQ(result.errors, 0);
  CHECK(result.commands > 100);
  CHECK_EQ(result.bytes, result.commands * 4096);
  CHECK_EQ(both.count(), result.commands);
  CHECK(both.percentile(500) <= both.percentile(990));
  CHECK(both.percentile(999) <= both.max());
  CHECK(result.elapsed_ns >= 45'000'000);
  CHECK_EQ(result.verified_blocks != 0, load_options.verify);
  CHECK_EQ(result.wrong_blocks, 0);
}

TEST_CASE("load: a lost connection ends it and is counted") {
  World world(29);
  TestHost host(world, world.options());
  host.wait_connected();
  REQUIRE(host.connected);
  LoadOptions load_options;
  load_options.queues = 2;
  load_options.depth = 4;
  load_options.span_bytes = 1u << 20;
  load_options.duration_ns = 1'000'000'000'000;
  auto made = load_of(*host.association, load_options);
  REQUIRE(made.ok());
  const std::unique_ptr<Load> load = std::move(made).value();
  bool done = false;
  load->run([](void* context, Load&) { *static_cast<bool*>(context) = true; }, &done);
  for (int i = 0; i < 2000; ++i) world.step();
  world.wire.cut_all();
  world.run_until([&done] { return done; });
  CHECK(load->result().errors > 0);
  CHECK(load->result().failure.message.find("connection lost") != std::string::npos);
}

TEST_CASE("load: options that cannot be met are refused by name") {
  World world(31);
  TestHost host(world, world.options());
  host.wait_connected();
  REQUIRE(host.connected);
  LoadOptions good;
  good.span_bytes = 1u << 20;
  good.duration_ns = 1;
  CHECK(load_of(*host.association, good).ok());
  const auto refused = [&](auto change) {
    LoadOptions bad = good;
    change(bad);
    return !load_of(*host.association, bad).ok();
  };
  CHECK(refused([](LoadOptions& o) { o.queues = 0; }));
  CHECK(refused([](LoadOptions& o) { o.queues = 3; }));
  CHECK(refused([](LoadOptions& o) { o.depth = 0; }));
  CHECK(refused([](LoadOptions& o) { o.depth = 32; }));
  CHECK(refused([](LoadOptions& o) { o.io_bytes = 4097; }));
  CHECK(refused([](LoadOptions& o) { o.io_bytes = 2u << 20; }));
  CHECK(refused([](LoadOptions& o) { o.span_bytes = 4095; }));
  CHECK(refused([](LoadOptions& o) { o.read_percent = 101; }));
  CHECK(refused([](LoadOptions& o) { o.duration_ns = 0; }));
  CHECK(refused([](LoadOptions& o) { o.nsids.clear(); }));
  CHECK(refused([](LoadOptions& o) { o.pattern = Pattern::zipf; }));
  CHECK(refused([](LoadOptions& o) {
    o.verify = true;
    o.span_bytes = 4096;
  }));
}
