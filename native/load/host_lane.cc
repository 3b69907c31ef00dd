#include "load/host_lane.h"

#include <cstdio>
#include <utility>

#include "base/check.h"
#include "nvme/nvm.h"

namespace ashlar::load {

namespace {

class HostLane final : public Lane {
 public:
  HostLane(host::Queue& queue, uint32_t depth, uint32_t block_bytes)
      : queue_(queue), block_bytes_(block_bytes), slots_(depth) {
    for (Slot& slot : slots_) {
      slot.context = &slot;
      slot.done = [](host::Command& command) noexcept {
        static_cast<Slot*>(command.context)->told();
      };
    }
  }

  Loop& loop() noexcept override { return queue_.loop(); }
  uint32_t number() const noexcept override { return queue_.qid(); }

  void submit(LoadIo& io) noexcept override {
    Slot& slot = slots_[io.slot];
    slot.io = &io;
    const uint64_t lba = io.offset_bytes / block_bytes_;
    nvme::Sqe& sqe = slot.sqe;
    sqe = {};
    sqe.opcode = static_cast<uint8_t>(io.read ? nvme::IoOpcode::read : nvme::IoOpcode::write);
    sqe.nsid = io.nsid;
    sqe.cdw10 = static_cast<uint32_t>(lba);
    sqe.cdw11 = static_cast<uint32_t>(lba >> 32);
    sqe.cdw12 = static_cast<uint32_t>(io.memory.iov_len / block_bytes_ - 1);
    const std::span<const iovec> memory(&io.memory, 1);
    slot.data_in = io.read ? memory : std::span<const iovec>();
    slot.data_out = io.read ? std::span<const iovec>() : memory;
    queue_.submit(slot);
  }

  std::string describe(const LoadIo& io) const override {
    if (io.status == 0) return "answered well, with less data than was asked for";
    char text[32];
    std::snprintf(text, sizeof text, "status %03xh", io.status);
    return text;
  }

 private:
  struct Slot : host::Command {
    LoadIo* io = nullptr;
    void told() noexcept {
      switch (fate) {
        case host::Fate::pending: CHECK(false);
        case host::Fate::completed:
          // A read that is answered well and came short is no success.
          io->fate = status() == 0 && (!io->read || data_in_bytes == io->memory.iov_len)
                         ? IoFate::done
                         : IoFate::failed;
          break;
        case host::Fate::lost: io->fate = IoFate::lost; break;
        case host::Fate::never_sent: io->fate = IoFate::never_sent; break;
      }
      io->status = fate == host::Fate::completed ? status() : 0;
      io->done(*io);
    }
  };

  host::Queue& queue_;
  const uint32_t block_bytes_;
  std::vector<Slot> slots_;
};

}  // namespace

Result<std::unique_ptr<Load>> load_of(host::Association& association, const LoadOptions& options) {
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::invalid_argument, std::move(message)};
  };
  if (options.queues == 0 || options.queues > association.io_queues()) {
    return invalid("load on " + std::to_string(options.queues) + " queues; connected are " +
                   std::to_string(association.io_queues()));
  }
  if (options.depth == 0 || options.depth >= association.queue_entries()) {
    return invalid("load of depth " + std::to_string(options.depth) + "; the queue takes 1 to " +
                   std::to_string(association.queue_entries() - 1));
  }
  const uint32_t most = association.facts().max_transfer_bytes;
  if (most != 0 && options.io_bytes > most) {
    return invalid("an I/O of " + std::to_string(options.io_bytes) +
                   " bytes; the controller takes at most " + std::to_string(most));
  }
  if (options.block_bytes < 512 ||
      options.io_bytes / options.block_bytes > nvme::max_blocks_per_command) {
    return invalid("an I/O of " + std::to_string(options.io_bytes) +
                   " bytes is not 1 to 65536 blocks of " + std::to_string(options.block_bytes));
  }
  std::vector<std::unique_ptr<Lane>> lanes;
  for (uint32_t index = 0; index < options.queues; ++index) {
    lanes.push_back(std::make_unique<HostLane>(association.queue(index + 1), options.depth,
                                               options.block_bytes));
  }
  return Load::create(std::move(lanes), association.home(), options);
}

}  // namespace ashlar::load
