// From traffic secrets to the keys of records, with the trace of RFC 8448, section 3.
#include "tls/record_keys.h"

#include "records.h"

#include "../test.h"

namespace ashlar::tls::rig {
namespace {

Bytes bytes_of(std::string_view digits) {
  TrafficSecret piece;
  Bytes bytes;
  for (; !digits.empty(); digits.remove_prefix(2)) {
    REQUIRE(piece.set(digits.substr(0, 2)));
    bytes.push_back(piece.bytes()[0]);
  }
  return bytes;
}

struct Trace {
  std::string_view secret;
  std::string_view key;
  std::string_view iv;
};
constexpr Trace host{"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
                     "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"};
constexpr Trace controller{"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
                           "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"};

TEST_CASE("tls record keys: the secrets of RFC 8448: its keys and IVs") {
  for (const Trace& trace : {host, controller}) {
    TrafficSecret secret;
    REQUIRE(secret.set(trace.secret));
    TlsRecordKeys keys;
    REQUIRE(derive_record_keys(PskHash::sha256, secret.bytes(), 7, keys));
    CHECK_EQ(keys.key_bytes, 16);
    CHECK_EQ(Bytes(keys.key.begin(), keys.key.begin() + 16), bytes_of(trace.key));
    CHECK_EQ(Bytes(keys.iv.begin(), keys.iv.end()), bytes_of(trace.iv));
    CHECK_EQ(keys.sequence, 7);
  }
}

// It proves the cipher of these tests as well, by which the fake kernel is judged.
TEST_CASE("tls record keys: the first record of RFC 8448 opens, and is what they seal") {
  const Bytes record = bytes_of(
      "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a"
      "20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4");
  TrafficSecret secret;
  REQUIRE(secret.set(host.secret));
  TlsRecordKeys keys;
  REQUIRE(derive_record_keys(PskHash::sha256, secret.bytes(), 0, keys));
  Bytes content(50);
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i);
  const auto opened = RecordCipher(keys).open(record);
  REQUIRE(opened.has_value());
  CHECK_EQ(opened->type, type_content);
  CHECK_EQ(opened->content, content);
  CHECK_EQ(RecordCipher(keys).seal(type_content, content), record);
}

TEST_CASE("tls record keys: a secret that is no hexadecimal or of another length: refused, wiped") {
  TrafficSecret secret;
  const std::string long_one(98, 'a');
  for (const std::string_view bad : {std::string_view("abc"), std::string_view("zz"),
                                     std::string_view("0g"), std::string_view(long_one)}) {
    REQUIRE(secret.set(host.secret));
    CHECK_FALSE(secret.set(bad));
    CHECK(secret.bytes().empty());
  }
  TlsRecordKeys keys;
  REQUIRE(secret.set(host.secret));
  CHECK_FALSE(derive_record_keys(PskHash::sha384, secret.bytes(), 0, keys));
  secret.clear();
  CHECK_FALSE(derive_record_keys(PskHash::sha256, secret.bytes(), 0, keys));
}

TEST_CASE("tls record cut: two records in every two pieces: never a byte beyond the first") {
  Bytes records = bytes_of("1403030001011703030003aabbcc");
  for (size_t split = 0; split <= 6; ++split) {
    RecordCut cut;
    cut.take(std::span(records).first(split));
    size_t at = split;
    while (at < 6) {
      const size_t wanted = cut.wanted();
      REQUIRE_LE(at + wanted, 6);
      cut.take(std::span(records).subspan(at, wanted));
      at += wanted;
    }
    CHECK_EQ(cut.wanted(), 5);
  }
}

}  // namespace
}  // namespace ashlar::tls::rig
