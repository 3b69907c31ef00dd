// pool*: pools over files, block devices and memory for JavaScript.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/check_value.h"
#include "addon/pool_handle.h"
#include "addon/register.h"
#include "addon/values.h"
#include "base/check.h"
#include "store/pool.h"

namespace ashlar::addon {

namespace {

// ---- Reading options ----------------------------------------------------------------------------

store::Change read_change(Reader& in, Napi::Value value) {
  using Kind = store::Change::Kind;
  store::Change change{};
  const std::string kind = in.text(value, "kind");
  if (kind == "create-layer") {
    change.kind = Kind::create_layer;
    change.layer = in.uuid(value, "layer");
    change.parent = in.uuid_or_null(value, "parent").value_or(nil_uuid);
    change.size_bytes = in.u64(value, "sizeBytes");
    change.block_bytes = in.number<uint32_t>(value, "blockBytes");
    change.volume_from = in.uuid_or_null(value, "volumeFrom").value_or(nil_uuid);
    change.reserved = in.boolean(value, "reserved");
  } else if (kind == "delete-layer") {
    change.kind = Kind::delete_layer;
    change.layer = in.uuid(value, "layer");
  } else if (kind == "resize-layer") {
    change.kind = Kind::resize_layer;
    change.layer = in.uuid(value, "layer");
    change.size_bytes = in.u64(value, "sizeBytes");
  } else if (kind == "reserve-layer") {
    change.kind = Kind::reserve_layer;
    change.layer = in.uuid(value, "layer");
    change.reserved = in.boolean(value, "reserved");
  } else if (kind == "put-record") {
    change.kind = Kind::put_record;
    change.key = in.u64(value, "key");
    change.value = in.bytes(value, "value");
  } else if (kind == "delete-record") {
    change.kind = Kind::delete_record;
    change.key = in.u64(value, "key");
  } else {
    in.fail(ErrorCode::invalid_argument, "'" + kind + "' is no kind of change");
  }
  return change;
}

// ---- Opening and closing ------------------------------------------------------------------------

void tell_failure(const std::shared_ptr<PoolHandle>& handle) {
  handle->pool->on_failed([weak = std::weak_ptr(handle)](const std::string& reason) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->runtime->bridge().emit_once([self, reason](Napi::Env env) -> Napi::Value {
      Napi::Object event = Napi::Object::New(env);
      event["type"] = js(env, "pool-failed");
      event["pool"] = self->object(env, self->runtime->bridge());
      event["reason"] = js(env, self->name + ": " + reason);
      return event;
    });
  });
}

void opened(const std::shared_ptr<PoolHandle>& handle, bool created, const Reply& reply,
            Result<std::unique_ptr<store::Pool>> result) {
  handle->opening = false;
  const auto then = std::exchange(handle->when_opened, nullptr);
  Error problem{ErrorCode::cancelled, "the pool was closed while it was being opened"};
  if (result.ok()) {
    handle->pool = std::move(result).value();
    if (then != nullptr) return then();
    tell_failure(handle);
    tell_device_failures(handle);
  } else {
    problem = handle->named(result.error());
  }
  if (handle->pool == nullptr) {
    // Told from inside the failed pool's last step: the channels go away in a later one.
    handle->runtime->post(handle->owner, [handle, reply, problem, then] {
      handle->drop();
      reply.resolve([handle, problem](Napi::Env env) -> Napi::Value {
        handle->mark_closed();
        handle->runtime->detach(handle.get());
        const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
        deferred.Reject(to_js_error(env, problem));
        return deferred.Promise();
      });
      if (then != nullptr) then();
    });
    return;
  }
  reply.resolve([handle, created](Napi::Env env) -> Napi::Value {
    if (created && handle->file != nullptr) {
      // Only a pool that exists whole may keep its file.
      if (Status kept = handle->file->keep(); !kept.ok()) {
        const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
        deferred.Reject(to_js_error(env, kept.error()));
        handle->mark_closed();
        handle->shut_down([handle] {});
        handle->runtime->detach(handle.get());
        return deferred.Promise();
      }
    }
    return handle->object(env, handle->runtime->bridge());
  });
}

Napi::Value begin(const Napi::CallbackInfo& info, bool create) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const auto runtime = in.handle<Runtime>(info[0]);
  const Napi::Value options = info[1];
  const DeviceChoice device = read_device_spec(in, in.field(options, "device"));
  store::PoolOptions pool_options;
  DeviceFileOptions file_options;
  file_options.path = device.path;
  pool_options.write_through = in.boolean(options, "writeThrough");
  if (create) {
    pool_options.uuid = in.uuid(options, "uuid");
    pool_options.journal_bytes = in.u64_or_null(options, "journalBytes").value_or(0);
    file_options.create_size_bytes = in.u64_or_null(options, "sizeBytes").value_or(0);
  } else {
    pool_options.read_only = in.boolean(options, "readOnly");
    file_options.read_only = pool_options.read_only;
    if (const auto cache = in.u64_or_null(options, "mapCacheBytes"); cache.has_value()) {
      pool_options.map_cache_bytes = *cache;
    }
  }
  if (!in.ok()) return in.reject();
  auto handle = std::make_shared<PoolHandle>(runtime);
  const Status status = device.path.empty()
                            ? handle->open_memory(device.memory_bytes, device.populate)
                            : handle->open_device(file_options);
  if (!status.ok()) {
    in.fail(status.error().code, status.error().message);
    return in.reject();
  }
  handle->read_only = pool_options.read_only;
  handle->opening = true;
  runtime->attach(handle);
  return runtime->call(env, handle->owner, [handle, pool_options, create](Reply reply) {
    const auto done = [handle, create, reply](Result<std::unique_ptr<store::Pool>> result) {
      opened(handle, create, reply, std::move(result));
    };
    Random& random = handle->runtime->reactor(handle->owner).random();
    if (create) {
      store::Pool::create(handle->ports(), handle->owner, pool_options, random, done);
    } else {
      store::Pool::open(handle->ports(), handle->owner, pool_options, random, done);
    }
  });
}

