// Repair: what follows from what is proved is mended, at once or not at all; what is lost is named,
// and nothing is changed.
#include <functional>

#include "base/crc32c.h"
#include "image_editor.h"
#include "store/journal.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
constexpr uint64_t layer_bytes = 40 * MiB;  // More than one page of a map: 31.5 MiB.

Change record_of(uint64_t key, size_t bytes) {
  Change change{};
  change.kind = Change::Kind::put_record;
  change.key = key;
  change.value.assign(bytes, std::byte{0x42});
  return change;
}

// Layer 1 is a snapshot, 2 and 3 stand on it, 4 is alone and has a reservation. `replay`: the last
// commits are not checkpointed.
sim::DiskImage used_pool(bool replay) {
  Fixture pool(3, 64 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, layer_bytes).ok());
  Volume* first = pool.open_volume(1);
  REQUIRE(pool.write(*first, 0, 512 * KiB, 1) == BlockStatus::ok);
  REQUIRE(pool.write(*first, 36 * MiB, 128 * KiB, 2) == BlockStatus::ok);
  pool.close_volume(*first);
  REQUIRE(pool.create_layer(2, layer_bytes, 4096, 1).ok());
  REQUIRE(pool.create_layer(3, layer_bytes, 4096, 1).ok());
  REQUIRE(pool.create_layer(4, 2 * MiB, 512).ok());
  Change reserve{};
  reserve.kind = Change::Kind::reserve_layer;
  reserve.layer = uuid_of(4);
  reserve.reserved = true;
  REQUIRE(pool.commit({reserve, record_of(5, 300), record_of(6, 9000)}).ok());
  Volume* second = pool.open_volume(2);
  Volume* fourth = pool.open_volume(4);
  REQUIRE(pool.write(*second, 64 * KiB, 192 * KiB, 3) == BlockStatus::ok);
  REQUIRE(pool.zero(*second, 448 * KiB, 32 * KiB) == BlockStatus::ok);
  REQUIRE(pool.write(*fourth, 512 * KiB, 64 * KiB, 4) == BlockStatus::ok);
  REQUIRE(pool.checkpoint().ok());
  if (replay) {
    REQUIRE(pool.write(*second, 1 * MiB, 64 * KiB, 5, true) == BlockStatus::ok);
    REQUIRE(pool.commit({record_of(7, 80)}).ok());
    REQUIRE(pool.write(*fourth, 1 * MiB, 8 * KiB, 6, true) == BlockStatus::ok);
    return pool.disk.newest();
  }
  pool.close_volume(*second);
  pool.close_volume(*fourth);
  REQUIRE(pool.close().ok());
  return pool.disk.newest();
}

// What a user sees: all volumes' bytes and the catalog; and `check` has nothing to say.
uint32_t contents(const sim::DiskImage& image) {
  Fixture pool(9, image);
  const Status status = pool.open();
  INFO((status.ok() ? std::string() : status.error().message));
  REQUIRE(status.ok());
  CHECK(pool.check() == "");
  uint32_t crc = 0;
  for (const uint64_t number : {1, 2, 3, 4}) {
    Volume* volume = pool.open_volume(number, true);
    REQUIRE(volume != nullptr);
    const uint64_t size = number == 4 ? 2 * MiB : layer_bytes;
    for (uint64_t at = 0; at < size; at += 1 * MiB) {
      TestIo io(BlockOp::read, at, 1 * MiB);
      REQUIRE(pool.run(*volume, io) == BlockStatus::ok);
      crc = crc32c(io.data(), crc);
    }
  }
  std::optional<Result<std::vector<CatalogRecord>>> catalog;
  pool.pool->read_catalog([&](auto answer) { catalog = std::move(answer); });
  REQUIRE(pool.world.run_until([&] { return catalog.has_value(); }));
  for (const CatalogRecord& record : catalog->value()) crc = crc32c(record.value, crc);
  return crc;
}

struct Damage {
  const char* name;
  const char* told;  // Part of what is told.
  std::function<void(ImageEditor&)> inflict;
};

