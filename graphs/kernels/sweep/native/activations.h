// The activation of a whole tile, chosen once a tile; with its derivative where gradients are wanted.
#pragma once
#include "logistic.h"

enum Activation { IDENTITY, RELU, SILU, GELU, TANH, SIGMOID };

struct Identity {
  template <class T>
  static void apply(T z, T, T& y, T& d) {
    y = z;
    d = 1;
  }
};

template <class F, class T>
void activate_each(T* z, T* y, T* d, long n) {
  if (!d) {
#pragma GCC ivdep
    for (long i = 0; i < n; i++) {
      T value, slope;
      F::apply(z[i], T(0), value, slope);
      y[i] = value;
    }
    return;
  }
#pragma GCC ivdep
  for (long i = 0; i < n; i++) {
    T value, slope;
    F::apply(z[i], T(0), value, slope);
    y[i] = value;
    d[i] = slope;
  }
}

// z logistic(z), of whole vectors.
template <class T>
void silu(T* z, T* y, T* d, long n) {
  const Bounds bounds;
  for (long i = 0; i < n; i += LANES<T>) {
    Vec<T> x = at(z + i), s = logistic(x, bounds), value = x * s;
    at(y + i) = value;
    if (d) at(d + i) = s + value * (1 - s);
  }
}

// y = f(z) and, unless it is null, d = f'(z) of n numbers in whole vectors; y or d may be z itself.
template <class T>
void activate(long which, T* z, T* y, T* d, long n) {
  switch (which) {
    case RELU: return activate_each<Relu>(z, y, d, n);
    case SILU: return silu(z, y, d, n);
    case GELU: return activate_each<Gelu>(z, y, d, n);
    case TANH: return activate_each<Tanh>(z, y, d, n);
    case SIGMOID: return activate_each<Sigmoid>(z, y, d, n);
    default: return activate_each<Identity>(z, y, d, n);
  }
}
