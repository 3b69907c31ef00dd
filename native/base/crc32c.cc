#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace ashlar {

namespace {

constexpr uint32_t polynomial = 0x82f63b78;

// Every kernel below works on the inverted register, called the state.
using Kernel = uint32_t (*)(uint32_t state, const std::byte* data, size_t length) noexcept;

uint64_t load_u64(const std::byte* data) noexcept {
  uint64_t value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

// Slicing by eight: tables[k][b] is the state after byte b and k zero bytes.
constexpr auto tables = [] {
  std::array<std::array<uint32_t, 256>, 8> result{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t state = b;
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? polynomial : 0);
    result[0][b] = state;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t b = 0; b < 256; ++b) {
      const uint32_t before = result[k - 1][b];
      result[k][b] = (before >> 8) ^ result[0][before & 0xff];
    }
  }
  return result;
}();

uint32_t by_table(uint32_t state, const std::byte* data, size_t length) noexcept {
  for (; length >= 8; data += 8, length -= 8) {
    const uint64_t word = load_u64(data) ^ state;
    state = 0;
    for (size_t k = 0; k < 8; ++k) state ^= tables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; length > 0; ++data, --length) {
    state = (state >> 8) ^ tables[0][(state ^ std::to_integer<uint32_t>(*data)) & 0xff];
  }
  return state;
}

#if defined(__x86_64__) || defined(__aarch64__)

// The instruction has a latency of three cycles and a throughput of one, so three independent
// streams run side by side. Joining them needs the state of one stream moved past the length of
// the next: shift[k][b] is that move for byte k of the state with value b.
// Three of them and two steps more are 4 KiB, the block that most digests are of.
constexpr size_t lane_bytes = 1360;

using ShiftTable = std::array<std::array<uint32_t, 256>, 4>;

// Moves a state past `length` zero bytes, bit by bit: only to build the table.
constexpr uint32_t past_zeroes(uint32_t state, size_t length) noexcept {
  for (size_t i = 0; i < length; ++i) state = (state >> 8) ^ tables[0][state & 0xff];
  return state;
}

const ShiftTable& shift_table() noexcept {
  static const ShiftTable table = [] {
    ShiftTable result{};
    for (size_t k = 0; k < 4; ++k) {
      for (uint32_t bit = 0; bit < 8; ++bit) {
        const uint32_t moved = past_zeroes(1u << (8 * k + bit), lane_bytes);
        for (uint32_t b = 0; b < 256; ++b) {
          if ((b >> bit & 1) != 0) result[k][b] ^= moved;
        }
      }
    }
    return result;
  }();
  return table;
}

uint32_t shift(const ShiftTable& table, uint32_t state) noexcept {
  return table[0][state & 0xff] ^ table[1][(state >> 8) & 0xff] ^ table[2][(state >> 16) & 0xff] ^
         table[3][state >> 24];
}

#endif

#if defined(__x86_64__)

#define ASHLAR_CRC_TARGET __attribute__((target("sse4.2")))
ASHLAR_CRC_TARGET inline uint32_t step8(uint32_t state, uint64_t word) noexcept {
  return static_cast<uint32_t>(_mm_crc32_u64(state, word));
}
ASHLAR_CRC_TARGET inline uint32_t step1(uint32_t state, uint8_t byte) noexcept {
  return _mm_crc32_u8(state, byte);
}
constexpr const char* instruction_name = "sse4.2";
bool has_instruction() noexcept { return __builtin_cpu_supports("sse4.2") != 0; }

#elif defined(__aarch64__)

#define ASHLAR_CRC_TARGET __attribute__((target("+crc")))
ASHLAR_CRC_TARGET inline uint32_t step8(uint32_t state, uint64_t word) noexcept {
  return __crc32cd(state, word);
}
ASHLAR_CRC_TARGET inline uint32_t step1(uint32_t state, uint8_t byte) noexcept {
  return __crc32cb(state, byte);
}
constexpr const char* instruction_name = "armv8-crc";
bool has_instruction() noexcept { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }

#endif

#if defined(ASHLAR_CRC_TARGET)

ASHLAR_CRC_TARGET uint32_t by_instruction(uint32_t state, const std::byte* data,
                                          size_t length) noexcept {
  if (length >= 3 * lane_bytes) {
    const ShiftTable& table = shift_table();
    for (; length >= 3 * lane_bytes; data += 3 * lane_bytes, length -= 3 * lane_bytes) {
      uint32_t second = 0;
      uint32_t third = 0;
      for (size_t i = 0; i < lane_bytes; i += 8) {
        state = step8(state, load_u64(data + i));
        second = step8(second, load_u64(data + lane_bytes + i));
        third = step8(third, load_u64(data + 2 * lane_bytes + i));
      }
      state = shift(table, shift(table, state) ^ second) ^ third;
    }
  }
  for (; length >= 8; data += 8, length -= 8) state = step8(state, load_u64(data));
  for (; length > 0; ++data, --length) state = step1(state, std::to_integer<uint8_t>(*data));
  return state;
}

#endif

struct Choice {
  Kernel kernel;
  const char* name;
};

const Choice& choice() noexcept {
  static const Choice chosen = []() -> Choice {
#if defined(ASHLAR_CRC_TARGET)
    if (has_instruction()) return {by_instruction, instruction_name};
#endif
    return {by_table, "table"};
  }();
  return chosen;
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t seed) noexcept {
  return ~choice().kernel(~seed, bytes.data(), bytes.size());
}

const char* crc32c_implementation() noexcept { return choice().name; }

namespace detail {
uint32_t crc32c_table(std::span<const std::byte> bytes, uint32_t seed) noexcept {
  return ~by_table(~seed, bytes.data(), bytes.size());
}
}  // namespace detail

}  // namespace ashlar
