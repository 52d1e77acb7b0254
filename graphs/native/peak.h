// What the core can do at best: independent multiply-adds on registers.
#pragma once
#include "vectors.h"

// Runs ``rounds`` of them; returns the floating-point operations.
extern "C" double fma_rounds(long rounds, float* out) {
  constexpr int CHAINS = 12;
  Vec<float> acc[CHAINS], a = Vec<float>{} + out[0], b = Vec<float>{} + out[1];
  for (int i = 0; i < CHAINS; i++) acc[i] = a * float(i);
  for (long r = 0; r < rounds; r++)
    for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * a + b;
  Vec<float> sum{};
  for (int i = 0; i < CHAINS; i++) sum += acc[i];
  out[0] = sum_lanes<float>(sum);
  return 2.0 * rounds * CHAINS * LANES<float>;
}
