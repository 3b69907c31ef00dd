// JournalScan: reads the journal's commits without applying them, for repair and dump.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/cold_io.h"
#include "store/journal.h"

namespace ashlar::store {

struct JournalCommit {
  uint64_t sequence = 0;
  uint64_t position = 0;
  uint64_t blocks = 0;
  std::vector<std::byte> records;
};

class JournalScan : public std::enable_shared_from_this<JournalScan> {
 public:
  // Told of each commit in order; false: that is enough.
  using Told = std::function<bool(const JournalCommit& commit)>;
  // `problem` is empty when the journal ends as it should: no commit that would count is damaged.
  using Ended = std::function<void(uint64_t next_sequence, std::string problem)>;

  JournalScan(Device& device, const Superblock& superblock, Told told, Ended ended);
  // From the commit that the superblock names, or from a later one that was told of.
  void begin();
  void begin_at(uint64_t position, uint64_t sequence);

 private:
  void read(uint64_t position, uint64_t blocks, std::function<void()> then);
  void next();
  void search();
  void judge(uint64_t position, uint64_t sequence);
  void end(std::string problem);

  Device& device_;
  const Journal journal_;
  const uint64_t first_position_;
  Told told_;
  Ended ended_;
  JournalCommit commit_;  // The one that is awaited.
  uint64_t searched_ = 0;
  AlignedBuffer buffer_{limits::max_commit_bytes};
};

}  // namespace ashlar::store
