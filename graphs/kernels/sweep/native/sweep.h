// The program of one tile of edges: states are loaded, updated, read by the message and reduced; and back.
#pragma once
#include <vector>

#include "direct.h"
#include "storage.h"

// Transposed copies [columns, rows] of ``number`` matrices [rows, columns].
template <class T>
Buffer<T> transposed(const T* matrices, long number, long rows, long columns) {
  if (!matrices) return Buffer<T>();
  Buffer<T> turned(number * rows * columns);
  for (long k = 0; k < number; k++)
    for (long i = 0; i < rows; i++)
      for (long j = 0; j < columns; j++)
        turned.get()[(k * columns + j) * rows + i] = matrices[(k * rows + i) * columns + j];
  return turned;
}

template <class S, class T>
class Sweep {
 public:
  // ``exact``: messages are compared with those of another sweep, so that each is made by the same steps in both.
  Sweep(const Program& p, const Weights<T>& w, const S* edges, long tile_size, bool exact)
      : p_(p), w_(w), edges_(edges), size_(tile_size), exact_(exact), same_(std::max({p.D, p.H, 2 * p.G})) {
    for (long k = 0; k <= p.K; k++) states_.emplace_back(size_ * p.D);
    for (long k = 0; k < p.K; k++) hidden_.emplace_back(size_ * p.H), slopes_.emplace_back(size_ * p.H);
    for (Buffer<T>* buffer : {&z_, &m_, &pair_, &scale_}) *buffer = Buffer<T>(size_ * p.G);
    raw_ = Buffer<T>(size_ * p.raw);
  }

  // Whether edges need no conversion: the states before the updates are where they are stored.
  static bool reads_in_place(const Program& p) {
    return std::is_same_v<S, T> && p.encoder == STORED && p.columns == p.D;
  }

  // ---- forward: state(K) are the edge states after the updates

  void update(const Tile& tile) {
    load(tile);
    for (long k = 0; k < p_.K; k++) update(tile, k, exact_ ? slopes_[k].get() : nullptr, true);
  }

  void reduce_messages(const Tile& tile, const Statistics<T>& to) {
    if (direct_ && is_direct(p_, w_.We, !to.square && !to.max && !to.min))
      sum_directly(p_, Terms<T>{w_.P, w_.Q, w_.be, direct_}, tile, same_.get(), to.sum);
    else
      reduce(message(tile), p_.G, tile, to, p_.G);
  }

  // Sums of what the last update starts from and of its hidden units, for map_sums.
  void reduce_hidden(const Tile& tile, T* sums, T* hidden) {
    load(tile);
    for (long k = 0; k < p_.K; k++) update(tile, k, nullptr, k + 1 < p_.K);
    if (p_.residual) add_to_destinations(state(p_.K - 1), tile, sums, p_.D);
    add_to_destinations(hidden_[p_.K - 1].get(), tile, hidden, p_.H);
  }

  const T* message(const Tile& tile) {
    const T* e = read();
    if (p_.message == EDGE) return e;
    bool clip = p_.message == ADD && p_.act == RELU && w_.We;
    combine(tile, e, clip);
    if (clip) return z_.get();
    activate(p_.act, z_.get(), m_.get(), exact_ ? z_.get() : nullptr, tile.size * p_.G);
    return m_.get();
  }

  const T* state(long k) const { return k == 0 && direct_ ? direct_ : states_[k].get(); }

 protected:
  void load(const Tile& tile) {
    direct_ = nullptr;
    if (p_.encoder == STORED) {
      const S* from = edges_ + tile.begin * p_.columns;
      if (p_.K || w_.We) ask_ahead(from, tile.size * p_.columns);
      if constexpr (std::is_same_v<S, T>)
        if (reads_in_place(p_)) direct_ = from;
      if (!direct_) load_rows(from, tile.size, p_.columns, states_[0].get(), p_.D);
      return;
    }
    load_rows(edges_ + tile.begin * p_.raw, tile.size, p_.raw, raw_.get(), p_.raw);
    encode(tile.size);
  }

  // As many numbers after these, into the second cache: a product reads many rows at once, which the processor does not
  // foresee.
  static void ask_ahead(const S* rows, long count) {
    for (long i = 0; i < count; i += 64 / sizeof(S)) __builtin_prefetch(rows + count + i, 0, 2);
  }

  // e = relu(w enc_a + enc_b)
  void encode(long size) {
    End<T> end;
    end.row = w_.enc_b, end.clip = true;
    product(raw_.get(), p_.raw, w_.enc_a, p_.D, {}, states_[0].get(), p_.D, size, p_.raw, p_.D, end);
    clear_pads(states_[0].get(), size, p_.columns, p_.D);
  }

