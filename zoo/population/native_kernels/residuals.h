// Blocks that are added to what they read: a layer before and a layer after the block.
#pragma once
#include "layers.h"

template <class T>
struct ResidualStart : Layer<T> {
  const T* around = nullptr;  // the gradient of the sum, which goes around the block
  explicit ResidualStart(Shape<T> in) : Layer<T>(in, in) {}
  void forward(long n, bool) override { std::memcpy(this->y, this->x, this->in.values(n) * sizeof(T)); }
  void backward(long n) override {
    if (!this->dx) return;
    for (long i = 0, count = this->in.values(n); i < count; i++) this->dx[i] = this->dy[i] + around[i];
  }
};

template <class T>
struct ResidualEnd : Layer<T> {
  ResidualStart<T>* start;
  ResidualEnd(Shape<T> in, ResidualStart<T>* start) : Layer<T>(in, in), start(start) {}
  void forward(long n, bool) override {
    for (long i = 0, count = this->in.values(n); i < count; i++) this->y[i] = this->x[i] + start->x[i];
  }
  void backward(long n) override {
    start->around = this->dy;
    if (this->dx) std::memcpy(this->dx, this->dy, this->in.values(n) * sizeof(T));
  }
};
