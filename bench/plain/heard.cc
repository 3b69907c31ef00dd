#include "heard.h"

namespace ashlar::bench {

void heard(char) noexcept {}

}  // namespace ashlar::bench
