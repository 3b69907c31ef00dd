// RangeLock: keeps every change of one range of a namespace away while a fused Compare and Write
// compares and writes, whichever queue and reactor the change comes by.
//
//   owner ──acquire──▶ home: RangeLocks ──▶ every reactor: RangeGate
//     ▲                 waits for locks       new changes of the range wait here,
//     └────granted──────  that overlap  ◀──── and those under way finish first
//
// It costs other commands one test for null. The home reactor puts overlapping locks in order. A
// gate stops new changes that overlap, then lets all changes under way on its reactor finish
// (whatever their range: they are counted, not listed) before it agrees.
//
// Progress: a change under way never waits for a lock, and the holder of a lock waits for nothing
// but the store. Memory: everything is part of the RangeLock, made once a queue.
//
// Not kept away: what the node itself writes to a volume (an import), which no host has then.
#pragma once

#include <cstdint>
#include <vector>

#include "base/block_io.h"
#include "reactor/loop.h"
#include "target/command.h"

namespace ashlar::target {

class RangeGate;
class RangeLocks;

class RangeLock {
 public:
  enum class Phase : uint8_t {
    idle,
    requested,  // The home reactor or a gate has it; `granted` moves it on.
    held,       // release() moves it on.
    releasing,  // Waiting changes are let go; `released` moves it on.
  };

  // `owner`: the loop on which it is used and told of.
  RangeLock(RangeLocks& locks, Loop& owner);
  ~RangeLock();  // Only when idle (CHECKed).
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;

  void acquire(const BlockBackend& backend, uint64_t offset_bytes, uint64_t length_bytes) noexcept;
  void release() noexcept;
  Phase phase() const noexcept { return phase_; }
  // Any length is fine, also beyond the end of the volume.
  bool overlaps(const BlockBackend* backend, uint64_t offset_bytes,
                uint64_t length_bytes) const noexcept;

  void (*granted)(RangeLock&) noexcept = nullptr;
  void (*released)(RangeLock&) noexcept = nullptr;
  void* context = nullptr;

 private:
  friend class RangeGate;
  friend class RangeLocks;
  // One a reactor, and the message between it and home.
  struct Node : Task {
    RangeLock* lock = nullptr;
    uint32_t shard = 0;
    Node* next_closed = nullptr;  // Of the gate's barriers.
    Node* next_grace = nullptr;   // Of those that wait for changes to finish.
  };
  struct Message : Task {
    RangeLock* lock = nullptr;
  };

  RangeLocks& locks_;
  Loop& owner_;
  Phase phase_ = Phase::idle;
  // Only compared, never used: the volume may have gone.
  const BlockBackend* backend_ = nullptr;
  uint64_t offset_bytes_ = 0;
  uint64_t length_bytes_ = 0;
  Message to_home_;
  Message to_owner_;
  std::vector<Node> nodes_;
  // Home thread.
  RangeLock* next_ = nullptr;
  RangeLock* blocker_ = nullptr;  // The first older one that overlaps; null: started.
  size_t answers_due_ = 0;
};

// One reactor's part. Own thread only.
class RangeGate {
 public:
  // A command that changes data goes to the store, and has come back.
  uint8_t begin_change() noexcept {
    ++changes_[parity_];
    return parity_;
  }
  void end_change(uint8_t parity) noexcept;
  bool closed_to(const BlockBackend* backend, uint64_t offset_bytes,
                 uint64_t length_bytes) const noexcept {
    return closed_ != nullptr && overlaps(backend, offset_bytes, length_bytes);
  }
  // Connection::on_range_free() follows, unless it leaves before.
  void wait(Command& command) noexcept { line_.push(command); }
  void leave(Command& command) noexcept { line_.remove(command); }

 private:
  friend class RangeLocks;
  using Node = RangeLock::Node;

  bool overlaps(const BlockBackend* backend, uint64_t offset_bytes,
                uint64_t length_bytes) const noexcept;
  void close(Node& node) noexcept;
  void open(Node& node) noexcept;
  void advance() noexcept;

  Node* closed_ = nullptr;
  // Changes under way, by parity. The parity turns when none of the older ones is left and
  // somebody waits; who came before the turn waits for the parity of then.
  uint32_t changes_[2] = {0, 0};
  uint8_t parity_ = 0;
  Node* arrived_ = nullptr;
  Node* turned_ = nullptr;
  CommandLine line_;
};

// The home reactor's part: which locks there are, oldest first. A lock is compared once with each
// older one, so n of them, however they overlap, cost it n steps each.
class RangeLocks {
 public:
  // Before the first lock. The first loop is the home reactor's.
  void add_shard(Loop& loop, RangeGate& gate) { shards_.push_back({&loop, &gate}); }

 private:
  friend class RangeLock;
  friend class RangeGate;
  struct Shard {
    Loop* loop;
    RangeGate* gate;
  };

  void requested(RangeLock& lock) noexcept;
  void let_go(RangeLock& lock) noexcept;
  void start_unless_blocked(RangeLock& lock, RangeLock* from) noexcept;
  void send_to_shards(RangeLock& lock, void (*run)(Task&) noexcept) noexcept;
  // From a gate: this reactor agrees.
  void answer(RangeLock::Node& node) noexcept;
  void on_answer(RangeLock& lock) noexcept;
  void remove(RangeLock& lock) noexcept;

  std::vector<Shard> shards_;
  RangeLock* head_ = nullptr;
};

}  // namespace ashlar::target
