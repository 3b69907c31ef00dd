// Discarder: gives the room of freed chunks back to what is under the pool, and only then to the
// allocator. A sparse pool file shrinks when hosts trim, and a chunk that is taken again has a
// place under a full disk like any other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/device.h"
#include "reactor/loop.h"

namespace ashlar::store {

class PoolImpl;

class Discarder {
 public:
  explicit Discarder(PoolImpl& pool);

  // Nobody needs the chunk's bytes any more, now or after a crash. It stays busy until its discard
  // has ended, however that ends: it is a hint.
  void add(uint32_t chunk);
  // Begins what add() collected.
  void start() noexcept;
  void stop() noexcept { stopped_ = true; }  // What has not begun is left as it is.
  size_t pending() const noexcept { return waiting_.size() + under_way_; }
  // Nothing is under way; otherwise `then` is deferred when that is so.
  bool quiet(Task& then) noexcept;

 private:
  struct Run {
    DeviceOp op;
    Discarder* discarder = nullptr;
    uint32_t first = 0;
    uint32_t count = 0;  // 0: not in use.
  };
  void ended(Run& run) noexcept;

  PoolImpl& pool_;
  std::vector<uint32_t> waiting_;
  bool sorted_ = true;
  bool stopped_ = false;
  size_t under_way_ = 0;  // Chunks.
  Task* when_quiet_ = nullptr;
  std::array<Run, 4> runs_;
};

}  // namespace ashlar::store
