// The store's static limits, with the arithmetic beside them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::store::limits {

// Geometry. These are part of the format.
inline constexpr uint32_t block_bytes = 4096;
inline constexpr uint32_t chunk_bytes = 65536;
inline constexpr uint32_t blocks_per_chunk = chunk_bytes / block_bytes;
static_assert(blocks_per_chunk == 16);  // One bit each in the masks of a map entry.
inline constexpr uint32_t page_bytes = 4096;
inline constexpr uint32_t page_header_bytes = 64;
inline constexpr uint32_t words_per_page = (page_bytes - page_header_bytes) / 8;
static_assert(words_per_page == 504);
inline constexpr uint32_t pages_per_chunk = chunk_bytes / page_bytes;

// Chunk ids are 32 bits: 2^32 x 64 KiB = 256 TiB.
inline constexpr uint64_t min_pool_bytes = 16ull << 20;
inline constexpr uint64_t max_pool_bytes = 256ull << 40;
inline constexpr uint64_t max_pool_chunks = max_pool_bytes / chunk_bytes;
// Rows of the superblock.
inline constexpr uint32_t max_devices = 32;
// Chunks of one sequence of writes that lie on one device before the next device is chosen: 64 MiB,
// or a sixteenth of a device of less than 1 GiB.
inline constexpr uint32_t spread_chunks = 1024;
// The first device holds all metadata. Its last 64th is left to that as long as data has room
// elsewhere.
inline constexpr uint32_t metadata_share = 64;
// 504^4 chunks x 64 KiB is above 3 PiB, so no tree is higher than four levels.
inline constexpr uint32_t max_tree_levels = 4;
inline constexpr uint64_t max_layer_bytes = 256ull << 40;

// Layer records are 32 words; 15 of them fit the 504 words of a page (480 used).
inline constexpr uint32_t layer_record_words = 32;
inline constexpr uint32_t layer_records_per_page = words_per_page / layer_record_words;
static_assert(layer_records_per_page == 15);
// 110,000 layers is the aim (10,000 volumes, 100,000 snapshots); slots are 32 bits.
inline constexpr uint32_t max_layers = 1u << 20;

// Catalog: cells of 9 words (72 bytes); 56 fill the 504 words of a page exactly. A record of
// 48 KiB takes 683 cells, which is 13 pages.
inline constexpr uint32_t catalog_cell_words = 9;
inline constexpr uint32_t catalog_cells_per_page = words_per_page / catalog_cell_words;
static_assert(catalog_cells_per_page * catalog_cell_words == words_per_page);
inline constexpr uint32_t max_catalog_value_bytes = 48 * 1024;

// Journal. A commit is at most a quarter of the ring and at most 1 MiB. 64 MiB of ring from a pool
// of 16 GiB on; a smaller pool gives 1/256 of its size, at least 4 MiB.
inline constexpr uint64_t min_journal_bytes = 1ull << 20;
inline constexpr uint64_t default_min_journal_bytes = 4ull << 20;
inline constexpr uint64_t default_max_journal_bytes = 64ull << 20;
inline constexpr uint64_t max_journal_bytes = 1ull << 30;
inline constexpr uint32_t max_commit_bytes = 1u << 20;
// A transaction: half a commit, so that one always fits beside the mapping records of a busy pool.
inline constexpr uint32_t max_transaction_bytes = max_commit_bytes / 2;

// Operations under way on the device, one port: 512 runs x (64 iovecs + 200 bytes) = 0.6 MiB. A
// command that finds none waits in the port's queue.
inline constexpr uint32_t run_ops_per_port = 512;
// Segments of one run. Longer scatter lists are cut into several runs.
inline constexpr uint32_t run_segments = 64;
inline constexpr uint32_t max_run_bytes = 1u << 20;
// Bounce buffers for read-modify-write, 4 KiB each; a command that finds none waits.
inline constexpr uint32_t bounce_buffers = 64;
// Chunks with first writes in flight: every run of the owner covers at most 17 chunks.
inline constexpr uint32_t open_chunk_slots = 16384;
static_assert(open_chunk_slots >= run_ops_per_port * 17 * 3 / 2);

// Checkpoints begin when the ring is half full or when this many pages are dirty (16 MiB), or a
// quarter of the map cache. At twice that, together with what one under way has still to write, new
// mappings wait: so a crash never leaves the journal more pages to touch than that, and recovery
// fits the cache.
inline constexpr uint32_t max_dirty_pages = 4096;
inline constexpr uint32_t min_dirty_pages = 512;
// Records looked at ahead of the one that waits for a page, in recovery, and how many pages
// (16 MiB) may be asked for on that account before it has all of its own.
inline constexpr uint32_t replay_ahead = 256;
inline constexpr uint32_t replay_ahead_pages = 4096;
// Pages and views that the hand of the cache passes in one turn (about 0.3 ms at most), and those
// that are freed in one: a cache that is too large by much, as after a checkpoint, shrinks over
// several turns.
inline constexpr uint32_t trim_steps = 256;
inline constexpr uint32_t max_trim_steps = 2048;
inline constexpr uint32_t freed_per_turn = 2048;
// Pages written per turn of the loop and buffers for them: 8 x 64 KiB in flight.
inline constexpr uint32_t checkpoint_buffers = 8;

// Free metadata pages kept so that frees can always proceed (FORMAT.md, "Room for metadata").
// One operation dirties at most: a path of a map (4 pages) and a raised root (4), a path of the
// layer table (4) and one of the bitmap (4). A first write in flight may dirty the first and the
// third again when it ends after a freeze; after a snapshot also the records of the new layers.
inline constexpr uint32_t pages_per_run = 12;
inline constexpr uint32_t pages_floor_free = 20;
inline constexpr uint32_t pages_floor_allocate = 48;
inline constexpr uint32_t pages_low_water = 80;
// Metadata grows by this share of itself a time, when less than that share of its pages is free.
inline constexpr uint32_t metadata_growth = 16;
inline constexpr uint32_t max_growth_chunks = 64;  // 4 MiB
inline constexpr uint32_t initial_metadata_chunks = 8;
static_assert(initial_metadata_chunks * pages_per_chunk > pages_low_water + 16);

// Freed chunks that wait for their record to be durable (16 bytes each: 4 MiB). Beyond it the
// background reclaim pauses and a commit is forced.
inline constexpr uint32_t max_quarantine = 262144;
// Freed chunks that lie side by side and are discarded together: 1 GiB.
inline constexpr uint32_t discard_chunks = 16384;
// Chunks changed by one turn of a long deallocate or reclaim.
inline constexpr uint32_t chunks_per_turn = 504;
// Chunks copied at once when a deleted layer is merged: 64 KiB of memory each.
inline constexpr uint32_t merge_copies = 8;
inline constexpr uint32_t check_problems = 100;

}  // namespace ashlar::store::limits
