// A journal that lies: after the commits that are there come some whose checksums are right and
// whose records say anything; and bytes of the ring that just changed.
#include "store/journal.h"
#include "store/records.h"

#include "store_world.h"

namespace ashlar::fuzz {
namespace {

using store::Record;
using store::RecordKind;

store::Superblock superblock_of(const sim::DiskImage& image) {
  store::Superblock newest;
  for (const uint64_t offset : store::superblock_offsets) {
    std::byte block[4096];
    image.read(offset, block);
    const auto one = read_at<store::Superblock>(block);
    if (one.generation >= newest.generation) newest = one;
  }
  return newest;
}

// Where the commits that count end.
struct End {
  uint64_t position = 0;
  uint64_t sequence = 0;
};
End end_of(const sim::DiskImage& image, const store::Journal& journal,
           const store::Superblock& superblock) {
  End end{superblock.journal_position, superblock.next_sequence};
  for (;;) {
    std::byte block[4096];
    image.read(journal.offset_of(end.position), block);
    const uint32_t blocks = journal.promised_blocks(block, end.sequence, end.position);
    if (blocks == 0) return end;
    end.position += blocks;
    ++end.sequence;
  }
}

Bytes payload(Input& input, RecordKind kind) {
  if (kind == RecordKind::create_layer) {
    store::CreateLayer layer;
    layer.uuid = uuid_of(input.u8() % 16);
    layer.parent_slot_plus1 = input.flag() ? input.below(8) : static_cast<uint32_t>(input.edgy(32));
    layer.block_bytes = input.flag() ? 4096 : static_cast<uint32_t>(input.edgy(32));
    layer.size_bytes = input.flag() ? layer_bytes : input.edgy(64);
    layer.created_sequence = input.u8();
    const auto bytes = std::as_bytes(std::span(&layer, 1));
    return Bytes(bytes.begin(), bytes.end());
  }
  if (kind == RecordKind::add_device) {
    store::DeviceRow row;
    row.uuid = uuid_of(input.u8());
    row.first_chunk = input.flag() ? disk_bytes / 65536 : input.edgy(64);
    row.chunk_count = input.edgy(20);  // The allocator has a bit for each, as it must.
    row.state = input.u8() % 3;
    const auto bytes = std::as_bytes(std::span(&row, 1));
    return Bytes(bytes.begin(), bytes.end());
  }
  return kind == RecordKind::put_record ? Bytes(input.edgy(12)) : Bytes();
}

void put_random_record(Input& input, Bytes& records) {
  constexpr RecordKind kinds[] = {
      RecordKind::map_entry,     RecordKind::map_entry,    RecordKind::clear_leaf,
      RecordKind::metadata_chunk, RecordKind::create_layer, RecordKind::layer_state,
      RecordKind::resize_layer,  RecordKind::remove_layer, RecordKind::put_record,
      RecordKind::delete_record, RecordKind::merge_chunk,  RecordKind::merge_leaf,
      RecordKind::reserve_layer, RecordKind::add_device,   RecordKind::device_state,
      RecordKind{99}};
  Record record;
  record.kind = kinds[input.below(16)];
  record.a = input.flag() ? input.below(8) : static_cast<uint32_t>(input.edgy(32));
  record.b = input.flag() ? input.below(64) : input.edgy(64);
  record.c = input.flag() ? input.below(4) : input.edgy(64);
  const uint8_t way = input.u8();
  if (record.kind == RecordKind::map_entry && (way & 1) != 0) {
    // A chunk of the disk, and masks: what a real one is like.
    record.c = store::MapEntry{input.u8(), static_cast<uint16_t>(way >> 1), 0}.pack();
  }
  const Bytes bytes = payload(input, record.kind);
  record.payload = bytes;
  store::encode_record(records, record);
}

void run(Input input) {
  sim::DiskImage image = used_image();
  const store::Superblock superblock = superblock_of(image);
  const store::Journal journal(superblock.pool, superblock.journal_first_chunk,
                               superblock.journal_bytes);
  End end = end_of(image, journal, superblock);
  const uint32_t commits = input.below(3);
  for (uint32_t i = 0; i < commits; ++i) {
    Bytes records;
    for (uint32_t count = input.below(12) + 1; count > 0; --count) {
      put_random_record(input, records);
    }
    if (input.below(16) == 0) records.resize(records.size() - input.u8() % records.size());
    Bytes blocks;
    journal.encode(records, end.sequence, end.position, blocks);
    for (size_t at = 0; at < blocks.size(); at += 4096) {
      image.write(journal.offset_of(end.position++), std::span(blocks).subspan(at, 4096));
    }
    ++end.sequence;
  }
  for (uint32_t flips = input.below(4); flips > 0; --flips) {
    const uint64_t position = superblock.journal_position + input.below(16);
    const uint64_t offset = journal.offset_of(position) + input.u16() % 4096;
    std::byte byte[1];
    image.read(offset, byte);
    byte[0] ^= std::byte{input.u8()};
    image.write(offset, byte);
  }
  look_and_use(image);
}

}  // namespace
}  // namespace ashlar::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ashlar::fuzz::run({bytes, size});
  return 0;
}
