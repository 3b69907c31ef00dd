// Load: a native load generator, for benchmarks and soak tests, over the queues of a connected host
// (host_lane.h) or over a device (device_lane.h).
//
// Closed loop: each queue keeps `depth` I/Os in flight on its own loop, and one that completes
// sends the next at once; latency counts from then. With a rate, I/Os are due at equal distances
// whatever the answers do, and latency counts from when one was due: who measures from when it was
// sent leaves out the wait that a slow answer imposes on all behind it (coordinated omission).
//
// Memory is taken at the start; a run allocates nothing per I/O.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "load/histogram.h"
#include "load/lane.h"

namespace ashlar::load {

enum class Pattern : uint8_t {
  random,
  sequential,  // Each queue walks a part of its own.
  zipf,        // Some blocks much more often than others, by `zipf_theta`.
};

struct LoadOptions {
  std::vector<uint32_t> nsids{1};  // The load is spread over them evenly. At most max_nsids.
  uint32_t block_bytes = 4096;
  uint32_t depth = 1;   // I/Os in flight a queue; with a rate, the most that may be.
  uint32_t queues = 1;  // Must be the number of lanes.
  uint32_t io_bytes = 4096;
  Pattern pattern = Pattern::random;
  double zipf_theta = 0;
  uint32_t read_percent = 100;
  uint64_t span_bytes = 0;       // The range of each namespace that is used, from its beginning.
  uint32_t rate_per_second = 0;  // Over all queues; 0: closed loop.
  // Writes carry stamps, reads are held against them, and at the end all that was written is read
  // once more. Each queue has a part of its own, so what a block must hold is exactly known.
  bool verify = false;
  uint64_t warmup_ns = 0;
  uint64_t duration_ns = 0;  // 0: until max_ios.
  uint64_t max_ios = 0;      // Over all queues; 0: until duration_ns.
  uint64_t max_errors = 0;   // 0: goes on.
  uint64_t seed = 1;         // Also the generation of stamps.
};

inline constexpr size_t max_nsids = 1024;
inline constexpr double max_zipf_theta = 8;

// What went wrong first.
struct LoadFailure {
  enum class Kind : uint8_t { status, lost, never_sent, wrong_data };
  Kind kind = Kind::status;
  bool read = true;
  uint32_t nsid = 0;
  uint64_t lba = 0;  // Of wrong data, the first wrong block.
  uint32_t blocks = 0;
  uint32_t queue = 0;
  uint32_t status = 0;
  std::string message;  // All of it in one line; empty: nothing went wrong.
};

struct LoadResult {
  uint64_t commands = 0;  // In the measured time, the successful ones.
  uint64_t bytes = 0;
  uint64_t elapsed_ns = 0;
  uint64_t errors = 0;  // Over the whole run, warm-up included.
  LoadFailure failure;
  Histogram reads;
  Histogram writes;
  uint64_t behind = 0;           // With a rate: due and not sent when the time was over.
  uint64_t verified_blocks = 0;  // Of stamp_block_bytes.
  uint64_t wrong_blocks = 0;
  uint64_t host_cpu_ns = 0;  // CPU time of the loops' threads in the measured time.
};

class Load {
 public:
  // What lies under the lanes outlives this. Fails with invalid_argument or limit_exceeded.
  static Result<std::unique_ptr<Load>> create(std::vector<std::unique_ptr<Lane>> lanes, Loop& home,
                                              const LoadOptions& options);
  ~Load();  // Never started, or done.
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Once, on home's loop; `done` runs there and may destroy this. Ends early when a connection is
  // lost, with the commands that it cost counted as errors.
  void run(void (*done)(void* context, Load& load), void* context) noexcept;
  const LoadResult& result() const noexcept { return result_; }

 private:
  struct Worker;
  struct Slot;
  Load(Loop& home, const LoadOptions& options);
  void worker_done(Worker& worker) noexcept;

  Loop& home_;
  const LoadOptions options_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> give_up_{false};  // One worker has seen too many errors.
  uint32_t running_ = 0;
  LoadResult result_;
  void (*done_)(void*, Load&) = nullptr;
  void* context_ = nullptr;
};

}  // namespace ashlar::load
