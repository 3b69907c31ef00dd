#include "store/journal_scan.h"

#include <algorithm>
#include <utility>

namespace ashlar::store {

JournalScan::JournalScan(Device& device, const Superblock& s, Told told, Ended ended)
    : device_(device),
      journal_(s.pool, s.journal_first_chunk, s.journal_bytes),
      first_position_(s.journal_position),
      told_(std::move(told)),
      ended_(std::move(ended)) {
  commit_.position = s.journal_position;
  commit_.sequence = s.next_sequence;
}

void JournalScan::begin() { next(); }

void JournalScan::begin_at(uint64_t position, uint64_t sequence) {
  commit_.position = position;
  commit_.sequence = sequence;
  next();
}

void JournalScan::end(std::string problem) {
  const auto ended = std::move(ended_);
  ended(commit_.sequence, std::move(problem));
}

// Ring blocks [position, position + blocks) into the buffer, round the ring's end.
void JournalScan::read(uint64_t position, uint64_t blocks, std::function<void()> then) {
  const uint64_t to_end = journal_.ring_blocks() - position % journal_.ring_blocks();
  const uint64_t first = std::min(blocks, to_end);
  const auto failed = [self = shared_from_this()](int result) {
    if (result == 0) return false;
    self->end(error_from_errno(-result, "reading it").message);
    return true;
  };
  const auto rest = buffer_.span().subspan(first * limits::block_bytes,
                                           (blocks - first) * limits::block_bytes);
  cold_read(device_, journal_.offset_of(position),
            buffer_.span().first(first * limits::block_bytes),
            [self = shared_from_this(), failed, rest, position, first, then](int result) {
              if (failed(result)) return;
              if (rest.empty()) return then();
              cold_read(self->device_, self->journal_.offset_of(position + first), rest,
                        [failed, then](int second) {
                          if (!failed(second)) then();
                        });
            });
}

void JournalScan::next() {
  read(commit_.position, 1, [self = shared_from_this()] {
    JournalCommit& commit = self->commit_;
    commit.blocks = self->journal_.promised_blocks(
        self->buffer_.span().first(limits::block_bytes), commit.sequence, commit.position);
    const uint64_t used = commit.position - self->first_position_;
    if (commit.blocks == 0 || used + commit.blocks > self->journal_.ring_blocks()) {
      return self->search();
    }
    self->read(commit.position, commit.blocks, [self] {
      JournalCommit& whole = self->commit_;
      if (!self->journal_.decode(
              self->buffer_.span().first(whole.blocks * size_t{limits::block_bytes}),
              whole.sequence, whole.position, whole.records)) {
        return self->search();
      }
      const bool enough = !self->told_(whole);
      whole.position += whole.blocks;
      ++whole.sequence;
      if (enough) return self->end({});
      self->next();
    });
  });
}

// What follows is the end, a torn commit or a damaged one: a whole later one proves the last.
void JournalScan::search() {
  const uint64_t ring = journal_.ring_blocks();
  if (searched_ >= ring) return end({});
  const uint64_t from = commit_.position + searched_;
  const uint64_t blocks = std::min({uint64_t{limits::max_commit_bytes / limits::block_bytes},
                                    ring - searched_, ring - from % ring});
  read(from, blocks, [self = shared_from_this(), from, blocks] {
    for (uint64_t i = 0; i < blocks; ++i) {
      const CommitHeader header = self->journal_.claimed(
          self->buffer_.span().subspan(i * limits::block_bytes, limits::block_bytes));
      if (header.sequence <= self->commit_.sequence || header.position != from + i) continue;
      self->searched_ += i;
      return self->judge(from + i, header.sequence);
    }
    self->searched_ += blocks;
    self->search();
  });
}

void JournalScan::judge(uint64_t position, uint64_t sequence) {
  const auto on = [self = shared_from_this()] {
    ++self->searched_;
    self->search();
  };
  read(position, 1, [self = shared_from_this(), position, sequence, on] {
    const uint64_t blocks = self->journal_.promised_blocks(
        self->buffer_.span().first(limits::block_bytes), sequence, position);
    if (blocks == 0) return on();
    self->read(position, blocks, [self, position, sequence, blocks, on] {
      std::vector<std::byte> records;
      if (!self->journal_.decode(
              self->buffer_.span().first(blocks * size_t{limits::block_bytes}), sequence, position,
              records)) {
        return on();
      }
      const std::string damaged = std::to_string(self->commit_.sequence);
      self->end("commit " + damaged + " is damaged, and commit " + std::to_string(sequence) +
                " after it is whole; what changed from commit " + damaged +
                " on is lost: writes, volumes and snapshots since then");
    });
  });
}

}  // namespace ashlar::store
