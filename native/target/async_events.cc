#include "target/async_events.h"

namespace ashlar::target {

void AsyncEvents::raise(const AsyncEvent& event) noexcept {
  for (uint32_t i = 0; i < count_; ++i) {
    if (entries_[i].event == event) return;
  }
  if (count_ == entries_.size()) return;
  entries_[count_++] = {event, Phase::waiting};
}

void AsyncEvents::clear(const AsyncEvent& event) noexcept {
  for (uint32_t i = 0; i < count_; ++i) {
    if (entries_[i].event == event) {
      // Keeps the order of the others.
      for (uint32_t j = i + 1; j < count_; ++j) entries_[j - 1] = entries_[j];
      --count_;
      return;
    }
  }
}

bool AsyncEvents::take(AsyncEvent& event) noexcept {
  for (uint32_t i = 0; i < count_; ++i) {
    if (entries_[i].phase == Phase::waiting) {
      entries_[i].phase = Phase::told;
      event = entries_[i].event;
      return true;
    }
  }
  return false;
}

}  // namespace ashlar::target
