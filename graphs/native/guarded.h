// No exception crosses into Python: lack of memory becomes a number.
#pragma once
#include <new>

// 0, or 1 when memory was lacking.
template <class Work>
int guarded(Work work) {
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
