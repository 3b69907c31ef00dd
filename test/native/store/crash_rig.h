// CrashRig: at each operation of a simulated disk, every way in which the machine or the process
// could end there, and for each of them the proof that the pool comes back as its history allows.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "judge.h"
#include "pool_fixture.h"

namespace ashlar::store::testing {

struct CrashOptions {
  uint32_t all_subsets_upto = 10;  // Unflushed writes of which every subset is tried.
  uint32_t torn = 2;               // States a place with tears at random.
  bool every_tear = false;         // Also the head and the tail of each write, cut at each sector.
  uint32_t second_crash_one_in = 8;
  uint32_t afterlife_one_in = 16;  // Go on, settle, close and open again.
};

struct CrashCounts {
  uint64_t states = 0, power_losses = 0, kills = 0, second_crashes = 0, afterlives = 0,
           replayed = 0, places = 0;
  void add(const CrashCounts& other) {
    states += other.states;
    power_losses += other.power_losses;
    kills += other.kills;
    second_crashes += other.second_crashes;
    afterlives += other.afterlives;
    replayed += other.replayed;
    places += other.places;
  }
};

class CrashRig {
 public:
  CrashRig(Fixture& before, History& history, uint64_t seed, const CrashOptions& options)
      : before_(before), history_(history), random_(seed * 77 + 5), options_(options) {}

  CrashCounts counts;
  std::string failure;   // The first; empty: none.
  // The pool has failed: what was not flushed may be lost in the device, and so its mapping is
  // forgotten too; a kill now leaves what a power loss does.
  bool pool_failed = false;
  uint64_t only_state = 0;  // Not 0: all others are passed over.

  // Every end that is possible at this place and was not judged yet.
  void look() {
    if (!failure.empty()) return;
    ++counts.places;
    const auto& unflushed = before_.disk.unflushed();
    const size_t count = unflushed.size();
    // Without an answer or a flush since the last look, states without the new writes are known.
    const bool known = history_.answers() == seen_answers_ && history_.next.get() == seen_next_ &&
                       grown_only();
    uint64_t fresh = 0;
    for (size_t i = 0; i < count && i < 64; ++i) {
      if (!known || !seen_.contains(unflushed[i].id)) fresh |= 1ull << i;
    }
    if (known && fresh == 0) return;
    const auto keep = [&](const std::function<bool(size_t)>& kept) {
      power_loss([&](const sim::UnflushedWrite& write, uint64_t) {
        return kept(static_cast<size_t>(&write - unflushed.data()));
      });
    };
    if (count <= options_.all_subsets_upto) {
      for (uint64_t subset = 0; subset < 1ull << count; ++subset) {
        if (known && (subset & fresh) == 0) continue;
        keep([&](size_t i) { return (subset >> i & 1) != 0; });
      }
    } else {
      keep([](size_t) { return false; });
      keep([](size_t) { return true; });
      for (size_t only = 0; only < count; ++only) {
        keep([&](size_t i) { return i == only; });
        keep([&](size_t i) { return i != only; });
      }
      for (uint32_t i = 0; i < 8; ++i) {
        const uint64_t bits = random_.next_u64();
        keep([&](size_t at) { return (bits >> at % 64 & 1) != 0; });
      }
    }
    if (count > 0) tears(fresh);
    kill([&](const sim::UnflushedWrite& write, uint64_t) { return write.completed != 0; });
    if (std::any_of(unflushed.begin(), unflushed.end(),
                    [](const auto& write) { return write.completed == 0; })) {
      kill([](const sim::UnflushedWrite&, uint64_t) { return true; });
      kill([&](const sim::UnflushedWrite& write, uint64_t) {
        return write.completed != 0 || random_.one_in(2);
      });
    }
    seen_answers_ = history_.answers();
    seen_next_ = history_.next.get();
    seen_.clear();
    for (const auto& write : unflushed) seen_.insert(write.id);
  }
  // Looks before each write and flush from now on.
  void watch() {
    before_.disk.before_operation = [this](const DeviceOp& op) {
      if (op.kind != DeviceOpKind::read) look();
    };
  }

 private:
  using Keeps = std::function<bool(const sim::UnflushedWrite&, uint64_t)>;
  using KillSafe = sim::SimDisk::KillSafe;

  bool grown_only() const {
    size_t still = 0;
    for (const auto& write : before_.disk.unflushed()) still += seen_.contains(write.id) ? 1 : 0;
    return still == seen_.size();
  }