uint64_t used_chunk(const ImageEditor& editor) {
  return MapEntry::unpack(editor.word(TreeKind::map, 0, editor.slot_of(1))).chunk;
}

void toggle(ImageEditor& editor, uint64_t chunk) {
  const uint64_t word = editor.word(TreeKind::bitmap, chunk / 64);
  editor.set_word(TreeKind::bitmap, chunk / 64, word ^ 1ull << (chunk % 64));
}

void count_owned(ImageEditor& editor, uint64_t amount) {
  Superblock s = editor.superblock();
  s.owned_chunks += amount;
  editor.put(s, editor.newest());
}

// Toggles the mark of a page in use, or of a free one.
void toggle_mark(ImageEditor& editor, bool used) {
  const uint64_t word = editor.word(TreeKind::space, 0);
  const uint64_t marks = word >> 32;
  const auto bit = static_cast<uint32_t>(used ? std::countr_zero(marks) : std::countr_one(marks));
  editor.set_word(TreeKind::space, 0, word ^ 1ull << (32 + bit));
}

const std::vector<Damage>& mendable() {
  static const std::vector<Damage> list = {
      {"the older superblock", "superblock",
       [](ImageEditor& e) { e.flip(superblock_offsets[1 - e.newest()] + 900); }},
      {"the older superblock, wiped", "superblock",
       [](ImageEditor& e) { e.flip(superblock_offsets[1 - e.newest()]); }},
      {"a bitmap page", "bitmap page 0",
       [](ImageEditor& e) { e.flip(e.page(TreeKind::bitmap, 0) * 4096 + 70); }},
      {"a leaked chunk", "nobody owns it", [](ImageEditor& e) {
         toggle(e, 1000);
         count_owned(e, 1);
       }},
      {"an owned chunk marked free", "is owned, but marked free", [](ImageEditor& e) {
         toggle(e, used_chunk(e));
         count_owned(e, ~0ull);
       }},
      {"the count of owned chunks", "owned chunks", [](ImageEditor& e) { count_owned(e, 3); }},
      {"the count of catalog records", "records, the superblock says",
       [](ImageEditor& e) {
         Superblock s = e.superblock();
         s.catalog_records += 2;
         e.put(s, e.newest());
       }},
      {"a page in use marked free", "in use, but marked free",
       [](ImageEditor& e) { toggle_mark(e, true); }},
      {"a free page marked used", "nothing refers to it",
       [](ImageEditor& e) { toggle_mark(e, false); }},
      {"a space map page", "space map page 0",
       [](ImageEditor& e) { e.flip(e.page(TreeKind::space, 0) * 4096 + 4000); }},
      {"an empty space slot", "is empty",
       [](ImageEditor& e) { e.set_word(TreeKind::space, 1, 0); }},
      {"the mapped blocks of a layer", "mapped blocks",
       [](ImageEditor& e) { e.add(e.slot_of(1), offsetof(LayerRecord, mapped_blocks), 7); }},
      {"the chunks of a layer", "chunks, has",
       [](ImageEditor& e) { e.add(e.slot_of(2), offsetof(LayerRecord, allocated_chunks), 1); }},
      {"the visible blocks of a layer", "visible blocks",
       [](ImageEditor& e) { e.add(e.slot_of(3), offsetof(LayerRecord, visible_blocks), 1); }},
      {"what a merge frees", "a merge would free",
       [](ImageEditor& e) { e.add(e.slot_of(2), offsetof(LayerRecord, frees), 9); }},
      {"what a merge has passed", "passed by the merge",
       [](ImageEditor& e) { e.add(e.slot_of(1), offsetof(LayerRecord, passed_frees), 9); }},
      {"a reservation of a frozen layer", "reserved",
       [](ImageEditor& e) { e.add(e.slot_of(1), offsetof(LayerRecord, reserved_chunks), 5); }},
      {"a reservation beyond the size", "reserved",
       [](ImageEditor& e) { e.add(e.slot_of(4), offsetof(LayerRecord, reserved_chunks), 5000); }},
  };
  return list;
}

}  // namespace

