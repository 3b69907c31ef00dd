// A pool on two real reactors, driven from the test's own thread, and the workers that keep both of
// them busy. What a worker did, and when, is the past by which a snapshot's content is judged.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "base/copy.h"
#include "device/memory_device.h"
#include "device/uring_device.h"
#include "pool_fixture.h"
#include "reactor/system.h"
#include "reactor/uring.h"

namespace ashlar::store::testing {

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

// The blocks that a scenario uses: those of `chunks` chunks, over `leaves` leaves of the map in
// turn. In each leaf every other chunk is one reactor's to write.
struct Places {
  static constexpr uint64_t block = 4096;
  static constexpr uint64_t chunk_blocks = limits::blocks_per_chunk;
  uint64_t chunks;
  uint64_t leaves = 1;

  uint64_t blocks() const { return chunks * chunk_blocks; }
  uint64_t volume_bytes() const {
    return ((leaves - 1) * limits::words_per_page + chunks / leaves) * limits::chunk_bytes;
  }
  uint64_t offset(uint64_t number) const {
    const uint64_t chunk = number / chunk_blocks;
    const uint64_t index = chunk % leaves * limits::words_per_page + chunk / leaves;
    return index * limits::chunk_bytes + number % chunk_blocks * block;
  }
  // The first block of the reactor's chunk `own`, of chunks / 2.
  uint64_t own(uint32_t reactor, uint64_t own) const {
    return ((own / leaves * 2 + reactor) * leaves + own % leaves) * chunk_blocks;
  }
};

// What a block holds: the stamp of its last write, 0 for zeroes.
using Values = std::vector<uint64_t>;
inline constexpr uint64_t torn = UINT64_MAX;

inline void put_value(std::byte* at, uint64_t value) {
  std::memcpy(at, &value, sizeof value);
  std::memcpy(at + Places::block - sizeof value, &value, sizeof value);
}
inline uint64_t get_value(const std::byte* at) {
  uint64_t words[2];
  std::memcpy(&words[0], at, 8);
  std::memcpy(&words[1], at + Places::block - 8, 8);
  return words[0] == words[1] ? words[0] : torn;
}

// Counts moments, over all threads. Relaxed: it must not order what the store has to order.
class Moments {
 public:
  uint64_t next() noexcept { return count_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{1};
};

// From one moment to another.
struct Span {
  uint64_t from = 0;
  uint64_t to = UINT64_MAX;
};

// What was done to each block, one command after the other.
class Past {
 public:
  explicit Past(Values initial) : initial_(std::move(initial)), commands_(initial_.size()) {}
  struct Command {
    uint64_t begun = 0;
    uint64_t ended = UINT64_MAX;
    uint64_t value = 0;
  };
  void begin(uint64_t number, uint64_t moment, uint64_t value) {
    commands_[number].push_back({moment, UINT64_MAX, value});
  }
  void end(uint64_t number, uint64_t moment) { commands_[number].back().ended = moment; }
  uint64_t value(uint64_t number) const {
    return commands_[number].empty() ? initial_[number] : commands_[number].back().value;
  }
  bool touched(uint64_t number) const { return !commands_[number].empty(); }
  const Command& last(uint64_t number) const { return commands_[number].back(); }

  // When the volume can have been as `value` says. A command takes effect at a moment between its
  // begin and its end: until the next one's end it may be the last that had.
  std::vector<Span> spans(uint64_t number, uint64_t value, Span within) const {
    std::vector<Span> found;
    const auto add = [&](Span span) {
      span = {std::max(span.from, within.from), std::min(span.to, within.to)};
      if (span.from > span.to) return;
      if (!found.empty() && found.back().to >= span.from) {
        found.back().to = std::max(found.back().to, span.to);
      } else {
        found.push_back(span);
      }
    };
    const auto& commands = commands_[number];
    const auto next_end = [&](size_t i) {
      return i < commands.size() ? commands[i].ended : within.to;
    };
    if (value == initial_[number]) add({0, next_end(0)});
    for (size_t i = 0; i < commands.size(); ++i) {
      if (commands[i].value == value) add({commands[i].begun, next_end(i + 1)});
    }
    return found;
  }

