// The one main() of every C++ test. `ashlar_test -tc="journal:*"` runs the scenarios named.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
