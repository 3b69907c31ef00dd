// What the program needs beside the device: a pinned thread, latencies, options, one JSON object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ashlar::bench {

// Says why on stderr, in a sentence, and ends the program: nothing here is worth going on without.
[[noreturn]] void refuse(const std::string& why);
[[noreturn]] void fail(const std::string& what);  // The same with errno.

void pin(int cpu);
uint64_t now_ns();

// --name VALUE, or --name alone, which is "".
class Options {
 public:
  Options(int argc, char** argv, int first, const std::vector<std::string>& known);
  bool has(const std::string& name) const { return given_.contains(name); }
  std::string text(const std::string& name, const std::string& otherwise) const;
  uint64_t number(const std::string& name, uint64_t otherwise, uint64_t least, uint64_t most) const;

 private:
  std::map<std::string, std::string> given_;
};

// Nanoseconds of single operations; memory for all of them is taken before the measuring.
class Latencies {
 public:
  explicit Latencies(size_t most) { values_.reserve(most); }
  void add(uint64_t ns) {
    if (values_.size() < values_.capacity()) values_.push_back(static_cast<uint32_t>(ns));
  }
  void clear() { values_.clear(); }
  bool empty() const { return values_.empty(); }
  uint32_t percentile(double share);

 private:
  std::vector<uint32_t> values_;
};

class Json {
 public:
  Json& text(const char* name, const std::string& value);
  Json& number(const char* name, double value);
  Json& raw(const char* name, const std::string& value);  // JSON already.
  Json& latencies(Latencies& of);
  std::string end() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

int run_device(const Options& options);  // device.cc

}  // namespace ashlar::bench