 private:
  Values initial_;
  std::vector<std::vector<Command>> commands_;
};

// Looks for one instant that explains every block.
class Instant {
 public:
  // Block `number` holds `value`, as it can have at `spans`.
  void add(uint64_t number, uint64_t value, const std::vector<Span>& spans) {
    ++blocks_;
    if (spans.empty() && impossible_.empty()) {
      impossible_ = "block " + std::to_string(number) + " holds " +
                    (value == torn ? "a mixture" : std::to_string(value));
    }
    for (const Span& span : spans) {
      edges_.emplace_back(span.from, Edge::begin);
      edges_.emplace_back(span.to, Edge::end);
    }
  }
  // Empty: there is one.
  std::string problem() {
    if (!impossible_.empty()) return impossible_;
    std::sort(edges_.begin(), edges_.end());
    uint64_t inside = 0;
    uint64_t most = 0;
    for (const auto& [moment, edge] : edges_) {
      if (edge == Edge::begin) {
        most = std::max(most, ++inside);
      } else {
        --inside;
      }
    }
    if (most == blocks_) return {};
    return "of " + std::to_string(blocks_) + " blocks at most " + std::to_string(most) +
           " are of one instant";
  }

 private:
  uint64_t blocks_ = 0;
  std::string impossible_;
  enum class Edge : uint8_t { begin, end };  // Of spans that meet, one begins first.
  std::vector<std::pair<uint64_t, Edge>> edges_;
};

// Random commands of one reactor, always `depth` of them under way. Writes stay in its own chunks,
// so that what a block must hold is known.
class Worker {
 public:
  static constexpr uint32_t depth = 16;
  static constexpr uint64_t most_blocks = 4;  // Of a command.
  static constexpr uint64_t turn = 256;       // Commands.

