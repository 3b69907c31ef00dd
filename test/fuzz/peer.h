// Peer: the host end of one connection to the simulated target. It sends what it is told to, whole
// or in pieces, and judges what comes back: whatever a host does, the target speaks well.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "nvme/fabrics.h"
#include "nvme/nvm.h"
#include "sim/sim_network.h"
#include "tcp/receive.h"

namespace ashlar::fuzz {

using Bytes = std::vector<std::byte>;

inline Bytes pattern(size_t length, uint64_t stamp) {
  Bytes bytes(length);
  sim::SimRandom(stamp).fill(bytes);
  return bytes;
}

class Peer {
 public:
  Peer(Network& network, uint16_t port) {
    connect_op_.to = {"10.0.0.1", port};
    connect_op_.timeout_ns = 1'000'000'000;
    connect_op_.context = receive_op_.context = send_op_.context = this;
    connect_op_.done = [](ConnectOp& op) noexcept { static_cast<Peer*>(op.context)->on_tried(); };
    receive_op_.done = [](StreamOp& op) noexcept { static_cast<Peer*>(op.context)->on_received(); };
    send_op_.done = [](StreamOp& op) noexcept { static_cast<Peer*>(op.context)->on_sent(); };
    closed_.peer = this;
    closed_.run = [](Task& task) noexcept { static_cast<Closed&>(task).peer->gone_ = true; };
    network.connect(connect_op_);
  }
  ~Peer() { CHECK(gone()); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  bool tried() const { return tried_; }
  bool open() const { return tried_ && stream_ != nullptr && !closing_; }
  bool gone() const { return tried_ && (stream_ == nullptr || gone_); }
  bool ended() const { return ended_; }      // The target closed, or the connection broke.
  bool exchanged() const { return exchanged_; }
  const tcp::Framing& framing() const { return framing_; }
  Stream& stream() { return *stream_; }
  void close(bool linger) {
    if (!open()) return;
    closing_ = true;
    stream_->close(linger, closed_);
  }

  // Unread bytes stay in the wire while this is false.
  void set_reading(bool reading) {
    reading_ = reading;
    listen();
  }
  // `piece` 0: all at once. What nobody takes is bounded: a sender cannot be faster than the wire.
  void send(std::span<const std::byte> bytes, size_t piece = 0) {
    if (!open() || ended_ || outgoing_.size() > 64 || queued_ > (2u << 20)) return;
    if (first_.size() < sizeof(tcp::IcReq)) {
      const size_t take = std::min(bytes.size(), sizeof(tcp::IcReq) - first_.size());
      first_.insert(first_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(take));
    }
    if (piece == 0) piece = bytes.size();
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const auto part = bytes.subspan(at, std::min(piece, bytes.size() - at));
      outgoing_.emplace_back(part.begin(), part.end());
      queued_ += part.size();
    }
    if (!sending_) send_next();
  }

  // ---- PDUs, well formed ----
  Bytes ic_req(uint8_t hpda_0based, uint8_t dgst, uint32_t maxr2t_0based) {
    Bytes bytes(sizeof(tcp::IcReq));
    tcp::encode_ic_req(bytes, 0, dgst, maxr2t_0based);
    bytes[offsetof(tcp::IcReq, hpda_0based)] = std::byte{hpda_0based};
    return bytes;
  }
  Bytes command(const nvme::Sqe& sqe, std::span<const std::byte> data = {}) {
    Bytes bytes(tcp::max_header_bytes);
    bytes.resize(tcp::encode_capsule_cmd(bytes, framing_, sqe, static_cast<uint32_t>(data.size())));
    append(bytes, data);
    return bytes;
  }
  // Also what no encoder of ours would say: any offset, any length.
  Bytes h2c_data(uint16_t cccid, uint16_t ttag, uint32_t datao, std::span<const std::byte> data,
                 bool last) {
    tcp::Framing boundless = framing_;
    boundless.maxh2cdata = UINT32_MAX;
    Bytes bytes(tcp::max_header_bytes);
    bytes.resize(tcp::encode_h2c_data(bytes, boundless, cccid, ttag, 0,
                                      static_cast<uint32_t>(data.size()), last));
    std::memcpy(bytes.data() + offsetof(tcp::H2CData, datao), &datao, sizeof datao);
    seal_header(bytes);
    append(bytes, data);
    return bytes;
  }
  // Makes the header digest right, where there is one.
  void seal_header(Bytes& pdu) const {
    const auto hlen = std::to_integer<size_t>(pdu[offsetof(tcp::CommonHeader, hlen)]);
    if (!framing_.hdgst || hlen + 4 > pdu.size()) return;
    const uint32_t digest = crc32c(std::span<const std::byte>(pdu).first(hlen));
    std::memcpy(pdu.data() + hlen, &digest, sizeof digest);
  }