  void tears(uint64_t fresh) {
    const auto& unflushed = before_.disk.unflushed();
    for (uint32_t i = 0; i < options_.torn; ++i) {
      judge_state(before_.disk.after_crash(random_), after_power_loss(before_.disk), false);
    }
    if (!options_.every_tear) return;
    for (size_t torn = 0; torn < unflushed.size() && torn < 64; ++torn) {
      if ((fresh >> torn & 1) == 0) continue;
      const uint64_t sectors = unflushed[torn].bytes.size() / 512;
      const uint64_t step = sectors <= 16 ? 1 : sectors / 16;
      for (uint64_t cut = 1; cut < sectors; cut += step) {
        for (const bool head : {true, false}) {
          power_loss([&](const sim::UnflushedWrite& write, uint64_t sector) {
            return &write != &unflushed[torn] || (sector < cut) == head;
          });
        }
      }
    }
  }

  void power_loss(const Keeps& keeps) {
    judge_state(before_.disk.after_crash(keeps), after_power_loss(before_.disk), false);
  }
  void kill(const Keeps& keeps) {
    judge_state(before_.disk.after_crash(keeps), before_.disk.kill_safe, !pool_failed);
  }
  // What is in the kill log is of another boot then, and mostly gone.
  KillSafe after_power_loss(const sim::SimDisk& disk) {
    KillSafe left;
    if (random_.one_in(8)) left.bytes = disk.kill_safe.bytes;
    left.boot = disk.kill_safe.boot;
    left.boot[0] = static_cast<std::byte>(std::to_integer<int>(left.boot[0]) + 1);
    return left;
  }

  void judge_state(const sim::DiskImage& image, const KillSafe& kept, bool killed) {
    if (!failure.empty()) return;
    ++counts.states;
    ++(killed ? counts.kills : counts.power_losses);
    const bool twice = random_.one_in(options_.second_crash_one_in);
    const bool goes_on = random_.one_in(options_.afterlife_one_in);
    const uint64_t seed = random_.next_u64();
    if (only_state != 0 && counts.states != only_state) return;
    sim::SimRandom random(seed);
    Fixture after(seed, image);
    begin(after, kept);
    if (!twice) return judge(after, killed, goes_on, random);
    // And once more, inside the recovery: a power loss, or after a kill another kill.
    uint64_t left = 1 + random.below(12);
    const bool again = killed && random.one_in(2);
    std::optional<sim::DiskImage> second;
    KillSafe second_kept;
    after.disk.before_operation = [&](const DeviceOp& op) {
      if (op.kind == DeviceOpKind::read || left == 0 || --left > 0) return;
      second.emplace(again ? after.disk.after_kill(random) : after.disk.after_crash(random));
      second_kept = again ? after.disk.kill_safe : after_power_loss(after.disk);
    };
    if (const Status status = after.open(); !status.ok()) {
      return fail("open: " + status.error().message, killed);
    }
    after.disk.before_operation = nullptr;
    if (!second.has_value()) return judge_open(after, killed, goes_on, random);
    ++counts.second_crashes;
    Fixture last(seed, *second);
    begin(last, second_kept);
    // A power loss after a kill may take what was acknowledged and never flushed.
    judge(last, again, goes_on, random);
  }
  void begin(Fixture& fixture, const KillSafe& kept) {
    fixture.disk.kill_safe = kept;
    fixture.disk.has_kill_safe_memory = before_.disk.has_kill_safe_memory;
    fixture.disk.geometry = before_.disk.geometry;
    fixture.options.map_cache_bytes = before_.options.map_cache_bytes;
  }

  void fail(const std::string& what, bool killed) {
    if (!failure.empty()) return;
    failure = "state " + std::to_string(counts.states) + " (" +
              (killed ? "a kill" : "a power loss") + "): " + what;
  }

  void judge(Fixture& after, bool killed, bool goes_on, sim::SimRandom& random) {
    if (const Status status = after.open(); !status.ok()) {
      return fail("open: " + status.error().message, killed);
    }
    judge_open(after, killed, goes_on, random);
  }

  void judge_open(Fixture& after, bool killed, bool goes_on, sim::SimRandom& random) {
    counts.replayed += after.pool->status().replayed_records;
    if (const std::string problems = after.check(); !problems.empty()) {
      return fail("check: " + problems, killed);
    }
    const Facts* facts = matching(after);
    if (facts == nullptr) return fail("neither before nor after the transaction", killed);
    const Certain certain = killed ? Certain::completed : Certain::durable;
    std::map<uint64_t, std::vector<std::byte>> held;
    for (const auto& [number, layer] : facts->layers) {
      std::vector<std::byte> bytes;
      if (!read_layer(after, number, layer, bytes)) return fail("a read failed", killed);
      if (const std::string what = judge_content(*layer.content, bytes, {certain}); !what.empty()) {
        return fail("layer " + std::to_string(number) + " " + what, killed);
      }
      if (goes_on) held.emplace(number, std::move(bytes));
    }
    if (goes_on) afterlife(after, *facts, held, killed, random);
  }

