// MeterHandle: a meter as JavaScript holds it. The meter binding makes them; the target binding
// attaches namespaces with them.
#pragma once

#include <map>
#include <memory>

#include "addon/bridge.h"
#include "addon/runtime.h"
#include "target/meter.h"

namespace ashlar::addon {

struct MeterHandle final : Handle {
  static constexpr HandleKind handle_kind = HandleKind::meter;
  MeterHandle(std::shared_ptr<Runtime> of, std::shared_ptr<MeterHandle> above)
      : Handle(handle_kind),
        runtime(std::move(of)),
        parent(std::move(above)),
        meter(std::make_shared<target::Meter>(runtime->reactor_count(),
                                              parent == nullptr ? nullptr : parent->meter)) {}

  const std::shared_ptr<Runtime> runtime;
  // JavaScript thread.
  const std::shared_ptr<MeterHandle> parent;
  const std::shared_ptr<target::Meter> meter;
  // Those that are open, and not collected without having been closed.
  std::map<const MeterHandle*, std::weak_ptr<MeterHandle>> children;
  target::MeterSum past;  // What children counted that were closed.
};

}  // namespace ashlar::addon
