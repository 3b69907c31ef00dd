// KillLog: what a `kill -9` must not lose.
//
// A first write is acknowledged when its data is on the device's far side, but the record that maps
// it waits in memory for the next commit. Losing that record with the process would lose an
// acknowledged write from under a host that stays up, connects again, and is then told that its
// Flush succeeded. So each record is also noted, before the acknowledgement, in memory that is a
// range of the device and outlives the process: no operation, about 10 ns.
//
// After a power loss what is there means nothing, since the data that a record speaks of may be
// lost. Each half therefore names the boot of the machine in which it was written, and counts in
// that boot only. (FORMAT.md, "The kill log".)
//
//   half = sequence mod 2:  | header 64 | word 8 | … 4,096 | records of the commit `sequence` |
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/uuid.h"
#include "device/device.h"

namespace ashlar::store {

struct KillLogHeader {
  uint64_t magic = 0;
  Uuid pool{};
  Uuid boot{};
  uint64_t sequence = 0;  // Of the commit that will hold these records.
  uint32_t version = 0;
  uint32_t crc = 0;       // Of the 64 bytes with this field zero.
  uint64_t reserved = 0;
};
static_assert(sizeof(KillLogHeader) == 64);
inline constexpr uint64_t kill_log_magic = 0x474f4c4c4c494b41;  // "AKILLLOG"

class KillLog {
 public:
  KillLog() = default;  // Notes nothing.
  KillLog(const Uuid& pool, const KillSafeMemory& memory) : pool_(pool), memory_(memory) {}

  // Bytes that a pool needs for it, whole chunks; `record_bytes`: of the largest commit.
  static uint64_t bytes_for(uint64_t record_bytes) noexcept;

  // False: the device has no such memory though the process's end would lose records; every change
  // of mapping must then be committed before it is acknowledged.
  bool safe() const noexcept { return memory_.kind != KillSafeMemory::Kind::none; }

  // The records noted for commit `sequence`; empty when there are none that count.
  std::vector<std::byte> read(uint64_t sequence) const;

  // Adds a record to those of commit `sequence`; earlier ones of it are there already. It counts
  // once publish() is called: what is noted between two calls is noted whole or not at all.
  void note(uint64_t sequence, std::span<const std::byte> record) noexcept;
  void publish() noexcept;
  // The pool failed: data that records speak of may be lost in spite of the same boot.
  void forget() noexcept;

 private:
  std::span<std::byte> half(uint64_t sequence) const noexcept;
  void begin(uint64_t sequence) noexcept;

  Uuid pool_{};
  KillSafeMemory memory_;
  uint64_t sequence_ = 0;  // Being noted; 0: none yet.
  uint32_t length_ = 0;
  uint32_t crc_ = 0;
  bool unpublished_ = false;
};

}  // namespace ashlar::store
