#include "host/association.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace ashlar::host {

namespace {

std::string hex_status(const Command& command) {
  char text[16];
  std::snprintf(text, sizeof text, "%03xh", command.status());
  return text;
}

bool valid_nqn(const std::string& nqn) noexcept {
  return !nqn.empty() && nqn.size() <= nvme::max_nqn_chars && nqn.find('\0') == std::string::npos;
}

}  // namespace

Result<std::unique_ptr<Association>> Association::create(const Reactor& home,
                                                         std::span<const Reactor> io_reactors,
                                                         const AssociationOptions& options) {
  CHECK(home.loop != nullptr && home.network != nullptr && !io_reactors.empty());
  const auto invalid = [](std::string message) {
    return Error{ErrorCode::invalid_argument, std::move(message)};
  };
  if (!valid_nqn(options.subnqn)) return invalid("the subsystem NQN must be 1 to 223 characters");
  if (!valid_nqn(options.hostnqn)) return invalid("the host NQN must be 1 to 223 characters");
  if (options.io_queues > max_io_queues) {
    return invalid(std::to_string(options.io_queues) + " I/O queues asked for; the most is " +
                   std::to_string(max_io_queues));
  }
  if (options.queue_entries < 2 || options.queue_entries > max_queue_entries) {
    return invalid("a queue of " + std::to_string(options.queue_entries) +
                   " entries asked for; it must have 2 to " + std::to_string(max_queue_entries));
  }
  if (options.hpda_0based > tcp::max_pda_0based) return invalid("HPDA must be 0 to 31");
  if (options.connect_timeout_ns == 0) return invalid("the connect timeout must not be zero");
  return std::unique_ptr<Association>(new Association(home, io_reactors, options));
}

Association::Association(const Reactor& home, std::span<const Reactor> io_reactors,
                         const AssociationOptions& options)
    : options_(options),
      home_loop_(*home.loop),
      home_network_(*home.network),
      io_reactors_(io_reactors.begin(), io_reactors.end()),
      step_buffer_(nvme::identify_bytes) {
  step_.context = this;
  step_.done = [](Command& command) noexcept {
    static_cast<Association*>(command.context)->step_done();
  };
  keep_alive_.context = this;
  keep_alive_.done = [](Command& command) noexcept {
    static_cast<Association*>(command.context)->keep_alive_done();
  };
  timer_.association = this;
  timer_.fire = [](Timer& timer) noexcept {
    static_cast<HomeTimer&>(timer).association->timer_fired();
  };
  keep_alive_timer_.association = this;
  keep_alive_timer_.fire = [](Timer& timer) noexcept {
    static_cast<HomeTimer&>(timer).association->send_keep_alive();
  };
  ended_task_.association = this;
  ended_task_.run = [](Task& task) noexcept {
    static_cast<HomeTask&>(task).association->all_gone();
  };
}

Association::~Association() {
  CHECK(state_ == State::idle || state_ == State::ended);
  CHECK(!timer_.armed() && !keep_alive_timer_.armed());
}

void Association::set_state(State to) noexcept {
  switch (to) {
    case State::idle: CHECK(false);
    case State::joining_admin: CHECK(state_ == State::idle); break;
    case State::reading_cap: CHECK(state_ == State::joining_admin); break;
    case State::enabling: CHECK(state_ == State::reading_cap); break;
    case State::getting_ready: CHECK(state_ == State::enabling); break;
    case State::identifying: CHECK(state_ == State::getting_ready); break;
    case State::counting_queues: CHECK(state_ == State::identifying); break;
    case State::joining_io: CHECK(state_ == State::counting_queues); break;
    case State::live: CHECK(state_ == State::joining_io || state_ == State::identifying); break;
    case State::shutting_down: CHECK(state_ == State::live); break;
    case State::ending: CHECK(state_ != State::idle && state_ < State::ending); break;
    case State::ended: CHECK(state_ == State::ending); break;
  }
  state_ = to;
}

