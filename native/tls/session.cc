#include "tls/session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace ashlar::tls {

namespace {

// RFC 8446: 5.1 (records), 4 (handshake messages), 4.2 (extensions).
constexpr std::byte content_handshake{22};
constexpr std::byte message_client_hello{1};
constexpr int content_type_handshake = 22;
constexpr unsigned char message_key_update = 24;
constexpr size_t message_header_bytes = 4;

size_t big_endian(std::span<const std::byte> bytes) noexcept {
  size_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | static_cast<size_t>(byte);
  return value;
}

const char* suite_name(PskHash hash) noexcept {
  return hash == PskHash::sha256 ? "TLS_AES_128_GCM_SHA256" : "TLS_AES_256_GCM_SHA384";
}

// The two bytes by which the wire names the suite (RFC 8446, B.4).
const unsigned char* suite_id(PskHash hash) noexcept {
  static constexpr unsigned char ids[2][2] = {{0x13, 0x01}, {0x13, 0x02}};
  return ids[hash == PskHash::sha256 ? 0 : 1];
}

// A reader of length-prefixed fields that stops at the end of its bytes.
class Fields {
 public:
  Fields(const unsigned char* bytes, size_t length) noexcept : bytes_(bytes), left_(length) {}

  // A vector with a length of two bytes; false when it does not fit.
  bool vector16(const unsigned char*& data, size_t& length) noexcept {
    if (left_ < 2) return false;
    length = static_cast<size_t>(bytes_[0]) << 8 | bytes_[1];
    if (left_ - 2 < length) return false;
    data = bytes_ + 2;
    skip(2 + length);
    return true;
  }
  bool skip(size_t count) noexcept {
    if (left_ < count) return false;
    bytes_ += count;
    left_ -= count;
    return true;
  }
  bool empty() const noexcept { return left_ == 0; }

 private:
  const unsigned char* bytes_;
  size_t left_;
};

}  // namespace

HelloState hello_state(std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return HelloState::incomplete;
  if (bytes[0] != content_handshake) return HelloState::refused;
  // The record's version is 3.1 or 3.3, and means nothing beyond that.
  if (bytes.size() > 1 && bytes[1] != std::byte{3}) return HelloState::refused;
  if (bytes.size() < limits::record_header_bytes) return HelloState::incomplete;
  const size_t content = big_endian(bytes.subspan(3, 2));
  if (content < message_header_bytes) return HelloState::refused;
  if (content > limits::client_hello_bytes - limits::record_header_bytes) {
    return HelloState::refused;
  }
  const auto message = bytes.subspan(limits::record_header_bytes);
  if (!message.empty() && message[0] != message_client_hello) return HelloState::refused;
  if (message.size() < message_header_bytes) return HelloState::incomplete;
  if (big_endian(message.subspan(1, 3)) != content - message_header_bytes) {
    return HelloState::refused;
  }
  return message.size() < content ? HelloState::incomplete : HelloState::whole;
}

size_t hello_bytes(std::span<const std::byte> bytes) noexcept {
  CHECK(bytes.size() >= limits::record_header_bytes);
  return limits::record_header_bytes + big_endian(bytes.subspan(3, 2));
}

// What OpenSSL calls; each finds its session from the SSL or the BIO.
struct Callbacks {
  static Session& session_of(SSL* ssl) noexcept {
    return *static_cast<Session*>(SSL_get_app_data(ssl));
  }

