#include "store/leaf_cursor.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "store/page_tree.h"

namespace ashlar::store {

LeafCursor::LeafCursor(Device& device, const Superblock& superblock, PageIdentity root, PageRef ref)
    : device_(device),
      pool_(superblock.pool),
      total_chunks_(superblock.total_chunks),
      root_(root),
      ref_(ref) {
  CHECK(root.level < limits::max_tree_levels);
}

void LeafCursor::next(uint64_t index, std::function<void(const Leaf&)> done) {
  wanted_ = index;
  done_ = std::move(done);
  walk();
}

void LeafCursor::tell(const Leaf& leaf) {
  const auto told = std::move(done_);
  told(leaf);
}

void LeafCursor::lost(uint8_t level, uint64_t index, std::string problem) {
  const uint64_t leaves = PageTree::leaves_under(level);
  const uint64_t end = (index + 1) * leaves;
  tell({Leaf::Kind::lost, wanted_, nullptr, std::move(problem), end - wanted_});
}

// From the root down, as far as pages are known; a page that is not is read, and then once more.
void LeafCursor::walk() {
  for (;;) {
    if (ref_.none() || wanted_ >= PageTree::leaves_under(root_.level)) return tell({});
    PageRef ref = ref_;
    bool moved = false;
    for (uint8_t level = root_.level; !moved; --level) {
      const uint64_t index = wanted_ / PageTree::leaves_under(level);
      Page& page = pages_[level];
      if (!page.known || page.index != index || !(page.ref == ref)) return read(level, index, ref);
      if (!page.problem.empty()) return lost(level, index, page.problem);
      if (level == 0) return tell({Leaf::Kind::present, wanted_, &page.words, {}, 0});
      const uint64_t below = PageTree::leaves_under(level - 1u);
      auto slot = static_cast<uint32_t>(wanted_ / below % limits::words_per_page);
      const uint32_t first = slot;
      while (slot < limits::words_per_page && page.words[slot] == 0) ++slot;
      if (slot != first) wanted_ = (index * limits::words_per_page + slot) * below;
      if (slot == limits::words_per_page) {
        moved = true;  // Nothing more under this page.
        continue;
      }
      ref = PageRef{page.words[slot]};
      if ((ref.word & 1) == 0) {
        return lost(static_cast<uint8_t>(level - 1), index * limits::words_per_page + slot,
                    "what refers to it is no page reference");
      }
    }
  }
}

void LeafCursor::read(uint8_t level, uint64_t index, PageRef ref) {
  Page& page = pages_[level];
  page.known = true;
  page.index = index;
  page.ref = ref;
  page.problem.clear();
  if (ref.page() / limits::pages_per_chunk >= total_chunks_) {
    page.problem = "lies beyond the pool's end";
    return walk();
  }
  cold_read(device_, ref.page() * limits::page_bytes, buffer_.span(),
            [self = shared_from_this(), level, index, ref](int result) {
              Page& into = self->pages_[level];
              const PageIdentity identity{self->root_.kind, level, self->root_.tree, index};
              into.problem = result != 0
                                 ? error_from_errno(-result, "reading it").message
                                 : verify_page(self->buffer_.span(), self->pool_, identity, ref);
              for (uint32_t i = 0; i < limits::words_per_page; ++i) {
                into.words[i] = read_at<uint64_t>(self->buffer_.span(),
                                                  limits::page_header_bytes + i * 8ull);
              }
              self->walk();
            });
}

}  // namespace ashlar::store
