#include "load/stamp.h"

#include <algorithm>
#include <cstring>
#include <vector>
// Last: doctest's CHECK.
#include "../test.h"

using namespace ashlar::load;

namespace {

using Block = std::vector<std::byte>;

Block stamped(const Stamp& stamp) {
  Block block(stamp_block_bytes, std::byte{0x6b});
  put_stamp(block, stamp);
  return block;
}

const Stamp expected{1, 7, 8192, 99};

}  // namespace

TEST_CASE("stamp: each kind of wrong block is told from the others") {
  CHECK(check_stamp(stamped(expected), expected) == StampVerdict::right);
  CHECK(check_stamp(Block(stamp_block_bytes), expected) == StampVerdict::zeroes);
  CHECK(check_stamp(Block(stamp_block_bytes, std::byte{1}), expected) == StampVerdict::none);
  CHECK(check_stamp(stamped({1, 6, 8192, 99}), expected) == StampVerdict::stale);
  CHECK(check_stamp(stamped({1, 7, 4096, 99}), expected) == StampVerdict::misplaced);
  CHECK(check_stamp(stamped({2, 7, 8192, 99}), expected) == StampVerdict::misplaced);
  CHECK(check_stamp(stamped({1, 7, 8192, 98}), expected) == StampVerdict::another_run);
}

TEST_CASE("stamp: a block torn at any sector is torn, with one flipped bit it is damaged") {
  const Block older = stamped({1, 6, 8192, 99});
  const Block newer = stamped(expected);
  for (uint32_t at = 512; at < stamp_block_bytes; at += 512) {
    Block torn = newer;
    std::copy(older.begin() + at, older.end(), torn.begin() + at);
    CHECK(check_stamp(torn, expected) == StampVerdict::torn);
    std::copy(newer.begin() + at, newer.end(), torn.begin() + at);
    std::copy_n(older.begin(), at, torn.begin());
    CHECK(check_stamp(torn, expected) == StampVerdict::torn);
  }
  Block damaged = newer;
  damaged[700] ^= std::byte{4};
  CHECK(check_stamp(damaged, expected) == StampVerdict::damaged);
}

TEST_CASE("stamp: what is wrong is said with places and numbers") {
  const auto say = [](const Block& block) {
    return describe_stamp(block, expected, check_stamp(block, expected));
  };
  CHECK_EQ(say(stamped({1, 6, 8192, 99})),
           "the block at byte 8192 holds write 6, the last one was 7 (stale)");
  CHECK_EQ(say(stamped({3, 7, 4096, 99})),
           "the block at byte 8192 holds what was written to byte 4096 of namespace 3 (misplaced)");
  CHECK_EQ(say(Block(stamp_block_bytes)),
           "the block at byte 8192 reads as zeroes, though it was written (lost)");
}
