// What the target tells the control plane, and the values that come back.
//
// The control plane decides about Connect and about admin commands; see lib/native.ts, whose types
// these mirror. Ids are plain numbers: whatever names something that has gone is ignored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nvme/wire.h"

namespace ashlar::target {

using ConnectionId = uint64_t;  // Never used twice. The low 8 bits say which reactor.
using ControllerId = uint64_t;  // Chosen by the caller of Target::create_controller; never 0.
using PortalId = uint32_t;

// A Connect command waits on this connection for accept() or reject().
struct ConnectRequest {
  ConnectionId connection = 0;
  PortalId portal = 0;
  std::string peer;   // "address:port"; IPv6 addresses in brackets.
  std::string local;  // Likewise our own end.
  std::string tls_identity;  // The PSK identity that the host has proved; empty: no TLS.
  nvme::Sqe sqe{};
  std::vector<std::byte> data;  // 1,024 bytes.
};

// The name of a command that the control plane has: which connection (its low 32 bits tell those of
// one controller apart) and which use of which of its slots.
constexpr uint64_t command_name(ConnectionId connection, uint32_t token) noexcept {
  return connection << 32 | token;
}
constexpr uint32_t token_of(uint64_t command) noexcept { return static_cast<uint32_t>(command); }

// A command waits for complete_command(). Commands of an ended controller may be answered late or
// never.
struct CommandRequest {
  ControllerId controller = 0;
  ConnectionId connection = 0;
  uint16_t qid = 0;
  uint64_t command = 0;  // Names it within the controller.
  nvme::Sqe sqe{};
  bool has_data = false;
  std::vector<std::byte> data;
  uint32_t data_room_bytes = 0;
};

struct CommandCompletion {
  uint16_t status = 0;  // SCT << 8 | SC.
  bool do_not_retry = false;
  uint64_t result = 0;
  std::vector<std::byte> data;
};

// Whether a queue has to authenticate before it takes anything else.
enum class Authentication : uint8_t {
  none,
  required,
  required_with_tls,  // And has to begin TLS with what that generates.
};

// What the answer to an Authentication Send or Receive means for its queue.
enum class QueueVerdict : uint8_t {
  as_before,
  authenticated,  // It takes every command from now on.
  suspended,      // It takes authentication only: a message of the host was wrong.
  refused,        // It takes none, and ends when the answer is out.
};

enum class EndReason : uint8_t {
  disconnected,
  keep_alive_expired,
  transport_error,
  not_authenticated,
  destroyed,
};

// No command of this controller is under way anywhere when this is raised, once.
struct ControllerEnded {
  ControllerId controller = 0;
  EndReason reason = EndReason::disconnected;
  std::string detail;
};

// Called on reactor threads; must not block. What is outstanding is bounded by the connections of
// a reactor (one ConnectRequest each) and the entries of admin queues. False: there is no room for
// another event, and the command is refused for now.
class TargetEvents {
 public:
  virtual ~TargetEvents() = default;
  [[nodiscard]] virtual bool connect_requested(ConnectRequest request) noexcept = 0;
  [[nodiscard]] virtual bool command_requested(CommandRequest request) noexcept = 0;
  virtual void controller_ended(ControllerEnded ended) noexcept = 0;
};

}  // namespace ashlar::target
