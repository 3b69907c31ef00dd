#include "tls/record_keys.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ashlar::tls {

namespace {

int digit(char letter) noexcept {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

// HKDF-Expand-Label with an empty context, for up to one block of the hash: T(1) of HKDF-Expand.
//
//   HMAC(secret, length (2) | label length (1) | "tls13 " label | context length (1) = 0 | 01h)
bool expand_label(PskHash hash, std::span<const std::byte> secret, std::string_view label,
                  std::span<std::byte> into) noexcept {
  static constexpr std::string_view prefix = "tls13 ";
  std::array<unsigned char, 32> message{};
  std::array<unsigned char, EVP_MAX_MD_SIZE> block;
  CHECK(into.size() <= psk_bytes(hash) && 5 + prefix.size() + label.size() <= message.size());
  size_t used = 1;  // The length is below 256.
  message[used++] = static_cast<unsigned char>(into.size());
  message[used++] = static_cast<unsigned char>(prefix.size() + label.size());
  for (const std::string_view part : {prefix, label}) {
    std::memcpy(message.data() + used, part.data(), part.size());
    used += part.size();
  }
  ++used;
  message[used++] = 1;
  const EVP_MD* digest = hash == PskHash::sha256 ? EVP_sha256() : EVP_sha384();
  const bool good = HMAC(digest, secret.data(), static_cast<int>(secret.size()), message.data(),
                         used, block.data(), nullptr) != nullptr;
  if (good) std::memcpy(into.data(), block.data(), into.size());
  forget(std::as_writable_bytes(std::span(block)));
  return good;
}

}  // namespace

bool TrafficSecret::set(std::string_view digits) noexcept {
  clear();
  if (digits.size() % 2 != 0 || digits.size() / 2 > bytes_.size()) return false;
  for (size_t i = 0; i < digits.size() / 2; ++i) {
    const int high = digit(digits[2 * i]);
    const int low = digit(digits[2 * i + 1]);
    if (high < 0 || low < 0) {
      clear();
      return false;
    }
    bytes_[i] = static_cast<std::byte>(high << 4 | low);
  }
  length_ = digits.size() / 2;
  return true;
}

void TrafficSecret::clear() noexcept {
  forget(bytes_);
  length_ = 0;
}

bool derive_record_keys(PskHash hash, std::span<const std::byte> secret, uint64_t sequence,
                        TlsRecordKeys& keys) noexcept {
  if (secret.size() != psk_bytes(hash)) return false;
  keys.key_bytes = hash == PskHash::sha256 ? 16 : 32;
  keys.sequence = sequence;
  return expand_label(hash, secret, "key", std::span(keys.key).first(keys.key_bytes)) &&
         expand_label(hash, secret, "iv", keys.iv);
}

size_t RecordCut::wanted() const noexcept {
  if (content_left_ != 0) return content_left_;
  return header_.size() - header_used_;
}

void RecordCut::take(std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const size_t length = std::min(bytes.size(), wanted());
    if (content_left_ != 0) {
      content_left_ -= length;
    } else {
      std::copy_n(bytes.begin(), length, header_.begin() + static_cast<ptrdiff_t>(header_used_));
      header_used_ += length;
      if (header_used_ == header_.size()) {
        content_left_ = static_cast<size_t>(header_[3]) << 8 | static_cast<size_t>(header_[4]);
        header_used_ = 0;
      }
    }
    bytes = bytes.subspan(length);
  }
}

}  // namespace ashlar::tls
