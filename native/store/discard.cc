#include "store/discard.h"

#include <algorithm>
#include <utility>

#include "store/pool_impl.h"

namespace ashlar::store {

Discarder::Discarder(PoolImpl& pool) : pool_(pool) {
  for (Run& run : runs_) run.discarder = this;
}

void Discarder::add(uint32_t chunk) {
  waiting_.push_back(chunk);
  sorted_ = false;
}

// The highest chunks first, as many side by side as there are: few large operations.
void Discarder::start() noexcept {
  for (Run& run : runs_) {
    if (stopped_ || waiting_.empty()) return;
    if (run.count != 0) continue;
    if (!sorted_) std::sort(waiting_.begin(), waiting_.end());
    sorted_ = true;
    run.first = waiting_.back();
    run.count = 1;
    waiting_.pop_back();
    while (!waiting_.empty() && waiting_.back() + 1 == run.first &&
           run.count < limits::discard_chunks) {
      run.first = waiting_.back();
      ++run.count;
      waiting_.pop_back();
    }
    under_way_ += run.count;
    run.op = DeviceOp{};
    run.op.kind = DeviceOpKind::discard;
    run.op.offset_bytes = uint64_t{run.first} * limits::chunk_bytes;
    run.op.length_bytes = uint64_t{run.count} * limits::chunk_bytes;
    run.op.context = &run;
    run.op.done = [](DeviceOp& op) noexcept {
      Run& done = *static_cast<Run*>(op.context);
      done.discarder->ended(done);
    };
    pool_.device().submit(run.op);
  }
}

void Discarder::ended(Run& run) noexcept {
  for (uint32_t i = 0; i < run.count; ++i) pool_.allocator.reuse(run.first + i);
  under_way_ -= run.count;
  run.count = 0;
  start();
  pool_.chunks_came_back();
  if (under_way_ == 0 && when_quiet_ != nullptr) {
    pool_.loop().defer(*std::exchange(when_quiet_, nullptr));
  }
}

bool Discarder::quiet(Task& then) noexcept {
  if (under_way_ == 0) return true;
  when_quiet_ = &then;
  return false;
}

}  // namespace ashlar::store
