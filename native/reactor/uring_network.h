// UringNetwork: TCP sockets on a reactor's ring, behind the Network seam.
#pragma once

#include "reactor/network.h"

namespace ashlar {

class UringReactor;

class UringNetwork final : public Network {
 public:
  explicit UringNetwork(UringReactor& reactor) : reactor_(reactor) {}

  Result<std::unique_ptr<Listener>> listen(
      const SocketAddress& at,
      std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) override;
  Result<std::unique_ptr<Stream>> adopt(std::unique_ptr<AcceptedStream> accepted) override;
  void connect(ConnectOp& op) noexcept override;

 private:
  UringReactor& reactor_;
};

}  // namespace ashlar
