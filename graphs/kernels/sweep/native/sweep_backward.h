// The gradients of one tile: its states are computed again, then every step is taken back.
#pragma once
#include "sweep.h"

// Matrices turned round once a sweep: We, Wu and Wo of all updates.
template <class T>
struct Turned {
  Buffer<T> We, Wu, Wo;
  Turned(const Program& p, const Weights<T>& w)
      : We(transposed(w.We, 1, p.D, p.message == FILM ? 2 * p.G : p.G)),
        Wu(transposed(w.Wu, p.K, p.D, p.H)),
        Wo(transposed(w.Wo, p.K, p.H, p.D)) {}
};

template <class S, class T>
class SweepBackward : public Sweep<S, T> {
 public:
  SweepBackward(const Program& p, const Weights<T>& w, const S* edges, long tile_size, const Turned<T>& turned,
                const StatisticsGradient<T>& nodes, const S* grad_edges, const Gradients<T>& d, S* d_edges)
      : Sweep<S, T>(p, w, edges, tile_size, nodes.max || nodes.min), turned_(turned), nodes_(nodes), grad_edges_(grad_edges), d_(d),
        d_edges_(d_edges), de_(tile_size * p.D), read_(tile_size * p.D), dz_(tile_size * std::max({p.G, p.H, p.D})),
        ds_(tile_size * p.G) {}

  // The gradient of the last hidden units is that of their node, [nodes, H], times their slope; their sums are kept.
  void take_hidden(const T* gradients, T* sums) { hidden_gradients_ = gradients, hidden_sums_ = sums; }

  void run(const Tile& tile) {
    this->load(tile);
    // Of the last update only the hidden units are needed again, unless the message reads what it made.
    bool last = !p().reads_old && reads_messages() && (p().message != EDGE || needs_values());
    for (long k = 0; k < p().K; k++) this->update(tile, k, this->slopes_[k].get(), k + 1 < p().K || last);
    if (grad_edges_)
      load_rows(grad_edges_ + tile.begin * p().columns, tile.size, p().columns, de_.get(), p().D);
    else
      std::fill_n(de_.get(), tile.size * p().D, T(0));
    bool apart = p().reads_old && p().K;  // the gradient of e_0 that does not pass through the updates
    if (apart) std::fill_n(read_.get(), tile.size * p().D, T(0));
    if (reads_messages() && (p().residual || !hidden_gradients_)) message_back(tile, apart ? read_.get() : de_.get());
    for (long k = p().K; k-- > 0;) update_back(tile, k);
    if (apart) add_rows(de_.get(), read_.get(), de_.get(), tile.size * p().D);
    finish(tile);
  }

 private:
  const Program& p() const { return this->p_; }
  bool reads_messages() const { return nodes_.sum || nodes_.square || nodes_.max || nodes_.min; }
  bool needs_values() const { return nodes_.square || nodes_.max || nodes_.min; }

  // de += the gradient of the message's reading
  void message_back(const Tile& tile, T* de) {
    long n = tile.size, G = p().G;
    const T* e = this->read();
    T* dz = dz_.get();
    if (p().message == EDGE) {
      spread(nodes_, e, p().D, tile, static_cast<const T*>(nullptr), dz, G);
      add_rows(de, dz, de, n * G);
      return;
    }
    if (p().message == ADD && this->w_.We && p().act == RELU && !needs_values() && this->in_runs(tile)) {
      Terms<T> terms{this->w_.P, this->w_.Q, this->w_.be, nullptr};
      this->linear(tile, terms, e, this->w_.We, dz, G, false, nodes_.sum);
    } else {
      this->combine(tile, e, false);
      T *slope = this->z_.get(), *value = this->m_.get();
      activate(p().act, this->z_.get(), value, slope, n * G);
      spread(nodes_, value, G, tile, slope, dz, G);
    }
    if (p().message == ADD) {
      scatter(dz, tile, d_.P, d_.Q, G);
      linear_back(e, dz, G, 0, de, n);
      return;
    }
    if (p().message == FILM) linear_back(e, dz, 2 * G, G, de, n);
    product_back(tile, e, dz, de);
  }

  // The factor ``scale`` of (P[j] + Q[i]) * scale
  void product_back(const Tile& tile, const T* e, T* dz, T* de) {
    long n = tile.size, G = p().G;
    T* ds = ds_.get();
    for (long i = 0; i < n * G; i += LANES<T>) {
      at(ds + i) = at(dz + i) * at(this->pair_.get() + i);
      at(dz + i) *= at(this->scale_.get() + i);
    }
    scatter(dz, tile, d_.P, d_.Q, G);
    linear_back(e, ds, p().message == FILM ? 2 * G : G, 0, de, n);
  }

