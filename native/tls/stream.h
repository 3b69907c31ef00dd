// TlsStream: a Stream whose bytes are the content of a TLS 1.3 connection over another Stream, for
// the controller's end. The owner sees an ordinary Stream: the handshake happens inside of its first
// receive, and what goes wrong is that receive's error.
//
// Where plain connections are allowed as well, the first byte decides: 16h is a ClientHello, and an
// ICReq begins with 00h. A connection found plain costs one copy of its first bytes and then one
// call more an operation.
//
// Where the context has the kernel do records, the keys go to the inner stream when the handshake
// is done, and operations go to it as they are from then on. Until then no receive asks for more
// than the rest of one record, so that whatever comes under those keys is the kernel's to read:
//
//   ClientHello | CCS, Finished, one receive for each header and each content | kernel
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "reactor/counters.h"
#include "reactor/loop.h"
#include "reactor/network.h"
#include "tls/record_keys.h"
#include "tls/session.h"

namespace ashlar::tls {

class TlsStream final : public Stream {
 public:
  TlsStream(Loop& loop, std::unique_ptr<Stream> inner, std::shared_ptr<Context> context,
            bool plain_allowed, ReactorCounters& counters);
  ~TlsStream() override;

  // Errors beside the inner stream's: -EPROTO, when the peer is not let in or breaks the protocol.
  // An alert that says why is on its way then, and close() sees it out.
  void receive(StreamOp& op) noexcept override;
  // Only after a receive has succeeded (CHECKed).
  void send(StreamOp& op) noexcept override;
  int64_t send_now(std::span<const iovec> segments) noexcept override;
  // With `linger`, says close_notify.
  void close(bool linger, Task& closed) noexcept override;
  SocketAddress local() const override { return inner_->local(); }
  SocketAddress peer() const override { return inner_->peer(); }
  std::string peer_identity() const override;

 private:
  enum class State : uint8_t {
    hello,      // Gathers the first record; the owner's receive moves it on.
    plain,      // No TLS: operations go to the inner stream as they are.
    handshake,  // The ClientHello was good; the host's Finished moves it on.
    secured,    // Content both ways, as records by the session.
    offloaded,  // As records by the inner stream: operations go to it as they are.
    failed,     // The owner was told or will be; close() moves it on.
    parting,    // The last alert goes out; the socket or a timer moves it on.
    closing,    // The inner stream closes.
    closed,
  };
  struct OwnedTask : Task {
    TlsStream* owner = nullptr;
  };
  struct OwnedTimer : Timer {
    TlsStream* owner = nullptr;
  };

  void set_state(State to) noexcept;
  void advance() noexcept;
  bool judge_hello() noexcept;
  void take_hello() noexcept;
  void deliver_plain() noexcept;
  bool shake() noexcept;
  bool establish() noexcept;
  void offload() noexcept;
  void read_content() noexcept;
  void complete_receive(int64_t result) noexcept;
  void fail() noexcept;
  void post_receive() noexcept;
  void on_received() noexcept;
  void encrypt() noexcept;
  bool encrypt_record() noexcept;
  void complete_send(int64_t result) noexcept;
  void flush() noexcept;
  void on_sent() noexcept;
  void close_inner() noexcept;
  void on_inner_closed() noexcept;

  Loop& loop_;
  const std::unique_ptr<Stream> inner_;
  const std::shared_ptr<Context> context_;
  const bool plain_allowed_;
  ReactorCounters& counters_;
  State state_ = State::hello;
  std::unique_ptr<Session> session_;  // From the hello until the records are offloaded.
  std::string identity_;              // Of a session that has gone.

  // Receive side.
  StreamOp* receiving_ = nullptr;   // The owner's.
  StreamOp inner_receive_;
  bool inner_receiving_ = false;
  std::vector<std::byte> hello_;
  size_t hello_used_ = 0;
  std::unique_ptr<std::byte[]> received_;
  RecordCut cut_;                   // What follows the ClientHello, until the handshake is done.
  int64_t receive_error_ = 0;       // What failed says, or the inner stream's end.
  bool receive_ended_ = false;
  OwnedTask ready_task_;            // Goes on with a receive that need not wait.

  // Send side.
  StreamOp* sending_ = nullptr;     // The owner's.
  size_t segment_ = 0;              // The next byte to encrypt: in this segment,
  size_t segment_offset_ = 0;       // this far from its start.
  int64_t sent_bytes_ = 0;
  StreamOp inner_send_;
  iovec inner_segment_{};
  bool inner_sending_ = false;
  bool send_broken_ = false;        // The inner stream has refused a send.

  // End.
  bool linger_ = false;
  Task* closed_ = nullptr;
  OwnedTask inner_closed_task_;
  OwnedTimer parting_timer_;
};

}  // namespace ashlar::tls
