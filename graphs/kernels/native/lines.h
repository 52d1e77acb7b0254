// The map relu(w a + b) We + be of one raw weight w: a line in w between the cuts where a unit turns on or off.
#pragma once
#include <cmath>
#include <vector>

#include "program.h"
#include "segments.h"
#include "vectors.h"

// Which line an edge is on, in integers as wide as its weight.
template <class T>
using Place = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

template <class T>
class Lines {
 public:
  Lines(const Program& p, const Weights<T>& w) : p_(p), w_(w) {
    for (long k = 0; k < p.D; k++) add_unit(k);
    std::sort(units_.begin(), units_.end(), [](const Unit& x, const Unit& y) { return x.cut < y.cut; });
    std::vector<double> sums(size());
    for (long i = 0; i <= cuts(); i++)
      for (long g = 0; g < p.G; g++) sums[i * row() + p.G + g] = w.be ? w.be[g] : 0;
    for (bool rising : {true, false}) add_units(rising, sums);
    rows_ = Buffer<T>(size());
    std::copy(sums.begin(), sums.end(), rows_.get());
    for (double sum : sums) finite_ &= std::isfinite(sum);
  }

  long cuts() const { return units_.size(); }
  long row() const { return 2 * p_.G; }  // slopes, then values at w = 0
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

  // From sums over the edges on each line, of w dz and of dz, to gradients; ``sums`` is used up.
  void back(const std::vector<double>& sums, const Gradients<T>& d) const {
    for (bool rising : {true, false}) {
      std::vector<double> on(row());  // over the edges for which the unit is on
      for (long i = 0; i < cuts(); i++) {
        long u = rising ? cuts() - 1 - i : i;
        const double* from = &sums[(rising ? u + 1 : u) * row()];
        for (long g = 0; g < row(); g++) on[g] += from[g];
        if (units_[u].rising == rising) back(units_[u].number, on.data(), d);
      }
    }
  }

 private:
  struct Unit {
    T cut;        // it turns on (rising) or off beyond this weight
    long number;  // among the D
    bool rising;
  };

  void add_unit(long k) {
    T a = w_.enc_a[k], b = w_.enc_b ? w_.enc_b[k] : 0, infinity = std::numeric_limits<T>::infinity();
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
        for (long g = 0; g < p_.G; g++) {
          double We = w_.We[k * p_.G + g];
          on[g] += w_.enc_a[k] * We;
          on[p_.G + g] += w_.enc_b ? w_.enc_b[k] * We : 0;
        }
      double* to = &sums[(rising ? u + 1 : u) * row()];
      for (long g = 0; g < row(); g++) to[g] += on[g];
    }
  }

  void back(long k, const double* on, const Gradients<T>& d) const {
    double a = w_.enc_a[k], b = w_.enc_b ? w_.enc_b[k] : 0, da = 0, db = 0;
    for (long g = 0; g < p_.G; g++) {
      double We = w_.We[k * p_.G + g];
      da += We * on[g];
      db += We * on[p_.G + g];
      if (d.We) d.We[k * p_.G + g] += a * on[g] + b * on[p_.G + g];
    }
    if (d.enc_a) d.enc_a[k] += da;
    if (d.enc_b) d.enc_b[k] += db;
  }

  const Program& p_;
  const Weights<T>& w_;
  std::vector<Unit> units_;
  Buffer<T> rows_;
  bool finite_ = true;
};
