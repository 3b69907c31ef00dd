// The validator of I/O commands, by table: both ends of each field.
#include "target/validate.h"

#include <vector>

#include "target/limits.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::target;
using nvme::IoOpcode;
using nvme::Sqe;
using nvme::StatusCode;

namespace {

// 1,000 blocks.
constexpr NamespaceView small_ns{4096, 1000 * 4096, false, AnaState::optimized};
constexpr TransferLimits transfer_limits{1 << 20};

Sqe transfer(IoOpcode opcode, uint64_t slba, uint32_t blocks, uint32_t block_bytes = 4096) {
  Sqe sqe{};
  sqe.opcode = static_cast<uint8_t>(opcode);
  sqe.flags = 0x40;
  sqe.nsid = 1;
  sqe.cdw10 = static_cast<uint32_t>(slba);
  sqe.cdw11 = static_cast<uint32_t>(slba >> 32);
  sqe.cdw12 = blocks - 1;
  sqe.sgl.length = blocks * block_bytes;
  sqe.sgl.type_subtype = nvme::sgl_transport_data_block;
  return sqe;
}

// Success, or why not.
StatusCode judge(const Sqe& sqe, const NamespaceView* ns = &small_ns, uint32_t capsule = 0) {
  const Verdict verdict = validate_io(sqe, ns, capsule, transfer_limits);
  const auto* refusal = std::get_if<Refusal>(&verdict);
  return refusal == nullptr ? StatusCode::success : refusal->status;
}

IoRequest accepted(const Sqe& sqe, const NamespaceView* ns = &small_ns, uint32_t capsule = 0) {
  const Verdict verdict = validate_io(sqe, ns, capsule, transfer_limits);
  const auto* request = std::get_if<IoRequest>(&verdict);
  REQUIRE(request != nullptr);
  return *request;
}

}  // namespace

TEST_CASE("validator: ranges: the last block is in, one beyond is out, nothing wraps") {
  struct Row {
    uint64_t slba;
    uint32_t blocks;
    StatusCode expected;
  };
  for (const Row& row : std::vector<Row>{
           {0, 1, StatusCode::success},
           {999, 1, StatusCode::success},
           {1000, 1, StatusCode::lba_out_of_range},
           {999, 2, StatusCode::lba_out_of_range},
           {744, 256, StatusCode::success},
           {745, 256, StatusCode::lba_out_of_range},
           {UINT64_MAX, 1, StatusCode::lba_out_of_range},
           {UINT64_MAX, 2, StatusCode::lba_out_of_range},
           {UINT64_MAX >> 12, 1, StatusCode::lba_out_of_range},
           {(UINT64_MAX >> 12) + 1, 1, StatusCode::lba_out_of_range},  // × 4,096 would be 0.
           {UINT64_MAX - 65535, 65536, StatusCode::lba_out_of_range},
       }) {
    CAPTURE(row.slba);
    CAPTURE(row.blocks);
    CHECK_EQ(judge(transfer(IoOpcode::read, row.slba, row.blocks)), row.expected);
    CHECK_EQ(judge(transfer(IoOpcode::write, row.slba, row.blocks)), row.expected);
    CHECK_EQ(judge(transfer(IoOpcode::compare, row.slba, row.blocks)), row.expected);
    Sqe zeroes = transfer(IoOpcode::write_zeroes, row.slba, row.blocks);
    zeroes.sgl.length = 0;
    CHECK_EQ(judge(zeroes), row.expected);
  }
}

