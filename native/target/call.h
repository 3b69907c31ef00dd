// A function call sent to another reactor: for control work only (connects, changes of state,
// admin completions). Each allocates, so nothing on the I/O path uses it.
#pragma once

#include <type_traits>
#include <utility>

#include "reactor/loop.h"

namespace ashlar::target {

// Runs `function` once on the loop's thread, in the order of this sender's calls. It must not
// count on anything still being there: look it up by its id.
template <class Function>
void call_on(Loop& loop, Function&& function) {
  struct Call : Task {
    explicit Call(Function&& f) : body(std::forward<Function>(f)) {
      run = [](Task& task) noexcept {
        auto* self = static_cast<Call*>(&task);
        self->body();
        delete self;
      };
    }
    std::decay_t<Function> body;
  };
  loop.post(*new Call(std::forward<Function>(function)));
}

}  // namespace ashlar::target
