// Sockets: addresses, options and descriptors, without a ring.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <utility>

#include "base/result.h"
#include "reactor/network.h"

namespace ashlar {

// An owned file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }
  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

struct RawAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};

// Numeric hosts only; names are resolved elsewhere.
Result<RawAddress> to_raw(const SocketAddress& address);
SocketAddress from_raw(const RawAddress& raw);
// "127.0.0.1:4420", "[::1]:4420"
std::string to_text(const SocketAddress& address);

SocketAddress local_address(int fd);
SocketAddress peer_address(int fd);

// A bound, listening socket.
Result<Descriptor> open_listening(const SocketAddress& at);

// What every connection gets: no delay, keep-alive, a bound on unacknowledged time; for a peer on
// this machine also a congestion control without pacing (pacing, as bbr does it, costs a quarter to
// a third of the throughput over loopback). Options that the system refuses are left out.
void set_options(int fd);
// close() will reset the connection.
void set_reset_on_close(int fd);

}  // namespace ashlar
