// Checkpointer: writes the state at one instant as a tree of pages beside the old one, then flips
// the superblock, so that the journal before that instant is not needed any more.
//
// Order: the freeze happens as a commit is sealed. The frozen pages are written to free places
// while I/O goes on; when they are all written and that commit is durable, the device is flushed
// and the other superblock copy is written durably. Only then may old pages and the ring be reused.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/cold_io.h"
#include "store/page_tree.h"

namespace ashlar::store {

class PoolImpl;

class Checkpointer {
 public:
  explicit Checkpointer(PoolImpl& pool);

  // Asks for one; it begins with the next commit.
  void request();
  void request(bool clean, std::function<void(Status)> done);
  // Check reads the newest image and needs its pages to stay as they are.
  void hold() { ++holds_; }
  void release();

  bool wants_to_begin() const noexcept;
  bool running() const noexcept { return phase_ != Phase::idle; }
  // By the committer, as it seals: replay of this image starts there.
  void freeze(uint64_t journal_position, uint64_t next_sequence);
  // By the committer: the commit sealed with the freeze tells of failed devices too, and takes so
  // many blocks more.
  void sealed_more(uint64_t blocks);
  void commit_finished();
  void fail_all();

  uint64_t count() const noexcept { return count_; }
  uint64_t sequence() const noexcept;

 private:
  enum class Phase : uint8_t {
    idle,      // request() and the next commit move it on.
    writing,   // Pages are being written.
    settling,  // All pages are written; the commit sealed with the freeze is awaited.
    flushing,  // The device flush is under way.
    flipping,  // The superblock write is under way.
  };
  struct FrozenRoot {
    PageNode* node = nullptr;  // Null: not loaded or empty, then `ref` and `level` count.
    PageRef ref;
    uint8_t level = 0;
  };
  struct Buffer {
    AlignedBuffer memory = AlignedBuffer::unwritten(limits::chunk_bytes);
    bool busy = false;
  };
  static FrozenRoot root_of(const PageTree& tree);
  void assign_pages();
  void write_more();
  void fill_page(PageNode& node, std::span<std::byte> out);
  void page_written(Buffer& buffer, int result);
  void pages_done();
  void flip();
  void flipped(int result);
  void end(const Status& status);

  PoolImpl& pool_;
  Phase phase_ = Phase::idle;
  bool requested_ = false;
  bool clean_ = false;
  uint32_t holds_ = 0;
  bool commit_durable_ = false;
  uint64_t count_ = 0;
  std::vector<PageNode*> image_;
  size_t next_page_ = 0;
  uint32_t writes_in_flight_ = 0;
  int write_result_ = 0;
  std::unordered_map<uint32_t, FrozenRoot> map_roots_;  // By layer slot.
  FrozenRoot roots_[root_count];
  Superblock next_superblock_;
  std::vector<Buffer> buffers_;
  AlignedBuffer superblock_memory_{limits::block_bytes};
  std::vector<std::function<void(Status)>> waiting_, current_;
};

}  // namespace ashlar::store
