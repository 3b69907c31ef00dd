#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ashlar {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "ashlar: CHECK failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace ashlar
