#include "store/pool_impl.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ashlar::store {

namespace {
constexpr uint64_t settle_interval_ns = 2'000'000;
// In which a port finds the pages that were gathered for it; if not, it comes back.
constexpr uint64_t port_turn_ns = 1'000'000;
}

PoolImpl::PoolImpl(std::vector<Port> given, uint32_t owner_index, const PoolOptions& chosen,
                   Random& random_source)
    : ports(std::move(given)),
      owner(owner_index),
      options(chosen),
      random(random_source),
      devices(*this),
      epochs(ports.size()),
      pages(epochs, chosen.map_cache_bytes),
      bitmap_tree(pages, TreeKind::bitmap, 0),
      space_tree(pages, TreeKind::space, 0),
      layer_tree(pages, TreeKind::layers, 0),
      catalog_tree(pages, TreeKind::catalog, 0),
      allocator(bitmap_tree, epochs),
      space(space_tree),
      layers(layer_tree, pages, epochs),
      views(epochs, chosen.map_cache_bytes),
      mapping(*this),
      catalog(catalog_tree),
      loader(*this),
      committer(*this),
      checkpointer(*this),
      owner_io(*this),
      settling(*this),
      reclaimer(*this),
      discarder(*this),
      zero_chunk_(limits::chunk_bytes) {
  CHECK(owner < ports.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    auto port = std::make_unique<PortContext>();
    port->pool = this;
    port->loop = ports[i].loop;
    port->device = ports[i].device;
    port->index = static_cast<uint16_t>(i);
    port->runs = std::make_unique_for_overwrite<RunOp[]>(limits::run_ops_per_port);
    for (uint32_t run = 0; run < limits::run_ops_per_port; ++run) port->give_run(port->runs[run]);
    ports_in_place.push_back(std::move(port));
  }
  settle_timer_.pool = this;
  settle_timer_.fire = [](Timer& timer) noexcept {
    static_cast<SettleTimer&>(timer).pool->settle();
  };
  gather_timer_.pool = this;
  gather_timer_.fire = [](Timer& timer) noexcept {
    PoolImpl& pool = *static_cast<SettleTimer&>(timer).pool;
    pool.gathered(pool.gathering_);
  };
  trim_task_.pool = this;
  trim_task_.run = [](Task& task) noexcept {
    PoolImpl& pool = *static_cast<TrimTask&>(task).pool;
    pool.go_on_trimming();
    pool.settle();
  };
  room_task_.pool = this;
  room_task_.run = [](Task& task) noexcept {
    PoolImpl& pool = *static_cast<RoomTask&>(task).pool;
    IoQueue waiters = pool.room_waiters.take();
    while (IoState* state = waiters.pop()) {
      state->resume(*state);
      if (pool.failed() || pool.room_waiters.empty()) continue;
      pool.room_waiters.append(waiters);  // It waits again, and the others behind it.
    }
    const auto calls = std::exchange(pool.room_calls_, {});
    for (const auto& call : calls) call();
    if (pool.reclaimer.active()) pool.reclaimer.kick();
  };
  fail_task_.pool = this;
  fail_task_.run = [](Task& task) noexcept {
    auto& self = static_cast<FailTask&>(task);
    Error cause = error_from_errno(-self.result, self.what);
    self.pool->failure_code = cause.code;
    self.pool->fail(cause.message);
  };
  close_task_.pool = this;
  close_task_.run = [](Task& task) noexcept {
    auto& self = static_cast<CloseTask&>(task);
    self.pool->end_if_quiet();
  };
}

PoolImpl::~PoolImpl() { CHECK(volumes_.empty()); }

// ---- Failing ------------------------------------------------------------------------------------

void PoolImpl::fail_from(uint32_t, const char* what, int result) noexcept {
  failed_flag.store(true, std::memory_order_seq_cst);
  if (fail_posted_.exchange(true)) return;
  fail_task_.what = what;
  fail_task_.result = result;
  ports[owner].loop->post(fail_task_);
}

void PoolImpl::fail(const std::string& reason) {
  failed_flag.store(true, std::memory_order_seq_cst);
  if (!failure.empty()) return;
  failure = reason;
  committer.fail_all();
  checkpointer.fail_all();
  room_changed();
  if (failed_told_) failed_told_(failure);
}

