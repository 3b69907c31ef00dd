// PoolImpl: the open pool. Holds the parts, and what they share: failing, room, reading pages.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "store/allocator.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/commit.h"
#include "store/devices.h"
#include "store/discard.h"
#include "store/epochs.h"
#include "store/io_state.h"
#include "store/layers.h"
#include "store/loader.h"
#include "store/mapping.h"
#include "store/open_chunks.h"
#include "store/owner_io.h"
#include "store/pool.h"
#include "store/reclaim.h"
#include "store/settling.h"
#include "store/space.h"
#include "store/views.h"
#include "store/volume.h"

namespace ashlar::store {

// What a request for room may answer.
enum class Room : uint8_t {
  now,   // There is room.
  wait,  // There may be later: queue in PoolImpl::wait_for_room().
  none,  // There is none, and nothing under way will make some.
};

class PoolImpl final : public Pool {
 public:
  PoolImpl(std::vector<Port> ports, uint32_t owner, const PoolOptions& options, Random& random);
  ~PoolImpl() override;

  // Pool.
  void commit(std::vector<Change> changes, std::function<void(Status)> done) override;
  void read_catalog(std::function<void(Result<std::vector<CatalogRecord>>)> done) override;
  Result<Volume*> open_volume(const Uuid& layer, bool read_only) override;
  void close_volume(Volume& volume, std::function<void()> done) override;
  Result<LayerUsage> usage(const Uuid& layer) override;
  void ranges(const Uuid& layer, const Uuid& since, uint64_t offset_bytes, uint32_t limit,
              std::function<void(Result<LayerRanges>)> done) override;
  PoolStatus status() override;
  void checkpoint(std::function<void(Status)> done) override;
  void check(std::function<void(Result<CheckReport>)> done) override;
  void close(std::function<void(Status)> done) override;
  void on_failed(std::function<void(const std::string&)> told) override;
  void add_device(std::vector<Device*> channels,
                  std::function<void(Result<PoolDeviceStatus>)> done) override {
    devices.add(std::move(channels), std::move(done));
  }
  void attach_device(std::vector<Device*> channels,
                     std::function<void(Result<PoolDeviceStatus>)> done) override {
    devices.attach(std::move(channels), std::move(done));
  }
  void on_device_failed(std::function<void(const Uuid&, const std::string&)> told) override {
    devices.on_failed(std::move(told));
  }

  // ---- For the parts ----------------------------------------------------------------------------
  Device& device() noexcept { return *ports[owner].device; }
  Loop& loop() noexcept { return *ports[owner].loop; }
  PortContext& owner_port() noexcept { return *ports_in_place[owner]; }

  // Any thread. The first reason counts; the owner then tells everybody who waits.
  void fail_from(uint32_t port, const char* what, int result) noexcept;
  bool failed() const noexcept { return failed_flag.load(std::memory_order_acquire); }
  // The owner's thread.
  void fail(const std::string& reason);
  Error failure_error() const;

  // A deleted layer whose map is empty goes for good.
  void remove_layer(Layer& layer);
  // Evicts pages and views beyond the cache's bound, unless they are all needed: a few now, the rest
  // in later turns.
  void trim();
  // One command, or the background, at a time gathers the pages that it needs together: until it
  // has them all none leaves memory. Otherwise those who need more pages than the cache has would
  // take them from each other for ever.
  void gather(const void* who) noexcept;
  // It has them all and uses them in this turn; or it has ended, and pages may go now.
  void has_gathered(const void* who) noexcept {
    if (gathering_ == who) gathering_ = nullptr;
  }
  void gathered(const void* who) noexcept;
  void gathered_for_port(const void* who) noexcept;  // Kept until the port has had its turn.

