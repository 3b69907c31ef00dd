#include "load/worker.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ashlar::load {

namespace {

// The CPU time of the calling thread. A measurement only: nothing is decided by it.
uint64_t thread_cpu_ns() noexcept {
  timespec at{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at) != 0) return 0;
  return static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
}

// Beyond this many commands that were due and never sent, the rest is counted but not recorded.
constexpr uint64_t max_recorded_behind = 10'000'000;

}  // namespace

Load::Worker::Worker(Load& owner, std::unique_ptr<Lane> its_lane, uint32_t its_index)
    : load(owner),
      lane(std::move(its_lane)),
      index(its_index),
      sequence(owner.options_.seed + its_index),
      slots(owner.options_.depth) {
  start.worker = finished.worker = timer.worker = this;
  start.run = [](Task& task) noexcept { static_cast<Message&>(task).worker->begin(); };
  finished.run = [](Task& task) noexcept {
    Worker& self = *static_cast<Message&>(task).worker;
    self.load.worker_done(self);
  };
  timer.fire = [](Timer& fired) noexcept { static_cast<DueTimer&>(fired).worker->tick(); };
}

Status Load::Worker::set_up() {
  const LoadOptions& options = load.options_;
  ios_per_nsid = options.span_bytes / options.io_bytes;
  const uint64_t all_ios = ios_per_nsid * options.nsids.size();
  const auto part = [&options](uint64_t whole, uint64_t nth) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(whole) * nth / options.queues);
  };
  const bool own_part = options.verify || options.pattern == Pattern::sequential;
  first_io = own_part ? part(all_ios, index) : 0;
  io_count = own_part ? part(all_ios, index + 1) - first_io : all_ios;
  quota = part(options.max_ios, index + 1) - part(options.max_ios, index);
  if (options.max_ios != 0 && quota == 0) phase = Phase::over;
  if (options.pattern == Pattern::zipf) zipf.emplace(io_count, options.zipf_theta);
  if (options.rate_per_second != 0) {
    interval_ns = 1e9 * options.queues / options.rate_per_second;
  }
  if (options.verify) {
    if (io_count <= options.depth) {
      return Error{ErrorCode::invalid_argument,
                   "to verify, each queue needs more I/Os in its part of the span (" +
                       std::to_string(io_count) + ") than it has in flight (" +
                       std::to_string(options.depth) + "); enlarge the span"};
    }
    written.assign(io_count * (options.io_bytes / stamp_block_bytes), 0);
    busy.assign(io_count, false);
  }

  // Data that is read must not become data that is written: zeroes would be fast by accident.
  const bool apart = options.verify || (options.read_percent > 0 && options.read_percent < 100);
  const size_t stride = (size_t{options.io_bytes} + 4095) / 4096 * 4096;
  const size_t bytes = stride * options.depth * (apart ? 2 : 1);
  memory.reset(static_cast<std::byte*>(std::aligned_alloc(4096, bytes)));
  if (memory == nullptr) {
    return Error{ErrorCode::limit_exceeded,
                 "no memory for " + std::to_string(bytes) + " bytes of load buffers"};
  }
  // Incompressible and different everywhere, for the same reason.
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    const uint64_t value = sequence.next();
    std::memcpy(memory.get() + at, &value, sizeof value);
  }
  for (size_t i = slots.size(); i-- > 0;) {
    Slot& slot = slots[i];
    slot.worker = this;
    slot.slot = static_cast<uint32_t>(i);
    slot.out = memory.get() + stride * i;
    slot.in = apart ? slot.out + stride * options.depth : slot.out;
    slot.context = &slot;
    slot.done = [](LoadIo& io) noexcept {
      Slot& self = *static_cast<Slot*>(io.context);
      self.worker->done(self);
    };
    slot.next_free = std::exchange(free_slots, &slot);
  }
  return Unit{};
}

