// PduReceiver: the same stream in one piece, byte by byte and in random pieces gives the same
// steps; each wrong PDU ends it with the right word.
#include "tcp/receive.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../test.h"

using namespace ashlar;
using namespace ashlar::tcp;

namespace {

using Bytes = std::vector<std::byte>;

struct Sender {
  Framing framing;
  Bytes stream;
  std::array<std::byte, max_header_bytes> out{};

  void header(uint32_t written) { stream.insert(stream.end(), out.begin(), out.begin() + written); }
  void data(const Bytes& bytes) {
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    if (!framing.ddgst) return;
    const uint32_t digest = data_digest(bytes);
    const auto* raw = reinterpret_cast<const std::byte*>(&digest);
    stream.insert(stream.end(), raw, raw + 4);
  }
};

Bytes pattern(size_t length, unsigned seed) {
  Bytes bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i * 7 + seed);
  return bytes;
}

// Everything that a controller's receiver says of the stream, as one text, given piece by piece.
struct Listener {
  PduReceiver receiver{Role::controller};
  Framing to_negotiate;
  std::string said;
  Bytes data;
  bool ended = false;

  void take(std::span<const std::byte> input) {
    while (!ended) {
      const Step step = receiver.next(input);
      input = input.subspan(step.consumed);
      switch (step.kind) {
        case Step::Kind::need_more: REQUIRE(input.empty()); return;
        case Step::Kind::header:
          said += "header " + std::to_string(static_cast<int>(receiver.shape().type)) + "\n";
          data.clear();
          if (receiver.shape().type == PduType::ic_req) receiver.negotiated(to_negotiate);
          break;
        case Step::Kind::data:
          REQUIRE(step.data_offset == data.size());
          data.insert(data.end(), step.data.begin(), step.data.end());
          break;
        case Step::Kind::end:
          said += "end " + std::to_string(data.size()) + " " + std::to_string(data_digest(data)) +
                  (step.data_digest_ok ? " good\n" : " damaged\n");
          break;
        case Step::Kind::violation:
          said += "violation " + std::to_string(static_cast<int>(step.violation.status)) + " " +
                  std::to_string(step.violation.fei) + "\n";
          ended = true;
          break;
      }
    }
  }
};

Sender conversation(const Framing& framing) {
  Sender sender;
  sender.header(encode_ic_req(sender.out, 0, 3, 0));
  sender.framing = framing;
  nvme::Sqe sqe{};
  sender.header(encode_capsule_cmd(sender.out, framing, sqe, 0));
  sender.header(encode_capsule_cmd(sender.out, framing, sqe, 4096));
  sender.data(pattern(4096, 1));
  sender.header(encode_h2c_data(sender.out, framing, 0, 0, 0, 1, false));
  sender.data(pattern(1, 2));
  sender.header(encode_h2c_data(sender.out, framing, 0, 0, 4, 65536, true));
  sender.data(pattern(65536, 3));
  sender.header(encode_capsule_cmd(sender.out, framing, sqe, 0));
  return sender;
}

}  // namespace

TEST_CASE("receiver: a stream in any pieces gives the same steps, with all digests and paddings") {
  const char* asked = std::getenv("ASHLAR_TEST_SEED");
  const unsigned seed = asked != nullptr ? static_cast<unsigned>(std::atoi(asked)) : 20261123u;
  MESSAGE("ASHLAR_TEST_SEED=", seed);
  std::mt19937 random(seed);
  for (const bool hdgst : {false, true}) {
    for (const bool ddgst : {false, true}) {
      for (const uint8_t cpda : {uint8_t{0}, uint8_t{3}, uint8_t{31}}) {
        Framing framing;
        framing.hdgst = hdgst;
        framing.ddgst = ddgst;
        framing.cpda_bytes = alignment_bytes(cpda);
        framing.maxh2cdata = 65536;
        const Sender sender = conversation(framing);
        Listener whole;
        whole.to_negotiate = framing;
        whole.take(sender.stream);
        CHECK(whole.receiver.between_pdus());
        CHECK(whole.said.find("header 4\nend 4096 ") != std::string::npos);
        CHECK(whole.said.find("damaged") == std::string::npos);
        CHECK(whole.said.find("violation") == std::string::npos);
        for (int round = 0; round < 4; ++round) {
          Listener pieces;
          pieces.to_negotiate = framing;
          size_t at = 0;
          while (at < sender.stream.size()) {
            const size_t most =
                round == 0 ? 1 : std::min<size_t>(1 + random() % 200, sender.stream.size() - at);
            pieces.take(std::span(sender.stream).subspan(at, most));
            at += most;
          }
          CHECK(pieces.said == whole.said);
        }
      }
    }
  }
}

