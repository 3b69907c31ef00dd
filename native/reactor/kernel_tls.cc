#include "reactor/kernel_tls.h"

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "reactor/socket.h"

namespace ashlar {

namespace {

// RFC 8446, 5.1 and B.2, B.3.
constexpr unsigned char record_alert = 21;
constexpr unsigned char record_handshake = 22;
constexpr unsigned char alert_warning = 1;
constexpr unsigned char alert_close_notify = 0;
constexpr unsigned char message_key_update = 24;

// One control message that holds the type of a record.
union RecordControl {
  char bytes[CMSG_SPACE(sizeof(unsigned char))];
  cmsghdr header;
};

// Both forms of struct tls12_crypto_info_*: the kernel splits the IV of 12 bytes in 4 and 8.
template <class Info>
int install(int fd, int direction, uint16_t cipher, const TlsRecordKeys& keys) noexcept {
  Info info{};
  info.info.version = TLS_1_3_VERSION;
  info.info.cipher_type = cipher;
  static_assert(sizeof info.salt + sizeof info.iv == sizeof keys.iv);
  static_assert(sizeof info.rec_seq == sizeof keys.sequence);
  CHECK(keys.key_bytes == sizeof info.key);
  std::memcpy(info.key, keys.key.data(), sizeof info.key);
  std::memcpy(info.salt, keys.iv.data(), sizeof info.salt);
  std::memcpy(info.iv, keys.iv.data() + sizeof info.salt, sizeof info.iv);
  for (size_t i = 0; i < sizeof info.rec_seq; ++i) {
    info.rec_seq[i] = static_cast<unsigned char>(keys.sequence >> (56 - 8 * i));
  }
  const int result = ::setsockopt(fd, SOL_TLS, direction, &info, sizeof info);
  const int error = result == 0 ? 0 : errno;
  explicit_bzero(&info, sizeof info);
  return error;
}

// An errno; 0: done.
int install(int fd, int direction, const TlsRecordKeys& keys) noexcept {
  if (keys.key_bytes == 16) {
    return install<tls12_crypto_info_aes_gcm_128>(fd, direction, TLS_CIPHER_AES_GCM_128, keys);
  }
  return install<tls12_crypto_info_aes_gcm_256>(fd, direction, TLS_CIPHER_AES_GCM_256, keys);
}

int attach(int fd) noexcept {
  static constexpr char name[] = "tls";
  return ::setsockopt(fd, IPPROTO_TCP, TCP_ULP, name, sizeof name) == 0 ? 0 : errno;
}

// Two ends of a connection to this process. Both invalid: there is no loopback.
std::pair<Descriptor, Descriptor> connected_pair() {
  const auto listening = open_listening({"127.0.0.1", 0});
  if (!listening) return {};
  const auto address = to_raw(local_address(listening.value().get()));
  if (!address) return {};
  Descriptor near(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!near.valid()) return {};
  if (::connect(near.get(), address.value().get(), address.value().length) != 0) return {};
  const int fd = listening.value().get();
  pollfd arrival{fd, POLLIN, 0};
  constexpr int patience_ms = 1000;
  if (::poll(&arrival, 1, patience_ms) != 1) return {};
  Descriptor far(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
  if (!far.valid()) return {};
  return {std::move(near), std::move(far)};
}

std::string words(const std::string& what, int error) {
  return what + ": " + std::strerror(error);
}

// A byte from one end to the other, as records by the kernel both times.
std::optional<std::string> try_cipher(size_t key_bytes, const char* name) {
  const auto [near, far] = connected_pair();
  if (!near.valid()) return "no connection over 127.0.0.1 to try it with";
  for (const int fd : {near.get(), far.get()}) {
    const int error = attach(fd);
    if (error == ENOENT) {
      return "the kernel has no TLS, or has not loaded it: as root, run: modprobe tls";
    }
    if (error != 0) return words("the kernel does not attach TLS to a connection", error);
  }
  TlsRecordKeys keys;
  keys.key_bytes = key_bytes;
  int error = install(near.get(), TLS_TX, keys);
  if (error == 0) error = install(far.get(), TLS_RX, keys);
  const std::string no_cipher = std::string("the kernel does no TLS 1.3 with ") + name;
  if (error != 0) return words(no_cipher, error);
  char byte = 'a';
  pollfd arrival{far.get(), POLLIN, 0};
  constexpr int patience_ms = 1000;
  const bool through = ::send(near.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
                       ::poll(&arrival, 1, patience_ms) == 1 &&
                       ::recv(far.get(), &byte, 1, MSG_DONTWAIT) == 1 && byte == 'a';
  if (!through) return no_cipher + ": a byte did not come through";
  return std::nullopt;
}

}  // namespace

TlsRecordKeys::~TlsRecordKeys() {
  explicit_bzero(key.data(), key.size());
  explicit_bzero(iv.data(), iv.size());
}

std::optional<std::string> kernel_tls_problem() {
  auto problem = try_cipher(16, "AES-128-GCM");
  if (!problem) problem = try_cipher(32, "AES-256-GCM");
  return problem;
}

TlsOffload kernel_tls_begin(int fd, const TlsRecordKeys& receive,
                            const TlsRecordKeys& send) noexcept {
  // Without keys the kernel's TLS leaves the bytes as they are.
  if (attach(fd) != 0) return TlsOffload::refused;
  if (install(fd, TLS_TX, send) != 0) return TlsOffload::refused;
  // The direction that has its keys cannot be taken back.
  return install(fd, TLS_RX, receive) == 0 ? TlsOffload::done : TlsOffload::broken;
}

int kernel_tls_take_record(int fd) noexcept {
  std::array<unsigned char, 256> content{};
  iovec segment{content.data(), content.size()};
  RecordControl control{};
  msghdr message{};
  message.msg_iov = &segment;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  const ssize_t length = ::recvmsg(fd, &message, MSG_DONTWAIT);
  const cmsghdr* header = length > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_level != SOL_TLS ||
      header->cmsg_type != TLS_GET_RECORD_TYPE) {
    return -EPROTO;
  }
  const unsigned char type = *CMSG_DATA(header);
  if (type == record_alert && length == 2 && content[1] == alert_close_notify) return 0;
  if (type == record_handshake && content[0] == message_key_update) return -EKEYEXPIRED;
  return -EPROTO;
}

void kernel_tls_close_notify(int fd) noexcept {
  std::array<unsigned char, 2> alert{alert_warning, alert_close_notify};
  iovec segment{alert.data(), alert.size()};
  RecordControl control{};
  msghdr message{};
  message.msg_iov = &segment;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_TLS;
  header->cmsg_type = TLS_SET_RECORD_TYPE;
  header->cmsg_len = CMSG_LEN(sizeof record_alert);
  *CMSG_DATA(header) = record_alert;
  (void)::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace ashlar
