// Command: one NVMe command that our own host sends, and what became of it.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/list.h"
#include "nvme/wire.h"

namespace ashlar::host {

// What the submitter may believe once done() was called.
enum class Fate : uint8_t {
  pending,     // done() has not been called yet.
  completed,   // The controller answered; `cqe` is its word.
  lost,        // The connection ended after some of it may have left: applied or not, nobody knows.
  never_sent,  // No byte of it left this host: it was not applied.
};

// Embedded in its owner, who keeps it and the memory it names alive until done() has run.
struct Command : ListNode {
  // In. CID, PSDT and the SGL are filled in by the queue.
  nvme::Sqe sqe{};
  // Data to the controller, or room for data from it; never both.
  std::span<const iovec> data_out;
  std::span<const iovec> data_in;
  // Called exactly once, from the queue's loop, never from inside submit().
  void (*done)(Command&) noexcept = nullptr;
  void* context = nullptr;

  // Out.
  Fate fate = Fate::pending;
  nvme::Cqe cqe{};
  uint32_t data_in_bytes = 0;  // How much came, from the start of data_in.

  // SCT << 8 | SC of an answered command.
  uint16_t status() const noexcept { return static_cast<uint16_t>((cqe.status >> 1) & 0x7ff); }
  bool do_not_retry() const noexcept { return (cqe.status & 0x8000) != 0; }
  bool succeeded() const noexcept { return fate == Fate::completed && status() == 0; }
};

}  // namespace ashlar::host
