// Which cache lines each thread touches while it is watched. The product's sources are compiled so
// that every access of memory calls __tsan_*, as for ThreadSanitizer; hooks.cc has these functions
// instead of its library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::bench {

inline constexpr size_t line_bytes = 64;

// Of one thread.
struct Line {
  uintptr_t number = 0;  // Address / line_bytes; 0: the entry is free.
  uint64_t writes = 0;
  uint64_t reads = 0;
  const void* writer = nullptr;  // Code that wrote last, or else read.
};

// Called on any thread, often.
void touched(const volatile void* at, size_t bytes, bool write, const void* code) noexcept;

// From one thread. Between the two, touches are noted.
void watch(bool on) noexcept;
// Prints what was noted as JSON: the threads that touched anything, and the lines that one of them
// wrote and another touched.
void tell() noexcept;

}  // namespace ashlar::bench
