// Bit rot: a flipped byte in every block of metadata, pages swapped, stale or in another's place.
// The pool says so or did not need the block: it never serves a wrong one.
#include <functional>
#include <map>
#include <set>

#include "pool_fixture.h"
#include "store/journal.h"

#include "../report.h"
#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t KiB = 1024;
constexpr uint64_t MiB = 1024 * KiB;
constexpr uint64_t GiB = 1024 * MiB;
constexpr uint64_t page_bytes = limits::page_bytes;
constexpr uint64_t pool_bytes = 64 * MiB;
constexpr uint64_t catalog_records = 40;

// A range of a volume and the stamps that it may have. More than one: the newest is known to
// nothing but the last commit or the kill log, which cannot be told from torn when damaged.
struct Content {
  uint64_t volume;
  uint64_t offset;
  uint64_t length;
  std::vector<uint64_t> stamps;
};

struct PageOf {
  PageIdentity identity;
  PageRef ref;
};

enum class Verdict : uint8_t { refused, reported, unneeded, wrong };

class Rot {
 public:
  explicit Rot(uint64_t seed) : seed_(seed), random_(seed), image_(pool_bytes) {}

  // A pool with something of everything: maps of one to three levels, a layer over another, blocks
  // of 512 bytes, a catalog of several pages, older images, commits to replay and a kill log.
  void prepare();
  void flip_everything();
  void exchange_pages();
  void put_stale_pages();
  void misdirect();

  std::map<std::string, uint64_t> counts;

 private:
  void write(Fixture& pool, uint64_t volume, uint64_t offset, uint64_t length, uint64_t stamp,
             bool fua = false) {
    REQUIRE(pool.write(*open_.at(volume), offset, length, stamp, fua) == BlockStatus::ok);
  }
  void expect(uint64_t volume, uint64_t offset, uint64_t length, std::vector<uint64_t> stamps) {
    contents_.push_back({volume, offset, length, std::move(stamps)});
  }
  void expect_all();
  void find_pages();
  void find_tree(PageRef ref, PageIdentity identity);
  void flip(uint64_t block, uint64_t at);
  Verdict judge(const sim::DiskImage& image, const std::vector<std::byte>& kill_log);
  bool as_expected(Fixture& pool, Volume& volume, const Content& content, bool& failed);
  // Counts a case, and complains about a wrong block or an unreported page that was needed.
  void count(const std::string& kind, const std::string& what, Verdict verdict, bool needed);
  AlignedBuffer page(const sim::DiskImage& image, uint64_t number) const {
    AlignedBuffer bytes(page_bytes);
    image.read(number * page_bytes, bytes.span());
    return bytes;
  }

  const uint64_t seed_;
  sim::SimRandom random_;
  sim::DiskImage image_;
  std::vector<sim::DiskImage> older_;  // As it was after each checkpoint.
  std::vector<std::byte> kill_log_;
  Superblock newest_;
  std::vector<Content> contents_;
  std::map<uint64_t, Volume*> open_;
  std::map<uint64_t, PageOf> needed_;  // Page number → what it must be.
  uint64_t cases_ = 0;
};

void Rot::prepare() {
  Fixture pool(seed_, pool_bytes);
  REQUIRE(pool.create().ok());
  const auto checkpoint = [&] {
    REQUIRE(pool.checkpoint().ok());
    older_.push_back(pool.disk.newest());
  };
  REQUIRE(pool.create_layer(1, 8 * MiB).ok());
  REQUIRE(pool.create_layer(2, 4 * MiB, 512).ok());
  REQUIRE(pool.create_layer(3, 16 * 1024 * GiB).ok());
  for (uint64_t number = 1; number <= 3; ++number) open_[number] = pool.open_volume(number);
  write(pool, 1, 0, 512 * KiB, 1);
  write(pool, 2, 512, 3 * KiB, 2);
  checkpoint();
  for (uint64_t i = 0; i < 24; ++i) {
    const uint64_t offset = i * 3 * GiB + i % 4 * 200 * GiB + (i % 3 == 0 ? 8200 * GiB : 0);
    write(pool, 3, offset, 8 * KiB, 100 + i);
    expect(3, offset, 8 * KiB, {100 + i});
    if (i % 6 == 5) checkpoint();
  }
  std::vector<Change> records(catalog_records);
  for (uint64_t key = 0; key < catalog_records; ++key) {
    records[key].kind = Change::Kind::put_record;
    records[key].key = key + 1;
    records[key].value.assign(100 + key * 40, static_cast<std::byte>(key + 1));
  }
  REQUIRE(pool.commit(std::move(records)).ok());
  pool.close_volume(*open_[1]);
  REQUIRE(pool.create_layer(4, 8 * MiB, 4096, 1).ok());
  open_[4] = pool.open_volume(4);
  write(pool, 4, 64 * KiB, 64 * KiB, 4);
  REQUIRE(pool.zero(*open_[4], 256 * KiB, 64 * KiB) == BlockStatus::ok);
  checkpoint();
  write(pool, 2, 2 * MiB, 100 * KiB, 5);
  checkpoint();
  // Commits to replay, a checkpoint's pages among them no more; then the last commit by itself.
  write(pool, 4, 2 * MiB, 128 * KiB, 6, true);
  write(pool, 2, 512, 1 * KiB, 7, true);
  write(pool, 3, 6 * GiB + 400 * GiB, 4 * KiB, 8, true);
  write(pool, 4, 3 * MiB, 64 * KiB, 9, true);
  // First writes that only the kill log knows.
  write(pool, 4, 4 * MiB, 64 * KiB, 10);
  write(pool, 3, 15000 * GiB, 4 * KiB, 11);
  expect_all();
  image_ = pool.disk.newest();
  kill_log_ = pool.disk.kill_safe.bytes;
  find_pages();
  REQUIRE(judge(image_, kill_log_) == Verdict::unneeded);
}