Error PoolImpl::failure_error() const {
  return Error{ErrorCode::pool_failed,
               "the pool has stopped (" + (failure.empty() ? "a device error" : failure) +
                   "); nothing more is acknowledged: close it, mend the device and open it again"};
}

void PoolImpl::on_failed(std::function<void(const std::string&)> told) {
  failed_told_ = std::move(told);
  if (!failure.empty()) failed_told_(failure);
}

KillLog PoolImpl::open_kill_log() {
  return KillLog(superblock.pool,
                 device().kill_safe_memory(superblock.kill_log_first_chunk * limits::chunk_bytes,
                                           superblock.kill_log_bytes));
}

// ---- Layers -------------------------------------------------------------------------------------

void PoolImpl::remove_layer(Layer& layer) {
  committer.append({RecordKind::remove_layer, layer.slot, 0, 0, {}});
  layer.map.detach_all();
  views.drop_all(layer);
  layers.remove(layer);
}

void PoolImpl::trim() {
  views.begin_trim();
  pages.begin_trim();
  go_on_trimming();
}

void PoolImpl::go_on_trimming() {
  // Writes that land after a snapshot find the pages of the new layers in memory.
  if (mapping.settling_layers > 0 || gathering_ != nullptr) return;
  const bool views_left = views.trim();
  const bool pages_left = pages.trim(views.bytes());
  if ((views_left || pages_left) && !closing &&
      !trim_task_.queued.load(std::memory_order_relaxed)) {
    loop().defer(trim_task_);
  }
  // Reads alone bring no commit, after which what they have evicted would be freed.
  views.many_retired() ? settle() : settle_later();
}

void PoolImpl::gather(const void* who) noexcept {
  if (gathering_ == nullptr) gathering_ = who;
  if (gathering_ == who) loop().cancel(gather_timer_);
}

void PoolImpl::gathered_for_port(const void* who) noexcept {
  if (gathering_ != who) return;
  loop().arm(gather_timer_, loop().clock().now_ns() + port_turn_ns);
}

void PoolImpl::gathered(const void* who) noexcept {
  if (gathering_ != who) return;
  gathering_ = nullptr;
  loop().cancel(gather_timer_);
  trim();
}

// ---- Room ---------------------------------------------------------------------------------------

int64_t PoolImpl::available_pages() const noexcept {
  return static_cast<int64_t>(space.free_pages()) - static_cast<int64_t>(pages.dirty_count()) -
         static_cast<int64_t>(space.own_pages()) -
         static_cast<int64_t>(runs_in_flight * limits::pages_per_run);
}

size_t PoolImpl::dirty_pages_wanted() const noexcept {
  const uint64_t share = options.map_cache_bytes / 4 / sizeof(PageNode);
  return std::clamp<uint64_t>(share, limits::min_dirty_pages, limits::max_dirty_pages);
}

int64_t PoolImpl::pages_low_water() const noexcept {
  const uint64_t share = space.chunk_count() * limits::pages_per_chunk / limits::metadata_growth;
  return static_cast<int64_t>(std::clamp<uint64_t>(
      share, limits::pages_low_water, limits::max_growth_chunks * limits::pages_per_chunk));
}

Room PoolImpl::room(bool allocating, size_t record_bytes) {
  // While a checkpoint is written each page of it that is through lets another one become dirty: so
  // writers go on at its pace instead of standing still to its end. An eighth of the bound is saved
  // up little by little, for the time in which its flush and its superblock are under way.
  const size_t bound = 2 * dirty_pages_wanted();
  if (pages.unwritten_count() > bound - checkpointer.share_written(bound / 8)) {
    if (!checkpointer.running()) checkpointer.request();
    return Room::wait;
  }
  return room_for_transaction(allocating, record_bytes);
}

