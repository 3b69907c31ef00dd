// What lies on the device, byte for byte. FORMAT.md tells the same in prose and pictures.
//
// Everything is little-endian. Every structure carries a magic, the pool's UUID and a CRC32C;
// decoders return a value or say what is wrong, and never trust what they have not checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/uuid.h"
#include "store/limits.h"

namespace ashlar::store {

inline constexpr uint32_t format_version = 1;

// ---- Map entries --------------------------------------------------------------------------------

// One chunk of one layer. Data bit: this layer holds the block, in `chunk`. Zero bit: this layer
// says that the block reads as zeroes. Neither: ask the parent. A chunk may be held before any of
// its blocks is (its first write is in flight): chunk != 0 and data == 0.
struct MapEntry {
  uint32_t chunk = 0;  // 0: none (chunk 0 is the superblock's).
  uint16_t data = 0;
  uint16_t zero = 0;

  constexpr uint64_t pack() const noexcept {
    return uint64_t{chunk} | uint64_t{data} << 32 | uint64_t{zero} << 48;
  }
  static constexpr MapEntry unpack(uint64_t word) noexcept {
    return {static_cast<uint32_t>(word), static_cast<uint16_t>(word >> 32),
            static_cast<uint16_t>(word >> 48)};
  }
  // No block is both held and zero, and blocks are held in a chunk only.
  constexpr bool valid() const noexcept { return (data & zero) == 0 && (chunk != 0 || data == 0); }
};

// Bits [first, end) of a mask.
constexpr uint16_t block_mask(uint32_t first, uint32_t end) noexcept {
  return static_cast<uint16_t>(((1u << end) - 1) & ~((1u << first) - 1));
}

// ---- Page references ----------------------------------------------------------------------------

// Where a page is and what it must contain: 36 bits of page number (byte offset / 4096), 27 bits of
// the page's CRC32C. Bit 0 is set, so that in memory a word of an interior page is either 0 (no
// child), odd (a PageRef) or the address of a loaded child. The CRC makes the reference to a stale
// copy of a page (a write that the device lost) as wrong as one to a damaged page.
struct PageRef {
  uint64_t word = 0;

