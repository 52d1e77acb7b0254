// Statistics of the messages into each node, and what their gradients say of a message.
#pragma once
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "products.h"
#include "segments.h"

// [nodes, width] each; null for what is not wanted.
template <class T>
struct Statistics {
  T *sum, *square, *max, *max_ties, *min, *min_ties;

  std::array<T**, 6> all() { return {&sum, &square, &max, &max_ties, &min, &min_ties}; }
  bool any() const { return sum || square || max || min; }

  // The numbers from begin to end as they are before the first message.
  void clear(long begin, long end) const {
    for (T* zero : {sum, square, max_ties, min_ties})
      if (zero) std::fill(zero + begin, zero + end, T(0));
    if (max) std::fill(max + begin, max + end, -std::numeric_limits<T>::infinity());
    if (min) std::fill(min + begin, min + end, std::numeric_limits<T>::infinity());
  }
};

// Statistics of nodes that are cleared shortly before they are added to, while they are in the cache.
template <class T>
class Cleared {
 public:
  Cleared(const Statistics<T>& statistics, long nodes, long width) : of_(statistics), nodes_(nodes), width_(width) {}
  ~Cleared() { before(nodes_); }

  const Statistics<T>& at(const Tile& tile) {
    for (const Segment& s : tile.segments) before(s.destination + 1);
    return of_;
  }

 private:
  void before(long node) {
    if (node <= first_) return;
    of_.clear(first_ * width_, node * width_);
    first_ = node;
  }

  const Statistics<T>& of_;
  long nodes_, width_, first_ = 0;  // of the nodes that are left
};

template <class T>
inline void add_squares(const T* rows, long ld, long length, long width, T* out) {
  for (long j = 0; j < width; j += LANES<T>) {
    Vec<T> sum = at(out + j);
    for (long t = 0; t < length; t++) sum += at(rows + t * ld + j) * at(rows + t * ld + j);
    at(out + j) = sum;
  }
}

// The largest value and how many attain it (SIGN -1: the least); a NaN wins and stays.
template <int SIGN, class T>
inline void extreme(const T* rows, long ld, long length, long width, T* best, T* ties) {
  for (long j = 0; j < width; j += LANES<T>) {
    Vec<T> most = at(best + j), number = at(ties + j);
    for (long t = 0; t < length; t++) {
      Vec<T> value = at(rows + t * ld + j);
      auto more = (SIGN > 0 ? value > most : value < most) | (value != value);
      number = more ? Vec<T>{} + 1 : value == most ? number + 1 : number;
      most = more ? value : most;
    }
    at(best + j) = most;
    at(ties + j) = number;
  }
}

template <class T>
void reduce(const T* messages, long ld, const Tile& tile, const Statistics<T>& to, long width) {
  for (const Segment& s : tile.segments) {
    const T* rows = messages + s.start * ld;
    long node = s.destination * width;
    if (to.sum) column_sums(rows, ld, to.sum + node, s.length, width);
    if (to.square) add_squares(rows, ld, s.length, width, to.square + node);
    if (to.max) extreme<1>(rows, ld, s.length, width, to.max + node, to.max_ties + node);
    if (to.min) extreme<-1>(rows, ld, s.length, width, to.min + node, to.min_ties + node);
  }
}

// ``total`` and ``part`` as one; n numbers.
template <int SIGN, class T>
void join_extremes(T* best, T* ties, const T* other, const T* others, long n) {
  for (long i = 0; i < n; i++) {
    bool more = (SIGN > 0 ? other[i] > best[i] : other[i] < best[i]) || other[i] != other[i];
    ties[i] = more ? others[i] : other[i] == best[i] ? ties[i] + others[i] : ties[i];
    best[i] = more ? other[i] : best[i];
  }
}

template <class T>
void add_to(T* total, const T* part, long n) {
  if (total)
    for (long i = 0; i < n; i++) total[i] += part[i];
}

template <class T>
void join(const Statistics<T>& total, const Statistics<T>& part, long n) {
  add_to(total.sum, part.sum, n);
  add_to(total.square, part.square, n);
  if (total.max) join_extremes<1>(total.max, total.max_ties, part.max, part.max_ties, n);
  if (total.min) join_extremes<-1>(total.min, total.min_ties, part.min, part.min_ties, n);
}

// A node without edges has 0 for an extreme.
template <class T>
void finish(const Statistics<T>& of, long n) {
  for (auto [best, ties] : {std::pair{of.max, of.max_ties}, std::pair{of.min, of.min_ties}})
    if (best)
      for (long i = 0; i < n; i++) best[i] = ties[i] == 0 && best[i] == best[i] ? T(0) : best[i];
}

// Gradients of the statistics [nodes, width]: of max and min already divided among the messages that attain them.
template <class T>
struct StatisticsGradient {
  const T *sum, *square, *max, *min, *max_value, *min_value;
};

// A gradient is dm = sum + 2 square m + what the extremes say; a slope multiplies it.
template <class T, bool PLAIN, bool SLOPE>
void spread_segment(StatisticsGradient<T> g, const T* m, long ld, Segment s, const T* slope, T* dm, long width) {
  for (long j = 0; j < width; j += LANES<T>) {
    long node = s.destination * width + j;
    Vec<T> sum = g.sum ? at(g.sum + node) : Vec<T>{};
    Vec<T> twice = g.square ? 2 * at(g.square + node) : Vec<T>{};
    Vec<T> most{}, more{}, least{}, less{};
    if (g.max) most = at(g.max_value + node), more = at(g.max + node);
    if (g.min) least = at(g.min_value + node), less = at(g.min + node);
    for (long t = s.start; t < s.start + s.length; t++) {
      Vec<T> gradient = sum;
      if (!PLAIN) {
        Vec<T> value = at(m + t * ld + j);
        gradient += twice * value;
        gradient += value == most ? more : Vec<T>{};
        gradient += value == least ? less : Vec<T>{};
      }
      at(dm + t * width + j) = SLOPE ? gradient * at(slope + t * width + j) : gradient;
    }
  }
}

// dm [edges, width] of the messages m; of what was before an activation of this slope, if there is one.
template <class T>
void spread(const StatisticsGradient<T>& g, const T* m, long ld, const Tile& tile, const T* slope, T* dm, long width) {
  const bool plain = !g.square && !g.max && !g.min;
  auto segment = plain ? (slope ? spread_segment<T, true, true> : spread_segment<T, true, false>)
                       : (slope ? spread_segment<T, false, true> : spread_segment<T, false, false>);
  for (const Segment& s : tile.segments) segment(g, m, ld, s, slope, dm, width);
}
