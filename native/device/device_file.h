// DeviceFile: a regular file or a block device that is open, locked and measured. All reactors'
// channels to it (uring_device.h) share one.
//
// An NVMe character device (/dev/ngXnY) will be a third kind here, with its own channel.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace ashlar {

struct DeviceFileOptions {
  std::string path;
  // Set: for making a new pool. A path that does not exist becomes a sparse regular file of this
  // size (0: refused, the size is needed); what exists already must have this size (0: any).
  // Not set: the path must exist.
  std::optional<uint64_t> create_size_bytes;
  // No write reaches it; the lock is shared with other readers.
  bool read_only = false;
};

class DeviceFile {
 public:
  // Blocks (system calls): not on a reactor's thread. Errors: not_found, permission_denied,
  // pool_locked (names the holder when the system tells), invalid_argument, no_space, io_error.
  static Result<std::shared_ptr<DeviceFile>> open(const DeviceFileOptions& options);
  // Unlocks and closes. A file that open() made is removed again unless keep() was called.
  ~DeviceFile();
  DeviceFile(const DeviceFile&) = delete;
  DeviceFile& operator=(const DeviceFile&) = delete;

  int fd() const noexcept { return fd_; }
  const std::string& path() const noexcept { return path_; }
  const DeviceGeometry& geometry() const noexcept { return geometry_; }
  bool direct() const noexcept { return direct_; }  // False: through the page cache.
  bool created() const noexcept { return created_; }
  // Maps the range, shared with the page cache; `none` where that cannot be done. On one thread.
  KillSafeMemory map(uint64_t offset_bytes, uint64_t length_bytes);
  // The directory entry of what was made becomes durable. It is removed all the same, unless it
  // is to stay.
  Status make_durable();
  void stay() noexcept { created_ = false; }
  // Both.
  Status keep();

 private:
  DeviceFile() = default;
  Status open_descriptor(const DeviceFileOptions& options);
  Status lock(bool shared);
  Status measure();
  Status set_size(const DeviceFileOptions& options);

  std::string path_;
  int fd_ = -1;
  bool direct_ = false;
  bool created_ = false;
  bool block_device_ = false;
  bool read_only_ = false;
  DeviceGeometry geometry_;
  std::vector<std::span<std::byte>> mapped_;
};

}  // namespace ashlar
