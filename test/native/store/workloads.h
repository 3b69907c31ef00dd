// A small pool and the operations that are tried on it, one by one and in pairs.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "scene.h"

namespace ashlar::store::testing {

inline constexpr uint64_t KiB = 1024;
inline constexpr uint64_t chunk = 64 * KiB;

// The pool that every workload finds, closed in good order:
//
//   1  a volume of 4 chunks, blocks of 4 KiB; blocks 0 and 1 of chunk 0 and all of chunk 3 written
//   2  a volume of 1 chunk, blocks of 512 bytes; sectors 0 to 7 written
//   3  a layer of 1 chunk, all written; not open
//   4  a volume on the snapshot 5, of 2 chunks; block 0 of chunk 0 written since
//   5  that snapshot: blocks 0 and 1 of chunk 0, block 0 of chunk 1
//   6  a clone of 5, block 2 of chunk 0 written
//   7  a volume on the snapshot 8, of 1 chunk; each holds blocks that the other lacks
//   8  that snapshot
inline void make_base(Scene& scene) {
  CHECK(scene.fixture.create().ok());
  const auto commit = [&] {
    scene.commit();
    scene.wait();
  };
  const auto write = [&](uint64_t number, uint64_t offset, uint64_t length) {
    scene.begin(number, BlockOp::write, offset, length, true);
    scene.wait();
  };
  scene.create(1, 4 * chunk);
  scene.create(2, chunk, 512);
  scene.create(3, chunk);
  scene.create(5, 2 * chunk);
  scene.create(8, chunk);
  scene.put(1, 1, 100);
  scene.put(2, 1, 3000);
  commit();
  for (const uint64_t number : {1, 2, 3, 5, 8}) scene.open(number);
  write(1, 0, 8 * KiB);
  write(1, 3 * chunk, chunk);
  write(2, 0, 4 * KiB);
  write(3, 0, chunk);
  write(5, 0, 8 * KiB);
  write(5, chunk, 4 * KiB);
  write(8, 0, 12 * KiB);
  scene.snapshot(5, 4);
  scene.snapshot(8, 7);
  scene.clone(5, 6);
  commit();
  write(4, 0, 4 * KiB);
  write(7, 8 * KiB, 12 * KiB);
  scene.open(6);
  write(6, 8 * KiB, 4 * KiB);
  for (const uint64_t number : {1, 2, 3, 4, 6, 7}) scene.close(number);
  CHECK(scene.failure.empty());
  CHECK(scene.fixture.close().ok());
}

struct Step {
  const char* name;
  bool commits;  // A transaction: two of them are never begun together.
  std::function<void(Scene&)> begin;
};

inline Step io_step(const char* name, uint64_t number, BlockOp op, uint64_t offset,
                    uint64_t length, bool fua = false) {
  return {name, false, [=](Scene& scene) {
            // The volume may have moved to a new top layer.
            static constexpr uint64_t tops[] = {0, 11, 12, 0, 14, 0, 0, 17};
            const bool moved = number < 8 && !scene.volumes.contains(number);
            const uint64_t at = moved ? tops[number] : number;
            if (!scene.volumes.contains(at)) return;
            scene.begin(at, op, offset, length, fua);
          }};
}

// Steps that an earlier one has made impossible do nothing.
inline Step change_step(const char* name, std::function<void(Scene&)> steps,
                        std::optional<ErrorCode> refusal = std::nullopt) {
  return {name, true, [steps, refusal](Scene& scene) {
            steps(scene);
            if (scene.history.next != nullptr) scene.commit(refusal);
          }};
}

inline bool live(const Scene& scene, uint64_t number) {
  const auto at = scene.history.now.layers.find(number);
  return at != scene.history.now.layers.end() && !at->second.frozen;
}
inline bool there(const Scene& scene, uint64_t number) {
  return scene.history.now.layers.contains(number);
}

inline std::vector<Step> alphabet() {
  return {
      io_step("overwrite", 1, BlockOp::write, 0, 4 * KiB),
      io_step("write in the same chunk", 1, BlockOp::write, 20 * KiB, 4 * KiB),
      io_step("write in a new chunk", 1, BlockOp::write, chunk, 4 * KiB),
      io_step("write over two chunks", 1, BlockOp::write, 2 * chunk - 4 * KiB, 8 * KiB),
      io_step("overwrite, FUA", 1, BlockOp::write, 0, 4 * KiB, true),
      io_step("write in the same chunk, FUA", 1, BlockOp::write, 20 * KiB, 4 * KiB, true),
      io_step("write in a new chunk, FUA", 1, BlockOp::write, chunk, 4 * KiB, true),
      io_step("partial overwrite", 2, BlockOp::write, 1 * KiB, 1 * KiB),
      io_step("partial write", 2, BlockOp::write, 8 * KiB + 512, 512),
      io_step("partial write, FUA", 2, BlockOp::write, 8 * KiB + 512, 512, true),
      io_step("zero a block", 1, BlockOp::write_zeroes, 0, 4 * KiB),
      io_step("zero two chunks", 1, BlockOp::write_zeroes, 0, 2 * chunk),
      io_step("deallocate a block", 1, BlockOp::deallocate, 0, 4 * KiB),
      io_step("deallocate a chunk", 1, BlockOp::deallocate, 3 * chunk, chunk),
      io_step("deallocate half a block", 2, BlockOp::deallocate, 0, 2 * KiB),
      io_step("write over the snapshot", 4, BlockOp::write, chunk, 4 * KiB),
      io_step("deallocate over the snapshot", 4, BlockOp::deallocate, chunk, 4 * KiB),
      io_step("flush", 1, BlockOp::flush, 0, 0),
      io_step("flush the other", 4, BlockOp::flush, 0, 0),
      change_step("create a layer and a record",
             [](Scene& s) {
               if (there(s, 20)) return;
               s.create(20, 2 * chunk);
               s.put(3, 2, 50);
             }),
      change_step("delete a layer",
             [](Scene& s) {
               if (there(s, 3)) s.remove(3);
             }),
      change_step("put two records",
             [](Scene& s) {
               s.put(1, 7, 200);
               s.put(4, 7, 5000);
             }),
      change_step("delete a record",
             [](Scene& s) {
               if (s.history.now.records.contains(2)) s.erase(2);
             }),
      {"checkpoint", false, [](Scene& s) { s.fixture.pool->checkpoint([](Status) {}); }},
      change_step("grow",
             [](Scene& s) {
               if (live(s, 1)) s.resize(1, 6 * chunk);
             }),
      change_step("shrink",
             [](Scene& s) {
               if (live(s, 3)) s.resize(3, chunk / 2);
             },
             ErrorCode::busy),
      change_step("snapshot",
             [](Scene& s) {
               if (live(s, 1)) s.snapshot(1, 11);
             }),
      change_step("snapshot two",
             [](Scene& s) {
               if (!live(s, 1) || !live(s, 2)) return;
               s.snapshot(1, 11);
               s.snapshot(2, 12);
               s.put(5, 9, 64);
             }),
      change_step("clone",
             [](Scene& s) {
               if (there(s, 5) && !there(s, 21)) s.clone(5, 21);
             }),
      change_step("roll back",
             [](Scene& s) {
               if (!live(s, 4) || !there(s, 5)) return;
               s.rollback(4, 5, 14);
               s.remove(4);
             }),
      change_step("delete a snapshot with two on it",
             [](Scene& s) {
               if (there(s, 5)) s.remove(5);
             }),
      change_step("delete a clone",
             [](Scene& s) {
               if (there(s, 6)) s.remove(6);
             }),
      change_step("delete a snapshot, merge",
             [](Scene& s) {
               if (there(s, 8)) s.remove(8);
             }),
      change_step("reserve",
             [](Scene& s) {
               if (live(s, 1)) s.reserve(1, true);
             }),
  };
}

}  // namespace ashlar::store::testing
