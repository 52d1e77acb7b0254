// The updates of torch.optim on a vector of weights.
#pragma once
#include <cmath>
#include "vectors.h"

enum Rule : long { SGD, ADAM, ADAMW };

template <class T>
class Optimiser {
 public:
  Optimiser(long count, Rule rule, T decay, double first, double second)
      : rule_(rule), decay_(decay), first_(first), second_(second), mean_(count), square_(rule == SGD ? 0 : count) {}

  void step(T* __restrict w, T* __restrict g, long count, double rate) {
    if (rule_ == SGD)
      sgd(w, g, count, static_cast<T>(rate));
    else
      adam(w, g, count, rate);
  }

 private:
  // p -= lr b with b = momentum b + (g + decay p)
  void sgd(T* __restrict w, T* __restrict g, long count, T rate) {
    T decay = decay_, momentum = static_cast<T>(first_);
    T* __restrict b = mean_.get();
    for (long i = 0; i < count; i++) {
      b[i] = momentum * b[i] + (g[i] + decay * w[i]);
      w[i] -= rate * b[i];
    }
  }
  // p -= a m / (sqrt(v) + c), a = lr sqrt(1 - b2^t) / (1 - b1^t), c = eps sqrt(1 - b2^t)
  void adam(T* __restrict w, T* __restrict g, long count, double rate) {
    taken_++;
    double root = std::sqrt(1 - std::pow(second_, taken_));
    T a = static_cast<T>(rate * root / (1 - std::pow(first_, taken_))), c = static_cast<T>(1e-8 * root);
    T shrink = rule_ == ADAMW ? static_cast<T>(1 - rate * decay_) : T(1), decay = rule_ == ADAM ? decay_ : T(0);
    T new_mean = static_cast<T>(1 - first_), new_square = static_cast<T>(1 - second_);
    T *__restrict m = mean_.get(), *__restrict v = square_.get();
    for (long i = 0; i < count; i++) {
      T p = w[i] * shrink, grad = g[i] + decay * p;
      m[i] += new_mean * (grad - m[i]);
      v[i] += new_square * (grad * grad - v[i]);
      w[i] = p - a * m[i] / (std::sqrt(v[i]) + c);
    }
  }

  Rule rule_;
  T decay_;
  double first_, second_;
  long taken_ = 0;
  Buffer<T> mean_, square_;
};
