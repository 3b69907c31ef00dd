#include "store/records.h"

#include <cstring>

#include "base/bytes.h"

namespace ashlar::store {

void encode_record(std::vector<std::byte>& out, const Record& record) {
  RecordHeader header;
  header.kind = static_cast<uint32_t>(record.kind);
  header.a = record.a;
  header.b = record.b;
  header.c = record.c;
  if (record.kind == RecordKind::put_record) header.c = record.payload.size();
  const size_t at = out.size();
  out.resize(at + encoded_bytes(record.payload.size()));
  std::memcpy(out.data() + at, &header, sizeof header);
  if (!record.payload.empty()) {
    std::memcpy(out.data() + at + sizeof header, record.payload.data(), record.payload.size());
  }
}

std::optional<Record> decode_record(std::span<const std::byte>& bytes) noexcept {
  if (bytes.size() < sizeof(RecordHeader)) return std::nullopt;
  const auto header = read_at<RecordHeader>(bytes);
  const bool of_devices = header.kind == static_cast<uint32_t>(RecordKind::add_device) ||
                          header.kind == static_cast<uint32_t>(RecordKind::device_state);
  if (!of_devices && (header.kind < static_cast<uint32_t>(RecordKind::map_entry) ||
                      header.kind > static_cast<uint32_t>(RecordKind::reserve_layer))) {
    return std::nullopt;
  }
  Record record{static_cast<RecordKind>(header.kind), header.a, header.b, header.c, {}};
  size_t payload = 0;
  if (record.kind == RecordKind::put_record) {
    if (header.c > limits::max_catalog_value_bytes) return std::nullopt;
    payload = header.c;
  } else if (record.kind == RecordKind::create_layer) {
    payload = sizeof(CreateLayer);
  } else if (record.kind == RecordKind::add_device) {
    payload = sizeof(DeviceRow);
  }
  if (bytes.size() < encoded_bytes(payload)) return std::nullopt;
  record.payload = bytes.subspan(sizeof header, payload);
  bytes = bytes.subspan(encoded_bytes(payload));
  return record;
}

}  // namespace ashlar::store
