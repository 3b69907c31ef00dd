#include "base/uuid.h"

#include <cstdint>

namespace ashlar {

namespace {

constexpr bool is_hyphen_position(size_t index) noexcept {
  return index == 8 || index == 13 || index == 18 || index == 23;
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_string(const Uuid& uuid) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (const std::byte byte : uuid) {
    if (is_hyphen_position(text.size())) text.push_back('-');
    text.push_back(digits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(digits[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) noexcept {
  if (text.size() != 36) return std::nullopt;
  Uuid uuid{};
  size_t nibbles = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_hyphen_position(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int value = hex_value(text[i]);
    if (value < 0) return std::nullopt;
    uuid[nibbles / 2] |= static_cast<std::byte>(nibbles % 2 == 0 ? value << 4 : value);
    ++nibbles;
  }
  return uuid;
}

Uuid random_uuid(const Uuid& random_bytes) noexcept {
  Uuid uuid = random_bytes;
  uuid[6] = (uuid[6] & std::byte{0x0f}) | std::byte{0x40};
  uuid[8] = (uuid[8] & std::byte{0x3f}) | std::byte{0x80};
  return uuid;
}

}  // namespace ashlar
