// What memory gives at best: every number of an array is read once, in order.
#include "vectors.h"

// The sum of ``count`` numbers, of which whole groups of vectors are read.
extern "C" float read_all(const float* data, long count) {
  constexpr int CHAINS = 8;
  constexpr long STEP = CHAINS * LANES<float>;
  Vec<float> acc[CHAINS] = {};
  for (long i = 0; i + STEP <= count; i += STEP)
    for (int c = 0; c < CHAINS; c++) acc[c] += at(data + i + c * LANES<float>);
  Vec<float> sum{};
  for (int c = 0; c < CHAINS; c++) sum += acc[c];
  return sum_lanes<float>(sum);
}
