// Opening what is not, no longer, or not yet a pool: the exact refusals.
#include <map>

#include "image_editor.h"
#include "pool_fixture.h"
#include "store/journal.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;

// A pool with something of everything in it, its last commits not checkpointed.
sim::DiskImage used_pool(bool close = false) {
  Fixture pool(3, 16 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 8 * MiB).ok());
  Volume* volume = pool.open_volume(1);
  REQUIRE(pool.write(*volume, 0, 256 * KiB, 1) == BlockStatus::ok);
  REQUIRE(pool.checkpoint().ok());
  Change record{};
  record.kind = Change::Kind::put_record;
  record.key = 5;
  record.value.resize(300);
  REQUIRE(pool.commit({record}).ok());
  REQUIRE(pool.write(*volume, 1 * MiB, 64 * KiB, 2, true) == BlockStatus::ok);
  REQUIRE(pool.write(*volume, 2 * MiB, 64 * KiB, 3, true) == BlockStatus::ok);
  if (close) {
    pool.close_volume(*volume);
    REQUIRE(pool.close().ok());
  }
  return pool.disk.newest();
}

Superblock superblock_of(const sim::DiskImage& image, uint32_t copy) {
  AlignedBuffer block(4096);
  image.read(superblock_offsets[copy], block.span());
  return read_at<Superblock>(block.span());
}

void put(sim::DiskImage& image, Superblock superblock, uint32_t copy) {
  seal_superblock(superblock);
  image.write(superblock_offsets[copy], std::as_bytes(std::span<Superblock>(&superblock, 1)));
}

void flip_byte(sim::DiskImage& image, uint64_t offset) {
  std::byte byte[1];
  image.read(offset, byte);
  byte[0] ^= std::byte{0x10};
  image.write(offset, byte);
}

ErrorCode refusal(const sim::DiskImage& image, std::string* message = nullptr) {
  Fixture pool(9, image);
  const Status status = pool.open();
  REQUIRE(!status.ok());
  if (message != nullptr) *message = status.error().message;
  CHECK(status.error().message.find('\n') == std::string::npos);
  return status.error().code;
}

}  // namespace

TEST_CASE("open: a disk that was never a pool: pool-not-a-pool") {
  CHECK(refusal(sim::DiskImage(16 * MiB)) == ErrorCode::pool_not_a_pool);
  CHECK(refusal(sim::DiskImage(100)) == ErrorCode::pool_not_a_pool);
}

TEST_CASE("open: a pool that lost its end: pool-truncated, with both sizes") {
  sim::DiskImage image = used_pool();
  image.resize(8 * MiB);
  std::string message;
  CHECK(refusal(image, &message) == ErrorCode::pool_truncated);
  CHECK(message.find("8388608") != std::string::npos);
  CHECK(message.find("16777216") != std::string::npos);
}

TEST_CASE("open: a newer version or an unknown incompatible feature: pool-newer-format") {
  sim::DiskImage newer = used_pool();
  for (uint32_t copy : {0u, 1u}) {
    Superblock superblock = superblock_of(newer, copy);
    superblock.version = 7;
    put(newer, superblock, copy);
  }
  std::string message;
  CHECK(refusal(newer, &message) == ErrorCode::pool_newer_format);
  CHECK(message.find("version 7") != std::string::npos);
  sim::DiskImage feature = used_pool();
  for (uint32_t copy : {0u, 1u}) {
    Superblock superblock = superblock_of(feature, copy);
    superblock.incompatible_features = 1ull << 40;
    put(feature, superblock, copy);
  }
  CHECK(refusal(feature) == ErrorCode::pool_newer_format);
}

TEST_CASE("open: an unknown read-only compatible feature: opens read-only, not for writing") {
  sim::DiskImage image = used_pool();
  for (uint32_t copy : {0u, 1u}) {
    Superblock superblock = superblock_of(image, copy);
    superblock.read_only_compatible_features = 2;
    put(image, superblock, copy);
  }
  CHECK(refusal(image) == ErrorCode::pool_newer_format);
  Fixture reader(9, image);
  reader.options.read_only = true;
  CHECK(reader.open().ok());
}

