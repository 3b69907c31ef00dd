// Pool: the store as the rest of the program sees it.
//
// A pool lives on devices and is owned by one loop (the "owner"): every change of mapping, journal,
// allocator and catalog happens there. I/O enters from any reactor through Volume (a BlockBackend).
// Control calls below are made on the owner's thread; their callbacks run from the owner's loop.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/block_io.h"
#include "base/result.h"
#include "base/uuid.h"
#include "device/device.h"
#include "reactor/loop.h"
#include "reactor/random.h"

namespace ashlar::store {

using ashlar::Uuid;

// One reactor as the store uses it: the loop whose thread submits, and its channel to the pool's
// first device, which holds all metadata.
struct Port {
  Loop* loop = nullptr;
  Device* device = nullptr;
};

struct PoolOptions {
  Uuid uuid{};                     // Create only.
  uint64_t journal_bytes = 0;      // Create only; 0: chosen from the size (FORMAT.md).
  uint64_t map_cache_bytes = 256ull << 20;  // Bound on clean map pages kept in memory.
  uint32_t commit_interval_ms = 1000;  // Mapping records reach the journal at least this often.
  bool write_through = false;      // Every acknowledged write is durable.
  bool read_only = false;          // Open for check and dump: no write reaches the device.
};

// One device of a pool. The first is the pool: when it fails the pool has failed. Any other gives
// media errors for the chunks that lie on it, and nothing else, while it is not online.
struct PoolDeviceStatus {
  enum class State : uint8_t {
    online,
    missing,  // Nobody has attached it since the pool was opened.
    failed,   // A flush of it failed: what it acknowledged may be lost. For good.
  };
  Uuid uuid{};
  uint32_t index = 0;
  State state = State::online;
  uint64_t size_bytes = 0;
  uint64_t total_chunks = 0;
  uint64_t free_chunks = 0;
  uint64_t read_errors = 0;   // Since open, of all reactors.
  uint64_t write_errors = 0;  // Likewise; flushes too.
};

struct PoolStatus {
  Uuid uuid{};
  uint64_t size_bytes = 0;
  uint64_t chunk_bytes = 0;
  uint64_t total_chunks = 0;
  uint64_t free_chunks = 0;          // Of devices that are online.
  uint64_t data_chunks = 0;
  uint64_t metadata_chunks = 0;
  uint64_t reclaiming_chunks = 0;    // That the background has still to free, of deleted layers.
  uint64_t reclaiming_layers = 0;    // Deleted layers that it works on.
  uint64_t hidden_layers = 0;        // Deleted layers that several others stand on.
  uint64_t reserved_chunks = 0;      // Promised and not yet allocated.
  uint64_t map_memory_bytes = 0;     // Pages of maps, and views.
  uint64_t layer_count = 0;
  uint64_t catalog_records = 0;
  uint64_t journal_bytes = 0;
  uint64_t journal_used_bytes = 0;
  uint64_t journal_sequence = 0;     // Of the newest durable commit.
  uint64_t checkpoint_sequence = 0;  // Replay would start after this one.
  uint64_t commits = 0;              // Since open.
  uint64_t checkpoints = 0;
  uint64_t replayed_records = 0;     // By the last open.
  uint32_t format_version = 0;
  uint32_t atomic_write_bytes = 0;   // The least of the devices that are online.
  // Of the check that began last and is under way; 0 of 0: there is none.
  uint64_t checked_chunks = 0;       // Whose owner it has met so far.
  uint64_t check_chunks = 0;         // That have one.
  bool failed = false;               // Rule 6: nothing is acknowledged any more.
  std::string failure;               // Why; empty while it works.
  std::vector<PoolDeviceStatus> devices;  // By index.
};

// Always known, without a scan.
struct LayerUsage {
  uint64_t size_bytes = 0;
  uint64_t mapped_bytes = 0;     // Blocks that a reader sees as data, 4 KiB each...
  uint64_t own_bytes = 0;        // ...and of these, those that the layer itself holds.
  uint64_t allocated_bytes = 0;  // Chunks that this layer owns, 64 KiB each.
  uint64_t frees_bytes = 0;      // That deleting the layer now would give back to the pool.
  uint64_t reserved_bytes = 0;   // Promised to it and not yet allocated.
  uint32_t block_bytes = 0;
  uint32_t children = 0;
  bool frozen = false;
};

// A run of blocks of a layer; see Pool::ranges.
struct LayerRange {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  bool zero = false;  // Reads as zeroes (only in differences).
};
struct LayerRanges {
  std::vector<LayerRange> ranges;
  std::optional<uint64_t> next_offset_bytes;  // Where to go on; none: the end was reached.
};

// One step of a transaction. All steps of one commit() happen or none does.
struct Change {
  enum class Kind : uint8_t {
    // layer, parent (all zero: none), size_bytes, block_bytes, volume_from (all zero: none),
    // reserved. A live parent becomes frozen, for good. The volume that is open on `volume_from`, a
    // live layer, is served from the new layer from that instant on; that layer is frozen too. All
    // such steps of one transaction are one instant.
    create_layer,
    // layer; must not be open. Space comes back in the background; with several children when one
    // is left.
    delete_layer,
    // layer (live), size_bytes. Smaller: it must not be open, and neither it nor an ancestor may
    // hold anything beyond. Larger takes effect on an open volume.
    resize_layer,
    reserve_layer,  // layer (live), reserved: room for all its blocks is promised, or no longer.
    put_record,     // key, value
    delete_record,  // key
  };
  Kind kind;
  Uuid layer{};
  Uuid parent{};
  Uuid volume_from{};
  bool reserved = false;
  uint64_t size_bytes = 0;
  uint32_t block_bytes = 0;
  uint64_t key = 0;                // Catalog key, chosen by the control plane.
  std::vector<std::byte> value;    // Up to 48 KiB; opaque here (MessagePack).
};

struct CatalogRecord {
  uint64_t key = 0;
  std::vector<std::byte> value;
};

struct CheckReport {
  // What cannot be read any more, of a layer and of those that read through it.
  struct Lost {
    uint32_t slot = 0;
    Uuid layer{};
    uint64_t offset_bytes = 0;
    uint64_t length_bytes = 0;
    std::vector<Uuid> readers;  // Layers above it that nobody has deleted; the first few.
  };
  struct Problem {
    std::string where;  // "layer 3 map page 17", "journal", "superblock 1"
    std::string what;
    bool repairable = false;   // What is right follows from what is proved: repair_pool().
    std::optional<Lost> lost = std::nullopt;  // Map pages.
  };
  std::vector<Problem> problems;  // Empty: clean. Capped; `suppressed` counts the rest.
  uint64_t suppressed = 0;
  uint64_t pages_read = 0;
  uint64_t layers = 0;
  uint64_t chunks_owned = 0;
  uint64_t chunks_leaked = 0;
  uint64_t catalog_records = 0;
};

// A volume open for I/O. Closing: see Pool::close_volume.
class Volume : public BlockBackend {
 public:
  virtual Uuid layer() const noexcept = 0;  // The top layer now. The owner's thread.
  virtual bool read_only() const noexcept = 0;
};

class Pool {
 public:
  virtual ~Pool() = default;  // Only after close().

