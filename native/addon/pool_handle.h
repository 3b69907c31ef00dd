// PoolHandle and OpenVolume: an open pool, and a layer of it open for I/O, as JavaScript holds
// them. Shared by the bindings of pools (pool_binding.cc) and of layers and volumes
// (volume_binding.cc).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/device_binding.h"
#include "addon/runtime.h"
#include "addon/values.h"
#include "addon/volume_handle.h"
#include "device/device_file.h"
#include "device/memory_device.h"
#include "store/pool.h"

namespace ashlar::addon {

// An open pool. Its owner is one reactor; what is not marked otherwise is used on that thread only.
class PoolHandle final : public Handle, public Attachment {
 public:
  static constexpr HandleKind handle_kind = HandleKind::pool;

  explicit PoolHandle(std::shared_ptr<Runtime> on)
      : Handle(handle_kind), runtime(std::move(on)), owner(runtime->next_reactor()) {}

  std::shared_ptr<PoolHandle> shared() {
    return std::static_pointer_cast<PoolHandle>(shared_from_this());
  }
  std::string describe() const override { return "pool " + name; }
  void shut_down(std::function<void()> done) override;

  // JavaScript thread: the file or memory, and one channel a reactor.
  Status open_device(const DeviceFileOptions& options);
  Status open_memory(uint64_t size_bytes, bool populate);
  void add_channels();

  std::vector<store::Port> ports();
  // "<path>: <message>", since the store does not know where it lies.
  Error named(const Error& error) const {
    return Error{error.code, name + ": " + error.message};
  }
  void close_volumes(std::function<void()> then);
  // The pool is gone: so are the channels, and with the last of them the lock.
  void drop() {
    pool.reset();
    members.clear();
    devices.clear();
    file.reset();
  }

  const std::shared_ptr<Runtime> runtime;
  const uint32_t owner;
  std::string name;  // Constant once open.
  std::shared_ptr<DeviceFile> file;
  std::shared_ptr<DeviceMemory> memory;
  std::vector<std::unique_ptr<Device>> devices;
  PoolMembers members;  // But the first.
  std::unique_ptr<store::Pool> pool;
  std::vector<store::Volume*> volumes;
  bool read_only = false;
  bool opening = false;
  std::function<void()> when_opened;  // Shut down while it was being opened.
  // Volumes open or being opened; raised on the JavaScript thread, lowered on the owner's.
  std::atomic<uint32_t> open_volumes{0};
};

class OpenVolume final : public VolumeHandle {
 public:
  OpenVolume(std::shared_ptr<PoolHandle> in, store::Volume& volume)
      : pool_(std::move(in)), volume_(volume) {}
  BlockBackend& backend() noexcept override { return volume_; }
  store::Volume& volume() noexcept { return volume_; }
  PoolHandle& pool() noexcept { return *pool_; }
  std::shared_ptr<PoolHandle> shared_pool() { return pool_; }

 private:
  const std::shared_ptr<PoolHandle> pool_;
  store::Volume& volume_;
};

// Runs `work` on the owner's thread with the pool, unless it was closed on the way.
Napi::Value with_pool(const Napi::CallbackInfo& info, Reader& in,
                      const std::shared_ptr<PoolHandle>& handle,
                      std::function<void(store::Pool&, Reply)> work);

}  // namespace ashlar::addon
