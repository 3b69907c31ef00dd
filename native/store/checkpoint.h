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
  // The share of `whole` that the pages begun are of those of the image; 0: no page is being written.
  size_t share_written(size_t whole) const noexcept {
    return phase_ == Phase::writing && !image_.empty() ? whole * next_page_ / image_.size() : 0;
  }
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
  // Children are sealed before their parents, and maps before the layer table that names their
  // roots.
  struct Sealed {
    explicit Sealed(PageNode& of);
    friend bool operator<(const Sealed& a, const Sealed& b) noexcept {
      return a.tree != b.tree ? a.tree < b.tree : a.index < b.index;
    }
    uint64_t tree;
    uint64_t index;
    PageNode* node = nullptr;
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
  std::vector<Sealed> order_;
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
