// Two real reactors, one volume: every path of the store at once, on threads that really run. Built
// with SANITIZE=thread it is the proof that what they share is shared properly; otherwise it proves
// that nothing is lost and that the pool is clean afterwards.
#include <unistd.h>

#include <cstring>
#include <semaphore>

#include "device/memory_device.h"
#include "device/uring_device.h"
#include "pool_fixture.h"
#include "reactor/system.h"
#include "reactor/uring.h"

#include "../test.h"

using namespace ashlar;
using namespace ashlar::store;
using namespace ashlar::store::testing;

namespace {

constexpr uint64_t block = 4096;
constexpr uint64_t volume_blocks = 4096;
constexpr uint64_t own_blocks = volume_blocks / 2;
constexpr uint32_t depth = 16;

template <class Function>
void call_there(Loop& loop, Function function) {
  struct Call : Task {
    explicit Call(Function f) : body(std::move(f)) {}
    Function body;
  };
  auto* call = new Call(std::move(function));
  call->run = [](Task& task) noexcept {
    auto* self = static_cast<Call*>(&task);
    self->body();
    delete self;
  };
  loop.post(*call);
}

// Random commands of one reactor. Writes stay in its own chunks, every other one of the volume, so
// that what a block must hold is known; reads go everywhere.
class Worker {
 public:
  Worker(UringReactor& reactor, Volume& volume, uint64_t commands)
      : reactor_(reactor), volume_(volume), random_(reactor.index() + 1), left_(commands),
        expected_(volume_blocks, 0) {
    for (uint32_t i = 0; i < depth; ++i) {
      ops_.push_back(std::make_unique<Op>());
      ops_.back()->worker = this;
    }
  }
  void start() {
    call_there(reactor_, [this] {
      for (auto& op : ops_) next(*op);
    });
  }
  void wait() { done_.acquire(); }
  uint64_t wrong() const { return wrong_; }

 private:
  struct Op {
    BlockIo io;
    AlignedBuffer memory{block};
    iovec segment{};
    Worker* worker = nullptr;
    uint64_t at = 0;
    uint64_t stamp = 0;
    bool mine = false;
  };

  void next(Op& op) {
    if (left_ == 0) {
      if (++ended_ == depth) done_.release();
      return;
    }
    --left_;
    const uint64_t dice = random_.below(100);
    op.io = BlockIo{};
    op.io.op = dice < 40   ? BlockOp::read
               : dice < 80 ? BlockOp::write
               : dice < 90 ? BlockOp::deallocate
               : dice < 95 ? BlockOp::write_zeroes
                           : BlockOp::flush;
    do {
      const uint64_t place = random_.below(own_blocks);
      op.at = (place / 16 * 2 + reactor_.index()) * 16 + place % 16;
    } while (busy(op));
    op.mine = op.io.op != BlockOp::flush;
    op.io.offset_bytes = op.mine ? op.at * block : 0;
    op.io.length_bytes = op.mine ? block : 0;
    if (op.io.op == BlockOp::write) {
      op.stamp = ++stamp_;
      std::memcpy(op.memory.data(), &op.stamp, sizeof op.stamp);
      std::memcpy(op.memory.data() + block - 8, &op.stamp, sizeof op.stamp);
    }
    if (op.io.op == BlockOp::read || op.io.op == BlockOp::write) {
      op.segment = {op.memory.data(), block};
      op.io.segments = {&op.segment, 1};
    }
    op.io.fua = op.io.op == BlockOp::write && random_.one_in(8);
    op.io.context = &op;
    op.io.done = [](BlockIo& io) noexcept {
      Op& ended = *static_cast<Op*>(io.context);
      ended.worker->judge(ended);
      ended.worker->next(ended);
    };
    volume_.submit(reactor_.index(), op.io);
  }
  bool busy(const Op& op) const {
    for (const auto& other : ops_) {
      if (other.get() != &op && other->mine && other->at == op.at) return true;
    }
    return false;
  }
  void judge(Op& op) {
    op.mine = false;
    if (op.io.status != BlockStatus::ok) ++wrong_;
    if (op.io.op == BlockOp::write) expected_[op.at] = op.stamp;
    if (op.io.op == BlockOp::deallocate || op.io.op == BlockOp::write_zeroes) expected_[op.at] = 0;
    if (op.io.op != BlockOp::read) return;
    uint64_t words[2];
    std::memcpy(&words[0], op.memory.data(), 8);
    std::memcpy(&words[1], op.memory.data() + block - 8, 8);
    if (words[0] != expected_[op.at] || words[1] != expected_[op.at]) ++wrong_;
  }

