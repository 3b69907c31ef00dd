#include "base/copy.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace ashlar {

#if defined(__x86_64__)

namespace {
constexpr size_t line_bytes = 64;
}

void copy_past_cache(void* to, const void* from, size_t bytes) noexcept {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  // Up to the first whole line by the ordinary way; likewise what is left behind the last.
  const size_t head = -reinterpret_cast<uintptr_t>(out) % line_bytes;
  if (bytes < head + line_bytes) {
    std::memcpy(out, in, bytes);
    return;
  }
  if (head != 0) std::memcpy(out, in, head);
  out += head;
  in += head;
  bytes -= head;
  for (; bytes >= line_bytes; bytes -= line_bytes, out += line_bytes, in += line_bytes) {
    const auto* source = reinterpret_cast<const __m128i*>(in);
    auto* target = reinterpret_cast<__m128i*>(out);
    const __m128i first = _mm_loadu_si128(source);
    const __m128i second = _mm_loadu_si128(source + 1);
    const __m128i third = _mm_loadu_si128(source + 2);
    const __m128i fourth = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, first);
    _mm_stream_si128(target + 1, second);
    _mm_stream_si128(target + 2, third);
    _mm_stream_si128(target + 3, fourth);
  }
  if (bytes != 0) std::memcpy(out, in, bytes);
}

void fence_copies() noexcept {
  _mm_sfence();
}

#else

void copy_past_cache(void* to, const void* from, size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
}

// Plain stores: whoever publishes orders them.
void fence_copies() noexcept {}

#endif

}  // namespace ashlar
