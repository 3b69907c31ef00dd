// Report: the figures of one suite, for test/RELIABILITY.md.
//
// When ASHLAR_REPORT_DIR names a folder, write() puts one file `<suite>.json` there:
//
//   {"suite":"crash","promises":["P1","P2"],"counts":{"states":200000},"seconds":41.2,
//    "seed":"1..37"}
//
// `promises` are those of test/RELIABILITY.md that the suite defends; `counts` are whole numbers in
// the order in which they were added; `seconds` is the time the suite took; `seed` replays it. A
// rate is a count by the seconds. A suite of several test cases uses one name for each case:
// "crash exhaustive", "crash random". The file appears whole: it is written beside its place and
// renamed.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ashlar::testing {

// How much longer than in `npm test` the suites run: ASHLAR_SOAK, 1 when it is not set.
inline uint64_t soak() {
  const char* given = std::getenv("ASHLAR_SOAK");
  const uint64_t factor = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  return factor == 0 ? 1 : factor;
}

// The seed to replay, when one is given: ASHLAR_SEED.
inline bool given_seed(uint64_t& seed) {
  const char* given = std::getenv("ASHLAR_SEED");
  if (given != nullptr) seed = std::strtoull(given, nullptr, 10);
  return given != nullptr;
}

class Report {
 public:
  Report(std::string suite, std::vector<std::string> promises)
      : suite_(std::move(suite)), promises_(std::move(promises)) {}

  void count(const std::string& name, uint64_t value) { counts_.emplace_back(name, value); }
  void seed(std::string seed) { seed_ = std::move(seed); }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }
  // One line for people: "crash: 200000 states, 41.2 s".
  std::string line() const {
    std::string text = suite_ + ":";
    for (const auto& [name, value] : counts_) {
      text += " " + std::to_string(value) + " " + name + ",";
    }
    return text + " " + decimal(seconds()) + " s";
  }
  void write() const {
    const char* folder = std::getenv("ASHLAR_REPORT_DIR");
    if (folder == nullptr) return;
    std::string text = "{\"suite\":" + quoted(suite_) + ",\"promises\":[";
    for (const std::string& promise : promises_) text += quoted(promise) + ",";
    if (!promises_.empty()) text.pop_back();
    text += "],\"counts\":{";
    for (const auto& [name, value] : counts_) {
      text += quoted(name) + ":" + std::to_string(value) + ",";
    }
    if (!counts_.empty()) text.pop_back();
    text += "},\"seconds\":" + decimal(seconds()) + ",\"seed\":" + quoted(seed_) + "}\n";
    const std::string path = std::string(folder) + "/" + suite_ + ".json";
    const std::string beside = path + ".writing";
    std::FILE* file = std::fopen(beside.c_str(), "w");
    CHECK(file != nullptr);
    CHECK(std::fwrite(text.data(), 1, text.size(), file) == text.size());
    CHECK(std::fclose(file) == 0);
    CHECK(std::rename(beside.c_str(), path.c_str()) == 0);
  }

 private:
  // Names are ours and hold nothing that JSON would have to escape; that is checked.
  static std::string quoted(const std::string& text) {
    for (const char letter : text) CHECK(letter >= ' ' && letter != '"' && letter != '\\');
    return "\"" + text + "\"";
  }
  static std::string decimal(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    return text;
  }

  const std::string suite_;
  const std::vector<std::string> promises_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::vector<std::pair<std::string, uint64_t>> counts_;
  std::string seed_;
};

}  // namespace ashlar::testing
