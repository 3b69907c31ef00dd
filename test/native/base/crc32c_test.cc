#include "base/crc32c.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "../test.h"

using namespace ashlar;

namespace {

std::vector<std::byte> numbered_bytes(size_t length) {
  std::vector<std::byte> bytes(length);
  uint32_t state = 12345;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

}  // namespace

TEST_CASE("crc32c: the check value of the catalogue") {
  const std::string_view digits = "123456789";
  CHECK_EQ(crc32c(digits.data(), digits.size()), 0xe3069283u);
  CHECK_EQ(detail::crc32c_table(std::as_bytes(std::span(digits)), 0), 0xe3069283u);
}

TEST_CASE("crc32c: the vectors of RFC 3720 B.4") {
  std::array<std::byte, 32> bytes{};
  CHECK_EQ(crc32c(bytes), 0x8a9136aau);
  bytes.fill(std::byte{0xff});
  CHECK_EQ(crc32c(bytes), 0x62a8ab43u);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  CHECK_EQ(crc32c(bytes), 0x46dd794eu);
}

TEST_CASE("crc32c: nothing leaves the seed as it is") {
  CHECK_EQ(crc32c(std::span<const std::byte>(), 0), 0u);
  CHECK_EQ(crc32c(std::span<const std::byte>(), 0xdeadbeef), 0xdeadbeefu);
}

TEST_CASE("crc32c: instruction and table agree for every length and start") {
  const std::vector<std::byte> bytes = numbered_bytes(16384);
  const std::span<const std::byte> all(bytes);
  for (size_t length = 0; length <= 9300; length = length < 300 ? length + 1 : length + 61) {
    for (size_t start = 0; start < 9; ++start) {
      const auto part = all.subspan(start, length);
      REQUIRE_EQ(crc32c(part, 7), detail::crc32c_table(part, 7));
    }
  }
}

TEST_CASE("crc32c: pieces give the same as the whole") {
  const std::vector<std::byte> bytes = numbered_bytes(8000);
  const std::span<const std::byte> all(bytes);
  Crc32c pieces;
  for (size_t at = 0, step = 1; at < all.size(); at += step, step = step * 2 + 1) {
    pieces.update(all.subspan(at, std::min(step, all.size() - at)));
  }
  CHECK_EQ(pieces.value(), crc32c(all));
}
