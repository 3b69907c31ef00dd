// Dump: everything is shown as it is, in as many answers as one likes, and what cannot be believed
// is said and left out.
#include <algorithm>
#include <functional>

#include "image_editor.h"
#include "store/dump.h"
#include "store/journal.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

Change put_record(uint64_t key, size_t bytes) {
  Change change{};
  change.kind = Change::Kind::put_record;
  change.key = key;
  change.value.assign(bytes, static_cast<std::byte>(key));
  return change;
}

// Layer 2 stands on layer 1; the catalog takes several pages; a commit waits to be replayed.
sim::DiskImage used_pool() {
  Fixture pool(3, 64 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 40 * MiB).ok());
  Volume* first = pool.open_volume(1);
  REQUIRE(pool.write(*first, 0, 256 * KiB, 1) == BlockStatus::ok);
  REQUIRE(pool.write(*first, 36 * MiB, 4 * KiB, 2) == BlockStatus::ok);
  pool.close_volume(*first);
  REQUIRE(pool.create_layer(2, 40 * MiB, 4096, 1).ok());
  std::vector<Change> records;
  for (uint64_t key = 1; key <= 40; ++key) records.push_back(put_record(key, key * 40));
  records.push_back(put_record(41, 20'000));
  REQUIRE(pool.commit(std::move(records)).ok());
  REQUIRE(pool.checkpoint().ok());
  Volume* second = pool.open_volume(2);
  REQUIRE(pool.write(*second, 64 * KiB, 8 * KiB, 3, true) == BlockStatus::ok);
  REQUIRE(pool.commit({put_record(50, 100)}).ok());
  return pool.disk.newest();
}

Result<DumpPage> ask(sim::SimDisk& disk, const DumpRequest& request) {
  sim::SimWorld world(1, 1);
  sim::SimDevice device(disk, world.loop(0));
  std::optional<Result<DumpPage>> answer;
  dump_pool(device, request, [&](Result<DumpPage> page) { answer = std::move(page); });
  REQUIRE(world.run_until([&] { return answer.has_value(); }));
  return *answer;
}

std::vector<DumpRow> all(sim::SimDisk& disk, DumpSection section, uint32_t limit = 1000,
                         uint64_t slot = 0) {
  std::vector<DumpRow> rows;
  DumpRequest request{section, slot, {}, limit};
  for (int answers = 0; answers < 1000; ++answers) {
    const auto page = ask(disk, request);
    REQUIRE(page.ok());
    rows.insert(rows.end(), page.value().rows.begin(), page.value().rows.end());
    if (!page.value().next.has_value()) return rows;
    request.cursor = *page.value().next;
  }
  FAIL("it goes on for ever");
  return rows;
}

const DumpValue* field(const DumpRow& row, const std::string& name) {
  for (const auto& [each, value] : row) {
    if (name == each) return &value;
  }
  return nullptr;
}

uint64_t number(const DumpRow& row, const std::string& name) {
  const DumpValue* value = field(row, name);
  REQUIRE(value != nullptr);
  return std::get<uint64_t>(*value);
}

std::string text(const DumpRow& row, const std::string& name) {
  const DumpValue* value = field(row, name);
  return value == nullptr ? std::string() : std::get<std::string>(*value);
}

size_t count(const std::vector<DumpRow>& rows, const std::string& kind) {
  return static_cast<size_t>(std::count_if(
      rows.begin(), rows.end(), [&](const DumpRow& row) { return text(row, "row") == kind; }));
}

}  // namespace

TEST_CASE("dump: superblocks and layers: as they are, with parents and figures") {
  sim::SimDisk disk(used_pool(), 1);
  const auto copies = all(disk, DumpSection::superblock);
  REQUIRE(copies.size() == 2);
  CHECK(text(copies[0], "state") != text(copies[1], "state"));
  CHECK(number(copies[0], "totalChunks") == 1024);
  const auto layers = all(disk, DumpSection::layers);
  REQUIRE(layers.size() == 2);
  const bool first_is_1 = text(layers[0], "state") == "frozen";
  const DumpRow& below = layers[first_is_1 ? 0 : 1];
  const DumpRow& above = layers[first_is_1 ? 1 : 0];
  CHECK(number(below, "mappedBlocks") == 65);
  CHECK(number(below, "allocatedChunks") == 5);
  CHECK(number(above, "parentSlot") == number(below, "slot"));
  CHECK(field(below, "parentSlot") == nullptr);
  CHECK(all(disk, DumpSection::devices).size() == 1);
}

TEST_CASE("dump: a map: runs of entries, and gaps left out") {
  sim::SimDisk disk(used_pool(), 1);
  ImageEditor editor(disk.newest());
  const uint64_t slot = editor.slot_of(1);
  const auto rows = all(disk, DumpSection::map, 1000, slot);
  uint64_t chunks = 0;
  for (const DumpRow& row : rows) {
    INFO(text(row, "where") << " " << text(row, "what"));
    CHECK(text(row, "row") == "map");
    for (uint64_t i = 0; i < number(row, "count"); ++i) {
      const MapEntry entry =
          MapEntry::unpack(editor.word(TreeKind::map, number(row, "index") + i, slot));
      CHECK(entry.chunk == number(row, "chunk") + i);
      CHECK(entry.data == number(row, "dataMask"));
      ++chunks;
    }
  }
  CHECK(chunks == 5);
  CHECK(number(rows.back(), "index") == 576);
  CHECK(number(rows.back(), "dataMask") == 1);
}

