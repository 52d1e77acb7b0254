// Gradients of attention: the weights are made again from the log of their sum; sources are added up thread by thread.
#pragma once
#include "attention_problem.h"
#include "long_sum.h"

// What one thread adds up: gradients of k and v of the sources that its destinations reach, and of the map.
template <class T>
struct Gathered {
  long first = 0, last = 0;  // sources
  Buffer<T> dk, dv;          // [last - first, W]
  LongSum<T> w, bias;        // [D, 3 W], [3 W]
  LongSum<T> wv, bias_v;     // [D, W], [W]

  void open(const Problem& p, const Attended<T>& a, long begin, long end) {
    reach(p, a, begin, end);
    dk = Buffer<T>((last - first) * a.lay.width);
    dv = Buffer<T>((last - first) * a.lay.width);
    w = LongSum<T>(a.map.edge_width * 3 * a.lay.width);
    bias = LongSum<T>(3 * a.lay.width);
    wv = LongSum<T>(a.map.edge_width * a.lay.width);
    bias_v = LongSum<T>(a.lay.width);
  }

 private:
  void reach(const Problem& p, const Attended<T>& a, long begin, long end) {
    long least = p.sources, most = 0;
    for (long r = a.by.start[begin]; r < a.by.start[end]; r++) {
      const int64_t* row = p.rows + 4 * a.by.order[r];
      if (!row[2]) continue;
      least = std::min<long>(least, p.col ? *std::min_element(p.col + row[0], p.col + row[0] + row[2]) : row[1]);
      most = std::max<long>(
          most, p.col ? *std::max_element(p.col + row[0], p.col + row[0] + row[2]) + 1 : row[1] + row[2]);
    }
    first = std::min(least, most);
    last = most;
  }
};

template <class T, class S>
class AttentionBackward {
 public:
  AttentionBackward(const Problem& p, const Attended<T>& a, Gathered<T>& sums)
      : p_(p),
        a_(a),
        sums_(sums),
        lay_(a.lay),
        tile_(a),
        query_(lay_.width),
        grad_(lay_.width),
        out_(lay_.width),
        d_query_(lay_.width),
        sum_(lay_.score),
        log_(lay_.score),
        delta_(lay_.score),
        response_(a.map.edge_width * lay_.score),
        response_back_(lay_.heads * a.map.padded),
        states_(a.map.edge_width * lay_.score),
        weights_(tile_.edges.edge.size() * lay_.score),
        d_scores_(tile_.edges.edge.size() * lay_.score),
        dz_(p.e ? 0 : tile_.edges.edge.size() * tile_.stride),
        de_(tile_.edges.edge.size() * a.map.padded),
        de_values_(tile_.edges.edge.size() * a.map.padded) {}

  void run(long begin, long end) {
    std::fill_n(static_cast<T*>(p_.dq) + begin * p_.width, (end - begin) * p_.width, T(0));
    EdgeReader reader(table_, a_.by, begin, end);
    while (tile_.fill(p_, a_, reader)) {
      for (const Run& run : tile_.edges.runs) {
        if (run.first) start(run.destination);
        weigh(run);
        for (long t = run.begin; t < run.begin + run.length; t++) differentiate(t);
        if (p_.e) of_values(run);
        if (run.last) finish(run.destination);
      }
      if (p_.e) of_edges();
    }
  }

 private:
  void start(long i) {
    lay_.pack(static_cast<const T*>(p_.q) + i * p_.width, query_.get());
    lay_.pack(static_cast<const T*>(p_.grad) + i * p_.width, grad_.get());
    lay_.spread(static_cast<const T*>(p_.lse) + i * p_.heads, log_.get());
    lay_.pack(static_cast<const T*>(p_.out) + i * p_.width, out_.get());
    // Of the mean value under the weights; the constant part of the values drops out of every difference to it.
    sum_heads(lay_, delta_.get(), [&](long j) {
      return at(grad_.get() + j) * (at(out_.get() + j) - at(a_.map.bias_v.get() + j));
    });
    d_query_.zero();
    sum_.zero();
    states_.zero();
    if (p_.e) respond();
  }

  // How the output changes with v_e, seen from e: [D, score], and as rows of heads.
  void respond() {
    for (long d = 0; d < a_.map.edge_width; d++) {
      T* row = response_.get() + d * lay_.score;
      sum_heads(lay_, row, [&](long j) { return at(a_.map.wv.get() + d * lay_.width + j) * at(grad_.get() + j); });
      for (long h = 0; h < lay_.heads; h++) response_back_.get()[h * a_.map.padded + d] = row[h];
    }
  }

