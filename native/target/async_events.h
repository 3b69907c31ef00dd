// AsyncEvents: which events the host of one controller knows of, and which wait for a parked
// Asynchronous Event Request (Base 2.0, section 5.2). Pure state; the connection moves the bytes.
#pragma once

#include <array>
#include <cstdint>

#include "target/limits.h"

namespace ashlar::target {

struct AsyncEvent {
  uint8_t event_type = 0;   // 2: notice.
  uint8_t information = 0;
  uint8_t log_page = 0;

  bool operator==(const AsyncEvent&) const = default;
  // DW0 of the completion.
  uint32_t result() const noexcept {
    return uint32_t{event_type} | uint32_t{information} << 8 | uint32_t{log_page} << 16;
  }
};

class AsyncEvents {
 public:
  // Remembers the event until a request takes it. An event of a kind that waits, or that the host
  // was told and has not cleared, changes nothing. Beyond max_event_kinds kinds the event is
  // dropped: the control plane raises about six.
  void raise(const AsyncEvent& event) noexcept;
  // The host read the log page: the next event of this kind counts again.
  void clear(const AsyncEvent& event) noexcept;
  // True: `event` is the oldest that waits, and now counts as told.
  bool take(AsyncEvent& event) noexcept;

 private:
  enum class Phase : uint8_t {
    waiting,  // No request was parked when it was raised; take() moves it on.
    told,     // Completed a request; masked until clear().
  };
  struct Entry {
    AsyncEvent event;
    Phase phase = Phase::waiting;
  };
  std::array<Entry, limits::max_event_kinds> entries_{};
  uint32_t count_ = 0;
};

}  // namespace ashlar::target
