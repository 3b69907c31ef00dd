// VolumeImpl: a layer open for I/O, and the fast path.
//
// Reads, and writes of blocks that the top layer holds, run wholly on the reactor that submitted
// them: look up, cut into runs of contiguous device ranges, submit. No lock, no message, no
// allocation. What needs a change of mapping, a page from the device or a commit goes to the owner.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "store/io_state.h"
#include "store/layers.h"
#include "store/pool.h"

namespace ashlar::store {

// What the blocks of one chunk of a volume are, seen through all its layers.
struct ChunkView {
  enum class State : uint8_t {
    known,
    unloaded,  // The top layer's page is not in memory.
    unseen,    // There is no view of the top layer's parent.
  };
  State state = State::known;
  // Per block: the device block that holds it, or 0: it reads as zeroes.
  uint64_t device_block[limits::blocks_per_chunk];
  uint16_t top_data = 0;  // Blocks that the top layer itself holds.
  // Otherwise the layer whose page (`found`) or whose view is missing.
  Layer* layer = nullptr;
  PageFound found;
};

// Looks up the blocks `wanted` (a mask) of chunk `index`. Any thread, inside an epoch.
void view_chunk(Layer& top, uint64_t index, uint16_t wanted, ChunkView& view) noexcept;

// As far as the top layer itself holds them: what an overwrite has to know. Never `unseen`.
void view_top(Layer& top, uint64_t index, uint16_t wanted, ChunkView& view) noexcept;

class VolumeImpl final : public Volume {
 public:
  VolumeImpl(PoolImpl& pool, Layer& layer, bool read_only);
  ~VolumeImpl() override;

  uint32_t block_size_bytes() const noexcept override { return block_bytes_; }
  uint64_t size_bytes() const noexcept override {
    return size_bytes_.load(std::memory_order_acquire);
  }
  void submit(uint32_t reactor_index, BlockIo& io) noexcept override;
  // in_place.cc
  bool lend(uint32_t reactor_index, uint64_t offset_bytes, uint64_t length_bytes,
            Loan& loan) noexcept override;
  void end_loan(uint32_t reactor_index, Loan& loan) noexcept override;
  bool write_in_place(uint32_t reactor_index, uint64_t offset_bytes,
                      std::span<const std::byte> bytes) noexcept override;
  Uuid layer() const noexcept override { return top().uuid; }
  bool read_only() const noexcept override { return read_only_; }

  // The layer that is served. It changes with a snapshot: a reader holds what it found for its
  // epoch.
  Layer& top() const noexcept { return *top_.load(std::memory_order_acquire); }
  // The owner: from now on everything begins at this layer.
  void set_top(Layer& layer) noexcept;
  PoolImpl& pool() noexcept { return pool_; }
  // The owner: a resize is durable.
  void set_size(uint64_t bytes) noexcept { size_bytes_.store(bytes, std::memory_order_release); }
  // The owner: no new commands; tells when none is under way on any port.
  void close(std::function<void()> drained);
  // On the command's own port: answers it.
  void finish(IoState& state) noexcept;
  // The same where it may still be inside submit().
  void end_here(IoState& state) noexcept;

 private:
  friend class OwnerIo;
  struct alignas(64) PortState : Task, WrittenInPlace {
    VolumeImpl* volume = nullptr;
    uint16_t port = 0;
    uint32_t in_flight = 0;
    bool draining = false;
    bool drained = false;
  };

  static void advance_from_queue(IoState& state) noexcept;
  void advance(IoState& state) noexcept;
  bool step(IoState& state, PortContext& port) noexcept;
  bool direct(const IoState& state) const noexcept;
  void submit_flush(IoState& state, PortContext& port) noexcept;
  void run_done(RunOp& run) noexcept;
  void end_fast(IoState& state) noexcept;
  void drained_on(PortState& port) noexcept;
  bool in_memory() const noexcept;
  void begin_written(PortState& state, PortContext& port) noexcept;
  static void settle_written(WrittenInPlace& written) noexcept;
  void left_flight(PortState& port) noexcept;
  void heed_failures(IoState& state, uint32_t failed) noexcept;

  PoolImpl& pool_;
  std::atomic<Layer*> top_;
  const bool read_only_;
  const uint32_t block_bytes_;
  std::atomic<uint64_t> size_bytes_;
  std::atomic<bool> closing_{false};
  std::atomic<uint32_t> failures_told_;  // Failed devices that a flush has told of, or never need.
  std::unique_ptr<PortState[]> ports_;
  size_t port_count_;
  size_t drained_ports_ = 0;
  std::function<void()> drained_;
  // Owner: commands of a 512-byte volume that hold or await a range of blocks, oldest first.
  IoState* locks_ = nullptr;
};

}  // namespace ashlar::store
