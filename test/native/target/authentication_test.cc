// Queues that have to authenticate before they take anything else.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::AdminOpcode;
using nvme::FabricsType;
using nvme::IoOpcode;
using nvme::StatusCode;

constexpr uint64_t ms = 1'000'000;

nvme::Sqe fabrics_sqe(FabricsType type, uint16_t cid) {
  return make_sqe(0x7f, cid, static_cast<uint32_t>(type));
}

nvme::Sqe send_sqe(uint16_t cid, uint32_t bytes) {
  nvme::Sqe sqe = in_capsule(fabrics_sqe(FabricsType::auth_send, cid));
  sqe.sgl.length = bytes;
  return sqe;
}

nvme::Sqe receive_sqe(uint16_t cid) {
  nvme::Sqe sqe = fabrics_sqe(FabricsType::auth_receive, cid);
  sqe.sgl.length = 4096;
  return sqe;
}

// An open admin queue of controller 1, and an I/O queue that has still to authenticate.
struct Half {
  Half() : admin(rig), io(rig) {
    REQUIRE(admin.join(0));
    rig.authentication = Authentication::required;
    REQUIRE(io.join(1));
    rig.answer_commands = false;
  }
  // Sends one message, and has the control plane answer it with this verdict.
  uint16_t send(Peer& peer, QueueVerdict verdict) {
    peer.send_command(send_sqe(9, 128), pattern(128, 1));
    rig.settle();
    rig.target->complete_command(1, rig.forwarded.back().command, {}, verdict);
    return peer.status();
  }
  Rig rig;
  Peer admin;
  Peer io;
};

TEST_CASE("authentication: Connect says ATR, on the admin queue and on I/O queues") {
  Rig rig;
  rig.authentication = Authentication::required;
  Peer admin(rig);
  REQUIRE(admin.exchange());
  CHECK_EQ(admin.connect_queue(0)->result, cntlid | 1u << 17);
  Peer io(rig);
  REQUIRE(io.exchange());
  CHECK_EQ(io.connect_queue(1)->result, cntlid | 1u << 17);
}

TEST_CASE("authentication: before it, every other command ends with Authentication Required") {
  Rig rig;
  rig.authentication = Authentication::required;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  Peer io(rig);
  REQUIRE(io.join(1));
  for (int opcode = 0; opcode < 0x7f; ++opcode) {
    CHECK_EQ(admin.run(make_sqe(static_cast<uint8_t>(opcode), 1)),
             code(StatusCode::authentication_required));
    CHECK_EQ(io.run(make_sqe(static_cast<uint8_t>(opcode), 1)),
             code(StatusCode::authentication_required));
  }
  for (const FabricsType type : {FabricsType::property_get, FabricsType::property_set,
                                 FabricsType::connect, FabricsType::disconnect}) {
    CHECK_EQ(admin.run(fabrics_sqe(type, 1)), code(StatusCode::authentication_required));
  }
  io.send_command(fabrics_sqe(FabricsType::property_get, 1));
  CHECK_EQ(io.response()->status, 0x8000 | 0x191 << 1);  // And DNR is 1.
  // Nothing of it reached the control plane, the store, or the log of the host's own errors.
  CHECK(rig.forwarded.empty());
  CHECK(rig.volume.log.empty());
  bool asked = false;
  rig.target->read_errors(1, [&](ErrorLog::Contents log) {
    asked = true;
    CHECK_EQ(log.count, 0);
  });
  rig.settle();
  CHECK(asked);
  CHECK_EQ(io.run(fabrics_sqe(FabricsType::disconnect, 1)), 0);
  CHECK_FALSE(io.next());
}

TEST_CASE("authentication: a write is refused, and its data is read past") {
  Half half;
  const Bytes data = pattern(4096, 1);
  CHECK_EQ(half.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), data),
           code(StatusCode::authentication_required));
  CHECK(half.rig.volume.log.empty());
  CHECK_EQ(half.send(half.io, QueueVerdict::authenticated), 0);
  CHECK_EQ(half.io.run(in_capsule(make_sqe(IoOpcode::write, 1, 0, 1)), data), 0);
  CHECK_EQ(half.rig.volume.log.size(), 1);
}