TEST_CASE("validator: NLB counts from zero and MDTS is in bytes") {
  CHECK_EQ(accepted(transfer(IoOpcode::read, 3, 1)).length_bytes, 4096);
  CHECK_EQ(accepted(transfer(IoOpcode::read, 3, 1)).offset_bytes, 3 * 4096);
  CHECK_EQ(accepted(transfer(IoOpcode::read, 0, 256)).length_bytes, 1 << 20);
  CHECK_EQ(judge(transfer(IoOpcode::read, 0, 257)), StatusCode::invalid_field);
  const NamespaceView sectors{512, 1 << 30, false, AnaState::optimized};
  CHECK_EQ(accepted(transfer(IoOpcode::write, 7, 2048, 512), &sectors).length_bytes, 1 << 20);
  CHECK_EQ(accepted(transfer(IoOpcode::write, 7, 1, 512), &sectors).offset_bytes, 7 * 512);
  CHECK_EQ(judge(transfer(IoOpcode::write, 0, 2049, 512), &sectors), StatusCode::invalid_field);
  Sqe zeroes = transfer(IoOpcode::write_zeroes, 0, 65536, 512);
  zeroes.sgl.length = 0;
  CHECK_EQ(accepted(zeroes, &sectors).length_bytes, 32 << 20);  // Not bound by MDTS.
}

TEST_CASE("validator: the SGL must say exactly the length that NLB says") {
  for (const uint32_t length : {0u, 1u, 4095u, 4097u, 8192u, UINT32_MAX}) {
    CAPTURE(length);
    Sqe sqe = transfer(IoOpcode::read, 0, 1);
    sqe.sgl.length = length;
    CHECK_EQ(judge(sqe), StatusCode::data_sgl_length_invalid);
  }
}

TEST_CASE("validator: data in the capsule: the offset and length must lie in what came") {
  struct Row {
    uint64_t offset;
    uint32_t length;
    uint32_t capsule;
    StatusCode expected;
  };
  for (const Row& row : std::vector<Row>{
           {0, 4096, 4096, StatusCode::success},
           {4096, 4096, 8192, StatusCode::success},
           {4097, 4096, 8192, StatusCode::sgl_offset_invalid},
           {0, 4096, 4095, StatusCode::sgl_offset_invalid},
           {1, 4096, 4096, StatusCode::sgl_offset_invalid},
           {UINT64_MAX, 4096, 4096, StatusCode::sgl_offset_invalid},
           {UINT64_MAX - 4095, 4096, 4096, StatusCode::sgl_offset_invalid},
           {0, 8192, 8192, StatusCode::data_sgl_length_invalid},
           {0, 0, 4096, StatusCode::data_sgl_length_invalid},
           {0, 4096, 0, StatusCode::sgl_offset_invalid},
       }) {
    CAPTURE(row.offset);
    CAPTURE(row.length);
    Sqe sqe = transfer(IoOpcode::write, 0, 1);
    sqe.sgl = {row.offset, row.length, {}, nvme::sgl_data_block_offset};
    CHECK_EQ(judge(sqe, &small_ns, row.capsule), row.expected);
  }
  const Sqe by_transport = transfer(IoOpcode::write, 0, 1);
  CHECK_EQ(judge(by_transport, &small_ns, 4096), StatusCode::invalid_field);
  Sqe read = transfer(IoOpcode::read, 0, 1);
  read.sgl.type_subtype = nvme::sgl_data_block_offset;
  CHECK_EQ(judge(read, &small_ns, 4096), StatusCode::sgl_descriptor_type_invalid);
}

TEST_CASE("validator: every other SGL descriptor type is refused by name") {
  for (uint32_t type = 0; type < 256; ++type) {
    Sqe sqe = transfer(IoOpcode::write, 0, 1);
    sqe.sgl.type_subtype = static_cast<uint8_t>(type);
    CAPTURE(type);
    const StatusCode expected = type == nvme::sgl_transport_data_block ? StatusCode::success
                                : type == nvme::sgl_data_block_offset
                                    ? StatusCode::sgl_offset_invalid
                                    : StatusCode::sgl_descriptor_type_invalid;
    CHECK_EQ(judge(sqe), expected);
  }
}