  // The map e -> e We + be, of which dz are the columns from ``first`` on, ``wide`` in all
  void linear_back(const T* e, const T* dz, long wide, long first, T* de, long n) {
    long D = p().D, G = p().G;
    if (d_.We) outer(e, D, dz, G, d_.We + first, wide, n, D, G);
    if (d_.be && p().message != ADD) column_sums(dz, G, d_.be + first, n, G);
    if (this->w_.We)
      product(dz, G, turned_.We.get() + first * D, D, Origin<T>(de, D), de, D, n, G, D);
    else
      add_rows(de, dz, de, n * D);
  }

  void update_back(const Tile& tile, long k) {
    long n = tile.size, D = p().D, H = p().H;
    const T *e = this->state(k), *h = this->hidden_[k].get(), *slope = this->slopes_[k].get();
    T *de = de_.get(), *dz = dz_.get();
    bool relu = p().update_act == RELU;
    if (hidden_gradients_ && k == p().K - 1) {
      StatisticsGradient<T> nodes{hidden_gradients_, nullptr, nullptr, nullptr, nullptr, nullptr};
      spread(nodes, h, H, tile, relu ? nullptr : slope, dz, H);
      for (long i = 0; i < (relu ? n * H : 0); i += LANES<T>) at(dz + i) = at(h + i) > 0 ? at(dz + i) : Vec<T>{};
      add_to_destinations(h, tile, hidden_sums_, H);
    } else if (this->w_.Wo) {
      if (d_.bo) column_sums(de, D, d_.bo + k * D, n, D);
      if (d_.Wo) outer(h, H, de, D, d_.Wo + k * H * D, D, n, H, D);
      End<T> end;
      end.gate = relu ? h : nullptr, end.ld = H;
      product(de, D, turned_.Wo.get() + k * D * H, H, {}, dz, H, n, D, H, end);
      for (long i = 0; i < (relu ? 0 : n * H); i += LANES<T>) at(dz + i) *= at(slope + i);
    } else if (relu) {
      for (long i = 0; i < n * H; i += LANES<T>) at(dz + i) = at(h + i) > 0 ? at(de + i) : Vec<T>{};
    } else {
      for (long i = 0; i < n * H; i += LANES<T>) at(dz + i) = at(de + i) * at(slope + i);
    }
    scatter(dz, tile, d_.U ? d_.U + k * p().sources * H : nullptr, d_.V ? d_.V + k * p().nodes * H : nullptr, H);
    if (d_.Wu) outer(e, D, dz, H, d_.Wu + k * D * H, H, n, D, H);
    Origin<T> origin = p().residual ? Origin<T>(de, D) : Origin<T>();
    product(dz, H, turned_.Wu.get() + k * H * D, D, origin, de, D, n, H, D);
  }

  void finish(const Tile& tile) {
    if (p().encoder == STORED) {
      if (d_edges_) store_rows(de_.get(), p().D, tile.size, p().columns, d_edges_ + tile.begin * p().columns);
      return;
    }
    long n = tile.size, D = p().D, C = p().raw;
    const T* e = this->states_[0].get();
    T* de = de_.get();
    for (long i = 0; i < n * D; i += LANES<T>) at(de + i) = at(e + i) > 0 ? at(de + i) : Vec<T>{};
    if (d_.enc_b) column_sums(de, D, d_.enc_b, n, D);
    if (d_.enc_a) outer(this->raw_.get(), C, de, D, d_.enc_a, D, n, C, D);
    if (d_edges_) raw_back(tile);
  }

  // The gradient of the raw weights: de enc_a^T
  void raw_back(const Tile& tile) {
    long D = p().D, C = p().raw;
    for (long t = 0; t < tile.size; t++)
      for (long c = 0; c < C; c++) {
        Vec<T> sum{};
        for (long j = 0; j < D; j += LANES<T>) sum += at(de_.get() + t * D + j) * at(this->w_.enc_a + c * D + j);
        narrow(sum_lanes<T>(sum), d_edges_[(tile.begin + t) * C + c]);
      }
  }

  const Turned<T>& turned_;
  const StatisticsGradient<T>& nodes_;
  const S* grad_edges_;
  const Gradients<T>& d_;
  S* d_edges_;
  const T* hidden_gradients_ = nullptr;
  T* hidden_sums_ = nullptr;
  Buffer<T> de_, read_, dz_, ds_;
};
