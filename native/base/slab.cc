#include "base/slab.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "base/bytes.h"
#include "base/check.h"

namespace ashlar {

namespace {

constexpr size_t region_bytes = size_t{2} << 20;
constexpr size_t cell_alignment = 64;

#ifdef __SANITIZE_ADDRESS__
constexpr bool on_heap = true;
#else
constexpr bool on_heap = false;
#endif

// Aligned to its size, so that one huge page can hold it.
std::byte* map_region() noexcept {
  void* const memory = mmap(nullptr, 2 * region_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  auto* const begin = static_cast<std::byte*>(memory);
  const auto address = reinterpret_cast<uintptr_t>(begin);
  std::byte* const region = begin + (round_up(address, region_bytes) - address);
  if (region != begin) munmap(begin, static_cast<size_t>(region - begin));
  std::byte* const end = region + region_bytes;
  std::byte* const mapped_end = begin + 2 * region_bytes;
  if (end != mapped_end) munmap(end, static_cast<size_t>(mapped_end - end));
  (void)madvise(region, region_bytes, MADV_HUGEPAGE);
  return region;
}

}  // namespace

Slab::Slab(size_t cell_bytes) noexcept : cell_bytes_(round_up(cell_bytes, cell_alignment)) {
  CHECK(cell_bytes >= sizeof(Free) && cell_bytes_ <= region_bytes);
}

void* Slab::take() {
  if (on_heap) {
    void* const cell = std::aligned_alloc(cell_alignment, cell_bytes_);
    CHECK(cell != nullptr);
    return cell;
  }
  const std::lock_guard lock(mutex_);
  ++in_use_;
  if (free_ != nullptr) {
    Free* const cell = free_;
    free_ = cell->next;
    return cell;
  }
  if (fresh_cells_ == 0) {
    regions_.push_back(map_region());
    fresh_ = static_cast<std::byte*>(regions_.back());
    fresh_cells_ = region_bytes / cell_bytes_;
  }
  std::byte* const cell = fresh_;
  fresh_ += cell_bytes_;
  --fresh_cells_;
  return cell;
}

void Slab::give(void* cell) noexcept {
  if (on_heap) {
    std::free(cell);
    return;
  }
  if (cell == nullptr) return;
  const std::lock_guard lock(mutex_);
  if (--in_use_ > 0) {
    free_ = new (cell) Free{free_};
    return;
  }
  // All but one, which is cut anew.
  for (; regions_.size() > 1; regions_.pop_back()) munmap(regions_.back(), region_bytes);
  free_ = nullptr;
  fresh_ = static_cast<std::byte*>(regions_.front());
  fresh_cells_ = region_bytes / cell_bytes_;
}

}  // namespace ashlar