TEST_CASE("open: one damaged superblock: the other serves; both damaged: pool-corrupt") {
  sim::DiskImage image = used_pool(true);
  const uint32_t newest =
      superblock_of(image, 0).generation > superblock_of(image, 1).generation ? 0 : 1;
  sim::DiskImage older_damaged = image;
  flip_byte(older_damaged, superblock_offsets[1 - newest] + 900);
  Fixture pool(9, older_damaged);
  CHECK(pool.open().ok());
  sim::DiskImage both = older_damaged;
  flip_byte(both, superblock_offsets[newest] + 17);
  CHECK(refusal(both) == ErrorCode::pool_corrupt);
}

TEST_CASE("open: a flipped byte in any used metadata page is found, by open or by check") {
  const sim::DiskImage image = used_pool(true);
  uint64_t pages = 0;
  for (uint64_t page = 0; page < 16 * MiB / 4096; ++page) {
    AlignedBuffer block(4096);
    image.read(page * 4096, block.span());
    if (read_at<uint32_t>(block.span()) != page_magic) continue;
    // Only pages of the newest image matter; the others are free, and nobody reads them.
    for (const uint64_t at :
         {uint64_t{3}, uint64_t{40}, uint64_t{63}, uint64_t{64}, uint64_t{4095}}) {
      sim::DiskImage damaged = image;
      flip_byte(damaged, page * 4096 + at);
      Fixture pool(9, damaged);
      pool.options.read_only = true;
      const Status status = pool.open();
      if (!status.ok()) {
        CHECK(status.error().code == ErrorCode::pool_corrupt);
        ++pages;
        continue;
      }
      if (pool.check() != "") {
        ++pages;
        continue;
      }
      Volume* volume = pool.open_volume(1);
      CHECK(pool.holds(*volume, 0, 256 * KiB, 1));
      CHECK(pool.holds(*volume, 2 * MiB, 64 * KiB, 3));
    }
  }
  CHECK(pages >= 5 * 5);
}

TEST_CASE("open: two pages swapped, or an old copy in place of a page: pool-corrupt") {
  const sim::DiskImage image = used_pool(true);
  const uint32_t newest =
      superblock_of(image, 0).generation > superblock_of(image, 1).generation ? 0 : 1;
  const Superblock now = superblock_of(image, newest);
  const uint64_t a = PageRef{now.roots[0].ref}.page() * 4096;
  const uint64_t b = PageRef{now.roots[3].ref}.page() * 4096;
  AlignedBuffer first(4096), second(4096);
  image.read(a, first.span());
  image.read(b, second.span());
  sim::DiskImage swapped = image;
  swapped.write(a, second.span());
  swapped.write(b, first.span());
  CHECK(refusal(swapped) == ErrorCode::pool_corrupt);
  // The same page as an earlier checkpoint would have written it: everything fits but the CRC that
  // its reference expects.
  sim::DiskImage stale = image;
  write_at<uint64_t>(first.span(), 64 + 8 * 100, 0);
  seal_page(first.span(), now.pool,
            {TreeKind::bitmap, static_cast<uint8_t>(now.roots[0].level), 0, 0}, a / 4096, 1);
  AlignedBuffer old(4096);
  std::memcpy(old.data(), first.data(), 4096);
  write_at<uint64_t>(old.span(), 64, 0x1);
  seal_page(old.span(), now.pool,
            {TreeKind::bitmap, static_cast<uint8_t>(now.roots[0].level), 0, 0}, a / 4096, 1);
  stale.write(a, old.span());
  std::string message;
  CHECK(refusal(stale, &message) == ErrorCode::pool_corrupt);
  CHECK(message.find("stale") != std::string::npos);
}

