// Peer: the host end of one queue. It keeps commands of one kind under way, answers R2Ts, and takes
// every answer apart: what a row counts has been carried out, and the data is what it should be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "nvme/fabrics.h"
#include "nvme/nvm.h"
#include "tcp/receive.h"
#include "wire.h"

namespace ashlar::bench {

inline constexpr uint32_t block_bytes = 4096;
inline constexpr uint16_t queue_entries = 256;

// The first eight bytes of every block say which it is, of which namespace.
constexpr uint64_t stamp_of(uint32_t nsid, uint64_t block) noexcept {
  return uint64_t{nsid} << 32 | block;
}

class Peer {
 public:
  Peer(Wire& wire, bool digests) : wire_(wire), digests_(digests), pipe_(wire.open()) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void send_ic_req() {
    std::array<std::byte, tcp::max_header_bytes> bytes{};
    const uint8_t dgst = digests_ ? tcp::digest_header | tcp::digest_data : 0;
    wire_.push(*pipe_, std::span(bytes).first(tcp::encode_ic_req(bytes, 0, dgst, 1)));
  }
  // `cntlid`: for an I/O queue, the controller that the admin queue was given.
  void send_connect(uint16_t qid, uint16_t cntlid, uint16_t entries) {
    nvme::ConnectCommand connect{};
    connect.opcode = 0x7f;
    connect.flags = 0x40;
    connect.fctype = static_cast<uint8_t>(nvme::FabricsType::connect);
    connect.sgl.type_subtype = nvme::sgl_data_block_offset;
    connect.sgl.length = sizeof(nvme::ConnectData);
    connect.qid = qid;
    connect.sqsize_0based = static_cast<uint16_t>(entries - 1);
    nvme::ConnectData data{};
    data.cntlid = cntlid;
    nvme::Sqe sqe;
    std::memcpy(&sqe, &connect, sizeof sqe);
    ++under_way_;
    put_command(sqe, std::as_bytes(std::span(&data, 1)));
  }
  void submit(nvme::IoOpcode op, uint32_t nsid, uint64_t block, uint32_t bytes) {
    nvme::Sqe sqe{};
    sqe.opcode = static_cast<uint8_t>(op);
    sqe.flags = 0x40;
    sqe.cid = next_cid_++ % queue_entries;
    sqe.nsid = nsid;
    sqe.sgl.type_subtype = nvme::sgl_transport_data_block;
    sqe.sgl.length = bytes;
    sqe.cdw10 = static_cast<uint32_t>(block);
    if (bytes != 0) sqe.cdw12 = bytes / block_bytes - 1;
    ++under_way_;
    commands_[sqe.cid] = {nsid, block};
    if (op != nvme::IoOpcode::write) return put_command(sqe, {});
    if (bytes > block_bytes) return put_command(sqe, {});
    sqe.sgl.type_subtype = nvme::sgl_data_block_offset;
    put_command(sqe, stamped(nsid, block, bytes));
  }
  // Takes what has come and answers R2Ts.
  void take() {
    std::span<const std::byte> input = pipe_->to_host;
    for (;;) {
      const tcp::Step step = receiver_.next(input);
      CHECK(step.kind != tcp::Step::Kind::violation);
      input = input.subspan(step.consumed);
      if (step.kind == tcp::Step::Kind::need_more) break;
      take(step);
    }
    pipe_->to_host.clear();
  }

  bool exchanged() const noexcept { return exchanged_; }
  uint32_t under_way() const noexcept { return under_way_; }
  uint64_t completed() const noexcept { return completed_; }
  uint32_t connect_result() const noexcept { return connect_result_; }

 private:
  struct Named {
    uint32_t nsid = 0;
    uint64_t block = 0;
  };