Queue& Association::queue(uint32_t qid) noexcept {
  CHECK(qid <= io_queue_count_);
  return *members_[qid]->queue;
}

// ---- Queues and the messages about them ---------------------------------------------------------

std::unique_ptr<Association::Member> Association::make_member(uint16_t qid, uint32_t entries) {
  const Reactor reactor = qid == 0 ? Reactor{&home_loop_, &home_network_}
                                   : io_reactors_[(qid - 1u) % io_reactors_.size()];
  QueueOptions options;
  options.address = options_.address;
  options.qid = qid;
  options.entries = entries;
  options.hdgst = options_.hdgst;
  options.ddgst = options_.ddgst;
  options.hpda_0based = options_.hpda_0based;
  options.in_capsule_bytes = facts_.in_capsule_bytes;
  options.connect_timeout_ns = options_.connect_timeout_ns;
  options.command_timeout_ns = options_.command_timeout_ns;
  options.kato_ms = qid == 0 ? options_.keep_alive_ms : 0;
  std::copy(options_.hostid.begin(), options_.hostid.end(), options.connect_data.hostid);
  options.connect_data.cntlid = qid == 0 ? nvme::cntlid_dynamic : facts_.cntlid;
  std::memcpy(options.connect_data.subnqn, options_.subnqn.data(), options_.subnqn.size());
  std::memcpy(options.connect_data.hostnqn, options_.hostnqn.data(), options_.hostnqn.size());

  auto member = std::make_unique<Member>();
  member->association = this;
  for (Message* message :
       {&member->start, &member->end, &member->live, &member->ended, &member->end_ack}) {
    message->member = member.get();
  }
  member->start.run = [](Task& task) noexcept {
    static_cast<Message&>(task).member->queue->start();
  };
  member->end.run = [](Task& task) noexcept {
    Member& self = *static_cast<Message&>(task).member;
    self.queue->end({ErrorCode::closed, "the association is ending"}, self.linger);
    self.association->home_loop_.post(self.end_ack);
  };
  member->end_ack.run = [](Task& task) noexcept {
    Member& self = *static_cast<Message&>(task).member;
    self.end_seen = true;
    self.association->check_all_gone();
  };
  member->live.run = [](Task& task) noexcept {
    Member& self = *static_cast<Message&>(task).member;
    self.association->member_live(self);
  };
  member->ended.run = [](Task& task) noexcept {
    Member& self = *static_cast<Message&>(task).member;
    self.association->member_gone(self);
  };
  member->queue.emplace(*reactor.loop, *reactor.network, options, static_cast<QueueOwner&>(*this));
  return member;
}

void Association::start(Member& member) noexcept {
  member.started = true;
  member.queue->loop().post(member.start);
}

// members_ does not change once its queues run, so any thread may read it.
Association::Member& Association::member_of(const Queue& queue) noexcept {
  return *members_[queue.qid()];
}

// On the queue's loop.
void Association::queue_live(Queue& queue) noexcept {
  home_loop_.post(member_of(queue).live);
}

// On the queue's loop: the last thing that it does with the queue.
void Association::queue_ended(Queue& queue) noexcept {
  home_loop_.post(member_of(queue).ended);
}

void Association::member_live(Member& member) noexcept {
  if (state_ == State::joining_admin) {
    CHECK(member.queue->qid() == 0);
    facts_.cntlid = member.queue->cntlid();
    set_state(State::reading_cap);
    deadline_ns_ = home_loop_.clock().now_ns() + options_.connect_timeout_ns;
    arm_step_timer(UINT64_MAX);
    send_property_get(nvme::Property::cap, true);
    return;
  }
  if (state_ != State::joining_io) return;  // Ending meanwhile.
  if (++live_io_queues_ == io_queue_count_) now_live();
}

void Association::member_gone(Member& member) noexcept {
  member.queue_over = true;
  if (state_ != State::ending) fail(member.queue->end_reason());
  check_all_gone();
}

