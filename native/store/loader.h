// Loader: brings pages from the device into memory, each once however many wait for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/cold_io.h"
#include "store/io_state.h"
#include "store/page_tree.h"

namespace ashlar::store {

class PoolImpl;

class Loader {
 public:
  explicit Loader(PoolImpl& pool);
  ~Loader();

  // `found` is what PageTree::find() said: unloaded. Then looks again is the waiter's job: the page
  // may have been evicted in between, or a page further down is missing too.
  void load(PageTree& tree, const PageFound& found, IoState& waiter);  // Sets load_failed.
  void load(PageTree& tree, const PageFound& found, std::function<void(Status)> done);
  // At open: the whole tree.
  void load_all(PageTree& tree, std::function<void(Status)> done);

  uint64_t pages_read() const noexcept { return pages_read_; }
  bool idle() const noexcept { return loads_.empty(); }
  bool loading(const PageTree& tree) const noexcept;

 private:
  struct Load;
  struct WholeTree;
  Load& begin(PageTree& tree, const PageFound& found);
  void finished(Load& load, int result);
  void continue_tree(const std::shared_ptr<WholeTree>& whole);

  PoolImpl& pool_;
  std::vector<std::unique_ptr<Load>> loads_;
  uint64_t pages_read_ = 0;
};

}  // namespace ashlar::store
