#include "host/load.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "nvme/nvm.h"

namespace ashlar::host {

namespace {

// The CPU time of the calling thread. A measurement only: nothing is decided by it.
uint64_t thread_cpu_ns() noexcept {
  timespec at{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) != 0) return 0;
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}

// xorshift64*: which block is next, and what data is in it, must cost nothing and repeat by seed.
struct Sequence {
  uint64_t state;
  explicit Sequence(uint64_t seed) noexcept : state(seed * 0x9e3779b97f4a7c15 + 1) {
    if (state == 0) state = 1;
    for (int i = 0; i < 8; ++i) next();
  }
  uint64_t next() noexcept {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
  }
  // 0 to bound - 1, by the high half of the product: no division.
  uint64_t below(uint64_t bound) noexcept {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(next()) * bound >> 64);
  }
};

}  // namespace

struct Load::Slot {
  Worker* worker = nullptr;
  Command command;
  iovec memory{};
  uint64_t sent_ns = 0;
};

// One queue's share. Touched on the queue's loop from `start` to `finished`, else on home's.
struct Load::Worker {
  struct Message : Task {
    Worker* worker = nullptr;
  };

  Worker(Load& owner, Queue& its_queue, uint32_t index)
      : load(owner),
        queue(its_queue),
        sequence(owner.options_.seed + index),
        slots(owner.options_.depth) {}

  void begin() noexcept;
  void send(Slot& slot) noexcept;
  void done(Slot& slot) noexcept;
  void note_error(const Command& command) noexcept;

  Load& load;
  Queue& queue;
  Sequence sequence;
  std::vector<Slot> slots;
  std::unique_ptr<std::byte, void (*)(void*)> memory{nullptr, std::free};
  uint64_t first_io = 0;  // Of this worker's part, in units of io_bytes, for sequential runs.
  uint64_t io_count = 0;
  uint64_t next_io = 0;
  uint32_t in_flight = 0;
  uint64_t warm_ns = 0;
  uint64_t end_ns = 0;
  bool warm = false;
  bool stopping = false;
  uint64_t cpu_start_ns = 0;
  uint64_t measured_from_ns = 0;
  uint64_t measured_to_ns = 0;
  LoadResult result;
  Message start;
  Message finished;
};

Result<std::unique_ptr<Load>> Load::create(Association& association, const LoadOptions& options) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::invalid_argument, std::move(message)};
  };
  if (options.queues == 0 || options.queues > association.io_queues()) {
    return invalid("load on " + std::to_string(options.queues) + " queues; connected are " +
                   std::to_string(association.io_queues()));
  }
  if (options.depth == 0 || options.depth >= association.queue_entries()) {
    return invalid("load of depth " + std::to_string(options.depth) + "; the queue takes 1 to " +
                   std::to_string(association.queue_entries() - 1));
  }
  const bool whole_blocks = options.block_bytes >= 512 && options.io_bytes != 0 &&
                            options.io_bytes % options.block_bytes == 0 &&
                            options.io_bytes / options.block_bytes <= nvme::max_blocks_per_command;
  if (!whole_blocks) {
    return invalid("an I/O of " + std::to_string(options.io_bytes) +
                   " bytes is not 1 to 65536 blocks of " + std::to_string(options.block_bytes));
  }
  const uint32_t most = association.facts().max_transfer_bytes;
  if (most != 0 && options.io_bytes > most) {
    return invalid("an I/O of " + std::to_string(options.io_bytes) +
                   " bytes; the controller takes at most " + std::to_string(most));
  }
  if (options.span_bytes / options.io_bytes < options.queues) {
    return invalid("a span of " + std::to_string(options.span_bytes) + " bytes has no room for " +
                   std::to_string(options.queues) + " queues of " +
                   std::to_string(options.io_bytes) + " bytes");
  }
  if (options.read_percent > 100) return invalid("the share of reads must be 0 to 100");
  if (options.duration_ns == 0) return invalid("the duration must not be zero");

  std::unique_ptr<Load> load(new Load(association, options));
  const uint64_t all_ios = options.span_bytes / options.io_bytes;
  for (uint32_t index = 0; index < options.queues; ++index) {
    auto worker = std::make_unique<Worker>(*load, association.queue(index + 1), index);
    const size_t stride = (size_t{options.io_bytes} + 4095) / 4096 * 4096;
    const size_t bytes = stride * options.depth;
    worker->memory.reset(static_cast<std::byte*>(std::aligned_alloc(4096, bytes)));
    if (worker->memory == nullptr) {
      return Error{ErrorCode::limit_exceeded,
                   "no memory for " + std::to_string(bytes) + " bytes of load buffers"};
    }
    // Incompressible and different everywhere, so that nothing is fast by accident.
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
      const uint64_t value = worker->sequence.next();
      std::memcpy(worker->memory.get() + at, &value, sizeof value);
    }
    const uint64_t part = all_ios / options.queues;
    worker->first_io = options.random ? 0 : part * index;
    worker->io_count = options.random ? all_ios : part;
    for (size_t i = 0; i < worker->slots.size(); ++i) {
      Slot& slot = worker->slots[i];
      slot.worker = worker.get();
      slot.memory = {worker->memory.get() + stride * i, options.io_bytes};
      slot.command.context = &slot;
      slot.command.done = [](Command& command) noexcept {
        Slot& self = *static_cast<Slot*>(command.context);
        self.worker->done(self);
      };
    }
    worker->start.worker = worker->finished.worker = worker.get();
    worker->start.run = [](Task& task) noexcept {
      static_cast<Worker::Message&>(task).worker->begin();
    };
    worker->finished.run = [](Task& task) noexcept {
      Worker& self = *static_cast<Worker::Message&>(task).worker;
      self.load.worker_done(self);
    };
    load->workers_.push_back(std::move(worker));
  }
  return load;
}

