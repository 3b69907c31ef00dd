// The parts of the store by themselves: codecs, allocator, journal, tables.
#include <cstring>
#include <set>

#include "base/bytes.h"
#include "sim/sim_random.h"
#include "store/allocator.h"
#include "store/catalog.h"
#include "store/journal.h"
#include "store/open_chunks.h"
#include "store/records.h"
#include "store/space.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;

namespace {

struct Trees {
  Epochs epochs{1};
  Pages pages{epochs, 1 << 20};
  PageTree bitmap{pages, TreeKind::bitmap, 0};
  PageTree catalog{pages, TreeKind::catalog, 0};
  PageTree space{pages, TreeKind::space, 0};
};

}  // namespace

TEST_CASE("map entry: packs and unpacks every field; a block is never both held and zero") {
  const MapEntry entry{0xdeadbeef, 0x1234, 0x0040};
  CHECK(entry.pack() == 0x00401234deadbeefull);
  CHECK(MapEntry::unpack(entry.pack()).pack() == entry.pack());
  CHECK(entry.valid());
  CHECK(!MapEntry{1, 3, 2}.valid());
  CHECK(!MapEntry{0, 1, 0}.valid());
  CHECK(block_mask(0, 16) == 0xffff);
  CHECK(block_mask(3, 5) == 0x18);
}

TEST_CASE("page reference: the last page of 256 TiB and its CRC fit") {
  const PageRef ref = PageRef::make((1ull << 36) - 1, 0xffffffff);
  CHECK(ref.page() == (1ull << 36) - 1);
  CHECK(ref.crc() == PageRef::crc_mask);
  CHECK((ref.word & 1) == 1);
}

TEST_CASE("page: any flipped bit is found") {
  std::vector<std::byte> page(4096);
  write_at<uint64_t>(page, 100 * 8, 0x55);
  const PageIdentity identity{TreeKind::map, 1, 7, 9};
  const Uuid pool{};
  const uint32_t crc = seal_page(page, pool, identity, 77, 3);
  CHECK(verify_page(page, pool, identity, PageRef::make(77, crc)) == "");
  CHECK(verify_page(page, pool, identity, PageRef::make(78, crc)) != "");
  CHECK(verify_page(page, pool, identity, PageRef::make(77, crc ^ 1)) != "");
  CHECK(verify_page(page, pool, {TreeKind::map, 1, 7, 10}, PageRef::make(77, crc)) != "");
  for (size_t bit = 0; bit < 4096 * 8; bit += 7) {
    page[bit / 8] ^= std::byte(1 << bit % 8);
    CHECK(verify_page(page, pool, identity, PageRef::make(77, crc)) != "");
    page[bit / 8] ^= std::byte(1 << bit % 8);
  }
}

TEST_CASE("records: every kind survives encoding; a cut one is refused") {
  std::vector<std::byte> bytes;
  const std::vector<std::byte> value(13, std::byte{9});
  CreateLayer body;
  body.size_bytes = 4096;
  encode_record(bytes, {RecordKind::map_entry, 1, 2, 3, {}});
  encode_record(bytes, {RecordKind::put_record, 0, 5, value.size(), value});
  encode_record(bytes, {RecordKind::create_layer, 4, 0, 40, std::as_bytes(std::span(&body, 1))});
  encode_record(bytes, {RecordKind::delete_record, 0, 6, 0, {}});
  std::span<const std::byte> left = bytes;
  CHECK(decode_record(left)->c == 3);
  const auto put = decode_record(left);
  CHECK(put->payload.size() == 13);
  CHECK(put->payload[12] == std::byte{9});
  CHECK(read_at<CreateLayer>(decode_record(left)->payload).size_bytes == 4096);
  CHECK(decode_record(left)->b == 6);
  CHECK(left.empty());
  for (size_t length = 0; length < 24; ++length) {
    std::span<const std::byte> cut = std::span(bytes).first(length);
    CHECK(!decode_record(cut).has_value());
  }
  std::span<const std::byte> cut_payload = std::span(bytes).subspan(24, 32);
  CHECK(!decode_record(cut_payload).has_value());
}

TEST_CASE("journal: a commit is believed at its own sequence and position only, and whole") {
  const Journal journal(Uuid{}, 2, 1 << 20);
  sim::SimRandom random(1);
  for (const size_t size : {size_t{0}, size_t{24}, size_t{4016}, size_t{4017}, size_t{100000}}) {
    std::vector<std::byte> records(size), blocks, back;
    random.fill(records);
    journal.encode(records, 7, 300, blocks);
    CHECK(blocks.size() == Journal::blocks_for(size) * 4096);
    CHECK(journal.decode(blocks, 7, 300, back));
    CHECK(back == records);
    CHECK(!journal.decode(blocks, 8, 300, back));
    CHECK(!journal.decode(blocks, 7, 300 + 256, back));
    for (size_t sector = 0; sector < blocks.size() / 512; ++sector) {
      std::vector<std::byte> torn = blocks;
      std::memset(torn.data() + sector * 512, 0, 512);
      if (torn == blocks) continue;
      CHECK(!journal.decode(torn, 7, 300, back));
    }
  }
  CHECK(Journal::blocks_for(journal.max_record_bytes()) <= journal.ring_blocks() / 4);
}

