#include <napi.h>

#include "addon/register.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  ashlar::addon::register_runtime(env, exports);
  ashlar::addon::register_pool(env, exports);
  ashlar::addon::register_inspect(env, exports);
  ashlar::addon::register_volume(env, exports);
  ashlar::addon::register_devices(env, exports);
  ashlar::addon::register_meters(env, exports);
  ashlar::addon::register_target(env, exports);
  ashlar::addon::register_host(env, exports);
  ashlar::addon::register_local(env, exports);
  ashlar::addon::register_loopback(env, exports);
  ashlar::addon::register_service(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ashlar, init)