  static int read(BIO* bio, char* to, int room) noexcept {
    auto& session = *static_cast<Session*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const size_t length = std::min(session.input_.size(), static_cast<size_t>(room));
    if (length == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(to, session.input_.data(), length);
    session.input_ = session.input_.subspan(length);
    return static_cast<int>(length);
  }

  static int write(BIO* bio, const char* from, int length) noexcept {
    auto& session = *static_cast<Session*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const auto bytes = static_cast<size_t>(length);
    if (limits::send_bytes - session.output_.size() < bytes) {
      BIO_set_retry_write(bio);
      return -1;
    }
    const auto* data = reinterpret_cast<const std::byte*>(from);
    session.output_.insert(session.output_.end(), data, data + bytes);
    return length;
  }

  static long control(BIO*, int command, long, void*) noexcept {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static int create(BIO* bio) noexcept {
    BIO_set_init(bio, 1);
    return 1;
  }

  // Runs before a suite is chosen, so that the suite can be made the PSK's. Without a PSK that we
  // know nothing more is done for the peer, not even a HelloRetryRequest.
  static int client_hello(SSL* ssl, int* alert, void*) noexcept {
    Session& session = session_of(ssl);
    session.choose();
    if (session.chosen_ == nullptr) {
      *alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
      return SSL_CLIENT_HELLO_ERROR;
    }
    if (SSL_set_ciphersuites(ssl, suite_name(session.chosen_->hash())) != 1) {
      *alert = SSL_AD_INTERNAL_ERROR;
      return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
  }

  // Asked for each identity that the host offers; an answer of none lets OpenSSL ask for the next.
  static int find_psk(SSL* ssl, const unsigned char* identity, size_t length,
                      SSL_SESSION** found) noexcept {
    *found = nullptr;
    const Session& session = session_of(ssl);
    const std::string_view asked{reinterpret_cast<const char*>(identity), length};
    if (session.chosen_ == nullptr || asked != session.identity_) return 1;
    SSL_SESSION* psk = SSL_SESSION_new();
    const SSL_CIPHER* suite = SSL_CIPHER_find(ssl, suite_id(session.chosen_->hash()));
    const auto bytes = session.chosen_->bytes();
    if (psk == nullptr || suite == nullptr ||
        SSL_SESSION_set1_master_key(psk, reinterpret_cast<const unsigned char*>(bytes.data()),
                                    bytes.size()) != 1 ||
        SSL_SESSION_set_cipher(psk, suite) != 1 ||
        SSL_SESSION_set_protocol_version(psk, TLS1_3_VERSION) != 1) {
      SSL_SESSION_free(psk);
      return 0;
    }
    *found = psk;
    return 1;
  }

  // Called with the secrets of a session as they come to be, one a line: a label, the random of the
  // hello and the secret. OpenSSL wipes the line.
  static void secret(const SSL* ssl, const char* line) noexcept {
    auto& session = *static_cast<Session*>(SSL_get_app_data(ssl));
    const std::string_view text(line);
    const size_t last = text.rfind(' ');
    if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) {
      session.host_secret_.set(text.substr(last + 1));
    } else if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) {
      session.controller_secret_.set(text.substr(last + 1));
    }
  }

  static void message(int sending, int, int type, const void* bytes, size_t length, SSL*,
                      void* argument) noexcept {
    if (sending != 0 || type != content_type_handshake || length == 0) return;
    if (*static_cast<const unsigned char*>(bytes) != message_key_update) return;
    auto& session = *static_cast<Session*>(argument);
    if (session.key_updates_left_ == 0) {
      session.failed_ = true;
    } else {
      --session.key_updates_left_;
    }
  }
};

// ---- Context ------------------------------------------------------------------------------------

Context::Context(std::shared_ptr<const Keys> keys, Records records) noexcept
    : keys_(std::move(keys)), records_(records) {}

Context::~Context() {
  SSL_CTX_free(ctx_);
  BIO_meth_free(bio_method_);
}

Result<std::shared_ptr<Context>> Context::create(std::shared_ptr<const Keys> keys,
                                                 Records records) {
  CHECK(keys != nullptr);
  ERR_clear_error();
  std::shared_ptr<Context> context(new Context(std::move(keys), records));
  context->ctx_ = SSL_CTX_new(TLS_server_method());
  context->bio_method_ = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "ashlar");
  SSL_CTX* ctx = context->ctx_;
  BIO_METHOD* method = context->bio_method_;
  const bool good = ctx != nullptr && method != nullptr &&
                    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(
                        ctx, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256") == 1 &&
                    SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1 &&
                    SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
                    SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
                    SSL_CTX_set_recv_max_early_data(ctx, 0) == 1 &&
                    BIO_meth_set_read(method, &Callbacks::read) == 1 &&
                    BIO_meth_set_write(method, &Callbacks::write) == 1 &&
                    BIO_meth_set_ctrl(method, &Callbacks::control) == 1 &&
                    BIO_meth_set_create(method, &Callbacks::create) == 1;
  if (!good) {
    ERR_clear_error();
    return Error{ErrorCode::invalid_argument,
                 "the OpenSSL of this process cannot do TLS 1.3 with AES-GCM; run an official "
                 "build of Node.js, or open the portal without TLS"};
  }
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_client_hello_cb(ctx, &Callbacks::client_hello, nullptr);
  SSL_CTX_set_psk_find_session_callback(ctx, &Callbacks::find_psk);
  SSL_CTX_set_msg_callback(ctx, &Callbacks::message);
  if (records == Records::kernel) SSL_CTX_set_keylog_callback(ctx, &Callbacks::secret);
  return context;
}

// ---- Session ------------------------------------------------------------------------------------

Session::Session(std::shared_ptr<Context> context, std::span<const std::byte> hello)
    : context_(std::move(context)), tables_(context_->keys_->current()) {
  CHECK(hello_state(hello) == HelloState::whole && hello_bytes(hello) == hello.size());
  for (attempt_ = 0; attempt_ < limits::psks_per_identity; ++attempt_) {
    if (begin(hello)) {
      // From here on a send may be under way while output is added, which must not move it.
      output_.reserve(limits::send_bytes);
      return;
    }
    if (!more_psks_) return;
  }
}

Session::~Session() { SSL_free(ssl_); }

// The host's first flight with the PSK of this attempt. True: the binder fits.
bool Session::begin(std::span<const std::byte> hello) noexcept {
  SSL_free(std::exchange(ssl_, nullptr));
  output_.clear();
  output_begin_ = 0;
  failed_ = false;
  host_secret_.clear();
  controller_secret_.clear();
  ERR_clear_error();
  ssl_ = SSL_new(context_->ctx_);
  BIO* bio = BIO_new(context_->bio_method_);
  CHECK(ssl_ != nullptr && bio != nullptr);  // Out of memory.
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
  SSL_set_msg_callback_arg(ssl_, this);
  SSL_set_accept_state(ssl_);
  input_ = hello;
  const Outcome outcome = outcome_of(SSL_do_handshake(ssl_));
  input_ = {};
  return outcome == Outcome::want_input;
}

// The PSK of this attempt: of the first identity offered that we know.
void Session::choose() noexcept {
  chosen_ = nullptr;
  identity_.clear();
  more_psks_ = false;
  const unsigned char* bytes = nullptr;
  size_t length = 0;
  if (SSL_client_hello_get0_ext(ssl_, TLSEXT_TYPE_psk, &bytes, &length) != 1) return;
  Fields extension(bytes, length);
  const unsigned char* list = nullptr;
  size_t list_length = 0;
  if (!extension.vector16(list, list_length)) return;
  Fields identities(list, list_length);
  for (uint32_t i = 0; i < limits::identities_per_hello && !identities.empty(); ++i) {
    const unsigned char* name = nullptr;
    size_t name_length = 0;
    if (!identities.vector16(name, name_length) || !identities.skip(4)) return;  // Ticket age.
    const std::string_view asked{reinterpret_cast<const char*>(name), name_length};
    const auto psks = tables_.find(asked);
    if (psks.size() <= attempt_) continue;
    chosen_ = psks[attempt_].get();
    identity_ = asked;
    more_psks_ = psks.size() > attempt_ + 1;
    return;
  }
}

Outcome Session::fail() noexcept {
  failed_ = true;
  ERR_clear_error();
  return Outcome::failed;
}

// OpenSSL's errors of earlier calls on this thread would be taken for this call's, so each call
// begins with none and leaves none.
Outcome Session::outcome_of(int result) noexcept {
  if (failed_) return fail();
  if (result > 0) return Outcome::done;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return Outcome::want_input;
    case SSL_ERROR_WANT_WRITE: return Outcome::want_output;
    case SSL_ERROR_ZERO_RETURN: return Outcome::closed;
    default: return fail();
  }
}

