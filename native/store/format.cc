#include "store/format.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace ashlar::store {

namespace {

constexpr size_t page_crc_offset = offsetof(PageHeader, crc);

uint32_t page_crc(std::span<const std::byte> page) noexcept {
  constexpr std::byte zeroes[4] = {};
  uint32_t crc = crc32c(page.first(page_crc_offset));
  crc = crc32c(std::span<const std::byte>(zeroes), crc);
  return crc32c(page.subspan(page_crc_offset + 4), crc);
}

std::string number(uint64_t value) { return std::to_string(value); }

}  // namespace

uint32_t seal_page(std::span<std::byte> page, const Uuid& pool, const PageIdentity& identity,
                   uint64_t page_number, uint64_t generation) noexcept {
  CHECK(page.size() == limits::page_bytes);
  PageHeader header;
  header.magic = page_magic;
  header.version = format_version;
  header.kind = static_cast<uint8_t>(identity.kind);
  header.level = identity.level;
  header.pool = pool;
  header.page = page_number;
  header.tree = identity.tree;
  header.index = identity.index;
  header.generation = generation;
  write_at(page, 0, header);
  header.crc = page_crc(page);
  write_at(page, 0, header);
  return header.crc;
}

std::string verify_page(std::span<const std::byte> page, const Uuid& pool,
                        const PageIdentity& identity, PageRef ref) {
  const auto header = read_at<PageHeader>(page);
  if (header.magic != page_magic) return "no metadata page here (magic is wrong)";
  if (header.crc != page_crc(page)) return "checksum is wrong: the page is damaged";
  if (header.pool != pool) return "the page belongs to another pool";
  if (header.version > format_version) return "page version " + number(header.version) + " is newer";
  if (header.page != ref.page()) {
    return "the page says it is page " + number(header.page) + ": a misdirected write";
  }
  if (header.kind != static_cast<uint8_t>(identity.kind) || header.level != identity.level ||
      header.tree != identity.tree || header.index != identity.index) {
    return "the page is another one (kind " + number(header.kind) + ", tree " +
           number(header.tree) + ", level " + number(header.level) + ", index " +
           number(header.index) + ")";
  }
  if ((header.crc & PageRef::crc_mask) != ref.crc()) {
    return "a stale copy (generation " + number(header.generation) + "): a write was lost";
  }
  return {};
}

void seal_superblock(Superblock& superblock) noexcept {
  superblock.crc = crc32c(&superblock, offsetof(Superblock, crc));
}

namespace {

constexpr uint64_t known_incompatible = feature_merging | feature_several_devices;
constexpr uint64_t known_read_only_compatible = 0;

// Empty when the rows follow each other without a gap and say what the rest of the superblock says.
std::string rows_problem(const Superblock& s) {
  if (s.device_count == 0 || s.device_count > std::size(s.devices) || s.device_index != 0) {
    return number(s.device_count) + " devices";
  }
  const bool several = (s.incompatible_features & feature_several_devices) != 0;
  if (several != (s.device_count > 1)) {
    return number(s.device_count) + " devices, against its feature bits";
  }
  uint64_t chunks = 0;
  for (uint32_t i = 0; i < s.device_count; ++i) {
    const DeviceRow& row = s.devices[i];
    const bool state_known = row.state == static_cast<uint32_t>(DeviceState::online) ||
                             (row.state == static_cast<uint32_t>(DeviceState::failed) && i > 0);
    if (row.first_chunk != chunks || row.chunk_count > limits::max_pool_chunks - chunks ||
        row.chunk_count < limits::min_pool_bytes / limits::chunk_bytes || !state_known) {
      return "device row " + number(i);
    }
    for (uint32_t other = 0; other < i; ++other) {
      if (s.devices[other].uuid == row.uuid) return "device rows of the same UUID";
    }
    chunks += row.chunk_count;
  }
  if (s.devices[0].chunk_count != s.size_bytes / limits::chunk_bytes || s.total_chunks != chunks) {
    return number(s.total_chunks) + " chunks";
  }
  return {};
}

// Empty when the fields make sense together.
std::string superblock_problem(const Superblock& s) {
  if (s.bytes != sizeof(Superblock)) return "superblock length " + number(s.bytes);
  if (s.chunk_bytes != limits::chunk_bytes || s.block_bytes != limits::block_bytes) {
    return "chunk size " + number(s.chunk_bytes) + ", block size " + number(s.block_bytes);
  }
  if (s.size_bytes < limits::min_pool_bytes || s.size_bytes > limits::max_pool_bytes) {
    return "size of " + number(s.size_bytes) + " bytes";
  }
  if (std::string problem = rows_problem(s); !problem.empty()) return problem;
  const uint64_t first_chunks = s.devices[0].chunk_count;
  if (s.journal_first_chunk != first_journal_chunk || s.journal_bytes < limits::min_journal_bytes ||
      s.journal_bytes > limits::max_journal_bytes ||
      !is_multiple(s.journal_bytes, limits::chunk_bytes) ||
      s.journal_bytes / limits::chunk_bytes + first_journal_chunk >= first_chunks) {
    return "journal of " + number(s.journal_bytes) + " bytes";
  }
  if (s.kill_log_first_chunk !=
          first_journal_chunk + s.journal_bytes / limits::chunk_bytes ||
      s.kill_log_bytes > 2 * limits::max_commit_bytes + limits::chunk_bytes ||
      !is_multiple(s.kill_log_bytes, limits::chunk_bytes) || s.kill_log_bytes == 0 ||
      fixed_chunks(s) >= first_chunks) {
    return "kill log of " + number(s.kill_log_bytes) + " bytes";
  }
  if (s.layer_slots > limits::max_layers || s.metadata_slots > first_chunks ||
      s.owned_chunks > s.total_chunks ||
      s.catalog_cells > first_chunks * limits::pages_per_chunk * limits::catalog_cells_per_page) {
    return "counters beyond the pool's size";
  }
  for (const TreeRoot& root : s.roots) {
    if (root.level >= limits::max_tree_levels) return "tree level " + number(root.level);
    if (root.ref != 0 && (root.ref & 1) == 0) return "a tree root that is no page reference";
    if (root.ref != 0 && PageRef{root.ref}.page() / limits::pages_per_chunk >= first_chunks) {
      return "tree root beyond the end";
    }
  }
  return {};
}

}  // namespace

