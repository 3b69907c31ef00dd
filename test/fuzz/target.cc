// Hosts that do anything, against a whole target over a pool. The input is a list of actions:
// bytes, PDUs with fields changed, answers to R2Ts, time, the ends of connections, and what the
// control plane does meanwhile. world.h says what must hold.
#include <array>
#include <memory>

#include "input.h"
#include "world.h"

namespace ashlar::fuzz {
namespace {

constexpr size_t max_peers = 6;
constexpr size_t max_actions = 160;

// Opcodes that something is done with, on either kind of queue.
constexpr std::array<uint8_t, 24> opcodes = {
    0x00, 0x01, 0x02, 0x05, 0x08, 0x09, 0x0c, 0x19,  // Flush … Copy.
    0x01, 0x02, 0x01, 0x02, 0x05, 0x19, 0x0d, 0x0e,  // The frequent ones again; reservations.
    0x06, 0x08, 0x0c, 0x18, 0x7f, 0x04, 0x09, 0x0a};
constexpr std::array<uint32_t, 8> nsids = {1, 1, 1, 2, 3, 5, 4, 0xffffffff};

class Scene {
 public:
  // Where it begins saves every input from finding out how to get there: hosts with a controller,
  // its admin queue and up to two I/O queues, and a control plane that takes its time.
  explicit Scene(Input input)
      : input_(input), way_(input_.u8()), world_(input_.u8(), (way_ & 1) != 0) {
    const auto greeting = static_cast<uint8_t>(way_ & 0x30);  // Digests.
    for (uint8_t qid = 0; qid < (way_ >> 1 & 3); ++qid) {
      greet(peer(qid), greeting, qid == 2 ? 0x22 : qid);
    }
    if ((way_ & 0x40) != 0) world_.commands = World::Way::hold;
    if ((way_ & 0x80) != 0) world_.connects = World::Way::hold;
  }
  void run() {
    for (size_t i = 0; i < max_actions && !input_.empty(); ++i) {
      act();
      world_.check_memory();
    }
    end();
  }

