// What the service manager is told, as sd_notify(3) has it: one datagram to a Unix socket, which
// Node.js cannot send.
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "addon/register.h"
#include "addon/values.h"

namespace ashlar::addon {

namespace {

std::string reason(const char* what) { return std::string(what) + ": " + strerrordesc_np(errno); }

// Empty, or why it was not sent. A manager that does not listen is waited for, one second.
std::string send_to_manager(const std::string& path, const std::string& message) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return "the path of its socket is too long";
  std::memcpy(address.sun_path, path.data(), path.size());
  // '@' stands for the zero before a name that is in no file system, and such a name has no end.
  const bool abstract = path.starts_with('@');
  if (abstract) address.sun_path[0] = '\0';
  const size_t length =
      offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? size_t{0} : size_t{1});
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return reason("socket");
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  (void)::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const ssize_t sent =
      ::sendto(socket, message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length));
  std::string problem = sent < 0 ? reason("sendto") : std::string();
  ::close(socket);
  return problem;
}

Napi::Value service_notify(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader in(env);
  const std::string path = in.to_text(info[0], "socket");
  const std::string message = in.to_text(info[1], "message");
  if (!in.ok()) return in.raise();
  const std::string problem = send_to_manager(path, message);
  return problem.empty() ? env.Null() : js(env, problem);
}

}  // namespace

void register_service(Napi::Env env, Napi::Object exports) {
  exports["serviceNotify"] = Napi::Function::New<service_notify>(env, "serviceNotify");
}

}  // namespace ashlar::addon
