#include "target/target.h"

#include <atomic>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "nvme/fabrics.h"

namespace ashlar::target {

using nvme::StatusCode;

Target::Target(std::vector<ReactorPort> reactors, TargetEvents& events) : events_(events) {
  CHECK(!reactors.empty() && reactors.size() <= limits::max_reactors);
  for (uint32_t i = 0; i < reactors.size(); ++i) {
    shards_.push_back(
        std::make_unique<Shard>(reactors[i], i, static_cast<Home&>(*this), events));
    range_locks_.add_shard(shards_[i]->loop(), shards_[i]->range_gate());
  }
}

Target::~Target() { CHECK(portals_.empty() && controllers_.empty()); }

template <class Function>
void Target::at_connection(ConnectionId id, Function&& function) {
  const uint32_t index = shard_of(id);
  CHECK(index < shards_.size());
  Shard& shard = *shards_[index];
  call_on(shard.loop(), [&shard, id, body = std::forward<Function>(function)]() mutable {
    Connection* connection = shard.find(id);
    if (connection != nullptr) body(*connection);
  });
}

Controller* Target::find(ControllerId id) noexcept {
  const auto at = controllers_.find(id);
  return at == controllers_.end() ? nullptr : at->second.get();
}

// ---- Portals ------------------------------------------------------------------------------------

void Target::listen(PortalOptions options, std::function<void(Result<uint16_t>)> done) {
  at_home([this, options = std::move(options), done = std::move(done)] {
    do_listen(options, done);
  });
}

void Target::set_tls_keys(std::shared_ptr<const tls::KeyTable> table,
                          tls::PskOrigin origin) noexcept {
  tls_keys_->replace(origin, std::move(table));
}

void Target::do_listen(const PortalOptions& options,
                       const std::function<void(Result<uint16_t>)>& done) {
  if (closing_) {
    done(Error{ErrorCode::closed, "the target is closing"});
    return;
  }
  if (portals_.contains(options.id)) {
    done(Error{ErrorCode::already_exists,
               "portal " + std::to_string(options.id) + " is open already; choose another id"});
    return;
  }
  auto state = std::make_shared<PortalState>();
  state->id = options.id;
  state->allow_header_digest = options.allow_header_digest;
  state->allow_data_digest = options.allow_data_digest;
  if (options.tls != PortalTls::none) {
    std::shared_ptr<tls::Context>& context = tls_[options.tls_records];
    if (context == nullptr) {
      auto created = tls::Context::create(tls_keys_, options.tls_records);
      if (!created) {
        done(created.error());
        return;
      }
      context = std::move(created).value();
    }
    state->tls = context;
    state->allow_plain = options.tls == PortalTls::allowed;
  }
  auto listener = shards_[0]->network().listen(
      options.address, [this, state](std::unique_ptr<AcceptedStream> accepted) {
        const uint32_t next = next_shard_.fetch_add(1, std::memory_order_relaxed);
        Shard& shard = *shards_[next % shards_.size()];
        call_on(shard.loop(), [&shard, state, stream = std::move(accepted)]() mutable {
          shard.adopt(std::move(stream), state);
        });
      });
  if (!listener) {
    done(listener.error());
    return;
  }
  Portal& portal = portals_[options.id];
  portal.state = std::move(state);
  portal.listener = std::move(listener).value();
  done(portal.listener->local().port);
}

void Target::close_portal(PortalId portal, bool drop, std::function<void()> done) {
  at_home([this, portal, drop, done = std::move(done)]() mutable {
    do_close_portal(portal, drop, std::move(done));
  });
}

void Target::do_close_portal(PortalId id, bool drop, std::function<void()> done) {
  const auto at = portals_.find(id);
  if (at == portals_.end() || at->second.done != nullptr) {
    done();
    return;
  }
  Portal& portal = at->second;
  portal.done = std::move(done);
  portal.drop = drop;
  auto* closed = new ClosedTask;
  closed->target = this;
  closed->portal = id;
  closed->run = [](Task& task) noexcept {
    auto* self = static_cast<ClosedTask*>(&task);
    self->target->portal_closed(self->portal);
    delete self;
  };
  portal.listener->close(*closed);
}

void Target::portal_closed(PortalId id) {
  const auto at = portals_.find(id);
  CHECK(at != portals_.end());
  std::function<void()> done = std::move(at->second.done);
  const bool drop = at->second.drop;
  portals_.erase(at);
  if (!drop) {
    done();
    return;
  }
  // Sockets accepted before the close are in messages ahead of this one.
  on_all_shards([id](Shard& shard) { shard.end_portal(id); }, [] {});
  await_farewell({[id](Shard& shard) { return shard.connections_of(id); }, std::move(done)});
}

void Target::set_ana(PortalId portal, std::vector<AnaChange> changes,
                     std::function<void()> done) {
  at_home([this, portal, changes = std::move(changes), done = std::move(done)] {
    const auto at = portals_.find(portal);
    if (at != portals_.end()) {
      for (const auto& [anagrpid, state] : changes) at->second.state->ana.set(anagrpid, state);
    }
    done();
  });
}

// ---- Controllers --------------------------------------------------------------------------------

void Target::create_controller(ControllerId id, const ControllerOptions& options) {
  CHECK(id != 0);
  at_home([this, id, options] {
    CHECK(!controllers_.contains(id));
    Controller& controller =
        *controllers_.emplace(id, std::make_unique<Controller>(id, options)).first->second;
    if (closing_) end_controller(controller, EndReason::destroyed, "the target was closed");
  });
}

void Target::accept(ConnectionId connection, ControllerId controller,
                    Authentication authentication) {
  const Admission admission{connection, controller, authentication};
  at_home([this, admission] { do_accept(admission); });
}

// The connection itself knows what it asked for, so the home reactor asks it first.
void Target::do_accept(const Admission& admission) {
  Shard& shard = *shards_[shard_of(admission.connection)];
  call_on(shard.loop(), [this, &shard, admission] {
    Connection* waiting = shard.find(admission.connection);
    nvme::ConnectCommand connect;
    if (waiting != nullptr && waiting->pending_connect(connect)) {
      at_home([this, admission, qid = connect.qid] { join(admission, qid); });
      return;
    }
    at_home([this, id = admission.controller] { abandon(id); });
  });
}

// The host left before its Connect was answered: a controller that never got its admin queue has
// nothing that would end it.
void Target::abandon(ControllerId id) {
  Controller* controller = find(id);
  if (controller == nullptr || controller->phase != ControllerPhase::fresh) return;
  end_controller(*controller, EndReason::disconnected, "the host left before it was let in");
}

// A host that connects again sends again what its lost association left unanswered. A write of that
// association that is still at the store must not land after what the new one writes, so the new
// one waits; a host's other, living associations (its other paths) hold nobody up.
bool Target::predecessor_is_ending(const Controller& controller) const noexcept {
  for (const auto& [id, other] : controllers_) {
    if (other->phase == ControllerPhase::ending &&
        other->state->options.hostid == controller.state->options.hostid) {
      return true;
    }
  }
  return false;
}

// Hosts take Do Not Retry in a Connect as "give up reconnecting", so it is for what will not change.
void Target::join(const Admission& admission, uint16_t qid) {
  const auto [connection, id, authentication] = admission;
  Controller* controller = find(id);
  if (controller == nullptr || controller->phase == ControllerPhase::ending) {
    // The host named a controller that ended meanwhile: IPO names CNTLID in the Connect data.
    do_reject(connection, {StatusCode::connect_invalid_parameters, false},
              1u << 16 | offsetof(nvme::ConnectData, cntlid));
    return;
  }
  if (qid > controller->state->options.max_io_queues) {
    do_reject(connection, {StatusCode::connect_invalid_parameters, true},
              offsetof(nvme::ConnectCommand, qid));
    return;
  }
  const bool fresh = controller->phase == ControllerPhase::fresh;
  const bool enabled = controller->state->enabled.load(std::memory_order_relaxed);
  if (fresh != (qid == 0) || (qid != 0 && !enabled) || controller->has_queue(qid)) {
    do_reject(connection, {StatusCode::command_sequence_error, false}, 0);
    return;
  }
  if (fresh && predecessor_is_ending(*controller)) {
    successors_.push_back(admission);
    return;
  }
  if (fresh) controller->set_phase(ControllerPhase::running);
  controller->queues.emplace(connection, qid);
  AcceptTerms terms{controller->state, controller->namespaces, controller->keep_alive_ms,
                    authentication};
  // A connection that has closed since the question leaves without naming a controller.
  Shard& shard = *shards_[shard_of(connection)];
  call_on(shard.loop(), [this, &shard, id = admission.controller,
                         connection = admission.connection, terms = std::move(terms)]() mutable {
    Connection* waiting = shard.find(connection);
    if (waiting == nullptr || !waiting->accept(std::move(terms))) {
      connection_left(id, connection);
    }
  });
}

void Target::reject(ConnectionId connection, uint16_t status, uint64_t result) {
  const auto code = static_cast<StatusCode>(status);
  at_home([this, connection, code, result] {
    do_reject(connection, {code, code != StatusCode::connect_controller_busy}, result);
  });
}

void Target::do_reject(ConnectionId connection, Refusal refusal, uint64_t result) {
  at_connection(connection,
                [refusal, result](Connection& waiting) { waiting.reject(refusal, result); });
}

void Target::read_errors(ControllerId id, std::function<void(ErrorLog::Contents)> done) {
  at_home([this, id, done = std::move(done)] {
    const Controller* controller = find(id);
    done(controller == nullptr ? ErrorLog::Contents{} : controller->state->errors.read());
  });
}

void Target::set_namespaces(ControllerId id, std::vector<Namespace> namespaces,
                            std::function<void()> done) {
  auto table = std::make_shared<const NamespaceTable>(std::move(namespaces));
  at_home([this, id, table = std::move(table), done = std::move(done)]() mutable {
    Controller* controller = find(id);
    if (controller == nullptr) {
      done();
      return;
    }
    controller->updates.push_back({std::move(table), std::move(done)});
    if (controller->updates.size() == 1) start_update(*controller);
  });
}

void Target::start_update(Controller& controller) {
  CHECK(controller.unsettled.empty() && !controller.updates.empty());
  const uint64_t number = ++controller.update_number;
  controller.namespaces = controller.updates.front().table;
  for (const auto& [connection, qid] : controller.queues) {
    controller.unsettled.insert(connection);
    at_connection(connection, [table = controller.namespaces, number](Connection& queue) mutable {
      queue.set_namespaces(std::move(table), number);
    });
  }
  finish_update(controller);
}

// A connection that has gone settles by leaving.
void Target::finish_update(Controller& controller) {
  while (controller.unsettled.empty() && !controller.updates.empty()) {
    std::function<void()> done = std::move(controller.updates.front().done);
    controller.updates.pop_front();
    done();
    if (!controller.updates.empty()) {
      start_update(controller);
      return;
    }
  }
}

void Target::namespaces_settled(ControllerId id, ConnectionId connection, uint64_t update) {
  at_home([this, id, connection, update] {
    Controller* controller = find(id);
    if (controller == nullptr || update != controller->update_number) return;
    if (controller->unsettled.erase(connection) != 0) finish_update(*controller);
  });
}

void Target::set_keep_alive(ControllerId id, uint32_t timeout_ms) {
  at_home([this, id, timeout_ms] {
    Controller* controller = find(id);
    if (controller == nullptr) return;
    controller->keep_alive_ms = timeout_ms;
    const ConnectionId admin = controller->admin_queue();
    if (admin == 0) return;
    at_connection(admin, [timeout_ms](Connection& queue) { queue.set_keep_alive(timeout_ms); });
  });
}

void Target::set_enabled(ControllerId id, bool enabled) {
  at_home([this, id, enabled] {
    Controller* controller = find(id);
    if (controller != nullptr) {
      controller->state->enabled.store(enabled, std::memory_order_relaxed);
    }
  });
}

void Target::raise_event(ControllerId id, const AsyncEvent& event) {
  at_home([this, id, event] {
    Controller* controller = find(id);
    if (controller == nullptr || controller->admin_queue() == 0) return;
    at_connection(controller->admin_queue(),
                  [event](Connection& queue) { queue.raise_event(event); });
  });
}

void Target::clear_event(ControllerId id, const AsyncEvent& event) {
  at_home([this, id, event] {
    Controller* controller = find(id);
    if (controller == nullptr || controller->admin_queue() == 0) return;
    at_connection(controller->admin_queue(),
                  [event](Connection& queue) { queue.clear_event(event); });
  });
}

void Target::complete_command(ControllerId id, uint64_t command, CommandCompletion completion,
                              QueueVerdict verdict) {
  at_home([this, id, command, completion = std::move(completion), verdict]() mutable {
    Controller* controller = find(id);
    const ConnectionId queue = controller == nullptr ? 0 : controller->queue_of(command);
    if (queue == 0) return;
    at_connection(queue, [command, answer = std::move(completion),
                          verdict](Connection& at) mutable {
      at.complete_command(token_of(command), std::move(answer), verdict);
    });
  });
}

void Target::destroy_controller(ControllerId id) {
  at_home([this, id] {
    Controller* controller = find(id);
    if (controller != nullptr) {
      end_controller(*controller, EndReason::destroyed, "the controller was destroyed");
    }
  });
}

// ---- The end of a controller --------------------------------------------------------------------

void Target::admin_queue_ending(ControllerId id, EndReason reason, std::string detail) {
  at_home([this, id, reason, detail = std::move(detail)]() mutable {
    Controller* controller = find(id);
    if (controller != nullptr) end_controller(*controller, reason, std::move(detail));
  });
}

void Target::end_controller(Controller& controller, EndReason reason, std::string detail) {
  if (controller.phase != ControllerPhase::ending) {
    controller.set_phase(ControllerPhase::ending);
    controller.reason = reason;
    controller.detail = std::move(detail);
    controller.state->enabled.store(false, std::memory_order_relaxed);
    for (const auto& [connection, qid] : controller.queues) {
      at_connection(connection, [](Connection& queue) { queue.end_with_controller(); });
    }
  }
  finish_if_ended(controller);
}

void Target::connection_left(ControllerId id, ConnectionId connection) {
  at_home([this, id, connection] {
    Controller* controller = id == 0 ? nullptr : find(id);
    if (controller != nullptr) {
      const auto at = controller->queues.find(connection);
      CHECK(at != controller->queues.end());
      const bool admin = at->second == 0;
      controller->queues.erase(at);
      if (controller->unsettled.erase(connection) != 0) finish_update(*controller);
      if (admin) {
        end_controller(*controller, EndReason::disconnected, "the host closed the connection");
      } else {
        finish_if_ended(*controller);
      }
    }
    for (const auto& farewell : farewells_) ask_farewell(farewell);
  });
}

void Target::finish_if_ended(Controller& controller) {
  if (controller.phase != ControllerPhase::ending || !controller.queues.empty()) return;
  finish_update(controller);
  CHECK(controller.updates.empty());
  ControllerEnded ended{controller.state->id, controller.reason, std::move(controller.detail)};
  controllers_.erase(controller.state->id);
  events_.controller_ended(std::move(ended));
  // Asked again, in their order; those whose predecessors still end go back to the list.
  for (const Admission& next : std::exchange(successors_, {})) {
    at_home([this, next] { join(next, 0); });
  }
}

// ---- The end of the target ----------------------------------------------------------------------

void Target::on_all_shards(const std::function<void(Shard&)>& function,
                           std::function<void()> done) {
  auto left = std::make_shared<std::pair<size_t, std::function<void()>>>(shards_.size(),
                                                                         std::move(done));
  for (auto& shard : shards_) {
    call_on(shard->loop(), [this, &one = *shard, function, left] {
      function(one);
      at_home([left] {
        if (--left->first == 0) left->second();
      });
    });
  }
}

void Target::await_farewell(Farewell farewell) {
  farewells_.push_back(std::make_shared<Farewell>(std::move(farewell)));
  ask_farewell(farewells_.back());
}

// Each connection that leaves tells the home reactor after it is gone, so the last one's message is
// followed by an answer of zero.
void Target::ask_farewell(const std::shared_ptr<Farewell>& farewell) {
  auto remaining = std::make_shared<std::atomic<size_t>>(0);
  on_all_shards([farewell, remaining](Shard& shard) { *remaining += farewell->count(shard); },
                [this, farewell, remaining] {
                  if (*remaining != 0) return;
                  if (std::erase(farewells_, farewell) != 0) farewell->done();
                });
}

void Target::quiesce(std::function<void(bool)> done) {
  at_home([this, done = std::move(done)] {
    if (!portals_.empty() || !controllers_.empty()) {
      done(false);
      return;
    }
    on_all_shards([](Shard& shard) { shard.end_all(); }, [] {});
    await_farewell(
        {[](Shard& shard) { return shard.connection_count(); }, [done] { done(true); }});
  });
}

void Target::close(std::function<void()> done) {
  at_home([this, done = std::move(done)]() mutable {
    closing_ = true;
    auto left = std::make_shared<size_t>(portals_.size() + 1);
    auto finished = std::make_shared<std::function<void()>>(std::move(done));
    const auto portal_gone = [this, left, finished] {
      if (--*left != 0) return;
      std::vector<ControllerId> ids;
      for (const auto& [id, controller] : controllers_) ids.push_back(id);
      for (const ControllerId id : ids) {
        end_controller(*find(id), EndReason::destroyed, "the target was closed");
      }
      // Nothing is accepted any more, and what was accepted is in messages ahead of these.
      on_all_shards([](Shard& shard) { shard.end_all(); }, [] {});
      await_farewell({[](Shard& shard) { return shard.connection_count(); },
                      [finished] { (*finished)(); }});
    };
    std::vector<PortalId> ids;
    for (auto& [id, portal] : portals_) {
      if (portal.done == nullptr) {
        ids.push_back(id);
      } else {  // Its close is under way.
        portal.done = [earlier = std::move(portal.done), portal_gone] {
          earlier();
          portal_gone();
        };
      }
    }
    for (const PortalId id : ids) do_close_portal(id, false, portal_gone);
    portal_gone();
  });
}

}  // namespace ashlar::target
