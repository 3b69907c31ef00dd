// Network: the seam through which all code reaches byte streams (TCP).
//
// One Network belongs to one loop; every call and every completion is on that loop's thread.
// Completions run from the loop, never from inside the call that started the operation.
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "reactor/loop.h"

namespace ashlar {

// "127.0.0.1", "::1" or "0.0.0.0", and a port; port 0 asks the system for a free one.
struct SocketAddress {
  std::string host;
  uint16_t port = 0;
};

// One receive or one send under way. Embedded in its owner, who keeps it and the memory it names
// alive until done() has run.
struct StreamOp {
  std::span<std::byte> into;        // Receive: where to; completes with 1 byte or more.
  std::span<const iovec> segments;  // Send: what; completes when all of it is handed over.
  int64_t result = 0;               // Bytes; 0 from a receive is the peer's end; or -errno.
  void (*done)(StreamOp&) noexcept = nullptr;
  void* context = nullptr;
};

struct TlsRecordKeys;  // reactor/kernel_tls.h

enum class TlsOffload : uint8_t {
  done,
  refused,  // The stream carries bytes as before.
  broken,   // One direction has its keys and the other has not: only close() is left.
};

class Stream {
 public:
  virtual ~Stream() = default;  // Only after close() has told its task, or before any operation.
  // At most one receive and one send are under way at a time (CHECKed).
  virtual void receive(StreamOp& op) noexcept = 0;
  virtual void send(StreamOp& op) noexcept = 0;
  // Hands over what fits at once, without an operation: bytes, maybe fewer than all, or -errno
  // (-EAGAIN: nothing fits now, or this stream cannot). Not while a send is under way. The memory
  // is the caller's again when it returns.
  virtual int64_t send_now(std::span<const iovec> /*segments*/) noexcept { return -EAGAIN; }
  // Ends both directions at once. Operations under way complete with -ECANCELED first, then
  // `closed` runs. `linger`: let bytes already handed to the kernel reach the peer (FIN), otherwise
  // the connection is reset.
  virtual void close(bool linger, Task& closed) noexcept = 0;
  virtual SocketAddress local() const = 0;
  virtual SocketAddress peer() const = 0;
  // The name that the peer has proved to own a key for; empty when it has proved nothing.
  virtual std::string peer_identity() const { return {}; }
  // Has the system do the TLS 1.3 records of both directions from here on; not while an operation
  // is under way (CHECKed). Operations carry their content then. The peer's close_notify is an
  // end, other records that are no content are -EKEYEXPIRED (KeyUpdate) or -EPROTO, one that is not
  // the peer's is -EBADMSG, and close() with `linger` says close_notify, if there is room at once.
  virtual TlsOffload offload_tls(const TlsRecordKeys& /*receive*/,
                                 const TlsRecordKeys& /*send*/) noexcept {
    return TlsOffload::refused;
  }
};

// A connection that was accepted but is not yet bound to a loop, so that the acceptor may hand it
// to another reactor. Destroying it unused closes it.
class AcceptedStream {
 public:
  virtual ~AcceptedStream() = default;
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual SocketAddress local() const = 0;
  virtual void close(Task& closed) noexcept = 0;  // on_accept is not called again.
};

struct ConnectOp {
  SocketAddress to;
  uint64_t timeout_ns = 0;
  std::unique_ptr<Stream> stream;  // Set when result is 0.
  int result = 0;                  // 0 or -errno.
  void (*done)(ConnectOp&) noexcept = nullptr;
  void* context = nullptr;
};

class Network {
 public:
  virtual ~Network() = default;
  // Fails with address_in_use, address_unavailable, permission_denied or invalid_argument.
  virtual Result<std::unique_ptr<Listener>> listen(
      const SocketAddress& at, std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) = 0;
  // Binds an accepted connection to this network's loop.
  virtual Result<std::unique_ptr<Stream>> adopt(std::unique_ptr<AcceptedStream> accepted) = 0;
  virtual void connect(ConnectOp& op) noexcept = 0;
};

}  // namespace ashlar
