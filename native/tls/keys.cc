#include "tls/keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace ashlar::tls {

void forget(std::span<std::byte> secret) noexcept {
  OPENSSL_cleanse(secret.data(), secret.size());
}

Psk::Psk(PskHash hash, std::span<const std::byte> bytes) : hash_(hash) {
  CHECK(bytes.size() == psk_bytes(hash));
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

Psk::~Psk() { forget(bytes_); }

Status KeyTable::add(std::string identity, PskHash hash, std::span<const std::byte> psk) {
  if (count_ == limits::max_psks) {
    return Error{ErrorCode::limit_exceeded,
                 "more than " + std::to_string(limits::max_psks) +
                     " TLS PSKs; remove PSKs of hosts that no longer connect"};
  }
  auto& same = psks_[std::move(identity)];
  if (same.size() == limits::psks_per_identity) {
    return Error{ErrorCode::limit_exceeded,
                 "more than " + std::to_string(limits::psks_per_identity) +
                     " TLS PSKs of one identity; remove a PSK of that host"};
  }
  same.push_back(std::make_unique<const Psk>(hash, psk));
  ++count_;
  return Unit{};
}

std::span<const std::unique_ptr<const Psk>> KeyTable::find(
    std::string_view identity) const noexcept {
  const auto at = psks_.find(identity);
  if (at == psks_.end()) return {};
  return at->second;
}

std::span<const std::unique_ptr<const Psk>> KeyTables::find(
    std::string_view identity) const noexcept {
  const auto found = configured->find(identity);
  return found.empty() ? generated->find(identity) : found;
}

void Keys::replace(PskOrigin origin, std::shared_ptr<const KeyTable> table) noexcept {
  CHECK(table != nullptr);
  // The old one goes with the argument, after the lock.
  const std::lock_guard lock(mutex_);
  (origin == PskOrigin::configured ? tables_.configured : tables_.generated).swap(table);
}

KeyTables Keys::current() const noexcept {
  const std::lock_guard lock(mutex_);
  return tables_;
}

}  // namespace ashlar::tls
