#include <algorithm>
#include <array>
#include <cerrno>

#include "base/bytes.h"
#include "base/copy.h"
#include "base/list.h"
#include "base/result.h"
#include "base/uuid.h"

#include "../test.h"

using namespace ashlar;

TEST_CASE("bytes: unaligned little-endian values are read and written in place") {
  std::array<std::byte, 11> bytes{};
  write_at<uint32_t>(bytes, 7, 0x01020304);
  CHECK_EQ(std::to_integer<int>(bytes[7]), 4);
  CHECK_EQ(std::to_integer<int>(bytes[10]), 1);
  CHECK_EQ(read_at<uint32_t>(bytes, 7), 0x01020304u);
}

TEST_CASE("bytes: rounding at both ends of a unit") {
  CHECK_EQ(round_up(0, 4096), 0u);
  CHECK_EQ(round_up(1, 4096), 4096u);
  CHECK_EQ(round_up(4096, 4096), 4096u);
  CHECK_EQ(round_down(4095, 4096), 0u);
  CHECK(is_multiple(8192, 4096));
  CHECK_FALSE(is_multiple(8191, 4096));
}

TEST_CASE("bytes: is_zero finds a single set byte at any place") {
  std::array<std::byte, 300> bytes{};
  CHECK(is_zero(bytes));
  CHECK(is_zero({}));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = std::byte{1};
    REQUIRE_FALSE(is_zero(bytes));
    bytes[i] = std::byte{0};
  }
}

TEST_CASE("copy: past the cache, at every alignment and length, just those bytes") {
  std::array<std::byte, 400> from{};
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
  for (size_t alignment = 0; alignment < 64; ++alignment) {
    for (size_t length = 0; length < 300; ++length) {
      alignas(64) std::array<std::byte, 400> to{};
      copy_past_cache(to.data() + alignment, from.data() + alignment / 3, length);
      fence_copies();
      REQUIRE(std::equal(to.begin() + static_cast<ptrdiff_t>(alignment),
                         to.begin() + static_cast<ptrdiff_t>(alignment + length),
                         from.begin() + static_cast<ptrdiff_t>(alignment / 3)));
      REQUIRE(is_zero(std::span(to).first(alignment)));
      REQUIRE(is_zero(std::span(to).subspan(alignment + length)));
    }
  }
}

TEST_CASE("uuid: text and bytes convert both ways, anything else is refused") {
  const char* text = "01234567-89ab-cdef-0123-456789abcdef";
  const auto uuid = parse_uuid(text);
  REQUIRE(uuid.has_value());
  CHECK_EQ(to_string(*uuid), text);
  CHECK_EQ(parse_uuid("01234567-89AB-CDEF-0123-456789ABCDEF"), uuid);
  CHECK_FALSE(parse_uuid("").has_value());
  CHECK_FALSE(parse_uuid("01234567-89ab-cdef-0123-456789abcde").has_value());
  CHECK_FALSE(parse_uuid("0123456789ab-cdef-0123-456789abcdef-").has_value());
  CHECK_FALSE(parse_uuid("g1234567-89ab-cdef-0123-456789abcdef").has_value());
}

TEST_CASE("uuid: random ones carry version 4 and the RFC variant") {
  Uuid ones;
  ones.fill(std::byte{0xff});
  CHECK_EQ(to_string(random_uuid(ones)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  CHECK_EQ(to_string(random_uuid(nil_uuid)), "00000000-0000-4000-8000-000000000000");
}

namespace {
struct Item : ListNode {
  explicit Item(int n) : number(n) {}
  int number;
};
}  // namespace

TEST_CASE("list: items leave from any place and the rest keep their order") {
  Item a(1);
  Item b(2);
  Item c(3);
  List<Item> list;
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  list.remove(b);
  CHECK_EQ(list.size(), 2u);
  CHECK_EQ(list.next(a), &c);
  CHECK_EQ(list.next(c), nullptr);
  list.push_front(b);
  CHECK_EQ(list.pop_front(), &b);
  CHECK_EQ(list.pop_front(), &a);
  CHECK_EQ(list.pop_front(), &c);
  CHECK_EQ(list.pop_front(), nullptr);
  CHECK(list.empty());
}

TEST_CASE("errors: an errno keeps its meaning and names the thing concerned") {
  const Error error = error_from_errno(ENOENT, "pool file a/b");
  CHECK_EQ(error.code, ErrorCode::not_found);
  CHECK_EQ(error.message, "pool file a/b: No such file or directory");
  CHECK_EQ(error_from_errno(EDQUOT, "x").code, ErrorCode::no_space);
  CHECK_EQ(error_from_errno(EXDEV, "x").code, ErrorCode::io_error);
}
