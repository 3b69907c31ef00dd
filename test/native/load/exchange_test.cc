#include "load/exchange.h"

#include <cerrno>

#include "load/loopback.h"
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar;
using namespace ashlar::load;

namespace {

constexpr Messages read_messages{72, 4120};
constexpr Messages write_messages{4168, 24};

ExchangeShape shape_of(uint32_t read_percent, uint32_t depth) {
  ExchangeShape shape;
  shape.read = read_messages;
  shape.write = write_messages;
  shape.read_percent = read_percent;
  shape.depth = depth;
  return shape;
}

}  // namespace

TEST_CASE("exchange: of a mix the responder takes and owes what the share of reads says") {
  for (const uint32_t read_percent : {0u, 1u, 50u, 70u, 99u, 100u}) {
    CAPTURE(read_percent);
    Side responder(shape_of(read_percent, 4), false, {-1});
    Flow& flow = responder.flows()[0];
    const uint64_t requests = read_percent * 72 + (100 - read_percent) * 4168;
    CHECK(responder.took(flow, static_cast<ssize_t>(requests)));
    CHECK_EQ(responder.done.load(), 100);
    CHECK_EQ(flow.have, 0);
    CHECK_EQ(flow.to_send, read_percent * 4120 + (100 - read_percent) * 24);
  }
}

TEST_CASE("exchange: the requester keeps its depth: a request for each whole response, no other") {
  Side requester(shape_of(100, 3), true, {-1});
  Flow& flow = requester.flows()[0];
  CHECK_EQ(flow.to_send, 3 * 72);
  flow.to_send = 0;
  CHECK(requester.took(flow, 4119));
  CHECK_EQ(flow.to_send, 0);
  CHECK(requester.took(flow, 1 + 4120 + 5));
  CHECK_EQ(flow.to_send, 2 * 72);
  CHECK_EQ(flow.have, 5);
}

TEST_CASE("exchange: nothing there is no end, an end is") {
  Side side(shape_of(100, 1), true, {-1});
  Flow& flow = side.flows()[0];
  errno = EAGAIN;
  CHECK(side.took(flow, -1));
  CHECK_FALSE(side.took(flow, 0));
  CHECK(flow.broken);
}

TEST_CASE("loopback: what cannot be measured is refused with its bounds") {
  LoopbackOptions options;
  options.shape = shape_of(100, 1);
  options.duration_ns = 1'000'000;
  options.shape.connections = 257;
  CHECK_EQ(measure_loopback(options).error().message, "connections of 257 is not 1 to 256");
  options.shape.connections = 1;
  options.requester = {2, {0}};
  CHECK_EQ(measure_loopback(options).error().message,
           "requester: 1 CPUs for 2 threads; name one for each");
  options.requester = {1, {}};
  options.shape.read.request_bytes = 0;
  CHECK_EQ(measure_loopback(options).error().code, ErrorCode::invalid_argument);
}

TEST_CASE("loopback: every way that can run exchanges messages, and the best is the limit") {
  LoopbackOptions options;
  options.shape = shape_of(70, 8);
  options.shape.connections = 3;
  options.duration_ns = 20'000'000;
  const auto measured = measure_loopback(options);
  REQUIRE(measured.ok());
  const LoopbackResult& result = measured.value();
  CHECK_EQ(result.ways.size(), std::size(exchange_ways));
  double best = 0;
  for (const WayResult& way : result.ways) {
    CAPTURE(exchange_way_name(way.way));
    CHECK_EQ(way.left_out.empty(), way.per_second > 0);
    best = std::max(best, way.per_second);
  }
  CHECK_EQ(best, result.per_second);
}
