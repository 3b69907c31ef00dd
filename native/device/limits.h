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

// Devices of one pool; the superblock has as many rows.
inline constexpr uint32_t pool_members = 32;
// Flushes of one pool channel that go out to several devices at a time; more wait and share the
// next. One is an operation for each member: 4 x 32 x 120 bytes = 15 KiB a channel.
inline constexpr uint32_t pool_flushes = 4;
// Operations of one pool channel that cross from one device into the next at a time; more wait.
// The store's never do (each device but the first begins with its label), so that a few are enough.
inline constexpr uint32_t pool_splits = 4;
inline constexpr uint32_t pool_split_segments = 64;

}  // namespace ashlar::limits
