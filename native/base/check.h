// CHECK: our own mistakes, caught in production as in tests.
//
// A failed CHECK means that the program's own reasoning is wrong, so nothing it would do next can
// be trusted with somebody's data: it prints the place and the condition and aborts. It never
// guards what a peer, a disk or an operator can cause: those are Results and statuses.
#pragma once

#ifdef DOCTEST_LIBRARY_INCLUDED
#error "include doctest through test/native/test.h, after every other header"
#endif

namespace ashlar {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace ashlar

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) [[unlikely]] {                                      \
      ::ashlar::check_failed(#condition, __FILE__, __LINE__);             \
    }                                                                     \
  } while (false)
