// Connect, the admin queue, and the life and end of controllers.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::AdminOpcode;
using nvme::FabricsType;
using nvme::IoOpcode;
using nvme::StatusCode;

constexpr uint64_t ms = 1'000'000;

nvme::Sqe admin_sqe(AdminOpcode opcode, uint16_t cid) {
  return make_sqe(static_cast<uint8_t>(opcode), cid, 0);
}

nvme::Sqe fabrics_sqe(FabricsType type, uint16_t cid) {
  return make_sqe(0x7f, cid, static_cast<uint32_t>(type));
}

nvme::Sqe abort_of(uint16_t sqid, uint16_t cid) {
  nvme::Sqe sqe = admin_sqe(AdminOpcode::abort, 0x70);
  sqe.cdw10 = uint32_t{cid} << 16 | sqid;
  return sqe;
}

TEST_CASE("connect: the control plane hears everything the host said, and CNTLID comes back") {
  Rig rig;
  Peer peer(rig);
  REQUIRE(peer.exchange());
  const auto cqe = peer.connect_queue(0);
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, 0);
  CHECK_EQ(cqe->result, cntlid);
  REQUIRE_EQ(rig.connects.size(), 1);
  const ConnectRequest& request = rig.connects[0];
  CHECK_EQ(request.portal, portal_id);
  CHECK_EQ(request.data, pattern(1024, 0));
  CHECK_EQ(request.sqe.cid, 0x55);
  CHECK_EQ(request.peer.substr(0, 9), "10.0.0.9:");
}

TEST_CASE("connect: refused natively: SQSIZE, RECFMT, length and place of the data") {
  struct Row {
    const char* name;
    std::function<void(nvme::Sqe&)> change;
    StatusCode status;
    uint64_t result;
  };
  const auto field16 = [](size_t at, uint16_t value) {
    return [at, value](nvme::Sqe& sqe) {
      std::memcpy(reinterpret_cast<std::byte*>(&sqe) + at, &value, 2);
    };
  };
  for (const Row& row : std::vector<Row>{
           {"SQSIZE 0", field16(44, 0), StatusCode::connect_invalid_parameters, 44},
           {"SQSIZE 1024", field16(44, 1024), StatusCode::connect_invalid_parameters, 44},
           {"RECFMT 1", field16(40, 1), StatusCode::connect_incompatible_format, 0},
           {"short", [](nvme::Sqe& sqe) { sqe.sgl.length = 1023; },
            StatusCode::data_sgl_length_invalid, 0},
           {"not in the capsule",
            [](nvme::Sqe& sqe) { sqe.sgl.type_subtype = nvme::sgl_transport_data_block; },
            StatusCode::invalid_field, 0},
           {"another command", [](nvme::Sqe& sqe) { sqe.nsid = 4; },
            StatusCode::command_sequence_error, 0},
           {"an I/O command", [](nvme::Sqe& sqe) { sqe.opcode = 1; },
            StatusCode::command_sequence_error, 0},
       }) {
    CAPTURE(row.name);
    Rig rig;
    Peer peer(rig);
    REQUIRE(peer.exchange());
    nvme::Sqe sqe = peer.connect_sqe(0);
    row.change(sqe);
    peer.send_command(sqe, pattern(1024, 0));
    const auto cqe = peer.response();
    REQUIRE(cqe);
    CHECK_EQ(cqe->status >> 1 & 0x7ff, code(row.status));
    CHECK_EQ(cqe->result, row.result);
    CHECK(rig.connects.empty());
    // The host may try again on the same connection.
    CHECK_EQ(peer.connect_queue(0)->status, 0);
  }
}

TEST_CASE("connect: SQSIZE at both ends: 2 and 1,024 entries") {
  for (const int sqsize : {1, 1023}) {
    PeerOptions options;
    options.sqsize_0based = static_cast<uint16_t>(sqsize);
    Live live({}, options);
    CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1)), 0);
  }
}