// What the writes above have left, besides the sparse ones of volume 3.
void Rot::expect_all() {
  expect(4, 0, 64 * KiB, {1});
  expect(4, 64 * KiB, 64 * KiB, {4});
  expect(4, 128 * KiB, 128 * KiB, {1});
  expect(4, 256 * KiB, 64 * KiB, {0});
  expect(4, 320 * KiB, 192 * KiB, {1});
  expect(4, 512 * KiB, 512 * KiB, {0});
  expect(4, 2 * MiB, 128 * KiB, {6});
  expect(4, 3 * MiB, 64 * KiB, {0, 9});
  expect(4, 4 * MiB, 64 * KiB, {0, 10});
  expect(2, 0, 512, {0});
  expect(2, 512, 1 * KiB, {7});
  expect(2, 1536, 2 * KiB, {2});
  expect(2, 2 * MiB, 100 * KiB, {5});
  expect(3, 6 * GiB + 400 * GiB, 4 * KiB, {8, 102});
  contents_.erase(contents_.begin() + 2);  // The range of 102 was written again: the line above.
  expect(3, 6 * GiB + 400 * GiB + 4 * KiB, 4 * KiB, {102});
  expect(3, 15000 * GiB, 4 * KiB, {0, 11});
  expect(3, 1 * GiB, 1 * MiB, {0});
}

void Rot::find_pages() {
  Superblock copies[2];
  for (uint32_t i = 0; i < 2; ++i) {
    AlignedBuffer block(limits::block_bytes);
    image_.read(superblock_offsets[i], block.span());
    copies[i] = read_superblock(block.span(), true).superblock;
  }
  newest_ = copies[0].generation > copies[1].generation ? copies[0] : copies[1];
  constexpr TreeKind kinds[root_count] = {TreeKind::bitmap, TreeKind::space, TreeKind::layers,
                                          TreeKind::catalog};
  for (uint32_t i = 0; i < root_count; ++i) {
    find_tree(PageRef{newest_.roots[i].ref},
              {kinds[i], static_cast<uint8_t>(newest_.roots[i].level), 0, 0});
  }
}

void Rot::find_tree(PageRef ref, PageIdentity identity) {
  if (ref.none()) return;
  REQUIRE(needed_.emplace(ref.page(), PageOf{identity, ref}).second);
  const AlignedBuffer bytes = page(image_, ref.page());
  REQUIRE_EQ(verify_page(bytes.span(), newest_.pool, identity, ref), "");
  const auto word = [&](uint64_t i) {
    return read_at<uint64_t>(bytes.span(), limits::page_header_bytes + i * 8);
  };
  if (identity.level > 0) {
    for (uint64_t i = 0; i < limits::words_per_page; ++i) {
      find_tree(PageRef{word(i)},
                {identity.kind, static_cast<uint8_t>(identity.level - 1), identity.tree,
                 identity.index * limits::words_per_page + i});
    }
  } else if (identity.kind == TreeKind::layers) {
    for (uint64_t i = 0; i < limits::layer_records_per_page; ++i) {
      const uint64_t slot = identity.index * limits::layer_records_per_page + i;
      const auto record = read_at<LayerRecord>(
          bytes.span(), limits::page_header_bytes + i * limits::layer_record_words * 8);
      if (record.state == 0) continue;
      find_tree(PageRef{record.map_root}, {TreeKind::map, record.map_level, slot, 0});
    }
  }
}

