// What each binding file adds to the addon's exports; the names and shapes are lib/native.ts's.
#pragma once

#include <napi.h>

namespace ashlar::addon {

void register_runtime(Napi::Env env, Napi::Object exports);
void register_pool(Napi::Env env, Napi::Object exports);
void register_inspect(Napi::Env env, Napi::Object exports);
void register_volume(Napi::Env env, Napi::Object exports);
void register_devices(Napi::Env env, Napi::Object exports);
void register_meters(Napi::Env env, Napi::Object exports);
void register_target(Napi::Env env, Napi::Object exports);
void register_host(Napi::Env env, Napi::Object exports);
void register_local(Napi::Env env, Napi::Object exports);
void register_loopback(Napi::Env env, Napi::Object exports);
void register_service(Napi::Env env, Napi::Object exports);

}  // namespace ashlar::addon
