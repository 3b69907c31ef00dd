// The devices of a pool as the addon holds them: what is open, and one channel a reactor.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "addon/runtime.h"
#include "addon/values.h"
#include "device/device_file.h"
#include "device/memory_device.h"
#include "store/pool.h"

namespace ashlar::addon {

struct DeviceChoice {
  std::string path;  // Empty: memory.
  uint64_t memory_bytes = 0;
  bool populate = false;
};
DeviceChoice read_device_spec(Reader& in, Napi::Value spec);

// One device. Made on the JavaScript thread; destroyed on any thread while nothing is under way,
// with which its lock goes, and its file too when that was made here and not kept.
struct PoolMember {
  static Result<std::shared_ptr<PoolMember>> open(Runtime& runtime, const DeviceChoice& choice,
                                                  std::optional<uint64_t> create_size_bytes,
                                                  bool read_only);
  std::vector<Device*> all_channels() const;

  std::string name;  // Its path, or "memory".
  Uuid uuid{};       // Once it is part of the pool.
  std::shared_ptr<DeviceFile> file;
  std::shared_ptr<DeviceMemory> memory;
  std::vector<std::unique_ptr<Device>> channels;
};

// The members of one open pool but the first. The owner's thread.
class PoolMembers {
 public:
  // Adds it to the pool, or brings it back, and answers with its status.
  void join(Runtime& runtime, uint32_t owner, store::Pool& pool, bool adding,
            std::shared_ptr<PoolMember> member, const Reply& reply);
  // Where each device of the status is open; empty: it is missing. `first`: of the first one.
  std::vector<std::string> names(const store::PoolStatus& status, const std::string& first) const;
  void clear() { members_.clear(); }

 private:
  std::vector<std::shared_ptr<PoolMember>> members_;
};

// Device failures of an open pool become events. The owner's thread.
class PoolHandle;
void tell_device_failures(const std::shared_ptr<PoolHandle>& handle);
// PoolDeviceStatus of lib/native.ts.
Napi::Value device_status_value(Napi::Env env, const store::PoolDeviceStatus& status,
                                const std::string& name);

}  // namespace ashlar::addon
