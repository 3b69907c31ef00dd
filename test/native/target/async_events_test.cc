#include "target/async_events.h"

#include "../test.h"

using namespace ashlar::target;

namespace {
constexpr AsyncEvent namespaces_changed{2, 0, 4};
constexpr AsyncEvent ana_changed{2, 3, 12};
}  // namespace

TEST_CASE("async events: told once until cleared") {
  AsyncEvents events;
  AsyncEvent event;
  CHECK_FALSE(events.take(event));
  events.raise(namespaces_changed);
  events.raise(namespaces_changed);
  REQUIRE(events.take(event));
  CHECK_EQ(event.result(), 0x040002);
  events.raise(namespaces_changed);
  CHECK_FALSE(events.take(event));
  events.clear(namespaces_changed);
  CHECK_FALSE(events.take(event));
  events.raise(namespaces_changed);
  CHECK(events.take(event));
}

TEST_CASE("async events: a log read before the event was told: nothing is told") {
  AsyncEvents events;
  AsyncEvent event;
  events.raise(namespaces_changed);
  events.clear(namespaces_changed);
  CHECK_FALSE(events.take(event));
}

TEST_CASE("async events: kinds are told in the order in which they were raised") {
  AsyncEvents events;
  AsyncEvent event;
  events.raise(ana_changed);
  events.raise(namespaces_changed);
  REQUIRE(events.take(event));
  CHECK(event == ana_changed);
  REQUIRE(events.take(event));
  CHECK(event == namespaces_changed);
}

TEST_CASE("async events: more kinds than there is room for: the first ones stay") {
  AsyncEvents events;
  AsyncEvent event;
  for (uint32_t i = 0; i < limits::max_event_kinds + 1; ++i) {
    events.raise({2, static_cast<uint8_t>(i), 0});
  }
  uint32_t told = 0;
  while (events.take(event)) ++told;
  CHECK_EQ(told, limits::max_event_kinds);
}
