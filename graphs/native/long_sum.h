// Sums over very many edges: parts of them are added up apart, so that small terms are not lost beside the whole.
#pragma once
#include <algorithm>

#include "vectors.h"

template <class T>
class LongSum {
 public:
  explicit LongSum(long size = 0) : most_(std::max(4096L, size)), part_(size), total_(size) {}

  // Where the next terms are added, a row of outputs for each of some edges.
  T* next(long edges) {
    if ((edges_ += edges) > most_) flush();
    return part_.get();
  }
  void add(LongSum& other) {
    other.flush();
    for (size_t i = 0; i < other.part_.size(); i++) total_.get()[i] += other.total_.get()[i];
  }
  void add_to(T* sum) {
    const T* whole = settled();
    for (size_t i = 0; i < part_.size(); i++) sum[i] += whole[i];
  }
  // The whole sum, after which no more is added.
  const T* settled() {
    flush();
    for (size_t i = 0; i < part_.size(); i++) part_.get()[i] = T(total_.get()[i]);
    total_.zero();
    return part_.get();
  }

 private:
  void flush() {
    for (size_t i = 0; i < part_.size(); i++) total_.get()[i] += part_.get()[i];
    part_.zero();
    edges_ = 0;
  }

  long most_, edges_ = 0;
  Buffer<T> part_;
  Buffer<double> total_;
};
