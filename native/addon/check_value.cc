#include "addon/check_value.h"

#include "addon/values.h"

namespace ashlar::addon {

namespace {

Napi::Value lost_value(Napi::Env env, const store::CheckReport::Lost& lost) {
  Napi::Object object = Napi::Object::New(env);
  object["slot"] = js(env, lost.slot);
  object["layer"] = js(env, std::span<const std::byte>(lost.layer));
  object["offsetBytes"] = js(env, lost.offset_bytes);
  object["lengthBytes"] = js(env, lost.length_bytes);
  Napi::Array readers = Napi::Array::New(env, lost.readers.size());
  uint32_t count = 0;
  for (const Uuid& reader : lost.readers) {
    readers[count++] = js(env, std::span<const std::byte>(reader));
  }
  object["readers"] = readers;
  return object;
}

}  // namespace

Napi::Value check_report_value(Napi::Env env, const store::CheckReport& report) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array problems = Napi::Array::New(env, report.problems.size());
  uint32_t count = 0;
  for (const auto& problem : report.problems) {
    Napi::Object entry = Napi::Object::New(env);
    entry["where"] = js(env, problem.where);
    entry["what"] = js(env, problem.what);
    entry["repairable"] = js(env, problem.repairable);
    entry["lost"] = problem.lost.has_value() ? lost_value(env, *problem.lost) : env.Null();
    problems[count++] = entry;
  }
  object["problems"] = problems;
  object["suppressed"] = js(env, report.suppressed);
  object["pagesRead"] = js(env, report.pages_read);
  object["layers"] = js(env, report.layers);
  object["chunksOwned"] = js(env, report.chunks_owned);
  object["chunksLeaked"] = js(env, report.chunks_leaked);
  object["catalogRecords"] = js(env, report.catalog_records);
  return object;
}

}  // namespace ashlar::addon