TEST_CASE("validator: opcodes: eight run, 248 are invalid") {
  int valid = 0;
  for (uint32_t opcode = 0; opcode < 256; ++opcode) {
    Sqe sqe = transfer(IoOpcode::read, 0, 1);
    sqe.opcode = static_cast<uint8_t>(opcode);
    valid += judge(sqe) != StatusCode::invalid_opcode ? 1 : 0;
  }
  CHECK_EQ(valid, 8);
}

TEST_CASE("validator: Verify: no data, any SGL, and at most what one command may transfer") {
  Sqe sqe = transfer(IoOpcode::verify, 999, 1);
  sqe.sgl = {};
  CHECK_EQ(accepted(sqe).offset_bytes, 999u * 4096);
  CHECK(accepted(sqe).data.path == DataPath::none);
  CHECK_EQ(judge(sqe, &small_ns, 512), StatusCode::invalid_field);
  CHECK_EQ(judge(transfer(IoOpcode::verify, 1000, 1)), StatusCode::lba_out_of_range);
  CHECK_EQ(judge(transfer(IoOpcode::verify, 0, 256)), StatusCode::success);
  CHECK_EQ(judge(transfer(IoOpcode::verify, 0, 257)), StatusCode::invalid_field);
  const NamespaceView frozen{4096, 1000 * 4096, true, AnaState::optimized};
  CHECK_EQ(judge(transfer(IoOpcode::verify, 0, 1), &frozen), StatusCode::success);
}

TEST_CASE("validator: FUSE and PSDT") {
  const auto fused = [](IoOpcode opcode, int fuse, uint32_t blocks = 1) {
    Sqe sqe = transfer(opcode, 0, blocks);
    sqe.flags = static_cast<uint8_t>(0x40 | fuse);
    return judge(sqe);
  };
  CHECK_EQ(fused(IoOpcode::compare, 1), StatusCode::success);
  CHECK_EQ(fused(IoOpcode::write, 2), StatusCode::success);
  CHECK_EQ(fused(IoOpcode::compare, 1, 2), StatusCode::atomic_write_unit_exceeded);
  CHECK_EQ(fused(IoOpcode::write, 2, 2), StatusCode::atomic_write_unit_exceeded);
  for (const IoOpcode opcode : {IoOpcode::read, IoOpcode::flush, IoOpcode::write_zeroes,
                                IoOpcode::dataset_management, IoOpcode::verify, IoOpcode::copy}) {
    for (const int fuse : {1, 2, 3}) CHECK_EQ(fused(opcode, fuse), StatusCode::invalid_field);
  }
  for (const int fuse : {2, 3}) CHECK_EQ(fused(IoOpcode::compare, fuse), StatusCode::invalid_field);
  for (const int fuse : {1, 3}) CHECK_EQ(fused(IoOpcode::write, fuse), StatusCode::invalid_field);
  for (const int flags : {0x00, 0x80, 0xc0}) {
    Sqe sqe = transfer(IoOpcode::read, 0, 1);
    sqe.flags = static_cast<uint8_t>(flags);
    CHECK_EQ(judge(sqe), StatusCode::invalid_field);
  }
}

TEST_CASE("validator: namespaces: inactive, broadcast, write protected") {
  CHECK_EQ(judge(transfer(IoOpcode::read, 0, 1), nullptr), StatusCode::invalid_namespace_or_format);
  Sqe broadcast = transfer(IoOpcode::write, 0, 1);
  broadcast.nsid = nvme::nsid_all;
  CHECK_EQ(judge(broadcast, nullptr), StatusCode::invalid_namespace_or_format);
  Sqe flush{};
  flush.opcode = static_cast<uint8_t>(IoOpcode::flush);
  flush.nsid = nvme::nsid_all;
  CHECK(accepted(flush, nullptr).kind == IoKind::flush_all);
  flush.nsid = 0;
  CHECK_EQ(judge(flush, nullptr), StatusCode::invalid_namespace_or_format);
  CHECK(accepted(flush).kind == IoKind::flush);
  const NamespaceView frozen{4096, 1000 * 4096, true, AnaState::optimized};
  CHECK_EQ(judge(transfer(IoOpcode::read, 0, 1), &frozen), StatusCode::success);
  CHECK_EQ(judge(transfer(IoOpcode::compare, 0, 1), &frozen), StatusCode::success);
  CHECK_EQ(judge(flush, &frozen), StatusCode::success);
  for (const IoOpcode opcode :
       {IoOpcode::write, IoOpcode::write_zeroes, IoOpcode::dataset_management}) {
    CHECK_EQ(judge(transfer(opcode, 0, 1), &frozen), StatusCode::namespace_write_protected);
  }
}