  // The weights of a run, and the gradients of its scores.
  void weigh(const Run& run) {
    for (long t = run.begin; t < run.begin + run.length; t++) {
      long source = tile_.edges.source[t];
      const T *z = tile_.mapped(t), *key = a_.k.get() + source * lay_.width, *value = a_.v.get() + source * lay_.width;
      T *s = weights_.get() + t * lay_.score, *g = d_scores_.get() + t * lay_.score;
      sum_heads(lay_, s, [&](long j) {
        return (at(query_.get() + j) + at(z + j)) * (at(key + j) + at(z + lay_.width + j));
      });
      sum_heads(lay_, g, [&](long j) {
        return at(grad_.get() + j) * (at(value + j) * at(z + 2 * lay_.width + j));
      });
      for (long l = 0; l < lay_.score; l++) s[l] = s[l] * static_cast<T>(p_.scale) - log_.get()[l];
      add_response(tile_.state(a_, t), g);
    }
    long begin = run.begin * lay_.score, count = run.length * lay_.score;
    exponential_of(weights_.get() + begin, count);
    column_sums(weights_.get() + begin, lay_.score, sum_.get(), run.length, lay_.score);
    for (long l = 0; l < count; l += LANES<T>)
      at(d_scores_.get() + begin + l) = static_cast<T>(p_.scale) * at(weights_.get() + begin + l) *
                                        (at(d_scores_.get() + begin + l) - at(delta_.get() + l % lay_.score));
  }

  void add_response(const T* state, T* g) {
    for (long s = 0; s < lay_.score; s += LANES<T>) {
      Vec<T> even = at(g + s), odd{};
      long d = 0;
      for (; d + 2 <= a_.map.edge_width; d += 2) {
        even += state[d] * at(response_.get() + d * lay_.score + s);
        odd += state[d + 1] * at(response_.get() + (d + 1) * lay_.score + s);
      }
      if (d < a_.map.edge_width) even += state[d] * at(response_.get() + d * lay_.score + s);
      at(g + s) = even + odd;
    }
  }

  // Through score and value of one edge; the gradients of its mapped states take their place.
  void differentiate(long t) {
    const long W = lay_.width, place = (tile_.edges.source[t] - sums_.first) * W;
    const T *key = a_.k.get() + tile_.edges.source[t] * W, *value = a_.v.get() + tile_.edges.source[t] * W;
    const T *z = tile_.mapped(t), *p = weights_.get() + t * lay_.score, *ds = d_scores_.get() + t * lay_.score;
    T *dz = p_.e ? tile_.mapped(t) : dz_.get() + t * tile_.stride, *dk = sums_.dk.get() + place;
    T *dv = sums_.dv.get() + place, *d_query = d_query_.get();
    for (long j = 0; j < W; j += LANES<T>) {
      Vec<T> d_score = at(ds + j % lay_.score), d_value = at(p + j % lay_.score) * at(grad_.get() + j);
      Vec<T> query = at(query_.get() + j) + at(z + j), m = at(z + 2 * W + j);
      Vec<T> of_query = d_score * (at(key + j) + at(z + W + j)), of_key = d_score * query;
      at(d_query + j) += of_query;
      at(dk + j) += of_key;
      at(dv + j) += d_value * m;
      at(dz + j) = of_query;
      at(dz + W + j) = of_key;
      at(dz + 2 * W + j) = d_value * at(value + j);
    }
  }

  // Through v_e, which is linear in e.
  void of_values(const Run& run) {
    const T *p = weights_.get() + run.begin * lay_.score, *state = tile_.state(a_, run.begin);
    if (p_.dWe)
      outer(state, a_.map.padded, p, lay_.score, states_.get(), lay_.score, run.length, a_.map.edge_width, lay_.score);
    if (p_.de)
      product<T>(p, lay_.score, response_back_.get(), a_.map.padded, nullptr,
                 de_values_.get() + run.begin * a_.map.padded, a_.map.padded, run.length, lay_.heads, a_.map.padded);
  }