TEST_CASE("connect: rejected by the control plane: status and result reach the host") {
  Rig rig;
  rig.answer_connects = false;
  Peer peer(rig);
  REQUIRE(peer.exchange());
  peer.send_command(peer.connect_sqe(0), pattern(1024, 0));
  rig.settle();
  REQUIRE_EQ(rig.connects.size(), 1);
  rig.target->reject(rig.connects[0].connection, 0x182, 0x10100);
  const auto cqe = peer.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, 0x8000 | 0x182 << 1);
  CHECK_EQ(cqe->result, 0x10100);
}

TEST_CASE("connect: a queue that is taken, too high, too early, or of an ended controller") {
  Live live;
  {
    Peer again(live.rig);
    REQUIRE(again.exchange());
    CHECK_EQ(again.connect_queue(1)->status >> 1 & 0x7ff, code(StatusCode::command_sequence_error));
    CHECK_EQ(again.connect_queue(5)->status >> 1 & 0x7ff,
             code(StatusCode::connect_invalid_parameters));
    CHECK_EQ(again.connect_queue(4)->status, 0);
  }
  live.rig.target->set_enabled(1, false);
  {
    Peer early(live.rig);
    REQUIRE(early.exchange());
    CHECK_EQ(early.connect_queue(2)->status >> 1 & 0x7ff, code(StatusCode::command_sequence_error));
  }
  live.rig.target->destroy_controller(1);
  Peer late(live.rig);
  REQUIRE(late.exchange());
  CHECK_EQ(late.connect_queue(2)->status >> 1 & 0x7ff,
           code(StatusCode::connect_invalid_parameters));
}

TEST_CASE("connect: 128 I/O queues of 1,024 entries: each writes and reads; no 129th") {
  Rig rig;
  rig.max_io_queues = limits::max_io_queues;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  PeerOptions deep;
  deep.sqsize_0based = 1023;
  std::vector<std::unique_ptr<Peer>> queues;
  for (uint16_t qid = 1; qid <= 128; ++qid) {
    queues.push_back(std::make_unique<Peer>(rig, deep));
    REQUIRE(queues.back()->join(qid));
  }
  for (uint16_t i = 0; i < 128; ++i) {
    queues[i]->send_command(in_capsule(make_sqe(nvme::IoOpcode::write, 1, i, 1)),
                            pattern(4096, i));
  }
  for (uint16_t i = 0; i < 128; ++i) CHECK_EQ(queues[i]->status(), 0);
  for (uint16_t i = 0; i < 128; ++i) {  // What the queue before has written.
    queues[i]->send_command(make_sqe(nvme::IoOpcode::read, 2, (i + 127) % 128, 1));
    const auto data = queues[i]->next();
    REQUIRE(data);
    CHECK_EQ(data->data, pattern(4096, (i + 127) % 128));
    CHECK_EQ(queues[i]->status(), 0);
  }
  Peer beyond(rig);
  REQUIRE(beyond.exchange());
  CHECK_EQ(beyond.connect_queue(129)->status >> 1 & 0x7ff,
           code(StatusCode::connect_invalid_parameters));
}

TEST_CASE("connect: a full queue of 1,024 entries: 1,023 commands at once are answered") {
  PeerOptions deep;
  deep.sqsize_0based = 1023;
  Live live({}, deep);
  live.rig.volume.held = true;
  for (uint16_t cid = 0; cid < 1023; ++cid) {
    live.io.send_command(make_sqe(nvme::IoOpcode::verify, cid, 0, 1));
  }
  live.rig.settle();
  CHECK(!live.io.ended());
  live.rig.volume.release();
  for (int i = 0; i < 1023; ++i) CHECK_EQ(live.io.status(), 0);
}

