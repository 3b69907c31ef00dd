// Meter: what counts as the target's own work, and what is counted of it.
//
// Instructions are callgrind's to count; it is told when the target runs and when it does not: the
// host's half, and what would be the kernel's (bytes that cross the wire), cost nothing. Copies of
// the C library are other instructions on every processor, so they are counted in bytes; so are, in
// calls, the allocator and mutexes: all by the linker's --wrap (Makefile) and our own operator new.
#pragma once

#include <cstdint>

namespace ashlar::bench {

struct Calls {
  uint64_t allocations = 0;
  uint64_t frees = 0;
  uint64_t locks = 0;         // pthread_mutex_lock.
  uint64_t copied_bytes = 0;  // memcpy and memmove...
  uint64_t set_bytes = 0;     // ...and memset, where the compiler has left the call.
};

class Meter {
 public:
  // From here on the target runs (true) or something else does; what it was before. Nothing changes
  // outside of a measurement.
  static bool target_runs(bool runs) noexcept;
  // Much is to be done that nothing counts: it runs ten times as fast until the next row begins.
  static void rest() noexcept;
  // Between them lies one row. `end` has callgrind write what it counted, under the row's name.
  static void begin() noexcept;
  static Calls end(const char* row) noexcept;
};

// While it lives the target's code has called somebody else's.
class Elsewhere {
 public:
  Elsewhere() noexcept : before_(Meter::target_runs(false)) {}
  ~Elsewhere() { Meter::target_runs(before_); }
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;

 private:
  const bool before_;
};

}  // namespace ashlar::bench
