// From a traffic secret to what does records with it (RFC 8446, 7.1 and 7.3), and where records
// end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "reactor/kernel_tls.h"
#include "tls/keys.h"
#include "tls/limits.h"

namespace ashlar::tls {

// A secret as long as the hash of its suite: neither copied nor left behind in memory.
class TrafficSecret {
 public:
  TrafficSecret() = default;
  ~TrafficSecret() { forget(bytes_); }
  TrafficSecret(const TrafficSecret&) = delete;
  TrafficSecret& operator=(const TrafficSecret&) = delete;
  // From hexadecimal digits, as OpenSSL tells it; false, and empty, when they are none.
  bool set(std::string_view digits) noexcept;
  void clear() noexcept;
  std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), length_}; }

 private:
  std::array<std::byte, limits::max_psk_bytes> bytes_{};
  size_t length_ = 0;
};

// The keys under which the next record has this sequence number. False when OpenSSL fails or the
// secret is not as long as the hash.
[[nodiscard]] bool derive_record_keys(PskHash hash, std::span<const std::byte> secret,
                                      uint64_t sequence, TlsRecordKeys& keys) noexcept;

// Follows records that arrive in any pieces, so that no byte of one is received with an earlier.
class RecordCut {
 public:
  // How much there is to receive of the record that is arriving, as far as is known: 1 or more.
  size_t wanted() const noexcept;
  void take(std::span<const std::byte> bytes) noexcept;

 private:
  std::array<std::byte, limits::record_header_bytes> header_{};
  size_t header_used_ = 0;
  size_t content_left_ = 0;  // Of a record whose header is whole.
};

}  // namespace ashlar::tls
