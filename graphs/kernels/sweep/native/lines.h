// The map relu(w a + b) W + c of one raw weight w: a line in w between the cuts where a unit turns on or off.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "vectors.h"

// Which line an edge is on, in integers as wide as its weight.
template <class T>
using Place = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

template <class T>
class Lines {
 public:
  // An encoder a, b (or null) of D units, W [D, width] and c [width].
  Lines(const T* a, const T* b, long D, const T* W, const T* c, long width) : a_(a), b_(b), W_(W), width_(width) {
    for (long k = 0; k < D; k++) add_unit(k);
    std::sort(units_.begin(), units_.end(), [](const Unit& x, const Unit& y) { return x.cut < y.cut; });
    std::vector<double> sums(size());
    for (long i = 0; i <= cuts(); i++)
      std::copy_n(c, width, &sums[i * row() + width]);
    for (bool rising : {true, false}) add_units(rising, sums);
    rows_ = Buffer<T>(size());
    std::copy(sums.begin(), sums.end(), rows_.get());
    for (double sum : sums) finite_ &= std::isfinite(sum);
  }

  long cuts() const { return units_.size(); }
  long row() const { return 2 * width_; }  // slopes, then values at w = 0
  long size() const { return (cuts() + 1) * row(); }
  bool finite() const { return finite_; }
  const T* rows() const { return rows_.get(); }

  // Where the row of each of n weights starts; reads and writes whole blocks.
  void find(const T* raw, Place<T>* places, long n) const {
    constexpr int L = LANES<T>, AT_ONCE = 4;
    using Count = decltype(Vec<T>{} > Vec<T>{});
    for (long t = 0; t < n; t += AT_ONCE * L) {
      Count count[AT_ONCE] = {};
      for (const Unit& unit : units_)
#pragma GCC unroll 4
        for (int v = 0; v < AT_ONCE; v++) count[v] -= at(raw + t + v * L) > unit.cut;
#pragma GCC unroll 4
      for (int v = 0; v < AT_ONCE; v++) count[v] *= Place<T>(row()), std::memcpy(places + t + v * L, &count[v], BYTES);
    }
  }

  // From sums over the edges on each line, of w dz and of dz, to gradients of a, b and W; null for what is not
  // wanted of a and b.
  void back(const std::vector<double>& sums, T* da, T* db, T* dW) const {
    for (bool rising : {true, false}) {
      std::vector<double> on(row());  // over the edges for which the unit is on
      for (long i = 0; i < cuts(); i++) {
        long u = rising ? cuts() - 1 - i : i;
        const double* from = &sums[(rising ? u + 1 : u) * row()];
        for (long g = 0; g < row(); g++) on[g] += from[g];
        if (units_[u].rising == rising) back(units_[u].number, on.data(), da, db, dW);
      }
    }
  }

 private:
  struct Unit {
    T cut;        // it turns on (rising) or off beyond this weight
    long number;  // among the D
    bool rising;
  };

  T offset(long k) const { return b_ ? b_[k] : 0; }

  void add_unit(long k) {
    T a = a_[k], b = offset(k), infinity = std::numeric_limits<T>::infinity();
    finite_ &= std::isfinite(a) && std::isfinite(b);
    if (a == 0) {
      if (b > 0) units_.push_back({-infinity, k, true});
      return;
    }
    T zero = -b / a;
    bool on = std::fma(zero, a, b) > 0;  // the quotient is rounded: it may be on either side
    units_.push_back({on == (a > 0) ? std::nextafter(zero, -infinity) : zero, k, a > 0});
  }

  void add_units(bool rising, std::vector<double>& sums) const {
    std::vector<double> on(row());
    for (long i = 0; i < cuts(); i++) {
      long u = rising ? i : cuts() - 1 - i, k = units_[u].number;
      if (units_[u].rising == rising)
        for (long g = 0; g < width_; g++) {
          double W = W_[k * width_ + g];
          on[g] += a_[k] * W;
          on[width_ + g] += offset(k) * W;
        }
      double* to = &sums[(rising ? u + 1 : u) * row()];
      for (long g = 0; g < row(); g++) to[g] += on[g];
    }
  }

  void back(long k, const double* on, T* da, T* db, T* dW) const {
    double along = 0, at_zero = 0;
    for (long g = 0; g < width_; g++) {
      double W = W_[k * width_ + g];
      along += W * on[g];
      at_zero += W * on[width_ + g];
      dW[k * width_ + g] += a_[k] * on[g] + offset(k) * on[width_ + g];
    }
    if (da) da[k] += along;
    if (db) db[k] += at_zero;
  }

  const T *a_, *b_, *W_;
  long width_;
  std::vector<Unit> units_;
  Buffer<T> rows_;
  bool finite_ = true;
};
