// Lane: one queue of whatever is loaded, an I/O queue of our own host or a channel to a device.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string>

#include "reactor/loop.h"

namespace ashlar::load {

enum class IoFate : uint8_t {
  done,
  failed,      // `status` says why.
  lost,        // The connection ended after some of it may have left.
  never_sent,  // It had ended before.
};

// One I/O under way. Its owner keeps it and its memory until done() has run.
struct LoadIo {
  uint32_t slot = 0;  // 0 to depth - 1, the same all its life.
  bool read = true;
  uint32_t nsid = 0;
  uint64_t offset_bytes = 0;
  iovec memory{};
  // From the lane's loop, never from inside submit().
  void (*done)(LoadIo&) noexcept = nullptr;
  void* context = nullptr;
  IoFate fate = IoFate::done;
  uint32_t status = 0;  // SCT << 8 | SC, or an errno.
};

class Lane {
 public:
  virtual ~Lane() = default;
  virtual Loop& loop() noexcept = 0;
  virtual uint32_t number() const noexcept = 0;  // The QID, for people.
  virtual void submit(LoadIo& io) noexcept = 0;
  // Of a failed I/O: "status 281h", "Input/output error". May allocate.
  virtual std::string describe(const LoadIo& io) const = 0;
};

}  // namespace ashlar::load