  // Room for one more operation's metadata pages and `record_bytes` of journal. `allocating`:
  // leaves the floor that frees need.
  Room room(bool allocating, size_t record_bytes);
  // The same however many pages are dirty: it changes few, none of a map.
  Room room_for_transaction(bool allocating, size_t record_bytes);
  // Dirty pages with which a checkpoint begins.
  size_t dirty_pages_wanted() const noexcept;
  int64_t available_pages() const noexcept;
  // Below it metadata grows.
  int64_t pages_low_water() const noexcept;
  void wait_for_room(IoState& state) { room_waiters.push(state); }
  void wait_for_room(std::function<void()> again);
  // Something changed that may have made room: runs waiters until one waits again.
  void room_changed();
  void grow_metadata();
  bool grow_by_chunk();
  // A transaction needs more pages than an operation: grows further. False: not possible.
  bool ask_for_pages();
  // A chunk; 0: see chunk_room(). What is promised to other layers is left to them.
  uint32_t take_chunk(Layer& layer, uint32_t wanted);
  Room chunk_room();
  // What the background has still to free, of deleted layers.
  uint64_t reclaimable_chunks() const noexcept;
  // Chunks that may still be promised, or taken by layers without a promise.
  int64_t unpromised_chunks() const noexcept;
  void chunks_came_back();
  // Steps the epoch and settles quarantine and retired pages, now and until nothing waits.
  void settle();
  void settle_later();
  bool has_retired() const noexcept;
  bool has_unsettled() const noexcept;
  // Nothing of the pool's own is under way or queued.
  bool quiet() const noexcept;
  void when_quiet(Status status);
  void end_if_quiet();
  // Maps it; its range has been read, or written, without an error.
  KillLog open_kill_log();
  // A pool that could not be created or opened: ends it as soon as nothing of it is under way, and
  // never from inside one of its own calls.
  static void abandon(std::unique_ptr<PoolImpl> pool, std::function<void()> then);
  uint32_t checks_under_way = 0;
  std::weak_ptr<const CheckReport> check_report;  // Of the check that began last, as it grows.
  uint64_t check_chunks = 0;                      // That it has to find.

  std::vector<Port> ports;
  const uint32_t owner;
  const PoolOptions options;
  Random& random;
  Devices devices;
  std::vector<std::unique_ptr<PortContext>> ports_in_place;
  Superblock superblock;

  Epochs epochs;
  Pages pages;
  PageTree bitmap_tree;
  PageTree space_tree;
  PageTree layer_tree;
  PageTree catalog_tree;
  Allocator allocator;
  Space space;
  Layers layers;
  Views views;
  Mapping mapping;
  Catalog catalog;
  Loader loader;
  Committer committer;
  Checkpointer checkpointer;
  OwnerIo owner_io;
  Settling settling;
  Reclaimer reclaimer;
  Discarder discarder;
  OpenChunks open_chunks;
  uint64_t runs_in_flight = 0;  // First writes; each holds pages_per_run.
  uint64_t metadata_chunks = 0;  // Superblocks, journal, kill log and labels included.
  uint64_t replayed_records = 0;
  bool closing = false;

  std::atomic<bool> failed_flag{false};
  std::string failure;
  ErrorCode failure_code = ErrorCode::io_error;  // Of the cause.

 private:
  struct SettleTimer : Timer {
    PoolImpl* pool = nullptr;
  } settle_timer_, gather_timer_;
  const void* gathering_ = nullptr;
  struct RoomTask : Task {
    PoolImpl* pool = nullptr;
  } room_task_;
  void go_on_trimming();
  struct TrimTask : Task {
    PoolImpl* pool = nullptr;
  } trim_task_;
  struct FailTask : Task {
    PoolImpl* pool = nullptr;
    const char* what = nullptr;
    int result = 0;
  } fail_task_;
  std::atomic<bool> fail_posted_{false};
  IoQueue room_waiters;
  std::vector<std::function<void()>> room_calls_;
  std::vector<std::unique_ptr<VolumeImpl>> volumes_;
  std::function<void(const std::string&)> failed_told_;
  uint32_t growing_ = 0;  // Chunks being made metadata.
  bool growth_failed_ = false;  // No chunk could be made metadata since one was last freed.
  bool starved_ = false;        // And a checkpoint did not give enough pages back either.
  bool starving_ = false;       // That checkpoint is under way.
  bool settling_ = false;
  std::function<void(Status)> closed_;
  struct CloseTask : Task {
    PoolImpl* pool = nullptr;
    Status status = Unit{};
  } close_task_;
  AlignedBuffer zero_chunk_;
};

}  // namespace ashlar::store
