#include "control.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "admit.h"
#include "base/bytes.h"
#include "nvme/fabrics.h"
#include "nvme/nvm.h"

namespace ashlar::bench {

namespace {

// 128 entries, contiguous (CQR), and 500 ms to get ready.
constexpr uint64_t cap = 127 | 1u << 16 | 1u << 24 | uint64_t{1} << 37;
// Ready, and as soon as anybody asks for that, shut down: a controller here has nothing to do for
// either.
constexpr uint64_t csts = nvme::csts_ready | nvme::csts_shst_complete;
// A command of 64 bytes and 8 KiB of data, as the product has it.
constexpr uint32_t capsule_units = (64 + 8192) / 16;

}  // namespace

bool Control::connect_requested(target::ConnectRequest request) noexcept {
  admit(*target_, request, backends_, controllers_);
  return true;
}

bool Control::command_requested(target::CommandRequest request) noexcept {
  target_->complete_command(request.controller, request.command, answer(request));
  return true;
}

target::CommandCompletion Control::answer(const target::CommandRequest& request) {
  target::CommandCompletion completion;
  switch (static_cast<nvme::AdminOpcode>(request.sqe.opcode)) {
    case nvme::AdminOpcode::fabrics: return fabrics(request);
    case nvme::AdminOpcode::identify: completion.data = identify(request.sqe); break;
    case nvme::AdminOpcode::set_features:
      completion.result = (max_io_queues - 1) << 16 | (max_io_queues - 1);
      break;
    case nvme::AdminOpcode::get_log_page:
    case nvme::AdminOpcode::abort:
    case nvme::AdminOpcode::get_features:
    case nvme::AdminOpcode::async_event_request:
    case nvme::AdminOpcode::keep_alive:
      completion.status = static_cast<uint16_t>(nvme::StatusCode::invalid_opcode);
      break;
  }
  return completion;
}

target::CommandCompletion Control::fabrics(const target::CommandRequest& request) {
  nvme::PropertyCommand property;
  std::memcpy(&property, &request.sqe, sizeof property);
  const auto which = static_cast<nvme::Property>(property.offset);
  target::CommandCompletion completion;
  if (which == nvme::Property::cap) completion.result = cap;
  if (which == nvme::Property::csts) completion.result = csts;
  if (which == nvme::Property::cc && property.fctype == 0) {
    target_->set_enabled(request.controller, (property.value & nvme::cc_enable) != 0);
  }
  return completion;
}

std::vector<std::byte> Control::identify(const nvme::Sqe& sqe) const {
  std::vector<std::byte> data(nvme::identify_bytes);
  const auto put = [&](size_t at, auto value) {
    std::memcpy(data.data() + at, &value, sizeof value);
  };
  const auto cns = static_cast<uint8_t>(sqe.cdw10);
  if (cns == nvme::cns_controller) {
    const std::string_view model = "plain";
    std::fill_n(data.begin() + 24, 40, std::byte{' '});
    std::memcpy(data.data() + 24, model.data(), model.size());
    put(nvme::identify_controller_mdts, uint8_t{8});
    put(nvme::identify_controller_nn, static_cast<uint32_t>(backends_.size()));
    put(nvme::identify_controller_ioccsz, capsule_units);
    put(nvme::identify_controller_iorcsz, uint32_t{1});
  } else if (cns == nvme::cns_namespace && sqe.nsid - 1 < backends_.size()) {
    const uint64_t blocks = backends_[sqe.nsid - 1]->size_bytes() / 4096;
    for (const size_t at : {0, 8, 16}) put(at, blocks);
    put(128 + 2, uint8_t{12});
  }
  return data;
}

}  // namespace ashlar::bench