void Load::Worker::begin() noexcept {
  const LoadOptions& options = load.options_;
  start_ns = lane->loop().clock().now_ns();
  warm_ns = start_ns + options.warmup_ns;
  end_ns = options.duration_ns == 0 ? UINT64_MAX : warm_ns + options.duration_ns;
  if (phase == Phase::over) {  // Its share of max_ios is none.
    load.home_.post(finished);
    return;
  }
  if (options.rate_per_second != 0) {
    tick();
    return;
  }
  while (free_slots != nullptr && !quota_used()) {
    send_next(*std::exchange(free_slots, free_slots->next_free), start_ns);
  }
}

// ---- Choosing and sending -----------------------------------------------------------------------

uint64_t Load::Worker::choose() noexcept {
  uint64_t io = 0;
  switch (load.options_.pattern) {
    case Pattern::random: io = sequence.below(io_count); break;
    case Pattern::zipf: io = scattered(zipf->rank(sequence), io_count); break;
    case Pattern::sequential:
      io = next_io;
      if (++next_io == io_count) next_io = 0;
      break;
  }
  // More I/Os than are in flight, so one is free.
  while (!busy.empty() && busy[io]) io = io + 1 == io_count ? 0 : io + 1;
  return first_io + io;
}

void Load::Worker::send_next(Slot& slot, uint64_t since_ns) noexcept {
  const LoadOptions& options = load.options_;
  const uint64_t io_index = choose();
  const bool read = options.read_percent == 100 ||
                    (options.read_percent != 0 && sequence.below(100) < options.read_percent);
  slot.since_ns = since_ns;
  ++sent;
  send(slot, io_index, read);
}

void Load::Worker::send(Slot& slot, uint64_t io_index, bool read) noexcept {
  const LoadOptions& options = load.options_;
  slot.io_index = io_index;
  slot.read = read;
  slot.nsid = options.nsids[io_index / ios_per_nsid];
  slot.offset_bytes = io_index % ios_per_nsid * options.io_bytes;
  slot.memory = {read ? slot.in : slot.out, options.io_bytes};
  if (options.verify) {
    busy[io_index - first_io] = true;
    if (!read) stamp(slot);
  }
  ++in_flight;
  lane->submit(slot);
}

uint64_t Load::Worker::first_block(uint64_t io_index) const noexcept {
  return (io_index - first_io) * (load.options_.io_bytes / stamp_block_bytes);
}

void Load::Worker::stamp(Slot& slot) noexcept {
  slot.sequence = ++last_sequence;
  const uint32_t blocks = load.options_.io_bytes / stamp_block_bytes;
  for (uint32_t i = 0; i < blocks; ++i) {
    put_stamp({slot.out + size_t{i} * stamp_block_bytes, stamp_block_bytes},
              {slot.nsid, slot.sequence, slot.offset_bytes + uint64_t{i} * stamp_block_bytes,
               load.options_.seed});
    // Until it is acknowledged it may be there or not, or be there in part.
    written[first_block(slot.io_index) + i] = 0;
  }
}

// The queues take turns: that of index i is due i / queues of an interval later.
uint64_t Load::Worker::due_ns(uint64_t nth) const noexcept {
  const double phase_share = static_cast<double>(index) / load.options_.queues;
  return start_ns + static_cast<uint64_t>((static_cast<double>(nth) + phase_share) * interval_ns);
}

void Load::Worker::tick() noexcept {
  if (phase != Phase::running) return;
  const uint64_t now_ns = lane->loop().clock().now_ns();
  while (free_slots != nullptr && !quota_used()) {
    const uint64_t due = due_ns(next_due);
    if (due > now_ns || due >= end_ns) break;
    ++next_due;
    send_next(*std::exchange(free_slots, free_slots->next_free), due);
  }
  if (now_ns >= end_ns || quota_used()) {
    stop(now_ns);
    end_if_drained();
    return;
  }
  // Without a free slot the next completion goes on; the end comes in any case.
  const uint64_t next = free_slots == nullptr ? end_ns : std::min(due_ns(next_due), end_ns);
  if (next != UINT64_MAX) lane->loop().arm(timer, next);
}