TEST_CASE("receiver: no byte before the last makes a step, and bytes_wanted never overshoots") {
  Framing framing;
  framing.hdgst = framing.ddgst = true;
  framing.cpda_bytes = 64;
  framing.maxh2cdata = 65536;
  const Sender sender = conversation(framing);
  Listener listener;
  listener.to_negotiate = framing;
  size_t at = 0;
  while (at < sender.stream.size()) {
    const uint32_t wanted = listener.receiver.bytes_wanted();
    REQUIRE(wanted > 0);
    REQUIRE(wanted <= sender.stream.size() - at);
    listener.take(std::span(sender.stream).subspan(at, wanted));
    at += wanted;
  }
  CHECK(listener.receiver.between_pdus());
}

TEST_CASE("receiver: data that was received in its place is not copied") {
  Sender sender;
  sender.header(encode_ic_req(sender.out, 0, 0, 0));
  sender.framing.maxh2cdata = 65536;
  sender.header(encode_h2c_data(sender.out, sender.framing, 0, 0, 0, 65536, true));
  PduReceiver receiver(Role::controller);
  Step step = receiver.next(sender.stream);
  CHECK(step.kind == Step::Kind::header);
  receiver.negotiated(sender.framing);
  CHECK(receiver.data_remaining() == 0);
  step = receiver.next(std::span(sender.stream).subspan(step.consumed));
  CHECK(step.kind == Step::Kind::header);
  CHECK(receiver.data_remaining() == 65536);
  Bytes place = pattern(65536, 9);
  step = receiver.next(place);
  CHECK(step.kind == Step::Kind::data);
  CHECK(step.data.data() == place.data());
  CHECK(step.consumed == 65536);
  CHECK(receiver.data_remaining() == 0);
  CHECK(receiver.next({}).kind == Step::Kind::end);
  CHECK(receiver.next({}).kind == Step::Kind::need_more);
  CHECK(receiver.between_pdus());
}

TEST_CASE("receiver: data that is all there is handed out at once, if its digest is right") {
  for (const bool ddgst : {false, true}) {
    Sender sender;
    sender.header(encode_ic_req(sender.out, 0, ddgst ? digest_data : 0, 0));
    sender.framing.ddgst = ddgst;
    const Bytes data = pattern(4096, 3);
    sender.header(encode_capsule_cmd(sender.out, sender.framing, nvme::Sqe{}, 4096));
    sender.data(data);
    const size_t tail = 4096 + (ddgst ? 4 : 0);
    const auto at_data = [&](PduReceiver& receiver) {
      const Step ic = receiver.next(sender.stream);
      receiver.negotiated(sender.framing);
      const Step header = receiver.next(std::span(sender.stream).subspan(ic.consumed));
      REQUIRE(header.kind == Step::Kind::header);
      return ic.consumed + header.consumed;
    };
    PduReceiver receiver(Role::controller);
    const size_t at = at_data(receiver);
    const std::span<const std::byte> rest = std::span(sender.stream).subspan(at);
    REQUIRE(rest.size() == tail);
    CHECK(receiver.whole_data(rest.first(tail - 1)).empty());
    const auto whole = receiver.whole_data(rest);
    CHECK(whole.data() == rest.data());
    CHECK(whole.size() == 4096);
    CHECK(receiver.data_remaining() == 4096);  // Until they are skipped.
    CHECK(receiver.skip_whole_data() == tail);
    CHECK(receiver.next({}).kind == Step::Kind::need_more);
    CHECK(receiver.between_pdus());
    if (!ddgst) continue;
    sender.stream.back() ^= std::byte{1};
    PduReceiver doubting(Role::controller);
    CHECK(doubting.whole_data(std::span(sender.stream).subspan(at_data(doubting))).empty());
    CHECK(doubting.next(rest).kind == Step::Kind::data);
    CHECK(doubting.whole_data(rest).empty());  // Some of it has been seen.
    const Step end = doubting.next(rest.subspan(4096));
    CHECK(end.kind == Step::Kind::end);
    CHECK_FALSE(end.data_digest_ok);
  }
}

TEST_CASE("receiver: one flipped bit of data is reported and the stream goes on") {
  Framing framing;
  framing.ddgst = true;
  framing.maxh2cdata = 65536;
  Sender sender = conversation(framing);
  sender.stream[128 + 72 + 72 + 100] ^= std::byte{0x10};  // In the capsule's data.
  Listener listener;
  listener.to_negotiate = framing;
  listener.take(sender.stream);
  CHECK(listener.said.find(" damaged") != std::string::npos);
  CHECK(listener.said.find("violation") == std::string::npos);
  CHECK(listener.receiver.between_pdus());
}