  struct Options {
    uint64_t seed = 1;
    uint64_t commands = UINT64_MAX;  // Then it ends by itself.
    bool judges_reads = true;
    bool in_place = false;  // Lent reads and writes in place, wherever the volume says yes.
  };
  Worker(UringReactor& reactor, Volume& volume, Moments& moments, Places places,
         const Values& initial, Options options)
      : reactor_(reactor),
        volume_(volume),
        moments_(moments),
        places_(places),
        options_(options),
        random_(options.seed * 2 + reactor.index()),
        stamp_(options.seed << 32 | uint64_t{reactor.index()} << 31),
        past_(initial) {
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
  // It begins nothing more; wait() then waits for what is under way.
  void stop() {
    call_there(reactor_, [this] { options_.commands = 0; });
  }
  void wait() { ended_.acquire(); }
  // Until it has done one turn more.
  void wait_turn() { turns_.acquire(); }

  // After wait().
  uint64_t wrong() const { return wrong_; }
  uint64_t in_place() const { return in_place_; }
  const Past& past() const { return past_; }
  template <class Function>
  void for_each_own(Function function) const {
    for (uint64_t i = 0; i < places_.chunks / 2; ++i) {
      const uint64_t first = places_.own(reactor_.index(), i);
      for (uint64_t b = 0; b < Places::chunk_blocks; ++b) function(first + b);
    }
  }

 private:
  struct Op {
    BlockIo io;
    AlignedBuffer memory{most_blocks * Places::block};
    iovec segment{};
    Worker* worker = nullptr;
    uint64_t first = 0;
    uint64_t blocks = 0;  // 0: it is not under way, or a flush.
    Loan loan;
    struct Later : Task {
      Op* op = nullptr;
    } later;
  };

  void next(Op& op) {
    if (done_ >= options_.commands) {
      if (++idle_ == depth) ended_.release();
      return;
    }
    if (++done_ % turn == 0) turns_.release();
    const uint64_t dice = random_.below(100);
    op.io = BlockIo{};
    op.io.op = dice < 40   ? BlockOp::read
               : dice < 80 ? BlockOp::write
               : dice < 90 ? BlockOp::deallocate
               : dice < 95 ? BlockOp::write_zeroes
                           : BlockOp::flush;
    if (op.io.op != BlockOp::flush) aim(op);
    op.io.fua = op.io.op == BlockOp::write && random_.one_in(8);
    op.io.context = &op;
    op.io.done = [](BlockIo& io) noexcept {
      Op& ended = *static_cast<Op*>(io.context);
      ended.worker->judge(ended);
      ended.worker->next(ended);
    };
    if (!options_.in_place || !go_in_place(op)) volume_.submit(reactor_.index(), op.io);
  }
  // A loan is looked at and given back in the turn after, as the target does.
  bool go_in_place(Op& op) {
    const BlockIo& io = op.io;
    op.loan = Loan{};
    if (io.op == BlockOp::read) {
      if (!volume_.lend(reactor_.index(), io.offset_bytes, io.length_bytes, op.loan)) return false;
    } else if (io.op != BlockOp::write || io.fua ||
               !volume_.write_in_place(reactor_.index(), io.offset_bytes,
                                       {op.memory.data(), io.length_bytes})) {
      return false;
    }
    ++in_place_;
    op.later.op = &op;
    op.later.run = [](Task& task) noexcept {
      Op& ended = *static_cast<Op::Later&>(task).op;
      std::byte* to = ended.memory.data();
      for (const iovec& piece : ended.loan.segments()) {
        std::memcpy(to, piece.iov_base, piece.iov_len);
        to += piece.iov_len;
      }
      fence_copies();
      Worker& worker = *ended.worker;
      if (ended.io.op == BlockOp::read)
        worker.volume_.end_loan(worker.reactor_.index(), ended.loan);
      ended.io.done(ended.io);
    };
    reactor_.defer(op.later);
    return true;
  }
  void aim(Op& op) {
    do {
      const uint64_t at = random_.below(Places::chunk_blocks);
      op.first = places_.own(reactor_.index(), random_.below(places_.chunks / 2)) + at;
      op.blocks = std::min(1 + random_.below(most_blocks), Places::chunk_blocks - at);
    } while (busy(op));
    op.io.offset_bytes = places_.offset(op.first);
    op.io.length_bytes = op.blocks * Places::block;
    if (op.io.op == BlockOp::read || op.io.op == BlockOp::write) {
      op.segment = {op.memory.data(), op.io.length_bytes};
      op.io.segments = {&op.segment, 1};
    }
    if (op.io.op == BlockOp::read) return;
    const uint64_t value = op.io.op == BlockOp::write ? ++stamp_ : 0;
    const uint64_t begun = moments_.next();
    for (uint64_t i = 0; i < op.blocks; ++i) {
      if (value != 0) put_value(op.memory.data() + i * Places::block, value);
      past_.begin(op.first + i, begun, value);
    }
  }
  bool busy(const Op& op) const {
    return std::any_of(ops_.begin(), ops_.end(), [&](const auto& other) {
      return other.get() != &op && other->first < op.first + op.blocks &&
             op.first < other->first + other->blocks;
    });
  }
  void judge(Op& op) {
    const uint64_t moment = moments_.next();
    const uint64_t blocks = std::exchange(op.blocks, 0);
    if (op.io.status != BlockStatus::ok) ++wrong_;
    for (uint64_t i = 0; i < blocks; ++i) {
      if (op.io.op != BlockOp::read) {
        past_.end(op.first + i, moment);
      } else if (options_.judges_reads && get_value(op.memory.data() + i * Places::block) !=
                                              past_.value(op.first + i)) {
        ++wrong_;
      }
    }
  }

  UringReactor& reactor_;
  Volume& volume_;
  Moments& moments_;
  const Places places_;
  Options options_;
  sim::SimRandom random_;
  uint64_t stamp_;
  Past past_;
  std::vector<std::unique_ptr<Op>> ops_;
  uint64_t wrong_ = 0;
  uint64_t in_place_ = 0;
  uint64_t done_ = 0;
  uint32_t idle_ = 0;
  std::counting_semaphore<> turns_{0};
  std::binary_semaphore ended_{0};
};

// The pool, its devices and both reactors; reactor 0 is the owner. Every call waits for its answer.
class Rig {
 public:
  enum class Kind : uint8_t { memory, file };

