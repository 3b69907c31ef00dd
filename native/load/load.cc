#include "load/load.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "load/worker.h"

namespace ashlar::load {

namespace {

Status judge(const LoadOptions& options) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::invalid_argument, std::move(message)};
  };
  if (options.depth == 0) return invalid("the depth must not be zero");
  if (options.nsids.empty() || options.nsids.size() > max_nsids) {
    return invalid("load on " + std::to_string(options.nsids.size()) + " namespaces; 1 to " +
                   std::to_string(max_nsids) + " are possible");
  }
  if (options.block_bytes < 512 || options.io_bytes == 0 ||
      options.io_bytes % options.block_bytes != 0) {
    return invalid("an I/O of " + std::to_string(options.io_bytes) +
                   " bytes is not a number of blocks of " + std::to_string(options.block_bytes));
  }
  const uint64_t all_ios = options.span_bytes / options.io_bytes * options.nsids.size();
  if (options.span_bytes < options.io_bytes || all_ios < options.queues) {
    return invalid("a span of " + std::to_string(options.span_bytes) + " bytes has no room for " +
                   std::to_string(options.queues) + " queues of " +
                   std::to_string(options.io_bytes) + " bytes");
  }
  if (options.read_percent > 100) return invalid("the share of reads must be 0 to 100");
  if (options.duration_ns == 0 && options.max_ios == 0) {
    return invalid("the duration must not be zero without a number of commands");
  }
  if (options.pattern == Pattern::zipf &&
      !(options.zipf_theta > 0 && options.zipf_theta <= max_zipf_theta)) {
    return invalid("the skew of zipf must be above 0 and at most 8");
  }
  if (options.verify &&
      (options.io_bytes % stamp_block_bytes != 0 || options.span_bytes % stamp_block_bytes != 0)) {
    return invalid("to verify, I/O and span must be multiples of 4096 bytes; the I/O has " +
                   std::to_string(options.io_bytes));
  }
  return Unit{};
}

}  // namespace

Result<std::unique_ptr<Load>> Load::create(std::vector<std::unique_ptr<Lane>> lanes, Loop& home,
                                           const LoadOptions& options) {
  CHECK(lanes.size() == options.queues && !lanes.empty());
  if (Status status = judge(options); !status.ok()) return status.error();
  std::unique_ptr<Load> load(new Load(home, options));
  for (auto& lane : lanes) {
    const auto index = static_cast<uint32_t>(load->workers_.size());
    auto worker = std::make_unique<Worker>(*load, std::move(lane), index);
    if (Status status = worker->set_up(); !status.ok()) return status.error();
    load->workers_.push_back(std::move(worker));
  }
  return load;
}

Load::Load(Loop& home, const LoadOptions& options) : home_(home), options_(options) {}

Load::~Load() {
  CHECK(running_ == 0);
}

void Load::run(void (*done)(void*, Load&), void* context) noexcept {
  CHECK(done_ == nullptr && running_ == 0);
  done_ = done;
  context_ = context;
  running_ = static_cast<uint32_t>(workers_.size());
  for (const auto& worker : workers_) worker->lane->loop().post(worker->start);
}

void Load::worker_done(Worker& worker) noexcept {
  result_.commands += worker.result.commands;
  result_.bytes += worker.result.bytes;
  result_.errors += worker.result.errors;
  if (result_.failure.message.empty()) result_.failure = worker.result.failure;
  result_.reads.merge(worker.result.reads);
  result_.writes.merge(worker.result.writes);
  result_.behind += worker.result.behind;
  result_.verified_blocks += worker.result.verified_blocks;
  result_.wrong_blocks += worker.result.wrong_blocks;
  result_.elapsed_ns =
      std::max(result_.elapsed_ns, worker.measured_to_ns - worker.measured_from_ns);
  if (--running_ != 0) return;
  // Queues that share a loop share its thread's time: count each loop once.
  for (size_t i = 0; i < workers_.size(); ++i) {
    uint64_t most_ns = workers_[i]->result.host_cpu_ns;
    bool first = true;
    for (size_t k = 0; k < workers_.size(); ++k) {
      if (&workers_[k]->lane->loop() != &workers_[i]->lane->loop()) continue;
      if (k < i) first = false;
      most_ns = std::max(most_ns, workers_[k]->result.host_cpu_ns);
    }
    if (first) result_.host_cpu_ns += most_ns;
  }
  done_(context_, *this);
}

}  // namespace ashlar::load
