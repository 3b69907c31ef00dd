// layer* and volume*: what layers hold, and layers open for I/O, for JavaScript.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "addon/pool_handle.h"
#include "addon/register.h"
#include "base/bytes.h"
#include "store/cold_io.h"

namespace ashlar::addon {

namespace {

constexpr uint32_t max_usages = 4096;
constexpr uint32_t max_ranges = 65536;
constexpr uint32_t max_transfer_bytes = 4u << 20;

// ---- Layers -------------------------------------------------------------------------------------

Napi::Value usage_value(Napi::Env env, const store::LayerUsage& usage) {
  Napi::Object object = Napi::Object::New(env);
  object["sizeBytes"] = js(env, usage.size_bytes);
  object["blockBytes"] = js(env, usage.block_bytes);
  object["mappedBytes"] = js(env, usage.mapped_bytes);
  object["ownBytes"] = js(env, usage.own_bytes);
  object["allocatedBytes"] = js(env, usage.allocated_bytes);
  object["freesBytes"] = js(env, usage.frees_bytes);
  object["reservedBytes"] = js(env, usage.reserved_bytes);
  object["children"] = js(env, usage.children);
  object["state"] = js(env, usage.frozen ? "frozen" : "live");
  return object;
}

Napi::Value layer_usage(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  const Uuid layer = in.to_uuid(info[1], "layer");
  return with_pool(info, in, handle, [handle, layer](store::Pool& pool, Reply reply) {
    const Result<store::LayerUsage> usage = pool.usage(layer);
    if (!usage.ok()) return reply.reject(handle->named(usage.error()));
    reply.resolve([found = usage.value()](Napi::Env env) { return usage_value(env, found); });
  });
}

Napi::Value layer_usages(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  std::vector<Uuid> layers;
  const auto array = in.to_array(info[1], "layers");
  if (array && array->Length() > max_usages) {
    in.fail(ErrorCode::limit_exceeded, std::to_string(array->Length()) +
                                           " layers at once; at most " +
                                           std::to_string(max_usages) + " are possible");
  }
  for (uint32_t i = 0; array && in.ok() && i < array->Length(); ++i) {
    layers.push_back(in.to_uuid(array->Get(i), "layers"));
  }
  return with_pool(info, in, handle, [layers](store::Pool& pool, Reply reply) {
    auto found = std::make_shared<std::vector<std::optional<store::LayerUsage>>>();
    for (const Uuid& layer : layers) {
      const Result<store::LayerUsage> usage = pool.usage(layer);
      found->push_back(usage.ok() ? std::optional(usage.value()) : std::nullopt);
    }
    reply.resolve([found](Napi::Env env) -> Napi::Value {
      Napi::Array usages = Napi::Array::New(env, found->size());
      for (uint32_t i = 0; i < found->size(); ++i) {
        const auto& usage = (*found)[i];
        usages[i] = usage.has_value() ? usage_value(env, *usage) : env.Null();
      }
      return usages;
    });
  });
}

Napi::Value ranges_value(Napi::Env env, const store::LayerRanges& found) {
  Napi::Array ranges = Napi::Array::New(env, found.ranges.size());
  uint32_t count = 0;
  for (const store::LayerRange& range : found.ranges) {
    Napi::Object entry = Napi::Object::New(env);
    entry["offsetBytes"] = js(env, range.offset_bytes);
    entry["lengthBytes"] = js(env, range.length_bytes);
    entry["kind"] = js(env, range.zero ? "zero" : "data");
    ranges[count++] = entry;
  }
  Napi::Object object = Napi::Object::New(env);
  object["ranges"] = ranges;
  object["nextOffsetBytes"] =
      found.next_offset_bytes.has_value() ? js(env, *found.next_offset_bytes) : env.Null();
  return object;
}

Napi::Value layer_ranges(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  const Uuid layer = in.to_uuid(info[1], "layer");
  const Uuid since = info[2].IsNull() ? nil_uuid : in.to_uuid(info[2], "since");
  const uint64_t offset = in.to_u64(info[3], "offsetBytes");
  const double limit = in.to_number(info[4], "limit", max_ranges);
  if (in.ok() && limit < 1) in.fail(ErrorCode::invalid_argument, "limit must be at least 1");
  return with_pool(info, in, handle, [=](store::Pool& pool, Reply reply) {
    pool.ranges(layer, since, offset, static_cast<uint32_t>(limit),
                [handle, reply](Result<store::LayerRanges> result) {
                  if (!result.ok()) return reply.reject(handle->named(result.error()));
                  auto found = std::make_shared<store::LayerRanges>(std::move(result).value());
                  reply.resolve([found](Napi::Env env) { return ranges_value(env, *found); });
                });
  });
}

// ---- Opening and closing ------------------------------------------------------------------------

Napi::Value volume_open(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  const Uuid layer = in.to_uuid(info[1], "layer");
  if (in.ok() && !info[2].IsBoolean()) {
    in.fail(ErrorCode::invalid_argument, "readOnly must be a boolean");
  }
  if (!in.ok()) return in.reject();
  const bool read_only = info[2].As<Napi::Boolean>().Value();
  handle->open_volumes.fetch_add(1);
  return handle->runtime->call(info.Env(), handle->owner, [handle, layer, read_only](Reply reply) {
    if (handle->pool == nullptr) {
      handle->open_volumes.fetch_sub(1);
      return reply.reject({ErrorCode::closed, "pool " + handle->name + " is closed"});
    }
    const Result<store::Volume*> result = handle->pool->open_volume(layer, read_only);
    if (!result.ok()) {
      handle->open_volumes.fetch_sub(1);
      return reply.reject(handle->named(result.error()));
    }
    handle->volumes.push_back(result.value());
    auto volume = std::make_shared<OpenVolume>(handle, *result.value());
    reply.resolve([volume](Napi::Env env) {
      return volume->object(env, volume->pool().runtime->bridge());
    });
  });
}

std::shared_ptr<OpenVolume> to_volume(Reader& in, Napi::Value value) {
  return std::static_pointer_cast<OpenVolume>(in.handle<VolumeHandle>(value));
}

Napi::Value volume_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto volume = to_volume(in, info[0]);
  if (!in.ok()) return in.reject();
  volume->mark_closed();
  const auto handle = volume->shared_pool();
  return handle->runtime->call(info.Env(), handle->owner, [handle, volume](Reply reply) {
    const auto at = std::find(handle->volumes.begin(), handle->volumes.end(), &volume->volume());
    if (at == handle->volumes.end()) return reply.resolve();  // Closed with the environment.
    handle->volumes.erase(at);
    handle->pool->close_volume(volume->volume(), [handle, volume, reply] {
      handle->open_volumes.fetch_sub(1);
      reply.resolve();
    });
  });
}

// ---- I/O without a host -------------------------------------------------------------------------

// One command of JavaScript's, with its memory; alive until it is done.
struct Transfer {
  BlockIo io;
  store::AlignedBuffer memory;
  iovec segment{};
  std::shared_ptr<OpenVolume> volume;
  std::shared_ptr<Transfer> self;
  std::function<void(Transfer&)> done;
};

Error status_error(const PoolHandle& pool, const BlockIo& io) {
  const std::string where = pool.name + ": " + std::to_string(io.length_bytes) + " bytes at " +
                            std::to_string(io.offset_bytes);
  switch (io.status) {
    case BlockStatus::ok: break;
    case BlockStatus::capacity_exceeded:
      return {ErrorCode::no_space, where + ": the pool is full; delete volumes or snapshots, discard "
                                           "unused blocks, or add a device"};
    case BlockStatus::read_error: return {ErrorCode::io_error, where + ": cannot be read"};
    case BlockStatus::write_error: return {ErrorCode::io_error, where + ": cannot be written"};
    case BlockStatus::pool_failed:
      return {ErrorCode::pool_failed, where + ": the pool has failed, nothing is acknowledged"};
    case BlockStatus::gone: return {ErrorCode::closed, where + ": the volume was closed"};
  }
  return {ErrorCode::io_error, where + ": the volume was closed"};
}

// Empty when the range and the operation fit the volume.
std::optional<Error> judge(const PoolHandle& pool, const store::Volume& volume, const BlockIo& io) {
  const bool changes = io.op != BlockOp::read && io.op != BlockOp::flush;
  if (changes && volume.read_only()) {
    return Error{ErrorCode::permission_denied, pool.name + ": the volume is open read-only"};
  }
  const uint64_t size = volume.size_bytes();
  const uint32_t block = volume.block_size_bytes();
  if (io.offset_bytes > size || io.length_bytes > size - io.offset_bytes ||
      !is_multiple(io.offset_bytes, block) || !is_multiple(io.length_bytes, block)) {
    return Error{ErrorCode::invalid_argument,
                 pool.name + ": " + std::to_string(io.length_bytes) + " bytes at " +
                     std::to_string(io.offset_bytes) + " are not whole blocks of " +
                     std::to_string(block) + " bytes within the volume's " + std::to_string(size)};
  }
  return std::nullopt;
}

Napi::Value submit(const Napi::CallbackInfo& info, const std::shared_ptr<Transfer>& transfer,
                   std::function<void(Transfer&, Reply)> answer) {
  const auto handle = transfer->volume->shared_pool();
  return handle->runtime->call(
      info.Env(), handle->owner, [handle, transfer, answer = std::move(answer)](Reply reply) {
        store::Volume& volume = transfer->volume->volume();
        const auto at = std::find(handle->volumes.begin(), handle->volumes.end(), &volume);
        if (at == handle->volumes.end()) {
          return reply.reject({ErrorCode::closed, handle->name + ": the volume is closed"});
        }
        BlockIo& io = transfer->io;
        if (const auto problem = judge(*handle, volume, io); problem.has_value()) {
          return reply.reject(*problem);
        }
        if (io.length_bytes == 0 && io.op != BlockOp::flush) return answer(*transfer, reply);
        transfer->self = transfer;
        transfer->done = [handle, reply, answer](Transfer& ended) {
          if (ended.io.status == BlockStatus::ok) return answer(ended, reply);
          reply.reject(status_error(*handle, ended.io));
        };
        io.context = transfer.get();
        io.done = [](BlockIo& ended) noexcept {
          const auto self = std::move(static_cast<Transfer*>(ended.context)->self);
          self->done(*self);
        };
        volume.submit(handle->owner, io);
      });
}

void give_memory(Transfer& transfer) {
  const uint64_t length = transfer.io.length_bytes;
  transfer.memory = store::AlignedBuffer(std::max<uint64_t>(round_up(length, 4096), 4096));
  transfer.segment = iovec{transfer.memory.data(), length};
  transfer.io.segments = std::span<const iovec>(&transfer.segment, length > 0 ? 1 : 0);
}

std::shared_ptr<Transfer> make_transfer(Reader& in, const Napi::CallbackInfo& info, BlockOp op) {
  auto transfer = std::make_shared<Transfer>();
  transfer->volume = to_volume(in, info[0]);
  transfer->io.op = op;
  if (op != BlockOp::flush) transfer->io.offset_bytes = in.to_u64(info[1], "offsetBytes");
  return transfer;
}

void resolve(Transfer&, const Reply& reply) { reply.resolve(); }

Napi::Value volume_read(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto transfer = make_transfer(in, info, BlockOp::read);
  transfer->io.length_bytes =
      static_cast<uint64_t>(in.to_number(info[2], "lengthBytes", max_transfer_bytes));
  if (!in.ok()) return in.reject();
  give_memory(*transfer);
  return submit(info, transfer, [](Transfer& ended, const Reply& reply) {
    auto memory = std::make_shared<store::AlignedBuffer>(std::move(ended.memory));
    reply.resolve([memory, length = ended.io.length_bytes](Napi::Env env) -> Napi::Value {
      return Napi::Buffer<char>::Copy(env, reinterpret_cast<const char*>(memory->data()), length);
    });
  });
}

Napi::Value volume_write(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto transfer = make_transfer(in, info, BlockOp::write);
  const std::vector<std::byte> data = in.to_bytes(info[2], "data");
  if (in.ok() && data.size() > max_transfer_bytes) {
    in.fail(ErrorCode::limit_exceeded, std::to_string(data.size()) + " bytes at once; at most " +
                                           std::to_string(max_transfer_bytes) + " are possible");
  }
  if (!in.ok()) return in.reject();
  transfer->io.length_bytes = data.size();
  give_memory(*transfer);
  std::copy(data.begin(), data.end(), transfer->memory.data());
  return submit(info, transfer, resolve);
}

Napi::Value volume_deallocate(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto transfer = make_transfer(in, info, BlockOp::deallocate);
  transfer->io.length_bytes = in.to_u64(info[2], "lengthBytes");
  if (!in.ok()) return in.reject();
  return submit(info, transfer, resolve);
}

Napi::Value volume_flush(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto transfer = make_transfer(in, info, BlockOp::flush);
  if (!in.ok()) return in.reject();
  return submit(info, transfer, resolve);
}

void add(Napi::Env env, Napi::Object exports, const char* name,
         Napi::Value (*function)(const Napi::CallbackInfo&)) {
  exports[name] = Napi::Function::New(env, function, name);
}

}  // namespace

void register_volume(Napi::Env env, Napi::Object exports) {
  add(env, exports, "layerUsage", layer_usage);
  add(env, exports, "layerUsages", layer_usages);
  add(env, exports, "layerRanges", layer_ranges);
  add(env, exports, "volumeOpen", volume_open);
  add(env, exports, "volumeClose", volume_close);
  add(env, exports, "volumeRead", volume_read);
  add(env, exports, "volumeWrite", volume_write);
  add(env, exports, "volumeDeallocate", volume_deallocate);
  add(env, exports, "volumeFlush", volume_flush);
}

}  // namespace ashlar::addon