void Association::check_all_gone() noexcept {
  const bool all = std::all_of(members_.begin(), members_.end(),
                               [](const auto& each) { return each->gone() || !each->started; });
  // Behind whatever this turn still has to say about the queues.
  if (all) home_loop_.defer(ended_task_);
}

// ---- Connecting, hand over hand -----------------------------------------------------------------

void Association::on_lost(void (*lost)(void*, const Error&), void* context) noexcept {
  lost_ = lost;
  lost_context_ = context;
}

void Association::connect(void (*connected)(void*, const Status&), void* context) noexcept {
  set_state(State::joining_admin);
  connected_ = connected;
  connected_context_ = context;
  members_.push_back(make_member(0, admin_queue_entries));
  start(*members_[0]);
}

void Association::cancel() noexcept {
  if (state_ == State::idle || state_ >= State::live) return;
  fail({ErrorCode::cancelled, "connecting was given up"});
}

void Association::send_property_get(nvme::Property property, bool eight_bytes) noexcept {
  nvme::PropertyCommand get{};
  get.opcode = static_cast<uint8_t>(nvme::AdminOpcode::fabrics);
  get.fctype = static_cast<uint8_t>(nvme::FabricsType::property_get);
  get.attrib = eight_bytes ? 1 : 0;
  get.offset = static_cast<uint32_t>(property);
  std::memcpy(&step_.sqe, &get, sizeof get);
  step_.data_in = {};
  step_out_ = true;
  members_[0]->queue->submit(step_);
}

void Association::send_property_set(nvme::Property property, uint32_t value) noexcept {
  nvme::PropertyCommand set{};
  set.opcode = static_cast<uint8_t>(nvme::AdminOpcode::fabrics);
  set.fctype = static_cast<uint8_t>(nvme::FabricsType::property_set);
  set.offset = static_cast<uint32_t>(property);
  set.value = value;
  std::memcpy(&step_.sqe, &set, sizeof set);
  step_.data_in = {};
  step_out_ = true;
  members_[0]->queue->submit(step_);
}

void Association::send_identify() noexcept {
  step_.sqe = {};
  step_.sqe.opcode = static_cast<uint8_t>(nvme::AdminOpcode::identify);
  step_.sqe.cdw10 = nvme::cns_controller;
  step_data_ = {step_buffer_.data(), step_buffer_.size()};
  step_.data_in = {&step_data_, 1};
  step_out_ = true;
  members_[0]->queue->submit(step_);
}

void Association::send_number_of_queues() noexcept {
  const uint32_t wanted_0based = options_.io_queues - 1;
  step_.sqe = {};
  step_.sqe.opcode = static_cast<uint8_t>(nvme::AdminOpcode::set_features);
  step_.sqe.cdw10 = nvme::feature_number_of_queues;
  step_.sqe.cdw11 = wanted_0based << 16 | wanted_0based;
  step_.data_in = {};
  step_out_ = true;
  members_[0]->queue->submit(step_);
}

