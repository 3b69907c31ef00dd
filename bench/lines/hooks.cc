// The functions that compilers call for -fsanitize=thread, by their names in its runtime.
#include <atomic>
#include <cstdint>
#include <cstring>

#include "lines.h"

using ashlar::bench::touched;

#define CODE __builtin_return_address(0)
#define READ_AND_WRITE(bytes)                    \
  void __tsan_read##bytes(void* at) {            \
    touched(at, bytes, false, CODE);             \
  }                                              \
  void __tsan_write##bytes(void* at) {           \
    touched(at, bytes, true, CODE);              \
  }                                              \
  void __tsan_unaligned_read##bytes(void* at) {  \
    touched(at, bytes, false, CODE);             \
  }                                              \
  void __tsan_unaligned_write##bytes(void* at) { \
    touched(at, bytes, true, CODE);              \
  }

#define FETCH(bits, type, name, builtin)                                        \
  type __tsan_atomic##bits##_fetch_##name(volatile type* at, type value, int) { \
    touched(at, sizeof *at, true, CODE);                                        \
    return builtin(at, value, __ATOMIC_SEQ_CST);                                \
  }
#define EXCHANGE_IF(bits, type, kind)                                                              \
  int __tsan_atomic##bits##_compare_exchange_##kind(volatile type* at, type* expected, type value, \
                                                    int, int) {                                    \
    touched(at, sizeof *at, true, CODE);                                                           \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST,               \
                                       __ATOMIC_SEQ_CST);                                          \
  }
#define ATOMIC(bits, type)                                                  \
  type __tsan_atomic##bits##_load(const volatile type* at, int) {           \
    touched(at, sizeof *at, false, CODE);                                   \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                           \
  }                                                                         \
  void __tsan_atomic##bits##_store(volatile type* at, type value, int) {    \
    touched(at, sizeof *at, true, CODE);                                    \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                          \
  }                                                                         \
  type __tsan_atomic##bits##_exchange(volatile type* at, type value, int) { \
    touched(at, sizeof *at, true, CODE);                                    \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                \
  }                                                                         \
  FETCH(bits, type, add, __atomic_fetch_add)                                \
  FETCH(bits, type, sub, __atomic_fetch_sub)                                \
  FETCH(bits, type, and, __atomic_fetch_and)                                \
  FETCH(bits, type, or, __atomic_fetch_or)                                  \
  FETCH(bits, type, xor, __atomic_fetch_xor)                                \
  EXCHANGE_IF(bits, type, strong)                                           \
  EXCHANGE_IF(bits, type, weak)

#pragma GCC diagnostic ignored "-Wmissing-declarations"
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
READ_AND_WRITE(1)
READ_AND_WRITE(2)
READ_AND_WRITE(4)
READ_AND_WRITE(8)
READ_AND_WRITE(16)
void __tsan_read_range(void* at, size_t bytes) {
  touched(at, bytes, false, CODE);
}
void __tsan_write_range(void* at, size_t bytes) {
  touched(at, bytes, true, CODE);
}
void __tsan_vptr_update(void** at, void*) {
  touched(at, sizeof *at, true, CODE);
}
void __tsan_vptr_read(void** at) {
  touched(at, sizeof *at, false, CODE);
}
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
void __tsan_atomic_thread_fence(int) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {}

// The C library's own accesses are not compiled so, nor are stores past the cache: copies are noted
// here.
void* __real_memcpy(void*, const void*, size_t);
void* __real_memmove(void*, const void*, size_t);
void* __real_memset(void*, int, size_t);
void* __wrap_memcpy(void* to, const void* from, size_t bytes) {
  touched(from, bytes, false, CODE);
  touched(to, bytes, true, CODE);
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, size_t bytes) {
  touched(from, bytes, false, CODE);
  touched(to, bytes, true, CODE);
  return __real_memmove(to, from, bytes);
}
// ashlar::copy_past_cache().
void __real__ZN6ashlar15copy_past_cacheEPvPKvm(void*, const void*, size_t);
void __wrap__ZN6ashlar15copy_past_cacheEPvPKvm(void* to, const void* from, size_t bytes) {
  touched(from, bytes, false, CODE);
  touched(to, bytes, true, CODE);
  __real__ZN6ashlar15copy_past_cacheEPvPKvm(to, from, bytes);
}
void* __wrap_memset(void* to, int byte, size_t bytes) {
  touched(to, bytes, true, CODE);
  return __real_memset(to, byte, bytes);
}

}  // extern "C"