void Session::give(std::span<const std::byte> input) noexcept {
  CHECK(input_.empty());
  input_ = input;
}

Outcome Session::handshake() noexcept {
  if (failed_) return Outcome::failed;
  if (established_) return Outcome::done;
  ERR_clear_error();
  const Outcome outcome = outcome_of(SSL_do_handshake(ssl_));
  if (outcome == Outcome::closed) return fail();
  established_ = outcome == Outcome::done;
  return outcome;
}

bool Session::readable() const noexcept {
  return failed_ || !input_.empty() || SSL_pending(ssl_) > 0 ||
         (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

Session::Read Session::read(std::span<std::byte> into) noexcept {
  CHECK(established_ && !into.empty());
  if (failed_) return {Outcome::failed, 0};
  keys_used_ = true;
  ERR_clear_error();
  size_t bytes = 0;
  const Outcome outcome = outcome_of(SSL_read_ex(ssl_, into.data(), into.size(), &bytes));
  if (outcome != Outcome::done) return {outcome, 0};
  bytes_since_update_ += bytes;
  if (bytes_since_update_ >= limits::bytes_per_key_update) {
    bytes_since_update_ = 0;
    key_updates_left_ = std::min(key_updates_left_ + 1, limits::key_updates);
  }
  return {outcome, bytes};
}

Outcome Session::write(std::span<const std::byte> from) noexcept {
  CHECK(established_ && !from.empty() && from.size() <= limits::record_content_bytes);
  if (failed_) return Outcome::failed;
  keys_used_ = true;
  // OpenSSL would remember a record that did not fit, so none is begun that may not.
  if (!writable()) return Outcome::want_output;
  ERR_clear_error();
  size_t written = 0;
  const Outcome outcome = outcome_of(SSL_write_ex(ssl_, from.data(), from.size(), &written));
  CHECK(outcome != Outcome::done || written == from.size());
  return outcome;
}

void Session::shutdown() noexcept {
  if (!established_ || failed_) return;
  keys_used_ = true;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

// OpenSSL reads no further than the record that it looks at, and the handshake of the controller
// ends with the host's Finished, the last record under the keys before these. No ticket is sent. So
// the next record is the first of its direction: number 0.
bool Session::take_record_keys(TlsRecordKeys& receive, TlsRecordKeys& send) noexcept {
  if (!established_ || failed_ || keys_used_ || chosen_ == nullptr) return false;
  if (!input_.empty() || SSL_has_pending(ssl_) != 0 || !output().empty()) return false;
  const PskHash hash = chosen_->hash();
  const bool good = derive_record_keys(hash, host_secret_.bytes(), 0, receive) &&
                    derive_record_keys(hash, controller_secret_.bytes(), 0, send);
  host_secret_.clear();
  controller_secret_.clear();
  return good;
}

void Session::sent(size_t bytes) noexcept {
  CHECK(bytes <= output_.size() - output_begin_);
  output_begin_ += bytes;
  if (output_begin_ < output_.size()) return;
  output_.clear();
  output_begin_ = 0;
}

}  // namespace ashlar::tls
