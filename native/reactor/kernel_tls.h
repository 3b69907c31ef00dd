// Kernel TLS: the records of a TCP connection done by Linux (CONFIG_TLS), with keys that a
// handshake elsewhere has agreed on. System calls on descriptors; tls/stream.cc decides when.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "reactor/network.h"

namespace ashlar {

// One direction of a TLS 1.3 connection under AES-GCM (RFC 8446, 5.3). A secret: not left behind in
// memory.
struct TlsRecordKeys {
  TlsRecordKeys() = default;
  ~TlsRecordKeys();
  TlsRecordKeys(const TlsRecordKeys&) = delete;
  TlsRecordKeys& operator=(const TlsRecordKeys&) = delete;

  size_t key_bytes = 0;  // 16 or 32: which AES.
  std::array<std::byte, 32> key{};
  std::array<std::byte, 12> iv{};
  uint64_t sequence = 0;  // Of the next record.
};

// Why this kernel does not do TLS 1.3 with AES-128-GCM and AES-256-GCM; none: it does. Tried with a
// connection to this process of its own, a byte through each cipher, under a key of nobody's. The
// kernel may load its module for that.
std::optional<std::string> kernel_tls_problem();

// As Stream::offload_tls() says, for a connected socket.
TlsOffload kernel_tls_begin(int fd, const TlsRecordKeys& receive,
                            const TlsRecordKeys& send) noexcept;
// Takes the record that a plain receive cannot give, for which that ended with EIO. What the
// receive has met instead: 0, close_notify; -EKEYEXPIRED, a KeyUpdate; -EPROTO, anything else.
int kernel_tls_take_record(int fd) noexcept;
// Says close_notify, if the socket has room for it now.
void kernel_tls_close_notify(int fd) noexcept;

}  // namespace ashlar
