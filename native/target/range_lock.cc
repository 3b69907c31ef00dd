#include "target/range_lock.h"

#include <utility>

#include "base/check.h"
#include "target/connection.h"

namespace ashlar::target {

// ---- The owner's side ---------------------------------------------------------------------------

RangeLock::RangeLock(RangeLocks& locks, Loop& owner)
    : locks_(locks), owner_(owner), nodes_(locks.shards_.size()) {
  to_home_.lock = to_owner_.lock = this;
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].lock = this;
    nodes_[i].shard = i;
  }
}

RangeLock::~RangeLock() { CHECK(phase_ == Phase::idle); }

void RangeLock::acquire(const BlockBackend& backend, uint64_t offset_bytes,
                        uint64_t length_bytes) noexcept {
  CHECK(phase_ == Phase::idle);
  phase_ = Phase::requested;
  backend_ = &backend;
  offset_bytes_ = offset_bytes;
  length_bytes_ = length_bytes;
  to_home_.run = [](Task& task) noexcept {
    RangeLock& lock = *static_cast<Message&>(task).lock;
    lock.locks_.requested(lock);
  };
  locks_.shards_.front().loop->post(to_home_);
}

void RangeLock::release() noexcept {
  CHECK(phase_ == Phase::held);
  phase_ = Phase::releasing;
  to_home_.run = [](Task& task) noexcept {
    RangeLock& lock = *static_cast<Message&>(task).lock;
    lock.locks_.let_go(lock);
  };
  locks_.shards_.front().loop->post(to_home_);
}

bool RangeLock::overlaps(const BlockBackend* backend, uint64_t offset_bytes,
                         uint64_t length_bytes) const noexcept {
  if (backend != backend_) return false;
  return offset_bytes >= offset_bytes_ ? offset_bytes - offset_bytes_ < length_bytes_
                                       : offset_bytes_ - offset_bytes < length_bytes;
}

// ---- The home reactor ---------------------------------------------------------------------------

void RangeLocks::requested(RangeLock& lock) noexcept {
  lock.next_ = nullptr;
  RangeLock** end = &head_;
  while (*end != nullptr) end = &(*end)->next_;
  *end = &lock;
  start_unless_blocked(lock, head_);
}

// `from`: the oldest lock that it has not been compared with.
void RangeLocks::start_unless_blocked(RangeLock& lock, RangeLock* from) noexcept {
  lock.blocker_ = from;
  while (lock.blocker_ != &lock) {
    const RangeLock& older = *lock.blocker_;
    if (older.overlaps(lock.backend_, lock.offset_bytes_, lock.length_bytes_)) return;
    lock.blocker_ = older.next_;
  }
  lock.blocker_ = nullptr;
  send_to_shards(lock, [](Task& task) noexcept {
    auto& node = static_cast<RangeLock::Node&>(task);
    node.lock->locks_.shards_[node.shard].gate->close(node);
  });
}

void RangeLocks::let_go(RangeLock& lock) noexcept {
  send_to_shards(lock, [](Task& task) noexcept {
    auto& node = static_cast<RangeLock::Node&>(task);
    node.lock->locks_.shards_[node.shard].gate->open(node);
  });
}

void RangeLocks::send_to_shards(RangeLock& lock, void (*run)(Task&) noexcept) noexcept {
  lock.answers_due_ = shards_.size();
  for (size_t i = 0; i < shards_.size(); ++i) {
    lock.nodes_[i].run = run;
    shards_[i].loop->post(lock.nodes_[i]);
  }
}

void RangeLocks::answer(RangeLock::Node& node) noexcept {
  node.run = [](Task& task) noexcept {
    RangeLock& lock = *static_cast<RangeLock::Node&>(task).lock;
    lock.locks_.on_answer(lock);
  };
  shards_.front().loop->post(node);
}

// Both ways: all gates are closed, or all are open again. Which of the two the owner knows.
void RangeLocks::on_answer(RangeLock& lock) noexcept {
  CHECK(lock.answers_due_ > 0);
  if (--lock.answers_due_ != 0) return;
  const bool closing = lock.phase_ == RangeLock::Phase::requested;
  if (!closing) remove(lock);
  lock.to_owner_.run = [](Task& task) noexcept {
    RangeLock& self = *static_cast<RangeLock::Message&>(task).lock;
    if (self.phase_ == RangeLock::Phase::requested) {
      self.phase_ = RangeLock::Phase::held;
      self.granted(self);
    } else {
      self.phase_ = RangeLock::Phase::idle;
      self.released(self);
    }
  };
  lock.owner_.post(lock.to_owner_);
}

void RangeLocks::remove(RangeLock& lock) noexcept {
  RangeLock** at = &head_;
  while (*at != &lock) {
    CHECK(*at != nullptr);
    at = &(*at)->next_;
  }
  *at = lock.next_;
  for (RangeLock* later = lock.next_; later != nullptr; later = later->next_) {
    if (later->blocker_ == &lock) start_unless_blocked(*later, lock.next_);
  }
}

// ---- A reactor ----------------------------------------------------------------------------------

bool RangeGate::overlaps(const BlockBackend* backend, uint64_t offset_bytes,
                         uint64_t length_bytes) const noexcept {
  for (const Node* node = closed_; node != nullptr; node = node->next_closed) {
    if (node->lock->overlaps(backend, offset_bytes, length_bytes)) return true;
  }
  return false;
}

void RangeGate::close(Node& node) noexcept {
  node.next_closed = std::exchange(closed_, &node);
  node.next_grace = std::exchange(arrived_, &node);
  advance();
}

void RangeGate::open(Node& node) noexcept {
  Node** at = &closed_;
  while (*at != &node) {
    CHECK(*at != nullptr);
    at = &(*at)->next_closed;
  }
  *at = node.next_closed;
  node.lock->locks_.answer(node);
  // Each goes on, or waits for another lock; none is passed over by what comes next.
  CommandLine waiting = std::exchange(line_, CommandLine{});
  while (Command* command = waiting.pop()) command->connection.on_range_free(*command);
}

void RangeGate::end_change(uint8_t parity) noexcept {
  CHECK(changes_[parity] > 0);
  if (--changes_[parity] == 0 && parity != parity_) advance();
}

void RangeGate::advance() noexcept {
  while (changes_[parity_ ^ 1] == 0) {
    while (turned_ != nullptr) {
      Node& node = *turned_;
      turned_ = std::exchange(node.next_grace, nullptr);
      node.lock->locks_.answer(node);
    }
    if (arrived_ == nullptr) return;
    turned_ = std::exchange(arrived_, nullptr);
    parity_ ^= 1;
  }
}

}  // namespace ashlar::target