void Association::step_done() noexcept {
  step_out_ = false;
  if (step_.fate != Fate::completed) return;  // The admin queue is ending and says so itself.
  if (state_ == State::ending) return;
  if (step_.status() != 0) {
    if (state_ == State::shutting_down) {
      end_all(true);
      return;
    }
    char opcode[8];
    std::snprintf(opcode, sizeof opcode, "%02xh", step_.sqe.opcode);
    fail({ErrorCode::connection_refused,
          "the controller failed admin command " + std::string(opcode) +
              " of the connection set-up with status " + hex_status(step_)});
    return;
  }
  switch (state_) {
    case State::reading_cap:
      facts_.cap = step_.cqe.result;
      queue_entries_ = std::min(options_.queue_entries, nvme::cap_mqes_0based(facts_.cap) + 1);
      if (queue_entries_ < 2) {
        fail({ErrorCode::protocol_error, "the controller's CAP.MQES allows no queue"});
        return;
      }
      deadline_ns_ += uint64_t{nvme::cap_timeout_ms(facts_.cap)} * 1'000'000;
      set_state(State::enabling);
      send_property_set(nvme::Property::cc,
                        nvme::cc_enable | nvme::cc_iosqes_64 | nvme::cc_iocqes_16);
      return;
    case State::enabling:
      set_state(State::getting_ready);
      send_property_get(nvme::Property::csts, false);
      return;
    case State::getting_ready:
      if ((step_.cqe.result & nvme::csts_fatal) != 0) {
        fail({ErrorCode::connection_refused, "the controller reports a fatal status (CSTS.CFS)"});
      } else if ((step_.cqe.result & nvme::csts_ready) != 0) {
        set_state(State::identifying);
        send_identify();
      } else {
        arm_step_timer(status_poll_ns);
      }
      return;
    case State::identifying: took_identify(); return;
    case State::counting_queues: {
      // Submission and completion queues granted, both 0-based.
      const auto result = static_cast<uint32_t>(step_.cqe.result);
      join_io_queues(std::min(result & 0xffff, result >> 16) + 1);
      return;
    }
    case State::shutting_down:
      if ((step_.cqe.result & nvme::csts_shst_mask) == nvme::csts_shst_complete &&
          step_.sqe.cdw11 == static_cast<uint32_t>(nvme::Property::csts)) {
        end_all(true);
      } else {
        arm_step_timer(status_poll_ns);
      }
      return;
    case State::idle:
    case State::joining_admin:
    case State::joining_io:
    case State::live:
    case State::ending:
    case State::ended: CHECK(false);
  }
}

void Association::took_identify() noexcept {
  if (step_.data_in_bytes != nvme::identify_bytes) {
    fail({ErrorCode::protocol_error, "the controller sent " + std::to_string(step_.data_in_bytes) +
                                         " bytes of Identify data instead of 4096"});
    return;
  }
  const std::span<const std::byte> data(step_buffer_);
  const auto mdts = read_at<uint8_t>(data, nvme::identify_controller_mdts);
  // MDTS is a power of two of CAP.MPSMIN pages (which are 4 KiB << MPSMIN).
  const uint32_t page_shift = 12 + static_cast<uint32_t>(facts_.cap >> 48 & 0xf);
  if (mdts != 0 && mdts + page_shift < 32) facts_.max_transfer_bytes = 1u << (mdts + page_shift);
  const auto ioccsz = read_at<uint32_t>(data, nvme::identify_controller_ioccsz);
  const auto icdoff = read_at<uint16_t>(data, nvme::identify_controller_icdoff);
  // In units of 16 bytes; 4 of them are the command. A nonzero ICDOFF is not for NVMe/TCP: do
  // without data in capsules then. Beyond the bound of a PDU we would only waste memory.
  if (ioccsz > 4 && icdoff == 0) {
    facts_.in_capsule_bytes = std::min((std::min(ioccsz, 1u << 20) - 4) * 16, 1u << 20);
  }
  if (options_.io_queues == 0) {
    now_live();
    return;
  }
  set_state(State::counting_queues);
  send_number_of_queues();
}

void Association::join_io_queues(uint32_t granted) noexcept {
  set_state(State::joining_io);
  home_loop_.cancel(timer_);  // Each queue watches its own time.
  io_queue_count_ = std::min(options_.io_queues, granted);
  for (uint32_t qid = 1; qid <= io_queue_count_; ++qid) {
    members_.push_back(make_member(static_cast<uint16_t>(qid), queue_entries_));
  }
  // All are in place before the first runs: see member_of().
  for (uint32_t qid = 1; qid <= io_queue_count_; ++qid) start(*members_[qid]);
}

void Association::now_live() noexcept {
  set_state(State::live);
  home_loop_.cancel(timer_);
  was_live_ = true;
  arm_keep_alive();
  connected_(connected_context_, Status(Unit{}));
}

// After that long, or at the deadline when that comes first.
void Association::arm_step_timer(uint64_t after_ns) noexcept {
  const uint64_t now_ns = home_loop_.clock().now_ns();
  const uint64_t left_ns = deadline_ns_ > now_ns ? deadline_ns_ - now_ns : 0;
  home_loop_.arm(timer_, now_ns + std::min(after_ns, left_ns));
}