Room PoolImpl::room_for_transaction(bool allocating, size_t record_bytes) {
  if (!committer.has_room(record_bytes)) {
    committer.request();
    return Room::wait;
  }
  const int64_t available = available_pages();
  if (available < pages_low_water()) grow_metadata();
  const int64_t floor = allocating ? limits::pages_floor_allocate : limits::pages_floor_free;
  if (available >= floor) return Room::now;
  if (growing_ > 0 || runs_in_flight > 0) return Room::wait;
  // A checkpoint gives the old images of all dirty pages back. Frees need no more than that; new
  // mappings do, and are refused when it was not enough.
  if (allocating && starved_) return Room::none;
  if (!starving_) {
    starving_ = true;
    checkpointer.request(false, [this](const Status&) {
      starving_ = false;
      starved_ = growth_failed_;
      room_changed();
    });
  }
  return Room::wait;
}

void PoolImpl::grow_metadata() {
  if (growing_ > 0 || growth_failed_ || options.read_only || failed() || closing) return;
  const uint64_t share = space.chunk_count() / limits::metadata_growth;
  const uint64_t chunks = std::clamp<uint64_t>(share, 1, limits::max_growth_chunks);
  while (growing_ < chunks && grow_by_chunk()) {
  }
  growth_failed_ = growing_ == 0;
}

bool PoolImpl::grow_by_chunk() {
  const uint32_t chunk = allocator.reserve(0);
  if (chunk == 0) return false;
  ++growing_;
  // Written once with zeroes, so that under a sparse file the room is there for certain.
  cold_write(device(), uint64_t{chunk} * limits::chunk_bytes, zero_chunk_.span(), false,
             [this, chunk](int result) {
               --growing_;
               if (result != 0 || failed()) {
                 allocator.unreserve(chunk);
                 growth_failed_ = true;
               } else {
                 allocator.own(chunk);
                 const uint64_t slot = space.next_slot();
                 committer.append(
                     {RecordKind::metadata_chunk, static_cast<uint32_t>(slot), chunk, 0, {}});
                 CHECK(space.add_chunk(slot, chunk));
                 ++metadata_chunks;
                 starved_ = false;
               }
               room_changed();
             });
  return true;
}

bool PoolImpl::ask_for_pages() {
  grow_metadata();
  return growing_ > 0;
}

uint32_t PoolImpl::take_chunk(Layer& layer, uint32_t wanted) {
  if (layer.reservation_left() == 0 && unpromised_chunks() <= 0) return 0;
  const uint32_t chunk = allocator.take(wanted);
  if (chunk != 0) layer.next_chunk = chunk + 1;
  return chunk;
}

int64_t PoolImpl::unpromised_chunks() const noexcept {
  return static_cast<int64_t>(allocator.free_count()) -
         static_cast<int64_t>(mapping.reserved_left());
}

uint64_t PoolImpl::reclaimable_chunks() const noexcept {
  uint64_t chunks = 0;
  for (const Layer* layer : layers.deleting()) {
    if (layer->children.size() > 1) continue;
    const Layer* child = layer->only_child();
    chunks += child == nullptr ? layer->allocated_chunks : child->frees - layer->passed_frees;
  }
  return chunks;
}

Room PoolImpl::chunk_room() {
  if (allocator.quarantined() > 0) {
    committer.request();
    settle();
    return Room::wait;
  }
  if (discarder.pending() > 0) return Room::wait;
  return reclaimer.active() && reclaimable_chunks() > 0 ? Room::wait : Room::none;
}

void PoolImpl::wait_for_room(std::function<void()> again) {
  room_calls_.push_back(std::move(again));
}

void PoolImpl::room_changed() {
  if (room_waiters.empty() && room_calls_.empty() && !reclaimer.active()) return;
  if (!room_task_.queued.load(std::memory_order_relaxed)) loop().defer(room_task_);
}

bool PoolImpl::has_retired() const noexcept {
  return pages.has_retired() || views.has_retired() || layers.has_retired();
}

bool PoolImpl::has_unsettled() const noexcept {
  return allocator.quarantined() > 0 || has_retired();
}

void PoolImpl::settle() {
  if (!has_unsettled()) return;
  epochs.try_step();
  epochs.try_step();
  const bool discards = device().geometry().discard && !closing;
  const size_t settled = allocator.settle(committer.durable_record(), [&](uint32_t chunk) {
    if (discards) {
      discarder.add(chunk);
    } else {
      allocator.reuse(chunk);
    }
  });
  pages.free_retired();
  views.free_retired();
  layers.free_retired();
  if (settled > 0 && discards) discarder.start();
  if (settled > 0 && !discards) chunks_came_back();
  settle_later();
}

