// The table of namespaces: each is found by its NSID, whichever others there are.
#include "rig.h"

namespace ashlar::target::rig {
namespace {

TEST_CASE("namespaces: every set of the first ten NSIDs: each is found, and nothing else") {
  TestClock clock;
  TestLoop loop(clock, 0);
  MemoryVolume volume({&loop}, 4096, 4096);
  for (uint32_t set = 0; set < 1u << 10; ++set) {
    std::vector<Namespace> namespaces;
    for (uint32_t nsid = 10; nsid >= 1; --nsid) {
      if ((set >> (nsid - 1) & 1) != 0) namespaces.push_back({nsid, 1, false, &volume});
    }
    const NamespaceTable table(std::move(namespaces));
    for (const uint32_t nsid : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 11u, UINT32_MAX}) {
      const bool there = nsid >= 1 && nsid <= 10 && (set >> (nsid - 1) & 1) != 0;
      const Namespace* found = table.find(nsid);
      REQUIRE((found != nullptr) == there);
      if (there) REQUIRE(found->nsid == nsid);
    }
  }
}

}  // namespace
}  // namespace ashlar::target::rig
