// NamespaceTable: what one controller shows its host, as an immutable snapshot.
//
// The control plane replaces the table as a whole. Every connection of the controller gets the new
// one by message; the old one is gone when no command of a removed namespace is at the store.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/block_io.h"
#include "base/check.h"
#include "target/limits.h"
#include "target/validate.h"

namespace ashlar::target {

class Meter;

struct Namespace {
  uint32_t nsid = 0;
  uint32_t anagrpid = 1;
  bool read_only = false;
  BlockBackend* backend = nullptr;
  ReservationRule reservation = ReservationRule::none;
  std::shared_ptr<Meter> meter = nullptr;  // Null: nothing is counted or limited.
};

class NamespaceTable {
 public:
  NamespaceTable() = default;
  explicit NamespaceTable(std::vector<Namespace> namespaces) : namespaces_(std::move(namespaces)) {
    std::sort(namespaces_.begin(), namespaces_.end(),
              [](const Namespace& a, const Namespace& b) { return a.nsid < b.nsid; });
    for (const Namespace& ns : namespaces_) CHECK(ns.backend != nullptr);
  }

  // Null when the NSID is not attached.
  const Namespace* find(uint32_t nsid) const noexcept {
    // NSIDs are given from 1 on, so a host that sees all of them finds each in its place.
    if (nsid - 1 < namespaces_.size() && namespaces_[nsid - 1].nsid == nsid) {
      return &namespaces_[nsid - 1];
    }
    const Namespace* ns = at_or_after(nsid);
    return ns != nullptr && ns->nsid == nsid ? ns : nullptr;
  }
  // The first with an NSID of at least this; null when there is none.
  const Namespace* at_or_after(uint32_t nsid) const noexcept {
    const auto at = std::lower_bound(
        namespaces_.begin(), namespaces_.end(), nsid,
        [](const Namespace& ns, uint32_t value) { return ns.nsid < value; });
    return at == namespaces_.end() ? nullptr : &*at;
  }
  size_t size() const noexcept { return namespaces_.size(); }

 private:
  std::vector<Namespace> namespaces_;
};

}  // namespace ashlar::target
