// doctest for our tests: include it as "../test.h", after every other header.
//
// Our CHECK (base/check.h) aborts and doctest's CHECK reports; inline code of our headers needs the
// first, the body of a test the second. So headers come first and this one last.
#pragma once

#include "base/check.h"

#undef CHECK
#include <doctest/doctest.h>
