// Sums of messages of one raw weight an edge, from memory to their sum in registers, and back: no states of edges.
#pragma once
#include "activations.h"
#include "lines.h"
#include "nodes.h"
#include "program.h"
#include "statistics.h"
#include "storage.h"

// The edges of a tile: their weights, and where their lines start in ``lines``: slopes, and ``zero`` further on the
// values at w = 0.
template <class T>
struct OnLines {
  const T *raw, *lines;
  const Place<T>* places;
  const int64_t* col;
  long zero;

  long source(const Segment& s, long t) const { return col ? col[t] : s.source + t - s.start; }
};

// What an edge adds up to before an activation, at the columns of one vector.
template <class T, bool SOURCE>
inline Vec<T> on_line(const T* line, long zero, T raw, const T* source, Vec<T> same) {
  if (SOURCE) same += at(source);
  return raw * at(line) + (at(line + zero) + same);
}

template <class T, int V, bool CLIP, bool SOURCE>
void sum_on_lines(OnLines<T> e, const T* sources, Segment s, const T* same, T* total, long width) {
  constexpr int L = LANES<T>, N = V ? V : 1;
  const long stride = V ? V * L : width;
  for (long j = 0; j < stride; j += N * L) {
    Vec<T> sum[N], base[N];
    for (int v = 0; v < N; v++) sum[v] = at(total + j + v * L), base[v] = at(same + j + v * L);
    for (long t = s.start; t < s.start + s.length; t++) {
      const T* source = SOURCE ? sources + e.source(s, t) * stride + j : nullptr;
      const T* line = e.lines + e.places[t] + j;
      for (int v = 0; v < N; v++) {
        Vec<T> m = on_line<T, SOURCE>(line + v * L, e.zero, e.raw[t], source + v * L, base[v]);
        sum[v] += CLIP ? (m < 0 ? Vec<T>{} : m) : m;  // NaN stays
      }
    }
    for (int v = 0; v < N; v++) at(total + j + v * L) = sum[v];
  }
}

// Where the gradients of a segment go; null for what is not wanted. ``sums`` of the lines in two copies, of even and
// of odd edges, so that an edge need not wait for the sums of the one before it.
template <class T>
struct LineGradients {
  T *source, *destination, *raw, *sums;
  long copy;
};

template <class T, int V, bool CLIP, bool SOURCE>
void spread_on_lines(OnLines<T> e, const T* sources, Segment s, const T* same, const T* grad, LineGradients<T> d,
                     long width) {
  constexpr int L = LANES<T>, N = V ? V : 1;
  const long stride = V ? V * L : width;
  for (long j = 0; j < stride; j += N * L) {
    Vec<T> sum[N] = {}, base[N], g[N];
    for (int v = 0; v < N; v++) base[v] = at(same + j + v * L), g[v] = at(grad + j + v * L);
    for (long t = s.start; t < s.start + s.length; t++) {
      const long from = e.source(s, t) * stride + j, place = e.places[t] + j;
      const T *source = SOURCE ? sources + from : nullptr, *line = e.lines + place, raw = e.raw[t];
      T* sums = d.sums + (t & 1) * d.copy + place;
      Vec<T> along{};
      for (int v = 0; v < N; v++) {
        Vec<T> dz = g[v];
        if (CLIP) dz = on_line<T, SOURCE>(line + v * L, e.zero, raw, source + v * L, base[v]) > 0 ? dz : Vec<T>{};
        sum[v] += dz;
        at(sums + v * L) += raw * dz;
        at(sums + e.zero + v * L) += dz;
        if (d.source) at(d.source + from + v * L) += dz;
        if (d.raw) along += dz * at(line + v * L);
      }
      if (d.raw) d.raw[t] += sum_lanes<T>(along);
    }
    if (d.destination)
      for (int v = 0; v < N; v++) at(d.destination + j + v * L) += sum[v];
  }
}