void PoolImpl::settle_later() {
  // The next commit looks at chunks whose records it makes durable.
  const bool waits_for_commit = !has_retired() && committer.records_pending();
  if (has_unsettled() && !waits_for_commit && !settle_timer_.armed() && !closing) {
    loop().arm(settle_timer_, loop().clock().now_ns() + settle_interval_ns);
  }
}

void PoolImpl::chunks_came_back() {
  growth_failed_ = false;
  starved_ = false;
  room_changed();
}

// ---- Calls --------------------------------------------------------------------------------------

void PoolImpl::read_catalog(std::function<void(Result<std::vector<CatalogRecord>>)> done) {
  std::vector<CatalogRecord> records;
  records.reserve(catalog.record_count());
  catalog.for_each([&](uint64_t key, std::vector<std::byte> value) {
    records.push_back({key, std::move(value)});
  });
  done(std::move(records));
}

Result<Volume*> PoolImpl::open_volume(const Uuid& uuid, bool read_only) {
  Layer* layer = layers.find(uuid);
  if (layer == nullptr) return Error{ErrorCode::not_found, "no layer " + to_string(uuid)};
  if (layer->volume != nullptr) {
    return Error{ErrorCode::busy, "layer " + to_string(uuid) + " is open already"};
  }
  if (layer->settling) {
    return Error{ErrorCode::busy, "layer " + to_string(uuid) + " is being frozen: try again"};
  }
  if (!read_only && layer->state != LayerState::live) {
    return Error{ErrorCode::busy,
                 "layer " + to_string(uuid) + " is frozen for good: open it read-only"};
  }
  if (closing) return Error{ErrorCode::closed, "the pool is being closed"};
  volumes_.push_back(std::make_unique<VolumeImpl>(*this, *layer, read_only));
  return volumes_.back().get();
}

void PoolImpl::close_volume(Volume& volume, std::function<void()> done) {
  auto& implementation = static_cast<VolumeImpl&>(volume);
  implementation.close([this, &implementation, done = std::move(done)] {
    const auto at = std::find_if(volumes_.begin(), volumes_.end(), [&](const auto& each) {
      return each.get() == &implementation;
    });
    CHECK(at != volumes_.end());
    // Out of the list first; the volume goes away when this function returns.
    const std::unique_ptr<VolumeImpl> closed = std::move(*at);
    volumes_.erase(at);
    const auto told = done;
    told();
  });
}

Result<LayerUsage> PoolImpl::usage(const Uuid& uuid) {
  const Layer* layer = layers.find(uuid);
  if (layer == nullptr) return Error{ErrorCode::not_found, "no layer " + to_string(uuid)};
  LayerUsage usage;
  usage.size_bytes = layer->size_bytes;
  usage.block_bytes = layer->block_bytes;
  usage.mapped_bytes = layer->visible_blocks * limits::block_bytes;
  usage.own_bytes = layer->mapped_blocks * limits::block_bytes;
  usage.allocated_bytes = layer->allocated_chunks * limits::chunk_bytes;
  usage.reserved_bytes = layer->reservation_left() * limits::chunk_bytes;
  usage.children = static_cast<uint32_t>(layer->children.size());
  usage.frozen = layer->state != LayerState::live;
  uint64_t frees = 0;
  if (const Layer* child = layer->only_child(); child != nullptr) {
    frees = child->frees;
  } else if (layer->children.empty()) {
    frees = layer->allocated_chunks;
    // A hidden parent that waits for one of two to go is then merged into the other.
    const Layer* parent = layer->parent.load(std::memory_order_relaxed);
    if (parent != nullptr && parent->state == LayerState::deleting &&
        parent->children.size() == 2) {
      frees += parent->children[parent->children[0] == layer ? 1 : 0]->frees;
    }
  }
  usage.frees_bytes = frees * limits::chunk_bytes;
  return usage;
}

