// NVM Command Set 1.0: the command dwords of the I/O commands, and their data.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nvme/wire.h"

namespace ashlar::nvme {

// Read, Write, Compare, Write Zeroes, Verify: SLBA in CDW10 and CDW11, NLB in CDW12.
constexpr uint64_t slba(const Sqe& sqe) noexcept {
  return uint64_t{sqe.cdw11} << 32 | sqe.cdw10;
}
// The number of blocks, converted from its 0-based field: 1 to 65,536.
constexpr uint32_t number_of_blocks(const Sqe& sqe) noexcept {
  return (sqe.cdw12 & 0xffff) + 1;
}

inline constexpr uint32_t max_blocks_per_command = 65536;

// CDW12.
inline constexpr uint32_t rw_limited_retry = 1u << 31;
inline constexpr uint32_t rw_fua = 1u << 30;
inline constexpr uint32_t rw_prinfo_mask = 0xfu << 26;
inline constexpr uint32_t write_zeroes_deac = 1u << 25;

// Dataset Management: CDW10 bits 7:0 the number of ranges (0-based), CDW11 the attributes.
struct DsmRange {
  uint32_t context_attributes;
  uint32_t length_blocks;  // Not 0-based; 0 is legal and does nothing.
  uint64_t slba;
};
static_assert(sizeof(DsmRange) == 16);
static_assert(offsetof(DsmRange, length_blocks) == 4);
static_assert(offsetof(DsmRange, slba) == 8);

inline constexpr uint32_t max_dsm_ranges = 256;
inline constexpr uint32_t dsm_deallocate = 1u << 2;  // AD.
constexpr uint32_t number_of_dsm_ranges(const Sqe& sqe) noexcept {
  return (sqe.cdw10 & 0xff) + 1;
}

// Copy: SDLBA in CDW10 and CDW11. CDW12 bits 7:0 the number of source ranges (0-based), 11:8 the
// format of their descriptors.
struct CopyRange {  // Format 0.
  uint64_t reserved0;
  uint64_t slba;
  uint16_t nlb_0based;
  uint8_t reserved1[6];
  uint32_t elbt;  // Protection information, which no format of ours has; likewise below.
  uint16_t elbat;
  uint16_t elbatm;
};
static_assert(sizeof(CopyRange) == 32);
static_assert(offsetof(CopyRange, slba) == 8);
static_assert(offsetof(CopyRange, nlb_0based) == 16);

constexpr uint32_t number_of_copy_ranges(const Sqe& sqe) noexcept {
  return (sqe.cdw12 & 0xff) + 1;
}
inline constexpr uint32_t copy_desfmt_mask = 0xfu << 8;

inline constexpr uint32_t nsid_all = 0xffffffff;

}  // namespace ashlar::nvme