TEST_CASE("validator: ANA states answer path statuses that may be retried") {
  struct Row {
    AnaState state;
    StatusCode expected;
  };
  for (const Row& row : std::vector<Row>{
           {AnaState::optimized, StatusCode::success},
           {AnaState::non_optimized, StatusCode::success},
           {AnaState::inaccessible, StatusCode::ana_inaccessible},
           {AnaState::persistent_loss, StatusCode::ana_persistent_loss},
           {AnaState::change, StatusCode::ana_transition},
       }) {
    const NamespaceView ns{4096, 1000 * 4096, false, row.state};
    const Verdict verdict = validate_io(transfer(IoOpcode::read, 0, 1), &ns, 0, transfer_limits);
    const auto* refusal = std::get_if<Refusal>(&verdict);
    CHECK_EQ(refusal == nullptr ? StatusCode::success : refusal->status, row.expected);
    if (refusal != nullptr) CHECK_FALSE(refusal->do_not_retry);
  }
}

TEST_CASE("validator: FUA, DEAC and AD are taken over; directives are not supported") {
  Sqe write = transfer(IoOpcode::write, 0, 1);
  CHECK_FALSE(accepted(write).fua);
  write.cdw12 |= nvme::rw_fua;
  CHECK(accepted(write).fua);
  write.cdw12 |= 1u << 20;
  CHECK_EQ(judge(write), StatusCode::invalid_field);
  Sqe zeroes = transfer(IoOpcode::write_zeroes, 0, 1);
  zeroes.sgl.length = 0;
  CHECK_FALSE(accepted(zeroes).deallocate);
  zeroes.cdw12 |= nvme::write_zeroes_deac;
  CHECK(accepted(zeroes).deallocate);
}

TEST_CASE("validator: PRINFO means nothing without metadata: every value is taken") {
  for (uint32_t prinfo = 0; prinfo < 16; ++prinfo) {
    for (const IoOpcode opcode : {IoOpcode::read, IoOpcode::write, IoOpcode::compare}) {
      Sqe sqe = transfer(opcode, 0, 1);
      sqe.cdw12 |= prinfo << 26;
      CHECK_EQ(judge(sqe), StatusCode::success);
    }
  }
}

TEST_CASE("validator: dataset management: the list may be longer than its ranges, never shorter") {
  struct Row {
    uint32_t ranges;
    uint32_t length;
    StatusCode expected;
  };
  for (const Row& row : std::vector<Row>{
           {1, 16, StatusCode::success},
           {1, 15, StatusCode::data_sgl_length_invalid},
           {1, 4096, StatusCode::success},
           {1, 4097, StatusCode::data_sgl_length_invalid},
           {256, 4096, StatusCode::success},
           {256, 4080, StatusCode::data_sgl_length_invalid},
           {1, 0, StatusCode::data_sgl_length_invalid},
       }) {
    Sqe sqe = transfer(IoOpcode::dataset_management, 0, 1);
    sqe.cdw10 = row.ranges - 1;
    sqe.cdw11 = nvme::dsm_deallocate;
    sqe.cdw12 = 0;
    sqe.sgl.length = row.length;
    CAPTURE(row.ranges);
    CAPTURE(row.length);
    CHECK_EQ(judge(sqe), row.expected);
  }
}