TEST_CASE("authentication: messages cross with their queue, in capsules and by R2T, one at a time") {
  Half half;
  half.io.send_command(send_sqe(1, 200), pattern(200, 3));
  half.rig.settle();
  REQUIRE_EQ(half.rig.forwarded.size(), 1);
  const CommandRequest first = half.rig.forwarded[0];
  CHECK_EQ(first.qid, 1);
  CHECK_EQ(first.data, pattern(200, 3));
  CHECK_EQ(half.io.run(receive_sqe(2)), code(StatusCode::command_sequence_error));
  half.rig.target->complete_command(1, first.command, {});
  CHECK_EQ(half.io.status(), 0);
  half.io.send_command(receive_sqe(2));
  half.rig.settle();
  REQUIRE_EQ(half.rig.forwarded.size(), 2);
  CHECK_EQ(half.rig.forwarded[1].connection, first.connection);
  CHECK_EQ(half.rig.forwarded[1].data_room_bytes, 4096);
  CommandCompletion challenge;
  challenge.data = pattern(80, 4);
  half.rig.target->complete_command(1, half.rig.forwarded[1].command, challenge);
  CHECK_EQ(half.io.next()->data, challenge.data);
  CHECK_EQ(half.io.status(), 0);
  half.rig.answer_commands = true;
  nvme::Sqe by_r2t = fabrics_sqe(FabricsType::auth_send, 3);
  by_r2t.sgl.length = 4096;
  CHECK_EQ(half.io.write_by_r2t(by_r2t, pattern(4096, 5), 1000), 0);
  CHECK_EQ(half.rig.forwarded[2].data, pattern(4096, 5));
  by_r2t.sgl.length = 4097;
  CHECK_EQ(half.io.run(by_r2t), code(StatusCode::invalid_field));
}

