// The static limits of TLS, with their arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::tls::limits {

// A record (RFC 8446, 5.1 and 5.2): header, up to 16 KiB of content and 256 bytes of expansion.
inline constexpr size_t record_header_bytes = 5;
inline constexpr size_t record_content_bytes = 16384;
inline constexpr size_t record_bytes = record_header_bytes + record_content_bytes + 256;

// A ClientHello, which has to come as one record. An identity has at most 9 + 223 + 1 + 223 + 1 +
// 64 = 521 bytes, and the largest key share that hosts offer today 1,216: 3 KiB are plenty. It is
// all that a peer who has proved nothing can make us keep: 32 MiB for the 4,096 connections of a
// reactor.
inline constexpr size_t client_hello_bytes = 8192;
inline constexpr size_t first_hello_bytes = 1024;

// PSKs of one identity that are tried: two derivations of each of the four that a host may have.
inline constexpr uint32_t psks_per_identity = 8;
// Identities of one ClientHello that are looked up. Hosts offer one.
inline constexpr uint32_t identities_per_hello = 8;
inline constexpr size_t max_psk_bytes = 48;
// Of each origin. 65,536 entries of about 700 bytes are 45 MiB.
inline constexpr size_t max_psks = 65536;

// Of a session, from its handshake on: two records to receive and four to send, 97 KiB, beside the
// 45 KiB or so that OpenSSL keeps for it. Four records a send stay in the L2 cache.
inline constexpr size_t receive_bytes = 2 * record_bytes;
inline constexpr size_t send_bytes = 4 * record_bytes;

// KeyUpdates that a host may send without data between them; one more is given back for every MiB
// of data. Each costs two derivations of keys, and an honest host sends one in gigabytes.
inline constexpr uint32_t key_updates = 8;
inline constexpr size_t bytes_per_key_update = 1u << 20;

// A close_notify that the socket does not take at once is given up after this long.
inline constexpr uint64_t close_timeout_ns = 1'000'000'000;

}  // namespace ashlar::tls::limits