TEST_CASE("receiver: one flipped bit of a header is a header digest error with the digest as FEI") {
  Framing framing;
  framing.hdgst = true;
  Sender sender;
  sender.header(encode_ic_req(sender.out, 0, 1, 0));
  sender.header(encode_capsule_cmd(sender.out, framing, nvme::Sqe{}, 0));
  uint32_t digest;
  std::memcpy(&digest, sender.stream.data() + 128 + 72, 4);
  sender.stream[128 + 40] ^= std::byte{1};
  Listener listener;
  listener.to_negotiate = framing;
  listener.take(sender.stream);
  CHECK(listener.said == "header 0\nviolation 3 " + std::to_string(digest) + "\n");
  CHECK(listener.receiver.header_bytes().size() == 76);
}

TEST_CASE("receiver: the exchange comes first and once") {
  SUBCASE("a command before ICReq") {
    Sender sender;
    Framing with_digest;
    with_digest.hdgst = true;  // The order is judged before flags that have no meaning yet.
    sender.header(encode_capsule_cmd(sender.out, with_digest, nvme::Sqe{}, 0));
    Listener listener;
    listener.take(sender.stream);
    CHECK(listener.said == "violation 2 0\n");
  }
  SUBCASE("a second ICReq") {
    Sender sender;
    sender.header(encode_ic_req(sender.out, 0, 0, 0));
    sender.header(encode_ic_req(sender.out, 0, 0, 0));
    Listener listener;
    listener.take(sender.stream);
    CHECK(listener.said == "header 0\nviolation 2 0\n");
  }
  SUBCASE("a PDU for the other side is a wrong type, at any time") {
    Sender sender;
    sender.header(encode_ic_resp(sender.out, 0, 0, 4096));
    Listener listener;
    listener.take(sender.stream);
    CHECK(listener.said == "violation 1 0\n");
  }
  SUBCASE("a TermReq may come at any time") {
    Sender sender;
    sender.header(encode_term_req(sender.out, Role::host,
                                  {FatalErrorStatus::unsupported_parameter, 8}, pattern(9, 0)));
    Listener listener;
    listener.take(sender.stream);
    CHECK(listener.said.find("header 2\nend 9 ") == 0);
  }
}

TEST_CASE("receiver: a violation keeps the bytes that a TermReq quotes") {
  Bytes stream(8);
  stream[0] = std::byte{0x55};
  Listener listener;
  listener.take(stream);
  CHECK(listener.said == "violation 1 0\n");
  const auto quoted = listener.receiver.header_bytes();
  REQUIRE(quoted.size() == 8);
  CHECK(quoted[0] == std::byte{0x55});
}

TEST_CASE("receiver: random bytes never get past a violation or out of bounds") {
  const char* asked = std::getenv("ASHLAR_TEST_SEED");
  const unsigned seed = asked != nullptr ? static_cast<unsigned>(std::atoi(asked)) : 4420u;
  MESSAGE("ASHLAR_TEST_SEED=", seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    PduReceiver receiver(round % 2 == 0 ? Role::controller : Role::host, 3);
    Bytes stream(1 + random() % 300);
    for (std::byte& byte : stream) byte = static_cast<std::byte>(random());
    // Most streams begin well enough to get somewhere.
    if (round % 4 != 3) {
      std::array<std::byte, max_header_bytes> out{};
      const uint32_t written =
          round % 2 == 0 ? encode_ic_req(out, 0, 3, 0) : encode_ic_resp(out, 0, 3, 8192);
      stream.insert(stream.begin(), out.begin(), out.begin() + written);
      if (random() % 2 == 0) stream[random() % stream.size()] = static_cast<std::byte>(random());
      for (size_t at = 128; at + 3 < stream.size(); at += 24) {
        stream[at] = static_cast<std::byte>(random() % 10);
        stream[at + 2] = static_cast<std::byte>(random() % 2 == 0 ? 24 : 72);
      }
    }
    std::span<const std::byte> input(stream);
    for (bool go_on = true; go_on;) {
      const Step step = receiver.next(input);
      REQUIRE(step.consumed <= input.size());
      input = input.subspan(step.consumed);
      if (step.kind == Step::Kind::header &&
          (receiver.shape().type == PduType::ic_req || receiver.shape().type == PduType::ic_resp)) {
        Framing framing;
        framing.hdgst = random() % 4 == 0;
        framing.ddgst = random() % 4 == 0;
        receiver.negotiated(framing);
      }
      if (step.kind == Step::Kind::data) {
        REQUIRE(step.data_offset + step.data.size() <= receiver.shape().data_bytes);
      }
      go_on = step.kind != Step::Kind::need_more && step.kind != Step::Kind::violation;
    }
  }
}
