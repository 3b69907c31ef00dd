#include "load/choice.h"

#include <vector>
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar::load;

namespace {

// Chi-square of so many samples against 1/(k+1)^theta, ranks with few expected samples as one.
double chi_square(uint64_t count, double theta, uint64_t samples, uint64_t seed, size_t& cells) {
  std::vector<uint64_t> seen(count);
  const Zipf zipf(count, theta);
  Sequence sequence(seed);
  for (uint64_t i = 0; i < samples; ++i) ++seen[zipf.rank(sequence)];
  double norm = 0;
  for (uint64_t k = 1; k <= count; ++k) norm += std::pow(static_cast<double>(k), -theta);
  double sum = 0;
  double rest_expected = 0;
  double rest_seen = 0;
  const auto add = [&](double expected, double found) {
    sum += (found - expected) * (found - expected) / expected;
    ++cells;
  };
  for (uint64_t k = 1; k <= count; ++k) {
    const double expected =
        static_cast<double>(samples) * std::pow(static_cast<double>(k), -theta) / norm;
    rest_expected += expected;
    rest_seen += static_cast<double>(seen[k - 1]);
    if (rest_expected < 20) continue;
    add(rest_expected, rest_seen);
    rest_expected = rest_seen = 0;
  }
  if (rest_expected > 0) add(rest_expected, rest_seen);
  return sum;
}

}  // namespace

TEST_CASE("zipf: the ranks come as often as 1/k^theta says") {
  for (const double theta : {0.5, 0.99, 1.0, 1.2, 2.5}) {
    for (const uint64_t count : {2u, 10u, 1000u}) {
      CAPTURE(theta);
      CAPTURE(count);
      size_t cells = 0;
      const double sum = chi_square(count, theta, 200'000, 42, cells);
      // Mean and deviation of chi-square with f degrees are f and sqrt(2f); five deviations and a
      // little for few degrees. The seed is fixed: this is one computation, not a chance.
      const auto degrees = static_cast<double>(cells - 1);
      CHECK(sum < degrees + 5 * std::sqrt(2 * degrees) + 5);
    }
  }
}

TEST_CASE("zipf: one block, and more blocks than there is memory for, need no table") {
  Sequence sequence(1);
  CHECK_EQ(Zipf(1, 1.2).rank(sequence), 0);
  const uint64_t count = uint64_t{1} << 40;
  const Zipf vast(count, 0.9);
  uint64_t most = 0;
  for (int i = 0; i < 10'000; ++i) most = std::max(most, vast.rank(sequence));
  CHECK(most < count);
  CHECK(most > count / 2);
}

TEST_CASE("zipf: the same seed gives the same blocks") {
  const Zipf zipf(1'000'000, 1.1);
  Sequence first(5);
  Sequence again(5);
  Sequence other(6);
  int same = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t rank = zipf.rank(first);
    CHECK_EQ(rank, zipf.rank(again));
    same += rank == zipf.rank(other) ? 1 : 0;
  }
  CHECK(same < 500);
}

TEST_CASE("scattering: every rank gets a block of its own, and neighbours are far apart") {
  for (const uint64_t count : {1ull, 2ull, 7ull, 4096ull, 99'991ull}) {
    std::vector<bool> taken(count);
    for (uint64_t rank = 0; rank < count; ++rank) {
      const uint64_t block = scattered(rank, count);
      REQUIRE(block < count);
      REQUIRE(!taken[block]);
      taken[block] = true;
    }
  }
  CHECK(scattered(1, 1'000'000) != 1);
}
