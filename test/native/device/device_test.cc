#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "../reactor/on_reactor.h"
#include "device/device_file.h"
#include "device/memory_device.h"
#include "device/uring_device.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::test;

namespace {

// A directory that goes away with everything in it.
struct Directory {
  explicit Directory(const char* base = nullptr) {
    const char* tmp = base != nullptr ? base : std::getenv("TMPDIR");
    path = std::string(tmp != nullptr ? tmp : "/var/tmp") + "/ashlar-test-XXXXXX";
    REQUIRE(mkdtemp(path.data()) != nullptr);
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return path + "/" + name; }
  std::string path;
};

struct PageMemory {
  explicit PageMemory(size_t length) : size(length) {
    bytes = static_cast<std::byte*>(std::aligned_alloc(4096, (length + 4095) / 4096 * 4096));
  }
  ~PageMemory() { std::free(bytes); }
  PageMemory(const PageMemory&) = delete;
  PageMemory& operator=(const PageMemory&) = delete;
  std::byte* bytes;
  size_t size;
};

struct WaitableOp : DeviceOp {
  WaitableOp(DeviceOpKind what, uint64_t offset, std::vector<iovec> memory = {},
             uint64_t length = 0)
      : parts(std::move(memory)) {
    kind = what;
    offset_bytes = offset;
    length_bytes = length;
    for (const iovec& part : parts) length_bytes += part.iov_len;
    segments = parts;
    done = [](DeviceOp& op) noexcept { static_cast<WaitableOp&>(op).signal.raise(); };
  }
  std::vector<iovec> parts;
  Signal signal;
};

int carry_out(Loop& loop, Device& device, WaitableOp& op) {
  on(loop, [&] { device.submit(op); });
  op.signal.wait();
  return op.result;
}

// The same scenarios for a device over a file and over memory.
struct Bench {
  explicit Bench(bool memory, uint64_t size = 8 << 20) : reactor(start_reactor()) {
    if (memory) {
      device = std::make_unique<MemoryDevice>(*reactor,
                                              std::move(DeviceMemory::open(size)).value());
    } else {
      auto file = DeviceFile::open({directory.file("pool"), size, false});
      REQUIRE(file.ok());
      device = std::make_unique<UringDevice>(*reactor, std::move(file).value());
    }
  }
  Directory directory;
  std::unique_ptr<UringReactor> reactor;
  std::unique_ptr<Device> device;
};

void fill_random(PageMemory& memory, uint32_t seed) {
  std::mt19937 random(seed);
  for (size_t i = 0; i < memory.size; ++i) memory.bytes[i] = static_cast<std::byte>(random());
}

void round_trip(bool memory) {
  Bench bench(memory);
  PageMemory out(1 << 20);
  PageMemory in(1 << 20);
  fill_random(out, 5);
  // More segments than one request takes.
  std::vector<iovec> out_parts;
  std::vector<iovec> in_parts;
  for (size_t at = 0; at < out.size; at += 8192) {
    out_parts.push_back({out.bytes + at, 8192});
    in_parts.push_back({in.bytes + at, 8192});
  }
  WaitableOp write(DeviceOpKind::write, 4096, out_parts);
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, write), 0);
  WaitableOp flush(DeviceOpKind::flush, 0);
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, flush), 0);
  WaitableOp read(DeviceOpKind::read, 4096, in_parts);
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, read), 0);
  CHECK_EQ(std::memcmp(out.bytes, in.bytes, out.size), 0);
  WaitableOp durable(DeviceOpKind::write, 0, {{out.bytes, 4096}});
  durable.durable = true;
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, durable), 0);
}

void many_at_once(bool memory) {
  Bench bench(memory);
  constexpr size_t count = 3 * limits::device_slots;
  PageMemory out(count * 4096);
  fill_random(out, 6);
  std::deque<WaitableOp> writes;
  on(*bench.reactor, [&] {
    for (size_t i = 0; i < count; ++i) {
      writes.emplace_back(DeviceOpKind::write, i * 4096,
                          std::vector<iovec>{{out.bytes + i * 4096, 4096}});
      bench.device->submit(writes.back());
    }
  });
  for (WaitableOp& write : writes) {
    write.signal.wait();
    REQUIRE_EQ(write.result, 0);
  }
  PageMemory in(out.size);
  WaitableOp read(DeviceOpKind::read, 0, {{in.bytes, in.size}});
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, read), 0);
  CHECK_EQ(std::memcmp(out.bytes, in.bytes, out.size), 0);
}

