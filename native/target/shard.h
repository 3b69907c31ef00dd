// Shard: the target's part on one reactor: its connections, and what they share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "reactor/buffers.h"
#include "reactor/counters.h"
#include "reactor/loop.h"
#include "reactor/network.h"
#include "target/connection.h"
#include "target/events.h"
#include "target/range_lock.h"
#include "target/share.h"
#include "target/shared.h"

namespace ashlar::target {

// One reactor as the target uses it. Everything is borrowed and outlives the target.
struct ReactorPort {
  Loop* loop = nullptr;
  Network* network = nullptr;
  BufferPool* buffers = nullptr;
  ReactorCounters* counters = nullptr;
};

// Own thread only, except for construction and loop().
class Shard {
 public:
  Shard(const ReactorPort& port, uint32_t index, Home& home, TargetEvents& events);
  ~Shard();  // No connection may be left (CHECKed).
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  Loop& loop() noexcept { return *port_.loop; }
  Network& network() noexcept { return *port_.network; }
  BufferPool& buffers() noexcept { return *port_.buffers; }
  ReactorCounters& counters() noexcept { return *port_.counters; }
  Home& home() noexcept { return home_; }
  TargetEvents& events() noexcept { return events_; }
  RangeGate& range_gate() noexcept { return range_gate_; }
  ReactorShare& share() noexcept { return share_; }
  uint32_t reactor_index() noexcept { return port_.loop->index(); }

  // Takes a socket over. Beyond connections_per_reactor, or when the network refuses, it is closed.
  // Beyond the bounds on newcomers another newcomer is (limits.h).
  void adopt(std::unique_ptr<AcceptedStream> accepted, std::shared_ptr<PortalState> portal);
  Connection* find(ConnectionId id) noexcept;
  size_t connection_count() const noexcept { return connections_.size(); }
  size_t connections_of(PortalId portal) const noexcept;
  void end_portal(PortalId portal);
  void end_all();
  // It has a queue, and its host is who it says, so it is no newcomer any more.
  void settled(ConnectionId id) noexcept;
  // Deletes a closed connection in a later task, and tells the home reactor.
  void retire(Connection& connection, ControllerId controller) noexcept;

 private:
  static constexpr uint32_t index_bits = 8;
  static_assert(limits::max_reactors <= (1u << index_bits));

  struct Entry : Task {
    std::unique_ptr<Connection> connection;
    Shard* shard = nullptr;
    ControllerId controller = 0;
    std::string newcomer_from;  // The address under which it is in newcomers_; empty: it is not.
  };

  // By id, which is by age. Those of one address, and how many of all there are.
  using Newcomers = std::map<std::string, std::set<ConnectionId>>;
  void make_room_for(const std::string& address) noexcept;
  void drop_oldest(Newcomers::iterator of) noexcept;

  const ReactorPort port_;
  const uint32_t index_;
  Home& home_;
  TargetEvents& events_;
  uint64_t next_sequence_ = 1;
  RangeGate range_gate_;
  ReactorShare share_;
  std::unordered_map<ConnectionId, std::unique_ptr<Entry>> connections_;
  Newcomers newcomers_;
  size_t newcomer_count_ = 0;
};

// The index of the shard that a connection lives on.
constexpr uint32_t shard_of(ConnectionId id) noexcept { return static_cast<uint32_t>(id & 0xff); }

}  // namespace ashlar::target