// ---- Completions --------------------------------------------------------------------------------

void Load::Worker::done(Slot& slot) noexcept {
  --in_flight;
  if (load.options_.verify) busy[slot.io_index - first_io] = false;
  if (slot.fate == IoFate::done) {
    if (load.options_.verify) verify(slot);
  } else {
    note_error(slot);
  }
  slot.next_free = std::exchange(free_slots, &slot);
  if (phase == Phase::sweeping) {
    sweep();
    return;
  }
  const uint64_t now_ns = lane->loop().clock().now_ns();
  measure(slot, now_ns);
  const bool enough = connection_over || now_ns >= end_ns || quota_used() ||
                      load.give_up_.load(std::memory_order_relaxed);
  if (phase == Phase::running && enough) stop(now_ns);
  if (phase != Phase::running) {
    end_if_drained();
  } else if (load.options_.rate_per_second != 0) {
    // What waited for a slot goes at once.
    if (due_ns(next_due) <= now_ns) {
      tick();
    } else if (!timer.armed() || timer.deadline_ns > due_ns(next_due)) {
      lane->loop().arm(timer, std::min(due_ns(next_due), end_ns));
    }
  } else {
    free_slots = slot.next_free;
    send_next(slot, now_ns);
  }
}

void Load::Worker::measure(const Slot& slot, uint64_t now_ns) noexcept {
  if (!warm && now_ns >= warm_ns) {
    // The time counts from when the warm-up was over: who waited for the first answer after it
    // would leave a standstill out.
    warm = true;
    measured_from_ns = measured_to_ns = warm_ns;
    cpu_start_ns = thread_cpu_ns();
  }
  if (!warm || slot.fate != IoFate::done) return;
  // With a rate, what was due in time is waited for and counts with its latency.
  const bool late_answer = phase != Phase::running;
  if (late_answer && load.options_.rate_per_second == 0 && load.options_.max_ios == 0) return;
  (slot.read ? result.reads : result.writes).add(now_ns - slot.since_ns);
  ++result.commands;
  result.bytes += slot.memory.iov_len;
  measured_to_ns = now_ns;
}

// Nothing new is sent from here on.
void Load::Worker::stop(uint64_t now_ns) noexcept {
  phase = Phase::draining;
  lane->loop().cancel(timer);
  result.host_cpu_ns = warm ? thread_cpu_ns() - cpu_start_ns : 0;
  if (load.options_.rate_per_second == 0 || quota != 0) return;
  // They have waited at least until now; whoever left them out would call a standstill fast.
  const bool read = load.options_.read_percent > 0;
  const uint64_t until_ns = std::min(now_ns, end_ns);
  while (due_ns(next_due) < until_ns && result.behind < max_recorded_behind) {
    const uint64_t due = due_ns(next_due++);
    ++result.behind;
    if (due >= warm_ns) (read ? result.reads : result.writes).add(now_ns - due);
  }
}

void Load::Worker::end_if_drained() noexcept {
  if (in_flight != 0) return;
  if (phase == Phase::draining && load.options_.verify && !connection_over) {
    phase = Phase::sweeping;
    next_io = 0;
    sweep();
    return;
  }
  phase = Phase::over;
  load.home_.post(finished);
}

// ---- Verifying ----------------------------------------------------------------------------------

// Reads on through the part, wherever something is known of a block.
void Load::Worker::sweep() noexcept {
  const uint32_t blocks = load.options_.io_bytes / stamp_block_bytes;
  const bool give_up = connection_over || load.give_up_.load(std::memory_order_relaxed);
  while (!give_up && free_slots != nullptr && next_io < io_count) {
    const auto from = written.begin() + static_cast<ptrdiff_t>(next_io * blocks);
    const bool known = std::any_of(from, from + blocks, [](uint32_t each) { return each != 0; });
    const uint64_t io = next_io++;
    if (known) send(*std::exchange(free_slots, free_slots->next_free), first_io + io, true);
  }
  if (in_flight != 0) return;
  phase = Phase::over;
  load.home_.post(finished);
}