TEST_CASE("repair: a sound pool: nothing is found, and nothing is written") {
  for (const bool replay : {false, true}) {
    const sim::DiskImage image = used_pool(replay);
    sim::SimDisk disk(image, 1);
    const auto report = repair(disk, false);
    REQUIRE(report.ok());
    CHECK(text_of(report.value().found) == "");
    CHECK(!report.value().changed);
    CHECK(disk.writes == 0);
  }
}

TEST_CASE("repair: each damage that can be mended: named, mended, checked; nothing is lost") {
  for (const bool replay : {false, true}) {
    const sim::DiskImage image = used_pool(replay);
    const uint32_t before = contents(image);
    for (const Damage& damage : mendable()) {
      INFO(damage.name << ", replay " << replay);
      sim::DiskImage damaged = image;
      ImageEditor editor(damaged);
      damage.inflict(editor);
      sim::SimDisk disk(damaged, 1);
      const auto planned = repair(disk, true);
      REQUIRE(planned.ok());
      CHECK(text_of(planned.value().found).find(damage.told) != std::string::npos);
      CHECK(planned.value().mendable);
      CHECK(!planned.value().changed);
      CHECK(same(disk.newest(), damaged));
      const auto report = repair(disk, false);
      REQUIRE(report.ok());
      CHECK(report.value().changed);
      CHECK(text_of(report.value().checked) == "");
      CHECK(text_of(report.value().found) == text_of(planned.value().found));
      CHECK(contents(disk.newest()) == before);
    }
  }
}

TEST_CASE("repair: the newer superblock damaged: the older image and the journal have it all") {
  const sim::DiskImage image = used_pool(false);
  sim::DiskImage damaged = image;
  ImageEditor editor(damaged);
  editor.flip(superblock_offsets[editor.newest()] + 900);
  sim::SimDisk disk(damaged, 1);
  const auto report = repair(disk, false);
  REQUIRE(report.ok());
  CHECK(report.value().mendable);
  CHECK(text_of(report.value().checked) == "");
  CHECK(contents(disk.newest()) == contents(image));
}

TEST_CASE("repair: everything that can be mended damaged at once: mended in one step") {
  const sim::DiskImage image = used_pool(true);
  sim::DiskImage damaged = image;
  ImageEditor editor(damaged);
  // Words first: they are changed through pages that the flips damage.
  for (const Damage& damage : mendable()) {
    if (std::string(damage.told).find(" page 0") == std::string::npos &&
        std::string(damage.told).find("superblock") == std::string::npos) {
      damage.inflict(editor);
    }
  }
  editor.flip(editor.page(TreeKind::bitmap, 0) * 4096 + 70);
  editor.flip(editor.page(TreeKind::space, 0) * 4096 + 70);
  editor.flip(superblock_offsets[1 - editor.newest()] + 900);
  sim::SimDisk disk(damaged, 1);
  const auto report = repair(disk, false);
  REQUIRE(report.ok());
  INFO(text_of(report.value().found));
  CHECK(report.value().mendable);
  CHECK(report.value().changed);
  CHECK(text_of(report.value().checked) == "");
  CHECK(contents(disk.newest()) == contents(image));
}

TEST_CASE("repair: power lost at every operation: as it was or mended, and nothing is lost") {
  const sim::DiskImage image = used_pool(true);
  const uint32_t before = contents(image);
  sim::DiskImage damaged = image;
  ImageEditor editor(damaged);
  editor.add(editor.slot_of(2), offsetof(LayerRecord, frees), 9);
  toggle(editor, 1000);
  editor.flip(editor.page(TreeKind::space, 0) * 4096 + 70);
  sim::SimDisk disk(damaged, 1);
  sim::SimRandom random(77);
  std::vector<sim::DiskImage> crashed;
  disk.before_operation = [&](const DeviceOp& op) {
    if (op.kind == DeviceOpKind::read && disk.unflushed().empty()) return;
    for (int i = 0; i < 3; ++i) crashed.push_back(disk.after_crash(random));
  };
  REQUIRE(repair(disk, false).ok());
  disk.before_operation = nullptr;
  crashed.push_back(disk.after_crash(random));
  CHECK(crashed.size() > 10);
  uint64_t mended = 0;
  for (const sim::DiskImage& each : crashed) {
    sim::SimDisk again(each, 1);
    const auto report = repair(again, false);
    REQUIRE(report.ok());
    INFO(text_of(report.value().found));
    CHECK(report.value().mendable);
    if (report.value().found.problems.empty()) ++mended;
    CHECK(contents(again.newest()) == before);
  }
  CHECK(mended >= 1);
  CHECK(mended < crashed.size());
}

