#include "device/device_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/uuid.h"

namespace ashlar {

namespace {

// statx fields that are newer than the headers we may be built with (Linux 6.11).
constexpr unsigned mask_write_atomic = 0x00010000;
constexpr size_t offset_atomic_write_unit_max = 0xac;
static_assert(sizeof(struct statx) == 256);

Error open_error(int errno_value, const DeviceFileOptions& options) {
  const std::string& path = options.path;
  switch (errno_value) {
    case ENOENT:
      if (options.create_size_bytes) {
        return {ErrorCode::not_found,
                "cannot create " + path + ": its directory does not exist; make it first"};
      }
      return {ErrorCode::not_found,
              path + " does not exist; check the path, or create a pool there first"};
    case ENOTDIR:
      return {ErrorCode::not_found, path + ": a part of the path is not a directory"};
    case EISDIR: return {ErrorCode::invalid_argument, path + " is a directory; name a file in it"};
    case EACCES:
    case EPERM:
      return {ErrorCode::permission_denied,
              "no permission to open " + path + (options.read_only ? " for reading" : " for writing") +
                  "; run as its owner, or change its owner or mode"};
    case EROFS:
      return {ErrorCode::permission_denied,
              path + " is on a read-only file system; remount it writable or choose another path"};
    case EBUSY:
      return {ErrorCode::pool_locked,
              path + " is in use (mounted, or claimed by another driver); release it first"};
    case ENOSPC:
    case EDQUOT:
      return {ErrorCode::no_space,
              "no space to create " + path + "; free some on that file system or choose another"};
    case ENXIO:
    case ENODEV:
      return {ErrorCode::not_found, path + ": there is no device behind this name"};
    case ELOOP:
    case ENAMETOOLONG: return {ErrorCode::invalid_argument, path + ": " + strerrordesc_np(errno_value)};
    default: return error_from_errno(errno_value, "cannot open " + path);
  }
}

constexpr uint32_t lock_wait_ms = 5;
constexpr uint32_t max_lock_wait_ms = 5000;

// The process that holds a flock on the file, from /proc/locks ("1: FLOCK ADVISORY WRITE 123
// 08:01:456 0 EOF"); 0 when the system does not tell.
int lock_holder(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return 0;
  const std::unique_ptr<FILE, int (*)(FILE*)> file(
      std::fopen("/proc/locks", "re"), [](FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  if (file == nullptr) return 0;
  char line[256];
  while (std::fgets(line, sizeof line, file.get()) != nullptr) {
    int pid = 0;
    unsigned major_number = 0;
    unsigned minor_number = 0;
    unsigned long inode = 0;
    if (std::sscanf(line, "%*u: FLOCK %*s %*s %d %x:%x:%lu", &pid, &major_number, &minor_number,
                    &inode) == 4 &&
        inode == status.st_ino && makedev(major_number, minor_number) == status.st_dev && pid > 0) {
      return pid;
    }
  }
  return 0;
}

// Killed, or ended: nothing of it runs any more. The kernel may still hold its files for the
// operations that were under way in its rings.
bool has_ended(int pid) {
  char exe[32];
  char target[16];
  std::snprintf(exe, sizeof exe, "/proc/%d/exe", pid);
  return readlink(exe, target, sizeof target) < 0 && errno == ENOENT;
}

uint64_t read_queue_limit(dev_t device, const char* name) {
  char path[128];
  // A partition's queue is its parent's.
  for (const char* place : {"queue", "../queue"}) {
    std::snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%s/%s", major(device), minor(device),
                  place, name);
    const std::unique_ptr<FILE, int (*)(FILE*)> file(
        std::fopen(path, "re"), [](FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
    unsigned long long value = 0;
    if (file != nullptr && std::fscanf(file.get(), "%llu", &value) == 1) return value;
  }
  return 0;
}

}  // namespace

Result<std::shared_ptr<DeviceFile>> DeviceFile::open(const DeviceFileOptions& options) {
  CHECK(!(options.read_only && options.create_size_bytes));
  const std::shared_ptr<DeviceFile> file(new DeviceFile());
  file->path_ = options.path;
  file->read_only_ = options.read_only;
  Status status = file->open_descriptor(options);
  if (status) status = file->lock(options.read_only);
  if (status) status = file->set_size(options);
  if (status) status = file->measure();
  if (!status) return status.error();
  const uint64_t wanted = options.create_size_bytes.value_or(0);
  if (wanted != 0 && wanted != file->geometry_.size_bytes && !file->created_) {
    return Error{ErrorCode::already_exists,
                 options.path + " exists already and has " +
                     std::to_string(file->geometry_.size_bytes) + " bytes, not " +
                     std::to_string(wanted) + "; leave the size out to use it as it is"};
  }
  return file;
}

DeviceFile::~DeviceFile() {
  // Removed while still locked, so that nobody has begun to use it.
  if (created_) ::unlink(path_.c_str());
  for (const std::span<std::byte> each : mapped_) ::munmap(each.data(), each.size());
  if (fd_ >= 0) ::close(fd_);
}

namespace {

// Random at every start of the machine, the same for every process and container on it.
Uuid read_boot_id() {
  std::FILE* file = std::fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file == nullptr) return nil_uuid;
  char text[37] = {};
  const size_t length = std::fread(text, 1, 36, file);
  std::fclose(file);
  return parse_uuid(std::string_view(text, length)).value_or(nil_uuid);
}

}  // namespace

KillSafeMemory DeviceFile::map(uint64_t offset_bytes, uint64_t length_bytes) {
  CHECK(offset_bytes <= geometry_.size_bytes &&
        length_bytes <= geometry_.size_bytes - offset_bytes);
  KillSafeMemory memory;
  memory.kind = KillSafeMemory::Kind::none;
  memory.boot = read_boot_id();
  if (memory.boot == nil_uuid) return memory;
  void* address = ::mmap(nullptr, length_bytes, read_only_ ? PROT_READ : PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_POPULATE, fd_, static_cast<off_t>(offset_bytes));
  if (address == MAP_FAILED) return memory;
  memory.kind = KillSafeMemory::Kind::mapped;
  memory.bytes = {static_cast<std::byte*>(address), length_bytes};
  mapped_.push_back(memory.bytes);
  return memory;
}

Status DeviceFile::keep() {
  if (Status status = make_durable(); !status.ok()) return status;
  stay();
  return Unit{};
}

Status DeviceFile::make_durable() {
  if (!created_) return Unit{};
  const size_t slash = path_.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : path_.substr(0, slash);
  const int directory_fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_fd < 0) return error_from_errno(errno, "cannot open directory " + directory);
  const int failed = ::fsync(fd_) != 0 || ::fsync(directory_fd) != 0 ? errno : 0;
  ::close(directory_fd);
  if (failed != 0) return error_from_errno(failed, "cannot make " + path_ + " durable");
  return Unit{};
}

Status DeviceFile::open_descriptor(const DeviceFileOptions& options) {
  const char* path = options.path.c_str();
  const int base = (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
  struct stat status {};
  const bool exists = ::stat(path, &status) == 0;
  if (exists) {
    if (S_ISDIR(status.st_mode)) return open_error(EISDIR, options);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
      return Error{ErrorCode::invalid_argument,
                   options.path + " is neither a regular file nor a block device"};
    }
    block_device_ = S_ISBLK(status.st_mode);
  } else if (errno != ENOENT || !options.create_size_bytes) {
    return open_error(errno, options);
  } else if (*options.create_size_bytes == 0) {
    return Error{ErrorCode::invalid_argument,
                 options.path + " does not exist, so its size must be given"};
  }
  // O_EXCL without O_CREAT refuses a block device that is mounted or otherwise claimed.
  const int exclusive = !exists                               ? O_CREAT | O_EXCL
                        : block_device_ && !options.read_only ? O_EXCL
                                                              : 0;
  fd_ = ::open(path, base | exclusive | O_DIRECT, 0600);
  direct_ = fd_ >= 0;
  if (fd_ < 0 && errno == EINVAL) {
    // The file system has no direct I/O. The attempt may have made the file all the same.
    fd_ = ::open(path, base | (exclusive & ~O_EXCL), 0600);
  }
  if (fd_ < 0) return open_error(errno, options);
  created_ = !exists;
  return Unit{};
}

Status DeviceFile::lock(bool shared) {
  // A daemon that is started again at once after it was killed meets its own past: the lock goes
  // when the kernel has ended that process's operations.
  for (uint32_t waited_ms = 0;; waited_ms += lock_wait_ms) {
    if (::flock(fd_, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return Unit{};
    if (errno != EWOULDBLOCK) return error_from_errno(errno, "cannot lock " + path_);
    const int holder = lock_holder(fd_);
    // No holder to be found: it has just let go, or lives where this process cannot see it.
    const bool ending = holder == 0 ? waited_ms == 0 : has_ended(holder);
    if (ending && waited_ms < max_lock_wait_ms) {
      ::usleep(lock_wait_ms * 1000);
      continue;
    }
    const std::string who = holder == 0          ? "another process"
                            : holder == getpid() ? "this process"
                                                 : "process " + std::to_string(holder);
    return Error{ErrorCode::pool_locked,
                 path_ + " is in use by " + who + "; stop it or choose another path"};
  }
}

Status DeviceFile::set_size(const DeviceFileOptions& options) {
  if (!created_) return Unit{};
  // Sparse: nothing is allocated until it is written.
  const uint64_t size = *options.create_size_bytes;
  if (size <= INT64_MAX && ::ftruncate(fd_, static_cast<off_t>(size)) == 0) return Unit{};
  if (size > INT64_MAX || errno == EFBIG || errno == EINVAL) {
    return Error{ErrorCode::no_space, "the file system of " + path_ + " cannot hold a file of " +
                                          std::to_string(size) +
                                          " bytes; choose a smaller size or another file system"};
  }
  return open_error(errno, options);
}

Status DeviceFile::measure() {
  struct stat status {};
  if (fstat(fd_, &status) != 0) return error_from_errno(errno, "cannot stat " + path_);
  struct statx extended {};
  // STATX_BASIC_STATS fields are read by fstat above; what a kernel does not know stays zero.
  (void)statx(fd_, "", AT_EMPTY_PATH, STATX_DIOALIGN | mask_write_atomic, &extended);
  uint32_t offset_alignment = 512;
  uint32_t memory_alignment = 512;
  uint32_t atomic_bytes = 512;
  if (block_device_) {
    uint64_t size = 0;
    int logical = 512;
    unsigned physical = 512;
    if (ioctl(fd_, BLKGETSIZE64, &size) != 0 || ioctl(fd_, BLKSSZGET, &logical) != 0 ||
        ioctl(fd_, BLKPBSZGET, &physical) != 0) {
      return error_from_errno(errno, "cannot measure the block device " + path_);
    }
    geometry_.size_bytes = size;
    offset_alignment = static_cast<uint32_t>(logical);
    memory_alignment = offset_alignment;
    atomic_bytes = std::max(offset_alignment, physical);
    geometry_.discard = read_queue_limit(status.st_rdev, "discard_max_bytes") > 0;
  } else {
    geometry_.size_bytes = static_cast<uint64_t>(status.st_size);
    geometry_.discard = true;
  }
  if ((extended.stx_mask & STATX_DIOALIGN) != 0 && direct_) {
    // Zeroes: direct I/O was accepted at open but does not work on this file.
    const uint32_t offset = extended.stx_dio_offset_align;
    if (offset == 0 || offset > 4096 || extended.stx_dio_mem_align > 4096) {
      if (fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) & ~O_DIRECT) == 0) direct_ = false;
    } else {
      offset_alignment = std::max(offset_alignment, offset);
      memory_alignment = std::max(memory_alignment, extended.stx_dio_mem_align);
    }
  }
  if ((extended.stx_mask & mask_write_atomic) != 0) {
    uint32_t unit = 0;
    std::memcpy(&unit, reinterpret_cast<const char*>(&extended) + offset_atomic_write_unit_max,
                sizeof unit);
    atomic_bytes = std::max(atomic_bytes, unit);
  }
  if (offset_alignment > 4096 || !std::has_single_bit(offset_alignment)) {
    return Error{ErrorCode::invalid_argument,
                 path_ + " has blocks of " + std::to_string(offset_alignment) +
                     " bytes; only powers of two up to 4096 are supported"};
  }
  geometry_.logical_block_bytes = offset_alignment <= 512 ? 512 : 4096;
  geometry_.memory_alignment_bytes = std::max(memory_alignment, 512u);
  geometry_.atomic_write_bytes = std::bit_floor(std::clamp(atomic_bytes, 512u, 1u << 20));
  geometry_.size_bytes = round_down(geometry_.size_bytes, geometry_.logical_block_bytes);
  geometry_.volatile_cache = true;
  return Unit{};
}

}  // namespace ashlar