void past_the_end(bool memory) {
  Bench bench(memory);
  PageMemory in(8192);
  WaitableOp read(DeviceOpKind::read, bench.device->geometry().size_bytes - 4096,
                  {{in.bytes, 8192}});
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, read), -EIO);
}

void discarded(bool memory) {
  Bench bench(memory);
  PageMemory page(4096);
  std::memset(page.bytes, 7, page.size);
  WaitableOp write(DeviceOpKind::write, 65536, {{page.bytes, page.size}});
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, write), 0);
  WaitableOp discard(DeviceOpKind::discard, 65536, {}, 65536);
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, discard), 0);
  WaitableOp read(DeviceOpKind::read, 65536, {{page.bytes, page.size}});
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, read), 0);
}

ErrorCode code_of(const DeviceFileOptions& options, std::string* message = nullptr) {
  const auto file = DeviceFile::open(options);
  REQUIRE_FALSE(file.ok());
  CHECK_EQ(file.error().message.find('\n'), std::string::npos);
  if (message != nullptr) *message = file.error().message;
  return file.error().code;
}

}  // namespace

TEST_CASE("file device: what is written in many segments is read back") { round_trip(false); }
TEST_CASE("memory device: what is written in many segments is read back") { round_trip(true); }
TEST_CASE("file device: three times more operations than slots all complete") {
  many_at_once(false);
}
TEST_CASE("memory device: many operations at once all complete") { many_at_once(true); }
TEST_CASE("file device: a read across the end fails with EIO") { past_the_end(false); }
TEST_CASE("memory device: a read across the end fails with EIO") { past_the_end(true); }
TEST_CASE("file device: a discarded range can be read") { discarded(false); }
TEST_CASE("memory device: a discarded range can be read") { discarded(true); }

TEST_CASE("file device: reads into registered buffers and others give the same") {
  Bench bench(false);
  PageMemory out(128 * 1024);
  fill_random(out, 9);
  BufferRequest buffers;
  buffers.length_bytes = 128 * 1024;
  on(*bench.reactor, [&] { CHECK(bench.reactor->buffers().acquire(buffers)); });
  std::memcpy(buffers.pieces[0].iov_base, out.bytes, out.size);
  WaitableOp write(DeviceOpKind::write, 0, {buffers.pieces[0]});
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, write), 0);
  std::memset(buffers.pieces[0].iov_base, 0, out.size);
  WaitableOp read(DeviceOpKind::read, 0, {buffers.pieces[0]});
  CHECK_EQ(carry_out(*bench.reactor, *bench.device, read), 0);
  CHECK_EQ(std::memcmp(buffers.pieces[0].iov_base, out.bytes, out.size), 0);
  on(*bench.reactor, [&] { bench.reactor->buffers().release(buffers); });
}

TEST_CASE("device file: made sparse, and gone again unless kept") {
  Directory directory;
  const std::string path = directory.file("pool");
  {
    const auto file = DeviceFile::open({path, 1ull << 40, false});
    REQUIRE(file.ok());
    CHECK(file.value()->created());
    CHECK_EQ(file.value()->geometry().size_bytes, 1ull << 40);
    struct stat status {};
    REQUIRE_EQ(stat(path.c_str(), &status), 0);
    CHECK_LT(status.st_blocks, 100);
  }
  CHECK_FALSE(std::filesystem::exists(path));
  {
    const auto file = DeviceFile::open({path, 1 << 20, false});
    REQUIRE(file.ok());
    REQUIRE(file.value()->keep().ok());
  }
  CHECK(std::filesystem::exists(path));
  // Opening for creation what exists neither resizes nor removes it.
  {
    const auto file = DeviceFile::open({path, 0, false});
    REQUIRE(file.ok());
    CHECK_EQ(file.value()->geometry().size_bytes, 1u << 20);
  }
  CHECK_EQ(code_of({path, 2 << 20, false}), ErrorCode::already_exists);
  CHECK_EQ(std::filesystem::file_size(path), 1u << 20);
}