template <class S, class T>
class LineSums {
 public:
  LineSums(const Program& p, const Weights<T>& w, const Lines<T>& lines, const S* edges, long tile_size)
      : p_(p), w_(w), lines_(lines), edges_(edges), raw_(tile_size + 128), d_raw_(tile_size),
        same_(std::max(p.H, p.G)), places_(tile_size + 128) {}

  // False where a weight is infinite or NaN, which lines cannot tell from its products.
  bool load(const Tile& tile) {
    T* raw = raw_.get();
    const S* from = edges_ + tile.begin;
    int beyond = 0;
    for (long t = 0; t < tile.size; t++) {
      raw[t] = widen(from[t]);
      beyond += !(std::fabs(raw[t]) <= std::numeric_limits<T>::max());
    }
    if (beyond) return false;
    lines_.find(raw, places_.get(), tile.size);
    return true;
  }

  void add(const Tile& tile, T* sums) {
    each(tile, [&](auto v, auto clip, auto source, const Segment& s) {
      sum_on_lines<T, v, clip, source>(edges(tile), w_.P, s, same_.get(), sums + s.destination * p_.G, p_.G);
    });
  }

  void back(const Tile& tile, const T* grad, const Gradients<T>& d, S* d_edges) {
    start(d_edges);
    each(tile, [&](auto v, auto clip, auto source, const Segment& s) {
      const T* g = grad + s.destination * p_.G;
      spread_on_lines<T, v, clip, source>(edges(tile), w_.P, s, same_.get(), g, to(s, d.P, d.Q, 0, p_.G), p_.G);
    });
    end(tile, d_edges);
  }

  // The sums over the edges on each line, of w dz and of dz.
  const std::vector<double>& totals() {
    settle();
    return totals_;
  }

 protected:
  OnLines<T> edges(const Tile& tile) const {
    return {raw_.get(), lines_.rows(), places_.get(), tile.col, lines_.row() / 2};
  }

  void start(const S* d_edges) {
    if (!sums_.size()) sums_ = Buffer<T>(2 * lines_.size()), totals_.resize(lines_.size());
    wants_raw_ = d_edges;
    if (d_edges) d_raw_.zero();
  }

  // Where the gradients of a segment go, for the columns of the lines from ``first`` on.
  LineGradients<T> to(const Segment& s, T* source, T* destination, long first, long width) const {
    T* node = destination ? destination + s.destination * width : nullptr;
    return {source, node, wants_raw_ ? d_raw_.get() : nullptr, sums_.get() + first, lines_.size()};
  }

  void end(const Tile& tile, S* d_edges) {
    if (d_edges) store_rows(d_raw_.get(), 1, tile.size, 1, d_edges + tile.begin);
    if ((added_ += tile.size) > 1 << 15) settle();
  }

  const Program& p_;
  const Weights<T>& w_;
  const Lines<T>& lines_;
  const S* edges_;
  Buffer<T> raw_, d_raw_, same_, sums_;

 private:
  template <class Work>
  void each(const Tile& tile, Work work) {
    Terms<T> terms{w_.P, w_.Q, nullptr, nullptr};
    auto choose = [&](auto v, auto clip) {
      for (const Segment& s : tile.segments) {
        common_terms(terms, s.destination, same_.get(), p_.G);
        w_.P ? work(v, clip, std::true_type{}, s) : work(v, clip, std::false_type{}, s);
      }
    };
    with_vectors<T>(p_.G, [&](auto v) { p_.act == RELU ? choose(v, std::true_type{}) : choose(v, std::false_type{}); });
  }

  // Sums of some thousand edges, before they grow too large for what is added to them.
  void settle() {
    for (size_t i = 0; i < totals_.size(); i++) totals_[i] += double(sums_.get()[i]) + sums_.get()[totals_.size() + i];
    sums_.zero();
    added_ = 0;
  }

  Buffer<Place<T>> places_;
  std::vector<double> totals_;
  long added_ = 0;
  bool wants_raw_ = false;
};
