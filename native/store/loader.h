// Loader: brings pages from the device into memory, each once however many wait for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "store/cold_io.h"
#include "store/io_state.h"
#include "store/page_tree.h"

namespace ashlar::store {

class PoolImpl;
struct Layer;

class Loader {
 public:
  explicit Loader(PoolImpl& pool);
  ~Loader();

  // `found` is what PageTree::find() said: unloaded. Then looks again is the waiter's job: the page
  // may have been evicted in between, or a page further down is missing too.
  void load(PageTree& tree, const PageFound& found, IoState& waiter);  // Sets load_failed.
  void load(PageTree& tree, const PageFound& found, std::function<void(Status)> done);
  // Asks for the leaf of a layer and of all layers under it, as far as no view stands for them, all
  // at once: one after the other would take a read's time for each layer. Counts in `asked` those
  // that were not in memory; returns the last of them. Nobody hears of an error: the page is just
  // still missing.
  MissingPage bring_in(Layer& layer, uint64_t leaf_index, uint32_t& asked);
  // At open: the whole tree.
  void load_all(PageTree& tree, std::function<void(Status)> done);

  uint64_t pages_read() const noexcept { return pages_read_; }
  bool idle() const noexcept { return loads_.empty(); }
  // Once, when no load is under way any more; there is one now.
  void when_idle(std::function<void()> then) { idle_told_ = std::move(then); }
  bool loading(const PageTree& tree) const noexcept;

 private:
  struct Load;
  struct WholeTree;
  void bring_in(PageTree& tree, uint64_t leaf_index);
  Load& begin(PageTree& tree, const PageFound& found);
  void finished(Load& load, int result);
  void continue_tree(const std::shared_ptr<WholeTree>& whole);

  PoolImpl& pool_;
  std::unordered_map<uint64_t, std::unique_ptr<Load>> loads_;  // By page of the device.
  std::function<void()> idle_told_;
  uint64_t pages_read_ = 0;
};

}  // namespace ashlar::store
