// Sums over very many edges: parts of them are added up apart, so that small terms are not lost beside the whole.
#pragma once
#include "vectors.h"

template <class T>
class LongSum {
 public:
  explicit LongSum(long size) : part_(size), total_(size) {}

  // Where the next terms are added, a row of outputs for each of some edges.
  T* next(long edges) {
    if ((edges_ += edges) > 4096) flush();
    return part_.get();
  }
  void add(LongSum& other) {
    other.flush();
    for (size_t i = 0; i < other.part_.size(); i++) total_.get()[i] += other.total_.get()[i];
  }
  void add_to(T* sum) {
    flush();
    for (size_t i = 0; i < part_.size(); i++) sum[i] += T(total_.get()[i]);
  }

 private:
  void flush() {
    for (size_t i = 0; i < part_.size(); i++) total_.get()[i] += part_.get()[i];
    part_.zero();
    edges_ = 0;
  }

  long edges_ = 0;
  Buffer<T> part_;
  Buffer<double> total_;
};