// In memory an even word of an interior page is the address of a loaded child.
TEST_CASE("open: an address in place of a page reference: refused in roots, an error below them") {
  Fixture pool(3, 16 * MiB);
  REQUIRE(pool.create().ok());
  REQUIRE(pool.create_layer(1, 64 * MiB).ok());  // Two levels: 1,024 chunks.
  Volume* volume = pool.open_volume(1);
  REQUIRE(pool.write(*volume, 0, 4096, 1) == BlockStatus::ok);
  REQUIRE(pool.write(*volume, 63 * MiB, 4096, 1) == BlockStatus::ok);
  pool.close_volume(*volume);
  REQUIRE(pool.close().ok());
  const sim::DiskImage image = pool.disk.newest();

  sim::DiskImage root = image;
  ImageEditor roots(root);
  Superblock superblock = roots.superblock();
  superblock.roots[1].ref = 0x1a;
  for (const uint32_t copy : {0u, 1u}) roots.put(superblock, copy);
  CHECK(refusal(root) == ErrorCode::pool_corrupt);

  sim::DiskImage map = image;
  ImageEditor maps(map);
  const uint64_t map_root_word =
      ImageEditor::record_word(0) + offsetof(LayerRecord, map_root) / 8;
  maps.set_word(TreeKind::layers, map_root_word, 0x1a);
  CHECK(refusal(map) == ErrorCode::pool_corrupt);

  for (const uint64_t word : {uint64_t{0x1a}, PageRef::make(1u << 30, 0).word}) {
    sim::DiskImage interior = image;
    ImageEditor editor(interior);
    const uint64_t page = editor.page(TreeKind::map, 0, 1, 0);
    AlignedBuffer block(4096);
    interior.read(page * 4096, block.span());
    write_at<uint64_t>(block.span(), 64 + 8, word);
    const auto header = read_at<PageHeader>(block.span());
    const uint32_t crc = seal_page(block.span(), header.pool, {TreeKind::map, 1, 0, 0}, page,
                                   header.generation);
    interior.write(page * 4096, block.span());
    editor.set_word(TreeKind::layers, map_root_word, PageRef::make(page, crc).word);
    Fixture opened(9, interior);
    REQUIRE(opened.open().ok());
    TestIo io(BlockOp::read, 0, 4096);
    CHECK(opened.run(*opened.open_volume(1), io) == BlockStatus::read_error);
    CHECK(opened.check() != "");
  }
}

TEST_CASE("journal: the last commit torn: recovers those before; one in the middle damaged: pool-corrupt") {
  const sim::DiskImage image = used_pool();
  const uint32_t newest =
      superblock_of(image, 0).generation > superblock_of(image, 1).generation ? 0 : 1;
  const Superblock now = superblock_of(image, newest);
  const Journal journal(now.pool, now.journal_first_chunk, now.journal_bytes);
  uint64_t position = now.journal_position;
  uint64_t sequence = now.next_sequence;
  std::vector<uint64_t> starts;
  for (;;) {
    AlignedBuffer block(4096);
    image.read(journal.offset_of(position), block.span());
    const uint32_t blocks = journal.promised_blocks(block.span(), sequence, position);
    if (blocks == 0) break;
    starts.push_back(position);
    position += blocks;
    ++sequence;
  }
  REQUIRE(starts.size() >= 3);
  sim::DiskImage torn = image;
  flip_byte(torn, journal.offset_of(starts.back()) + 100);
  Fixture pool(9, torn);
  REQUIRE(pool.open().ok());
  CHECK(pool.check() == "");
  Volume* volume = pool.open_volume(1);
  CHECK(pool.holds(*volume, 1 * MiB, 64 * KiB, 2));
  CHECK(pool.holds(*volume, 2 * MiB, 64 * KiB, 0));
  sim::DiskImage middle = image;
  flip_byte(middle, journal.offset_of(starts[1]) + 100);
  CHECK(refusal(middle) == ErrorCode::pool_corrupt);
}

TEST_CASE("open: read-only writes nothing, and shows what the journal says") {
  const sim::DiskImage image = used_pool();
  Fixture pool(9, image);
  pool.options.read_only = true;
  REQUIRE(pool.open().ok());
  CHECK(pool.pool->status().replayed_records > 0);
  Volume* volume = pool.open_volume(1);
  CHECK(pool.holds(*volume, 2 * MiB, 64 * KiB, 3));
  CHECK(pool.check() == "");
  pool.close_volume(*volume);
  CHECK(pool.close().ok());
  CHECK(pool.disk.writes == 0);
}

TEST_CASE("create: over a pool: pool-exists, and it is as it was; sizes out of bounds are refused") {
  const sim::DiskImage image = used_pool();
  Fixture pool(9, image);
  CHECK(pool.create().error().code == ErrorCode::pool_exists);
  CHECK(pool.disk.writes == 0);
  Fixture small(1, 8 * MiB);
  CHECK(small.create().error().code == ErrorCode::invalid_argument);
}