TEST_CASE("connect: the host leaves before the answer: a late accept ends the controller") {
  Rig rig;
  rig.answer_connects = false;
  {
    Peer peer(rig);
    REQUIRE(peer.exchange());
    peer.send_command(peer.connect_sqe(0), pattern(1024, 0));
    rig.settle();
  }
  REQUIRE_EQ(rig.connects.size(), 1);
  rig.make_controller(9);
  rig.target->accept(rig.connects[0].connection, 9);
  rig.settle();
  // No queue ever joined, so the control plane decides when it goes.
  rig.target->destroy_controller(9);
  rig.settle();
  REQUIRE_EQ(rig.ended.size(), 1);
  CHECK_EQ(rig.ended[0].controller, 9);
}

TEST_CASE("connect: no room for another event: Controller Busy, and the host may try again") {
  Rig rig;
  rig.full = true;
  Peer peer(rig);
  REQUIRE(peer.exchange());
  CHECK_EQ(peer.connect_queue(0)->status >> 1 & 0x7ff, code(StatusCode::connect_controller_busy));
  rig.full = false;
  CHECK_EQ(peer.connect_queue(0)->status, 0);
}

TEST_CASE("admin: Identify crosses to the control plane and its data comes back, cut to the room") {
  Rig rig;
  rig.command_answer = pattern(4096, 5);
  Peer admin(rig);
  REQUIRE(admin.join(0));
  nvme::Sqe sqe = admin_sqe(AdminOpcode::identify, 3);
  sqe.sgl.length = 4096;
  admin.send_command(sqe);
  auto pdu = admin.next();
  REQUIRE(pdu);
  CHECK_EQ(pdu->data, rig.command_answer);
  const auto cqe = admin.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->result, 0xabcd);
  CHECK_EQ(rig.forwarded[0].data_room_bytes, 4096);
  sqe.sgl.length = 100;
  admin.send_command(sqe);
  pdu = admin.next();
  REQUIRE(pdu);
  CHECK_EQ(pdu->data, Bytes(rig.command_answer.begin(), rig.command_answer.begin() + 100));
}

TEST_CASE("admin: data to the control plane in a capsule and by R2T") {
  Rig rig;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  const Bytes data = pattern(4096, 6);
  nvme::Sqe sqe = admin_sqe(AdminOpcode::set_features, 3);
  sqe.sgl.length = 4096;
  CHECK_EQ(admin.run(in_capsule(sqe), data), 0);
  CHECK_EQ(admin.write_by_r2t(sqe, data, 4096), 0);
  REQUIRE_EQ(rig.forwarded.size(), 2);
  CHECK_EQ(rig.forwarded[0].data, data);
  CHECK_EQ(rig.forwarded[1].data, data);
  CHECK_EQ(admin.run(admin_sqe(AdminOpcode::set_features, 3)), 0);
  CHECK_FALSE(rig.forwarded[2].has_data);
  sqe.sgl.length = limits::admin_from_host_bytes + 4;
  CHECK_EQ(admin.run(sqe), code(StatusCode::invalid_field));
}

TEST_CASE("admin: before CC.EN only Fabrics commands are heard") {
  Rig rig;
  rig.enabled = false;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  for (const AdminOpcode opcode : {AdminOpcode::identify, AdminOpcode::keep_alive,
                                   AdminOpcode::async_event_request, AdminOpcode::abort}) {
    CHECK_EQ(admin.run(admin_sqe(opcode, 1)), code(StatusCode::command_sequence_error));
  }
  CHECK(rig.forwarded.empty());
  CHECK_EQ(admin.run(fabrics_sqe(FabricsType::property_get, 1)), 0);
  CHECK_EQ(rig.forwarded.size(), 1);
  rig.target->set_enabled(1, true);
  rig.settle();
  CHECK_EQ(admin.run(admin_sqe(AdminOpcode::keep_alive, 1)), 0);
}

