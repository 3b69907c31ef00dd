// A target with two namespaces that differ in one thing: NSID 1 is a volume of a pool in memory,
// NSID 2 a flat piece of memory. Serves on 127.0.0.1 until its input ends.
//
//   plain BYTES BUSY_POLL_US CPU...    a reactor on each CPU
//
// Prints the port as its first line.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "control.h"
#include "heard.h"
#include "plain_memory.h"
#include "reactor/uring.h"
#include "store/pool.h"
#include "target/call.h"

using namespace ashlar;
using namespace ashlar::bench;

namespace {

constexpr uint64_t MiB = 1 << 20;
constexpr Uuid pool_uuid{std::byte{0xb5}};
constexpr Uuid layer_uuid{std::byte{0xb6}};

// The value, or the end of the program with the reason.
template <class T>
T take(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

// Calls `start` on the loop with a callback, and waits for what that is given.
template <class T>
T await_on(Loop& loop, std::function<void(std::function<void(T)>)> start) {
  auto answer = std::make_shared<std::promise<T>>();
  std::future<T> future = answer->get_future();
  target::call_on(loop, [start = std::move(start), answer] {
    start([answer](T value) { answer->set_value(std::move(value)); });
  });
  return future.get();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const uint64_t bytes = std::strtoull(argv[1], nullptr, 10);
  const auto busy_poll_us = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10));

  std::vector<std::unique_ptr<UringReactor>> reactors;
  std::vector<Loop*> loops;
  std::vector<target::ReactorPort> ports;
  for (int i = 3; i < argc; ++i) {
    UringOptions options;
    options.index = static_cast<uint32_t>(i - 3);
    options.cpu = std::atoi(argv[i]);
    options.busy_poll_us = busy_poll_us;
    reactors.push_back(take(UringReactor::start(options)));
    UringReactor& reactor = *reactors.back();
    loops.push_back(&reactor);
    ports.push_back({&reactor, &reactor.network(), &reactor.buffers(), &reactor.counters()});
  }
  Loop& home = *loops[0];

  const auto pool_memory = take(DeviceMemory::open(bytes + bytes / 4 + 256 * MiB, true));
  std::vector<std::unique_ptr<MemoryDevice>> devices;
  std::vector<store::Port> channels;
  for (Loop* loop : loops) {
    devices.push_back(std::make_unique<MemoryDevice>(*loop, pool_memory));
    channels.push_back({loop, devices.back().get()});
  }
  store::PoolOptions settings;
  settings.uuid = pool_uuid;
  using MadePool = Result<std::unique_ptr<store::Pool>>;
  const auto pool = take(await_on<MadePool>(home, [&](std::function<void(MadePool)> done) {
    store::Pool::create(channels, 0, settings, reactors[0]->random(), std::move(done));
  }));
  store::Change change{};
  change.kind = store::Change::Kind::create_layer;
  change.layer = layer_uuid;
  change.size_bytes = bytes;
  change.block_bytes = 4096;
  take(await_on<Status>(
      home, [&](std::function<void(Status)> done) { pool->commit({change}, std::move(done)); }));
  using Opened = Result<store::Volume*>;
  store::Volume* const thin = take(await_on<Opened>(
      home, [&](const std::function<void(Opened)>& done) { done(pool->open_volume(layer_uuid)); }));
  PlainMemory plain(loops, take(DeviceMemory::open(bytes, true)));

  Control control;
  target::Target target(ports, control);
  control.serve(target, {thin, &plain});
  using Port = Result<uint16_t>;
  const uint16_t port = take(await_on<Port>(home, [&](std::function<void(Port)> done) {
    target.listen({1, {"127.0.0.1", 0}, true, true}, std::move(done));
  }));
  std::printf("%u\n", port);
  std::fflush(stdout);
  for (char byte = 0; ::read(STDIN_FILENO, &byte, 1) > 0;) heard(byte);
  // Nothing here outlives the program, so nothing is put in order.
  std::_Exit(0);
}
