// World: a whole target over a real pool on a memory device, all on this thread: one loop, whose
// clock moves a microsecond a turn.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "device/memory_device.h"
#include "peer.h"
#include "plain/plain_memory.h"
#include "sim/sim_world.h"
#include "store/pool.h"
#include "target/meter.h"
#include "target/target.h"
#include "wire.h"

namespace ashlar::bench {

// What is done of a volume's I/O besides it.
enum class Metered : uint8_t {
  no,       // Nothing.
  counted,  // What every volume of a daemon has.
  limited,  // By a limit that keeps nothing waiting.
};

struct WorldOptions {
  uint32_t volumes = 1;  // NSIDs 1 to this.
  uint64_t volume_bytes = 64 << 20;
  uint64_t mapped_bytes = 64 << 20;  // From the start of each.
  // Taken one after the other; between two a share of the blocks is written, here and there, so
  // that a read finds its block in any of them.
  uint32_t snapshots = 0;
  Metered metered = Metered::counted;
  bool plain = false;  // Namespaces are pieces of memory without a map; no snapshots of those.
};

class World final : public target::TargetEvents {
 public:
  explicit World(const WorldOptions& options);
  ~World() override;

  // A new association of this many I/O queues; they are added to `peers`.
  void connect(uint16_t io_queues, bool digests, uint16_t entries = queue_entries);
  void snapshot();  // Of the first volume.

  // Runs turns of the target until it has nothing to do.
  void settle();
  void settle_until(const std::function<bool()>& done);

  const WorldOptions options;
  std::vector<std::unique_ptr<Peer>> peers;  // I/O queues.

 private:
  bool connect_requested(target::ConnectRequest request) noexcept override;
  bool command_requested(target::CommandRequest) noexcept override { return false; }
  void controller_ended(target::ControllerEnded) noexcept override {}

  void make_pool();
  void make_volumes();
  void write(uint32_t nsid, uint64_t block, uint64_t bytes);
  void commit(std::vector<store::Change> changes);
  std::unique_ptr<Peer> join(uint16_t qid, uint16_t cntlid, bool digests, uint16_t entries);

  sim::SimWorld sim_{1, 1};
  Wire wire_{sim_.loop(0)};
  ReactorCounters counters_;
  BufferPool buffers_{sim_.loop(0), counters_};
  std::unique_ptr<MemoryDevice> device_;
  std::unique_ptr<store::Pool> pool_;
  std::vector<store::Volume*> volumes_;
  std::vector<std::unique_ptr<PlainMemory>> plain_;
  std::vector<BlockBackend*> backends_;  // By NSID - 1.
  std::shared_ptr<target::Meter> tenant_ = std::make_shared<target::Meter>(1, nullptr);
  std::vector<std::shared_ptr<target::Meter>> meters_;  // Likewise; empty: none.
  std::vector<std::byte> scratch_;
  std::unique_ptr<target::Target> target_;
  std::vector<std::unique_ptr<Peer>> admins_;
  uint64_t layers_ = 0;
  std::atomic<uint16_t> controllers_{0};
};

}  // namespace ashlar::bench