TEST_CASE("admin: Fabrics commands in the wrong place") {
  Live live;
  CHECK_EQ(live.admin.run(fabrics_sqe(FabricsType::connect, 1)),
           code(StatusCode::command_sequence_error));
  CHECK_EQ(live.admin.run(fabrics_sqe(FabricsType::disconnect, 1)),
           code(StatusCode::invalid_queue_type));
  CHECK_EQ(live.io.run(fabrics_sqe(FabricsType::connect, 1)),
           code(StatusCode::command_sequence_error));
  CHECK_EQ(live.io.run(fabrics_sqe(FabricsType::property_get, 1)),
           code(StatusCode::invalid_opcode));
}

TEST_CASE("admin: fused and bidirectional commands are refused, and the control plane hears none") {
  Live live;
  for (const int fuse : {1, 2, 3}) {
    nvme::Sqe sqe = admin_sqe(AdminOpcode::identify, 1);
    sqe.flags = static_cast<uint8_t>(0x40 | fuse);
    live.admin.send_command(sqe);
    CHECK_EQ(live.admin.status(), code(StatusCode::invalid_field));
  }
  for (const int opcode : {0x03, 0x83, 0xff}) {  // Bits 1:0 say that data goes both ways.
    live.admin.send_command(make_sqe(static_cast<uint8_t>(opcode), 2));
    CHECK_EQ(live.admin.status(), code(StatusCode::invalid_opcode));
  }
  CHECK(live.rig.forwarded.empty());
}

TEST_CASE("admin: I/O with CC.EN clear is a sequence error") {
  Live live;
  live.rig.target->set_enabled(1, false);
  live.rig.settle();
  CHECK_EQ(live.io.run(make_sqe(IoOpcode::read, 1, 0, 1)),
           code(StatusCode::command_sequence_error));
}

TEST_CASE("disconnect: on an I/O queue: a response, then that connection closes and no other") {
  Live live;
  CHECK_EQ(live.io.run(fabrics_sqe(FabricsType::disconnect, 1)), 0);
  CHECK_FALSE(live.io.next());
  CHECK(live.io.ended());
  CHECK(live.rig.ended.empty());
  Peer again(live.rig);
  CHECK(again.join(1));
}

TEST_CASE("keep alive: a host that keeps it lives, one that stops ends with all its queues") {
  Rig rig;
  rig.keep_alive_ms = 1000;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  Peer io(rig);
  REQUIRE(io.join(1));
  for (int i = 0; i < 5; ++i) {
    rig.pass(900 * ms);
    CHECK_EQ(admin.run(admin_sqe(AdminOpcode::keep_alive, 1)), 0);
  }
  CHECK_EQ(io.run(make_sqe(IoOpcode::flush, 1, 0, 1)), 0);
  rig.pass(1100 * ms);
  CHECK(admin.ended());
  CHECK(io.ended());
  REQUIRE_EQ(rig.ended.size(), 1);
  CHECK(rig.ended[0].reason == EndReason::keep_alive_expired);
}

TEST_CASE("keep alive: I/O alone does not keep a controller; a timeout of 0 never ends it") {
  Rig rig;
  rig.keep_alive_ms = 1000;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  Peer io(rig);
  REQUIRE(io.join(1));
  rig.pass(900 * ms);
  rig.target->set_keep_alive(1, 0);
  rig.pass(40'000 * ms);
  CHECK(rig.ended.empty());
  rig.target->set_keep_alive(1, 500);
  for (int i = 0; i < 8; ++i) {
    rig.pass(100 * ms);
    io.send_command(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1));
  }
  CHECK_EQ(rig.ended.size(), 1);
}

