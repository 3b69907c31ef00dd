#include "target/shard.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tls/stream.h"

namespace ashlar::target {

Shard::Shard(const ReactorPort& port, uint32_t index, Home& home, TargetEvents& events)
    : port_(port), index_(index), home_(home), events_(events), share_(*port.loop) {
  CHECK(index < limits::max_reactors);
}

Shard::~Shard() { CHECK(connections_.empty()); }

void Shard::adopt(std::unique_ptr<AcceptedStream> accepted, std::shared_ptr<PortalState> portal) {
  if (connections_.size() >= limits::connections_per_reactor) return;  // Closes it.
  auto stream = port_.network->adopt(std::move(accepted));
  if (!stream) return;
  const std::string from = stream.value()->peer().host;
  make_room_for(from);
  if (portal->tls != nullptr) {
    stream = std::unique_ptr<Stream>(std::make_unique<tls::TlsStream>(
        loop(), std::move(stream).value(), portal->tls, portal->allow_plain, *port_.counters));
  }
  const ConnectionId id = next_sequence_++ << index_bits | index_;
  auto entry = std::make_unique<Entry>();
  entry->shard = this;
  entry->newcomer_from = from;
  newcomers_[from].insert(id);
  ++newcomer_count_;
  entry->connection =
      std::make_unique<Connection>(*this, id, std::move(stream).value(), std::move(portal));
  Connection& connection = *entry->connection;
  connections_.emplace(id, std::move(entry));
  port_.counters->connections.add(1);
  connection.start();
}

void Shard::make_room_for(const std::string& address) noexcept {
  const auto own = newcomers_.find(address);
  if (own != newcomers_.end() && own->second.size() >= limits::newcomers_per_address) {
    drop_oldest(own);
  } else if (newcomer_count_ >= limits::newcomers_per_reactor) {
    drop_oldest(std::max_element(newcomers_.begin(), newcomers_.end(),
                                 [](const auto& a, const auto& b) {
                                   return a.second.size() < b.second.size();
                                 }));
  }
}

void Shard::drop_oldest(Newcomers::iterator of) noexcept {
  const ConnectionId id = *of->second.begin();
  settled(id);
  find(id)->end(EndReason::transport_error, "too many connections without a Connect command");
}

void Shard::settled(ConnectionId id) noexcept {
  const auto at = connections_.find(id);
  CHECK(at != connections_.end());
  const std::string from = std::exchange(at->second->newcomer_from, {});
  if (from.empty()) return;
  const auto of = newcomers_.find(from);
  CHECK(of != newcomers_.end() && of->second.erase(id) == 1);
  if (of->second.empty()) newcomers_.erase(of);
  --newcomer_count_;
}

Connection* Shard::find(ConnectionId id) noexcept {
  const auto at = connections_.find(id);
  return at == connections_.end() ? nullptr : at->second->connection.get();
}

size_t Shard::connections_of(PortalId portal) const noexcept {
  size_t count = 0;
  for (const auto& [id, entry] : connections_) {
    if (entry->connection->portal() == portal) ++count;
  }
  return count;
}

void Shard::end_portal(PortalId portal) {
  for (auto& [id, entry] : connections_) {
    if (entry->connection->portal() == portal) {
      entry->connection->end(EndReason::destroyed, "the portal was closed");
    }
  }
}

void Shard::end_all() {
  for (auto& [id, entry] : connections_) {
    entry->connection->end(EndReason::destroyed, "the target was closed");
  }
}

void Shard::retire(Connection& connection, ControllerId of) noexcept {
  const auto at = connections_.find(connection.id());
  CHECK(at != connections_.end());
  settled(connection.id());
  Entry& entry = *at->second;
  entry.controller = of;
  entry.run = [](Task& task) noexcept {
    auto& self = static_cast<Entry&>(task);
    Shard& shard = *self.shard;
    const ControllerId controller = self.controller;
    const ConnectionId id = self.connection->id();
    shard.port_.counters->connections.subtract(1);
    shard.connections_.erase(id);  // Ends `self`.
    shard.home_.connection_left(controller, id);
  };
  port_.loop->defer(entry);
}

}  // namespace ashlar::target
