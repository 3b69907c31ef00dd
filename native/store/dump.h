// Dump: what lies on a pool's device, as rows, for people who debug. It proves each structure as
// `open` would before it shows it, shows what it can, and says what it cannot. Never a volume's
// data.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "device/device.h"

namespace ashlar::store {

enum class DumpSection : uint8_t {
  superblock,  // Both copies.
  devices,
  layers,      // The layer table.
  map,         // Of one layer: runs of entries.
  space,       // Metadata chunks and which of their pages are used.
  journal,     // Commits that the next open would replay, and how the journal ends.
  kill_log,    // Both halves.
  catalog,     // Keys and values.
};

using DumpValue = std::variant<uint64_t, std::string, std::vector<std::byte>>;
// Fields by name, in the order in which they are to be shown. "row" says what it is; a row
// "problem" tells of a part that cannot be shown.
using DumpRow = std::vector<std::pair<const char*, DumpValue>>;

// Where a section goes on; all zero: its beginning.
struct DumpCursor {
  uint64_t at = 0;
  uint64_t sequence = 0;
};

struct DumpPage {
  std::vector<DumpRow> rows;
  std::optional<DumpCursor> next;  // None: that was all.
};

struct DumpRequest {
  DumpSection section = DumpSection::superblock;
  uint64_t layer_slot = 0;  // map
  DumpCursor cursor;
  uint32_t limit = 1024;    // Rows, roughly; 1 MiB of catalog values ends an answer too.
};

// The device of a pool that nobody has open. Errors: pool_not_a_pool, pool_newer_format,
// pool_corrupt (no superblock; that section can be shown all the same), not_found (the layer slot).
void dump_pool(Device& device, const DumpRequest& request,
               std::function<void(Result<DumpPage>)> done);

}  // namespace ashlar::store
