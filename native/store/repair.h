// Repair: mends what follows with certainty from what is proved intact, and nothing else.
//
// The maps, the layer table and the catalog are the truth: what they hold is held nowhere else. The
// bitmap, the space map, the counters and the figures of layers only say it once more, and are made
// anew from them; a superblock copy is made anew from the other. So repair first walks the image as
// `check` does. If a part of the truth is damaged, the rest cannot be made from it with certainty:
// then nothing at all is changed.
//
// What is written goes to pages that the image does not use; one durable write of the superblock
// copy that does not count makes it the image, as a checkpoint does. A crash before it leaves the
// pool as it was. The journal's place stays, so the next open replays onto the mended image.
#pragma once

#include <cstdint>
#include <functional>

#include "store/pool.h"

namespace ashlar::store {

struct RepairReport {
  CheckReport found;       // As `check` would tell, and the journal.
  bool mendable = true;    // All of that can be mended; otherwise nothing was changed.
  bool changed = false;    // It was, on the device.
  uint64_t pages_written = 0;
  CheckReport checked;     // Changed: the walk afterwards. Empty problems: mended, and proved.
};

// The device of a pool that nobody has open. Errors: pool_not_a_pool, pool_newer_format,
// pool_truncated, pool_corrupt (both superblocks), io_error (writing; the pool is as it was, or
// mended).
void repair_pool(Device& device, bool dry_run,
                 std::function<void(Result<RepairReport>)> done);

}  // namespace ashlar::store
