#include "load/histogram.h"

#include "load/choice.h"
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar::load;

TEST_CASE("histogram: a percentile is at most 0.1 % above the true value") {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100'000; ++value) histogram.add(value * 10);
  for (const uint32_t per_mille : {1u, 10u, 500u, 900u, 990u, 999u, 1000u}) {
    const uint64_t truth = 1'000ull * per_mille;
    CHECK(histogram.percentile(per_mille) >= truth);
    CHECK(histogram.percentile(per_mille) <= truth + truth / 1024 + 10);
  }
  CHECK_EQ(histogram.max(), 1'000'000);
  CHECK_EQ(histogram.min(), 10);
  CHECK_EQ(Histogram().percentile(500), 0);
}

TEST_CASE("histogram: every value lies in the bucket that ends at or after it") {
  Sequence sequence(7);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t value = sequence.next() >> (24 + sequence.below(40));
    const size_t index = Histogram::index_of(value);
    CHECK(Histogram::last_of(index) >= value);
    if (index > 0) CHECK(Histogram::last_of(index - 1) < value);
  }
  // Beyond 18 minutes: the last bucket, and the true maximum beside it.
  Histogram extremes;
  extremes.add(UINT64_MAX);
  CHECK_EQ(extremes.bucket(Histogram::bucket_count - 1), 1);
  CHECK_EQ(extremes.max(), UINT64_MAX);
}

TEST_CASE("histogram: the buckets are those of an HdrHistogram with three digits") {
  // Its index of v: v below 2048; above, (bucket + 1) * 1024 + (v >> bucket) - 1024.
  for (const uint64_t value : {0ull, 1'023ull, 1'024ull, 2'047ull}) {
    CHECK_EQ(Histogram::index_of(value), value);
  }
  CHECK_EQ(Histogram::index_of(2'048), 2'048);
  CHECK_EQ(Histogram::index_of(4'095), 3'071);
  CHECK_EQ(Histogram::index_of(1'000'000), (9 + 1) * 1024 + (1'000'000 >> 9) - 1024);
}

TEST_CASE("histogram: merging two is as having added all to one") {
  Histogram first;
  Histogram second;
  Histogram whole;
  Sequence sequence(3);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t value = sequence.below(5'000'000);
    (i % 3 == 0 ? first : second).add(value);
    whole.add(value);
  }
  first.merge(second);
  CHECK_EQ(first.count(), whole.count());
  CHECK_EQ(first.sum(), whole.sum());
  CHECK_EQ(first.min(), whole.min());
  CHECK_EQ(first.max(), whole.max());
  for (size_t i = 0; i < Histogram::bucket_count; ++i) {
    if (first.bucket(i) != whole.bucket(i)) FAIL("bucket " << i << " differs");
  }
}