TEST_CASE("control plane asleep for 25 s: connections, keep-alive, abort and I/O go on") {
  Rig rig;
  rig.keep_alive_ms = 5000;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  Peer io(rig);
  REQUIRE(io.join(1));
  rig.answer_connects = rig.answer_commands = false;
  nvme::Sqe identify = admin_sqe(AdminOpcode::identify, 3);
  identify.sgl.length = 4096;
  admin.send_command(identify);
  Peer late(rig);
  REQUIRE(late.exchange());
  late.send_command(late.connect_sqe(2), pattern(1024, 0));
  for (int i = 0; i < 10; ++i) {
    rig.pass(2500 * ms);
    CHECK_EQ(admin.run(admin_sqe(AdminOpcode::keep_alive, 1)), 0);
    CHECK_EQ(io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1)), 0);
  }
  REQUIRE_EQ(rig.forwarded.size(), 1);
  rig.target->complete_command(1, rig.forwarded[0].command, {});
  CHECK_EQ(admin.status(), 0);
  rig.target->accept(rig.connects.back().connection, 1);
  CHECK_EQ(late.status(), 0);
  CHECK(rig.ended.empty());
}

TEST_CASE("async events: parked requests complete, one event each; the next kind waits its turn") {
  Live live;
  constexpr AsyncEvent changed{2, 0, 4};
  live.admin.send_command(admin_sqe(AdminOpcode::async_event_request, 10));
  live.rig.settle();
  CHECK(live.admin.received.empty());
  live.rig.target->raise_event(1, changed);
  live.rig.target->raise_event(1, changed);
  const auto cqe = live.admin.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->cid, 10);
  CHECK_EQ(cqe->result, 0x040002);
  live.admin.send_command(admin_sqe(AdminOpcode::async_event_request, 10));
  live.rig.settle();
  CHECK(live.admin.received.empty());
  live.rig.target->clear_event(1, changed);
  live.rig.target->raise_event(1, changed);
  CHECK_EQ(live.admin.response()->result, 0x040002);
}

TEST_CASE("async events: one request more than AERL allows") {
  Live live;  // Four.
  for (uint16_t cid = 0; cid < 4; ++cid) {
    live.admin.send_command(admin_sqe(AdminOpcode::async_event_request, cid));
  }
  CHECK_EQ(live.admin.run(admin_sqe(AdminOpcode::async_event_request, 4)),
           code(StatusCode::aer_limit_exceeded));
}

TEST_CASE("abort: a parked event request is taken back, anything else is not aborted") {
  Live live;
  live.admin.send_command(admin_sqe(AdminOpcode::async_event_request, 10));
  live.admin.send_command(admin_sqe(AdminOpcode::async_event_request, 11));
  live.admin.send_command(abort_of(0, 10));
  auto cqe = live.admin.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->cid, 10);
  CHECK_EQ(cqe->status >> 1 & 0x7ff, code(StatusCode::abort_requested));
  cqe = live.admin.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, 0);
  CHECK_EQ(cqe->result, 0);
  for (const auto& [sqid, cid] : std::vector<std::pair<uint16_t, uint16_t>>{
           {0, 10}, {0, 0xffff}, {1, 11}, {0xffff, 11}}) {
    live.admin.send_command(abort_of(sqid, cid));
    cqe = live.admin.response();
    REQUIRE(cqe);
    CHECK_EQ(cqe->result, 1);
  }
}

TEST_CASE("admin: more commands than the control plane takes: refused for now, not lost") {
  Live live;
  live.rig.full = true;
  live.admin.send_command(admin_sqe(AdminOpcode::get_features, 1));
  const auto cqe = live.admin.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->status, code(StatusCode::internal_error) << 1);  // And DNR is 0.
  live.rig.full = false;
  CHECK_EQ(live.admin.run(admin_sqe(AdminOpcode::get_features, 1)), 0);
}

