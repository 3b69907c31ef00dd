// UUIDs: 16 bytes in the order in which RFC 9562 prints them.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar {

using Uuid = std::array<std::byte, 16>;

inline constexpr Uuid nil_uuid{};

// "01234567-89ab-cdef-0123-456789abcdef"
std::string to_string(const Uuid& uuid);
// Accepts that form only, in either case of letters.
std::optional<Uuid> parse_uuid(std::string_view text) noexcept;
// Sets the version (4) and variant bits over 16 random bytes.
Uuid random_uuid(const Uuid& random_bytes) noexcept;

}  // namespace ashlar
