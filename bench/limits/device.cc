// The raw device: random or sequential I/Os of one size, a number of them under way, by io_uring.
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common.h"

namespace ashlar::bench {
namespace {

struct Plan {
  std::string path;
  bool write = false, sequential = false;
  uint64_t bytes = 4096, depth = 32, span = 0, ns = 0;
};

// The thing opened, checked, and found to be worth measuring.
class Thing {
 public:
  explicit Thing(const Plan& plan) {
    struct stat found {};
    if (stat(plan.path.c_str(), &found) != 0) fail("cannot look at '" + plan.path + "'");
    const bool block = S_ISBLK(found.st_mode);
    if (!block && !S_ISREG(found.st_mode)) {
      refuse("'" + plan.path + "' is neither a file nor a block device");
    }
    // O_EXCL: a block device that is mounted, or otherwise in use, is not written.
    const int exclusive = block && plan.write ? O_EXCL : 0;
    fd = open(plan.path.c_str(),
              (plan.write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC | exclusive);
    if (fd < 0 && errno == EINVAL) {
      refuse("'" + plan.path + "' lies where O_DIRECT is not to be had (a tmpfs?); choose another");
    }
    if (fd < 0) fail("cannot open '" + plan.path + "'");
    // What is still to be written would be, meanwhile; and it may not be allocated before.
    if (!block && (fsync(fd) != 0 || fstat(fd, &found) != 0)) fail("'" + plan.path + "'");
    size_bytes = static_cast<uint64_t>(found.st_size);
    if (block && ioctl(fd, BLKGETSIZE64, &size_bytes) != 0) fail("size of '" + plan.path + "'");
    if (!block) allocated_bytes = static_cast<uint64_t>(found.st_blocks) * 512;
    if (block) allocated_bytes = size_bytes;
  }
  ~Thing() { close(fd); }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;

  int fd = -1;
  uint64_t size_bytes = 0, allocated_bytes = 0;
};

class Run {
 public:
  Run(const Plan& plan, const Thing& thing)
      : plan_(plan), slots_(plan.span / plan.bytes), latencies_(plan.ns / 1000) {
    open_ring(thing);
    begun_.resize(plan.depth);
  }
  ~Run() {
    io_uring_queue_exit(&ring_);
    munmap(memory_, plan_.bytes * plan_.depth);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  std::string go() {
    for (unsigned i = 0; i < plan_.depth; ++i) submit(i);
    spend(plan_.ns / 10);
    latencies_.clear();
    done_ = 0;
    const uint64_t from_ns = now_ns();
    spend(plan_.ns);
    const uint64_t took_ns = now_ns() - from_ns, done = done_;
    ending_ = true;
    while (under_way_ > 0) reap();
    Json json;
    json.number("perSecond", static_cast<double>(done) * 1e9 / static_cast<double>(took_ns));
    json.latencies(latencies_);
    json.raw("registeredBuffers", fixed_ ? "true" : "false");
    return json.end();
  }

 private:
  void open_ring(const Thing& thing) {
    const auto entries = static_cast<unsigned>(plan_.depth);
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int failed = io_uring_queue_init_params(entries, &ring_, &params);
    if (failed == -EINVAL) failed = io_uring_queue_init(entries, &ring_, 0);
    if (failed != 0) {
      errno = -failed;
      fail("io_uring");
    }
    const size_t bytes = plan_.bytes * plan_.depth;
    memory_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) fail("memory for the buffers");
    std::memset(memory_, 0x5a, bytes);
    const iovec whole{memory_, bytes};
    fixed_ = io_uring_register_buffers(&ring_, &whole, 1) == 0;
    if (io_uring_register_files(&ring_, &thing.fd, 1) != 0) refuse("io_uring registers no file");
  }
  uint64_t next_slot() {
    if (plan_.sequential) return sequence_++ % slots_;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ % slots_;
  }
  void submit(unsigned i) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    void* const at = static_cast<char*>(memory_) + i * plan_.bytes;
    const uint64_t offset = next_slot() * plan_.bytes;
    const auto length = static_cast<unsigned>(plan_.bytes);
    if (plan_.write) {
      fixed_ ? io_uring_prep_write_fixed(sqe, 0, at, length, offset, 0)
             : io_uring_prep_write(sqe, 0, at, length, offset);
    } else {
      fixed_ ? io_uring_prep_read_fixed(sqe, 0, at, length, offset, 0)
             : io_uring_prep_read(sqe, 0, at, length, offset);
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = i;
    begun_[i] = now_ns();
    ++under_way_;
  }
  void reap() {
    io_uring_submit_and_wait(&ring_, 1);
    unsigned head = 0, count = 0;
    io_uring_cqe* cqe = nullptr;
    const uint64_t now = now_ns();
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      --under_way_;
      if (cqe->res != static_cast<int>(plan_.bytes)) {
        errno = cqe->res < 0 ? -cqe->res : EIO;
        fail((plan_.write ? "write to '" : "read of '") + plan_.path + "'");
      }
      latencies_.add(now - begun_[cqe->user_data]);
      ++done_;
      if (!ending_) submit(static_cast<unsigned>(cqe->user_data));
    }
    io_uring_cq_advance(&ring_, count);
  }
  void spend(uint64_t ns) {
    const uint64_t until = now_ns() + ns;
    while (now_ns() < until) reap();
  }

  const Plan& plan_;
  const uint64_t slots_;
  io_uring ring_{};
  void* memory_ = nullptr;
  bool fixed_ = false, ending_ = false;
  std::vector<uint64_t> begun_;
  Latencies latencies_;
  uint64_t random_ = 0x9e3779b97f4a7c15, sequence_ = 0;
  uint64_t under_way_ = 0, done_ = 0;
};

}  // namespace

int run_device(const Options& options) {
  Plan plan;
  plan.path = options.text("path", "");
  if (plan.path.empty()) refuse("--path is missing: a file or a block device");
  plan.write = options.has("write");
  plan.sequential = options.has("sequential");
  plan.bytes = options.number("bytes", 4096, 512, 4 << 20);
  plan.depth = options.number("depth", 32, 1, 4096);
  plan.ns = options.number("ms", 1000, 1, 3'600'000) * 1'000'000;
  if (plan.bytes % 512 != 0) refuse("--bytes is no multiple of 512");
  if (plan.write && !options.has("overwrite")) {
    refuse("writing would destroy what '" + plan.path + "' holds; say --overwrite if it may");
  }
  const Thing thing(plan);
  plan.span = options.number("span", thing.size_bytes, plan.bytes, thing.size_bytes);
  if (plan.span < plan.bytes) refuse("'" + plan.path + "' is smaller than one I/O");
  // Holes are answered without the device.
  if (!plan.write && thing.allocated_bytes < thing.size_bytes / 10 * 9) {
    refuse("'" + plan.path + "' has holes, which no device is asked for; write all of it first");
  }
  if (options.has("cpu")) pin(static_cast<int>(options.number("cpu", 0, 0, 4095)));
  Json json;
  json.text("kind", "device").text("path", plan.path).text("op", plan.write ? "write" : "read");
  json.text("pattern", plan.sequential ? "sequential" : "random");
  json.number("bytes", static_cast<double>(plan.bytes));
  json.number("depth", static_cast<double>(plan.depth));
  json.number("spanBytes", static_cast<double>(plan.span));
  json.raw("result", Run(plan, thing).go());
  std::puts(json.end().c_str());
  return 0;
}

}  // namespace ashlar::bench