TEST_CASE("I/O queue: commands for the control plane come back on their queue, eight at a time") {
  Live live;
  live.rig.answer_commands = false;
  nvme::Sqe report = make_sqe(static_cast<uint8_t>(IoOpcode::reservation_report), 0);
  report.sgl.length = 4096;
  for (uint16_t cid = 0; cid < 9; ++cid) {
    report.cid = cid;
    live.io.send_command(report);
  }
  auto cqe = live.io.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->cid, 8);
  CHECK_EQ(cqe->status, code(StatusCode::internal_error) << 1);  // And DNR is 0.
  REQUIRE_EQ(live.rig.forwarded.size(), 8);
  CHECK_EQ(live.rig.forwarded[3].qid, 1);
  CHECK_EQ(live.rig.forwarded[3].data_room_bytes, 4096);
  // Reads go on beside them.
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 20)), 0);
  CommandCompletion answer;
  answer.data = pattern(64, 1);
  live.rig.target->complete_command(1, live.rig.forwarded[3].command, answer);
  const auto data = live.io.next();
  REQUIRE(data);
  CHECK_EQ(data->data, answer.data);
  cqe = live.io.response();
  REQUIRE(cqe);
  CHECK_EQ(cqe->cid, 3);
  // There is room for one more.
  report.cid = 9;
  live.io.send_command(report);
  live.rig.settle();
  CHECK_EQ(live.rig.forwarded.size(), 9);
}

TEST_CASE("admin: a completion that comes twice, late, or for nobody is ignored") {
  Live live;
  live.rig.answer_commands = false;
  live.admin.send_command(admin_sqe(AdminOpcode::get_features, 1));
  live.rig.settle();
  const uint64_t command = live.rig.forwarded[0].command;
  live.rig.target->complete_command(1, command, {});
  live.rig.target->complete_command(1, command, {});
  live.rig.target->complete_command(1, 0xffffffff, {});
  live.rig.target->complete_command(2, command, {});
  CHECK_EQ(live.admin.status(), 0);
  live.rig.settle();
  CHECK(live.admin.received.empty());
  live.admin.send_command(admin_sqe(AdminOpcode::get_features, 1));
  live.rig.settle();
  live.rig.target->complete_command(1, command, {});
  live.rig.settle();
  CHECK(live.admin.received.empty());  // The same slot, but another command.
  live.admin.hang_up();
  live.rig.settle();
  live.rig.target->complete_command(1, live.rig.forwarded[1].command, {});
  live.rig.settle();
  CHECK_EQ(live.rig.ended.size(), 1);
}

TEST_CASE("the admin queue closes: every queue ends; a write at the store finishes first") {
  Live live;
  live.rig.volume.held = true;
  live.io.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), pattern(4096, 1));
  live.rig.settle();
  live.admin.hang_up();
  live.rig.settle();
  CHECK(live.io.ended());
  CHECK(live.rig.ended.empty());  // Not before the store has answered.
  live.rig.volume.release();
  live.rig.settle();
  REQUIRE_EQ(live.rig.ended.size(), 1);
  CHECK(live.rig.ended[0].reason == EndReason::disconnected);
}

TEST_CASE("a host comes back while its lost write is at the store: it waits for that write") {
  Live live;
  live.rig.volume.held = true;
  live.io.send_command(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), pattern(4096, 1));
  live.rig.settle();
  live.admin.hang_up();
  live.rig.settle();
  Peer again(live.rig);
  REQUIRE(again.exchange());
  again.send_command(again.connect_sqe(0), pattern(1024, 0));
  live.rig.settle();
  CHECK(again.received.empty());
  SUBCASE("the write ends: the host is let in") {
    live.rig.volume.release();
    live.rig.settle();
    CHECK_EQ(live.rig.ended.size(), 1);
    CHECK_EQ(again.status(), 0);
  }
  SUBCASE("another host need not wait") {
    live.rig.hostid[0] = std::byte{1};
    Peer other(live.rig);
    CHECK(other.join(0));
    live.rig.volume.release();
    live.rig.settle();
  }
}

TEST_CASE("destroying a controller ends its connections and is told once") {
  Live live;
  live.rig.target->destroy_controller(1);
  live.rig.target->destroy_controller(1);
  live.rig.settle();
  CHECK(live.admin.ended());
  CHECK(live.io.ended());
  REQUIRE_EQ(live.rig.ended.size(), 1);
  CHECK(live.rig.ended[0].reason == EndReason::destroyed);
}

