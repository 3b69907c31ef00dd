// Damages pools: flips bytes of pages, or changes words and makes every checksum above right again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pool_fixture.h"
#include "store/layers.h"
#include "store/repair.h"

namespace ashlar::store::testing {

class ImageEditor {
 public:
  explicit ImageEditor(sim::DiskImage& image) : image_(image) {}

  Superblock superblock(uint32_t copy) const {
    AlignedBuffer block(4096);
    image_.read(superblock_offsets[copy], block.span());
    return read_at<Superblock>(block.span());
  }
  uint32_t newest() const { return superblock(0).generation > superblock(1).generation ? 0 : 1; }
  Superblock superblock() const { return superblock(newest()); }
  void put(Superblock superblock, uint32_t copy) {
    seal_superblock(superblock);
    image_.write(superblock_offsets[copy], std::as_bytes(std::span<Superblock>(&superblock, 1)));
  }
  void flip(uint64_t offset) {
    std::byte byte[1];
    image_.read(offset, byte);
    byte[0] ^= std::byte{0x10};
    image_.write(offset, byte);
  }

  // The page that leads to that word at that level; slot: of a layer's map.
  uint64_t page(TreeKind kind, uint64_t word, uint8_t level = 0, uint64_t slot = 0) const {
    return path(kind, word, slot).at(level).page();
  }
  uint64_t word(TreeKind kind, uint64_t word, uint64_t slot = 0) const {
    AlignedBuffer block(4096);
    image_.read(page(kind, word, 0, slot) * 4096, block.span());
    return read_at<uint64_t>(block.span(), 64 + word % limits::words_per_page * 8);
  }
  void set_word(TreeKind kind, uint64_t word, uint64_t value, uint64_t slot = 0) {
    const std::map<uint8_t, PageRef> pages = path(kind, word, slot);
    uint64_t index = word;
    PageRef ref;
    for (const auto& [level, old] : pages) {
      AlignedBuffer block(4096);
      image_.read(old.page() * 4096, block.span());
      const auto header = read_at<PageHeader>(block.span());
      const uint64_t written = level == 0 ? value : ref.word;
      write_at(block.span(), 64 + index % limits::words_per_page * 8, written);
      index /= limits::words_per_page;
      const uint32_t crc = seal_page(block.span(), header.pool, {kind, level, header.tree, index},
                                     old.page(), header.generation);
      ref = PageRef::make(old.page(), crc);
      image_.write(old.page() * 4096, block.span());
    }
    if (kind == TreeKind::map) {
      return set_word(TreeKind::layers, record_word(slot) + offsetof(LayerRecord, map_root) / 8,
                      ref.word);
    }
    Superblock s = superblock();
    s.roots[static_cast<size_t>(kind) - 1].ref = ref.word;
    put(s, newest());
  }

  static uint64_t record_word(uint64_t slot) {
    return layer_record_leaf(slot) * limits::words_per_page + layer_record_word(slot);
  }
  LayerRecord record(uint64_t slot) const {
    uint64_t words[limits::layer_record_words];
    for (uint32_t i = 0; i < limits::layer_record_words; ++i) {
      words[i] = word(TreeKind::layers, record_word(slot) + i);
    }
    LayerRecord record;
    std::memcpy(static_cast<void*>(&record), words, sizeof record);
    return record;
  }
  // Adds to a figure of the record.
  void add(uint64_t slot, size_t offset, uint64_t amount) {
    const uint64_t at = record_word(slot) + offset / 8;
    set_word(TreeKind::layers, at, word(TreeKind::layers, at) + amount);
  }
  uint64_t slot_of(uint64_t number) const {
    for (uint64_t slot = 0; slot < superblock().layer_slots; ++slot) {
      if (record(slot).uuid == uuid_of(number)) return slot;
    }
    CHECK(false);
    return 0;
  }

 private:
  // From the leaf up.
  std::map<uint8_t, PageRef> path(TreeKind kind, uint64_t word, uint64_t slot) const {
    PageRef ref;
    uint8_t level;
    if (kind == TreeKind::map) {
      const LayerRecord layer = record(slot);
      ref = PageRef{layer.map_root};
      level = layer.map_level;
    } else {
      const TreeRoot root = superblock().roots[static_cast<size_t>(kind) - 1];
      ref = PageRef{root.ref};
      level = static_cast<uint8_t>(root.level);
    }
    std::map<uint8_t, PageRef> pages;
    for (;; --level) {
      CHECK(!ref.none());
      pages[level] = ref;
      if (level == 0) return pages;
      AlignedBuffer block(4096);
      image_.read(ref.page() * 4096, block.span());
      uint64_t at = word / limits::words_per_page;
      for (uint8_t i = 1; i < level; ++i) at /= limits::words_per_page;
      ref = PageRef{read_at<uint64_t>(block.span(), 64 + at % limits::words_per_page * 8)};
    }
  }

  sim::DiskImage& image_;
};

inline bool same(const sim::DiskImage& a, const sim::DiskImage& b) {
  bool equal = a.size_bytes() == b.size_bytes();
  const auto compare = [&](uint64_t block) {
    AlignedBuffer left(4096), right(4096);
    a.read(block * 4096, left.span());
    b.read(block * 4096, right.span());
    equal = equal && std::memcmp(left.data(), right.data(), 4096) == 0;
  };
  a.for_each_block(compare);
  b.for_each_block(compare);
  return equal;
}

// repair_pool() of the disk's image, in a world of its own.
inline Result<RepairReport> repair(sim::SimDisk& disk, bool dry_run) {
  sim::SimWorld world(1, 1);
  sim::SimDevice device(disk, world.loop(0));
  std::optional<Result<RepairReport>> answer;
  repair_pool(device, dry_run, [&](Result<RepairReport> report) { answer = std::move(report); });
  CHECK(world.run_until([&] { return answer.has_value(); }));
  return *answer;
}

inline std::string text_of(const CheckReport& report) {
  std::string text;
  for (const auto& each : report.problems) {
    text += each.where + ": " + each.what + (each.repairable ? "\n" : " (lost)\n");
  }
  return text;
}

}  // namespace ashlar::store::testing