  Rig(Kind kind, uint64_t size_bytes) {
    for (uint32_t i = 0; i < 2; ++i) {
      UringOptions options;
      options.index = i;
      options.buffer_bytes = 4 << 20;
      auto reactor = UringReactor::start(options);
      CHECK(reactor.ok());
      reactors_.push_back(std::move(reactor).value());
    }
    kind == Kind::memory ? use_memory(size_bytes) : use_file(size_bytes);
    options_.uuid = uuid_of(1);
    options_.journal_bytes = 1 << 20;
    options_.map_cache_bytes = 8192;  // Pages come and go all the time.
    std::vector<Port> ports;
    for (uint32_t i = 0; i < 2; ++i) ports.push_back({reactors_[i].get(), devices_[i].get()});
    on_owner([&](auto done) {
      Pool::create(ports, 0, options_, random_, [&, done](Result<std::unique_ptr<Pool>> made) {
        CHECK(made.ok());
        pool_ = std::move(made).value();
        done();
      });
    });
  }
  ~Rig() {
    on_owner([&](auto done) {
      pool_->close([&, done](Status status) {
        CHECK(status.ok());
        call_there(*reactors_[0], [&, done] {
          pool_.reset();
          done();
        });
      });
    });
    for (auto& reactor : reactors_) reactor->stop();
    devices_.clear();
    if (!path_.empty()) unlink(path_.c_str());
  }

  UringReactor& reactor(uint32_t index) { return *reactors_[index]; }
  Moments& moments() { return moments_; }

  // Answers when it was asked for and when it was done.
  Span commit(const std::vector<Change>& changes) {
    Span span;
    on_owner([&](auto done) {
      span.from = moments_.next();
      pool_->commit(changes, [&, done](Status status) {
        CHECK(status.ok());
        span.to = moments_.next();
        done();
      });
    });
    return span;
  }
  Volume& open(uint64_t number, bool read_only = false) {
    Volume* volume = nullptr;
    on_owner([&](auto done) {
      volume = pool_->open_volume(uuid_of(number), read_only).value();
      done();
    });
    return *volume;
  }
  void close(Volume& volume) {
    on_owner([&](auto done) { pool_->close_volume(volume, done); });
  }
  // Every block of the volume, half of the chunks read by each reactor.
  Values read(Volume& volume, Places places) {
    Values values(places.blocks(), torn);
    std::counting_semaphore<> read(0);
    std::atomic<uint64_t> wrong{0};
    std::vector<std::unique_ptr<TestIo>> ios;
    for (uint64_t chunk = 0; chunk < places.chunks; ++chunk) {
      ios.push_back(std::make_unique<TestIo>(
          BlockOp::read, places.offset(chunk * Places::chunk_blocks), limits::chunk_bytes));
      TestIo& io = *ios.back();
      io.then = [&, chunk] {
        if (io.io.status != BlockStatus::ok) ++wrong;
        for (uint64_t b = 0; b < Places::chunk_blocks; ++b) {
          const std::byte* at = io.memory.data() + b * Places::block;
          values[chunk * Places::chunk_blocks + b] = get_value(at);
        }
        read.release();
      };
      const uint32_t reactor = static_cast<uint32_t>(chunk / 2 % 2);
      call_there(*reactors_[reactor], [&volume, &io, reactor] { volume.submit(reactor, io.io); });
    }
    for (uint64_t i = 0; i < places.chunks; ++i) read.acquire();
    CHECK(wrong == 0);
    return values;
  }
  Values read_layer(uint64_t number, Places places) {
    Volume& volume = open(number, true);
    Values values = read(volume, places);
    close(volume);
    return values;
  }
  // Until the background has nothing left to do.
  void settle() {
    for (bool idle = false; !idle;) {
      on_owner([&](auto done) {
        pool_->checkpoint([&, done](Status status) {
          CHECK(status.ok());
          idle = pool_->status().reclaiming_layers == 0;
          done();
        });
      });
    }
  }
  // Empty: the pool is clean.
  std::string check() {
    std::string text;
    on_owner([&](auto done) {
      pool_->check([&, done](Result<CheckReport> report) {
        if (!report.ok()) {
          text = report.error().message;
        } else {
          for (const auto& each : report.value().problems) text += each.where + ": " + each.what;
        }
        done();
      });
    });
    return text;
  }

