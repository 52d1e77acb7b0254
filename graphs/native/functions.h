// Elementary functions without branches, so that loops over them are vectorised; in double they are the C library's.
//
// exp, tanh, sin and cos in float reduce the argument and take the minimax polynomials of Cephes (S. Moshier, 1989);
// erf is formula 7.1.26 of Abramowitz and Stegun (1964), within 1.5e-7.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

inline double exponential(double x) { return std::exp(x); }
inline double hyperbolic(double x) { return std::tanh(x); }
inline double error_function(double x, double) { return std::erf(x); }
inline void sine_cosine(double x, double& s, double& c) {
  s = std::sin(x);
  c = std::cos(x);
}

// a b + c of floats or of vectors of them
template <class X>
X fused(X a, X b, X c) {
  if constexpr (std::is_same_v<X, float>)
    return std::fma(a, b, c);
  else
    return a * b + c;
}

// exp(x) / 2^n of floats or of vectors of them, n the whole number next to x / log 2.
template <class X>
X exponential_rest(X x, X n) {
  X r = fused(n, X{} - 0.693359375f, x);
  r = fused(n, X{} + 2.12194440e-4f, r);
  X p = X{} + 1.9875691500e-4f;
  p = fused(p, r, X{} + 1.3981999507e-3f);
  p = fused(p, r, X{} + 8.3334519073e-3f);
  p = fused(p, r, X{} + 4.1665795894e-2f);
  p = fused(p, r, X{} + 1.6666665459e-1f);
  p = fused(p, r, X{} + 5.0000001201e-1f);
  return fused(p, r * r, r + 1.0f);
}

inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float n = std::rint(x * 1.44269504f);
  float p = exponential_rest(x, n);
  int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}

inline float hyperbolic(float x) {
  float a = std::fabs(x), s = x * x;
  float p = -5.70498872745e-3f;
  p = std::fma(p, s, 2.06390887954e-2f);
  p = std::fma(p, s, -5.37397155531e-2f);
  p = std::fma(p, s, 1.33314422036e-1f);
  p = std::fma(p, s, -3.33332819422e-1f);
  float small = std::fma(p * s, x, x);
  float large = std::copysign(1.0f - 2.0f / (exponential(2.0f * a) + 1.0f), x);
  return a < 0.625f ? small : large;
}

// ``gauss`` is exp(-x^2), which the caller has.
inline float error_function(float x, float gauss) {
  float a = std::fabs(x);
  float t = 1.0f / std::fma(0.3275911f, a, 1.0f);
  float p = 1.061405429f;
  p = std::fma(p, t, -1.453152027f);
  p = std::fma(p, t, 1.421413741f);
  p = std::fma(p, t, -0.284496736f);
  p = std::fma(p, t, 0.254829592f);
  return std::copysign(1.0f - p * t * gauss, x);
}

inline void sine_cosine(float x, float& s, float& c) {
  float q = std::rint(x * 0.636619772f);
  float r = std::fma(q, -1.5703125f, x);
  r = std::fma(q, -4.837512969970703125e-4f, r);
  r = std::fma(q, -7.5497899548918821e-8f, r);
  float z = r * r;
  float sp = -1.9515295891e-4f;
  sp = std::fma(sp, z, 8.3321608736e-3f);
  sp = std::fma(sp, z, -1.6666654611e-1f);
  float si = std::fma(sp * z, r, r);
  float cp = 2.443315711809948e-5f;
  cp = std::fma(cp, z, -1.388731625493765e-3f);
  cp = std::fma(cp, z, 4.166664568298827e-2f);
  float co = std::fma(cp, z * z, std::fma(-0.5f, z, 1.0f));
  int32_t quarter = static_cast<int32_t>(q);
  bool swapped = quarter & 1;
  float a = swapped ? co : si, b = swapped ? si : co;
  s = (quarter & 2) ? -a : a;
  c = ((quarter + 1) & 2) ? -b : b;
}

// ---- activations: y = f(z) and d = f'(z); p is a parameter (slope of leaky relu, frequency of sine)

struct Relu {
  template <class T>
  static void apply(T z, T, T& y, T& d) {
    d = z > 0 ? T(1) : T(0);
    y = z < 0 ? T(0) : z;  // NaN stays
  }
};
struct LeakyRelu {
  template <class T>
  static void apply(T z, T p, T& y, T& d) {
    d = z > 0 ? T(1) : p;
    y = z * d;
  }
};
struct Tanh {
  template <class T>
  static void apply(T z, T, T& y, T& d) {
    y = hyperbolic(z);
    d = 1 - y * y;
  }
};
struct Sigmoid {
  template <class T>
  static void apply(T z, T, T& y, T& d) {
    y = 1 / (1 + exponential(-z));
    d = y * (1 - y);
  }
};
struct Silu {
  template <class T>
  static void apply(T z, T, T& y, T& d) {
    T s = 1 / (1 + exponential(-z));
    y = z * s;
    d = s * (1 + z * (1 - s));
  }
};
struct Gelu {
  template <class T>
  static void apply(T z, T, T& y, T& d) {
    T gauss = exponential(z * z * T(-0.5));
    T phi = T(0.5) * (1 + error_function(z * T(0.70710678118654752440), gauss));
    y = z * phi;
    d = phi + z * gauss * T(0.39894228040143267794);
  }
};
struct Sine {
  template <class T>
  static void apply(T z, T p, T& y, T& d) {
    T c;
    sine_cosine(p * z, y, c);
    d = p * c;
  }
};
