// The error log of a controller: what gets in, with which fields, and in which order.
#include "target/error_log.h"

#include "rig.h"

namespace ashlar::target::rig {
namespace {

using nvme::IoOpcode;
using nvme::StatusCode;

ErrorLog::Contents errors_of(Rig& rig, ControllerId id = 1) {
  ErrorLog::Contents contents;
  bool done = false;
  rig.target->read_errors(id, [&](ErrorLog::Contents read) {
    contents = std::move(read);
    done = true;
  });
  CHECK(rig.run_until([&] { return done; }));
  return contents;
}

TEST_CASE("error log: a failed read names queue, command, field, LBA and namespace") {
  Live live;
  live.io.run(make_sqe(IoOpcode::read, 9, 1 << 20, 1));
  live.rig.volume.status = BlockStatus::read_error;
  live.io.run(make_sqe(IoOpcode::read, 10, 5, 2));
  const ErrorLog::Contents log = errors_of(live.rig);
  REQUIRE_EQ(log.newest.size(), 2u);
  CHECK_EQ(log.count, 2u);
  const ErrorRecord& media = log.newest[0];
  CHECK_EQ(media.count, 2u);
  CHECK_EQ(media.sqid, 1);
  CHECK_EQ(media.cid, 10);
  CHECK_EQ(media.status_field, nvme::status_field(StatusCode::unrecovered_read_error, true));
  CHECK_EQ(media.parameter_location, 0xffff);
  CHECK_EQ(media.lba, 5u);
  CHECK_EQ(media.nsid, 1u);
  CHECK_EQ(media.opcode, 0x02);
  const ErrorRecord& range = log.newest[1];
  CHECK_EQ(range.cid, 9);
  CHECK_EQ(range.parameter_location, 40);
  CHECK_EQ(range.lba, 1u << 20);
}

TEST_CASE("error log: what the control plane refuses is in it too, on queue 0") {
  Live live;
  live.rig.answer_commands = false;
  nvme::Sqe sqe = make_sqe(0x80, 3);
  live.admin.send_command(sqe);
  live.rig.run_until([&] { return !live.rig.forwarded.empty(); });
  CommandCompletion completion;
  completion.status = code(StatusCode::invalid_opcode);
  completion.do_not_retry = true;
  live.rig.target->complete_command(1, live.rig.forwarded[0].command, completion);
  CHECK_EQ(live.admin.status(), code(StatusCode::invalid_opcode));
  const ErrorLog::Contents log = errors_of(live.rig);
  REQUIRE_EQ(log.newest.size(), 1u);
  CHECK_EQ(log.newest[0].sqid, 0);
  CHECK_EQ(log.newest[0].cid, 3);
  CHECK_EQ(log.newest[0].parameter_location, 0);
  CHECK_EQ(log.newest[0].opcode, 0x80);
}

TEST_CASE("error log: the newest 64 stay, and the count goes on") {
  Live live;
  for (uint16_t cid = 0; cid < 70; ++cid) live.io.run(make_sqe(IoOpcode::read, cid, 1 << 20, 1));
  const ErrorLog::Contents log = errors_of(live.rig);
  CHECK_EQ(log.count, 70u);
  REQUIRE_EQ(log.newest.size(), 64u);
  for (uint16_t i = 0; i < 64; ++i) {
    CHECK_EQ(log.newest[i].count, 70u - i);
    CHECK_EQ(log.newest[i].cid, 69 - i);
  }
}

TEST_CASE("error log: a comparison that fails, a path that is closed and an Abort are no errors") {
  Live live;
  CHECK_EQ(live.io.run(in_capsule(make_sqe(IoOpcode::compare, 1, 0, 1)), pattern(4096, 1)),
           code(StatusCode::compare_failure));
  live.rig.target->set_ana(portal_id, 1, AnaState::inaccessible);
  live.rig.settle();
  CHECK_EQ(live.io.run(make_sqe(IoOpcode::read, 1, 0, 1)), code(StatusCode::ana_inaccessible));
  live.admin.send_command(make_sqe(0x0c, 1));
  nvme::Sqe abort = make_sqe(0x08, 2);
  abort.cdw10 = 1u << 16;
  live.admin.send_command(abort);
  CHECK_EQ(live.admin.status(), code(StatusCode::abort_requested));
  CHECK_EQ(errors_of(live.rig).count, 0u);
}

TEST_CASE("error log: of a controller that has ended, or never was: empty") {
  Live live;
  live.io.run(make_sqe(IoOpcode::read, 1, 1 << 20, 1));
  live.admin.hang_up();
  live.rig.settle();
  CHECK_EQ(errors_of(live.rig).count, 0u);
  CHECK_EQ(errors_of(live.rig, 99).count, 0u);
}

}  // namespace
}  // namespace ashlar::target::rig