Napi::Value pool_create(const Napi::CallbackInfo& info) { return begin(info, true); }
Napi::Value pool_open(const Napi::CallbackInfo& info) { return begin(info, false); }

Napi::Value pool_close(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  if (handle != nullptr && handle->open_volumes.load() > 0) {
    in.fail(ErrorCode::busy, handle->name + ": " + std::to_string(handle->open_volumes.load()) +
                                 " volumes are still open; close them first");
  }
  if (!in.ok()) return in.reject();
  handle->mark_closed();
  return handle->runtime->call(info.Env(), handle->owner, [handle](Reply reply) {
    if (handle->pool == nullptr) return reply.resolve();
    handle->pool->close([handle, reply](const Status& status) {
      const Error problem =
          status.ok() ? Error{ErrorCode::closed, {}} : handle->named(status.error());
      handle->drop();
      reply.resolve([handle, problem](Napi::Env env) -> Napi::Value {
        handle->runtime->detach(handle.get());
        if (problem.code == ErrorCode::closed) return env.Undefined();
        const Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
        deferred.Reject(to_js_error(env, problem));
        return deferred.Promise();
      });
    });
  });
}

// ---- Calls on an open pool ----------------------------------------------------------------------

Napi::Value status_value(Napi::Env env, const store::PoolStatus& status,
                         const std::vector<std::string>& names) {
  Napi::Object object = Napi::Object::New(env);
  object["uuid"] = js(env, std::span<const std::byte>(status.uuid));
  object["sizeBytes"] = js(env, status.size_bytes);
  object["chunkBytes"] = js(env, status.chunk_bytes);
  object["totalChunks"] = js(env, status.total_chunks);
  object["freeChunks"] = js(env, status.free_chunks);
  object["dataChunks"] = js(env, status.data_chunks);
  object["metadataChunks"] = js(env, status.metadata_chunks);
  object["reclaimingChunks"] = js(env, status.reclaiming_chunks);
  object["reclaimingLayers"] = js(env, status.reclaiming_layers);
  object["hiddenLayers"] = js(env, status.hidden_layers);
  object["reservedChunks"] = js(env, status.reserved_chunks);
  object["mapMemoryBytes"] = js(env, status.map_memory_bytes);
  object["layerCount"] = js(env, status.layer_count);
  object["catalogRecords"] = js(env, status.catalog_records);
  object["journalBytes"] = js(env, status.journal_bytes);
  object["journalUsedBytes"] = js(env, status.journal_used_bytes);
  object["journalSequence"] = js(env, status.journal_sequence);
  object["checkpointSequence"] = js(env, status.checkpoint_sequence);
  object["commits"] = js(env, status.commits);
  object["checkpoints"] = js(env, status.checkpoints);
  object["replayedRecords"] = js(env, status.replayed_records);
  object["formatVersion"] = js(env, status.format_version);
  object["atomicWriteBytes"] = js(env, status.atomic_write_bytes);
  object["checkedChunks"] = js(env, status.checked_chunks);
  object["checkChunks"] = js(env, status.check_chunks);
  object["failed"] = js(env, status.failed);
  object["failure"] = status.failed ? js(env, status.failure) : env.Null();
  Napi::Array devices = Napi::Array::New(env, status.devices.size());
  for (uint32_t i = 0; i < names.size(); ++i) {
    devices[i] = device_status_value(env, status.devices[i], names[i]);
  }
  object["devices"] = devices;
  return object;
}