 private:
  void act() {
    switch (input_.below(25)) {
      case 0: greet(peer(), input_.u8(), input_.u8()); break;
      case 1: peer().send(input_.bytes(input_.u8()), piece()); break;
      case 2: send_changed(peer(), peer().ic_req(input_.u8(), input_.u8(), input_.u8())); break;
      case 3: connect_queue(peer(), input_.u8(), false); break;
      case 4:
      case 5:
      case 6:
      case 7: send_command(peer()); break;
      case 8:
      case 9:
      case 10: answer_r2t(peer()); break;
      case 11: answer_rightly(peer()); break;
      case 12: pass_time(); break;
      case 13: world_.store.pass(100'000); break;
      case 14: end_peer(peer()); break;
      case 15: peer().set_reading(input_.flag()); break;
      case 16: control_plane(); break;
      case 17: answer_held(); break;
      case 18: repeat_command(peer()); break;
      case 19: terminate(peer()); break;
      case 20:
      case 21: send_command(peer()); break;
      case 22: send_pair(peer()); break;
      case 23: answer_rightly(peer()); break;
      default: world_.serve_neighbour(); break;
    }
  }

  // Those that were greeted first are the most interesting.
  Peer& peer() {
    const uint8_t wanted = input_.u8();
    return peer(wanted < 192 ? wanted % 3 : wanted % max_peers);
  }
  Peer& peer(size_t wanted) {
    std::unique_ptr<Peer>& at = peers_[wanted];
    if (at != nullptr && (!at->open() || at->ended())) {
      at->close(false);
      world_.store.pass(100'000);
      if (at->gone()) at.reset();
    }
    if (at == nullptr) {
      at = std::make_unique<Peer>(world_.hostile_network, World::port);
      world_.store.run_within(second_ns, [&] { return at->tried(); });
    }
    return *at;
  }
  size_t piece() {
    const uint8_t pieces = input_.u8();
    return pieces < 128 ? 0 : pieces - 127;
  }

  // ---- What hosts say ----

  // From a new connection to a queue, if it is let in.
  void greet(Peer& to, uint8_t how, uint8_t queue) {
    to.send(to.ic_req(how & 15, static_cast<uint8_t>(how >> 4 & 3), how >> 6));
    world_.store.run_within(second_ns / 100, [&] { return to.exchanged() || to.ended(); });
    connect_queue(to, queue, true);
    world_.store.run_within(second_ns / 100, [&] { return !to.responses.empty() || to.ended(); });
  }
  void connect_queue(Peer& to, uint8_t how, bool plain) {
    if (!to.exchanged()) return;
    const uint16_t qid = how & 7;
    constexpr std::array<uint16_t, 4> sizes = {31, 1, 1023, 4};
    nvme::Sqe sqe = connect_sqe(1, qid, sizes[how >> 3 & 3], how >> 3 & 4);
    nvme::ConnectData data{};
    data.hostid[0] = static_cast<uint8_t>(how >> 6);
    data.cntlid = static_cast<uint16_t>(world_.created);
    if (!plain) sqe.cdw12 = input_.u16();  // KATO.
    const Bytes pdu = to.command(sqe, std::as_bytes(std::span(&data, 1)));
    if (plain) {
      to.send(pdu);
    } else {
      send_changed(to, pdu);
    }
  }

  // Right in everything but one thing, or in all: a command that is wrong twice shows nothing new.
  nvme::Sqe make_command() {
    nvme::Sqe sqe = make_sqe(opcodes[input_.u8() % opcodes.size()], input_.u8() % 8,
                             nsids[input_.u8() % nsids.size()]);
    if (sqe.opcode == 0x7f) sqe.nsid = input_.u8() % 9;  // FCTYPE.
    const uint8_t how = input_.u8();
    uint32_t blocks = (how >> 6) + 1u;
    sqe.cdw10 = how >> 4 & 3;
    switch (how & 15) {
      case 9: sqe.flags |= nvme::fuse_first; break;
      case 10: sqe.flags |= nvme::fuse_second; break;
      case 11: sqe.cdw10 = static_cast<uint32_t>(input_.edgy(32)); break;
      case 12: sqe.cdw11 = static_cast<uint32_t>(input_.edgy(32)); break;
      case 13: sqe.cdw12 = static_cast<uint32_t>(input_.u16()) << 16; break;
      case 14: sqe.flags = input_.u8(); break;
      case 15: blocks = static_cast<uint32_t>(input_.edgy(16)) + 1; break;
      default: break;
    }
    sqe.cdw12 |= blocks - 1;
    if (sqe.opcode == 0x09) sqe.cdw11 |= nvme::dsm_deallocate;
    sqe.sgl.length = blocks * (sqe.nsid == 2 ? 512 : 4096);
    return sqe;
  }
  // Compare and Write of one block, next to each other.
  void send_pair(Peer& to) {
    const uint8_t how = input_.u8();
    nvme::Sqe sqe = make_sqe(0x05, how & 7, (how & 8) != 0 ? 2 : 1);
    sqe.cdw10 = how >> 6;
    sqe.sgl.length = sqe.nsid == 2 ? 512 : 4096;
    const Bytes data((how & 16) != 0 ? sqe.sgl.length : 0);
    if (!data.empty()) sqe.sgl.type_subtype = nvme::sgl_data_block_offset;
    sqe.flags |= nvme::fuse_first;
    to.send(to.command(sqe, data));
    sqe.flags ^= nvme::fuse_first | nvme::fuse_second;
    sqe.opcode = 0x01;
    sqe.cid = (how & 7) + 8;
    if ((how & 32) == 0) to.send(to.command(sqe, data));
    world_.store.pass(20'000);
  }
  // Ranges of Dataset Management and Copy that are near each other and near the ends.
  Bytes list_of_ranges(nvme::Sqe& sqe) {
    const uint32_t count = input_.below(5) + 1;
    const bool near = input_.flag();
    const size_t size = sqe.opcode == 0x09 ? sizeof(nvme::DsmRange) : sizeof(nvme::CopyRange);
    Bytes bytes(count * size);
    for (uint32_t i = 0; i < count; ++i) {
      const uint64_t slba = near ? input_.u8() % 64 : input_.edgy(64);
      const uint32_t blocks = near ? input_.u8() % 16 : static_cast<uint32_t>(input_.edgy(32));
      if (sqe.opcode == 0x09) {
        const nvme::DsmRange range{0, blocks, slba};
        std::memcpy(bytes.data() + i * size, &range, size);
      } else {
        nvme::CopyRange range{};
        range.slba = slba;
        range.nlb_0based = static_cast<uint16_t>(blocks);
        std::memcpy(bytes.data() + i * size, &range, size);
      }
    }
    (sqe.opcode == 0x09 ? sqe.cdw10 : sqe.cdw12) = count - 1;
    sqe.sgl.length = static_cast<uint32_t>(bytes.size());
    return bytes;
  }
  void send_command(Peer& to) {
    nvme::Sqe sqe = make_command();
    const uint8_t how = input_.u8();
    Bytes data;
    if (sqe.opcode == 0x09 || sqe.opcode == 0x19) {
      data = list_of_ranges(sqe);
    } else if ((how & 1) != 0 && (sqe.opcode == 0x01 || sqe.opcode == 0x05 || how == 0x51)) {
      data = pattern(std::min<size_t>(sqe.sgl.length, 8192), how);
    }
    if (!data.empty() && (how & 2) == 0) sqe.sgl.type_subtype = nvme::sgl_data_block_offset;
    last_ = to.command(sqe, data);
    if ((how & 0xf0) == 0xf0) {
      send_changed(to, last_);
    } else {
      to.send(last_, (how & 0xf0) == 0xe0 ? piece() : 0);
    }
    if ((how & 4) != 0) world_.store.pass(20'000);
    if ((how & 8) != 0) answer_rightly(to);
  }
  void terminate(Peer& to) {
    Bytes pdu(tcp::max_term_req_bytes);
    const auto status = static_cast<tcp::FatalErrorStatus>(1 + input_.below(6));
    pdu.resize(tcp::encode_term_req(pdu, tcp::Role::host, {status, input_.u8()}, last_));
    send_changed(to, pdu);
  }
  void repeat_command(Peer& to) {
    if (!last_.empty()) to.send(last_);
  }

  // Changes bytes of a PDU; afterwards its digest is made right again, or not.
  void send_changed(Peer& to, Bytes pdu) {
    for (uint32_t changes = input_.below(4); changes > 0; --changes) {
      const size_t at = input_.u8() % std::min<size_t>(pdu.size(), 96);
      pdu[at] = std::byte{input_.u8()};
    }
    const uint8_t how = input_.u8();
    if ((how & 1) == 0) to.seal_header(pdu);
    if ((how & 2) != 0) pdu.resize(pdu.size() - input_.u8() % pdu.size());
    to.send(pdu, piece());
  }

  void answer_rightly(Peer& to) {
    while (!to.r2ts.empty()) {
      const tcp::R2T r2t = to.r2ts.front();
      to.r2ts.pop_front();
      const uint32_t most = std::min<uint32_t>(to.framing().maxh2cdata, 131072);
      for (uint32_t at = 0; at < r2t.r2tl; at += most) {
        const uint32_t length = std::min(most, r2t.r2tl - at);
        to.send(to.h2c_data(r2t.cccid, r2t.ttag, r2t.r2to + at, pattern(length, at),
                            at + length == r2t.r2tl));
      }
    }
    world_.store.pass(20'000);
  }
  void answer_r2t(Peer& to) {
    if (!to.exchanged()) return;
    tcp::R2T r2t{};
    if (!to.r2ts.empty()) r2t = to.r2ts[input_.u8() % to.r2ts.size()];
    const uint8_t how = input_.u8();
    if ((how & 1) != 0) r2t.ttag = static_cast<uint16_t>(input_.edgy(16));
    if ((how & 2) != 0) r2t.cccid = static_cast<uint16_t>(input_.edgy(16));
    if ((how & 4) != 0) r2t.r2to = static_cast<uint32_t>(input_.edgy(32));
    uint32_t length = std::min<uint32_t>(r2t.r2tl, 131072);
    if ((how & 8) != 0) length = static_cast<uint32_t>(input_.edgy(18)) % 140000;
    if (length == 0) length = 1;
    const bool last = ((how & 16) != 0) != (length == r2t.r2tl);
    Bytes pdu = to.h2c_data(r2t.cccid, r2t.ttag, r2t.r2to, pattern(length, how), last);
    if ((how & 32) != 0) pdu.back() ^= std::byte{1};  // A wrong digest, where there is one.
    if ((how & 64) != 0) {
      send_changed(to, pdu);
    } else {
      to.send(pdu);
    }
  }

  // ---- What happens to them ----

  void pass_time() {
    constexpr std::array<uint64_t, 8> spans = {1'000,         50'000,         1'000'000,
                                               100'000'000,   second_ns,      6 * second_ns,
                                               31 * second_ns, 61 * second_ns};
    world_.store.pass(spans[input_.below(spans.size())]);
  }
  void end_peer(Peer& of) {
    if (!of.open()) return;
    switch (input_.below(4)) {
      case 0: of.close(true); break;
      case 1: of.close(false); break;
      case 2: world_.wire.cut(of.stream()); break;
      default:
        world_.wire.silence(of.stream());
        silenced_ = true;
        break;
    }
  }
  void control_plane() {
    const target::ControllerId id =
        world_.created < 2 ? 99 : 2 + input_.u8() % (world_.created - 1);
    const uint8_t kind = input_.u8();
    switch (kind % 10) {
      case 0: world_.connects = World::Way{static_cast<uint8_t>(kind / 16 % 3)}; break;
      case 1: world_.commands = World::Way{static_cast<uint8_t>(kind / 16 % 3)}; break;
      case 2: world_.target->destroy_controller(id); break;
      case 3: world_.target->set_keep_alive(id, input_.u16()); break;
      case 4: world_.target->set_enabled(id, (kind & 16) != 0); break;
      case 5: world_.target->raise_event(id, {2, kind, 3}); break;
      case 6: world_.target->clear_event(id, {2, kind, 3}); break;
      case 7: {
        auto namespaces = world_.hostile_namespaces();
        namespaces.resize(kind / 16 % (namespaces.size() + 1));
        world_.target->set_namespaces(id, std::move(namespaces), [] {});
        break;
      }
      case 8:
        world_.target->set_ana(World::portal, 2, target::AnaState{static_cast<uint8_t>(kind / 52)});
        break;
      default: world_.enabled = (kind & 16) != 0; break;
    }
  }
  void answer_held() {
    const uint8_t how = input_.u8();
    if (!world_.held_connects.empty()) {
      const auto request = std::move(world_.held_connects.back());
      world_.held_connects.pop_back();
      if ((how & 1) != 0) {
        world_.target->reject(request.connection, how & 2 ? 0x181 : 0x182, how);
      } else {
        world_.let_in(request, how & 4 ? 2 : 0);
      }
    }
    if (!world_.held_commands.empty()) {
      world_.complete(world_.held_commands.back(), how & 8 ? 0 : how);
      if ((how & 16) != 0) world_.complete(world_.held_commands.back(), 0);  // Twice.
      world_.held_commands.pop_back();
    }
  }

  // Who has gone leaves nothing behind; who never said anything is gone by then too.
  void end() {
    for (const auto& each : peers_) {
      if (each != nullptr) each->close((way_ & 8) != 0);
    }
    world_.store.pass(second_ns);
    if (!silenced_) {
      CHECK(world_.a_counters.connections.value() + world_.b_counters.connections.value() == 2);
    }
    for (const auto& each : peers_) CHECK(each == nullptr || each->gone());
  }

  Input input_;
  const uint8_t way_;
  World world_;
  std::array<std::unique_ptr<Peer>, max_peers> peers_;
  Bytes last_;
  bool silenced_ = false;
};

}  // namespace
}  // namespace ashlar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ashlar::fuzz::Scene({bytes, size}).run();
  return 0;
}
