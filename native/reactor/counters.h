// Counters of one reactor: written by its thread, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace ashlar {

// One writer, so an addition is a plain load and store, not a locked instruction.
class Counter {
 public:
  void add(uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void subtract(uint64_t n) noexcept { add(0 - n); }
  uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct ReactorCounters {
  // Kept by the reactor.
  Counter turns;
  Counter sleeps;
  Counter busy_ns;
  Counter buffers_in_use;  // Pieces.
  Counter buffer_waits;    // Requests that found the pool empty.
  // Kept by the target, on the reactor's thread.
  Counter connections;
  Counter commands;
  Counter read_bytes;
  Counter written_bytes;
  // Of TLS, by who does the records, since the start. Of those by the process so many should have
  // been the kernel's; each that broke at it counts here alone.
  Counter tls_kernel_connections;
  Counter tls_process_connections;
  Counter tls_offloads_refused;
  // Added to by whoever allocates after start-up on the I/O path; should stay 0.
  Counter io_path_allocations;
};

}  // namespace ashlar