Napi::Value pool_status(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  return with_pool(info, in, handle, [handle](store::Pool& pool, Reply reply) {
    const store::PoolStatus status = pool.status();
    reply.resolve([status, names = handle->members.names(status, handle->name)](Napi::Env env) {
      return status_value(env, status, names);
    });
  });
}

Napi::Value pool_catalog(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  return with_pool(info, in, handle, [handle](store::Pool& pool, Reply reply) {
    pool.read_catalog([handle, reply](Result<std::vector<store::CatalogRecord>> result) {
      if (!result.ok()) return reply.reject(handle->named(result.error()));
      auto records = std::make_shared<std::vector<store::CatalogRecord>>(std::move(result).value());
      reply.resolve([records](Napi::Env env) -> Napi::Value {
        Napi::Array array = Napi::Array::New(env, records->size());
        uint32_t count = 0;
        for (const store::CatalogRecord& record : *records) {
          Napi::Object object = Napi::Object::New(env);
          object["key"] = js(env, record.key);
          object["value"] = js(env, std::span<const std::byte>(record.value));
          array[count++] = object;
        }
        return array;
      });
    });
  });
}

Napi::Value pool_commit(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  auto changes = std::make_shared<std::vector<store::Change>>();
  const auto array = in.to_array(info[1], "changes");
  for (uint32_t i = 0; array && i < array->Length() && in.ok(); ++i) {
    changes->push_back(read_change(in, array->Get(i)));
  }
  return with_pool(info, in, handle, [handle, changes](store::Pool& pool, Reply reply) {
    pool.commit(std::move(*changes), [handle, reply](const Status& status) {
      if (status.ok()) return reply.resolve();
      reply.reject(handle->named(status.error()));
    });
  });
}

Napi::Value pool_checkpoint(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  return with_pool(info, in, handle, [handle](store::Pool& pool, Reply reply) {
    pool.checkpoint([handle, reply](const Status& status) {
      if (status.ok()) return reply.resolve();
      reply.reject(handle->named(status.error()));
    });
  });
}

Napi::Value pool_check(const Napi::CallbackInfo& info) {
  Reader in(info.Env());
  const auto handle = in.handle<PoolHandle>(info[0]);
  return with_pool(info, in, handle, [handle](store::Pool& pool, Reply reply) {
    pool.check([handle, reply](const Result<store::CheckReport>& result) {
      if (!result.ok()) return reply.reject(handle->named(result.error()));
      reply.resolve([report = result.value()](Napi::Env env) {
        return check_report_value(env, report);
      });
    });
  });
}

void add(Napi::Env env, Napi::Object exports, const char* name,
         Napi::Value (*function)(const Napi::CallbackInfo&)) {
  exports[name] = Napi::Function::New(env, function, name);
}

}  // namespace

void register_pool(Napi::Env env, Napi::Object exports) {
  add(env, exports, "poolCreate", pool_create);
  add(env, exports, "poolOpen", pool_open);
  add(env, exports, "poolClose", pool_close);
  add(env, exports, "poolStatus", pool_status);
  add(env, exports, "poolCatalog", pool_catalog);
  add(env, exports, "poolCommit", pool_commit);
  add(env, exports, "poolCheckpoint", pool_checkpoint);
  add(env, exports, "poolCheck", pool_check);
}

}  // namespace ashlar::addon
