// Tail: does anything of a layer lie beyond a new, smaller end? Asked before a layer shrinks.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"

namespace ashlar::store {

class PoolImpl;
struct Layer;

// The first byte at or beyond `size_bytes` that the layer or one above it holds, also as zeroes over
// an ancestor; UINT64_MAX: none. Reads maps, and only of the tail.
void find_beyond(PoolImpl& pool, Layer& layer, uint64_t size_bytes,
                 std::function<void(Result<uint64_t>)> done);

}  // namespace ashlar::store
