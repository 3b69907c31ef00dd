// A host's end of TLS by OpenSSL, over bytes, and the keys that tests use.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "records.h"
#include "tls/session.h"

#include "../test.h"

namespace ashlar::tls::rig {

inline const std::string identity256 = "NVMe0R01 nqn.2026-01.host nqn.2026-01.subsystem";
inline const std::string identity384 = "NVMe0R02 nqn.2026-01.host nqn.2026-01.subsystem";

inline Bytes psk_of(PskHash hash, uint8_t seed = 1) {
  Bytes bytes(psk_bytes(hash));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(seed + 3 * i);
  return bytes;
}

struct HostOptions {
  PskHash hash = PskHash::sha256;
  std::string identity = identity256;
  Bytes psk = psk_of(PskHash::sha256);
  bool offer_psk = true;
  int version = TLS1_3_VERSION;
  const char* groups = nullptr;
  bool both_suites = true;
};

class Host {
 public:
  explicit Host(HostOptions host_options = {}) : options(std::move(host_options)) {
    ctx_ = SSL_CTX_new(TLS_client_method());
    REQUIRE(ctx_ != nullptr);
    SSL_CTX_set_min_proto_version(ctx_, options.version);
    SSL_CTX_set_max_proto_version(ctx_, options.version);
    const char* suites = options.both_suites ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
                                             : suite();
    SSL_CTX_set_ciphersuites(ctx_, suites);
    if (options.groups != nullptr) SSL_CTX_set1_groups_list(ctx_, options.groups);
    if (options.offer_psk) SSL_CTX_set_psk_use_session_callback(ctx_, &Host::use_psk);
    ssl = SSL_new(ctx_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in_, out_);
    SSL_set_app_data(ssl, this);
    SSL_set_connect_state(ssl);
  }
  ~Host() {
    SSL_free(ssl);
    SSL_CTX_free(ctx_);
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void give(std::span<const std::byte> bytes) {
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
  }
  // What is to be sent.
  Bytes take() {
    Bytes bytes(BIO_ctrl_pending(out_));
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  bool shake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl);
    if (result != 1 && SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) broken = true;
    return result == 1;
  }
  void write(std::span<const std::byte> bytes) {
    ERR_clear_error();
    REQUIRE_EQ(SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size())),
               static_cast<int>(bytes.size()));
  }
  // Everything that can be read now.
  Bytes read() {
    Bytes all;
    std::byte piece[4096];
    for (;;) {
      ERR_clear_error();
      const int result = SSL_read(ssl, piece, sizeof piece);
      if (result <= 0) {
        const int error = SSL_get_error(ssl, result);
        closed = closed || error == SSL_ERROR_ZERO_RETURN;
        broken = broken || (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN);
        return all;
      }
      all.insert(all.end(), piece, piece + result);
    }
  }
  // The alert by which the controller ended it; -1: none.
  int alert() const {
    const unsigned long error = ERR_peek_last_error();
    const int reason = ERR_GET_REASON(error);
    return reason > SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
  }

  HostOptions options;
  SSL* ssl = nullptr;
  bool broken = false;
  bool closed = false;

 private:
  const char* suite() const {
    return options.hash == PskHash::sha256 ? "TLS_AES_128_GCM_SHA256" : "TLS_AES_256_GCM_SHA384";
  }
  static int use_psk(SSL* of, const EVP_MD* md, const unsigned char** id, size_t* id_bytes,
                     SSL_SESSION** session) {
    const HostOptions& options = static_cast<Host*>(SSL_get_app_data(of))->options;
    *session = nullptr;
    // After a HelloRetryRequest OpenSSL asks for a PSK of the suite that was chosen.
    const char* name = options.hash == PskHash::sha256 ? "SHA256" : "SHA384";
    if (md != nullptr && !EVP_MD_is_a(md, name)) return 1;
    const unsigned char suite_id[2] = {
        0x13, static_cast<unsigned char>(options.hash == PskHash::sha256 ? 1 : 2)};
    SSL_SESSION* psk = SSL_SESSION_new();
    SSL_SESSION_set1_master_key(psk, reinterpret_cast<const unsigned char*>(options.psk.data()),
                                options.psk.size());
    SSL_SESSION_set_cipher(psk, SSL_CIPHER_find(of, suite_id));
    SSL_SESSION_set_protocol_version(psk, TLS1_3_VERSION);
    *session = psk;
    *id = reinterpret_cast<const unsigned char*>(options.identity.data());
    *id_bytes = options.identity.size();
    return 1;
  }

  SSL_CTX* ctx_ = nullptr;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

// Keys with one PSK of each hash.
struct Controller {
  explicit Controller(Records records = Records::process) {
    auto table = std::make_shared<KeyTable>();
    REQUIRE(table->add(identity256, PskHash::sha256, psk_of(PskHash::sha256)).ok());
    REQUIRE(table->add(identity384, PskHash::sha384, psk_of(PskHash::sha384)).ok());
    keys->replace(std::move(table));
    auto created = Context::create(keys, records);
    REQUIRE(created.ok());
    context = std::move(created).value();
  }
  std::shared_ptr<Keys> keys = std::make_shared<Keys>();
  std::shared_ptr<Context> context;
};

inline HostOptions host384() {
  HostOptions options;
  options.hash = PskHash::sha384;
  options.identity = identity384;
  options.psk = psk_of(PskHash::sha384);
  return options;
}

}  // namespace ashlar::tls::rig
