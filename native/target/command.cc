#include "target/command.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ashlar::target {

void Command::set_state(CommandState to) noexcept {
  using S = CommandState;
  const S from = state_;
  switch (to) {
    case S::free: CHECK(from != S::free && from != S::at_store); break;
    case S::receiving:
      CHECK(from == S::free || from == S::awaiting_buffers);
      break;
    case S::awaiting_buffers:
      CHECK(from == S::free || from == S::awaiting_limit || from == S::awaiting_share);
      break;
    case S::awaiting_data:
      CHECK(from == S::free || from == S::awaiting_buffers || from == S::awaiting_limit);
      break;
    case S::awaiting_limit:
    case S::awaiting_share:
      CHECK(from == S::free || from == S::receiving || from == S::awaiting_buffers ||
            from == S::awaiting_data || from == S::awaiting_range || from == S::awaiting_scratch ||
            from == S::awaiting_limit || from == S::awaiting_share);
      break;
    case S::awaiting_range:
      CHECK(from == S::free || from == S::receiving || from == S::awaiting_data ||
            from == S::awaiting_scratch || from == S::awaiting_range || from == S::awaiting_limit ||
            from == S::awaiting_share);
      break;
    case S::awaiting_other_half:
      CHECK(from == S::receiving || from == S::awaiting_data);
      break;
    case S::awaiting_scratch:
      CHECK(from == S::free || from == S::receiving || from == S::awaiting_data ||
            from == S::awaiting_range || from == S::awaiting_limit || from == S::awaiting_share);
      break;
    case S::at_store:
      CHECK(from == S::free || from == S::receiving || from == S::awaiting_buffers ||
            from == S::awaiting_data || from == S::awaiting_scratch || from == S::awaiting_range ||
            from == S::awaiting_other_half || from == S::awaiting_limit ||
            from == S::awaiting_share || from == S::at_store);
      break;
    case S::at_control_plane:
      CHECK(from == S::free || from == S::receiving || from == S::awaiting_data);
      break;
    case S::parked: CHECK(from == S::free); break;
    case S::responding: CHECK(from != S::responding && from != S::sending); break;
    case S::sending: CHECK(from == S::responding); break;
  }
  state_ = to;
}

void CommandLine::push(Command& command) noexcept {
  command.next = nullptr;
  if (tail == nullptr) {
    head = &command;
  } else {
    tail->next = &command;
  }
  tail = &command;
}

Command* CommandLine::pop() noexcept {
  Command* command = head;
  if (command == nullptr) return nullptr;
  head = command->next;
  if (head == nullptr) tail = nullptr;
  command->next = nullptr;
  return command;
}

bool CommandLine::remove(Command& command) noexcept {
  Command* before = nullptr;
  for (Command* at = head; at != nullptr; before = at, at = at->next) {
    if (at != &command) continue;
    (before == nullptr ? head : before->next) = at->next;
    if (tail == at) tail = before;
    at->next = nullptr;
    return true;
  }
  return false;
}

std::span<std::byte> contiguous_at(std::span<const iovec> segments, uint32_t offset) noexcept {
  size_t left = offset;
  for (const iovec& segment : segments) {
    if (left < segment.iov_len) {
      return {static_cast<std::byte*>(segment.iov_base) + left, segment.iov_len - left};
    }
    left -= segment.iov_len;
  }
  return {};
}

void copy_into(std::span<const iovec> segments, uint32_t offset,
               std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const auto to = contiguous_at(segments, offset);
    CHECK(!to.empty());
    const size_t n = std::min(to.size(), bytes.size());
    std::memcpy(to.data(), bytes.data(), n);
    bytes = bytes.subspan(n);
    offset += static_cast<uint32_t>(n);
  }
}

void copy_from(std::span<const iovec> segments, uint32_t offset,
               std::span<std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const auto from = contiguous_at(segments, offset);
    CHECK(!from.empty());
    const size_t n = std::min(from.size(), bytes.size());
    std::memcpy(bytes.data(), from.data(), n);
    bytes = bytes.subspan(n);
    offset += static_cast<uint32_t>(n);
  }
}

}  // namespace ashlar::target
