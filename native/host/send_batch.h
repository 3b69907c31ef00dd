// SendBatch: the PDUs that leave in one send. Headers, padding and digests lie in its own arena,
// data stays where the caller has it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/crc32c.h"
#include "host/limits.h"
#include "tcp/codec.h"

namespace ashlar::host {

class SendBatch {
 public:
  void clear() noexcept {
    pdus_ = 0;
    arena_used_ = 0;
    segment_count_ = 0;
    data_bytes_ = 0;
  }
  bool empty() const noexcept { return pdus_ == 0; }
  // Room for one more PDU of any kind.
  bool has_room() const noexcept {
    return pdus_ < max_batch_pdus && data_bytes_ < max_batch_data_bytes &&
           segment_count_ + max_command_segments + 2 <= max_batch_segments;
  }

  // Where the next header is encoded; then add_header() says how long it became.
  std::span<std::byte> header_room() noexcept {
    CHECK(has_room());
    return std::span(arena_).subspan(arena_used_, tcp::max_header_bytes);
  }
  void add_header(uint32_t bytes) noexcept {
    CHECK(bytes <= tcp::max_header_bytes);
    ++pdus_;
    add_arena(bytes);
  }
  // [offset, offset + length) of what `data` lists, and its digest when the framing has one.
  void add_data(std::span<const iovec> data, uint32_t offset, uint32_t length,
                bool digest) noexcept {
    Crc32c crc;
    for (const iovec& piece : data) {
      if (length == 0) break;
      if (offset >= piece.iov_len) {
        offset -= static_cast<uint32_t>(piece.iov_len);
        continue;
      }
      std::byte* from = static_cast<std::byte*>(piece.iov_base) + offset;
      const size_t room = piece.iov_len - offset;
      const auto take = static_cast<uint32_t>(room < length ? room : length);
      if (digest) crc.update({from, take});
      add_segment({from, take});
      data_bytes_ += take;
      length -= take;
      offset = 0;
    }
    CHECK(length == 0);
    if (!digest) return;
    const uint32_t value = crc.value();
    std::memcpy(arena_ + arena_used_, &value, tcp::digest_bytes);
    add_arena(tcp::digest_bytes);
  }

  std::span<const iovec> segments() const noexcept { return {segments_, segment_count_}; }

 private:
  void add_arena(uint32_t bytes) noexcept {
    std::byte* from = arena_ + arena_used_;
    CHECK(arena_used_ + bytes <= batch_arena_bytes);
    arena_used_ += bytes;
    if (segment_count_ != 0) {  // Commands without data lie side by side: one segment.
      iovec& last = segments_[segment_count_ - 1];
      if (static_cast<std::byte*>(last.iov_base) + last.iov_len == from) {
        last.iov_len += bytes;
        return;
      }
    }
    add_segment({from, bytes});
  }
  void add_segment(iovec segment) noexcept {
    CHECK(segment_count_ < max_batch_segments);
    segments_[segment_count_++] = segment;
  }

  uint32_t pdus_ = 0;
  uint32_t arena_used_ = 0;
  uint32_t segment_count_ = 0;
  uint32_t data_bytes_ = 0;
  iovec segments_[max_batch_segments];
  std::byte arena_[batch_arena_bytes];
};

}  // namespace ashlar::host