TEST_CASE("repair: a failed write: told, and the pool is as it was or mended by the next repair") {
  const sim::DiskImage image = used_pool(false);
  sim::DiskImage damaged = image;
  ImageEditor editor(damaged);
  editor.add(editor.slot_of(2), offsetof(LayerRecord, frees), 9);
  uint64_t failed = 0;
  for (uint64_t nth = 1; nth < 20; ++nth) {
    sim::SimDisk disk(damaged, 1);
    disk.faults.fail_at = nth;
    disk.faults.reads = false;
    const auto report = repair(disk, false);
    if (report.ok()) break;
    ++failed;
    disk.faults.fail_at = 0;
    REQUIRE(repair(disk, false).ok());
    CHECK(contents(disk.newest()) == contents(image));
  }
  CHECK(failed >= 3);
}

TEST_CASE("repair: damage that cannot be mended: named with what is lost, and nothing is changed") {
  const sim::DiskImage image = used_pool(true);
  const auto map_page = [](uint64_t number, uint64_t word, uint8_t level) {
    return [=](ImageEditor& e) {
      e.flip(e.page(TreeKind::map, word, level, e.slot_of(number)) * 4096 + 100);
    };
  };
  const std::vector<Damage> list = {
      {"a leaf of a map", "bytes 0 to 33030144 of layer", map_page(1, 0, 0)},
      {"the last leaf of a map", "bytes 33030144 to 41943040 of layer", map_page(1, 576, 0)},
      {"the root of a map", "bytes 0 to 41943040 of layer", map_page(1, 0, 1)},
      {"a page of the layer table", "the layers of slots 0 to 3 are lost",
       [](ImageEditor& e) { e.flip(e.page(TreeKind::layers, 0) * 4096 + 100); }},
      {"a page of the catalog", "are lost",
       [](ImageEditor& e) { e.flip(e.page(TreeKind::catalog, 0) * 4096 + 100); }},
      {"a chunk owned twice", "is owned twice",
       [](ImageEditor& e) {
         e.set_word(TreeKind::map, 3, e.word(TreeKind::map, 0, e.slot_of(1)), e.slot_of(1));
       }},
      {"an entry that makes no sense", "makes no sense",
       [](ImageEditor& e) {
         e.set_word(TreeKind::map, 0, e.word(TreeKind::map, 0, e.slot_of(1)) | 1ull << 48,
                    e.slot_of(1));
       }},
      {"a commit in the middle of the journal", "what changed from commit",
       [](ImageEditor& e) {
         const Superblock s = e.superblock();
         const Journal journal(s.pool, s.journal_first_chunk, s.journal_bytes);
         e.flip(journal.offset_of(s.journal_position) + 200);
       }},
  };
  for (const Damage& damage : list) {
    INFO(damage.name);
    sim::DiskImage damaged = image;
    ImageEditor editor(damaged);
    // Something that could be mended is damaged too: it is left alone.
    toggle(editor, 1000);
    damage.inflict(editor);
    sim::SimDisk disk(damaged, 1);
    const auto report = repair(disk, false);
    REQUIRE(report.ok());
    INFO(text_of(report.value().found));
    CHECK(!report.value().mendable);
    CHECK(!report.value().changed);
    const std::string text = text_of(report.value().found);
    CHECK(text.find(damage.told) != std::string::npos);
    CHECK(disk.writes == 0);
    CHECK(same(disk.newest(), damaged));
  }
}