Load::Load(Association& association, const LoadOptions& options)
    : association_(association), options_(options) {}

Load::~Load() {
  CHECK(running_ == 0);
}

void Load::run(void (*done)(void*, Load&), void* context) noexcept {
  CHECK(done_ == nullptr && running_ == 0);
  done_ = done;
  context_ = context;
  running_ = static_cast<uint32_t>(workers_.size());
  for (const auto& worker : workers_) worker->queue.loop().post(worker->start);
}

void Load::Worker::begin() noexcept {
  const uint64_t now_ns = queue.loop().clock().now_ns();
  warm_ns = now_ns + load.options_.warmup_ns;
  end_ns = warm_ns + load.options_.duration_ns;
  for (Slot& slot : slots) send(slot);
}

void Load::Worker::send(Slot& slot) noexcept {
  const LoadOptions& options = load.options_;
  const uint64_t io = options.random ? sequence.below(io_count) : next_io;
  if (!options.random && ++next_io == io_count) next_io = 0;
  const uint32_t blocks = options.io_bytes / options.block_bytes;
  const uint64_t lba = (first_io + io) * blocks;
  const bool read = options.read_percent == 100 ||
                    (options.read_percent != 0 && sequence.below(100) < options.read_percent);
  nvme::Sqe& sqe = slot.command.sqe;
  sqe = {};
  sqe.opcode = static_cast<uint8_t>(read ? nvme::IoOpcode::read : nvme::IoOpcode::write);
  sqe.nsid = options.nsid;
  sqe.cdw10 = static_cast<uint32_t>(lba);
  sqe.cdw11 = static_cast<uint32_t>(lba >> 32);
  sqe.cdw12 = blocks - 1;
  slot.command.data_in = read ? std::span<const iovec>(&slot.memory, 1) : std::span<const iovec>();
  slot.command.data_out = read ? std::span<const iovec>() : std::span<const iovec>(&slot.memory, 1);
  slot.sent_ns = queue.loop().clock().now_ns();
  ++in_flight;
  queue.submit(slot.command);
}

void Load::Worker::done(Slot& slot) noexcept {
  --in_flight;
  const Command& command = slot.command;
  const uint64_t now_ns = queue.loop().clock().now_ns();
  if (!command.succeeded()) note_error(command);
  if (!warm && now_ns >= warm_ns) {
    warm = true;
    measured_from_ns = measured_to_ns = now_ns;
    cpu_start_ns = thread_cpu_ns();
  } else if (warm && !stopping && command.succeeded()) {
    ++result.commands;
    result.bytes += slot.memory.iov_len;
    result.latency.add(now_ns - slot.sent_ns);
    measured_to_ns = now_ns;
  }
  const bool lost = command.fate != Fate::completed;
  if (!stopping && (lost || now_ns >= end_ns)) {
    stopping = true;
    result.host_cpu_ns = warm ? thread_cpu_ns() - cpu_start_ns : 0;
  }
  if (!stopping) {
    send(slot);
  } else if (in_flight == 0) {
    load.association_.home().post(finished);
  }
}

void Load::Worker::note_error(const Command& command) noexcept {
  ++result.errors;
  if (!result.first_error.empty()) return;
  const uint64_t lba = nvme::slba(command.sqe);
  char text[160];
  const char* what = command.fate == Fate::completed ? "status"
                     : command.fate == Fate::lost    ? "connection lost, status"
                                                     : "never sent, status";
  std::snprintf(text, sizeof text, "%s of LBA %llu on queue %u: %s %03xh",
                command.sqe.opcode == static_cast<uint8_t>(nvme::IoOpcode::read) ? "read" : "write",
                static_cast<unsigned long long>(lba), static_cast<unsigned>(queue.qid()), what,
                static_cast<unsigned>(command.status()));
  result.first_error = text;
}

void Load::worker_done(Worker& worker) noexcept {
  result_.commands += worker.result.commands;
  result_.bytes += worker.result.bytes;
  result_.errors += worker.result.errors;
  if (result_.first_error.empty()) result_.first_error = worker.result.first_error;
  result_.latency.merge(worker.result.latency);
  result_.elapsed_ns =
      std::max(result_.elapsed_ns, worker.measured_to_ns - worker.measured_from_ns);
  if (--running_ != 0) return;
  // Queues that share a loop share its thread's time: count each loop once.
  for (size_t i = 0; i < workers_.size(); ++i) {
    uint64_t most_ns = workers_[i]->result.host_cpu_ns;
    bool first = true;
    for (size_t k = 0; k < workers_.size(); ++k) {
      if (&workers_[k]->queue.loop() != &workers_[i]->queue.loop()) continue;
      if (k < i) first = false;
      most_ns = std::max(most_ns, workers_[k]->result.host_cpu_ns);
    }
    if (first) result_.host_cpu_ns += most_ns;
  }
  done_(context_, *this);
}

}  // namespace ashlar::host
