// Records of TLS 1.3 under keys that were handed over (RFC 8446, 5.2 and 5.3), for tests that play
// the kernel or its peer.
#pragma once

#include <openssl/evp.h>

#include <optional>
#include <span>
#include <vector>

#include "reactor/kernel_tls.h"

#include "../test.h"

namespace ashlar::tls::rig {

using Bytes = std::vector<std::byte>;

constexpr std::byte type_alert{21};
constexpr std::byte type_handshake{22};
constexpr std::byte type_content{23};
constexpr size_t record_header = 5;
constexpr size_t record_tag = 16;

struct Record {
  std::byte type{};
  Bytes content;
};

// One direction: the sequence goes on with every record, whether it opens or not.
class RecordCipher {
 public:
  explicit RecordCipher(const TlsRecordKeys& keys)
      : key_(keys.key.begin(), keys.key.begin() + static_cast<ptrdiff_t>(keys.key_bytes)),
        iv_(keys.iv.begin(), keys.iv.end()),
        sequence_(keys.sequence) {}

  Bytes seal(std::byte type, std::span<const std::byte> content) {
    Bytes inner(content.begin(), content.end());
    inner.push_back(type);
    const size_t length = inner.size() + record_tag;
    Bytes record(record_header + length);
    record[0] = type_content;
    record[1] = record[2] = std::byte{3};
    record[3] = static_cast<std::byte>(length >> 8);
    record[4] = static_cast<std::byte>(length);
    REQUIRE(run(true, {record.data(), record_header}, inner, record.data() + record_header,
                record.data() + record_header + inner.size()));
    return record;
  }
  // A whole record. None: it is not the peer's.
  std::optional<Record> open(std::span<const std::byte> record) {
    const auto sealed = record.subspan(record_header);
    if (record[0] != type_content || sealed.size() <= record_tag) return std::nullopt;
    Bytes inner(sealed.size() - record_tag);
    Bytes tag(sealed.end() - static_cast<ptrdiff_t>(record_tag), sealed.end());
    if (!run(false, record.first(record_header), sealed.first(inner.size()), inner.data(),
             tag.data())) {
      return std::nullopt;
    }
    while (!inner.empty() && inner.back() == std::byte{0}) inner.pop_back();
    if (inner.empty()) return std::nullopt;
    const std::byte type = inner.back();
    inner.pop_back();
    return Record{type, std::move(inner)};
  }

 private:
  bool run(bool sealing, std::span<const std::byte> header, std::span<const std::byte> from,
           std::byte* to, std::byte* tag) {
    const auto bytes = [](const std::byte* at) { return reinterpret_cast<const uint8_t*>(at); };
    Bytes nonce = iv_;
    for (size_t i = 0; i < 8; ++i) {
      nonce[4 + i] ^= static_cast<std::byte>(sequence_ >> (56 - 8 * i));
    }
    ++sequence_;
    const EVP_CIPHER* cipher = key_.size() == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    int length = 0;
    auto* out = reinterpret_cast<uint8_t*>(to);
    bool good = EVP_CipherInit_ex(context, cipher, nullptr, bytes(key_.data()), bytes(nonce.data()),
                                  sealing ? 1 : 0) == 1;
    if (!sealing) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, record_tag, tag);
    good = good &&
           EVP_CipherUpdate(context, nullptr, &length, bytes(header.data()),
                            static_cast<int>(header.size())) == 1 &&
           EVP_CipherUpdate(context, out, &length, bytes(from.data()),
                            static_cast<int>(from.size())) == 1 &&
           EVP_CipherFinal_ex(context, out + length, &length) == 1;
    if (sealing) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, record_tag, tag);
    EVP_CIPHER_CTX_free(context);
    return good;
  }

  Bytes key_;
  Bytes iv_;
  uint64_t sequence_;
};

}  // namespace ashlar::tls::rig
