// LoadOptions and LoadResult of lib/native/host.ts, for the bindings that run loads.
#pragma once

#include <napi.h>

#include "addon/values.h"
#include "load/load.h"

namespace ashlar::addon {

load::LoadOptions read_load_options(Reader& in, Napi::Value given);
Napi::Value load_result_value(Napi::Env env, const load::LoadResult& result);

}  // namespace ashlar::addon
