// 1 / (1 + exp(-z)) of whole vectors, in fewer instructions than compilers make of a loop over numbers.
#pragma once
#include "functions.h"
#include "vectors.h"

// Where exp is not to overflow. Volatile, for of constants compilers make comparisons and selections instead of min and
// max.
struct Bounds {
  static inline const volatile float LEAST = -87.0f, MOST = 88.0f;
  Vec<float> least = Vec<float>{} + LEAST, most = Vec<float>{} + MOST;
  Vec<float> of(Vec<float> x) const {
    x = x < least ? least : x;
    return x > most ? most : x;  // NaN stays
  }
};

// The steps of ``exponential`` in functions.h.
inline Vec<float> exponential(Vec<float> x, const Bounds& bounds) {
  typedef int32_t Whole __attribute__((vector_size(BYTES)));
  x = bounds.of(x);
  Vec<float> n = x * 1.44269504f;
  for (int i = 0; i < LANES<float>; i++) n[i] = std::rint(n[i]);  // one instruction
  return exponential_rest(x, n) * (Vec<float>)((__builtin_convertvector(n, Whole) + 127) << 23);
}

inline Vec<float> logistic(Vec<float> z, const Bounds& bounds) { return 1.0f / (1.0f + exponential(-z, bounds)); }
inline Vec<double> logistic(Vec<double> z, const Bounds&) {
  for (int i = 0; i < LANES<double>; i++) z[i] = 1 / (1 + exponential(-z[i]));
  return z;
}
