// VolumeHandle: an open volume as JavaScript holds it. The pool binding makes them; the target
// binding needs no more of one than its blocks.
#pragma once

#include "addon/bridge.h"
#include "base/block_io.h"

namespace ashlar::addon {

class VolumeHandle : public Handle {
 public:
  static constexpr HandleKind handle_kind = HandleKind::volume;

  VolumeHandle() : Handle(handle_kind) {}
  // Valid until volumeClose has resolved.
  virtual BlockBackend& backend() noexcept = 0;
};

}  // namespace ashlar::addon