bool Rot::as_expected(Fixture& pool, Volume& volume, const Content& content, bool& failed) {
  TestIo io(BlockOp::read, content.offset, content.length);
  std::memset(io.memory.data(), 0xee, io.memory.size());
  if (pool.run(volume, io) != BlockStatus::ok) {
    failed = true;
    return true;
  }
  for (const uint64_t stamp : content.stamps) {
    TestIo expected(BlockOp::write, content.offset, content.length);
    if (stamp != 0) expected.fill(stamp);
    if (std::memcmp(io.memory.data(), expected.memory.data(), content.length) == 0) return true;
  }
  return false;
}

Verdict Rot::judge(const sim::DiskImage& image, const std::vector<std::byte>& kill_log) {
  Fixture pool(seed_ + 1, image);
  pool.disk.kill_safe.bytes = kill_log;
  if (!pool.open().ok()) return Verdict::refused;
  bool reported = false;
  open_.clear();
  for (const uint64_t number : {2u, 3u, 4u}) {
    Volume* volume = pool.open_volume(number);
    if (volume == nullptr) return Verdict::wrong;
    for (const Content& content : contents_) {
      if (content.volume == number && !as_expected(pool, *volume, content, reported)) {
        return Verdict::wrong;
      }
    }
  }
  std::vector<CatalogRecord> records;
  pool.pool->read_catalog([&](Result<std::vector<CatalogRecord>> result) {
    records = std::move(result).value();
  });
  if (records.size() != catalog_records) return Verdict::wrong;
  for (const CatalogRecord& record : records) {
    const std::vector<std::byte> expected(100 + (record.key - 1) * 40,
                                          static_cast<std::byte>(record.key));
    if (record.value != expected) return Verdict::wrong;
  }
  return pool.check().empty() && !reported ? Verdict::unneeded : Verdict::reported;
}

void Rot::count(const std::string& kind, const std::string& what, Verdict verdict, bool needed) {
  ++cases_;
  ++counts[kind];
  switch (verdict) {
    case Verdict::refused: ++counts["refused"]; break;
    case Verdict::reported: ++counts["reported later"]; break;
    case Verdict::unneeded: ++counts["not needed"]; break;
    case Verdict::wrong: ++counts["wrong"]; break;
  }
  INFO("seed " << seed_ << ", " << kind << ": " << what);
  CHECK(verdict != Verdict::wrong);
  if (needed) CHECK(verdict != Verdict::unneeded);
}

void Rot::flip(uint64_t block, uint64_t at) {
  sim::DiskImage damaged = image_;
  std::byte byte[1];
  damaged.read(block * page_bytes + at, byte);
  byte[0] ^= static_cast<std::byte>(1u << random_.below(8));
  damaged.write(block * page_bytes + at, byte);
  count("flips", "byte " + std::to_string(at) + " of block " + std::to_string(block),
        judge(damaged, kill_log_), needed_.contains(block));
}

void Rot::flip_everything() {
  // Superblocks: every field, the padding and the checksum.
  for (const uint64_t offset : superblock_offsets) {
    for (uint64_t at = 0; at < 400; at += 4 + random_.below(5)) flip(offset / page_bytes, at);
    for (const uint64_t at : {1600u, 4000u, 4091u, 4092u, 4095u}) flip(offset / page_bytes, at);
  }
  // The journal: prefix, each field of the header, the records, the zeroes behind them.
  const uint64_t first = newest_.journal_first_chunk * limits::pages_per_chunk;
  const uint64_t blocks = newest_.journal_bytes / page_bytes;
  for (uint64_t block = first; block < first + blocks; ++block) {
    AlignedBuffer bytes = page(image_, block);
    if (is_zero(bytes.span())) continue;
    for (const uint64_t at : {0u, 5u, 9u, 20u, 33u, 41u, 49u, 53u, 57u, 61u, 72u, 80u, 100u, 2000u,
                              4095u}) {
      flip(block, at);
    }
  }
  // All pages of all metadata chunks, those of older images and free ones too.
  std::set<uint64_t> chunks;
  for (const auto& [number, needed] : needed_) chunks.insert(number / limits::pages_per_chunk);
  for (const uint64_t chunk : chunks) {
    for (uint64_t i = 0; i < limits::pages_per_chunk; ++i) {
      const uint64_t number = chunk * limits::pages_per_chunk + i;
      // Magic, version, kind, level, UUID, page, tree, index, generation, CRC, zeroes, words.
      for (const uint64_t at : {1u, 4u, 6u, 7u, 15u, 24u, 32u, 40u, 48u, 57u, 62u, 64u, 4095u}) {
        if (needed_.contains(number) || at == 57) flip(number, at);
      }
      flip(number, limits::page_header_bytes + random_.below(page_bytes - 64));
    }
  }
  // The kill log, which is memory here.
  for (size_t at = 0; at < kill_log_.size(); at += kill_log_[at] != std::byte{0} ? 7 : 997) {
    std::vector<std::byte> damaged = kill_log_;
    damaged[at] ^= std::byte{0x20};
    count("flips", "byte " + std::to_string(at) + " of the kill log", judge(image_, damaged),
          false);
  }
}