TEST_CASE("repair: a lost map page: the layers that read through it are named") {
  sim::DiskImage image = used_pool(false);
  ImageEditor editor(image);
  editor.flip(editor.page(TreeKind::map, 0, 0, editor.slot_of(1)) * 4096 + 100);
  Fixture pool(9, image);
  pool.options.read_only = true;
  REQUIRE(pool.open().ok());
  CHECK(pool.check() != "");
  const auto& problems = pool.last_check.problems;
  REQUIRE(problems.size() == 1);
  REQUIRE(problems[0].lost.has_value());
  CHECK(problems[0].lost->layer == uuid_of(1));
  CHECK(problems[0].lost->offset_bytes == 0);
  CHECK(problems[0].lost->length_bytes == 504 * 64 * KiB);
  CHECK(problems[0].lost->readers == std::vector<Uuid>{uuid_of(2), uuid_of(3)});
  CHECK(!problems[0].repairable);
}

TEST_CASE("repair: no pool, or both superblocks or the end lost: refused, as open refuses") {
  sim::SimDisk nothing(16 * MiB, 1);
  CHECK(repair(nothing, false).error().code == ErrorCode::pool_not_a_pool);
  sim::DiskImage image = used_pool(false);
  sim::DiskImage cut = image;
  cut.resize(32 * MiB);
  sim::SimDisk shorter(cut, 1);
  CHECK(repair(shorter, false).error().code == ErrorCode::pool_truncated);
  ImageEditor editor(image);
  for (const uint64_t offset : superblock_offsets) editor.flip(offset + 900);
  sim::SimDisk both(image, 1);
  CHECK(repair(both, false).error().code == ErrorCode::pool_corrupt);
  CHECK(nothing.writes + shorter.writes + both.writes == 0);
}

TEST_CASE("repair: two devices: the first is enough; what lies on the second stays owned") {
  sim::SimDisk second(32 * MiB, 5);
  sim::DiskImage image(0);
  const auto join = [&](Fixture& pool, sim::SimDevice& channel, bool adding) {
    std::optional<Result<PoolDeviceStatus>> answer;
    const auto take = [&](Result<PoolDeviceStatus> result) { answer = std::move(result); };
    if (adding) {
      pool.pool->add_device({&channel}, take);
    } else {
      pool.pool->attach_device({&channel}, take);
    }
    REQUIRE(pool.world.run_until([&] { return answer.has_value(); }));
    REQUIRE(answer->ok());
  };
  {
    Fixture pool(5, 16 * MiB);
    REQUIRE(pool.create().ok());
    sim::SimDevice channel(second, pool.world.loop(0));
    join(pool, channel, true);
    REQUIRE(pool.create_layer(1, 64 * MiB).ok());
    Volume* volume = pool.open_volume(1);
    for (uint64_t at = 0; at < 24 * MiB; at += MiB) {
      REQUIRE(pool.write(*volume, at, MiB, 1) == BlockStatus::ok);
    }
    pool.close_volume(*volume);
    REQUIRE(pool.close().ok());
    image = pool.disk.newest();
  }
  ImageEditor editor(image);
  editor.flip(editor.page(TreeKind::bitmap, 0) * 4096 + 70);
  editor.flip(editor.page(TreeKind::space, 0) * 4096 + 70);
  sim::SimDisk disk(image, 1);
  const auto report = repair(disk, false);
  REQUIRE(report.ok());
  INFO(text_of(report.value().found));
  CHECK(report.value().changed);
  CHECK(text_of(report.value().checked) == "");
  Fixture pool(9, disk.newest());
  REQUIRE(pool.open().ok());
  sim::SimDevice channel(second, pool.world.loop(0));
  join(pool, channel, false);
  CHECK(pool.check() == "");
  Volume* volume = pool.open_volume(1);
  for (uint64_t at = 0; at < 24 * MiB; at += MiB) CHECK(pool.holds(*volume, at, MiB, 1));
  pool.close_volume(*volume);
  REQUIRE(pool.close().ok());
}
