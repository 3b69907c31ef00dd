#include "meter.h"

#include <malloc.h>
#include <pthread.h>
#include <valgrind/callgrind.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace ashlar::bench {
namespace {

// One thread, as the whole program.
bool measuring = false, counting = false;
Calls calls;

}  // namespace

bool Meter::target_runs(bool runs) noexcept {
  if (!measuring || runs == counting) return counting;
  counting = runs;
  CALLGRIND_TOGGLE_COLLECT;
  return !runs;
}

void Meter::rest() noexcept {
  CALLGRIND_STOP_INSTRUMENTATION;
}

void Meter::begin() noexcept {
  CALLGRIND_START_INSTRUMENTATION;
  calls = {};
  measuring = true;
  CALLGRIND_ZERO_STATS;
}

Calls Meter::end(const char* row) noexcept {
  target_runs(false);
  measuring = false;
  CALLGRIND_DUMP_STATS_AT(row);
  return calls;
}

namespace {

void* count_allocation(void* made) noexcept {
  if (counting) ++calls.allocations;
  return made;
}
void count_free(void* old) noexcept {
  if (counting && old != nullptr) ++calls.frees;
}

// A call that is told in bytes. It runs several times an I/O, so this is the least that does it.
class Uncollected {
 public:
  Uncollected(uint64_t& sum, size_t bytes) noexcept : counted_(counting) {
    if (!counted_) return;
    CALLGRIND_TOGGLE_COLLECT;
    sum += bytes;
  }
  ~Uncollected() {
    if (counted_) CALLGRIND_TOGGLE_COLLECT;
  }

 private:
  const bool counted_;
};

}  // namespace
}  // namespace ashlar::bench

using namespace ashlar::bench;

extern "C" {
// The linker's names for what was there before.
void* __real_malloc(size_t bytes);
void* __real_calloc(size_t count, size_t bytes);
void* __real_realloc(void* old, size_t bytes);
void* __real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void** made, size_t alignment, size_t bytes);
void __real_free(void* old);
int __real_pthread_mutex_lock(pthread_mutex_t* mutex);

void* __wrap_malloc(size_t bytes) {
  return count_allocation(__real_malloc(bytes));
}
void* __wrap_calloc(size_t count, size_t bytes) {
  return count_allocation(__real_calloc(count, bytes));
}
void* __wrap_realloc(void* old, size_t bytes) {
  count_free(old);
  return count_allocation(__real_realloc(old, bytes));
}
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return count_allocation(__real_aligned_alloc(alignment, bytes));
}
int __wrap_posix_memalign(void** made, size_t alignment, size_t bytes) {
  const int result = __real_posix_memalign(made, alignment, bytes);
  count_allocation(*made);
  return result;
}
void __wrap_free(void* old) {
  count_free(old);
  __real_free(old);
}
int __wrap_pthread_mutex_lock(pthread_mutex_t* mutex) {
  if (counting) ++calls.locks;
  return __real_pthread_mutex_lock(mutex);
}

void* __real_memcpy(void* to, const void* from, size_t bytes);
void* __real_memmove(void* to, const void* from, size_t bytes);
void* __real_memset(void* to, int value, size_t bytes);

void* __wrap_memcpy(void* to, const void* from, size_t bytes) {
  const Uncollected uncollected(calls.copied_bytes, bytes);
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, size_t bytes) {
  const Uncollected uncollected(calls.copied_bytes, bytes);
  return __real_memmove(to, from, bytes);
}
// ashlar::copy_past_cache().
void __real__ZN6ashlar15copy_past_cacheEPvPKvm(void* to, const void* from, size_t bytes);
void __wrap__ZN6ashlar15copy_past_cacheEPvPKvm(void* to, const void* from, size_t bytes) {
  const Uncollected uncollected(calls.copied_bytes, bytes);
  __real__ZN6ashlar15copy_past_cacheEPvPKvm(to, from, bytes);
}
void* __wrap_memset(void* to, int value, size_t bytes) {
  const Uncollected uncollected(calls.set_bytes, bytes);
  return __real_memset(to, value, bytes);
}
}

// The C++ library's own code allocates by these too. Without exceptions: no memory, no program.
void* operator new(size_t bytes) {
  void* const made = count_allocation(__real_malloc(bytes));
  if (made == nullptr) std::abort();
  return made;
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  void* made = nullptr;
  if (__real_posix_memalign(&made, static_cast<size_t>(alignment), bytes) != 0) std::abort();
  return count_allocation(made);
}
void operator delete(void* old) noexcept {
  count_free(old);
  __real_free(old);
}
void operator delete(void* old, size_t) noexcept {
  operator delete(old);
}
void operator delete(void* old, std::align_val_t) noexcept {
  operator delete(old);
}
void operator delete(void* old, size_t, std::align_val_t) noexcept {
  operator delete(old);
}
