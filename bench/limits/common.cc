#include "common.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ashlar::bench {

void refuse(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(2);
}

void fail(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
    refuse("this process may not run on CPU " + std::to_string(cpu));
  }
}

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

Options::Options(int argc, char** argv, int first, const std::vector<std::string>& known) {
  for (int i = first; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string name = word.starts_with("--") ? word.substr(2) : "";
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      refuse("unknown option '" + word + "'");
    }
    const bool valued = i + 1 < argc && std::strncmp(argv[i + 1], "--", 2) != 0;
    given_[name] = valued ? argv[++i] : "";
  }
}

std::string Options::text(const std::string& name, const std::string& otherwise) const {
  const auto found = given_.find(name);
  return found == given_.end() ? otherwise : found->second;
}

uint64_t Options::number(const std::string& name, uint64_t otherwise, uint64_t least,
                         uint64_t most) const {
  const auto found = given_.find(name);
  if (found == given_.end()) return otherwise;
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(found->second.c_str(), &end, 10);
  if (errno != 0 || *end != 0 || end == found->second.c_str() || value < least || value > most) {
    refuse("--" + name + " '" + found->second + "' is no number from " + std::to_string(least) +
           " to " + std::to_string(most));
  }
  return value;
}

uint32_t Latencies::percentile(double share) {
  if (values_.empty()) return 0;
  const auto place = static_cast<size_t>(share * static_cast<double>(values_.size() - 1));
  std::nth_element(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(place),
                   values_.end());
  return values_[place];
}

Json& Json::raw(const char* name, const std::string& value) {
  members_ += std::string(members_.empty() ? "" : ",") + "\"" + name + "\":" + value;
  return *this;
}

Json& Json::text(const char* name, const std::string& value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return raw(name, quoted + "\"");
}

Json& Json::number(const char* name, double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.15g", value);
  return raw(name, digits);
}

Json& Json::latencies(Latencies& of) {
  if (of.empty()) return raw("latencyNs", "null");
  Json inner;
  inner.number("p50", of.percentile(0.5)).number("p99", of.percentile(0.99));
  inner.number("p999", of.percentile(0.999)).number("longest", of.percentile(1));
  return raw("latencyNs", inner.end());
}

}  // namespace ashlar::bench
