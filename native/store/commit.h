// Committer: group commit.
//
// Changes append records; a commit is "flush the device, then write all records appended so far as
// one durable journal entry". One commit is under way at a time; who comes meanwhile shares the
// next. A flush or journal write that fails is final (design §4.6).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "reactor/loop.h"
#include "store/cold_io.h"
#include "store/io_state.h"
#include "store/journal.h"
#include "store/kill_log.h"
#include "store/records.h"

namespace ashlar::store {

class PoolImpl;

class Committer {
 public:
  explicit Committer(PoolImpl& pool);

  void start(Journal journal, uint64_t position, uint64_t tail, uint64_t next_sequence);
  void stop();  // No timer fires any more.

  // Any thread: a mapping change is not durable yet. Set before the change becomes visible.
  bool records_pending() const noexcept { return pending_flag_.load(std::memory_order_seq_cst); }

  // The owner's thread from here on.
  // Appends and returns the record's number; never refuses: room was asked for before.
  uint64_t append(const Record& record);
  uint64_t durable_record() const noexcept { return durable_; }
  uint64_t next_record() const noexcept { return appended_ + 1; }
  // Records between the two count in the kill log together or not at all.
  void begin_transaction() noexcept { in_transaction_ = true; }
  void end_transaction() noexcept {
    in_transaction_ = false;
    kill_log_.publish();
  }
  // From now on records are noted there too.
  void keep_through_kills(const KillLog& log) {
    CHECK(pending_.empty());
    kill_log_ = log;
  }
  // False: a change of mapping must be committed before it is acknowledged.
  bool kill_safe() const noexcept { return kill_log_.safe(); }
  // Recovery: records of the kill log, applied already, become the next commit.
  void adopt(std::span<const std::byte> records);
  // Room in the next commit, less what commands under way have reserved.
  bool has_room(size_t record_bytes) const noexcept;
  void reserve(size_t bytes) noexcept { reserved_ += bytes; }
  void unreserve(size_t bytes) noexcept {
    CHECK(reserved_ >= bytes);
    reserved_ -= bytes;
  }
  size_t max_transaction_bytes() const noexcept {
    return std::min<size_t>(limits::max_transaction_bytes, journal_.max_record_bytes() / 2);
  }

  // Answered when everything before is durable (or with pool_failed).
  void wait(IoState& state);
  void wait(std::function<void(Status)> done);
  // Asks for a commit soon, for nobody in particular.
  void request();
  // After a failure: everybody is told.
  void fail_all();
  bool quiet() const noexcept {
    return phase_ == Phase::idle && !begin_task_.queued.load(std::memory_order_relaxed);
  }

  // A checkpoint flipped: the ring is free up to there.
  void advance_tail(uint64_t position);
  uint64_t ring_blocks() const noexcept { return journal_.ring_blocks(); }
  uint64_t used_blocks() const noexcept { return position_ - tail_; }
  uint64_t durable_sequence() const noexcept { return next_sequence_ - 1; }
  uint64_t commits() const noexcept { return commits_; }

 private:
  enum class Phase : uint8_t {
    idle,      // Nothing under way; request() or the timer moves it on.
    flushing,  // The device flush is under way.
    writing,   // The journal write is under way.
  };
  void begin();
  void flushed(int result);
  void written(int result);
  void finish();
  bool ring_has(uint64_t blocks, bool for_checkpoint) const noexcept;

  PoolImpl& pool_;
  Journal journal_;
  Phase phase_ = Phase::idle;
  bool requested_ = false;
  bool with_checkpoint_ = false;  // The commit under way was sealed with a freeze.
  uint64_t position_ = 0;       // Where the next commit goes.
  uint64_t tail_ = 0;           // The oldest block that replay would need.
  uint64_t next_sequence_ = 1;
  uint64_t appended_ = 0;       // Numbers of records since open.
  uint64_t sealed_ = 0;
  uint64_t durable_ = 0;
  size_t reserved_ = 0;
  uint64_t commits_ = 0;
  KillLog kill_log_;
  bool in_transaction_ = false;
  uint32_t writes_left_ = 0;
  int write_result_ = 0;
  std::vector<std::byte> pending_;  // Encoded records of the next commit.
  std::vector<std::byte> sealed_records_;
  std::vector<std::byte> encoded_;
  AlignedBuffer buffer_;
  IoQueue next_ios_, current_ios_;
  std::vector<std::function<void(Status)>> next_calls_, current_calls_;
  DeviceOp flush_op_;
  DeviceOp write_ops_[2];
  iovec write_segments_[2];
  struct BeginTask : Task {
    Committer* committer = nullptr;
  } begin_task_;
  struct IntervalTimer : Timer {
    Committer* committer = nullptr;
  } timer_;
  alignas(64) std::atomic<bool> pending_flag_{false};
};

}  // namespace ashlar::store
