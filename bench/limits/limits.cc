// What a device itself allows, measured by the simplest honest program, which shares no code with
// ours. One JSON object on stdout.
//
//   limits --path FILE --depth N --bytes N --ms N [--cpu A] [--span BYTES] [--sequential]
//          [--write --overwrite]
//     I/Os a second of a file or block device by io_uring: O_DIRECT, registered file and buffers.
#include "common.h"

int main(int argc, char** argv) {
  using namespace ashlar::bench;
  return run_device(
      Options(argc, argv, 1,
              {"path", "depth", "bytes", "ms", "cpu", "span", "sequential", "write", "overwrite"}));
}
