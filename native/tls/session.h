// Session: the controller's end of one TLS 1.3 connection (TCP 3.6.1). It is pure: bytes that came
// go in, plain bytes and bytes to send come out, and it neither reads a socket nor knows of one.
//
//   session.give(bytes)            what came; stays where it is until unread() is 0
//   session.handshake()            until it says done
//   session.read(into)             plain bytes, decrypted from what was given
//   session.write(from)            a record more in output()
//   session.output() / .sent(n)    what is to be sent, in every state
//
// A PSK with (EC)DHE is the only way in: no certificates, tickets, early data or older versions.
// The ClientHello has to come as one record, so that a peer who has proved nothing costs no state:
// give it whole (see hello_state()). Its identity is looked up, and when several PSKs have that
// identity, the same ClientHello is tried with each until its binder fits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tls/keys.h"
#include "tls/limits.h"
#include "tls/record_keys.h"

struct ssl_ctx_st;
struct ssl_st;
struct bio_method_st;

namespace ashlar::tls {

enum class Outcome : uint8_t {
  done,
  want_input,   // Everything given is used up.
  want_output,  // There is no room; send some of output() first.
  closed,       // The peer's close_notify.
  failed,       // For good; output() may hold an alert that says why.
};

// Whether these first bytes of a connection are a ClientHello as we take it.
enum class HelloState : uint8_t {
  incomplete,
  whole,    // hello_bytes() of them.
  refused,  // Not TLS, too long, or in pieces.
};
HelloState hello_state(std::span<const std::byte> bytes) noexcept;
size_t hello_bytes(std::span<const std::byte> bytes) noexcept;  // Once it is whole.

// Who does the records once the handshake is done.
enum class Records : uint8_t {
  process,
  kernel,  // Where it takes the keys; the process otherwise.
};

// What the sessions of a process share. Any thread.
class Context {
 public:
  // Error: invalid_argument, when the OpenSSL of this process lacks TLS 1.3 or its suites.
  static Result<std::shared_ptr<Context>> create(std::shared_ptr<const Keys> keys,
                                                 Records records = Records::process);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  Records records() const noexcept { return records_; }

 private:
  friend class Session;
  Context(std::shared_ptr<const Keys> keys, Records records) noexcept;
  const std::shared_ptr<const Keys> keys_;
  const Records records_;
  ssl_ctx_st* ctx_ = nullptr;
  bio_method_st* bio_method_ = nullptr;
};

// One thread. Not movable: OpenSSL holds its address.
class Session {
 public:
  // `hello` is a whole ClientHello and is not kept.
  Session(std::shared_ptr<Context> context, std::span<const std::byte> hello);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Only when unread() is 0 (CHECKed).
  void give(std::span<const std::byte> input) noexcept;
  size_t unread() const noexcept { return input_.size(); }
  // Whether read() may say something else than want_input.
  bool readable() const noexcept;

  Outcome handshake() noexcept;
  bool established() const noexcept { return established_; }
  // The PSK identity that the host has proved; empty before.
  const std::string& identity() const noexcept { return identity_; }

  struct Read {
    Outcome outcome = Outcome::want_input;
    size_t bytes = 0;  // Of done: 1 or more.
  };
  Read read(std::span<std::byte> into) noexcept;
  // Whether write() has room for a record.
  bool writable() const noexcept {
    return limits::send_bytes - output_.size() >= limits::record_bytes;
  }
  // Takes all of `from`, at most limits::record_content_bytes (CHECKed), or nothing.
  Outcome write(std::span<const std::byte> from) noexcept;
  // Puts close_notify into output(), if there is room.
  void shutdown() noexcept;
  // Gives the keys of both directions away, for good: nothing but the destructor comes after it.
  // False, and everything as before, once a record was done with them, while anything given or put
  // out is left, and when the context has the process do records.
  [[nodiscard]] bool take_record_keys(TlsRecordKeys& receive, TlsRecordKeys& send) noexcept;

  std::span<const std::byte> output() const noexcept {
    return {output_.data() + output_begin_, output_.size() - output_begin_};
  }
  void sent(size_t bytes) noexcept;

 private:
  friend struct Callbacks;

  bool begin(std::span<const std::byte> hello) noexcept;
  void choose() noexcept;
  Outcome outcome_of(int result) noexcept;
  Outcome fail() noexcept;

  const std::shared_ptr<Context> context_;
  const KeyTables tables_;       // As they were when the host said hello.
  ssl_st* ssl_ = nullptr;
  std::span<const std::byte> input_;
  std::vector<std::byte> output_;  // Never beyond limits::send_bytes.
  size_t output_begin_ = 0;

  uint32_t attempt_ = 0;           // Which PSK of the identity is tried.
  const Psk* chosen_ = nullptr;    // In tables_.
  std::string identity_;           // Its identity.
  bool more_psks_ = false;         // The identity has a further one to try.
  bool established_ = false;
  bool failed_ = false;
  bool keys_used_ = false;         // Or the peer may have been told so.
  TrafficSecret host_secret_;      // Of a context with Records::kernel, until they are taken.
  TrafficSecret controller_secret_;
  uint32_t key_updates_left_ = limits::key_updates;
  size_t bytes_since_update_ = 0;
};

}  // namespace ashlar::tls