TEST_CASE("device file: refusals say what it is and what to do") {
  Directory directory;
  std::string message;
  CHECK_EQ(code_of({directory.file("none"), std::nullopt, false}, &message), ErrorCode::not_found);
  CHECK_NE(message.find(directory.file("none")), std::string::npos);
  CHECK_EQ(code_of({directory.file("no/where"), 1 << 20, false}, &message), ErrorCode::not_found);
  CHECK_NE(message.find("directory does not exist"), std::string::npos);
  CHECK_EQ(code_of({directory.path, std::nullopt, false}, &message), ErrorCode::invalid_argument);
  CHECK_NE(message.find("is a directory"), std::string::npos);
  CHECK_EQ(code_of({directory.file("new"), 0, false}, &message), ErrorCode::invalid_argument);
  CHECK_NE(message.find("size must be given"), std::string::npos);
  CHECK_EQ(code_of({"/dev/null", std::nullopt, false}), ErrorCode::invalid_argument);
  CHECK_EQ(code_of({directory.file("huge"), UINT64_MAX, false}), ErrorCode::no_space);
  CHECK_FALSE(std::filesystem::exists(directory.file("huge")));
}

TEST_CASE("device file: a second user is refused and told who holds it; readers share") {
  Directory directory;
  const std::string path = directory.file("pool");
  const auto file = DeviceFile::open({path, 1 << 20, false});
  REQUIRE(file.ok());
  std::string message;
  CHECK_EQ(code_of({path, std::nullopt, false}, &message), ErrorCode::pool_locked);
  CHECK_NE(message.find("this process"), std::string::npos);
  CHECK_EQ(code_of({path, std::nullopt, true}), ErrorCode::pool_locked);
}

TEST_CASE("device file: another process that holds the lock is named") {
  Directory directory;
  const std::string path = directory.file("pool");
  std::ofstream(path) << std::string(4096, 'x');
  int ready[2];
  REQUIRE_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int fd = ::open(path.c_str(), O_RDWR);
    char byte = flock(fd, LOCK_EX) == 0 ? 'y' : 'n';
    (void)!write(ready[1], &byte, 1);
    pause();
    _exit(0);
  }
  char answer = 0;
  REQUIRE_EQ(read(ready[0], &answer, 1), 1);
  CHECK_EQ(answer, 'y');
  std::string message;
  CHECK_EQ(code_of({path, std::nullopt, false}, &message), ErrorCode::pool_locked);
  CHECK_NE(message.find("process " + std::to_string(child)), std::string::npos);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  const auto file = DeviceFile::open({path, std::nullopt, false});
  CHECK(file.ok());
}

TEST_CASE("device file: two readers share the lock") {
  Directory directory;
  const std::string path = directory.file("pool");
  std::ofstream(path) << std::string(4096, 'x');
  const auto first = DeviceFile::open({path, std::nullopt, true});
  const auto second = DeviceFile::open({path, std::nullopt, true});
  CHECK(first.ok());
  CHECK(second.ok());
  CHECK_EQ(code_of({path, std::nullopt, false}), ErrorCode::pool_locked);
}

TEST_CASE("device file: no permission is said so") {
  if (geteuid() == 0) {
    MESSAGE("skipped: root may open everything");
    return;
  }
  Directory directory;
  const std::string path = directory.file("pool");
  std::ofstream(path) << std::string(4096, 'x');
  REQUIRE_EQ(chmod(path.c_str(), 0), 0);
  CHECK_EQ(code_of({path, std::nullopt, false}), ErrorCode::permission_denied);
}

TEST_CASE("device file: geometry is usable on a disk and in shared memory") {
  for (const char* base : {static_cast<const char*>(nullptr), "/dev/shm"}) {
    CAPTURE(base);
    Directory directory(base);
    const auto file = DeviceFile::open({directory.file("pool"), (1 << 20) + 100, false});
    REQUIRE(file.ok());
    const DeviceGeometry& geometry = file.value()->geometry();
    CHECK_EQ(geometry.size_bytes % geometry.logical_block_bytes, 0u);
    CHECK_LE(geometry.logical_block_bytes, 4096u);
    CHECK_GE(geometry.atomic_write_bytes, 512u);
    CHECK_LE(geometry.memory_alignment_bytes, 4096u);
  }
}
