#include "addon/pool_handle.h"

#include "device/uring_device.h"

namespace ashlar::addon {

Status PoolHandle::open_device(const DeviceFileOptions& options) {
  auto opened = DeviceFile::open(options);
  if (!opened) return opened.error();
  file = std::move(opened).value();
  name = options.path;
  add_channels();
  return Unit{};
}

Status PoolHandle::open_memory(uint64_t size_bytes, bool populate) {
  auto opened = DeviceMemory::open(size_bytes, populate);
  if (!opened) return opened.error();
  memory = std::move(opened).value();
  name = "memory";
  add_channels();
  return Unit{};
}

void PoolHandle::add_channels() {
  for (uint32_t i = 0; i < runtime->reactor_count(); ++i) {
    UringReactor& reactor = runtime->reactor(i);
    if (file != nullptr) {
      devices.push_back(std::make_unique<UringDevice>(reactor, file));
    } else {
      devices.push_back(std::make_unique<MemoryDevice>(reactor, memory));
    }
  }
}

std::vector<store::Port> PoolHandle::ports() {
  std::vector<store::Port> ports;
  for (uint32_t i = 0; i < runtime->reactor_count(); ++i) {
    ports.push_back({&runtime->reactor(i), devices[i].get()});
  }
  return ports;
}

void PoolHandle::close_volumes(std::function<void()> then) {
  if (volumes.empty()) return then();
  auto left = std::make_shared<size_t>(volumes.size());
  const std::vector<store::Volume*> closing = std::exchange(volumes, {});
  for (store::Volume* volume : closing) {
    pool->close_volume(*volume, [left, then] {
      if (--*left == 0) then();
    });
  }
}

void PoolHandle::shut_down(std::function<void()> done) {
  runtime->post(owner, [self = shared(), done = std::move(done)] {
    const auto close = [self, done] {
      if (self->pool == nullptr) return done();
      self->close_volumes([self, done] {
        self->pool->close([self, done](const Status&) {
          self->drop();
          done();
        });
      });
    };
    if (self->opening) {
      self->when_opened = close;
    } else {
      close();
    }
  });
}

Napi::Value with_pool(const Napi::CallbackInfo& info, Reader& in,
                      const std::shared_ptr<PoolHandle>& handle,
                      std::function<void(store::Pool&, Reply)> work) {
  if (!in.ok()) return in.reject();
  return handle->runtime->call(
      info.Env(), handle->owner, [handle, work = std::move(work)](Reply reply) {
        if (handle->pool == nullptr) {
          return reply.reject({ErrorCode::closed, "pool " + handle->name + " is closed"});
        }
        work(*handle->pool, reply);
      });
}

}  // namespace ashlar::addon