  // Whether rows of sources stand in a row for edges enough to be added within a product.
  bool in_runs(const Tile& tile) const {
    return !exact_ && !tile.col && tile.size >= 12 * long(tile.segments.size());
  }

  // out = the terms + e W, then 0 for what is below 0 (``clip``) or, where it is > 0, ``step`` of the destination.
  void linear(const Tile& tile, const Terms<T>& terms, const T* e, const T* W, T* out, long width, bool clip,
              const T* step = nullptr) {
    End<T> end;
    end.clip = clip;
    if (!in_runs(tile)) {
      gather(terms, tile, out, same_.get(), width);
      return product(e, p_.D, W, width, Origin<T>(out, width), out, width, tile.size, p_.D, width, end);
    }
    end.row = same_.get();
    for (const Segment& s : tile.segments) {
      common_terms(terms, s.destination, same_.get(), width);
      end.step = of(step, s.destination * width);
      Origin<T> start(of(terms.source, s.source * width), width);
      product(e + s.start * p_.D, p_.D, W, width, start, out + s.start * width, width, s.length, p_.D, width, end);
    }
  }

  // The hidden units of update k and, if it is ``wanted``, e_{k+1}; ``slope`` receives update_act'(z_k) unless null or
  // the activation is relu, whose values tell its slope.
  void update(const Tile& tile, long k, T* slope, bool wanted) {
    long n = tile.size, D = p_.D, H = p_.H;
    const T* e = state(k);
    T* h = hidden_[k].get();
    Terms<T> terms{of(w_.U, k * p_.sources * H), of(w_.V, k * p_.nodes * H), of(w_.bu, k * H), nullptr};
    linear(tile, terms, e, w_.Wu + k * D * H, h, H, p_.update_act == RELU);
    if (p_.update_act != RELU) activate(p_.update_act, h, h, slope, n * H);
    clear_pads(h, n, p_.hidden, H);
    if (!wanted) return;
    T* next = states_[k + 1].get();
    if (w_.Wo) {
      End<T> end;
      end.row = of(w_.bo, k * D);
      Origin<T> start(p_.residual ? e : nullptr, D);
      product(h, H, w_.Wo + k * H * D, D, start, next, D, n, H, D, end);
    } else if (p_.residual) {
      add_rows(h, e, next, n * D);
    } else {
      std::memcpy(next, h, n * D * sizeof(T));
    }
    clear_pads(next, n, p_.columns, D);
  }

  // An infinite number makes NaN of the pads, 0 times it.
  static void clear_pads(T* rows, long number, long columns, long width) {
    for (long t = 0; t < (columns < width ? number : 0); t++) std::fill_n(rows + t * width + columns, width - columns, T(0));
  }

  const T* read() const { return state(p_.reads_old ? 0 : p_.K); }

  // z of the message before its activation, unless that is to ``clip`` a sum.
  void combine(const Tile& tile, const T* e, bool clip) {
    long n = tile.size, G = p_.G, wide = p_.message == FILM ? 2 * G : G;
    if (p_.message == ADD && w_.We)
      return linear(tile, Terms<T>{w_.P, w_.Q, w_.be, nullptr}, e, w_.We, z_.get(), G, clip);
    if (p_.message == ADD) return gather(Terms<T>{w_.P, w_.Q, w_.be, e}, tile, z_.get(), same_.get(), G);
    gather(Terms<T>{w_.P, w_.Q, nullptr, nullptr}, tile, pair_.get(), same_.get(), G);
    if (w_.We)
      product(e, p_.D, w_.We, wide, Origin<T>(w_.be), scale_.get(), G, n, p_.D, G);
    else
      gather(Terms<T>{nullptr, nullptr, w_.be, e}, tile, scale_.get(), same_.get(), G);
    if (p_.message == FILM)
      product(e, p_.D, w_.We + G, wide, Origin<T>(of(w_.be, G)), z_.get(), G, n, p_.D, G);
    else
      std::memset(z_.get(), 0, n * G * sizeof(T));
    for (long i = 0; i < n * G; i += LANES<T>) at(z_.get() + i) += at(pair_.get() + i) * at(scale_.get() + i);
  }

  static const T* of(const T* base, long offset) { return base ? base + offset : nullptr; }

  const Program& p_;
  const Weights<T>& w_;
  const S* edges_;
  long size_;
  bool exact_;
  const T* direct_ = nullptr;
  Buffer<T> raw_, z_, m_, pair_, scale_, same_;
  std::vector<Buffer<T>> states_, hidden_, slopes_;
};
