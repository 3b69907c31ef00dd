// Records: what the journal says. Each holds absolute new values, so that replay after the image
// it belongs to gives exactly the state at the time of the commit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/uuid.h"
#include "store/format.h"

namespace ashlar::store {

enum class RecordKind : uint32_t {
  map_entry = 1,       // a: layer slot, b: chunk index, c: the new MapEntry.
  clear_leaf = 2,      // a: layer slot, b: leaf index: every entry of that map page becomes 0.
  metadata_chunk = 3,  // a: space slot, b: chunk.
  create_layer = 4,    // a: layer slot, payload: CreateLayer.
  layer_state = 5,     // a: layer slot, b: LayerState (live, frozen, deleting).
  resize_layer = 6,    // a: layer slot, b: size in bytes.
  remove_layer = 7,    // a: layer slot: its map is empty, the slot is free.
  put_record = 8,      // b: key, c: bytes of payload.
  delete_record = 9,   // b: key.
  merge_chunk = 10,    // a: slot of a deleting layer, b: chunk index, c: mask of blocks copied.
  merge_leaf = 11,     // a: likewise, b: leaf index: what is left of it moves to the only child.
  reserve_layer = 12,  // a: layer slot, b: chunks promised.
  add_device = 20,     // a: index, payload: DeviceRow. Its first chunk becomes owned.
  device_state = 21,   // a: index, b: DeviceState.
};

struct RecordHeader {
  uint32_t kind = 0;
  uint32_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
};
static_assert(sizeof(RecordHeader) == 24);

struct CreateLayer {
  Uuid uuid{};
  uint32_t parent_slot_plus1 = 0;
  uint32_t block_bytes = 0;
  uint64_t size_bytes = 0;
  uint64_t created_sequence = 0;
};
static_assert(sizeof(CreateLayer) == 40);

struct Record {
  RecordKind kind{};
  uint32_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
  std::span<const std::byte> payload;
};

// Payloads are padded to 8 bytes with zeroes.
constexpr size_t encoded_bytes(size_t payload_bytes) noexcept {
  return sizeof(RecordHeader) + (payload_bytes + 7) / 8 * 8;
}
void encode_record(std::vector<std::byte>& out, const Record& record);

// Takes the next record off the front of `bytes`. Empty: what is there is no record (our commits
// carry a CRC, so this is a mistake of the writer or a damage that the CRC did not see).
std::optional<Record> decode_record(std::span<const std::byte>& bytes) noexcept;

}  // namespace ashlar::store