TEST_CASE("validator: Copy: format, directives, number of ranges, length of the list") {
  const auto judge_copy = [](uint32_t cdw12, uint32_t bytes) {
    Sqe sqe = transfer(IoOpcode::copy, 0, 1);
    sqe.cdw12 = cdw12;
    sqe.sgl.length = bytes;
    return judge(sqe);
  };
  CHECK_EQ(judge_copy(0, 32), StatusCode::success);
  CHECK_EQ(judge_copy(127, 128 * 32), StatusCode::success);
  CHECK_EQ(judge_copy(128, 129 * 32), StatusCode::command_size_limit_exceeded);
  CHECK_EQ(judge_copy(255, 256 * 32), StatusCode::command_size_limit_exceeded);
  CHECK_EQ(judge_copy(0, 31), StatusCode::data_sgl_length_invalid);
  CHECK_EQ(judge_copy(0, 4097), StatusCode::data_sgl_length_invalid);
  CHECK_EQ(judge_copy(1 << 8, 32), StatusCode::invalid_field);
  CHECK_EQ(judge_copy(1 << 20, 32), StatusCode::invalid_field);
  const NamespaceView frozen{4096, 1000 * 4096, true, AnaState::optimized};
  CHECK_EQ(judge(transfer(IoOpcode::copy, 0, 1), &frozen), StatusCode::namespace_write_protected);
}

TEST_CASE("validator: Copy ranges: limits, ends of the namespace, overlaps") {
  // 10,000 blocks: 1 MiB is 256 of them and 16 MiB 4,096.
  constexpr NamespaceView ns{4096, 10000 * 4096, false, AnaState::optimized};
  struct Source {
    uint64_t slba;
    uint32_t blocks;
  };
  const auto judge_ranges = [&](uint64_t sdlba, std::vector<Source> sources) {
    std::vector<nvme::CopyRange> ranges;
    for (const Source& source : sources) {
      nvme::CopyRange range{};
      range.slba = source.slba;
      range.nlb_0based = static_cast<uint16_t>(source.blocks - 1);
      ranges.push_back(range);
    }
    const auto judged = validate_copy_ranges(transfer(IoOpcode::copy, sdlba, 1),
                                             std::as_bytes(std::span(ranges)), ns);
    const auto* refusal = std::get_if<Refusal>(&judged);
    return refusal == nullptr ? StatusCode::success : refusal->status;
  };
  CHECK_EQ(judge_ranges(0, {{256, 256}}), StatusCode::success);
  CHECK_EQ(judge_ranges(0, {{257, 257}}), StatusCode::command_size_limit_exceeded);
  CHECK_EQ(judge_ranges(0, std::vector<Source>(16, {5000, 256})), StatusCode::success);
  std::vector<Source> many(16, {5000, 256});
  many.push_back({5000, 1});
  CHECK_EQ(judge_ranges(0, many), StatusCode::command_size_limit_exceeded);
  CHECK_EQ(judge_ranges(0, {{9999, 1}}), StatusCode::success);
  CHECK_EQ(judge_ranges(0, {{9999, 2}}), StatusCode::lba_out_of_range);
  CHECK_EQ(judge_ranges(0, {{UINT64_MAX, 2}}), StatusCode::lba_out_of_range);
  CHECK_EQ(judge_ranges(9998, {{0, 2}}), StatusCode::success);
  CHECK_EQ(judge_ranges(9998, {{0, 2}, {5, 1}}), StatusCode::lba_out_of_range);
  CHECK_EQ(judge_ranges(UINT64_MAX, {{0, 2}}), StatusCode::lba_out_of_range);
  // The destination is 10 to 13.
  CHECK_EQ(judge_ranges(10, {{6, 4}}), StatusCode::success);
  CHECK_EQ(judge_ranges(10, {{14, 4}}), StatusCode::success);
  CHECK_EQ(judge_ranges(10, {{7, 4}}), StatusCode::overlapping_io_range);
  CHECK_EQ(judge_ranges(10, {{13, 4}}), StatusCode::overlapping_io_range);
  CHECK_EQ(judge_ranges(10, {{0, 3}, {12, 1}}), StatusCode::overlapping_io_range);
}

