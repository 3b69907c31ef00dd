// What the machine itself allows, measured by the simplest honest programs: the same bytes as
// NVMe/TCP would move, without a protocol and without a store. One JSON object on stdout.
//
//   limits ping --cpus A,B
//     One cache-line round trip between two CPUs.
//   limits tcp --cpus A,B --request BYTES --response BYTES --depth N --connections N --ms N
//              [--variant all|blocking|spin|epoll|uring] [--touch BYTES] [--congestion NAME]
//     Exchanges a second over loopback, the requester on CPU A, the responder on CPU B. The limit
//     is the best of the variants. What it includes: the kernel's copies and its TCP, and the
//     calls. What not: any work on what was received. Payload stays in the processor's cache; with
//     --touch it is sent from, and received into, memory of that size on each side, in turn.
//   limits device --path FILE --depth N --bytes N --ms N [--cpu A] [--span BYTES] [--sequential]
//              [--write --overwrite]
//     I/Os a second of a file or block device by io_uring: O_DIRECT, registered file and buffers.
#include <cstdio>
#include <cstring>

#include "common.h"

int main(int argc, char** argv) {
  using namespace ashlar::bench;
  const char* const kind = argc > 1 ? argv[1] : "";
  if (std::strcmp(kind, "ping") == 0) return run_ping(Options(argc, argv, 2, {"cpus"}));
  if (std::strcmp(kind, "tcp") == 0) {
    return run_tcp(Options(argc, argv, 2,
                           {"cpus", "request", "response", "depth", "connections", "ms", "variant",
                            "touch", "congestion"}));
  }
  if (std::strcmp(kind, "device") == 0) {
    return run_device(Options(
        argc, argv, 2,
        {"path", "depth", "bytes", "ms", "cpu", "span", "sequential", "write", "overwrite"}));
  }
  std::fprintf(stderr, "usage: limits ping|tcp|device OPTION... (see the head of limits.cc)\n");
  return 2;
}