TEST_CASE("a fatal error on the admin queue is the controller's end, with field and reason") {
  Live live;
  live.admin.send(Bytes(8, std::byte{0xff}));
  REQUIRE(live.admin.termination());
  live.rig.settle();
  CHECK(live.io.ended());
  live.admin.hang_up();
  live.rig.settle();
  REQUIRE_EQ(live.rig.ended.size(), 1);
  CHECK(live.rig.ended[0].reason == EndReason::transport_error);
  CHECK_EQ(live.rig.ended[0].detail, "fatal transport error: FES 01h, FEI 0h");
}

TEST_CASE("namespaces: replaced: done when the last command of the old table is") {
  Live live;
  live.rig.volume.held = true;
  live.io.send_command(make_sqe(IoOpcode::read, 1, 0, 1));
  live.rig.settle();
  int settled = 0;
  live.rig.target->set_namespaces(1, {{5, 2, true, &live.rig.volume}}, [&] { ++settled; });
  live.rig.target->set_namespaces(1, {}, [&] { ++settled; });
  live.rig.settle();
  CHECK_EQ(settled, 0);
  CHECK_EQ(live.io.run(make_sqe(IoOpcode::read, 2, 0, 1)),
           code(StatusCode::invalid_namespace_or_format));
  live.rig.volume.release();
  live.rig.settle();
  CHECK_EQ(settled, 2);
  CHECK_EQ(live.io.next()->type, tcp::PduType::c2h_data);
}

TEST_CASE("namespaces: revoked while a write waits for its data: the write never reaches the store") {
  Live live;
  live.io.send_command(make_sqe(IoOpcode::write, 1, 0, 4));
  const auto pdu = live.io.next();
  REQUIRE(pdu);
  bool settled = false;
  live.rig.target->set_namespaces(1, {}, [&] { settled = true; });
  live.rig.settle();
  CHECK(settled);
  live.io.send_h2c(1, pdu->as<tcp::R2T>().ttag, 0, pattern(16384, 1), true);
  CHECK_EQ(live.io.status(), code(StatusCode::invalid_namespace_or_format));
  CHECK(live.rig.volume.log.empty());
}

TEST_CASE("namespaces: replaced while a queue leaves, and of a controller that has ended") {
  Live live;
  live.rig.volume.held = true;
  live.io.send_command(make_sqe(IoOpcode::read, 1, 0, 1));
  live.rig.settle();
  bool settled = false;
  live.rig.target->set_namespaces(1, {}, [&] { settled = true; });
  live.admin.hang_up();
  live.rig.settle();
  CHECK_FALSE(settled);
  live.rig.volume.release();
  live.rig.settle();
  CHECK(settled);
  settled = false;
  live.rig.target->set_namespaces(1, {}, [&] { settled = true; });
  live.rig.settle();
  CHECK(settled);
}

TEST_CASE("portal: closed: connections stay; closed with drop: they end before the answer") {
  Live live;
  bool closed = false;
  live.rig.target->close_portal(portal_id, false, [&] { closed = true; });
  live.rig.settle();
  CHECK(closed);
  CHECK_EQ(live.io.run(make_sqe(static_cast<uint8_t>(IoOpcode::flush), 1)), 0);
  Peer refused(live.rig);
  CHECK_EQ(refused.stream, nullptr);
  bool listening = false;
  live.rig.target->listen({8, {"10.0.0.1", 4420}, true, true},
                          [&](Result<uint16_t> port) { listening = port.ok(); });
  live.rig.settle();
  REQUIRE(listening);
  Peer idle(live.rig);
  REQUIRE(idle.exchange());
  live.rig.target->close_portal(8, true, [&] { closed = idle.ended() || true; });
  live.rig.settle();
  CHECK(idle.ended());
  CHECK_FALSE(live.io.ended());
}

}  // namespace
}  // namespace ashlar::target::rig
