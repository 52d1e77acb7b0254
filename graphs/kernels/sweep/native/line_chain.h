// A chain of updates on one raw weight, a tile of edges at a time: hidden units are the only states of an edge.
#pragma once
#include "line_sums.h"
#include "readers.h"

// z = line + source + what the edges of a segment share; 0 for what is below 0 where CLIP.
template <class T, int V, bool CLIP, bool SOURCE>
void gather_on_lines(OnLines<T> e, const T* sources, Segment s, const T* same, T* z, long width) {
  constexpr int L = LANES<T>;
  const long stride = V ? V * L : width;
  for (long t = s.start; t < s.start + s.length; t++) {
    const T* source = SOURCE ? sources + e.source(s, t) * stride : nullptr;
    const T *line = e.lines + e.places[t], raw = e.raw[t];
    for (long j = 0; j < stride; j += L) {
      Vec<T> sum = on_line<T, SOURCE>(line + j, e.zero, raw, source + j, at(same + j));
      at(z + t * stride + j) = CLIP ? (sum < 0 ? Vec<T>{} : sum) : sum;
    }
  }
}

// What multiplies a gradient: a slope, or (GATE) 1 where a value is above 0. The gradient is a row of each edge (EACH)
// or one for the segment. The product goes to dz and to the sums it adds to.
template <class T, int V, bool GATE, bool EACH>
void spread_to_lines(OnLines<T> e, Segment s, const T* slope, const T* grad, T* dz, LineGradients<T> d, long width) {
  constexpr int L = LANES<T>, N = V ? V : 1;
  const long stride = V ? V * L : width;
  for (long j = 0; j < stride; j += N * L) {
    Vec<T> sum[N] = {};
    for (long t = s.start; t < s.start + s.length; t++) {
      const long place = e.places[t] + j, from = e.source(s, t) * stride + j, here = t * stride + j;
      const T *line = e.lines + place, raw = e.raw[t];
      T* sums = d.sums + (t & 1) * d.copy + place;
      Vec<T> along{};
      for (int v = 0; v < N; v++) {
        Vec<T> g = at(grad + (EACH ? here : j) + v * L), by = at(slope + here + v * L);
        g = GATE ? (by > 0 ? g : Vec<T>{}) : g * by;
        at(dz + here + v * L) = g;
        sum[v] += g;
        at(sums + v * L) += raw * g;
        at(sums + e.zero + v * L) += g;
        if (d.source) at(d.source + from + v * L) += g;
        if (d.raw) along += g * at(line + v * L);
      }
      if (d.raw) d.raw[t] += sum_lanes<T>(along);
    }
    if (d.destination)
      for (int v = 0; v < N; v++) at(d.destination + j + v * L) += sum[v];
  }
}

template <class S, class T>
class LineChain : public LineSums<S, T> {
  using Base = LineSums<S, T>;

 public:
  LineChain(const Program& p, const Weights<T>& w, const Readers<T>& readers, const S* edges, long tile_size)
      : Base(p, w, readers.lines(), edges, tile_size), readers_(readers), dh_(p.K ? tile_size * p.H : 0) {
    for (long l = 0; l <= p.K && p.K; l++) {
      for (auto* buffers : {&h_, &slope_, &dz_}) buffers->emplace_back(tile_size * readers.width(l));
      for (long k = 0; k < l; k++) d_maps_.emplace_back(p.H * readers.width(l));
    }
  }

  void add(const Tile& tile, T* sums) {
    if (!p().K) return Base::add(tile, sums);
    for (long l = 0; l <= p().K; l++) read(tile, l, nullptr);
    Statistics<T> only_sum{};
    only_sum.sum = sums;
    reduce(h_[p().K].get(), p().G, tile, only_sum, p().G);
  }

  void back(const Tile& tile, const T* grad, const Gradients<T>& d, S* d_edges) {
    long K = p().K, H = p().H;
    if (!K) return Base::back(tile, grad, d, d_edges);
    this->start(d_edges);
    for (long l = 0; l <= K; l++) read(tile, l, slope_[l].get());
    spread<false>(tile, K, grad, d.P, d.Q);
    for (long k = K; k-- > 0;) {
      hidden_back(tile, k);
      T *dU = d.U ? d.U + k * p().sources * H : nullptr, *dV = d.V ? d.V + k * p().nodes * H : nullptr;
      spread<true>(tile, k, dh_.get(), dU, dV);
    }
    this->end(tile, d_edges);
  }