void Association::timer_fired() noexcept {
  const bool late = home_loop_.clock().now_ns() >= deadline_ns_;
  if (state_ == State::shutting_down && late) {
    end_all(true);  // Politeness has its limit.
    return;
  }
  if (late) {
    fail({ErrorCode::timed_out, "the controller did not get ready in " +
                                    std::to_string(options_.connect_timeout_ns / 1'000'000) +
                                    " ms and its own CAP.TO"});
    return;
  }
  CHECK(state_ == State::getting_ready || state_ == State::shutting_down);
  CHECK(!step_out_);
  arm_step_timer(UINT64_MAX);
  send_property_get(nvme::Property::csts, false);
}

// ---- Keep Alive ---------------------------------------------------------------------------------

// Twice in the time after which the controller would give us up.
void Association::arm_keep_alive() noexcept {
  if (options_.keep_alive_ms == 0) return;
  const uint64_t half_ns = uint64_t{options_.keep_alive_ms} * 1'000'000 / 2;
  home_loop_.arm(keep_alive_timer_, home_loop_.clock().now_ns() + half_ns);
}

void Association::send_keep_alive() noexcept {
  if (state_ != State::live) return;
  if (keep_alive_out_) {
    fail({ErrorCode::timed_out, "the controller did not answer a Keep Alive in " +
                                    std::to_string(options_.keep_alive_ms / 2) + " ms"});
    return;
  }
  keep_alive_.sqe = {};
  keep_alive_.sqe.opcode = static_cast<uint8_t>(nvme::AdminOpcode::keep_alive);
  keep_alive_out_ = true;
  members_[0]->queue->submit(keep_alive_);
  arm_keep_alive();
}

void Association::keep_alive_done() noexcept {
  keep_alive_out_ = false;
  if (keep_alive_.fate != Fate::completed || state_ != State::live) return;
  if (keep_alive_.status() != 0) {
    fail({ErrorCode::connection_lost,
          "the controller failed a Keep Alive with status " + hex_status(keep_alive_)});
  }
}

// ---- The end ------------------------------------------------------------------------------------

void Association::fail(Error reason) noexcept {
  if (state_ == State::ending) return;
  reason_ = std::move(reason);
  end_all(false);
}

void Association::end_all(bool linger) noexcept {
  set_state(State::ending);
  home_loop_.cancel(timer_);
  home_loop_.cancel(keep_alive_timer_);
  for (const auto& member : members_) {
    if (!member->started || member->end_posted || member->queue_over) continue;
    member->end_posted = true;
    member->linger = linger;
    member->queue->loop().post(member->end);
  }
}

void Association::close(void (*closed)(void*), void* context) noexcept {
  CHECK(was_live_ && closed_ == nullptr && closed != nullptr);
  closed_ = closed;
  closed_context_ = context;
  if (state_ == State::ended) {
    home_loop_.defer(ended_task_);
    return;
  }
  if (state_ == State::ending) return;  // all_gone() follows.
  set_state(State::shutting_down);
  home_loop_.cancel(keep_alive_timer_);
  deadline_ns_ = home_loop_.clock().now_ns() + shutdown_ns;
  arm_step_timer(UINT64_MAX);
  send_property_set(nvme::Property::cc, nvme::cc_enable | nvme::cc_iosqes_64 | nvme::cc_iocqes_16 |
                                            nvme::cc_shn_normal);
}

void Association::all_gone() noexcept {
  if (state_ != State::ended) {
    set_state(State::ended);
    if (!was_live_) {
      connected_(connected_context_, Status(reason_));  // May destroy this.
      return;
    }
    if (closed_ == nullptr) {
      if (lost_ != nullptr) lost_(lost_context_, reason_);
      return;
    }
  }
  closed_(closed_context_);  // May destroy this.
}

}  // namespace ashlar::host
