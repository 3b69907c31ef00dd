#include "reactor/probe.h"

#include <cerrno>

#include "../test.h"

using namespace ashlar;

namespace {

ProbeNotes good_notes() {
  ProbeNotes notes;
  notes.kernel_release = "6.1.0-test";
  notes.has_features = true;
  notes.features = {true, true, true};
  return notes;
}

bool says(const Error& error, const char* words) {
  const bool one_line = error.message.find('\n') == std::string::npos;
  return one_line && error.message.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("probe: a kernel with everything runs with everything") {
  const ProbeVerdict verdict = decide(good_notes());
  CHECK_FALSE(verdict.problem.has_value());
  CHECK_EQ(feature_names(verdict.features).size(), 3u);
}

TEST_CASE("probe: Linux 5.19 runs without single-issuer and defer-taskrun") {
  ProbeNotes notes = good_notes();
  notes.features = {false, false, true};
  const ProbeVerdict verdict = decide(notes);
  CHECK_FALSE(verdict.problem.has_value());
  CHECK_EQ(feature_names(verdict.features), std::vector<std::string>{"coop-taskrun"});
}

TEST_CASE("probe: an older kernel is named with the version to use") {
  ProbeNotes notes = good_notes();
  notes.kernel_release = "5.15.0-91-generic";
  notes.has_features = false;
  const ProbeVerdict verdict = decide(notes);
  REQUIRE(verdict.problem.has_value());
  CHECK_EQ(verdict.problem->code, ErrorCode::kernel_too_old);
  CHECK(says(*verdict.problem, "5.15.0-91-generic"));
  CHECK(says(*verdict.problem, "5.19"));
}

TEST_CASE("probe: a kernel without io_uring says so") {
  ProbeNotes notes = good_notes();
  notes.setup_errno = ENOSYS;
  CHECK_EQ(decide(notes).problem->code, ErrorCode::io_uring_missing);
  CHECK(says(*decide(notes).problem, "CONFIG_IO_URING"));
}

TEST_CASE("probe: forbidden by sysctl names the sysctl, otherwise seccomp") {
  ProbeNotes notes = good_notes();
  notes.setup_errno = EPERM;
  notes.sysctl_disabled = 2;
  CHECK_EQ(decide(notes).problem->code, ErrorCode::io_uring_forbidden);
  CHECK(says(*decide(notes).problem, "sysctl kernel.io_uring_disabled=0"));
  notes.sysctl_disabled = 0;
  CHECK_EQ(decide(notes).problem->code, ErrorCode::io_uring_forbidden);
  CHECK(says(*decide(notes).problem, "deploy/docker/seccomp.json"));
  notes.sysctl_disabled = std::nullopt;
  CHECK(says(*decide(notes).problem, "seccomp"));
}

TEST_CASE("probe: no locked memory names the limit") {
  ProbeNotes notes = good_notes();
  notes.setup_errno = ENOMEM;
  notes.memlock_bytes = 64 * 1024;
  CHECK_EQ(decide(notes).problem->code, ErrorCode::memlock_too_small);
  CHECK(says(*decide(notes).problem, "0.0625 MiB"));
  const Error error = memlock_error(64 << 20, 8 << 20);
  CHECK_EQ(error.code, ErrorCode::memlock_too_small);
  CHECK(says(error, "64 MiB"));
  CHECK(says(error, "8 MiB"));
  CHECK(says(error, "ulimit -l"));
}

TEST_CASE("probe: no descriptors and unknown failures are told apart") {
  ProbeNotes notes = good_notes();
  notes.setup_errno = EMFILE;
  CHECK_EQ(decide(notes).problem->code, ErrorCode::limit_exceeded);
  notes.setup_errno = EFAULT;
  CHECK_EQ(decide(notes).problem->code, ErrorCode::io_error);
}

TEST_CASE("probe: this machine answers one way or the other") {
  const ProbeNotes notes = probe_system();
  CHECK_FALSE(notes.kernel_release.empty());
  const ProbeVerdict verdict = decide(notes);
  if (verdict.problem) MESSAGE("no io_uring here: " << verdict.problem->message);
}