  // Writes an empty pool over `ports[owner]`'s device and opens it. Refuses (pool_exists) when the
  // device already starts with a pool. Limits: size 16 MiB to 256 TiB, in whole chunks (a partial
  // last chunk is unused).
  static void create(std::vector<Port> ports, uint32_t owner, const PoolOptions& options,
                     Random& random, std::function<void(Result<std::unique_ptr<Pool>>)> done);
  // Recovers and opens, with the first device alone: others are missing until attach_device().
  // Errors: pool_not_a_pool, pool_newer_format, pool_truncated, pool_corrupt.
  static void open(std::vector<Port> ports, uint32_t owner, const PoolOptions& options,
                   Random& random, std::function<void(Result<std::unique_ptr<Pool>>)> done);

  // Applies `changes` in one transaction; durable when done, and so is all that the layers hold
  // which it froze: the writes that were under way have landed there by then. Errors: not_found,
  // already_exists, busy, limit_exceeded, no_space, pool_failed; after an error nothing has
  // changed.
  virtual void commit(std::vector<Change> changes, std::function<void(Status)> done) = 0;
  // Every catalog record, by key, for the control plane's start.
  virtual void read_catalog(std::function<void(Result<std::vector<CatalogRecord>>)> done) = 0;

  // Opens a layer for I/O. Errors: not_found, busy (open already, or frozen and not `read_only`).
  virtual Result<Volume*> open_volume(const Uuid& layer, bool read_only = false) = 0;
  // New commands answer `gone`; `done` runs when none is under way on any reactor.
  virtual void close_volume(Volume& volume, std::function<void()> done) = 0;

  virtual Result<LayerUsage> usage(const Uuid& layer) = 0;
  // What the layer holds, or where it differs from `since` (all zero: none), from an offset on, by
  // the maps alone. Up to `limit` ranges. Errors: not_found, io_error, pool_corrupt.
  virtual void ranges(const Uuid& layer, const Uuid& since, uint64_t offset_bytes, uint32_t limit,
                      std::function<void(Result<LayerRanges>)> done) = 0;
  virtual PoolStatus status() = 0;
  virtual void checkpoint(std::function<void(Status)> done) = 0;
  // Reads and proves every structure; changes nothing. Online it sees one instant.
  virtual void check(std::function<void(Result<CheckReport>)> done) = 0;
  // Adds a device online: `channels`, one a port, are as in Port::device; they stay valid until the
  // pool is gone when this succeeds, and are not used any more when it does not. Its space counts,
  // durably, when done. Errors: pool_exists (it carries a pool, or is part of one),
  // invalid_argument (its size), limit_exceeded (32 devices), no_space, io_error, pool_failed.
  virtual void add_device(std::vector<Device*> channels,
                          std::function<void(Result<PoolDeviceStatus>)> done) = 0;
  // Brings back a device of the pool that is missing. Errors: not_found (none of this pool's), busy
  // (there already), pool_failed (marked failed), pool_truncated, pool_corrupt.
  virtual void attach_device(std::vector<Device*> channels,
                             std::function<void(Result<PoolDeviceStatus>)> done) = 0;
  // Told from the owner's loop when a device other than the first fails, with the reason.
  virtual void on_device_failed(
      std::function<void(const Uuid& device, const std::string& reason)> told) = 0;
  // Told once, from the owner's loop, when the pool stops acknowledging (rule 6); with the reason.
  virtual void on_failed(std::function<void(const std::string&)> told) = 0;
  // Volumes must be closed. Commits, checkpoints (unless read-only or failed) and stops.
  virtual void close(std::function<void(Status)> done) = 0;
};

}  // namespace ashlar::store