TEST_CASE("authentication: passed: the queue takes as many commands as it asked for") {
  Half half;
  CHECK_EQ(half.send(half.io, QueueVerdict::authenticated), 0);
  half.rig.volume.held = true;
  for (uint16_t cid = 0; cid < 31; ++cid) {
    half.io.send_command(make_sqe(IoOpcode::read, cid, cid, 1));
  }
  half.rig.settle();
  CHECK_FALSE(half.io.ended());
  CHECK_EQ(half.rig.volume.under_way(), 31);
  half.rig.volume.release();
  half.rig.pass(40'000 * ms);  // And the time limit is over.
  CHECK_FALSE(half.io.ended());
}

TEST_CASE("authentication: a whole queue of commands before it is refused, not a queue overrun") {
  Half half;
  half.io.send_command(send_sqe(100, 128), pattern(128, 1));
  for (uint16_t cid = 0; cid < 30; ++cid) {
    half.io.send_command(make_sqe(IoOpcode::read, cid, cid, 1));
  }
  for (int i = 0; i < 30; ++i) {
    CHECK_EQ(half.io.status(), code(StatusCode::authentication_required));
  }
  half.rig.target->complete_command(1, half.rig.forwarded[0].command, {},
                                    QueueVerdict::authenticated);
  CHECK_EQ(half.io.status(), 0);
}

TEST_CASE("authentication: refused: the answer goes out, then that queue ends and no other") {
  Half half;
  CHECK_EQ(half.send(half.io, QueueVerdict::refused), 0);
  CHECK_FALSE(half.io.next());
  CHECK(half.io.ended());
  CHECK(half.rig.ended.empty());
  half.rig.answer_commands = true;
  CHECK_EQ(half.admin.run(make_sqe(static_cast<uint8_t>(AdminOpcode::identify), 1)), 0);
}

TEST_CASE("authentication: refused on the admin queue: the controller ends and says why") {
  Half half;
  CHECK_EQ(half.send(half.admin, QueueVerdict::refused), 0);  // It had been open.
  half.rig.settle();
  CHECK(half.admin.ended());
  CHECK(half.io.ended());
  REQUIRE_EQ(half.rig.ended.size(), 1);
  CHECK(half.rig.ended[0].reason == EndReason::not_authenticated);
}

TEST_CASE("authentication: an open queue that authenticates again goes on as before") {
  Half half;
  CHECK_EQ(half.send(half.io, QueueVerdict::authenticated), 0);
  CHECK_EQ(half.send(half.io, QueueVerdict::as_before), 0);
  CHECK_EQ(half.io.run(make_sqe(IoOpcode::flush, 1, 0, 1)), 0);
  CHECK_EQ(half.send(half.io, QueueVerdict::authenticated), 0);
  CHECK_EQ(half.io.run(make_sqe(IoOpcode::flush, 1, 0, 1)), 0);
  CHECK_EQ(half.send(half.io, QueueVerdict::refused), 0);
  CHECK_FALSE(half.io.next());
}

TEST_CASE("authentication: an open queue that fails to: only the answer can be had any more") {
  Half half;
  CHECK_EQ(half.send(half.io, QueueVerdict::authenticated), 0);
  CHECK_EQ(half.send(half.io, QueueVerdict::suspended), 0);
  CHECK_EQ(half.io.run(make_sqe(IoOpcode::flush, 1, 0, 1)),
           code(StatusCode::authentication_required));
  SUBCASE("the host reads it") {
    half.io.send_command(receive_sqe(4));
    half.rig.settle();
    half.rig.target->complete_command(1, half.rig.forwarded.back().command, {},
                                      QueueVerdict::refused);
    CHECK_EQ(half.io.status(), 0);
    CHECK_FALSE(half.io.next());
  }
  SUBCASE("the host does nothing") { half.rig.pass(31'000 * ms); }
  CHECK(half.io.ended());
  CHECK_FALSE(half.admin.ended());
}

TEST_CASE("authentication: a verdict for a queue that has gone never opens the one after it") {
  Half half;
  half.io.send_command(send_sqe(9, 128), pattern(128, 1));
  half.rig.settle();
  const uint64_t command = half.rig.forwarded.back().command;
  half.io.hang_up();
  half.rig.settle();
  Peer next(half.rig);
  REQUIRE(next.join(1));
  half.rig.target->complete_command(1, command, {}, QueueVerdict::authenticated);
  half.rig.settle();
  CHECK_EQ(next.run(make_sqe(IoOpcode::read, 1, 0, 1)),
           code(StatusCode::authentication_required));
  // Nor does a second verdict about a command that was answered.
  next.send_command(send_sqe(9, 128), pattern(128, 1));
  half.rig.settle();
  const uint64_t answered = half.rig.forwarded.back().command;
  half.rig.target->complete_command(1, answered, {});
  CHECK_EQ(next.status(), 0);
  half.rig.target->complete_command(1, answered, {}, QueueVerdict::authenticated);
  half.rig.settle();
  CHECK_EQ(next.run(make_sqe(IoOpcode::read, 1, 0, 1)),
           code(StatusCode::authentication_required));
}

TEST_CASE("authentication: not done within 30 s: the connection ends, whatever else it sends") {
  Half half;
  half.rig.answer_commands = true;
  for (int i = 0; i < 29; ++i) {
    half.rig.pass(1000 * ms);
    CHECK_EQ(half.io.run(send_sqe(9, 128), pattern(128, 1)), 0);
  }
  half.rig.pass(2000 * ms);
  CHECK(half.io.ended());
  CHECK_FALSE(half.admin.ended());
  Peer admin(half.rig);
  REQUIRE(admin.join(0));
  half.rig.pass(31'000 * ms);
  CHECK(admin.ended());
  REQUIRE_EQ(half.rig.ended.size(), 1);
  CHECK(half.rig.ended[0].reason == EndReason::not_authenticated);
}

TEST_CASE("authentication: Keep Alive begins with its end") {
  Rig rig;
  rig.keep_alive_ms = 1000;
  rig.authentication = Authentication::required;
  Peer admin(rig);
  REQUIRE(admin.join(0));
  rig.pass(5000 * ms);
  CHECK_FALSE(admin.ended());
  rig.answer_commands = false;
  admin.send_command(send_sqe(9, 128), pattern(128, 1));
  rig.settle();
  rig.target->complete_command(1, rig.forwarded[0].command, {}, QueueVerdict::authenticated);
  CHECK_EQ(admin.status(), 0);
  rig.pass(1500 * ms);
  CHECK(admin.ended());
  REQUIRE_EQ(rig.ended.size(), 1);
  CHECK(rig.ended[0].reason == EndReason::keep_alive_expired);
}

}  // namespace
}  // namespace ashlar::target::rig