TEST_CASE("validator: dataset management ranges") {
  const auto status = [](uint64_t slba, uint32_t blocks) {
    const auto judged = validate_dsm_range({0, blocks, slba}, small_ns);
    const auto* refusal = std::get_if<Refusal>(&judged);
    return refusal == nullptr ? StatusCode::success : refusal->status;
  };
  CHECK_EQ(status(0, 0), StatusCode::success);
  CHECK_EQ(status(0, 1000), StatusCode::success);
  CHECK_EQ(status(1000, 0), StatusCode::success);
  CHECK_EQ(status(1001, 0), StatusCode::lba_out_of_range);
  CHECK_EQ(status(1, 1000), StatusCode::lba_out_of_range);
  CHECK_EQ(status(0, UINT32_MAX), StatusCode::lba_out_of_range);
  CHECK_EQ(status(UINT64_MAX, UINT32_MAX), StatusCode::lba_out_of_range);
}

TEST_CASE("validator: reservations: write exclusive refuses writes, exclusive access reads too") {
  const auto status = [](IoOpcode opcode, ReservationRule rule) {
    NamespaceView ns = small_ns;
    ns.reservation = rule;
    Sqe sqe = transfer(opcode, 0, 1);
    if (opcode == IoOpcode::flush || opcode == IoOpcode::write_zeroes ||
        opcode == IoOpcode::verify) {
      sqe.sgl.length = 0;
    }
    if (opcode == IoOpcode::copy) {
      sqe.cdw12 = 0;
      sqe.sgl.length = 32;
    }
    if (opcode == IoOpcode::dataset_management) {
      sqe.cdw10 = 0;
      sqe.cdw12 = 0;
      sqe.sgl.length = 16;
    }
    return judge(sqe, &ns);
  };
  using enum ReservationRule;
  for (const IoOpcode opcode : {IoOpcode::read, IoOpcode::compare, IoOpcode::verify}) {
    CHECK_EQ(status(opcode, none), StatusCode::success);
    CHECK_EQ(status(opcode, writes_refused), StatusCode::success);
    CHECK_EQ(status(opcode, reads_and_writes_refused), StatusCode::reservation_conflict);
  }
  for (const IoOpcode opcode : {IoOpcode::write, IoOpcode::write_zeroes,
                                IoOpcode::dataset_management, IoOpcode::flush, IoOpcode::copy}) {
    CHECK_EQ(status(opcode, none), StatusCode::success);
    CHECK_EQ(status(opcode, writes_refused), StatusCode::reservation_conflict);
    CHECK_EQ(status(opcode, reads_and_writes_refused), StatusCode::reservation_conflict);
  }
}

TEST_CASE("validator: the store's answers as statuses") {
  CHECK_EQ(refusal_of(BlockStatus::ok, true).status, StatusCode::success);
  CHECK_EQ(refusal_of(BlockStatus::capacity_exceeded, false).status, StatusCode::capacity_exceeded);
  CHECK_EQ(refusal_of(BlockStatus::read_error, true).status, StatusCode::unrecovered_read_error);
  CHECK_EQ(refusal_of(BlockStatus::write_error, false).status, StatusCode::write_fault);
  CHECK_EQ(refusal_of(BlockStatus::pool_failed, false).status, StatusCode::write_fault);
  CHECK_EQ(refusal_of(BlockStatus::pool_failed, true).status, StatusCode::internal_error);
  CHECK_EQ(refusal_of(BlockStatus::gone, true).status, StatusCode::invalid_namespace_or_format);
}
