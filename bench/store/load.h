// Load: commands of 4 KiB (or larger) kept under way on a volume, from the owner's own reactor, with
// the latency of each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "reactor/loop.h"
#include "store/cold_io.h"
#include "store/pool.h"

namespace ashlar::bench {

class Load {
 public:
  struct Options {
    BlockOp op = BlockOp::read;
    uint32_t depth = 32;
    uint64_t io_bytes = 4096;
    uint64_t span_bytes = 0;    // From the volume's start.
    uint64_t first_bytes = 0;   // Sequential: where it begins.
    bool sequential = false;    // Ends at the end of the span.
    uint64_t seed = 1;
    // Commands that become due a second, 0: one after the other. A latency counts from when the
    // command was due, whether or not another one had to end before it could begin.
    uint64_t per_second = 0;
  };

  Load(Loop& loop, store::Volume& volume, const Options& options)
      : loop_(loop), volume_(volume), options_(options), random_(options.seed * 2654435761u + 1) {
    tick_.load = this;
    tick_.fire = [](Timer& timer) noexcept { static_cast<Tick&>(timer).load->tick(); };
  }

  // The reactor's thread. `ended` when it was stopped, or is through.
  void start(std::function<void()> ended) {
    ended_ = std::move(ended);
    began_ns_ = loop_.clock().now_ns();
    for (uint32_t i = 0; i < options_.depth; ++i) {
      commands_.push_back(std::make_unique<Command>(*this));
      if (options_.per_second > 0) {
        idle_.push_back(commands_.back().get());
      } else {
        next(*commands_.back(), began_ns_);
      }
    }
    if (options_.per_second == 0) return;
    due_ns_ = began_ns_;
    tick();
  }
  void stop() noexcept { stopping_ = true; }
  // From now on latencies count anew.
  void mark() {
    latencies_.clear();
    began_ns_ = loop_.clock().now_ns();
  }
  uint64_t completed() const noexcept { return latencies_.size(); }
  uint64_t errors() const noexcept { return errors_; }
  double per_second() const noexcept {
    const auto elapsed = static_cast<double>(loop_.clock().now_ns() - began_ns_);
    return static_cast<double>(latencies_.size()) * 1e9 / std::max(elapsed, 1.0);
  }
  uint32_t percentile_ns(double share) {
    if (latencies_.empty()) return 0;
    const auto place = static_cast<size_t>(share * static_cast<double>(latencies_.size() - 1));
    std::nth_element(latencies_.begin(), latencies_.begin() + static_cast<ptrdiff_t>(place),
                     latencies_.end());
    return latencies_[place];
  }
  uint32_t longest_ns() const {
    return latencies_.empty() ? 0 : *std::max_element(latencies_.begin(), latencies_.end());
  }

 private:
  struct Command {
    explicit Command(Load& in) : load(in), memory(in.options_.io_bytes) {
      segment = iovec{memory.data(), in.options_.io_bytes};
    }
    Load& load;
    BlockIo io;
    store::AlignedBuffer memory;
    iovec segment{};
    uint64_t began_ns = 0;
  };

  uint64_t random() noexcept {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  // What has become due begins, as far as commands are free.
  void tick() {
    const uint64_t now_ns = loop_.clock().now_ns();
    while (due_ns_ <= now_ns && !idle_.empty() && !stopping_) {
      Command& command = *idle_.back();
      idle_.pop_back();
      next(command, due_ns_);
      due_ns_ += 1'000'000'000 / options_.per_second;
    }
    if (!stopping_) {
      loop_.arm(tick_, now_ns + tick_ns);
    } else if (under_way_ == 0 && ended_) {
      std::exchange(ended_, nullptr)();
    }
  }

  void next(Command& command, uint64_t began_ns) {
    const uint64_t slots = options_.span_bytes / options_.io_bytes;
    uint64_t slot = 0;
    if (options_.sequential) {
      slot = options_.first_bytes / options_.io_bytes + issued_++;
      if (slot >= slots) stopping_ = true;
    } else {
      slot = random() % slots;
    }
    if (stopping_) {
      if (under_way_ == 0 && ended_) std::exchange(ended_, nullptr)();
      return;
    }
    ++under_way_;
    BlockIo& io = command.io;
    io.op = options_.op;
    io.fua = false;
    io.offset_bytes = slot * options_.io_bytes;
    io.length_bytes = options_.io_bytes;
    io.segments = std::span<const iovec>(&command.segment, 1);
    io.context = &command;
    io.done = [](BlockIo& ended) noexcept {
      auto& self = *static_cast<Command*>(ended.context);
      self.load.finished(self);
    };
    command.began_ns = began_ns;
    volume_.submit(0, io);
  }

  void finished(Command& command) {
    --under_way_;
    if (command.io.status != BlockStatus::ok) ++errors_;
    latencies_.push_back(static_cast<uint32_t>(
        std::min<uint64_t>(loop_.clock().now_ns() - command.began_ns, UINT32_MAX)));
    if (options_.per_second == 0) return next(command, loop_.clock().now_ns());
    idle_.push_back(&command);
    if (due_ns_ <= loop_.clock().now_ns() || stopping_) tick();
  }

  Loop& loop_;
  store::Volume& volume_;
  const Options options_;
  uint64_t random_;
  std::vector<std::unique_ptr<Command>> commands_;
  static constexpr uint64_t tick_ns = 50'000;
  struct Tick : Timer {
    Load* load = nullptr;
  } tick_;
  uint64_t due_ns_ = 0;
  std::vector<Command*> idle_;
  std::vector<uint32_t> latencies_;
  uint64_t began_ns_ = 0;
  uint64_t issued_ = 0;
  uint32_t under_way_ = 0;
  uint64_t errors_ = 0;
  bool stopping_ = false;
  std::function<void()> ended_;
};

}  // namespace ashlar::bench
