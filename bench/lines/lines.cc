#include "lines.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "plain/heard.h"

namespace ashlar::bench {

namespace {

constexpr size_t max_threads = 16;
constexpr size_t entries = size_t{1} << 22;  // A thread touches some 100,000 lines of 512 MiB.

struct Thread {
  pid_t id = 0;
  Line* lines = nullptr;
};

std::array<Thread, max_threads> threads;
std::atomic<size_t> thread_count{0};
std::atomic<bool> watching{false};
thread_local Line* mine = nullptr;

Line* begin_thread() noexcept {
  const size_t index = thread_count.fetch_add(1);
  if (index >= max_threads) std::abort();
  void* memory = ::mmap(nullptr, entries * sizeof(Line), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  threads[index] = {::gettid(), static_cast<Line*>(memory)};
  return threads[index].lines;
}

Line& entry_of(Line* lines, uintptr_t number) noexcept {
  size_t at = number * 0x9e3779b97f4a7c15 >> 42;
  while (lines[at].number != 0 && lines[at].number != number) at = (at + 1) % entries;
  return lines[at];
}

void note(uintptr_t number, bool write, const void* code) noexcept {
  if (mine == nullptr) mine = begin_thread();
  Line& line = entry_of(mine, number);
  line.number = number;
  ++(write ? line.writes : line.reads);
  if (write || line.writes == 0) line.writer = code;
}

void tell_line(const Thread& writer, const Line& line, const Thread& other) noexcept {
  const Line& there = entry_of(other.lines, line.number);
  if (there.number == 0) return;
  std::printf("{\"line\":\"%" PRIxPTR "\",\"writer\":%d,\"writes\":%" PRIu64
              ",\"code\":\"%p\",\"other\":%d,\"reads\":%" PRIu64 ",\"otherWrites\":%" PRIu64
              ",\"otherCode\":\"%p\"}\n",
              line.number * line_bytes, writer.id, line.writes, line.writer, other.id, there.reads,
              there.writes, there.writer);
}

}  // namespace

void touched(const volatile void* at, size_t bytes, bool write, const void* code) noexcept {
  if (!watching.load(std::memory_order_relaxed) || bytes == 0) return;
  const auto first = reinterpret_cast<uintptr_t>(at);
  for (uintptr_t n = first / line_bytes; n <= (first + bytes - 1) / line_bytes; ++n) {
    note(n, write, code);
  }
}

void watch(bool on) noexcept {
  watching.store(on);
}

void tell() noexcept {
  const size_t count = thread_count.load();
  for (size_t i = 0; i < count; ++i) {
    uint64_t lines = 0, writes = 0;
    for (size_t at = 0; at < entries; ++at) {
      const Line& line = threads[i].lines[at];
      if (line.writes != 0) ++lines;
      writes += line.writes;
      for (size_t other = 0; line.writes != 0 && other < count; ++other) {
        if (other != i) tell_line(threads[i], line, threads[other]);
      }
    }
    std::printf("{\"thread\":%d,\"lines\":%" PRIu64 ",\"writes\":%" PRIu64 "}\n", threads[i].id,
                lines, writes);
  }
  std::puts("{}");
  std::fflush(stdout);
}

void heard(char byte) noexcept {
  if (byte == 'b') return watch(true);
  if (byte != 'e') return;
  watch(false);
  ::usleep(100'000);  // Who saw it on has long written down what it did.
  tell();
}

}  // namespace ashlar::bench