 private:
  void use_memory(uint64_t size_bytes) {
    const auto memory = DeviceMemory::open(size_bytes).value();
    for (auto& reactor : reactors_) {
      devices_.push_back(std::make_unique<MemoryDevice>(*reactor, memory));
    }
  }
  void use_file(uint64_t size_bytes) {
    char path[] = "/tmp/ashlar-reactors-XXXXXX";
    const int made = mkstemp(path);
    CHECK(made >= 0);
    CHECK(ftruncate(made, static_cast<off_t>(size_bytes)) == 0);
    ::close(made);
    path_ = path;
    const auto file = DeviceFile::open({path_, size_bytes, false}).value();
    for (auto& reactor : reactors_) {
      devices_.push_back(std::make_unique<UringDevice>(*reactor, file));
    }
  }
  // `function` gets what it has to call, once, from the owner's loop, when it is done.
  template <class Function>
  void on_owner(Function function) {
    std::binary_semaphore answered(0);
    call_there(*reactors_[0], [&] { function([&answered] { answered.release(); }); });
    answered.acquire();
  }

  std::vector<std::unique_ptr<UringReactor>> reactors_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::string path_;
  SystemRandom random_;
  PoolOptions options_;
  Moments moments_;
  std::unique_ptr<Pool> pool_;
};

// Both reactors at work on one volume.
class Pair {
 public:
  Pair(Rig& rig, Volume& volume, Places places, const Values& initial, Worker::Options options) {
    for (uint32_t i = 0; i < 2; ++i) {
      workers_.push_back(std::make_unique<Worker>(rig.reactor(i), volume, rig.moments(), places,
                                                  initial, options));
    }
    for (auto& worker : workers_) worker->start();
  }
  void wait_turn() {
    for (auto& worker : workers_) worker->wait_turn();
  }
  void stop() {
    for (auto& worker : workers_) worker->stop();
  }
  void wait() {
    for (auto& worker : workers_) worker->wait();
  }
  // After wait().
  uint64_t wrong() const {
    uint64_t wrong = 0;
    for (const auto& worker : workers_) wrong += worker->wrong();
    return wrong;
  }
  uint64_t in_place() const {
    uint64_t in_place = 0;
    for (const auto& worker : workers_) in_place += worker->in_place();
    return in_place;
  }
  // Calls function(number, past) for each block.
  template <class Function>
  void for_each_block(Function function) const {
    for (const auto& worker : workers_) {
      worker->for_each_own([&](uint64_t number) { function(number, worker->past()); });
    }
  }
  // The last acknowledged value of each.
  Values values(Places places) const {
    Values values(places.blocks(), 0);
    for_each_block([&](uint64_t number, const Past& past) { values[number] = past.value(number); });
    return values;
  }

 private:
  std::vector<std::unique_ptr<Worker>> workers_;
};

inline Change layer_change(uint64_t number, Places places, uint64_t parent = 0,
                           uint64_t volume_from = 0) {
  Change change{};
  change.kind = Change::Kind::create_layer;
  change.layer = uuid_of(number);
  if (parent != 0) change.parent = uuid_of(parent);
  if (volume_from != 0) change.volume_from = uuid_of(volume_from);
  change.size_bytes = places.volume_bytes();
  change.block_bytes = Places::block;
  return change;
}
inline Change delete_change(uint64_t number) {
  Change change{};
  change.kind = Change::Kind::delete_layer;
  change.layer = uuid_of(number);
  return change;
}

}  // namespace ashlar::store::testing