TEST_CASE("dump: any limit gives the same rows") {
  sim::SimDisk disk(used_pool(), 1);
  for (const DumpSection section : {DumpSection::layers, DumpSection::map, DumpSection::space,
                                    DumpSection::journal, DumpSection::catalog}) {
    const auto whole = all(disk, section, 65536);
    CHECK(whole.size() > 0);
    for (const uint32_t limit : {1u, 2u, 7u}) CHECK(all(disk, section, limit) == whole);
  }
}

TEST_CASE("dump: the catalog: every record of the image, over page boundaries") {
  sim::SimDisk disk(used_pool(), 1);
  const auto rows = all(disk, DumpSection::catalog);
  CHECK(rows.size() == 41);
  uint64_t bytes = 0;
  for (const DumpRow& row : rows) {
    const auto& value = std::get<std::vector<std::byte>>(*field(row, "value"));
    const uint64_t key = number(row, "key");
    CHECK(value.size() == (key == 41 ? 20'000 : key * 40));
    CHECK(value.back() == static_cast<std::byte>(key));
    bytes += value.size();
  }
  CHECK(bytes == 40 * 41 / 2 * 40 + 20'000);
}

TEST_CASE("dump: the journal: its commits, their records by name, and its end") {
  sim::SimDisk disk(used_pool(), 1);
  const auto rows = all(disk, DumpSection::journal);
  CHECK(count(rows, "commit") >= 2);
  CHECK(count(rows, "journal-end") == 1);
  CHECK(count(rows, "problem") == 0);
  const auto kinds = [&](const char* kind) {
    return std::count_if(rows.begin(), rows.end(),
                         [&](const DumpRow& row) { return text(row, "kind") == kind; });
  };
  CHECK(kinds("map-entry") >= 1);
  CHECK(kinds("put-record") == 1);
}

TEST_CASE("dump: damaged pages: named with what they held; everything else is shown") {
  const sim::DiskImage image = used_pool();
  struct Damage {
    DumpSection section;
    const char* told;
    size_t rows_left;
    std::function<void(ImageEditor&)> inflict;
  };
  const auto map_slot = [&] {
    sim::DiskImage copy = image;
    return ImageEditor(copy).slot_of(1);
  }();
  const std::vector<Damage> list = {
      {DumpSection::layers, "layer slots 0 to 1", 0,
       [](ImageEditor& e) { e.flip(e.page(TreeKind::layers, 0) * 4096 + 99); }},
      {DumpSection::map, "chunks 0 to 503", 1,
       [&](ImageEditor& e) { e.flip(e.page(TreeKind::map, 0, 0, map_slot) * 4096 + 99); }},
      {DumpSection::map, "chunks 504 to 1007", 1,
       [&](ImageEditor& e) { e.flip(e.page(TreeKind::map, 576, 0, map_slot) * 4096 + 99); }},
      {DumpSection::map, "chunks 0 to 254015", 0,
       [&](ImageEditor& e) { e.flip(e.page(TreeKind::map, 0, 1, map_slot) * 4096 + 99); }},
      {DumpSection::space, "space slots 0 to", 0,
       [](ImageEditor& e) { e.flip(e.page(TreeKind::space, 0) * 4096 + 99); }},
      {DumpSection::catalog, "catalog cells 0 to 55", 1,
       [](ImageEditor& e) { e.flip(e.page(TreeKind::catalog, 0) * 4096 + 99); }},
      {DumpSection::journal, "journal", 0,
       [](ImageEditor& e) {
         const Superblock s = e.superblock();
         e.flip(Journal(s.pool, s.journal_first_chunk, s.journal_bytes)
                    .offset_of(s.journal_position) + 200);
       }},
      {DumpSection::superblock, "", 2,
       [](ImageEditor& e) {
         for (const uint64_t offset : superblock_offsets) e.flip(offset + 900);
       }},
  };
  for (const Damage& damage : list) {
    INFO(damage.told);
    sim::SimDisk disk(image, 1);
    ImageEditor editor(disk.newest());
    damage.inflict(editor);
    const auto rows = all(disk, damage.section, 1000, map_slot);
    size_t left = 0;
    bool told = damage.told[0] == 0;
    for (const DumpRow& row : rows) {
      if (text(row, "row") != "problem") {
        ++left;
      } else if (text(row, "where").find(damage.told) != std::string::npos) {
        told = true;
      }
    }
    CHECK(told);
    CHECK(left >= damage.rows_left);
    CHECK((damage.rows_left > 0 || left == 0));
    CHECK(disk.writes == 0);
  }
}

TEST_CASE("dump: no pool, or no such layer: refused") {
  sim::SimDisk nothing(16 * MiB, 1);
  CHECK(ask(nothing, {DumpSection::layers, 0, {}, 10}).error().code == ErrorCode::pool_not_a_pool);
  sim::SimDisk disk(used_pool(), 1);
  CHECK(ask(disk, {DumpSection::map, 900, {}, 10}).error().code == ErrorCode::not_found);
}
