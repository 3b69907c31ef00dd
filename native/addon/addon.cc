#include <napi.h>

#include "addon/register.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  ashlar::addon::register_runtime(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ashlar, init)