  void finish(long i) {
    lay_.unpack(d_query_.get(), static_cast<T*>(p_.dq) + i * p_.width);
    // 1 as a rule; what is not a number has to arrive.
    T* bias_v = sums_.bias_v.next(1);
    for (long j = 0; j < lay_.width; j += LANES<T>)
      at(bias_v + j) += at(grad_.get() + j) * at(sum_.get() + j % lay_.score);
    if (!p_.dWe) return;
    T* wv = sums_.wv.next(1);
    for (long d = 0; d < a_.map.edge_width; d++)
      for (long j = 0; j < lay_.width; j += LANES<T>)
        at(wv + d * lay_.width + j) +=
            at(grad_.get() + j) * at(states_.get() + d * lay_.score + j % lay_.score);
  }

  // Through q_e, k_e and m_e, for the whole tile.
  void of_edges() {
    const long size = tile_.edges.size, padded = a_.map.padded, stride = tile_.stride;
    if (p_.dWe) outer(tile_.e.get(), padded, tile_.z.get(), stride, sums_.w.next(size), stride, size, a_.map.edge_width, stride);
    if (p_.dbias) column_sums(tile_.z.get(), stride, sums_.bias.next(size), size, stride);
    if (!p_.de) return;
    product<T>(tile_.z.get(), stride, a_.map.back.get(), padded, nullptr, de_.get(), padded, size, stride, padded);
    for (long j = 0; j < size * padded; j += LANES<T>) at(de_.get() + j) += at(de_values_.get() + j);
    for (long t = 0; t < size; t++)
      store_rows(de_.get() + t * padded, padded, 1, p_.edge_width,
                 static_cast<S*>(p_.de) + tile_.edges.edge[t] * p_.edge_width);
  }

  const Problem& p_;
  const Attended<T>& a_;
  Gathered<T>& sums_;
  const Heads<T>& lay_;
  const Table table_ = p_.table();
  MappedTile<T, S> tile_;
  Buffer<T> query_, grad_, out_, d_query_, sum_, log_, delta_;  // of the destination at hand
  Buffer<T> response_, response_back_, states_;
  Buffer<T> weights_, d_scores_, dz_, de_, de_values_;  // of the edges of a tile
};

// The sum over the threads of one of their sums, in the order of the threads.
template <class T>
const T* total(std::vector<Gathered<T>>& sums, LongSum<T> Gathered<T>::*member) {
  for (size_t s = 1; s < sums.size(); s++) (sums[0].*member).add(sums[s].*member);
  return (sums[0].*member).settled();
}

template <class T>
void of_sources(const Problem& p, const Heads<T>& lay, const std::vector<Gathered<T>>& sums, Buffer<T> Gathered<T>::*from,
                void* to, long begin, long end) {
  Buffer<T> row(lay.width);
  for (long j = begin; j < end; j++) {
    row.zero();
    for (const Gathered<T>& part : sums)
      for (long c = 0; j >= part.first && j < part.last && c < lay.width; c += LANES<T>)
        at(row.get() + c) += at((part.*from).get() + (j - part.first) * lay.width + c);
    lay.unpack(row.get(), static_cast<T*>(to) + j * p.width);
  }
}

template <class T>
void of_map(const Problem& p, const Heads<T>& lay, const T* three, const T* fourth, T* out, long rows) {
  for (long d = 0; d < rows; d++, out += 4 * p.width) {
    for (long part = 0; part < 3; part++) lay.unpack(three + (3 * d + part) * lay.width, out + part * p.width);
    lay.unpack(fourth + d * lay.width, out + 3 * p.width);
  }
}

template <class T, class S>
void attention_backward(const Problem& p) {
  const Attended<T> a(p, true);
  std::vector<Gathered<T>> sums(p.threads);
  a.by.in_shares(p.threads, [&](long share, long begin, long end) {
    sums[share].open(p, a, begin, end);
    AttentionBackward<T, S>(p, a, sums[share]).run(begin, end);
  });
  in_ranges(p.sources, p.threads, [&](long, long begin, long end) {
    of_sources(p, a.lay, sums, &Gathered<T>::dk, p.dk, begin, end);
    of_sources(p, a.lay, sums, &Gathered<T>::dv, p.dv, begin, end);
  });
  if (p.dWe)
    of_map(p, a.lay, total(sums, &Gathered<T>::w), total(sums, &Gathered<T>::wv), static_cast<T*>(p.dWe), p.edge_width);
  if (p.dbias)
    of_map(p, a.lay, total(sums, &Gathered<T>::bias), total(sums, &Gathered<T>::bias_v), static_cast<T*>(p.dbias), 1);
}
