#include "store/commit.h"

#include <cstring>
#include <utility>

#include "store/pool_impl.h"

namespace ashlar::store {

namespace {
// Kept free in every commit for records that ask nobody: metadata chunks, thawed layers, and failed
// devices (24 bytes each, once when it is noticed and once more when the flush has ended).
constexpr size_t slack_bytes = 4096 + 2 * limits::max_devices * sizeof(RecordHeader);
}  // namespace

Committer::Committer(PoolImpl& pool) : pool_(pool) {
  begin_task_.committer = this;
  begin_task_.run = [](Task& task) noexcept { static_cast<BeginTask&>(task).committer->begin(); };
  timer_.committer = this;
  timer_.fire = [](Timer& timer) noexcept {
    static_cast<IntervalTimer&>(timer).committer->request();
  };
}

void Committer::start(Journal journal, uint64_t position, uint64_t tail, uint64_t next_sequence) {
  journal_ = journal;
  position_ = position;
  tail_ = tail;
  next_sequence_ = next_sequence;
  const size_t most = journal_.max_record_bytes();
  pending_.reserve(most);
  sealed_records_.reserve(most);
  const size_t bytes = Journal::blocks_for(most) * limits::block_bytes;
  encoded_.reserve(bytes);
  buffer_ = AlignedBuffer::unwritten(bytes);
}

void Committer::stop() { pool_.loop().cancel(timer_); }

uint64_t Committer::append(const Record& record) {
  if (pending_.empty()) {
    pending_flag_.store(true, std::memory_order_seq_cst);
    if (!timer_.armed()) {
      Loop& loop = pool_.loop();
      loop.arm(timer_, loop.clock().now_ns() + pool_.options.commit_interval_ms * 1'000'000ull);
    }
  }
  const size_t before = pending_.size();
  encode_record(pending_, record);
  // The commit under way takes the next number, unless it is a flush alone.
  const bool next_is_taken = phase_ != Phase::idle && !sealed_records_.empty();
  kill_log_.note(next_sequence_ + (next_is_taken ? 1 : 0), std::span(pending_).subspan(before));
  if (!in_transaction_) kill_log_.publish();
  CHECK(pending_.size() <= journal_.max_record_bytes());
  if (pending_.size() >= journal_.max_record_bytes() / 4) request();
  return ++appended_;
}

void Committer::adopt(std::span<const std::byte> records) {
  CHECK(pending_.empty() && records.size() <= journal_.max_record_bytes());
  pending_flag_.store(true, std::memory_order_seq_cst);
  pending_.assign(records.begin(), records.end());
  ++appended_;
}

bool Committer::has_room(size_t record_bytes) const noexcept {
  return pending_.size() + reserved_ + record_bytes + slack_bytes <= journal_.max_record_bytes();
}

void Committer::wait(IoState& state) {
  next_ios_.push(state);
  request();
}

void Committer::wait(std::function<void(Status)> done) {
  next_calls_.push_back(std::move(done));
  request();
}

void Committer::request() {
  requested_ = true;
  if (phase_ == Phase::idle && !begin_task_.queued.load(std::memory_order_relaxed)) {
    // Deferred, so that everything submitted in this turn shares one commit.
    pool_.loop().defer(begin_task_);
  }
}

bool Committer::ring_has(uint64_t blocks, bool for_checkpoint) const noexcept {
  // One commit of the largest size is kept free, so that a checkpoint can always begin; and a block
  // for each device whose failure a commit may have to tell of after it was measured.
  const uint64_t kept =
      for_checkpoint ? 0
                     : Journal::blocks_for(journal_.max_record_bytes()) + limits::max_devices;
  return used_blocks() + blocks + kept <= journal_.ring_blocks();
}

void Committer::begin() {
  if (phase_ != Phase::idle) return;
  if (pool_.failed()) {
    fail_all();
    return;
  }
  const bool with_checkpoint = pool_.checkpointer.wants_to_begin();
  const uint64_t blocks = pending_.empty() ? 0 : Journal::blocks_for(pending_.size());
  if (blocks > 0 && !ring_has(blocks, with_checkpoint)) {
    // The checkpoint under way, or the one that this asks for, frees the ring and comes back here.
    pool_.checkpointer.request();
    if (!pool_.checkpointer.wants_to_begin()) return;
    CHECK(ring_has(blocks, true));
    begin();
    return;
  }
  requested_ = false;
  pool_.loop().cancel(timer_);
  std::swap(pending_, sealed_records_);
  pending_.clear();
  sealed_ = appended_;
  current_ios_ = next_ios_.take();
  std::swap(current_calls_, next_calls_);
  phase_ = Phase::flushing;
  with_checkpoint_ = with_checkpoint;
  // The image and the records sealed here end at the same instant: replay starts behind them.
  if (with_checkpoint) {
    pool_.checkpointer.freeze(position_ + blocks, next_sequence_ + (blocks > 0 ? 1 : 0));
  }
  flush_op_ = DeviceOp{};
  flush_op_.kind = DeviceOpKind::flush;
  flush_op_.context = this;
  flush_op_.done = [](DeviceOp& op) noexcept {
    static_cast<Committer*>(op.context)->flushed(op.result);
  };
  pool_.device().submit(flush_op_);
  if (blocks > 0) pool_.room_changed();
}

void Committer::flushed(int result) {
  if (result != 0) {
    pool_.fail_from(pool_.owner, "a device flush failed", result);
  }
  if (pool_.failed()) {
    phase_ = Phase::idle;
    fail_all();
    return;
  }
  const bool has_records = !sealed_records_.empty();
  const uint64_t measured = has_records ? Journal::blocks_for(sealed_records_.size()) : 0;
  if (!has_records) {
    pool_.devices.notice_failures();
    finish();
    return;
  }
  if (pool_.devices.add_failures(sealed_records_)) {
    CHECK(sealed_records_.size() <= journal_.max_record_bytes());
    const uint64_t more = Journal::blocks_for(sealed_records_.size()) - measured;
    if (with_checkpoint_) pool_.checkpointer.sealed_more(more);
  }
  phase_ = Phase::writing;
  journal_.encode(sealed_records_, next_sequence_, position_, encoded_);
  std::memcpy(buffer_.data(), encoded_.data(), encoded_.size());
  // A commit that meets the end of the ring goes on at its start.
  const uint64_t ring_bytes = journal_.ring_blocks() * limits::block_bytes;
  const uint64_t to_end =
      ring_bytes - position_ % journal_.ring_blocks() * limits::block_bytes;
  const uint64_t first = std::min<uint64_t>(encoded_.size(), to_end);
  const uint64_t lengths[2] = {first, encoded_.size() - first};
  writes_left_ = lengths[1] > 0 ? 2 : 1;
  write_result_ = 0;
  uint64_t at = 0;
  const uint32_t writes = writes_left_;
  for (uint32_t i = 0; i < writes; ++i) {
    write_segments_[i] = iovec{buffer_.data() + at, lengths[i]};
    DeviceOp& op = write_ops_[i];
    op = DeviceOp{};
    op.kind = DeviceOpKind::write;
    op.durable = true;
    op.offset_bytes = journal_.offset_of(position_ + at / limits::block_bytes);
    op.length_bytes = lengths[i];
    op.segments = std::span<const iovec>(&write_segments_[i], 1);
    op.context = this;
    op.done = [](DeviceOp& done) noexcept {
      static_cast<Committer*>(done.context)->written(done.result);
    };
    at += lengths[i];
  }
  for (uint32_t i = 0; i < writes; ++i) pool_.device().submit(write_ops_[i]);
}

void Committer::written(int result) {
  if (result != 0) write_result_ = result;
  if (--writes_left_ > 0) return;
  if (write_result_ != 0) {
    pool_.fail_from(pool_.owner, "a journal write failed", write_result_);
  }
  if (pool_.failed()) {
    phase_ = Phase::idle;
    fail_all();
    return;
  }
  pool_.devices.failures_durable();
  position_ += encoded_.size() / limits::block_bytes;
  ++next_sequence_;
  ++commits_;
  finish();
}

void Committer::finish() {
  durable_ = sealed_;
  phase_ = Phase::idle;
  if (pending_.empty()) pending_flag_.store(false, std::memory_order_seq_cst);
  IoQueue ios = current_ios_.take();
  while (IoState* state = ios.pop()) pool_.owner_io.answer(*state, BlockStatus::ok);
  const auto calls = std::exchange(current_calls_, {});
  for (const auto& call : calls) call(Unit{});
  pool_.settle();
  if (pool_.reclaimer.active()) pool_.reclaimer.kick();
  pool_.checkpointer.commit_finished();
  if (requested_ || pool_.checkpointer.wants_to_begin()) request();
}

void Committer::fail_all() {
  kill_log_.forget();
  if (phase_ != Phase::idle) return;  // The operation under way comes back here.
  pool_.loop().cancel(timer_);
  IoQueue later = next_ios_.take();
  IoQueue ios = current_ios_.take();
  while (IoState* state = ios.pop()) pool_.owner_io.answer(*state, BlockStatus::pool_failed);
  while (IoState* state = later.pop()) pool_.owner_io.answer(*state, BlockStatus::pool_failed);
  const auto current = std::exchange(current_calls_, {});
  const auto next = std::exchange(next_calls_, {});
  for (const auto& call : current) call(pool_.failure_error());
  for (const auto& call : next) call(pool_.failure_error());
}

void Committer::advance_tail(uint64_t position) {
  CHECK(position >= tail_ && position <= position_);
  tail_ = position;
  if (requested_) request();
}

}  // namespace ashlar::store
