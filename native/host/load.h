// Load: a native load generator over a connected Association, for benchmarks and soak tests.
//
// Each queue keeps `depth` commands in flight on its own loop; a completion sends the next command
// at once. Memory is taken at the start; a run allocates nothing per I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/association.h"
#include "host/histogram.h"

namespace ashlar::host {

struct LoadOptions {
  uint32_t nsid = 1;
  uint32_t block_bytes = 4096;
  uint32_t depth = 1;   // Commands in flight a queue.
  uint32_t queues = 1;  // I/O queues 1 to `queues`.
  uint32_t io_bytes = 4096;
  bool random = true;  // Else sequential: each queue walks a part of its own.
  uint32_t read_percent = 100;
  uint64_t span_bytes = 0;  // The range of the namespace that is used, from LBA 0.
  uint64_t warmup_ns = 0;
  uint64_t duration_ns = 0;
  uint64_t seed = 1;
};

struct LoadResult {
  uint64_t commands = 0;  // In the measured time, the successful ones.
  uint64_t bytes = 0;
  uint64_t elapsed_ns = 0;
  uint64_t errors = 0;  // Over the whole run, warm-up included.
  std::string first_error;
  Histogram latency;
  uint64_t host_cpu_ns = 0;  // CPU time of the loops' threads in the measured time.
};

class Load {
 public:
  // The association is live and outlives this. Fails with invalid_argument or limit_exceeded.
  static Result<std::unique_ptr<Load>> create(Association& association, const LoadOptions& options);
  ~Load();  // Never started, or done.
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Once, on home's loop; `done` runs there and may destroy this. Ends early when the connection is
  // lost, with the commands that it cost counted as errors.
  void run(void (*done)(void* context, Load& load), void* context) noexcept;
  const LoadResult& result() const noexcept { return result_; }

 private:
  struct Worker;
  struct Slot;
  Load(Association& association, const LoadOptions& options);
  void worker_done(Worker& worker) noexcept;

  Association& association_;
  const LoadOptions options_;
  std::vector<std::unique_ptr<Worker>> workers_;
  uint32_t running_ = 0;
  LoadResult result_;
  void (*done_)(void*, Load&) = nullptr;
  void* context_ = nullptr;
};

}  // namespace ashlar::host
