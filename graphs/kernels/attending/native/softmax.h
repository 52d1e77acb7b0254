// Softmax over the edges into each destination: columns repeat after a period of whole vectors, whatever their number.
#pragma once
#include <numeric>

#include "destinations.h"
#include "heads.h"
#include "storage.h"

// As the caller fills it (attending/cpu.py has the same fields in the same order).
struct SoftmaxProblem {
  const int64_t* rows;
  int64_t number_of_rows, nodes, columns, threads;
  const void *x, *grad;  // backward: x is the softmax
  void* out;
};

template <class T, class S>
class Softmax {
 public:
  Softmax(const SoftmaxProblem& p, const Table& table, const Destinations& by)
      : p_(p),
        table_(table),
        by_(by),
        period_(std::lcm<long>(p.columns, LANES<T>)),
        chunk_(std::max(1L, 1024 / period_) * period_),
        x_(chunk_),
        g_(chunk_),
        most_(period_),
        sum_(period_) {}

  void forward(long begin, long end) {
    for (long i = begin; i < end; i++) {
      std::fill_n(most_.get(), period_, LEAST);
      sum_.zero();
      each_chunk(i, LEAST, [&](long place, long) { largest(place); });
      share(most_.get(), [](T a, T b) { return a > b ? a : b; });
      each_chunk(i, LEAST, [&](long place, long) {
        weigh(place);
        for (long j = 0; j < place; j += LANES<T>) at(sum_.get() + j % period_) += at(x_.get() + j);
      });
      share(sum_.get(), [](T a, T b) { return a + b; });
      for (long j = 0; j < period_; j += LANES<T>) at(sum_.get() + j) = T(1) / at(sum_.get() + j);
      each_chunk(i, LEAST, [&](long place, long first) {
        weigh(place);
        for (long j = 0; j < place; j += LANES<T>) at(x_.get() + j) *= at(sum_.get() + j % period_);
        store(first);
      });
    }
  }

  // p (g - the mean of g under the weights p).
  void backward(long begin, long end) {
    for (long i = begin; i < end; i++) {
      sum_.zero();
      each_chunk(i, T(0), [&](long place, long first) {
        load(p_.grad, first, T(0), g_.get());
        for (long j = 0; j < place; j += LANES<T>) at(sum_.get() + j % period_) += at(x_.get() + j) * at(g_.get() + j);
      });
      share(sum_.get(), [](T a, T b) { return a + b; });
      each_chunk(i, T(0), [&](long place, long first) {
        load(p_.grad, first, T(0), g_.get());
        for (long j = 0; j < place; j += LANES<T>) at(x_.get() + j) *= at(g_.get() + j) - at(sum_.get() + j % period_);
        store(first);
      });
    }
  }

 private:
  // Calls visit(numbers in whole vectors, place of the first) with the numbers of each chunk in x_.
  template <class Visit>
  void each_chunk(long i, T beyond, Visit visit) {
    for (long r = by_.start[i]; r < by_.start[i + 1]; r++) {
      const int64_t* row = table_.rows + 4 * by_.order[r];
      long last = (row[0] + row[2]) * p_.columns;
      for (long first = row[0] * p_.columns; first < last; first += chunk_) {
        count_ = std::min(chunk_, last - first);
        load(p_.x, first, beyond, x_.get());
        visit(whole<T>(count_), first);
      }
    }
  }

  void load(const void* from, long first, T beyond, T* into) const {
    load_rows(static_cast<const S*>(from) + first, 1, count_, into, count_);
    std::fill(into + count_, into + whole<T>(count_), beyond);
  }
  void store(long first) const { store_rows(x_.get(), count_, 1, count_, static_cast<S*>(p_.out) + first); }

  void largest(long place) {
    for (long j = 0; j < place; j += LANES<T>) {
      T *most = most_.get() + j % period_, *x = x_.get() + j;
      for (long l = 0; l < LANES<T>; l++) most[l] = x[l] > most[l] ? x[l] : most[l];
    }
  }

  void weigh(long place) {
    for (long j = 0; j < place; j += LANES<T>) at(x_.get() + j) -= at(most_.get() + j % period_);
    exponential_of(x_.get(), place);
  }

  // Lanes of one column come to hold the same number.
  template <class Join>
  void share(T* lanes, Join join) const {
    for (long l = p_.columns; l < period_; l++) lanes[l % p_.columns] = join(lanes[l % p_.columns], lanes[l]);
    for (long l = p_.columns; l < period_; l++) lanes[l] = lanes[l % p_.columns];
  }

  static constexpr T LEAST = -std::numeric_limits<T>::infinity();

  const SoftmaxProblem& p_;
  const Table& table_;
  const Destinations& by_;
  long period_, chunk_, count_ = 0;
  Buffer<T> x_, g_, most_, sum_;
};

template <class T, class S>
void softmax(const SoftmaxProblem& p) {
  const Table table{p.rows, p.number_of_rows, nullptr, p.nodes, p.nodes};
  const Destinations by(table);
  by.in_shares(p.threads, [&](long, long begin, long end) {
    Softmax<T, S> work(p, table, by);
    p.grad ? work.backward(begin, end) : work.forward(begin, end);
  });
}
