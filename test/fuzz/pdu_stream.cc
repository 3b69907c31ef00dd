// Any bytes, cut anywhere, into the receiver of either end. What comes out depends on the bytes
// alone and never on the cuts, and every header that is let through keeps what codec.h promises.
#include <algorithm>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/crc32c.h"
#include "tcp/receive.h"

#include "input.h"

namespace ashlar::fuzz {
namespace {

using Bytes = std::vector<std::byte>;

struct Pdu {
  Bytes header;
  Bytes data;
  bool ended = false;
  bool digest_ok = true;
  bool operator==(const Pdu&) const = default;
};

struct Outcome {
  std::vector<Pdu> pdus;
  bool violated = false;
  tcp::FatalErrorStatus status{};
  uint32_t fei = 0;
  Bytes quoted;
  bool operator==(const Outcome&) const = default;
};

struct Settled {
  tcp::Role role;
  uint8_t dgst_asked;
  tcp::Framing framing;
};

void check_promises(const tcp::PduReceiver& receiver, const Settled& settled) {
  const tcp::PduShape& shape = receiver.shape();
  const auto header = receiver.header_bytes();
  tcp::CommonHeader ch;
  std::memcpy(&ch, header.data(), sizeof ch);
  CHECK(header.size() == ch.hlen && tcp::receives(settled.role, ch.type));
  CHECK(shape.header_bytes == ch.hlen + ((ch.flags & tcp::flag_hdgst) != 0 ? 4u : 0u));
  const uint64_t whole = uint64_t{shape.header_bytes} + shape.padding_bytes + shape.data_bytes +
                         (shape.data_digest ? 4 : 0);
  CHECK(whole == ch.plen);
  if (shape.type == tcp::PduType::h2c_data) {
    const tcp::H2CData& pdu = receiver.h2c_data();
    CHECK(pdu.datal == shape.data_bytes && pdu.datal <= settled.framing.maxh2cdata);
    CHECK(uint64_t{pdu.datao} + pdu.datal <= UINT32_MAX);
  } else if (shape.type == tcp::PduType::c2h_data) {
    const tcp::C2HData& pdu = receiver.c2h_data();
    CHECK(pdu.datal == shape.data_bytes);
    CHECK(uint64_t{pdu.datao} + pdu.datal <= UINT32_MAX);
  } else if (shape.type == tcp::PduType::r2t) {
    CHECK(uint64_t{receiver.r2t().r2to} + receiver.r2t().r2tl <= UINT32_MAX);
  } else if (shape.type == tcp::PduType::capsule_cmd) {
    CHECK(shape.data_bytes <= settled.framing.max_in_capsule_bytes);
  }
}

// One piece of the stream; false when it ended with a violation.
bool feed(tcp::PduReceiver& receiver, std::span<const std::byte> input, const Settled& settled,
          Outcome& outcome) {
  for (;;) {
    const tcp::Step step = receiver.next(input);
    CHECK(step.consumed <= input.size());
    input = input.subspan(step.consumed);
    switch (step.kind) {
      case tcp::Step::Kind::need_more:
        CHECK(input.empty() && receiver.bytes_wanted() > 0);
        return true;
      case tcp::Step::Kind::header: {
        check_promises(receiver, settled);
        const auto header = receiver.header_bytes();
        outcome.pdus.push_back({Bytes(header.begin(), header.end()), {}, false, true});
        const tcp::PduType type = receiver.shape().type;
        if (type == tcp::PduType::ic_req || type == tcp::PduType::ic_resp) {
          receiver.negotiated(settled.framing);
        }
        break;
      }
      case tcp::Step::Kind::data: {
        Pdu& pdu = outcome.pdus.back();
        CHECK(step.data_offset == pdu.data.size() && !step.data.empty());
        pdu.data.insert(pdu.data.end(), step.data.begin(), step.data.end());
        CHECK(pdu.data.size() <= receiver.shape().data_bytes);
        break;
      }
      case tcp::Step::Kind::end:
        outcome.pdus.back().ended = true;
        outcome.pdus.back().digest_ok = step.data_digest_ok;
        CHECK(outcome.pdus.back().data.size() == receiver.shape().data_bytes);
        break;
      case tcp::Step::Kind::violation: {
        const auto quoted = receiver.header_bytes();
        outcome.violated = true;
        outcome.status = step.violation.status;
        outcome.fei = step.violation.fei;
        outcome.quoted.assign(quoted.begin(), quoted.end());
        // What we would say about it fits, whatever it was.
        std::byte term[tcp::max_term_req_bytes];
        CHECK(tcp::encode_term_req(term, settled.role, step.violation, quoted) <= sizeof term);
        return false;
      }
    }
  }
}

Outcome receive(std::span<const std::byte> stream, std::span<const std::byte> cuts,
                const Settled& settled) {
  tcp::PduReceiver receiver(settled.role, settled.dgst_asked);
  Outcome outcome;
  size_t cut = 0;
  while (!stream.empty()) {
    size_t length = stream.size();
    if (!cuts.empty()) length = std::to_integer<size_t>(cuts[cut++ % cuts.size()]) + 1;
    const auto piece = stream.first(std::min(length, stream.size()));
    // Memory of exactly that length: a byte read too far is seen.
    const Bytes copy(piece.begin(), piece.end());
    if (!feed(receiver, copy, settled, outcome)) break;
    stream = stream.subspan(piece.size());
  }
  return outcome;
}

// A stream whose digests are right: PDU by PDU as their own lengths say, as far as that goes.
void repair_digests(Bytes& stream, const tcp::Framing& framing) {
  for (size_t at = 0; at + sizeof(tcp::CommonHeader) <= stream.size();) {
    tcp::CommonHeader ch;
    std::memcpy(&ch, stream.data() + at, sizeof ch);
    if (ch.plen < sizeof ch || ch.plen > stream.size() - at) return;
    const std::span<std::byte> pdu = std::span(stream).subspan(at, ch.plen);
    if (framing.hdgst && (ch.flags & tcp::flag_hdgst) != 0 && ch.hlen + 4u <= pdu.size()) {
      const uint32_t digest = crc32c(pdu.first(ch.hlen));
      std::memcpy(pdu.data() + ch.hlen, &digest, sizeof digest);
    }
    if (framing.ddgst && (ch.flags & tcp::flag_ddgst) != 0 && ch.pdo + 4u <= pdu.size()) {
      const uint32_t digest = tcp::data_digest(pdu.subspan(ch.pdo, pdu.size() - ch.pdo - 4));
      std::memcpy(pdu.data() + pdu.size() - 4, &digest, sizeof digest);
    }
    at += ch.plen;
  }
}

void run(Input input) {
  const uint8_t way = input.u8();
  Settled settled;
  settled.role = (way & 1) != 0 ? tcp::Role::host : tcp::Role::controller;
  settled.framing.hdgst = (way & 2) != 0;
  settled.framing.ddgst = (way & 4) != 0;
  settled.dgst_asked = static_cast<uint8_t>(way >> 1 & 3);
  settled.framing.cpda_bytes = settled.framing.hpda_bytes =
      tcp::alignment_bytes(static_cast<uint8_t>(input.below(tcp::max_pda_0based + 1)));
  const auto cuts = input.bytes(input.below(8) + 1);
  Bytes stream;
  if ((way & 8) != 0) {  // The exchange is behind us.
    stream.resize(128);
    if (settled.role == tcp::Role::controller) {
      tcp::encode_ic_req(stream, 0, settled.dgst_asked, 0);
    } else {
      tcp::encode_ic_resp(stream, 0, settled.dgst_asked, tcp::min_maxh2cdata);
    }
  }
  const auto rest = input.rest();
  stream.insert(stream.end(), rest.begin(), rest.end());
  if ((way & 16) != 0) repair_digests(stream, settled.framing);
  const Outcome whole = receive(stream, {}, settled);
  CHECK(whole == receive(stream, cuts, settled));
  const std::byte single[] = {std::byte{0}};
  CHECK(whole == receive(stream, single, settled));
}

}  // namespace
}  // namespace ashlar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ashlar::fuzz::run({bytes, size});
  return 0;
}
