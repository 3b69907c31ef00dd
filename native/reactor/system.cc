#include "reactor/system.h"

#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace ashlar {

namespace {

uint64_t read_clock_ns(clockid_t id) noexcept {
  timespec now;
  CHECK(clock_gettime(id, &now) == 0);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void fill_from_system(std::span<std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0) {
      CHECK(errno == EINTR);  // The only failure a valid buffer can meet without flags.
      continue;
    }
    bytes = bytes.subspan(static_cast<size_t>(got));
  }
}

}  // namespace

uint64_t SystemClock::now_ns() noexcept { return read_clock_ns(CLOCK_MONOTONIC); }

uint64_t SystemClock::wall_ms() noexcept { return read_clock_ns(CLOCK_REALTIME) / 1'000'000; }

void SystemRandom::fill(std::span<std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    if (used_ == stock_.size()) {
      fill_from_system(stock_);
      used_ = 0;
    }
    const size_t count = std::min(bytes.size(), stock_.size() - used_);
    std::memcpy(bytes.data(), stock_.data() + used_, count);
    // What was given out is wiped, so that a later leak of this memory does not reveal it.
    std::memset(stock_.data() + used_, 0, count);
    used_ += count;
    bytes = bytes.subspan(count);
  }
}

uint64_t SystemRandom::next_u64() noexcept {
  uint64_t value;
  fill(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

}  // namespace ashlar
