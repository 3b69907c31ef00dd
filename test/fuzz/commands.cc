// Any submission queue entry against any namespace: what the validator lets through lies within the
// namespace, the capsule and the limits, by arithmetic that cannot wrap.
#include <variant>
#include <vector>

#include "base/check.h"
#include "target/limits.h"
#include "target/validate.h"

#include "input.h"

namespace ashlar::fuzz {
namespace {

using namespace target;
using Wide = unsigned __int128;

constexpr uint8_t opcodes[] = {0x00, 0x01, 0x02, 0x05, 0x08, 0x09, 0x0c, 0x19};

NamespaceView any_namespace(Input& input) {
  NamespaceView ns;
  const uint8_t way = input.u8();
  ns.block_bytes = (way & 1) != 0 ? 512 : 4096;
  // Whole blocks, and not beyond what a layer may be: 256 TiB.
  ns.size_bytes = (input.edgy(48) & ~uint64_t{4095}) + 4096;
  ns.read_only = (way & 6) == 6;
  if ((way & 0x18) == 0x18) ns.ana = AnaState{static_cast<uint8_t>((way >> 5) % 5)};
  if ((way & 0x18) == 0x10) ns.reservation = ReservationRule{static_cast<uint8_t>((way >> 5) % 3)};
  return ns;
}

nvme::Sqe any_entry(Input& input, const NamespaceView& ns) {
  nvme::Sqe sqe{};
  const uint8_t way = input.u8();
  sqe.opcode = (way & 1) != 0 ? input.u8() : opcodes[way >> 1 & 7];
  sqe.flags = (way & 16) != 0 ? input.u8() : 0x40;
  sqe.nsid = (way & 32) != 0 ? 0xffffffff : 1;
  const uint64_t blocks = ns.size_bytes / ns.block_bytes;
  const uint64_t slba = input.flag() ? blocks - input.u8() : input.edgy(64);
  sqe.cdw10 = static_cast<uint32_t>(slba);
  sqe.cdw11 = static_cast<uint32_t>(slba >> 32);
  sqe.cdw12 = static_cast<uint32_t>(input.edgy(32));
  sqe.sgl.type_subtype = (way & 64) != 0 ? 0x01 : 0x5a;
  if ((way & 128) != 0) sqe.sgl.type_subtype = input.u8();
  sqe.sgl.length = input.flag() ? nvme::number_of_blocks(sqe) * ns.block_bytes
                                : static_cast<uint32_t>(input.edgy(32));
  if (input.flag()) sqe.sgl.address = input.edgy(64);
  if (sqe.opcode == 0x09 && input.flag()) sqe.cdw11 = nvme::dsm_deallocate;
  return sqe;
}

void check_request(const IoRequest& request, const nvme::Sqe& sqe, const NamespaceView* ns,
                   uint32_t capsule_bytes) {
  if (request.kind == IoKind::flush_all) {
    CHECK(ns == nullptr && sqe.nsid == nvme::nsid_all);
    return;
  }
  CHECK(ns != nullptr);
  CHECK(!(ns->read_only && changes_data(request.kind)));
  CHECK(ns->ana == AnaState::optimized || ns->ana == AnaState::non_optimized);
  CHECK(request.offset_bytes % ns->block_bytes == 0 && request.length_bytes % ns->block_bytes == 0);
  CHECK(Wide{request.offset_bytes} + request.length_bytes <= ns->size_bytes);
  const DataPlan& data = request.data;
  CHECK((data.path == DataPath::none) == (data.bytes == 0));
  if (data.path == DataPath::in_capsule) {
    CHECK(Wide{data.capsule_offset} + data.bytes <= capsule_bytes);
  } else {
    CHECK(capsule_bytes == 0);
  }
  switch (request.kind) {
    case IoKind::read:
    case IoKind::write:
    case IoKind::compare:
      CHECK(data.bytes == request.length_bytes && data.bytes <= target::limits::max_transfer_bytes);
      CHECK(Wide{nvme::slba(sqe)} * ns->block_bytes == request.offset_bytes);
      CHECK((request.kind == IoKind::read) == (data.path == DataPath::to_host));
      break;
    case IoKind::dataset_management:
      CHECK(request.range_count >= 1 && request.range_count <= nvme::max_dsm_ranges);
      CHECK(data.bytes >= request.range_count * sizeof(nvme::DsmRange) && data.bytes <= 4096);
      break;
    case IoKind::copy:
      CHECK(request.range_count >= 1 && request.range_count <= target::limits::copy_ranges);
      CHECK(data.bytes >= request.range_count * sizeof(nvme::CopyRange) && data.bytes <= 4096);
      break;
    case IoKind::verify: CHECK(request.length_bytes <= target::limits::max_transfer_bytes); break;
    case IoKind::flush:
    case IoKind::write_zeroes: CHECK(data.bytes == 0); break;
    case IoKind::flush_all: CHECK(false);
  }
}

void check_ranges(Input& input, const nvme::Sqe& sqe, const NamespaceView& ns) {
  const nvme::DsmRange dsm{0, static_cast<uint32_t>(input.edgy(32)), input.edgy(64)};
  const auto judged = validate_dsm_range(dsm, ns);
  const bool fits =
      (Wide{dsm.slba} + dsm.length_blocks) * ns.block_bytes <= Wide{ns.size_bytes};
  CHECK(std::holds_alternative<ByteRange>(judged) == fits);

  std::vector<std::byte> list;
  for (uint32_t count = input.below(6) + 1; count > 0; --count) {
    nvme::CopyRange range{};
    range.slba = input.flag() ? input.u8() : input.edgy(64);
    range.nlb_0based = static_cast<uint16_t>(input.edgy(16));
    const auto bytes = std::as_bytes(std::span(&range, 1));
    list.insert(list.end(), bytes.begin(), bytes.end());
  }
  const auto copied = validate_copy_ranges(sqe, list, ns);
  const auto* to = std::get_if<ByteRange>(&copied);
  if (to == nullptr) return;
  CHECK(Wide{to->offset_bytes} + to->length_bytes <= ns.size_bytes);
  CHECK(to->length_bytes <= target::limits::copy_bytes);
  uint64_t total = 0;
  for (uint32_t i = 0; i < list.size() / sizeof(nvme::CopyRange); ++i) {
    const ByteRange from = copy_source(list, i, ns);
    CHECK(Wide{from.offset_bytes} + from.length_bytes <= ns.size_bytes);
    CHECK(from.offset_bytes >= to->offset_bytes + to->length_bytes ||
          to->offset_bytes >= from.offset_bytes + from.length_bytes);
    total += from.length_bytes;
  }
  CHECK(total == to->length_bytes);
}

void run(Input input) {
  const NamespaceView ns = any_namespace(input);
  const NamespaceView* seen = input.below(8) == 0 ? nullptr : &ns;
  const nvme::Sqe sqe = any_entry(input, ns);
  const uint32_t capsule_bytes =
      input.flag() ? 0 : input.u16() % (target::limits::in_capsule_bytes + 1);
  const auto verdict = validate_io(sqe, seen, capsule_bytes, {target::limits::max_transfer_bytes});
  if (const auto* request = std::get_if<IoRequest>(&verdict)) {
    check_request(*request, sqe, seen, capsule_bytes);
  } else {
    CHECK(std::get_if<Refusal>(&verdict)->status != nvme::StatusCode::success);
  }
  check_ranges(input, sqe, ns);
}

}  // namespace
}  // namespace ashlar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ashlar::fuzz::run({bytes, size});
  return 0;
}
