// The handover of records to a system that does them: over a simulated network, with a fake kernel
// that knows the keys it is given and nothing else.
#include "net.h"

namespace ashlar::tls::rig {
namespace {

// The host's stream, with a change_cipher_spec right behind its ClientHello, as RFC 8446 (5) lets
// it.
class EarlySpec final : public Stream {
 public:
  EarlySpec(std::unique_ptr<Stream> inner, size_t first_piece)
      : inner_(std::move(inner)), first_piece_(first_piece) {}
  void receive(StreamOp& op) noexcept override { inner_->receive(op); }
  void send(StreamOp& op) noexcept override {
    if (std::exchange(sent_, true)) return inner_->send(op);
    for (const iovec& segment : op.segments) {
      const auto* from = static_cast<const std::byte*>(segment.iov_base);
      bytes_.insert(bytes_.end(), from, from + segment.iov_len);
    }
    const Bytes spec{std::byte{20}, std::byte{3}, std::byte{3},
                     std::byte{0},  std::byte{1}, std::byte{1}};
    bytes_.insert(bytes_.end(), spec.begin(), spec.end());
    owner_ = &op;
    op_.context = this;
    op_.done = [](StreamOp& done) noexcept { static_cast<EarlySpec*>(done.context)->next(); };
    const size_t first = std::min(first_piece_, bytes_.size());
    segments_[0] = {bytes_.data(), first};
    segments_[1] = {bytes_.data() + first, bytes_.size() - first};
    op_.segments = {segments_.data(), 1};
    inner_->send(op_);
  }
  void close(bool linger, Task& closed) noexcept override { inner_->close(linger, closed); }
  SocketAddress local() const override { return inner_->local(); }
  SocketAddress peer() const override { return inner_->peer(); }

 private:
  void next() {
    if (owner_ == nullptr) return;
    if (op_.segments.data() == segments_.data() && segments_[1].iov_len > 0 && op_.result > 0) {
      op_.segments = {segments_.data() + 1, 1};
      return inner_->send(op_);
    }
    owner_->result = op_.result;
    StreamOp& op = *std::exchange(owner_, nullptr);
    op.done(op);
  }
  std::unique_ptr<Stream> inner_;
  const size_t first_piece_;
  bool sent_ = false;
  Bytes bytes_;
  std::array<iovec, 2> segments_{};
  StreamOp op_;
  StreamOp* owner_ = nullptr;
};

void check_echo(Net& net, std::initializer_list<size_t> lengths) {
  for (const size_t length : lengths) {
    net.say(numbered(length));
    CHECK_EQ(net.hear(length), numbered(length));
  }
}

void check_offloaded(Net& net) {
  CHECK_EQ(net.kernel->asked, 1);
  CHECK_EQ(net.counters.tls_kernel_connections.value(), 1);
  CHECK_EQ(net.counters.tls_process_connections.value(), 0);
  CHECK_EQ(net.counters.tls_offloads_refused.value(), 0);
}

TEST_CASE("tls offload: cut and delayed in every way: the kernel has the records, all comes back") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Net net(seed, seed % 2 == 0, KernelOptions{});
    const bool large = seed % 3 == 0;
    net.secure(large ? host384() : HostOptions{});
    check_echo(net, {128, 1, 70'000, 5000});
    check_offloaded(net);
    CHECK_EQ(net.kernel->key_bytes, large ? 32 : 16);
    CHECK_EQ(net.echo->stream.peer_identity(), large ? identity384 : identity256);
  }
}

TEST_CASE(
    "tls offload: all that the host says at once, Finished and content: no byte read too far") {
  for (size_t piece = 1; piece <= 200; ++piece) {
    CAPTURE(piece);
    KernelOptions options;
    options.piece = piece;
    Net net(piece, false, options);
    net.wire.options().split = false;
    net.secure();
    check_echo(net, {300, 20'000});
    check_offloaded(net);
  }
}

TEST_CASE("tls offload: a record behind the ClientHello, cut at every byte: all comes back") {
  size_t hello = 0;
  {
    Host host;
    host.shake();
    hello = host.take().size();
  }
  for (size_t first = 1; first <= hello + 6; ++first) {
    CAPTURE(first);
    Net net(first, false, KernelOptions{});
    net.wire.options().split = false;
    net.connect.stream = std::make_unique<EarlySpec>(std::move(net.connect.stream), first);
    net.secure();
    check_echo(net, {100});
    check_offloaded(net);
  }
}

TEST_CASE("tls offload: a handshake that is told late that it is out: the keys wait for that") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    KernelOptions options;
    options.send_delay_ns = 20'000'000;
    Net net(seed, false, options);
    net.secure();
    check_echo(net, {128, 9000});
    check_offloaded(net);
  }
}

TEST_CASE("tls offload: refused: the process goes on, and it is counted") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    KernelOptions options;
    options.answer = TlsOffload::refused;
    options.piece = seed % 2 == 0 ? SIZE_MAX : seed;
    Net net(seed, false, options);
    net.secure(seed % 3 == 0 ? host384() : HostOptions{});
    check_echo(net, {128, 70'000});
    CHECK_EQ(net.kernel->asked, 1);
    CHECK_EQ(net.counters.tls_kernel_connections.value(), 0);
    CHECK_EQ(net.counters.tls_process_connections.value(), 1);
    CHECK_EQ(net.counters.tls_offloads_refused.value(), 1);
  }
}

TEST_CASE("tls offload: one direction has its keys alone: the connection ends, no alert is sent") {
  KernelOptions options;
  options.answer = TlsOffload::broken;
  Net net(1, false, options);
  net.secure();
  net.say(numbered(100));
  CHECK(net.hear(1).empty());
  CHECK(net.echo_ends());
  CHECK_EQ(net.echo->end, -EPROTO);
  CHECK_FALSE(net.tls->host.closed);
  CHECK_EQ(net.counters.tls_offloads_refused.value(), 1);
}

TEST_CASE("tls offload: by the process as configured: the system is not asked") {
  Net net(1);
  net.secure();
  check_echo(net, {128});
  CHECK_EQ(net.counters.tls_process_connections.value(), 1);
  CHECK_EQ(net.counters.tls_offloads_refused.value(), 0);
}

TEST_CASE("tls offload: close_notify of the host: an ordinary end, and ours in return") {
  Net net(4, false, KernelOptions{});
  net.secure();
  check_echo(net, {10});
  SSL_shutdown(net.tls->host.ssl);
  CHECK(net.hear(1).empty());
  CHECK(net.tls->host.closed);
  CHECK(net.echo_ends());
  CHECK_EQ(net.echo->end, 0);
}

TEST_CASE("tls offload: a KeyUpdate of the host: the connection ends") {
  Net net(5, false, KernelOptions{});
  net.secure();
  check_echo(net, {10});
  SSL_key_update(net.tls->host.ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
  net.say(numbered(10));
  CHECK(net.hear(1).empty());
  CHECK(net.echo_ends());
  CHECK_EQ(net.echo->end, -EKEYEXPIRED);
}

TEST_CASE("tls offload: closed at any moment: operations end first, nothing stays behind") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    KernelOptions options;
    if (seed % 2 == 0) options.send_delay_ns = 300'000;
    Net net(seed, seed % 3 == 0, options);
    net.secure();
    net.say(numbered(30'000));
    const uint64_t steps = net.world.random().next_u64() % 400;
    for (uint64_t i = 0; i < steps && !net.echo->closed(); ++i) net.world.step();
    net.echo->close(seed % 2 == 0);
    CHECK(net.echo_ends());
  }
}

}  // namespace
}  // namespace ashlar::tls::rig
