// Worker: one queue's share of a load. Touched on the lane's loop from `start` to `finished`, else
// on home's.
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "load/choice.h"
#include "load/load.h"
#include "load/stamp.h"

namespace ashlar::load {

struct Load::Slot : LoadIo {
  Worker* worker = nullptr;
  std::byte* out = nullptr;  // What is written.
  std::byte* in = nullptr;   // Where is read to; the same memory when nothing keeps them apart.
  uint64_t io_index = 0;     // Of the whole space.
  uint64_t since_ns = 0;     // Latency counts from here.
  uint32_t sequence = 0;     // Of a stamped write.
  Slot* next_free = nullptr;
};

struct Load::Worker {
  enum class Phase : uint8_t {
    running,   // I/Os are sent; the time, a limit or an error moves on.
    draining,  // What is in flight comes back.
    sweeping,  // Verify: all that was written is read once more.
    over,
  };
  struct Message : Task {
    Worker* worker = nullptr;
  };
  struct DueTimer : Timer {
    Worker* worker = nullptr;
  };

  Worker(Load& owner, std::unique_ptr<Lane> its_lane, uint32_t its_index);
  ~Worker() { CHECK(!timer.armed()); }
  Status set_up();

  void begin() noexcept;
  void tick() noexcept;  // With a rate: sends what is due.
  uint64_t due_ns(uint64_t nth) const noexcept;
  uint64_t choose() noexcept;
  void send_next(Slot& slot, uint64_t since_ns) noexcept;
  void send(Slot& slot, uint64_t io_index, bool read) noexcept;
  void stamp(Slot& slot) noexcept;
  void done(Slot& slot) noexcept;
  void measure(const Slot& slot, uint64_t now_ns) noexcept;
  void note_error(const Slot& slot) noexcept;
  void verify(const Slot& slot) noexcept;
  void note_wrong(const Slot& slot, uint64_t block, StampVerdict verdict) noexcept;
  void count_error() noexcept;
  bool quota_used() const noexcept { return quota != 0 && sent >= quota; }
  void stop(uint64_t now_ns) noexcept;
  void sweep() noexcept;
  void end_if_drained() noexcept;
  uint64_t first_block(uint64_t io_index) const noexcept;

  Load& load;
  const std::unique_ptr<Lane> lane;
  const uint32_t index;
  Sequence sequence;
  std::optional<Zipf> zipf;
  std::vector<Slot> slots;
  Slot* free_slots = nullptr;
  std::unique_ptr<std::byte, void (*)(void*)> memory{nullptr, std::free};

  uint64_t ios_per_nsid = 0;
  uint64_t first_io = 0;  // This worker's part of the whole space, in units of io_bytes.
  uint64_t io_count = 0;
  uint64_t next_io = 0;  // Sequential, and the sweep.
  uint64_t quota = 0;    // 0: none.
  uint64_t sent = 0;
  uint32_t in_flight = 0;

  // Verify: by block of the part, the sequence of its last write, 0 when nobody knows; and by I/O
  // of the part whether one is in flight, as two on one block could end in either order.
  std::vector<uint32_t> written;
  std::vector<bool> busy;
  uint32_t last_sequence = 0;

  double interval_ns = 0;
  uint64_t next_due = 0;
  DueTimer timer;
  uint64_t start_ns = 0;
  uint64_t warm_ns = 0;
  uint64_t end_ns = 0;
  bool warm = false;
  bool connection_over = false;
  Phase phase = Phase::running;
  uint64_t cpu_start_ns = 0;
  uint64_t measured_from_ns = 0;
  uint64_t measured_to_ns = 0;
  LoadResult result;
  Message start;
  Message finished;
};

}  // namespace ashlar::load
