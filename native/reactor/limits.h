// Limits of one reactor.
#pragma once

#include <cstdint>

#include "base/limits.h"

namespace ashlar::limits {

// Submissions of one turn; what does not fit waits for the next. 64 bytes each: 64 KiB.
inline constexpr uint32_t ring_entries = 1024;

// Requests that the kernel has at a time; more wait in FIFO order. The completion queue is as long,
// so it cannot overflow: 16 bytes each, 256 KiB. A connection has at most two under way (one
// receive, one send), so this serves 4,096 connections and 8,192 device operations.
inline constexpr uint32_t ring_under_way = 16384;

// Completions taken before tasks and timers get their turn.
inline constexpr uint32_t reap_batch = 256;

// Segments handed to one sendmsg or preadv; longer lists take several requests.
inline constexpr uint32_t segments_per_request = 64;

// A dead peer is found out after 10 s idle and 3 probes, 5 s apart; or when bytes of ours stay
// unacknowledged for 30 s.
inline constexpr int keepalive_idle_s = 10;
inline constexpr int keepalive_interval_s = 5;
inline constexpr int keepalive_probes = 3;
inline constexpr int unacknowledged_ms = 30'000;

// A lingering close reads and drops what the peer still sends for this long, because closing with
// unread bytes would reset the connection and destroy our last words.
inline constexpr uint64_t linger_ns = 500'000'000;

inline constexpr int listen_backlog = 1024;
// After accept() failed for want of descriptors or memory.
inline constexpr uint64_t accept_retry_ns = 100'000'000;

}  // namespace ashlar::limits