SuperblockReading read_superblock(std::span<const std::byte> block, bool for_writing) {
  SuperblockReading reading;
  Superblock& s = reading.superblock;
  s = read_at<Superblock>(block);
  if (const auto label = read_label(block); label.has_value()) {
    reading.verdict = SuperblockVerdict::label;
    s = Superblock{};
    s.pool = label->pool;
    s.device = label->device;
    s.device_index = label->device_index;
    reading.problem = "it is device " + number(label->device_index) + " of pool " +
                      to_string(label->pool) + ", which is opened through its first device";
    return reading;
  }
  if (s.magic == label_magic) {
    reading.verdict = SuperblockVerdict::damaged;
    const auto damaged = read_at<DeviceLabel>(block);
    s = Superblock{};
    s.pool = damaged.pool;
    reading.problem = "the label of a pool's device is damaged";
    return reading;
  }
  if (s.magic != superblock_magic) {
    reading.problem = "it does not start with an Ashlar superblock";
    return reading;
  }
  // The version stands before everything that a newer one might lay out differently, the checksum
  // included; so a newer format is called newer, and not damaged.
  if (s.version > format_version) {
    reading.verdict = SuperblockVerdict::newer_version;
    reading.problem = "its format is version " + number(s.version) + ", newer than " +
                      number(format_version) + ", the newest this program knows; use a newer Ashlar";
    return reading;
  }
  reading.verdict = SuperblockVerdict::damaged;
  if (s.version == 0 || s.crc != crc32c(&s, offsetof(Superblock, crc))) {
    reading.problem = "a superblock's checksum is wrong";
    return reading;
  }
  const uint64_t unknown =
      (s.incompatible_features & ~known_incompatible) |
      (for_writing ? s.read_only_compatible_features & ~known_read_only_compatible : 0);
  if (unknown != 0) {
    reading.verdict = SuperblockVerdict::newer_version;
    reading.problem = "it uses features (bits " + number(unknown) +
                      ") that this program does not know; use a newer Ashlar";
    return reading;
  }
  if (const std::string problem = superblock_problem(s); !problem.empty()) {
    reading.problem = "a superblock makes no sense: " + problem;
    return reading;
  }
  reading.verdict = SuperblockVerdict::valid;
  return reading;
}

DeviceLabel make_label(const Uuid& pool, uint32_t index, const DeviceRow& row) noexcept {
  DeviceLabel label;
  label.magic = label_magic;
  label.version = format_version;
  label.bytes = sizeof label;
  label.pool = pool;
  label.device = row.uuid;
  label.device_index = index;
  label.chunk_bytes = limits::chunk_bytes;
  label.first_chunk = row.first_chunk;
  label.chunk_count = row.chunk_count;
  label.crc = crc32c(&label, offsetof(DeviceLabel, crc));
  return label;
}

std::optional<DeviceLabel> read_label(std::span<const std::byte> block) noexcept {
  const auto label = read_at<DeviceLabel>(block);
  if (label.magic != label_magic || label.crc != crc32c(&label, offsetof(DeviceLabel, crc))) {
    return std::nullopt;
  }
  return label;
}

std::string label_problem(const DeviceLabel& label, const Uuid& pool, uint32_t index,
                          const DeviceRow& row) {
  if (label.pool != pool) return "it belongs to pool " + to_string(label.pool);
  if (label.device != row.uuid) return "it is device " + to_string(label.device);
  if (label.version > format_version) return "label version " + number(label.version) + " is newer";
  if (label.device_index != index || label.chunk_bytes != limits::chunk_bytes ||
      label.first_chunk != row.first_chunk || label.chunk_count != row.chunk_count) {
    return "its label says index " + number(label.device_index) + ", chunks from " +
           number(label.first_chunk) + ", " + number(label.chunk_count) +
           " of them; the pool says index " + number(index) + ", from " +
           number(row.first_chunk) + ", " + number(row.chunk_count);
  }
  return {};
}

uint64_t default_journal_bytes(uint64_t pool_bytes) noexcept {
  return round_down(std::clamp(pool_bytes / 256, limits::default_min_journal_bytes,
                               limits::default_max_journal_bytes),
                    limits::chunk_bytes);
}

}  // namespace ashlar::store