  void finish(const Gradients<T>& d) {
    if (this->sums_.size()) readers_.back(this->totals(), d_maps_, d);
  }

 private:
  const Program& p() const { return this->p_; }
  long act(long l) const { return l < p().K ? p().update_act : p().act; }
  OnLines<T> edges(const Tile& tile, long l) const {
    OnLines<T> e = this->Base::edges(tile);
    e.lines += readers_.first(l);
    return e;
  }

  Terms<T> terms(long l) const {
    const Weights<T>& w = this->w_;
    long H = p().H;
    if (l == p().K) return {w.P, w.Q, nullptr, nullptr};
    return {w.U ? w.U + l * p().sources * H : nullptr, w.V ? w.V + l * p().nodes * H : nullptr, nullptr, nullptr};
  }

  // What reader l makes of the edges; ``slope`` receives its derivative unless null or of relu, whose values tell it.
  void read(const Tile& tile, long l, T* slope) {
    long width = readers_.width(l), H = p().H;
    T* z = h_[l].get();
    bool relu = act(l) == RELU;
    gather(tile, l, relu && l == 0);
    for (long k = 0; k < l; k++) {
      End<T> end;
      end.clip = relu && k + 1 == l;
      product(h_[k].get(), H, readers_.map(k, l), width, Origin<T>(z, width), z, width, tile.size, H, width, end);
    }
    if (!relu) activate(act(l), z, z, slope, tile.size * width);
  }

  void gather(const Tile& tile, long l, bool clip) {
    long width = readers_.width(l);
    T *z = h_[l].get(), *same = this->same_.get();
    Terms<T> from = terms(l);
    with_vectors<T>(width, [&](auto v) {
      constexpr int V = decltype(v)::value;
      auto segment = clip ? (from.source ? gather_on_lines<T, V, true, true> : gather_on_lines<T, V, true, false>)
                          : (from.source ? gather_on_lines<T, V, false, true> : gather_on_lines<T, V, false, false>);
      for (const Segment& s : tile.segments) {
        common_terms(from, s.destination, same, width);
        segment(edges(tile, l), from.source, s, same, z, width);
      }
    });
  }

  // dh of the hidden units k from all that read them, and the gradients of their maps
  void hidden_back(const Tile& tile, long k) {
    long H = p().H;
    T* dh = dh_.get();
    for (long l = k + 1; l <= p().K; l++) {
      long width = readers_.width(l);
      Origin<T> start(l > k + 1 ? dh : nullptr, H);
      product(dz_[l].get(), width, readers_.turned(k, l), H, start, dh, H, tile.size, width, H);
      T* d_map = d_maps_[Readers<T>::pair(k, l)].get();
      outer(h_[k].get(), H, dz_[l].get(), width, d_map, width, tile.size, H, width);
    }
  }

  // dz of reader l: a gradient of each edge or of each node, times the slope
  template <bool EACH>
  void spread(const Tile& tile, long l, const T* grad, T* d_source, T* d_destination) {
    long width = readers_.width(l);
    bool relu = act(l) == RELU;
    const T* slope = relu ? h_[l].get() : slope_[l].get();
    with_vectors<T>(width, [&](auto v) {
      constexpr int V = decltype(v)::value;
      auto segment = relu ? spread_to_lines<T, V, true, EACH> : spread_to_lines<T, V, false, EACH>;
      for (const Segment& s : tile.segments) {
        const T* from = EACH ? grad : grad + s.destination * width;
        LineGradients<T> to = this->to(s, d_source, d_destination, readers_.first(l), width);
        segment(edges(tile, l), s, slope, from, dz_[l].get(), to, width);
      }
    });
  }

  const Readers<T>& readers_;
  Buffer<T> dh_;
  std::vector<Buffer<T>> h_, slope_, dz_, d_maps_;  // of each reader; the last h_ are the messages
};
