// Devices: the devices of a pool, their rows, and who may be asked for what.
//
// Device 0 holds all metadata and is the pool: when it fails, the pool has failed. Every other one
// holds data only and begins with its label. It may be missing (nobody has attached it since the
// pool was opened) or have failed (a flush of it did): then its chunks read as media errors and
// none is taken, and everything else goes on.
//
// A failed flush of device k is known to all reactors before that flush ends (PoolFailures). What k
// acknowledged and never flushed may be lost, so
//   - the commit under way, or the next one, says so in the journal, before or with the first
//     record that rests on the flush which k did not take part in;
//   - every flush, and every durable write, that was under way then answers write_error, and so
//     does the first flush after that of each open volume (VolumeImpl::heed_failures).
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/pool_device.h"
#include "store/cold_io.h"
#include "store/pool.h"
#include "store/records.h"

namespace ashlar::store {

static_assert(ashlar::limits::pool_members == limits::max_devices);

class PoolImpl;

class Devices {
 public:
  // Puts a PoolDevice in the place of each port's channel.
  explicit Devices(PoolImpl& pool);
  ~Devices();

  // Any thread. Bit k: device k has failed.
  uint32_t failed() const noexcept { return failures_.failed(); }
  // Any thread: a failure is not durable yet. Until it is, no flush is answered without a commit.
  bool failures_pending() const noexcept {
    return failures_.failed() != durable_failures_.load(std::memory_order_seq_cst);
  }
  // Any thread: 512-byte blocks may be read where they are, without a bounce buffer.
  bool small_direct() const noexcept { return small_direct_.load(std::memory_order_acquire); }

  // The owner's thread from here on.
  // At create and open, before any I/O of others: the rows. All but the first are missing.
  void load(const Superblock& superblock);
  // After the allocator has loaded.
  void divide_chunks();
  [[nodiscard]] bool replay_add(const Record& record);
  [[nodiscard]] bool replay_state(const Record& record);
  // Checkpoint, at the freeze.
  void fill(Superblock& next) const;
  // Likewise later, about failures that the commit sealed with the freeze tells of.
  void fill_states(Superblock& next) const;

  void add(std::vector<Device*> channels, std::function<void(Result<PoolDeviceStatus>)> done);
  void attach(std::vector<Device*> channels, std::function<void(Result<PoolDeviceStatus>)> done);
  void on_failed(std::function<void(const Uuid&, const std::string&)> told) {
    failed_told_ = std::move(told);
  }

  // What a port has met becomes known here: no chunk is taken there any more, and a record is
  // appended for the next commit.
  void notice_failures();
  // For the commit whose device flush has just ended: its records may rest on a flush that a failed
  // device did not take part in. Adds what must be durable with them. False: nothing to add.
  bool add_failures(std::vector<std::byte>& records);
  // That commit is durable.
  void failures_durable() noexcept {
    durable_failures_.store(sealed_failures_, std::memory_order_seq_cst);
  }

  uint32_t count() const noexcept { return static_cast<uint32_t>(rows_.size()); }
  uint64_t first_device_chunks() const noexcept { return rows_[0].chunk_count; }
  // Chunks of labels: the first of every device but one.
  uint64_t label_chunks() const noexcept { return rows_.size() - 1; }
  uint64_t size_bytes() const noexcept;
  uint32_t atomic_write_bytes() const noexcept;
  std::vector<PoolDeviceStatus> status() const;
  // Reads the labels of the devices that are there.
  void check_labels(std::function<void(std::vector<CheckReport::Problem>)> done);
  bool idle() const noexcept {
    return joining_ == nullptr && !failure_posted_.load(std::memory_order_seq_cst);
  }

 private:
  // A device that is being added or attached; one at a time, the others wait.
  struct Joining {
    bool add = false;
    std::vector<Device*> channels;
    std::function<void(Result<PoolDeviceStatus>)> done;
    uint32_t index = 0;
    DeviceRow row;
    AlignedBuffer block{limits::block_bytes};
    uint32_t tries = 0;
  };
  struct PortTask : Task {
    Devices* devices = nullptr;
    uint32_t port = 0;
  };
  struct FailureTask : Task {
    Devices* devices = nullptr;
  };
  struct LabelCheck;

  void join(std::unique_ptr<Joining> joining);
  void begin();
  void finish(Result<PoolDeviceStatus> result);
  void refuse(ErrorCode code, std::string message) { finish(Error{code, std::move(message)}); }
  // Null where nothing stands against it now.
  std::optional<Error> obstacle() const;
  void judge_size();
  void read_block(uint32_t copy);
  void judge_new(const SuperblockReading& reading, uint32_t copy);
  void write_label();
  void journal();
  void judge_attached();
  void tell_ports();
  void tell_port(PortTask& task) noexcept;
  void joined();
  const DeviceRow* row_of(const Uuid& uuid) const;
  void known_failed(uint32_t index);
  void push_row(const DeviceRow& row, bool missing);
  PoolDeviceStatus status_of(uint32_t index) const;
  void check_next_label(const std::shared_ptr<LabelCheck>& check);

  PoolImpl& pool_;
  PoolFailures failures_;
  std::vector<std::unique_ptr<PoolDevice>> channels_;  // By port.
  std::vector<DeviceRow> rows_;
  std::vector<bool> there_;  // By index: attached.
  std::atomic<bool> small_direct_{true};
  uint32_t noticed_ = 0;  // Failures that the owner knows.
  uint32_t unsaved_ = 0;  // Of these, those that no commit has told of yet.
  uint32_t sealed_failures_ = 0;  // Those that the commit under way, or an earlier one, tells of.
  std::atomic<uint32_t> durable_failures_{0};
  std::unique_ptr<Joining> joining_;
  std::deque<std::unique_ptr<Joining>> waiting_;
  std::vector<PortTask> port_tasks_;
  uint32_t ports_told_ = 0;
  FailureTask failure_task_;
  std::atomic<bool> failure_posted_{false};
  std::function<void(const Uuid&, const std::string&)> failed_told_;
};

}  // namespace ashlar::store
