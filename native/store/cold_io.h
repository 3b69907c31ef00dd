// Device operations outside the I/O path: creating, opening, checkpoints, checks. They allocate,
// and tell a function.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <span>
#include <utility>

#include "base/check.h"
#include "device/device.h"

namespace ashlar::store {

// Memory aligned to 4 KiB, zero-filled unless it is asked for `unwritten`: large buffers of which
// only what was just written is ever read cost nothing until they are needed.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);
  static AlignedBuffer unwritten(size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer() { std::free(data_); }
  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return bytes_; }
  std::span<std::byte> span() const noexcept { return {data_, bytes_}; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

using ColdDone = std::function<void(int result)>;

// `memory` stays alive until `done`.
void cold_read(Device& device, uint64_t offset, std::span<std::byte> memory, ColdDone done);
void cold_write(Device& device, uint64_t offset, std::span<const std::byte> memory, bool durable,
                ColdDone done);
void cold_flush(Device& device, ColdDone done);

}  // namespace ashlar::store
