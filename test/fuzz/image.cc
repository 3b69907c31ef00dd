// Metadata that lies: words of any tree, fields of layer records and of superblocks, with every
// checksum above made right again; and bytes that just changed.
#include "store_world.h"

namespace ashlar::fuzz {
namespace {

using store::PageHeader;
using store::PageRef;
using store::Superblock;
using store::TreeKind;
namespace limits = store::limits;

class Editor {
 public:
  explicit Editor(sim::DiskImage& image) : image_(image) {}

  Superblock superblock(uint32_t copy) const {
    std::byte block[4096];
    image_.read(store::superblock_offsets[copy], block);
    return read_at<Superblock>(block);
  }
  uint32_t newest() const { return superblock(0).generation > superblock(1).generation ? 0 : 1; }
  void put(Superblock superblock, uint32_t copy) {
    store::seal_superblock(superblock);
    image_.write(store::superblock_offsets[copy], std::as_bytes(std::span(&superblock, 1)));
  }
  // Changes one word of a tree, if the way to it is there, and all pages above.
  using Change = std::function<uint64_t(uint64_t)>;
  void change_word(TreeKind kind, uint64_t word, uint32_t slot, const Change& change) {
    PageRef ref;
    uint64_t level = 0;
    if (kind == TreeKind::map) {
      ref = PageRef{word_of_record(slot, offsetof(store::LayerRecord, map_root))};
      level = word_of_record(slot, 16) >> 40 & 0xff;  // parent 32, state 8, map_level 8
    } else {
      const store::TreeRoot root =
          superblock(newest()).roots[static_cast<size_t>(kind) - 1];
      ref = PageRef{root.ref};
      level = root.level;
    }
    const PageRef changed = rewrite(ref, kind, static_cast<uint8_t>(level), word, change);
    if (changed.none()) return;
    if (kind == TreeKind::map) {
      change_word(TreeKind::layers, record_word(slot) + offsetof(store::LayerRecord, map_root) / 8,
                  0, [&](uint64_t) { return changed.word; });
      return;
    }
    Superblock s = superblock(newest());
    s.roots[static_cast<size_t>(kind) - 1].ref = changed.word;
    put(s, newest());
  }
  static uint64_t record_word(uint32_t slot) {
    return slot / limits::layer_records_per_page * limits::words_per_page +
           slot % limits::layer_records_per_page * limits::layer_record_words;
  }
  void flip(uint64_t offset, uint8_t mask) {
    if (offset >= image_.size_bytes()) return;
    std::byte byte[1];
    image_.read(offset, byte);
    byte[0] ^= std::byte{mask};
    image_.write(offset, byte);
  }

 private:
  uint64_t word_of_record(uint32_t slot, size_t offset) {
    uint64_t found = 0;
    const PageRef root{superblock(newest()).roots[2].ref};
    static_cast<void>(rewrite(root, TreeKind::layers,
                              static_cast<uint8_t>(superblock(newest()).roots[2].level),
                              record_word(slot) + offset / 8, [&](uint64_t word) {
                                found = word;
                                return word;
                              }));
    return found;
  }
  // The reference to the page as it is afterwards; none: it is not there.
  PageRef rewrite(PageRef ref, TreeKind kind, uint8_t level, uint64_t word, const Change& change) {
    if (ref.none() || level > limits::max_tree_levels) return {};
    if (ref.page() >= image_.size_bytes() / 4096) return {};
    std::byte block[4096];
    image_.read(ref.page() * 4096, block);
    const auto header = read_at<PageHeader>(block);
    if (header.magic != store::page_magic) return {};
    uint64_t index = word / limits::words_per_page;
    uint64_t at = word % limits::words_per_page;
    for (uint8_t i = 0; i < level; ++i) {
      at = index % limits::words_per_page;
      index /= limits::words_per_page;
    }
    const size_t offset = limits::page_header_bytes + at * 8;
    const auto old = read_at<uint64_t>(block, offset);
    uint64_t now = 0;
    if (level == 0) {
      now = change(old);
    } else {
      now = rewrite(PageRef{old}, kind, static_cast<uint8_t>(level - 1), word, change).word;
      if (now == 0) return {};
    }
    write_at(std::span<std::byte>(block), offset, now);
    const uint32_t crc = store::seal_page(block, header.pool, {kind, level, header.tree, index},
                                          ref.page(), header.generation);
    image_.write(ref.page() * 4096, block);
    return PageRef::make(ref.page(), crc);
  }

  sim::DiskImage& image_;
};

uint64_t changed(Input& input, uint64_t old) {
  switch (input.below(6)) {
    case 0: return input.edgy(64);
    case 1: return old + input.u8();
    case 2: return old - input.u8();
    case 3: return old ^ uint64_t{1} << input.below(64);
    case 4: return (old & ~uint64_t{0xffffffff}) | input.edgy(32);
    default: return (old & 0xffffffff) | input.edgy(32) << 32;
  }
}

void edit(Input& input, Editor& editor) {
  switch (input.below(6)) {
    case 0: {
      const auto kind = TreeKind{static_cast<uint8_t>(1 + input.below(5))};
      const uint64_t word = input.flag() ? input.edgy(20) : input.u8();
      editor.change_word(kind, word, input.below(layer_count + 1),
                         [&](uint64_t old) { return changed(input, old); });
      break;
    }
    case 1: {
      const uint64_t word = Editor::record_word(input.below(6)) + input.below(14);
      editor.change_word(TreeKind::layers, word, 0,
                         [&](uint64_t old) { return changed(input, old); });
      break;
    }
    case 2: {
      const uint32_t copy = input.flag() ? editor.newest() : 1 - editor.newest();
      Superblock s = editor.superblock(copy);
      const size_t offset = input.flag() ? input.below(34) * 8 : 272 + input.below(160) * 8;
      auto* at = reinterpret_cast<std::byte*>(&s) + offset;
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      word = changed(input, word);
      std::memcpy(at, &word, sizeof word);
      editor.put(s, copy);
      break;
    }
    case 3: editor.flip(uint64_t{input.u16()} << 8 | input.u8(), input.u8()); break;
    case 4:
    default: {
      const uint64_t word = input.below(64);
      editor.change_word(TreeKind::map, word, input.below(layer_count + 1),
                         [&](uint64_t old) { return changed(input, old); });
      break;
    }
  }
}

}  // namespace
}  // namespace ashlar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace ashlar::fuzz;
  Input input(bytes, size);
  ashlar::sim::DiskImage image = used_image();
  Editor editor(image);
  for (int i = 0; i < 16 && !input.empty(); ++i) edit(input, editor);
  look_and_use(image);
  return 0;
}