void Rot::exchange_pages() {
  std::vector<uint64_t> numbers;
  for (const auto& [number, needed] : needed_) numbers.push_back(number);
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (const size_t j : {(i + 1) % numbers.size(), random_.below(numbers.size())}) {
      if (i == j) continue;
      const AlignedBuffer a = page(image_, numbers[i]);
      const AlignedBuffer b = page(image_, numbers[j]);
      sim::DiskImage damaged = image_;
      damaged.write(numbers[i] * page_bytes, b.span());
      damaged.write(numbers[j] * page_bytes, a.span());
      count("swaps", std::to_string(numbers[i]) + " and " + std::to_string(numbers[j]),
            judge(damaged, kill_log_), true);
    }
  }
}

void Rot::put_stale_pages() {
  for (const auto& [number, needed] : needed_) {
    const AlignedBuffer now = page(image_, number);
    for (const sim::DiskImage& older : older_) {
      // What was at this place before: a write that the device lost.
      const AlignedBuffer before = page(older, number);
      if (std::memcmp(before.data(), now.data(), page_bytes) != 0) {
        sim::DiskImage damaged = image_;
        damaged.write(number * page_bytes, before.span());
        count("stale copies", "page " + std::to_string(number), judge(damaged, kill_log_), true);
      }
    }
    // And the hardest: an older version of the same page, whole, as if written at this very place.
    AlignedBuffer again(page_bytes);
    std::memcpy(again.data(), now.data(), page_bytes);
    const uint64_t at = limits::page_header_bytes + random_.below(limits::words_per_page) * 8;
    write_at<uint64_t>(again.span(), at, read_at<uint64_t>(again.span(), at) ^ 2);
    seal_page(again.span(), newest_.pool, needed.identity, number, newest_.generation - 1);
    sim::DiskImage damaged = image_;
    damaged.write(number * page_bytes, again.span());
    count("stale copies", "a sealed page " + std::to_string(number), judge(damaged, kill_log_),
          true);
  }
}

void Rot::misdirect() {
  std::vector<uint64_t> numbers;
  for (const auto& [number, needed] : needed_) numbers.push_back(number);
  const uint64_t journal = newest_.journal_first_chunk * limits::pages_per_chunk;
  const uint64_t replayed = newest_.journal_position % (newest_.journal_bytes / page_bytes);
  const auto put = [&](uint64_t from, uint64_t to) {
    const AlignedBuffer bytes = page(image_, from);
    sim::DiskImage damaged = image_;
    damaged.write(to * page_bytes, bytes.span());
    count("misdirected writes", std::to_string(from) + " at " + std::to_string(to),
          judge(damaged, kill_log_), needed_.contains(to));
  };
  for (const uint64_t to : numbers) {
    for (uint32_t i = 0; i < 3; ++i) {
      const uint64_t from = numbers[random_.below(numbers.size())];
      if (from != to) put(from, to);
    }
    put(journal + replayed, to);
    put(0, to);
  }
  for (uint64_t i = 0; i < 8; ++i) {
    const uint64_t from = numbers[random_.below(numbers.size())];
    put(from, journal + (replayed + i) % (newest_.journal_bytes / page_bytes));
    put(from, superblock_offsets[i % 2] / page_bytes);
    put(journal + replayed + i % 2, journal + replayed + 1 - i % 2);
  }
}

}  // namespace

TEST_CASE("bit rot: every metadata block flipped, swapped, stale or misdirected: never a wrong block") {
  uint64_t seed = 1;
  const bool replays = ashlar::testing::given_seed(seed);
  ashlar::testing::Report report("bit rot", {"P2", "P5"});
  std::map<std::string, uint64_t> counts;
  const uint64_t first = seed;
  const uint64_t runs = replays ? 1 : ashlar::testing::soak();
  for (; seed < first + runs; ++seed) {
    Rot rot(seed);
    rot.prepare();
    rot.flip_everything();
    rot.exchange_pages();
    rot.put_stale_pages();
    rot.misdirect();
    for (const auto& [name, value] : rot.counts) counts[name] += value;
  }
  for (const auto& [name, value] : counts) report.count(name, value);
  report.seed(std::to_string(first) + (runs > 1 ? ".." + std::to_string(seed - 1) : ""));
  MESSAGE(report.line());
  CHECK(counts["refused"] > 300);
  CHECK(counts["reported later"] > 300);
  report.write();
}