TEST_CASE("allocator: takes each chunk once, near the wanted one; freed ones wait for their record") {
  Trees trees;
  Allocator allocator(trees.bitmap, trees.epochs);
  REQUIRE(allocator.load(10'000));
  REQUIRE(allocator.claim_first(5));
  CHECK(allocator.take(100) == 100);
  CHECK(allocator.take(100) == 101);
  CHECK(allocator.take(9'999) == 9'999);
  std::set<uint32_t> taken;
  for (uint32_t chunk = allocator.take(9'999); chunk != 0; chunk = allocator.take(chunk + 1)) {
    CHECK(taken.insert(chunk).second);
  }
  CHECK(taken.size() == 10'000 - 5 - 3);
  CHECK(allocator.free_count() == 0);
  const auto reuse = [&](uint32_t chunk) { allocator.reuse(chunk); };
  allocator.release(4'321, 8);
  CHECK(allocator.take(0) == 0);
  CHECK(allocator.settle(100, reuse) == 0);  // The epoch is not over.
  trees.epochs.try_step();
  trees.epochs.try_step();
  CHECK(allocator.settle(7, reuse) == 0);  // The record is not durable.
  CHECK(allocator.settle(8, reuse) == 1);
  CHECK(allocator.take(0) == 4'321);
}

TEST_CASE("epochs: what was retired is not reusable while a reader that entered before is inside") {
  Epochs epochs(2);
  const uint8_t inside = epochs.enter(1);
  const uint64_t retired = epochs.current();
  CHECK(epochs.try_step());
  CHECK(!epochs.try_step());
  CHECK(!epochs.reusable(retired));
  epochs.leave(1, inside);
  CHECK(epochs.try_step());
  CHECK(epochs.reusable(retired));
}

TEST_CASE("open chunks: counted, found after any removals") {
  OpenChunks open;
  sim::SimRandom random(3);
  std::multiset<uint32_t> model;
  for (int i = 0; i < 20'000; ++i) {
    if (model.size() < 500 && random.one_in(2)) {
      const auto chunk = static_cast<uint32_t>(1 + random.below(300) * 4096);
      open.add(chunk);
      model.insert(chunk);
    } else if (!model.empty()) {
      const auto at = std::next(model.begin(), static_cast<ptrdiff_t>(random.below(model.size())));
      open.remove(*at);
      model.erase(at);
    }
    const auto probe = static_cast<uint32_t>(1 + random.below(300) * 4096);
    CHECK(open.contains(probe) == model.contains(probe));
  }
}

TEST_CASE("catalog: records of any length, replaced and erased, are what load finds") {
  Trees trees;
  Catalog catalog(trees.catalog);
  sim::SimRandom random(5);
  std::map<uint64_t, std::vector<std::byte>> model;
  for (int i = 0; i < 3000; ++i) {
    const uint64_t key = random.below(40);
    if (random.one_in(3)) {
      CHECK(catalog.erase(key) == (model.erase(key) > 0));
      continue;
    }
    std::vector<std::byte> value(random.one_in(20) ? random.below(48 * 1024 + 1)
                                                   : random.below(300));
    random.fill(value);
    catalog.put(key, value);
    model[key] = value;
  }
  Catalog loaded(trees.catalog);
  CHECK(loaded.load(catalog.cell_count()) == "");
  CHECK(loaded.record_count() == model.size());
  for (const auto& [key, value] : model) CHECK(loaded.value(key) == value);
}

TEST_CASE("space: a page that a checkpoint released is not taken before that is durable") {
  Trees trees;
  Space space(trees.space);
  REQUIRE(space.load(0, 100));
  REQUIRE(space.add_chunk(0, 9));
  std::vector<uint64_t> taken;
  for (int i = 0; i < 10; ++i) taken.push_back(space.take_page());
  space.settle();
  const std::set<uint64_t> released(taken.begin(), taken.begin() + 3);
  for (const uint64_t page : released) space.release_page(page);
  CHECK_EQ(space.free_pages(), 6);
  for (int i = 0; i < 6; ++i) CHECK_FALSE(released.contains(space.take_page()));
  CHECK_EQ(space.free_pages(), 0);
  space.settle();
  std::set<uint64_t> again;
  for (int i = 0; i < 3; ++i) again.insert(space.take_page());
  CHECK(again == released);
}
