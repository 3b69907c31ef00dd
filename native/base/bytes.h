// Unaligned little-endian loads and stores, and rounding, over plain memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/check.h"

namespace ashlar {

static_assert(std::endian::native == std::endian::little);

// Reads a T (an integer or a trivially copyable struct) that starts at `offset` of `bytes`.
template <class T>
  requires std::is_trivially_copyable_v<T>
inline T read_at(std::span<const std::byte> bytes, size_t offset = 0) noexcept {
  CHECK(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <class T>
  requires std::is_trivially_copyable_v<T>
inline void write_at(std::span<std::byte> bytes, size_t offset, const T& value) noexcept {
  CHECK(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

// `unit` is a power of two. round_up() of a value within `unit` of 2^64 is a mistake (CHECKed).
constexpr uint64_t round_down(uint64_t value, uint64_t unit) noexcept {
  return value & ~(unit - 1);
}
constexpr uint64_t round_up(uint64_t value, uint64_t unit) noexcept {
  CHECK(value <= UINT64_MAX - (unit - 1));
  return (value + unit - 1) & ~(unit - 1);
}
constexpr bool is_multiple(uint64_t value, uint64_t unit) noexcept {
  return (value & (unit - 1)) == 0;
}

// True when every byte is zero.
bool is_zero(std::span<const std::byte> bytes) noexcept;

}  // namespace ashlar
