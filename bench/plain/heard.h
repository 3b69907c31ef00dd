// What the program does with a byte of its input. Plain, nothing; see bench/lines.
#pragma once

namespace ashlar::bench {

void heard(char byte) noexcept;

}  // namespace ashlar::bench
