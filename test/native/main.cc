// The one main() of every C++ test. `ashlar_test -tc="journal:*"` runs the scenarios named.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <malloc.h>

int main(int count, char** arguments) {
  // The simulated suites open thousands of pools a second. Their memory is kept for the next one
  // instead of going back to the system, which would cost more than all the rest of a state.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
  return doctest::Context(count, arguments).run();
}