  // It works on: a write holds, the background ends its work, and nothing else has changed, neither
  // then nor when it is opened again.
  void afterlife(Fixture& after, const Facts& facts,
                 std::map<uint64_t, std::vector<std::byte>>& held, bool killed,
                 sim::SimRandom& random) {
    ++counts.afterlives;
    std::vector<uint64_t> live;
    for (const auto& [number, layer] : facts.layers) {
      if (!layer.frozen && layer.size_bytes >= 64 * 1024) live.push_back(number);
    }
    if (!live.empty()) {
      const uint64_t number = live[random.below(live.size())];
      Volume* volume = after.open_volume(number);
      if (volume == nullptr) return fail("a volume does not open again", killed);
      const uint64_t most = facts.layers.at(number).size_bytes / 4096;
      const uint64_t offset = random.below(std::min<uint64_t>(most, 20)) * 4096;
      TestIo io(BlockOp::write, offset, 4096 * (1 + random.below(most - offset / 4096)));
      io.fill(77);
      io.io.fua = true;
      const BlockStatus written = after.run(*volume, io);
      std::vector<std::byte>& bytes = held.at(number);
      if (written == BlockStatus::ok) {
        std::memcpy(bytes.data() + offset, io.memory.data(), io.io.length_bytes);
      } else if (written == BlockStatus::capacity_exceeded) {
        held.erase(number);  // Any part of it may be there.
      } else {
        return fail("a write after the recovery failed", killed);
      }
      after.close_volume(*volume);
    }
    after.settle();
    if (!same(after, facts, held, "settled", killed)) return;
    if (const Status status = after.close(); !status.ok()) {
      return fail("close: " + status.error().message, killed);
    }
    if (const Status status = after.open(); !status.ok()) {
      return fail("open again: " + status.error().message, killed);
    }
    static_cast<void>(same(after, facts, held, "opened again", killed));
  }

  bool same(Fixture& after, const Facts& facts,
            const std::map<uint64_t, std::vector<std::byte>>& held, const std::string& when,
            bool killed) {
    if (const std::string problems = after.check(); !problems.empty()) {
      fail(when + ": check: " + problems, killed);
      return false;
    }
    for (const auto& [number, bytes] : held) {
      std::vector<std::byte> now;
      if (!read_layer(after, number, facts.layers.at(number), now) || now != bytes) {
        fail(when + ": layer " + std::to_string(number) + " has changed", killed);
        return false;
      }
    }
    return true;
  }

  // Before and after the transaction that is under way; null: none is.
  std::array<const Facts*, 2> sides() const { return {&history_.now, history_.next.get()}; }
  // The state of the transactions that the pool shows; null: one that never was.
  const Facts* matching(Fixture& after) {
    std::map<uint64_t, std::vector<std::byte>> records;
    after.pool->read_catalog([&](Result<std::vector<CatalogRecord>> result) {
      for (CatalogRecord& record : result.value()) {
        records[record.key] = std::move(record.value);
      }
    });
    for (const Facts* facts : sides()) {
      if (facts != nullptr && facts->records == records && layers_match(after, *facts)) {
        return facts;
      }
    }
    return nullptr;
  }
  bool layers_match(Fixture& after, const Facts& facts) {
    for (const Facts* each : sides()) {
      if (each == nullptr) continue;
      for (const auto& [number, layer] : each->layers) {
        if (!facts.layers.contains(number) && after.pool->usage(uuid_of(number)).ok()) return false;
      }
    }
    for (const uint64_t number : history_.gone) {
      if (!facts.layers.contains(number) && after.pool->usage(uuid_of(number)).ok()) return false;
    }
    for (const auto& [number, layer] : facts.layers) {
      const auto usage = after.pool->usage(uuid_of(number));
      if (!usage.ok() || usage.value().size_bytes != layer.size_bytes ||
          usage.value().block_bytes != layer.block_bytes ||
          usage.value().frozen != layer.frozen) {
        return false;
      }
    }
    return true;
  }

  static bool read_layer(Fixture& after, uint64_t number, const Facts::Layer& layer,
                         std::vector<std::byte>& bytes) {
    Volume* volume = after.open_volume(number, layer.frozen);
    if (volume == nullptr) return false;
    TestIo io(BlockOp::read, 0, layer.size_bytes);
    const bool good = after.run(*volume, io) == BlockStatus::ok;
    after.close_volume(*volume);
    bytes.assign(io.memory.data(), io.memory.data() + layer.size_bytes);
    return good;
  }

  Fixture& before_;
  History& history_;
  sim::SimRandom random_;
  const CrashOptions options_;
  std::unordered_set<uint64_t> seen_;
  uint64_t seen_answers_ = UINT64_MAX;
  const Facts* seen_next_ = nullptr;
};

}  // namespace ashlar::store::testing