PoolStatus PoolImpl::status() {
  PoolStatus status;
  status.uuid = superblock.pool;
  status.size_bytes = devices.size_bytes();
  status.chunk_bytes = limits::chunk_bytes;
  status.total_chunks = allocator.total();
  status.free_chunks = allocator.free_count();
  status.metadata_chunks = metadata_chunks;
  status.data_chunks = mapping.layer_chunks();
  for (const Layer* layer : layers.deleting()) {
    if (layer->children.size() > 1) {
      ++status.hidden_layers;
      continue;
    }
    if (!layer->stuck) ++status.reclaiming_layers;
  }
  status.reclaiming_chunks = reclaimable_chunks();
  status.reserved_chunks = mapping.reserved_left();
  status.map_memory_bytes =
      (pages.loaded_map_pages() + pages.retired_count()) * sizeof(PageNode) + views.bytes() +
      views.retired_bytes();
  status.layer_count = layers.count();
  status.catalog_records = catalog.record_count();
  status.journal_bytes = superblock.journal_bytes;
  status.journal_used_bytes = committer.used_blocks() * limits::block_bytes;
  status.journal_sequence = committer.durable_sequence();
  status.checkpoint_sequence = checkpointer.sequence();
  status.commits = committer.commits();
  status.checkpoints = checkpointer.count();
  status.replayed_records = replayed_records;
  status.format_version = superblock.version;
  status.atomic_write_bytes = devices.atomic_write_bytes();
  status.devices = devices.status();
  if (const auto report = check_report.lock(); report != nullptr) {
    status.check_chunks = check_chunks;
    status.checked_chunks = std::min(report->chunks_owned, check_chunks);
  }
  status.failed = failed();
  status.failure = failure;
  return status;
}

void PoolImpl::checkpoint(std::function<void(Status)> done) {
  if (options.read_only) {
    done(Error{ErrorCode::permission_denied, "the pool is open read-only"});
    return;
  }
  checkpointer.request(false, std::move(done));
}

// ---- Closing ------------------------------------------------------------------------------------

void PoolImpl::close(std::function<void(Status)> done) {
  if (!volumes_.empty()) {
    done(Error{ErrorCode::busy, std::to_string(volumes_.size()) + " volumes are still open"});
    return;
  }
  CHECK(!closing);
  closing = true;
  closed_ = std::move(done);
  reclaimer.stop();
  discarder.stop();
  if (options.read_only || failed()) {
    when_quiet(failed() && !options.read_only ? Status(failure_error()) : Status(Unit{}));
    return;
  }
  checkpointer.request(true, [this](Status status) { when_quiet(std::move(status)); });
}

void PoolImpl::when_quiet(Status status) {
  // Never from inside one of the pool's own calls: the pool may be gone after the last step.
  close_task_.status = std::move(status);
  loop().defer(close_task_);
}

void PoolImpl::abandon(std::unique_ptr<PoolImpl> pool, std::function<void()> then) {
  PoolImpl& self = *pool;
  self.closing = true;
  self.reclaimer.stop();
  self.discarder.stop();
  const std::shared_ptr<PoolImpl> kept = std::move(pool);
  self.closed_ = [kept, then = std::move(then)](const Status&) { then(); };
  self.loop().defer(self.close_task_);
}

bool PoolImpl::quiet() const noexcept {
  return committer.quiet() && !checkpointer.running() && loader.idle() && reclaimer.quiet() &&
         settling.quiet() && devices.idle() &&
         growing_ == 0 && checks_under_way == 0 &&
         !room_task_.queued.load(std::memory_order_relaxed) &&
         !trim_task_.queued.load(std::memory_order_relaxed) &&
         (!fail_posted_.load() || !fail_task_.queued.load());
}

void PoolImpl::end_if_quiet() {
  if (!discarder.quiet(close_task_)) return;
  // Looked at once a turn until nothing is left under way; nothing new is begun any more.
  if (!quiet()) {
    loop().defer(close_task_);
    return;
  }
  committer.stop();
  loop().cancel(settle_timer_);
  loop().cancel(gather_timer_);
  const auto told = std::move(closed_);
  Status status = std::move(close_task_.status);
  told(std::move(status));  // The pool may be gone after this.
}

}  // namespace ashlar::store
