// Keys: the PSKs that hosts may come with, by identity. Read by handshakes on every reactor, and
// replaced as a whole by the control plane.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tls/limits.h"

namespace ashlar::tls {

// The hash of the one cipher suite that a PSK is for (TCP 3.6.1.2).
enum class PskHash : uint8_t {
  sha256,  // TLS_AES_128_GCM_SHA256
  sha384,  // TLS_AES_256_GCM_SHA384
};

constexpr size_t psk_bytes(PskHash hash) noexcept { return hash == PskHash::sha256 ? 32 : 48; }

// Overwrites what held a secret.
void forget(std::span<std::byte> secret) noexcept;

// A secret: neither copied nor left behind in memory.
class Psk {
 public:
  Psk(PskHash hash, std::span<const std::byte> bytes);  // psk_bytes(hash) of them (CHECKed).
  ~Psk();
  Psk(const Psk&) = delete;
  Psk& operator=(const Psk&) = delete;
  PskHash hash() const noexcept { return hash_; }
  std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), psk_bytes(hash_)}; }

 private:
  const PskHash hash_;
  std::array<std::byte, limits::max_psk_bytes> bytes_{};
};

class KeyTable {
 public:
  // Errors: limit_exceeded, beyond limits::max_psks or limits::psks_per_identity.
  Status add(std::string identity, PskHash hash, std::span<const std::byte> psk);
  // In the order in which they were added; empty for an unknown identity. An attacker learns from
  // the time of a look-up at most which identities exist, which the answer tells as well.
  std::span<const std::unique_ptr<const Psk>> find(std::string_view identity) const noexcept;

 private:
  std::map<std::string, std::vector<std::unique_ptr<const Psk>>, std::less<>> psks_;
  size_t count_ = 0;
};

// Where a PSK comes from. Those of each origin are replaced apart: hosts generate PSKs as they
// connect, and that is not to cost as much as all that people have configured.
enum class PskOrigin : uint8_t {
  configured,  // By people; retained PSKs.
  generated,   // By a host's authentication (TCP 3.6.1.4).
};

// What a handshake looks identities up in. No identity is in both.
struct KeyTables {
  std::shared_ptr<const KeyTable> configured = std::make_shared<KeyTable>();
  std::shared_ptr<const KeyTable> generated = std::make_shared<KeyTable>();

  std::span<const std::unique_ptr<const Psk>> find(std::string_view identity) const noexcept;
};

// Any thread.
class Keys {
 public:
  void replace(PskOrigin origin, std::shared_ptr<const KeyTable> table) noexcept;
  void replace(std::shared_ptr<const KeyTable> table) noexcept {
    replace(PskOrigin::configured, std::move(table));
  }
  KeyTables current() const noexcept;

 private:
  mutable std::mutex mutex_;
  KeyTables tables_;
};

}  // namespace ashlar::tls
