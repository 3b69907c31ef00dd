// Limits of device channels.
#pragma once

#include <cstdint>

namespace ashlar::limits {

// Requests that one channel has with the ring at a time; more wait in FIFO order. A slot is about
// 400 bytes: 200 KiB a channel. A quarter of the ring's room, so that sockets never starve.
inline constexpr uint32_t device_slots = 512;

// Segments of one request; an operation with more takes several requests, one after the other.
// A command's 8 buffer pieces and a journal record's header, body and padding fit at once.
inline constexpr uint32_t device_segments_per_request = 16;

}  // namespace ashlar::limits