  UringReactor& reactor_;
  Volume& volume_;
  sim::SimRandom random_;
  uint64_t left_;
  std::vector<uint64_t> expected_;
  std::vector<std::unique_ptr<Op>> ops_;
  uint64_t stamp_ = 0;
  uint64_t wrong_ = 0;
  uint32_t ended_ = 0;
  std::binary_semaphore done_{0};
};

void hammer(std::vector<std::unique_ptr<UringReactor>>& reactors, std::vector<Port> ports) {
  SystemRandom random;
  PoolOptions options;
  options.uuid = uuid_of(1);
  options.map_cache_bytes = 8192;  // Pages come and go all the time.
  std::unique_ptr<Pool> pool;
  Volume* volume = nullptr;
  std::binary_semaphore step(0);
  Change layer{};
  layer.kind = Change::Kind::create_layer;
  layer.layer = uuid_of(9);
  layer.size_bytes = volume_blocks * block;
  layer.block_bytes = block;
  call_there(*reactors[0], [&] {
    Pool::create(ports, 0, options, random, [&](Result<std::unique_ptr<Pool>> made) {
      pool = std::move(made).value();
      pool->commit({layer}, [&](Status status) {
        CHECK(status.ok());
        volume = pool->open_volume(uuid_of(9)).value();
        step.release();
      });
    });
  });
  step.acquire();
  Worker first(*reactors[0], *volume, 20'000);
  Worker second(*reactors[1], *volume, 20'000);
  first.start();
  second.start();
  first.wait();
  second.wait();
  CHECK_EQ(first.wrong(), 0);
  CHECK_EQ(second.wrong(), 0);
  size_t problems = 1;
  call_there(*reactors[0], [&] {
    pool->check([&](Result<CheckReport> report) {
      if (report.ok()) problems = report.value().problems.size();
      pool->close_volume(*volume, [&] {
        pool->close([&](Status status) {
          CHECK(status.ok());
          call_there(*reactors[0], [&] {
            pool.reset();
            step.release();
          });
        });
      });
    });
  });
  step.acquire();
  CHECK_EQ(problems, 0);
}

std::vector<std::unique_ptr<UringReactor>> two_reactors() {
  std::vector<std::unique_ptr<UringReactor>> reactors;
  for (uint32_t i = 0; i < 2; ++i) {
    UringOptions options;
    options.index = i;
    options.buffer_bytes = 4 << 20;
    auto reactor = UringReactor::start(options);
    REQUIRE(reactor.ok());
    reactors.push_back(std::move(reactor).value());
  }
  return reactors;
}

}  // namespace

TEST_CASE("store on two reactors: memory: every block is its last write, and the pool is clean") {
  auto reactors = two_reactors();
  const auto memory = DeviceMemory::open(64ull << 20).value();
  MemoryDevice first(*reactors[0], memory);
  MemoryDevice second(*reactors[1], memory);
  hammer(reactors, {{reactors[0].get(), &first}, {reactors[1].get(), &second}});
  for (auto& reactor : reactors) reactor->stop();
}

TEST_CASE("store on two reactors: a file: every block is its last write, and the pool is clean") {
  auto reactors = two_reactors();
  char path[] = "/tmp/ashlar-reactors-XXXXXX";
  const int made = mkstemp(path);
  REQUIRE(made >= 0);
  REQUIRE(ftruncate(made, 64 << 20) == 0);
  ::close(made);
  {
    const auto file = DeviceFile::open({path, 64ull << 20, false}).value();
    UringDevice first(*reactors[0], file);
    UringDevice second(*reactors[1], file);
    hammer(reactors, {{reactors[0].get(), &first}, {reactors[1].get(), &second}});
    for (auto& reactor : reactors) reactor->stop();
  }
  unlink(path);
}