void Load::Worker::verify(const Slot& slot) noexcept {
  const uint32_t blocks = load.options_.io_bytes / stamp_block_bytes;
  const uint64_t first = first_block(slot.io_index);
  if (!slot.read) {
    std::fill_n(written.begin() + static_cast<ptrdiff_t>(first), blocks, slot.sequence);
    return;
  }
  for (uint32_t i = 0; i < blocks; ++i) {
    uint32_t& expected = written[first + i];
    if (expected == 0) continue;
    ++result.verified_blocks;
    const uint64_t offset_bytes = slot.offset_bytes + uint64_t{i} * stamp_block_bytes;
    const StampVerdict verdict =
        check_stamp({slot.in + size_t{i} * stamp_block_bytes, stamp_block_bytes},
                    {slot.nsid, expected, offset_bytes, load.options_.seed});
    if (verdict == StampVerdict::right) continue;
    note_wrong(slot, i, verdict);
    expected = 0;  // Told once.
  }
}

void Load::Worker::note_wrong(const Slot& slot, uint64_t block, StampVerdict verdict) noexcept {
  ++result.wrong_blocks;
  count_error();
  LoadFailure& failure = result.failure;
  if (!failure.message.empty()) return;
  const LoadOptions& options = load.options_;
  const uint64_t offset_bytes = slot.offset_bytes + block * stamp_block_bytes;
  const Stamp expected{slot.nsid, written[first_block(slot.io_index) + block], offset_bytes,
                       options.seed};
  failure.kind = LoadFailure::Kind::wrong_data;
  failure.read = true;
  failure.nsid = slot.nsid;
  failure.lba = offset_bytes / options.block_bytes;
  failure.blocks = options.io_bytes / options.block_bytes;
  failure.queue = lane->number();
  failure.message =
      "read of LBA " + std::to_string(failure.lba) + " of namespace " + std::to_string(slot.nsid) +
      " on queue " + std::to_string(failure.queue) + ": wrong data: " +
      describe_stamp({slot.in + block * stamp_block_bytes, stamp_block_bytes}, expected, verdict);
}

// ---- Errors -------------------------------------------------------------------------------------

void Load::Worker::count_error() noexcept {
  ++result.errors;
  const uint64_t most = load.options_.max_errors;
  if (most != 0 && result.errors >= most) load.give_up_.store(true, std::memory_order_relaxed);
}

void Load::Worker::note_error(const Slot& slot) noexcept {
  count_error();
  if (slot.fate != IoFate::failed) connection_over = true;
  LoadFailure& failure = result.failure;
  if (!failure.message.empty()) return;
  failure.read = slot.read;
  failure.nsid = slot.nsid;
  failure.lba = slot.offset_bytes / load.options_.block_bytes;
  failure.blocks = static_cast<uint32_t>(slot.memory.iov_len / load.options_.block_bytes);
  failure.queue = lane->number();
  failure.status = slot.status;
  std::string what;
  switch (slot.fate) {
    case IoFate::done: CHECK(false);
    case IoFate::failed:
      failure.kind = LoadFailure::Kind::status;
      what = lane->describe(slot);
      break;
    case IoFate::lost:
      failure.kind = LoadFailure::Kind::lost;
      what = "connection lost before it was answered";
      break;
    case IoFate::never_sent:
      failure.kind = LoadFailure::Kind::never_sent;
      what = "never sent, the connection had ended";
      break;
  }
  failure.message = std::string(slot.read ? "read" : "write") + " of LBA " +
                    std::to_string(failure.lba) + " of namespace " + std::to_string(slot.nsid) +
                    " on queue " + std::to_string(failure.queue) + ": " + what;
}

}  // namespace ashlar::load