  // What came and was not yet taken: the newest few.
  std::deque<tcp::R2T> r2ts;
  std::deque<nvme::Cqe> responses;
  std::deque<Bytes> reads;  // Of each C2HData.

 private:
  struct Closed : Task {
    Peer* peer = nullptr;
  };
  static constexpr size_t kept = 64;

  void append(Bytes& bytes, std::span<const std::byte> more) const {
    bytes.insert(bytes.end(), more.begin(), more.end());
    if (!framing_.ddgst || more.empty()) return;
    const uint32_t digest = tcp::data_digest(more);
    bytes.resize(bytes.size() + sizeof digest);
    std::memcpy(bytes.data() + bytes.size() - sizeof digest, &digest, sizeof digest);
  }
  void on_tried() {
    tried_ = true;
    stream_ = std::move(connect_op_.stream);
    listen();
  }
  void listen() {
    if (!open() || receiving_ || ended_ || !reading_) return;
    receiving_ = true;
    receive_op_.into = buffer_;
    stream_->receive(receive_op_);
  }
  void on_received() {
    receiving_ = false;
    if (receive_op_.result <= 0) {
      ended_ = true;
      return;
    }
    auto input = std::span<const std::byte>(buffer_).first(
        static_cast<size_t>(receive_op_.result));
    for (;;) {
      const tcp::Step step = receiver_.next(input);
      CHECK(step.kind != tcp::Step::Kind::violation);  // The target sent what no host takes.
      input = input.subspan(step.consumed);
      if (step.kind == tcp::Step::Kind::need_more) break;
      take(step);
    }
    listen();
  }
  void take(const tcp::Step& step) {
    const auto& shape = receiver_.shape();
    if (step.kind == tcp::Step::Kind::data) {
      arriving_.insert(arriving_.end(), step.data.begin(), step.data.end());
    } else if (step.kind == tcp::Step::Kind::end) {
      CHECK(step.data_digest_ok);
      CHECK(arriving_.size() == shape.data_bytes);
      if (shape.type == tcp::PduType::c2h_data) keep(reads, std::exchange(arriving_, {}));
    } else if (shape.type == tcp::PduType::ic_resp) {
      on_ic_resp(receiver_.ic_resp());
    } else if (shape.type == tcp::PduType::capsule_resp) {
      keep(responses, nvme::Cqe(receiver_.capsule_resp().cqe));
    } else if (shape.type == tcp::PduType::r2t) {
      CHECK(receiver_.r2t().r2tl != 0);
      keep(r2ts, tcp::R2T(receiver_.r2t()));
    } else {
      arriving_.clear();
    }
  }
  // The ICReq that it answers is the first thing that was sent: nothing else is answered so.
  void on_ic_resp(const tcp::IcResp& response) {
    tcp::IcReq request;
    CHECK(first_.size() == sizeof request);
    std::memcpy(&request, first_.data(), sizeof request);
    CHECK((response.dgst & ~request.dgst) == 0);
    framing_.hdgst = (response.dgst & tcp::digest_header) != 0;
    framing_.ddgst = (response.dgst & tcp::digest_data) != 0;
    framing_.cpda_bytes = tcp::alignment_bytes(response.cpda_0based);
    framing_.hpda_bytes = tcp::alignment_bytes(request.hpda_0based);
    framing_.maxh2cdata = response.maxh2cdata;
    receiver_.negotiated(framing_);
    exchanged_ = true;
  }
  template <class T>
  static void keep(std::deque<T>& in, T value) {
    in.push_back(std::move(value));
    if (in.size() > kept) in.pop_front();
  }
  void send_next() {
    if (outgoing_.empty() || closing_) return;
    sending_ = true;
    segment_ = {outgoing_.front().data(), outgoing_.front().size()};
    send_op_.segments = {&segment_, 1};
    stream_->send(send_op_);
  }
  void on_sent() {
    sending_ = false;
    queued_ -= outgoing_.front().size();
    outgoing_.pop_front();
    if (send_op_.result < 0) {
      outgoing_.clear();
      queued_ = 0;
      return;
    }
    send_next();
  }

  ConnectOp connect_op_;
  std::unique_ptr<Stream> stream_;
  StreamOp receive_op_;
  StreamOp send_op_;
  iovec segment_{};
  Closed closed_;
  bool tried_ = false, closing_ = false, gone_ = false, ended_ = false;
  bool exchanged_ = false, reading_ = true, receiving_ = false, sending_ = false;
  tcp::Framing framing_;
  tcp::PduReceiver receiver_{tcp::Role::host, tcp::digest_header | tcp::digest_data};
  Bytes first_;
  Bytes arriving_;
  Bytes buffer_ = Bytes(16384);
  std::deque<Bytes> outgoing_;
  size_t queued_ = 0;
};

}  // namespace ashlar::fuzz
