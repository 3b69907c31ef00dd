#include "reactor/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "reactor/limits.h"

namespace ashlar {

namespace {

bool is_loopback(const RawAddress& raw) noexcept {
  if (raw.storage.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(raw.storage);
    return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
  }
  if (raw.storage.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(raw.storage);
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 127);
  }
  return false;
}

template <class T>
void set_option(int fd, int level, int name, const T& value) noexcept {
  (void)setsockopt(fd, level, name, &value, sizeof value);
}

Error listen_error(int errno_value, const SocketAddress& at) {
  const std::string where = to_text(at);
  switch (errno_value) {
    case EADDRINUSE:
      return {ErrorCode::address_in_use, "cannot listen on " + where +
                                             ": another program does already; stop it or choose "
                                             "another port"};
    case EADDRNOTAVAIL:
      return {ErrorCode::address_unavailable, "cannot listen on " + where +
                                                  ": this machine has no such address; use one of "
                                                  "its own, or 0.0.0.0 for all"};
    case EACCES:
    case EPERM:
      return {ErrorCode::permission_denied, "cannot listen on " + where +
                                                ": not permitted; ports below 1024 need "
                                                "CAP_NET_BIND_SERVICE"};
    default: return error_from_errno(errno_value, "cannot listen on " + where);
  }
}

}  // namespace

void Descriptor::reset() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<RawAddress> to_raw(const SocketAddress& address) {
  RawAddress raw;
  auto& in = reinterpret_cast<sockaddr_in&>(raw.storage);
  if (inet_pton(AF_INET, address.host.c_str(), &in.sin_addr) == 1) {
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    raw.length = sizeof in;
    return raw;
  }
  // getaddrinfo rather than inet_pton: it knows zones ("fe80::1%eth0").
  addrinfo hints{};
  hints.ai_family = AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found) != 0) {
    return Error{ErrorCode::invalid_argument,
                 "'" + address.host + "' is not an IP address; write it in numbers, as 127.0.0.1 or ::1"};
  }
  CHECK(found->ai_addrlen <= sizeof raw.storage);
  std::memcpy(&raw.storage, found->ai_addr, found->ai_addrlen);
  raw.length = found->ai_addrlen;
  freeaddrinfo(found);
  return raw;
}

SocketAddress from_raw(const RawAddress& raw) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(raw.get(), raw.length, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  return {host, static_cast<uint16_t>(std::strtoul(port, nullptr, 10))};
}

std::string to_text(const SocketAddress& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

SocketAddress local_address(int fd) {
  RawAddress raw;
  raw.length = sizeof raw.storage;
  if (getsockname(fd, raw.get(), &raw.length) != 0) return {};
  return from_raw(raw);
}

SocketAddress peer_address(int fd) {
  RawAddress raw;
  raw.length = sizeof raw.storage;
  if (getpeername(fd, raw.get(), &raw.length) != 0) return {};
  return from_raw(raw);
}

Result<Descriptor> open_listening(const SocketAddress& at) {
  Result<RawAddress> raw = to_raw(at);
  if (!raw) return raw.error();
  const int family = raw.value().storage.ss_family;
  Descriptor socket_fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket_fd.valid()) return listen_error(errno, at);
  set_option(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (::bind(socket_fd.get(), raw.value().get(), raw.value().length) != 0 ||
      ::listen(socket_fd.get(), limits::listen_backlog) != 0) {
    return listen_error(errno, at);
  }
  return socket_fd;
}

void set_options(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, limits::keepalive_idle_s);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, limits::keepalive_interval_s);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, limits::keepalive_probes);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, limits::unacknowledged_ms);
  RawAddress peer;
  peer.length = sizeof peer.storage;
  if (getpeername(fd, peer.get(), &peer.length) != 0 || !is_loopback(peer)) return;
  static constexpr const char* without_pacing[] = {"cubic", "reno"};
  for (const char* name : without_pacing) {
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name,
                   static_cast<socklen_t>(std::strlen(name))) == 0) {
      return;
    }
  }
}

void set_reset_on_close(int fd) { set_option(fd, SOL_SOCKET, SO_LINGER, linger{1, 0}); }

}  // namespace ashlar
