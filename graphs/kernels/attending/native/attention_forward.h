// Attention into one destination after the other: a running maximum and sum a head, scaled anew as the maximum grows.
#pragma once
#include "attention_problem.h"

template <class T, class S>
class AttentionForward {
 public:
  AttentionForward(const Problem& p, const Attended<T>& a)
      : p_(p),
        a_(a),
        lay_(a.lay),
        tile_(a),
        query_(lay_.width),
        sum_(lay_.score),
        most_(lay_.score),
        base_(lay_.score),
        shift_(lay_.score),
        values_(lay_.width),
        states_(a.map.edge_width * lay_.score),
        scores_(tile_.edges.edge.size() * lay_.score) {}

  void run(long begin, long end) {
    clear(begin, end);
    EdgeReader reader(table_, a_.by, begin, end);
    while (tile_.fill(p_, a_, reader))
      for (const Run& run : tile_.edges.runs) {
        if (run.first) start(run.destination);
        score(run);
        weigh(run);
        add(run);
        if (run.last) finish(run.destination);
      }
  }

 private:
  // What a destination without edges keeps.
  void clear(long begin, long end) {
    std::fill_n(static_cast<T*>(p_.out) + begin * p_.width, (end - begin) * p_.width, T(0));
    std::fill_n(static_cast<T*>(p_.lse) + begin * p_.heads, (end - begin) * p_.heads, LEAST);
  }

  void start(long i) {
    lay_.pack(static_cast<const T*>(p_.q) + i * p_.width, query_.get());
    sum_.zero();
    values_.zero();
    states_.zero();
    std::fill_n(most_.get(), lay_.score, LEAST);
  }

  void score(const Run& run) {
    for (long t = run.begin; t < run.begin + run.length; t++) {
      const T *z = tile_.mapped(t), *key = a_.k.get() + tile_.edges.source[t] * lay_.width;
      T* s = scores_.get() + t * lay_.score;
      sum_heads(lay_, s, [&](long j) {
        return (at(query_.get() + j) + at(z + j)) * (at(key + j) + at(z + lay_.width + j));
      });
      for (long l = 0; l < lay_.score; l++) s[l] *= static_cast<T>(p_.scale);
    }
  }

  // Scores become weights against the largest so far; what was added before shrinks to it.
  void weigh(const Run& run) {
    T *s = scores_.get() + run.begin * lay_.score, *most = most_.get(), *shift = shift_.get();
    for (long l = 0; l < lay_.score; l++) shift[l] = most[l];
    for (long t = 0; t < run.length; t++)
      for (long l = 0; l < lay_.score; l++) {
        T value = s[t * lay_.score + l];
        most[l] = value > most[l] ? value : most[l];
      }
    // A score of -inf has no weight as long as there is any other.
    for (long l = 0; l < lay_.score; l++) base_.get()[l] = most[l] == LEAST ? T(0) : most[l];
    for (long t = 0; t < run.length; t++)
      for (long l = 0; l < lay_.score; l++) s[t * lay_.score + l] -= base_.get()[l];
    exponential_of(s, run.length * lay_.score);
    if (!run.first) shrink();
  }

  void shrink() {
    T* shift = shift_.get();
    for (long l = 0; l < lay_.score; l++) shift[l] = exponential(shift[l] - base_.get()[l]);
    for (long l = 0; l < lay_.score; l++) sum_.get()[l] *= shift[l];
    for (long j = 0; j < lay_.width; j += LANES<T>) at(values_.get() + j) *= at(shift + j % lay_.score);
    for (long j = 0; j < a_.map.edge_width * lay_.score; j += LANES<T>)
      at(states_.get() + j) *= at(shift + j % lay_.score);
  }

  void add(const Run& run) {
    const T* p = scores_.get() + run.begin * lay_.score;
    column_sums(p, lay_.score, sum_.get(), run.length, lay_.score);
    for (long t = 0; t < run.length; t++, p += lay_.score) {
      const T* m = tile_.mapped(run.begin + t) + 2 * lay_.width;
      const T* value = a_.v.get() + tile_.edges.source[run.begin + t] * lay_.width;
      for (long j = 0; j < lay_.width; j += LANES<T>)
        at(values_.get() + j) += at(p + j % lay_.score) * at(value + j) * at(m + j);
    }
    // v_e is linear in e, so that e itself is summed, and mapped once a destination.
    outer(tile_.state(a_, run.begin), a_.map.padded, scores_.get() + run.begin * lay_.score, lay_.score, states_.get(),
          lay_.score, run.length, a_.map.edge_width, lay_.score);
  }

  void finish(long i) {
    for (long l = 0; l < lay_.score; l++)
      if (most_.get()[l] == LEAST) sum_.get()[l] = std::numeric_limits<T>::quiet_NaN();
    for (long j = 0; j < lay_.width; j += LANES<T>) {
      Vec<T> total = at(values_.get() + j), sum = at(sum_.get() + j % lay_.score);
      for (long d = 0; d < a_.map.edge_width; d++)
        total += at(a_.map.wv.get() + d * lay_.width + j) * at(states_.get() + d * lay_.score + j % lay_.score);
      at(values_.get() + j) = total / sum + at(a_.map.bias_v.get() + j);
    }
    lay_.unpack(values_.get(), static_cast<T*>(p_.out) + i * p_.width);
    for (long h = 0; h < lay_.heads; h++)
      static_cast<T*>(p_.lse)[i * lay_.heads + h] = most_.get()[h] + std::log(sum_.get()[h]);
  }

  static constexpr T LEAST = -std::numeric_limits<T>::infinity();

  const Problem& p_;
  const Attended<T>& a_;
  const Heads<T>& lay_;
  const Table table_ = p_.table();
  MappedTile<T, S> tile_;
  Buffer<T> query_, sum_, most_, base_, shift_;  // of the destination at hand
  Buffer<T> values_, states_;             // weighted sums of v_j m_e [W] and, a head, of e [D, score]
  Buffer<T> scores_;                      // [edges, score]
};

template <class T, class S>
void attention_forward(const Problem& p) {
  const Attended<T> a(p, false);
  a.by.in_shares(p.threads, [&](long, long begin, long end) { AttentionForward<T, S>(p, a).run(begin, end); });
}