  static constexpr PageRef make(uint64_t page, uint32_t crc) noexcept {
    return {page << 28 | uint64_t{crc & crc_mask} << 1 | 1};
  }
  constexpr bool none() const noexcept { return word == 0; }
  constexpr uint64_t page() const noexcept { return word >> 28; }
  constexpr uint32_t crc() const noexcept {
    return static_cast<uint32_t>(word >> 1) & crc_mask;
  }
  static constexpr uint32_t crc_mask = (1u << 27) - 1;
  friend bool operator==(PageRef, PageRef) = default;
};
static_assert(limits::max_pool_bytes / limits::page_bytes == 1ull << 36);

// ---- Pages --------------------------------------------------------------------------------------

enum class TreeKind : uint8_t {
  bitmap = 1,   // Word i: chunks 64i to 64i + 63, bit set: owned (by a layer or by metadata).
  space = 2,    // Word i: metadata chunk slot i: {chunk: 32, used pages: 16, 0: 16}.
  layers = 3,   // Layer records, 15 a page, 32 words each.
  catalog = 4,  // Catalog cells, 56 a page, 9 words each.
  map = 5,      // Word i: MapEntry of chunk i of one layer.
};
inline constexpr uint32_t root_count = 4;  // Trees rooted in the superblock: all but the maps.

struct PageHeader {
  uint32_t magic = 0;
  uint16_t version = 0;
  uint8_t kind = 0;   // TreeKind
  uint8_t level = 0;  // 0: leaf.
  Uuid pool{};
  uint64_t page = 0;        // Its own page number: a misdirected write is found out.
  uint64_t tree = 0;        // Map pages: the layer's slot. Otherwise 0.
  uint64_t index = 0;       // Leaf i covers words [504 i, 504 (i + 1)); likewise above.
  uint64_t generation = 0;  // Of the checkpoint that wrote it.
  uint32_t crc = 0;         // Of the whole page with this field zero.
  uint32_t reserved = 0;
};
static_assert(sizeof(PageHeader) == limits::page_header_bytes);
inline constexpr uint32_t page_magic = 0x474c5341;  // "ASLG"

// What a page must say about itself.
struct PageIdentity {
  TreeKind kind = TreeKind::map;
  uint8_t level = 0;
  uint64_t tree = 0;
  uint64_t index = 0;
};

// Seals `page` (whose words are in place after the header) and returns its CRC.
uint32_t seal_page(std::span<std::byte> page, const Uuid& pool, const PageIdentity& identity,
                   uint64_t page_number, uint64_t generation) noexcept;
// Empty when the page is what `ref` and `identity` say; otherwise what is wrong.
std::string verify_page(std::span<const std::byte> page, const Uuid& pool,
                        const PageIdentity& identity, PageRef ref);

// ---- Layer records ------------------------------------------------------------------------------

enum class LayerState : uint8_t {
  empty = 0,     // The slot is free.
  live = 1,      // A top layer: may be opened for writing.
  frozen = 2,    // Its blocks do not change any more.
  deleting = 3,  // Gone for users. With no child its chunks are given back; with one it is merged
                 // into that; with several it waits, and is read through.
};

struct LayerRecord {
  Uuid uuid{};
  uint32_t parent_slot_plus1 = 0;  // 0: none.
  uint8_t state = 0;               // LayerState
  uint8_t map_level = 0;           // Level of the root page; 0 with root 0: an empty map.
  uint16_t flags = 0;
  uint32_t block_bytes = 0;
  uint32_t reserved0 = 0;
  uint64_t size_bytes = 0;
  uint64_t map_root = 0;  // PageRef
  uint64_t mapped_blocks = 0;
  uint64_t allocated_chunks = 0;
  uint64_t created_sequence = 0;  // Next journal sequence when it was made.
  uint64_t reclaim_leaf = 0;      // Deleting: leaves below this one are done.
  uint64_t visible_blocks = 0;    // Blocks that a reader sees as data. Not of deleting layers.
  uint64_t frees = 0;             // Chunks that merging the parent into it would free (mapping.h).
  uint64_t passed_frees = 0;      // Deleting, with one child: the child's `frees` below reclaim_leaf.
  uint64_t reserved_chunks = 0;   // Promised to it; 0: nothing.
  uint64_t reserved[18] = {};
};
static_assert(sizeof(LayerRecord) == limits::layer_record_words * 8);

// LayerRecord::flags. Without it the record is older than the usage figures.
inline constexpr uint16_t layer_has_usage = 1;

// ---- Catalog cells ------------------------------------------------------------------------------

// The first words of a record's first cell; the value's bytes follow, over as many cells as they
// take, across page boundaries. A free cell starts with a zero word.
struct CatalogCellHeader {
  uint32_t magic = 0;
  uint32_t value_bytes = 0;
  uint64_t key = 0;
};
static_assert(sizeof(CatalogCellHeader) == 16);
inline constexpr uint32_t catalog_magic = 0x43455243;  // "CREC"
constexpr uint32_t catalog_cells(uint64_t value_bytes) noexcept {
  constexpr uint64_t cell = limits::catalog_cell_words * 8;
  return static_cast<uint32_t>((sizeof(CatalogCellHeader) + value_bytes + cell - 1) / cell);
}

// ---- Superblock ---------------------------------------------------------------------------------

struct TreeRoot {
  uint64_t ref = 0;    // PageRef
  uint64_t level = 0;  // Of the root page.
};

enum class DeviceState : uint32_t {
  online = 0,  // Takes part, when it is there.
  failed = 1,  // A flush of it failed: what it acknowledged may be lost. For good.
};

struct DeviceRow {
  Uuid uuid{};
  uint64_t first_chunk = 0;
  uint64_t chunk_count = 0;
  uint32_t state = 0;  // DeviceState
  uint32_t reserved = 0;
};
static_assert(sizeof(DeviceRow) == 40);

struct Superblock {
  uint64_t magic = 0;
  uint32_t version = 0;
  uint32_t bytes = 0;
  uint64_t compatible_features = 0;            // Unknown: ignore.
  uint64_t read_only_compatible_features = 0;  // Unknown: open read-only at most.
  uint64_t incompatible_features = 0;          // Unknown: refuse.
  Uuid pool{};
  Uuid device{};
  uint32_t device_index = 0;
  uint32_t device_count = 0;
  uint64_t size_bytes = 0;  // Of the first device, when the pool was made.
  uint32_t chunk_bytes = 0;
  uint32_t block_bytes = 0;
  uint64_t total_chunks = 0;  // Of all devices.
  uint64_t journal_first_chunk = 0;
  uint64_t journal_bytes = 0;
  uint64_t generation = 0;         // The newer of two valid copies counts.
  uint64_t journal_position = 0;   // Replay starts here (absolute block; ring block = mod ring)...
  uint64_t next_sequence = 0;      // ...with the commit of this sequence number.
  TreeRoot roots[root_count];      // bitmap, space, layers, catalog.
  uint64_t owned_chunks = 0;       // Bits set in the bitmap.
  uint64_t metadata_slots = 0;     // Words in use of the space tree.
  uint64_t layer_slots = 0;        // Highest used + 1.
  uint64_t catalog_cells = 0;      // Highest used + 1.
  uint64_t catalog_records = 0;
  uint64_t clean = 0;              // 1: closed in order; the ring holds nothing to replay.
  uint64_t kill_log_first_chunk = 0;  // Behind the journal.
  uint64_t kill_log_bytes = 0;
  DeviceRow devices[limits::max_devices];  // `device_count` of them: chunk id → device.
  std::byte padding[4096 - 272 - 32 * 40 - 4] = {};
  uint32_t crc = 0;                // Of the 4,092 bytes before it.
};
static_assert(sizeof(Superblock) == 4096);
// Incompatible features.
inline constexpr uint64_t feature_merging = 1;  // Deleted layers may have children; records 10-12.
inline constexpr uint64_t superblock_magic = 0x4c4f4f5052485341;  // "ASHRPOOL"
// Incompatible features. A pool has a bit only once it uses the feature.
inline constexpr uint64_t feature_several_devices = 2;  // More than one device row.
// The copies are the first blocks of chunks 0 and 1.
inline constexpr uint64_t superblock_offsets[2] = {0, limits::chunk_bytes};
inline constexpr uint64_t first_journal_chunk = 2;
// Chunks that are in use from the beginning, on the first device: superblocks, journal, kill log.
constexpr uint64_t fixed_chunks(const Superblock& s) noexcept {
  return first_journal_chunk + (s.journal_bytes + s.kill_log_bytes) / limits::chunk_bytes;
}

void seal_superblock(Superblock& superblock) noexcept;

// ---- Labels -------------------------------------------------------------------------------------

// What each device but the first begins with: whose it is, and where its chunks stand in the pool.
// It is written once, before its row is journaled; all of it lies in one sector, so that a power
// loss leaves it whole or not there. Its chunk, the first of the device, is nobody else's.
struct DeviceLabel {
  uint64_t magic = 0;
  uint32_t version = 0;
  uint32_t bytes = 0;
  Uuid pool{};
  Uuid device{};
  uint32_t device_index = 0;
  uint32_t chunk_bytes = 0;
  uint64_t first_chunk = 0;
  uint64_t chunk_count = 0;
  uint64_t reserved[6] = {};
  uint32_t padding = 0;
  uint32_t crc = 0;  // Of the 124 bytes before it.
};
static_assert(sizeof(DeviceLabel) == 128);
inline constexpr uint64_t label_magic = 0x4c42414c52485341;  // "ASHRLABL"

DeviceLabel make_label(const Uuid& pool, uint32_t index, const DeviceRow& row) noexcept;
// A label with the right magic and checksum, or nothing.
std::optional<DeviceLabel> read_label(std::span<const std::byte> block) noexcept;
// Empty when the label is that of this row; otherwise what is wrong.
std::string label_problem(const DeviceLabel& label, const Uuid& pool, uint32_t index,
                          const DeviceRow& row);

// One copy, judged by itself.
enum class SuperblockVerdict : uint8_t {
  valid,
  absent,         // No magic: nothing of ours was ever here.
  label,          // A further device of a pool, whose UUID and device are set.
  damaged,        // Ours by its magic, but the checksum or a field is wrong.
  newer_version,  // Of a version or with features that this program does not know.
};
struct SuperblockReading {
  SuperblockVerdict verdict = SuperblockVerdict::absent;
  Superblock superblock;
  std::string problem;  // One line, unless valid.
};
SuperblockReading read_superblock(std::span<const std::byte> block, bool for_writing);

// The journal size for a pool of this size when none is asked for.
uint64_t default_journal_bytes(uint64_t pool_bytes) noexcept;

}  // namespace ashlar::store
