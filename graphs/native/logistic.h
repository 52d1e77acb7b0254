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
  Vec<float> r = n * -0.693359375f + x;
  r = n * 2.12194440e-4f + r;
  Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + (r + 1.0f);
  return p * (Vec<float>)((__builtin_convertvector(n, Whole) + 127) << 23);
}

inline Vec<float> logistic(Vec<float> z, const Bounds& bounds) { return 1.0f / (1.0f + exponential(-z, bounds)); }
inline Vec<double> logistic(Vec<double> z, const Bounds&) {
  for (int i = 0; i < LANES<double>; i++) z[i] = 1 / (1 + exponential(-z[i]));
  return z;
}
