// The decoders by table: for each PDU type, both ends of every length and offset, each flag, and
// which byte the violation names. The encoders by what the decoders say of them.
#include "tcp/codec.h"

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "../test.h"

using namespace ashlar;
using namespace ashlar::tcp;

namespace {

using Bytes = std::vector<std::byte>;

template <class T>
Bytes bytes_of(const T& value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

Bytes common(PduType type, uint8_t flags, uint8_t hlen, uint8_t pdo, uint32_t plen) {
  return bytes_of(CommonHeader{static_cast<uint8_t>(type), flags, hlen, pdo, plen});
}

// The FEI of the violation, or nothing when the header was let through.
std::optional<uint32_t> judged(Role role, const Framing& framing, const Bytes& header) {
  const auto shape = decode_common_header(header, role, framing);
  if (shape.ok()) return std::nullopt;
  CHECK(shape.violation().status == FatalErrorStatus::invalid_pdu_header_field);
  return shape.violation().fei;
}

constexpr uint32_t type_field = 0;
constexpr uint32_t flags_field = 1;
constexpr uint32_t hlen_field = 2;
constexpr uint32_t pdo_field = 3;
constexpr uint32_t plen_field = 4;

Framing digests(bool hdgst, bool ddgst) {
  Framing framing;
  framing.hdgst = hdgst;
  framing.ddgst = ddgst;
  return framing;
}

const std::optional<uint32_t> fine = std::nullopt;

}  // namespace

TEST_CASE("common header: a role takes its own PDU types only") {
  const Framing framing;
  for (unsigned type = 0; type < 256; ++type) {
    const bool to_controller = type == 0 || type == 2 || type == 4 || type == 6;
    const bool to_host = type == 1 || type == 3 || type == 5 || type == 7 || type == 9;
    CHECK(receives(Role::controller, static_cast<uint8_t>(type)) == to_controller);
    CHECK(receives(Role::host, static_cast<uint8_t>(type)) == to_host);
    const Bytes header = bytes_of(CommonHeader{static_cast<uint8_t>(type), 0, 255, 0, 0});
    CHECK((judged(Role::controller, framing, header) == type_field) == !to_controller);
    CHECK((judged(Role::host, framing, header) == type_field) == !to_host);
  }
}

TEST_CASE("common header: HLEN is the type's own size, one less and one more are wrong") {
  struct Row {
    Role role;
    PduType type;
    uint8_t hlen;
    uint32_t data;
  };
  const Row rows[] = {
      {Role::controller, PduType::ic_req, 128, 0},
      {Role::host, PduType::ic_resp, 128, 0},
      {Role::controller, PduType::h2c_term_req, 24, 0},
      {Role::host, PduType::c2h_term_req, 24, 0},
      {Role::controller, PduType::capsule_cmd, 72, 0},
      {Role::host, PduType::capsule_resp, 24, 0},
      {Role::controller, PduType::h2c_data, 24, 4},
      {Role::host, PduType::c2h_data, 24, 4},
      {Role::host, PduType::r2t, 24, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(static_cast<int>(row.type));
    const auto with_hlen = [&row](uint8_t hlen) {
      return judged(
          row.role, Framing{},
          common(row.type, 0, hlen, row.data != 0 ? row.hlen : uint8_t{0}, row.hlen + row.data));
    };
    CHECK(with_hlen(row.hlen) == fine);
    CHECK(with_hlen(static_cast<uint8_t>(row.hlen - 1)) == hlen_field);
    CHECK(with_hlen(static_cast<uint8_t>(row.hlen + 1)) == hlen_field);
    CHECK(with_hlen(0) == hlen_field);
    CHECK(with_hlen(255) == hlen_field);
  }
}

TEST_CASE("common header: digest flags agree with what was negotiated, in all combinations") {
  for (const bool hdgst : {false, true}) {
    for (const bool ddgst : {false, true}) {
      const Framing framing = digests(hdgst, ddgst);
      for (uint8_t flags = 0; flags < 4; ++flags) {
        const bool h = (flags & flag_hdgst) != 0;
        const bool d = (flags & flag_ddgst) != 0;
        CAPTURE(hdgst);
        CAPTURE(ddgst);
        CAPTURE(flags);
        const uint32_t header = 24 + (h ? 4 : 0);
        const Bytes data = common(PduType::h2c_data, flags, 24, static_cast<uint8_t>(header),
                                  header + 8 + (d ? 4 : 0));
        CHECK(judged(Role::controller, framing, data) ==
              (h == hdgst && d == ddgst ? fine : std::optional(flags_field)));
        // Without data there is nothing for DDGST to cover, so only a digest that was not
        // negotiated is wrong.
        const uint32_t capsule = 72 + (h ? 4 : 0);
        const Bytes command = common(PduType::capsule_cmd, flags, 72, 0, capsule);
        CHECK(judged(Role::controller, framing, command) ==
              (h == hdgst && (!d || ddgst) ? fine : std::optional(flags_field)));
        const Bytes response = common(PduType::capsule_resp, flags, 24, 0, header);
        CHECK(judged(Role::host, framing, response) ==
              (h == hdgst && !d ? fine : std::optional(flags_field)));
        // The exchange and the TermReqs carry no digest, whatever was negotiated.
        const Bytes term = common(PduType::h2c_term_req, flags, 24, 0, 24);
        CHECK(judged(Role::controller, framing, term) ==
              (flags == 0 ? fine : std::optional(flags_field)));
      }
    }
  }
}

TEST_CASE("common header: PDO lies behind the header, is aligned and inside of the PDU") {
  Framing framing;
  framing.cpda_bytes = 16;
  const auto with_pdo = [&framing](unsigned pdo, uint32_t plen) {
    return judged(Role::controller, framing,
                  common(PduType::h2c_data, 0, 24, static_cast<uint8_t>(pdo), plen));
  };
  CHECK(with_pdo(32, 36) == fine);
  CHECK(with_pdo(16, 36) == pdo_field);  // Aligned, but inside of the header.
  CHECK(with_pdo(24, 36) == pdo_field);  // Behind it, but not aligned.
  CHECK(with_pdo(0, 36) == pdo_field);
  CHECK(with_pdo(31, 36) == pdo_field);
  CHECK(with_pdo(33, 36) == pdo_field);
  CHECK(with_pdo(48, 48 + 4096) == fine);  // More padding than needed is legal.
  CHECK(with_pdo(240, 241) == fine);
  CHECK(with_pdo(32, 32) == plen_field);  // No data left.
  CHECK(with_pdo(240, 200) == plen_field);
}

TEST_CASE("common header: PLEN of a PDU without data is exactly its header") {
  for (const uint32_t plen : {0u, 71u, 72u, 73u, 0xffffffffu}) {
    CAPTURE(plen);
    // A capsule longer than its header has data, so what is wrong is where that would be.
    const auto wanted = plen == 72  ? fine
                        : plen < 72 ? std::optional(plen_field)
                                    : std::optional(pdo_field);
    CHECK(judged(Role::controller, Framing{}, common(PduType::capsule_cmd, 0, 72, 0, plen)) ==
          wanted);
  }
  for (const uint32_t plen : {0u, 23u, 24u, 25u, 28u, 0xffffffffu}) {
    CAPTURE(plen);
    const auto wanted = plen == 24 ? fine : std::optional(plen_field);
    CHECK(judged(Role::host, Framing{}, common(PduType::r2t, 0, 24, 0, plen)) == wanted);
    CHECK(judged(Role::host, Framing{}, common(PduType::capsule_resp, 0, 24, 0, plen)) == wanted);
  }
  for (const uint32_t plen : {127u, 128u, 129u}) {
    const auto wanted = plen == 128 ? fine : std::optional(plen_field);
    CHECK(judged(Role::controller, Framing{}, common(PduType::ic_req, 0, 128, 0, plen)) == wanted);
  }
}

TEST_CASE("common header: the longest data is taken and one byte more is not") {
  Framing framing = digests(true, true);
  framing.max_in_capsule_bytes = 8192;
  framing.maxh2cdata = 65536;
  framing.max_c2h_data_bytes = 1u << 20;
  const uint8_t both = flag_hdgst | flag_ddgst;
  const auto shape_of = [&framing](Role role, PduType type, uint8_t flags, uint8_t hlen,
                                   uint32_t data) {
    const auto pdo = static_cast<uint8_t>(hlen + 4);
    return decode_common_header(common(type, flags, hlen, pdo, pdo + data + 4), role, framing);
  };
  const auto capsule = shape_of(Role::controller, PduType::capsule_cmd, both, 72, 8192);
  REQUIRE(capsule.ok());
  CHECK(capsule.value().header_bytes == 76);
  CHECK(capsule.value().padding_bytes == 0);
  CHECK(capsule.value().data_bytes == 8192);
  CHECK(capsule.value().data_digest);
  CHECK(shape_of(Role::controller, PduType::capsule_cmd, both, 72, 8193).violation().fei ==
        plen_field);

  CHECK(shape_of(Role::controller, PduType::h2c_data, both, 24, 65536).ok());
  const auto too_long = shape_of(Role::controller, PduType::h2c_data, both, 24, 65537);
  CHECK(too_long.violation().status == FatalErrorStatus::data_transfer_limit_exceeded);

  CHECK(shape_of(Role::host, PduType::c2h_data, both, 24, 1u << 20).ok());
  CHECK(shape_of(Role::host, PduType::c2h_data, both, 24, (1u << 20) + 1).violation().fei ==
        plen_field);
  // The end of the 32 bits: nothing wraps.
  CHECK(judged(Role::host, framing, common(PduType::c2h_data, both, 24, 28, 0xffffffff)) ==
        plen_field);
}

TEST_CASE("common header: a TermReq quotes at most 128 bytes") {
  CHECK(judged(Role::controller, Framing{}, common(PduType::h2c_term_req, 0, 24, 0, 24)) == fine);
  CHECK(judged(Role::controller, Framing{}, common(PduType::h2c_term_req, 0, 24, 0, 152)) == fine);
  CHECK(judged(Role::controller, Framing{}, common(PduType::h2c_term_req, 0, 24, 0, 153)) ==
        plen_field);
  CHECK(judged(Role::host, Framing{}, common(PduType::c2h_term_req, 0, 24, 0, 23)) == plen_field);
}

TEST_CASE("ICReq: version and alignment are judged, the rest is let through") {
  const auto with = [](uint16_t pfv, uint8_t hpda) {
    IcReq pdu{};
    pdu.ch = {0, 0, 128, 0, 128};
    pdu.pfv = pfv;
    pdu.hpda_0based = hpda;
    pdu.dgst = 0xff;
    pdu.maxr2t_0based = 0xffffffff;
    return decode_ic_req(bytes_of(pdu));
  };
  CHECK(with(0, 0).ok());
  CHECK(with(0, 31).ok());
  CHECK(with(0, 32).violation().fei == 10);
  CHECK(with(0, 255).violation().fei == 10);
  CHECK(with(1, 0).violation().status == FatalErrorStatus::unsupported_parameter);
  CHECK(with(1, 0).violation().fei == 8);
}

TEST_CASE("ICResp: only digests that were asked for, MAXH2CDATA of 4096 or more in dwords") {
  const auto with = [](uint8_t cpda, uint8_t dgst, uint32_t maxh2cdata, uint8_t asked) {
    IcResp pdu{};
    pdu.cpda_0based = cpda;
    pdu.dgst = dgst;
    pdu.maxh2cdata = maxh2cdata;
    return decode_ic_resp(bytes_of(pdu), asked);
  };
  CHECK(with(0, 0, 4096, 0).ok());
  CHECK(with(31, 3, 0xfffffffc, 3).ok());
  CHECK(with(32, 0, 4096, 0).violation().fei == 10);
  CHECK(with(0, 1, 4096, 0).violation().fei == 11);
  CHECK(with(0, 2, 4096, 1).violation().fei == 11);
  CHECK(with(0, 0, 4095, 0).violation().fei == 12);
  CHECK(with(0, 0, 4098, 0).violation().fei == 12);
  CHECK(with(0, 0, 0, 0).violation().fei == 12);
}

TEST_CASE("H2CData: DATAO is aligned, DATAL is what PLEN leaves, their sum does not wrap") {
  Framing framing;
  framing.maxh2cdata = 65536;
  const auto with = [&framing](uint32_t datao, uint32_t datal, uint32_t plen) {
    H2CData pdu{};
    pdu.ch = {6, flag_last, 24, 24, plen};
    pdu.datao = datao;
    pdu.datal = datal;
    return decode_h2c_data(bytes_of(pdu), framing);
  };
  CHECK(with(0, 4096, 24 + 4096).ok());
  CHECK(with(4096, 4, 28).ok());
  CHECK(with(2, 4096, 24 + 4096).violation().fei == 12);
  CHECK(with(0, 4095, 24 + 4096).violation().fei == 16);
  CHECK(with(0, 4097, 24 + 4096).violation().fei == 16);
  CHECK(with(0, 0, 24 + 4096).violation().fei == 16);
  CHECK(with(0xfffffffc, 3, 27).ok());
  CHECK(with(0xfffffffc, 4, 28).violation().status == FatalErrorStatus::data_transfer_out_of_range);
}

TEST_CASE("C2HData: SUCCESS without LAST_PDU is wrong") {
  const auto with = [](uint8_t flags) {
    C2HData pdu{};
    pdu.ch = {7, flags, 24, 24, 28};
    pdu.datal = 4;
    return decode_c2h_data(bytes_of(pdu), Framing{});
  };
  CHECK(with(0).ok());
  CHECK(with(flag_last).ok());
  CHECK(with(flag_last | flag_success).ok());
  CHECK(with(flag_success).violation().fei == flags_field);
}

TEST_CASE("R2T: R2TO is aligned, R2TL is not zero, their sum does not wrap") {
  const auto with = [](uint32_t r2to, uint32_t r2tl) {
    R2T pdu{};
    pdu.ch = {9, 0, 24, 0, 24};
    pdu.r2to = r2to;
    pdu.r2tl = r2tl;
    return decode_r2t(bytes_of(pdu), Framing{});
  };
  CHECK(with(0, 1).ok());
  CHECK(with(4096, 0xffffffff - 4096).ok());
  CHECK(with(3, 4).violation().fei == 12);
  CHECK(with(0, 0).violation().fei == 16);
  CHECK(with(4, 0xfffffffc).violation().status == FatalErrorStatus::data_transfer_out_of_range);
}

TEST_CASE("encoders: what they write, the decoders take, with every digest and alignment") {
  std::array<std::byte, max_header_bytes> out{};
  for (const bool hdgst : {false, true}) {
    for (const bool ddgst : {false, true}) {
      for (uint8_t pda = 0; pda <= max_pda_0based; ++pda) {
        Framing framing = digests(hdgst, ddgst);
        framing.cpda_bytes = framing.hpda_bytes = alignment_bytes(pda);
        framing.maxh2cdata = 1u << 20;
        const auto check = [&](Role role, uint32_t written, uint32_t hlen, uint32_t data) {
          const auto header = std::span<const std::byte>(out);
          const auto shape = decode_common_header(header.first(8), role, framing);
          REQUIRE(shape.ok());
          CHECK(shape.value().data_bytes == data);
          CHECK(shape.value().data_digest == (ddgst && data != 0));
          CHECK(shape.value().header_bytes + shape.value().padding_bytes == written);
          if (hdgst) {
            uint32_t digest;
            std::memcpy(&digest, out.data() + hlen, 4);
            CHECK(header_digest_matches(header.first(hlen), digest));
            CHECK(!header_digest_matches(header.first(hlen), digest ^ 0x80000000));
          }
          if (data != 0) CHECK(written % alignment_bytes(pda) == 0);
        };
        const auto head = [&out](size_t bytes) {
          return std::span<const std::byte>(out).first(bytes);
        };
        nvme::Sqe sqe{};
        sqe.opcode = 1;
        check(Role::controller, encode_capsule_cmd(out, framing, sqe, 0), 72, 0);
        check(Role::controller, encode_capsule_cmd(out, framing, sqe, 8192), 72, 8192);
        CHECK(decode_capsule_cmd(head(72), framing).value().sqe.opcode == 1);
        nvme::Cqe cqe{};
        cqe.cid = 77;
        check(Role::host, encode_capsule_resp(out, framing, cqe), 24, 0);
        CHECK(decode_capsule_resp(head(24), framing).value().cqe.cid == 77);
        check(Role::controller, encode_h2c_data(out, framing, 1, 2, 4096, 65536, true), 24, 65536);
        const auto h2c = decode_h2c_data(head(24), framing).value();
        CHECK(h2c.cccid == 1);
        CHECK(h2c.ttag == 2);
        CHECK(h2c.datao == 4096);
        CHECK((h2c.ch.flags & flag_last) != 0);
        check(Role::host, encode_c2h_data(out, framing, 3, 0, 4, true, true), 24, 4);
        const auto c2h = decode_c2h_data(head(24), framing).value();
        CHECK(c2h.cccid == 3);
        CHECK((c2h.ch.flags & flag_success) != 0);
        check(Role::host, encode_r2t(out, framing, 5, 6, 8192, 4096), 24, 0);
        const auto r2t = decode_r2t(head(24), framing).value();
        CHECK(r2t.ttag == 6);
        CHECK(r2t.r2to == 8192);
        CHECK(r2t.r2tl == 4096);
      }
    }
  }
}

TEST_CASE("encoders: the exchange carries what each side offers") {
  std::array<std::byte, max_header_bytes> out{};
  const auto header = std::span<const std::byte>(out).first(128);
  CHECK(encode_ic_req(out, 31, 3, 7) == 128);
  CHECK(decode_common_header(header.first(8), Role::controller, Framing{}).ok());
  const IcReq request = decode_ic_req(header).value();
  CHECK(request.hpda_0based == 31);
  CHECK(request.dgst == 3);
  CHECK(request.maxr2t_0based == 7);
  CHECK(encode_ic_resp(out, 1, 2, 131072) == 128);
  CHECK(decode_common_header(header.first(8), Role::host, Framing{}).ok());
  const IcResp response = decode_ic_resp(header, 3).value();
  CHECK(response.cpda_0based == 1);
  CHECK(response.dgst == 2);
  CHECK(response.maxh2cdata == 131072);
}

TEST_CASE("encoders: a TermReq quotes the header and gives FEI only where it means something") {
  std::array<std::byte, max_header_bytes> out{};
  const Bytes offending(200, std::byte{0xab});
  const auto header = std::span<const std::byte>(out);
  CHECK(encode_term_req(out, Role::controller, {FatalErrorStatus::invalid_pdu_header_field, 3},
                        offending) == 152);
  CHECK(decode_common_header(header.first(8), Role::host, Framing{}).value().data_bytes == 128);
  TermReq term = decode_c2h_term_req(header.first(24)).value();
  CHECK(term.fes == 1);
  CHECK(term_req_fei(term) == 3);
  CHECK(out[24] == std::byte{0xab});
  CHECK(out[151] == std::byte{0xab});

  CHECK(encode_term_req(out, Role::host, {FatalErrorStatus::pdu_sequence_error, 9}, {}) == 24);
  CHECK(decode_common_header(header.first(8), Role::controller, Framing{}).ok());
  term = decode_h2c_term_req(header.first(24)).value();
  CHECK(term.fes == 2);
  CHECK(term_req_fei(term) == 0);
}
