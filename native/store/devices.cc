#include "store/devices.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "store/pool_impl.h"

namespace ashlar::store {

namespace {

// Adding a device dirties the bitmap's path to its first chunk, and may raise the bitmap's root.
constexpr int64_t pages_to_add = 16;
constexpr uint32_t most_tries = 256;

std::string name_of(uint32_t index, const Uuid& uuid) {
  return "device " + std::to_string(index) + " (" + to_string(uuid) + ")";
}

bool takes_small_blocks(const DeviceGeometry& geometry) noexcept {
  return geometry.logical_block_bytes <= 512 && geometry.memory_alignment_bytes <= 512;
}

}  // namespace

Devices::Devices(PoolImpl& pool) : pool_(pool), port_tasks_(pool.ports.size()) {
  for (size_t i = 0; i < pool.ports.size(); ++i) {
    Port& port = pool.ports[i];
    channels_.push_back(std::make_unique<PoolDevice>(*port.loop, *port.device, failures_));
    port.device = channels_.back().get();
    port_tasks_[i].devices = this;
    port_tasks_[i].port = static_cast<uint32_t>(i);
  }
  small_direct_ = takes_small_blocks(channels_[0]->geometry());
  failure_task_.devices = this;
  failure_task_.run = [](Task& task) noexcept {
    Devices& self = *static_cast<FailureTask&>(task).devices;
    self.failure_posted_.store(false, std::memory_order_seq_cst);
    self.notice_failures();
  };
  failures_.context = this;
  failures_.told = [](void* context) noexcept {
    Devices& self = *static_cast<Devices*>(context);
    if (self.failure_posted_.exchange(true, std::memory_order_seq_cst)) return;
    self.pool_.ports[self.pool_.owner].loop->post(self.failure_task_);
  };
}

Devices::~Devices() { CHECK(joining_ == nullptr); }

// ---- Rows ---------------------------------------------------------------------------------------

void Devices::push_row(const DeviceRow& row, bool missing) {
  rows_.push_back(row);
  there_.push_back(!missing);
  if (!missing || count() == 1) return;
  for (const auto& channel : channels_) {
    channel->add_member(row.first_chunk * limits::chunk_bytes,
                        row.chunk_count * limits::chunk_bytes, nullptr);
  }
}

void Devices::load(const Superblock& superblock) {
  CHECK(rows_.empty());
  for (uint32_t i = 0; i < superblock.device_count; ++i) {
    push_row(superblock.devices[i], i > 0);
    if (rows_[i].state != static_cast<uint32_t>(DeviceState::failed)) continue;
    known_failed(i);
  }
}

// By the image or the journal.
void Devices::known_failed(uint32_t index) {
  failures_.mark(index, 0);
  noticed_ |= 1u << index;
  sealed_failures_ = noticed_;
  failures_durable();
}

void Devices::divide_chunks() {
  if (count() == 1) return;
  std::vector<uint64_t> first_chunks;
  for (const DeviceRow& row : rows_) first_chunks.push_back(row.first_chunk);
  pool_.allocator.divide(first_chunks);
}

bool Devices::replay_add(const Record& record) {
  const auto row = read_at<DeviceRow>(record.payload);
  const uint64_t total = pool_.allocator.total();
  if (record.a != count() || count() == limits::max_devices || row.first_chunk != total ||
      row.chunk_count > limits::max_pool_chunks - total ||
      row.chunk_count < limits::min_pool_bytes / limits::chunk_bytes || row.state != 0 ||
      row_of(row.uuid) != nullptr) {
    return false;
  }
  push_row(row, true);
  pool_.allocator.grow(row.chunk_count);
  ++pool_.metadata_chunks;
  return pool_.allocator.claim(static_cast<uint32_t>(row.first_chunk));
}

bool Devices::replay_state(const Record& record) {
  if (record.a == 0 || record.a >= count() ||
      record.b != static_cast<uint64_t>(DeviceState::failed)) {
    return false;
  }
  rows_[record.a].state = static_cast<uint32_t>(DeviceState::failed);
  known_failed(record.a);
  return true;
}

void Devices::fill(Superblock& next) const {
  next.device_count = count();
  next.total_chunks = pool_.allocator.total();
  std::copy(rows_.begin(), rows_.end(), next.devices);
  if (count() > 1) next.incompatible_features |= feature_several_devices;
}

void Devices::fill_states(Superblock& next) const {
  for (uint32_t i = 0; i < next.device_count; ++i) next.devices[i].state = rows_[i].state;
}

const DeviceRow* Devices::row_of(const Uuid& uuid) const {
  const auto at = std::find_if(rows_.begin(), rows_.end(),
                               [&](const DeviceRow& row) { return row.uuid == uuid; });
  return at == rows_.end() ? nullptr : &*at;
}

// ---- Status -------------------------------------------------------------------------------------

uint64_t Devices::size_bytes() const noexcept {
  uint64_t size = pool_.superblock.size_bytes;
  for (uint32_t i = 1; i < count(); ++i) size += rows_[i].chunk_count * limits::chunk_bytes;
  return size;
}

uint32_t Devices::atomic_write_bytes() const noexcept {
  return channels_[pool_.owner]->geometry().atomic_write_bytes;
}

PoolDeviceStatus Devices::status_of(uint32_t index) const {
  const DeviceRow& row = rows_[index];
  PoolDeviceStatus status;
  status.uuid = row.uuid;
  status.index = index;
  status.total_chunks = row.chunk_count;
  status.free_chunks = pool_.allocator.free_in(index);
  status.size_bytes =
      index == 0 ? pool_.superblock.size_bytes : row.chunk_count * limits::chunk_bytes;
  status.state = failures_.failed(index) ? PoolDeviceStatus::State::failed
                 : there_[index]         ? PoolDeviceStatus::State::online
                                         : PoolDeviceStatus::State::missing;
  for (const auto& channel : channels_) {
    status.read_errors += channel->read_errors(index);
    status.write_errors += channel->write_errors(index);
  }
  return status;
}

std::vector<PoolDeviceStatus> Devices::status() const {
  std::vector<PoolDeviceStatus> all;
  for (uint32_t i = 0; i < count(); ++i) all.push_back(status_of(i));
  return all;
}

// ---- Failing ------------------------------------------------------------------------------------

void Devices::notice_failures() {
  const uint32_t fresh = failures_.failed() & ~noticed_;
  if (fresh == 0) return;
  noticed_ |= fresh;
  for (uint32_t i = 1; i < count(); ++i) {
    if ((fresh >> i & 1) == 0) continue;
    rows_[i].state = static_cast<uint32_t>(DeviceState::failed);
    pool_.allocator.set_usable(i, false);
    if (!pool_.failed()) {
      unsaved_ |= 1u << i;
      pool_.committer.append(
          {RecordKind::device_state, i, static_cast<uint64_t>(DeviceState::failed), 0, {}});
      pool_.committer.request();
    }
    if (!failed_told_) continue;
    const Error reason = error_from_errno(-failures_.reason(i),
                                          name_of(i, rows_[i].uuid) + ": a device flush failed");
    failed_told_(rows_[i].uuid, reason.message);
  }
}

bool Devices::add_failures(std::vector<std::byte>& records) {
  notice_failures();
  sealed_failures_ = noticed_;
  if (unsaved_ == 0) return false;
  for (uint32_t i = 1; i < count(); ++i) {
    if ((unsaved_ >> i & 1) == 0) continue;
    encode_record(records, {RecordKind::device_state, i,
                            static_cast<uint64_t>(DeviceState::failed), 0, {}});
  }
  unsaved_ = 0;
  return true;
}

// ---- Adding and attaching -----------------------------------------------------------------------

void Devices::add(std::vector<Device*> channels,
                  std::function<void(Result<PoolDeviceStatus>)> done) {
  auto joining = std::make_unique<Joining>();
  joining->add = true;
  joining->channels = std::move(channels);
  joining->done = std::move(done);
  join(std::move(joining));
}

void Devices::attach(std::vector<Device*> channels,
                     std::function<void(Result<PoolDeviceStatus>)> done) {
  auto joining = std::make_unique<Joining>();
  joining->channels = std::move(channels);
  joining->done = std::move(done);
  join(std::move(joining));
}

void Devices::join(std::unique_ptr<Joining> joining) {
  CHECK(joining->channels.size() == channels_.size());
  if (joining_ != nullptr) {
    waiting_.push_back(std::move(joining));
    return;
  }
  joining_ = std::move(joining);
  begin();
}

void Devices::begin() {
  if (auto error = obstacle(); error.has_value()) return finish(std::move(*error));
  if (joining_->add) return judge_size();
  read_block(0);
}

void Devices::finish(Result<PoolDeviceStatus> result) {
  const auto told = std::move(joining_->done);
  joining_.reset();
  if (!waiting_.empty()) {
    joining_ = std::move(waiting_.front());
    waiting_.pop_front();
    begin();
  }
  told(std::move(result));
}

std::optional<Error> Devices::obstacle() const {
  if (pool_.closing) return Error{ErrorCode::closed, "the pool is being closed"};
  if (pool_.failed()) return pool_.failure_error();
  if (pool_.options.read_only && joining_->add) {
    return Error{ErrorCode::permission_denied, "the pool is open read-only"};
  }
  return std::nullopt;
}

void Devices::judge_size() {
  const uint64_t size = joining_->channels[pool_.owner]->geometry().size_bytes;
  const uint64_t left = limits::max_pool_chunks - pool_.allocator.total();
  if (count() == limits::max_devices) {
    return refuse(ErrorCode::limit_exceeded,
                  "the pool has " + std::to_string(count()) +
                      " devices, the most it can have; add a larger one to another pool");
  }
  if (size < limits::min_pool_bytes || size / limits::chunk_bytes > left) {
    return refuse(ErrorCode::invalid_argument,
                  "a size of " + std::to_string(size) + " bytes; from " +
                      std::to_string(limits::min_pool_bytes) + " to the " +
                      std::to_string(left * limits::chunk_bytes) +
                      " bytes that the pool can still grow are possible");
  }
  read_block(0);
}

// The first blocks of the chunks where a pool's superblocks would be; the first one may be a label.
void Devices::read_block(uint32_t copy) {
  cold_read(*joining_->channels[pool_.owner], superblock_offsets[copy], joining_->block.span(),
            [this, copy](int result) {
              if (result != 0) {
                return finish(error_from_errno(-result, "reading the first blocks of the device"));
              }
              if (auto error = obstacle(); error.has_value()) return finish(std::move(*error));
              if (!joining_->add) return judge_attached();
              judge_new(read_superblock(joining_->block.span(), true), copy);
            });
}

void Devices::judge_new(const SuperblockReading& reading, uint32_t copy) {
  const Superblock& s = reading.superblock;
  const bool ours =
      reading.verdict == SuperblockVerdict::label && s.pool == pool_.superblock.pool;
  if (ours && row_of(s.device) != nullptr) {
    return refuse(ErrorCode::pool_exists, "it is " + name_of(s.device_index, s.device) +
                                              " of this pool already; attach it instead");
  }
  // A label of this pool without a row is what an interrupted add has left.
  if (!ours && reading.verdict != SuperblockVerdict::absent) {
    return refuse(ErrorCode::pool_exists,
                  "there is a pool already (" + to_string(s.pool) +
                      "); it is left as it is: choose another device, or erase its first 128 KiB");
  }
  if (copy == 0) return read_block(1);
  write_label();
}

void Devices::write_label() {
  DeviceRow& row = joining_->row;
  Uuid bits{};
  pool_.random.fill(bits);
  row.uuid = random_uuid(bits);
  row.first_chunk = pool_.allocator.total();
  row.chunk_count =
      joining_->channels[pool_.owner]->geometry().size_bytes / limits::chunk_bytes;
  joining_->index = count();
  std::memset(joining_->block.data(), 0, limits::block_bytes);
  write_at(joining_->block.span(), 0, make_label(pool_.superblock.pool, joining_->index, row));
  cold_write(*joining_->channels[pool_.owner], 0, joining_->block.span(), true,
             [this](int result) {
               if (result != 0) {
                 return finish(error_from_errno(-result, "writing the label of the new device"));
               }
               journal();
             });
}

// The label is durable: the row may be. Tried again whenever there may be room for it.
void Devices::journal() {
  if (auto error = obstacle(); error.has_value()) return finish(std::move(*error));
  const Room room = pool_.room(true, encoded_bytes(sizeof(DeviceRow)));
  const bool pages = pool_.available_pages() >= pages_to_add + limits::pages_floor_free;
  if (room != Room::now || !pages) {
    if (room == Room::none || ++joining_->tries > most_tries ||
        (room == Room::now && !pool_.ask_for_pages())) {
      return refuse(ErrorCode::no_space,
                    "the first device has no room for the metadata of another one; delete volumes "
                    "or data first");
    }
    pool_.wait_for_room([this] { journal(); });
    return;
  }
  const DeviceRow& row = joining_->row;
  pool_.committer.append({RecordKind::add_device, joining_->index, 0, 0,
                          std::as_bytes(std::span<const DeviceRow>(&row, 1))});
  rows_.push_back(row);
  there_.push_back(false);
  pool_.allocator.grow(row.chunk_count);
  CHECK(pool_.allocator.claim(static_cast<uint32_t>(row.first_chunk)));
  ++pool_.metadata_chunks;
  pool_.committer.wait([this](Status status) {
    if (!status.ok()) return finish(status.error());
    tell_ports();
  });
}

void Devices::judge_attached() {
  const auto label = read_label(joining_->block.span());
  if (!label.has_value() || label->pool != pool_.superblock.pool) {
    return refuse(ErrorCode::not_found,
                  !label.has_value() ? "it carries no label of a pool's device"
                                     : "it belongs to pool " + to_string(label->pool));
  }
  const DeviceRow* row = row_of(label->device);
  if (row == nullptr) {
    return refuse(ErrorCode::not_found,
                  "it was prepared for this pool but never became part of it; add it");
  }
  const auto index = static_cast<uint32_t>(row - rows_.data());
  const std::string name = name_of(index, row->uuid);
  if (failures_.failed(index)) {
    return refuse(ErrorCode::pool_failed,
                  name + " is marked failed: what it acknowledged may be lost, so that it takes no "
                         "part any more; restore what lay on it from a copy");
  }
  if (there_[index]) return refuse(ErrorCode::busy, name + " is there already");
  if (std::string problem = label_problem(*label, pool_.superblock.pool, index, *row);
      !problem.empty()) {
    return refuse(ErrorCode::pool_corrupt, name + ": " + problem);
  }
  const uint64_t size = joining_->channels[pool_.owner]->geometry().size_bytes;
  if (size / limits::chunk_bytes < row->chunk_count) {
    return refuse(ErrorCode::pool_truncated,
                  name + " is truncated: " + std::to_string(size) +
                      " bytes long, but the pool has " +
                      std::to_string(row->chunk_count * limits::chunk_bytes) +
                      " there; restore its full length");
  }
  joining_->index = index;
  joining_->row = *row;
  tell_ports();
}

// Each port's channel learns of the device on its own thread; only then a chunk there is taken.
void Devices::tell_ports() {
  for (const Device* channel : joining_->channels) {
    if (!takes_small_blocks(channel->geometry())) {
      small_direct_.store(false, std::memory_order_release);
    }
  }
  ports_told_ = 0;
  for (PortTask& task : port_tasks_) {
    task.run = [](Task& at_port) noexcept {
      auto& self = static_cast<PortTask&>(at_port);
      self.devices->tell_port(self);
    };
    pool_.ports[task.port].loop->post(task);
  }
}

void Devices::tell_port(PortTask& task) noexcept {
  PoolDevice& channel = *channels_[task.port];
  Device& member = *joining_->channels[task.port];
  const DeviceRow& row = joining_->row;
  if (joining_->add) {
    channel.add_member(row.first_chunk * limits::chunk_bytes,
                       row.chunk_count * limits::chunk_bytes, &member);
  } else {
    channel.attach(joining_->index, member);
  }
  task.run = [](Task& at_owner) noexcept {
    Devices& devices = *static_cast<PortTask&>(at_owner).devices;
    if (++devices.ports_told_ == devices.port_tasks_.size()) devices.joined();
  };
  pool_.ports[pool_.owner].loop->post(task);
}

void Devices::joined() {
  const uint32_t index = joining_->index;
  there_[index] = true;
  // It may have failed between the first port's knowing it and the last one's.
  if (!failures_.failed(index)) pool_.allocator.set_usable(index, true);
  // Merges that could not read or write its chunks can go on.
  for (Layer* layer : pool_.layers.deleting()) layer->stuck = false;
  pool_.reclaimer.look_again();
  pool_.chunks_came_back();
  finish(status_of(index));
}

// ---- Check --------------------------------------------------------------------------------------

struct Devices::LabelCheck {
  uint32_t next = 1;
  AlignedBuffer block{limits::block_bytes};
  std::vector<CheckReport::Problem> problems;
  std::function<void(std::vector<CheckReport::Problem>)> done;
};

void Devices::check_labels(std::function<void(std::vector<CheckReport::Problem>)> done) {
  auto check = std::make_shared<LabelCheck>();
  check->done = std::move(done);
  check_next_label(check);
}

void Devices::check_next_label(const std::shared_ptr<LabelCheck>& check) {
  const auto skipped = [this](uint32_t i) { return !there_[i] || failures_.failed(i); };
  while (check->next < count() && skipped(check->next)) ++check->next;
  if (check->next == count()) return check->done(std::move(check->problems));
  const uint32_t index = check->next++;
  cold_read(pool_.device(), rows_[index].first_chunk * limits::chunk_bytes, check->block.span(),
            [this, check, index](int result) {
              const DeviceRow& row = rows_[index];
              const auto label = read_label(check->block.span());
              std::string what =
                  result != 0          ? error_from_errno(-result, "reading it").message
                  : !label.has_value() ? "it is damaged or not there"
                                       : label_problem(*label, pool_.superblock.pool, index, row);
              if (!what.empty()) {
                check->problems.push_back({"label of " + name_of(index, row.uuid), what});
              }
              check_next_label(check);
            });
}

}  // namespace ashlar::store
