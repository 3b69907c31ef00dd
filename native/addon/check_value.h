// The report of a check as JavaScript has it.
#pragma once

#include <napi.h>

#include "store/pool.h"

namespace ashlar::addon {

Napi::Value check_report_value(Napi::Env env, const store::CheckReport& report);

}  // namespace ashlar::addon
