// SimNetwork: TCP as the target and the host could meet it, in one process and from one seed.
//
// A SimWire joins the SimNetworks of several simulated loops that run on one thread. Everything
// takes time on the loops' clock (by their timers), and every length and delay comes from the
// Random given, so one seed gives one history. Faults are of the kinds that streams have: bytes
// come in any split, late; a connection is cut (both ends see a reset), or goes silent (nothing
// arrives any more and nobody is told); an address refuses or swallows connection attempts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "reactor/network.h"
#include "reactor/random.h"

namespace ashlar::sim {

struct SimNetworkOptions {
  // Each arrival takes this long, evenly distributed.
  uint64_t min_delay_ns = 5'000;
  uint64_t max_delay_ns = 200'000;
  // Deliver random parts (often single bytes) of what is under way. False: all at once.
  bool split = true;
  // Bytes under way and unread in one direction; a send waits for room. Drawn for each direction.
  size_t min_window_bytes = 1;
  size_t max_window_bytes = 256 * 1024;
  // Of a million arrivals this many cut the connection instead.
  uint32_t cuts_per_million = 0;
  // Of a million arrivals this many silence the connection instead.
  uint32_t silences_per_million = 0;
};

class SimNetwork;
class SimListener;
class SimConnection;

class SimWire {
 public:
  SimWire(Random& random, const SimNetworkOptions& options);
  ~SimWire();
  SimWire(const SimWire&) = delete;
  SimWire& operator=(const SimWire&) = delete;

  SimNetworkOptions& options() noexcept { return options_; }  // May be changed at any time.

  // Faults on order. Streams of any SimNetwork on this wire.
  void cut(Stream& stream);      // Both ends see a reset, each after a delay.
  void silence(Stream& stream);  // Nothing arrives on either end any more.
  void cut_all();
  // Attempts to connect to this address are never answered (true) until healed (false).
  void swallow(const SocketAddress& address, bool swallowed);

  // What happened: for "this branch was reached" and for comparing two runs of one seed.
  struct Counts {
    uint64_t connections = 0;
    uint64_t arrivals = 0;
    uint64_t bytes = 0;
    uint64_t cuts = 0;
    uint64_t silences = 0;
  };
  const Counts& counts() const noexcept { return counts_; }

 private:
  friend class SimNetwork;
  friend class SimListener;
  friend class SimConnection;
  friend class SimConnecting;

  using Key = std::pair<std::string, uint16_t>;
  SimListener* find_listener(const SocketAddress& to) const;
  uint64_t draw(uint64_t least, uint64_t most);
  bool chance(uint32_t per_million);

  Random& random_;
  SimNetworkOptions options_;
  Counts counts_;
  uint16_t next_port_ = 49152;
  std::map<Key, SimListener*> listeners_;
  std::set<Key> swallowed_;
  std::map<uint64_t, SimConnection*> connections_;  // By number, so that walks repeat.
  uint64_t next_connection_ = 1;
};

class SimNetwork final : public Network {
 public:
  // `host`: this loop's own address, as peers see it.
  SimNetwork(SimWire& wire, Loop& loop, std::string host);

  Result<std::unique_ptr<Listener>> listen(
      const SocketAddress& at,
      std::function<void(std::unique_ptr<AcceptedStream>)> on_accept) override;
  Result<std::unique_ptr<Stream>> adopt(std::unique_ptr<AcceptedStream> accepted) override;
  void connect(ConnectOp& op) noexcept override;

 private:
  SimWire& wire_;
  Loop& loop_;
  const std::string host_;
};

}  // namespace ashlar::sim
