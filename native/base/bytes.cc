#include "base/bytes.h"

namespace ashlar {

bool is_zero(std::span<const std::byte> bytes) noexcept {
  // Comparing the span with itself shifted by one byte lets memcmp's vector code do the work.
  if (bytes.empty()) return true;
  if (bytes[0] != std::byte{0}) return false;
  return std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace ashlar
