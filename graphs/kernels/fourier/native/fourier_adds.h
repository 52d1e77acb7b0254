// Rows that are added to the outputs of edges: one for all, one of each destination, one of each kind of edge.
#pragma once
#include <algorithm>
#include <vector>

#include "long_sum.h"
#include "products.h"
#include "segments.h"

// Null for what is not added. Shapes: all [D], nodes [N, D], kinds [K, D], kind [E].
template <class T>
struct Adds {
  const T *all, *nodes, *kinds;
  const int64_t *rows, *kind;
  long number_of_rows, number_of_nodes, number_of_kinds;

  Walk walk(long first_edge) const { return Walk(rows, nodes ? number_of_rows : 0, nullptr, first_edge); }

  // start [size, width] of the edges of a tile.
  void gather(Walk& walk, Tile& tile, long begin, long end, long outputs, long width, T* start) const {
    for (long t = 0; t < end - begin; t++) std::copy(all, all + width, start + t * width);
    if (nodes) {
      walk.next(begin, end, tile);
      for (const Segment& segment : tile.segments)
        for (long t = 0; t < segment.length; t++)
          add(nodes + segment.destination * outputs, start + (segment.start + t) * width, outputs);
    }
    if (kinds)
      for (long t = begin; t < end; t++) add(kinds + kind[t] * outputs, start + (t - begin) * width, outputs);
  }

  static void add(const T* __restrict__ row, T* __restrict__ sum, long outputs) {
    for (long j = 0; j < outputs; j++) sum[j] += row[j];
  }
};

// What one thread adds up for them; of the nodes, only the span that its edges enter.
template <class T>
class AddSums {
 public:
  AddSums(const Adds<T>& adds, long width, long begin, long end) : adds_(adds), width_(width), all_(width) {
    if (adds.nodes) find_span(begin, end);
    if (adds.kinds) kinds_ = LongSum<T>(adds.number_of_kinds * width);
  }

  void scatter(const T* dy, Walk& walk, Tile& tile, long begin, long end, long outputs) {
    column_sums(dy, width_, all_.next(end - begin), end - begin, outputs);
    if (adds_.nodes) {
      walk.next(begin, end, tile);
      for (const Segment& segment : tile.segments)
        column_sums(dy + segment.start * width_, width_, nodes_.get() + (segment.destination - first_) * width_,
                    segment.length, outputs);
    }
    if (!adds_.kinds) return;
    T* kinds = kinds_.next(end - begin);
    for (long t = begin; t < end; t++)
      column_sums(dy + (t - begin) * width_, width_, kinds + adds_.kind[t] * width_, 1, outputs);
  }

  // Adds these sums to tensors [.., D]; null for those that are not wanted.
  void add_to(T* all, T* nodes, T* kinds, long outputs) {
    if (all) add_rows(all_.settled(), 1, all, outputs);
    if (nodes) add_rows(nodes_.get(), span_, nodes + first_ * outputs, outputs);
    if (kinds) add_rows(kinds_.settled(), adds_.number_of_kinds, kinds, outputs);
  }

 private:
  void find_span(long begin, long end) {
    long last = 0;
    first_ = adds_.number_of_nodes;
    for (long row = 0; row < adds_.number_of_rows; row++) {
      const int64_t* r = adds_.rows + row * 4;
      if (r[0] >= end || r[0] + r[2] <= begin) continue;
      first_ = std::min<long>(first_, r[3]);
      last = std::max<long>(last, r[3] + 1);
    }
    span_ = std::max(0L, last - first_);
    first_ = span_ ? first_ : 0;
    nodes_ = Buffer<T>(span_ * width_);
  }

  void add_rows(const T* sums, long number, T* out, long outputs) const {
    for (long i = 0; i < number; i++) Adds<T>::add(sums + i * width_, out + i * outputs, outputs);
  }

  const Adds<T>& adds_;
  long width_, first_ = 0, span_ = 0;
  LongSum<T> all_, kinds_;
  Buffer<T> nodes_;
};
