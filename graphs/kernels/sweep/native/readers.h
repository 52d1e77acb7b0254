// Who reads the edge states of a chain on one raw weight, with a line and products of hidden units in place of states.
//
// With residuals e_l = e_0 + sum over k < l of h_k Wo_k + bo_k. So reader l (update l with W_l = Wu_l, or after the K
// updates the message with W_K = We) has z_l = U_l[j] + V_l[i] + line_l(w) + sum over k < l of h_k M_kl, where
// M_kl = Wo_k W_l: K (K + 1) / 2 products an edge in place of 2 K + 1.
#pragma once
#include "activations.h"
#include "lines.h"
#include "program.h"

template <class T>
class Readers {
 public:
  // Whether a program that only wants sums is served, with less work than by its states; after three updates the lines
  // cost what the products save.
  static bool serve(const Program& p, const Weights<T>& w) {
    bool fits = p.encoder == RELU_ENCODER && p.raw == 1 && p.message == ADD && w.We;
    if (p.K == 0) return fits && (p.act == IDENTITY || p.act == RELU);
    long products = p.K * p.H * p.G + p.K * (p.K - 1) / 2 * p.H * p.H, of_states = 2 * p.K * p.D * p.H + p.D * p.G;
    return fits && p.K <= 2 && p.residual && !p.reads_old && products <= of_states;
  }

  Readers(const Program& p, const Weights<T>& w)
      : p_(p), w_(w), W_(p.D * width()), c_(width()), lines_(beside_each_other()) {
    finite_ = lines_.finite();
    for (long l = 1; l <= p.K; l++)
      for (long k = 0; k < l; k++) maps_.push_back(joined(k, l)), turned_.push_back(turn(maps_.back().get(), l));
  }

  long first(long l) const { return l * p_.H; }  // column of the lines
  long width(long l) const { return l < p_.K ? p_.H : p_.G; }
  long width() const { return p_.K * p_.H + p_.G; }
  const Lines<T>& lines() const { return lines_; }
  bool finite() const { return finite_; }

  // M_kl [H, width of l], and the other way round.
  static long pair(long k, long l) { return l * (l - 1) / 2 + k; }
  const T* map(long k, long l) const { return maps_[pair(k, l)].get(); }
  const T* turned(long k, long l) const { return turned_[pair(k, l)].get(); }

  // From sums on the lines, and gradients of the maps M, to gradients.
  void back(const std::vector<double>& sums, const std::vector<Buffer<T>>& d_maps, const Gradients<T>& d) const {
    Buffer<T> dW(p_.D * width()), dc(width());
    lines_.back(sums, d.enc_a, d.enc_b, dW.get());
    for (size_t i = 0; i < sums.size(); i++)
      if (long(i) % (2 * width()) >= width()) dc.get()[i % width()] += sums[i];
    for (long l = 1; l <= p_.K; l++)
      for (long k = 0; k < l; k++) back(k, l, d_maps[pair(k, l)].get(), dc.get() + first(l), dW.get() + first(l), d);
    for (long l = 0; l <= p_.K; l++)
      if (T* to = l < p_.K ? (d.Wu ? d.Wu + l * p_.D * p_.H : nullptr) : d.We)
        for (long i = 0; i < p_.D; i++)
          for (long j = 0; j < width(l); j++) to[i * width(l) + j] += dW.get()[i * width() + first(l) + j];
  }

 private:
  const T* bo() const { return w_.Wo ? w_.bo : nullptr; }
  const T* W(long l) const { return W_.get() + first(l); }  // [D, width of l], rows ``width()`` apart

  // Fills W and c, with what the updates' bo come to.
  Lines<T> beside_each_other() {
    for (long l = 0; l <= p_.K; l++) {
      const T *from = l < p_.K ? w_.Wu + l * p_.D * p_.H : w_.We, *bias = l < p_.K ? w_.bu : w_.be;
      if (bias && l < p_.K) bias += l * p_.H;
      for (long j = 0; j < width(l); j++) {
        double c = bias ? bias[j] : 0;
        for (long i = 0; i < p_.D; i++) {
          T W = W_.get()[i * width() + first(l) + j] = from[i * width(l) + j];
          for (long k = 0; k < l && bo(); k++) c += double(bo()[k * p_.D + i]) * W;
        }
        c_.get()[first(l) + j] = c;
      }
    }
    return Lines<T>(w_.enc_a, w_.enc_b, p_.D, W_.get(), c_.get(), width());
  }

  // Wo_k W_l; W_l without Wo.
  Buffer<T> joined(long k, long l) {
    Buffer<T> map(p_.H * width(l));
    for (long i = 0; i < p_.H; i++)
      for (long j = 0; j < width(l); j++) {
        double sum = w_.Wo ? 0 : W(l)[i * width() + j];
        for (long m = 0; m < p_.D && w_.Wo; m++)
          sum += double(w_.Wo[(k * p_.H + i) * p_.D + m]) * W(l)[m * width() + j];
        map.get()[i * width(l) + j] = sum;
        finite_ &= std::isfinite(sum);
      }
    return map;
  }

  Buffer<T> turn(const T* map, long l) const {
    Buffer<T> other(p_.H * width(l));
    for (long i = 0; i < p_.H; i++)
      for (long j = 0; j < width(l); j++) other.get()[j * p_.H + i] = map[i * width(l) + j];
    return other;
  }

  // Gradients of Wo_k, bo_k and W_l from those of M_kl and of the bias of l.
  void back(long k, long l, const T* d_map, const T* dc, T* dW, const Gradients<T>& d) const {
    for (long m = 0; m < p_.D; m++)
      for (long j = 0; j < width(l); j++) {
        T W = this->W(l)[m * width() + j], sum = w_.Wo ? 0 : d_map[m * width(l) + j];
        if (bo()) sum += bo()[k * p_.D + m] * dc[j];
        if (d.bo && bo()) d.bo[k * p_.D + m] += W * dc[j];
        for (long i = 0; i < p_.H && w_.Wo; i++) {
          sum += w_.Wo[(k * p_.H + i) * p_.D + m] * d_map[i * width(l) + j];
          if (d.Wo) d.Wo[(k * p_.H + i) * p_.D + m] += W * d_map[i * width(l) + j];
        }
        dW[m * width() + j] += sum;
      }
  }

  const Program& p_;
  const Weights<T>& w_;
  Buffer<T> W_, c_;
  Lines<T> lines_;
  std::vector<Buffer<T>> maps_, turned_;
  bool finite_ = true;
};