  std::span<const std::byte> stamped(uint32_t nsid, uint64_t block, uint32_t bytes) {
    if (data_.size() < bytes) data_.resize(bytes);
    for (uint32_t at = 0; at < bytes; at += block_bytes, ++block) {
      const uint64_t stamp = stamp_of(nsid, block);
      std::memcpy(data_.data() + at, &stamp, sizeof stamp);
    }
    return {data_.data(), bytes};
  }
  void put(std::span<const std::byte> header, std::span<const std::byte> data) {
    wire_.push(*pipe_, header);
    wire_.push(*pipe_, data);
    if (!framing_.ddgst || data.empty()) return;
    const uint32_t digest = tcp::data_digest(data);
    wire_.push(*pipe_, std::as_bytes(std::span(&digest, 1)));
  }
  void put_command(const nvme::Sqe& sqe, std::span<const std::byte> data) {
    const auto length = static_cast<uint32_t>(data.size());
    const uint32_t header = tcp::encode_capsule_cmd(header_, framing_, sqe, length);
    put(std::span(header_).first(header), data);
  }

  void take(const tcp::Step& step) {
    const auto& shape = receiver_.shape();
    switch (shape.type) {
      case tcp::PduType::ic_resp: return negotiate(receiver_.ic_resp());
      case tcp::PduType::capsule_resp: return complete(receiver_.capsule_resp().cqe);
      case tcp::PduType::r2t: return answer(receiver_.r2t());
      case tcp::PduType::c2h_data: return take_data(step, shape);
      default: CHECK(false);
    }
  }
  void negotiate(const tcp::IcResp& response) {
    framing_.hdgst = framing_.ddgst = digests_;
    CHECK(response.dgst == (digests_ ? tcp::digest_header | tcp::digest_data : 0));
    framing_.cpda_bytes = tcp::alignment_bytes(response.cpda_0based);
    framing_.maxh2cdata = response.maxh2cdata;
    receiver_.negotiated(framing_);
    exchanged_ = true;
  }
  void complete(const nvme::Cqe& cqe) {
    CHECK(cqe.status >> 1 == 0);
    std::memcpy(&connect_result_, &cqe, sizeof connect_result_);
    ended();
  }
  void ended() {
    CHECK(under_way_ > 0);
    --under_way_;
    ++completed_;
  }
  void answer(const tcp::R2T& r2t) {
    const Named& command = commands_[r2t.cccid];
    for (uint32_t done = 0; done < r2t.r2tl;) {
      const uint32_t length = std::min(framing_.maxh2cdata, r2t.r2tl - done);
      const uint64_t block = command.block + (r2t.r2to + done) / block_bytes;
      const bool last = done + length == r2t.r2tl;
      const uint32_t header = tcp::encode_h2c_data(header_, framing_, r2t.cccid, r2t.ttag,
                                                   r2t.r2to + done, length, last);
      put(std::span(header_).first(header), stamped(command.nsid, block, length));
      done += length;
    }
  }
  void take_data(const tcp::Step& step, const tcp::PduShape& shape) {
    const tcp::C2HData& pdu = receiver_.c2h_data();
    if (step.kind == tcp::Step::Kind::data) {
      const Named& command = commands_[pdu.cccid];
      // All of a send is here at once: what comes in pieces comes in whole blocks.
      CHECK((pdu.datao + step.data_offset) % block_bytes == 0);
      const uint64_t first = command.block + (pdu.datao + step.data_offset) / block_bytes;
      for (size_t at = 0; at < step.data.size(); at += block_bytes) {
        uint64_t stamp = 0;
        std::memcpy(&stamp, step.data.data() + at, sizeof stamp);
        CHECK(stamp == stamp_of(command.nsid, first + at / block_bytes));
      }
    }
    if (step.kind != tcp::Step::Kind::end) return;
    CHECK(step.data_digest_ok);
    if ((shape.flags & tcp::flag_success) != 0) ended();
  }

  Wire& wire_;
  const bool digests_;
  const std::shared_ptr<Pipe> pipe_;
  tcp::Framing framing_;
  tcp::PduReceiver receiver_{tcp::Role::host, tcp::digest_header | tcp::digest_data};
  std::array<std::byte, tcp::max_header_bytes> header_{};
  std::vector<std::byte> data_;
  std::array<Named, queue_entries> commands_{};
  uint16_t next_cid_ = 0;
  uint32_t under_way_ = 0;
  uint64_t completed_ = 0;
  uint32_t connect_result_ = 0;  // DW0 of the last response.
  bool exchanged_ = false;
};

}  // namespace ashlar::bench
