// What attention is given, and its operands as the kernels read them: channels by heads, whole vectors.
#pragma once
#include "destinations.h"
#include "heads.h"
#include "products.h"
#include "storage.h"

// As the caller fills it (attending/cpu.py has the same fields in the same order). Matrices are in rows, without gaps.
struct Problem {
  const int64_t* rows;
  int64_t number_of_rows;
  const int64_t* col;
  int64_t nodes, sources, edge_width, width, heads, threads;
  double scale;
  const void *q, *k, *v, *e, *We, *bias;  // without edges, e and We are null
  void *out, *lse;
  const void* grad;
  void *dq, *dk, *dv, *de, *dWe, *dbias;  // of the edges: null where they are not wanted

  Table table() const { return {rows, number_of_rows, col, nodes, sources}; }
};

// The map of the edges, [D, 4 A] as given, apart for q, k, m (side by side) and for v.
template <class T>
struct EdgeMap {
  long edge_width, padded;  // D, and D in whole vectors
  Buffer<T> w, bias;        // [D, 3 W], [3 W]
  Buffer<T> wv, bias_v;     // [D, W], [W]
  Buffer<T> back;           // w transposed, [3 W, padded]

  EdgeMap(const Problem& p, const Heads<T>& lay, bool backward)
      : edge_width(p.edge_width),
        padded(whole<T>(p.edge_width)),
        w(edge_width * 3 * lay.width),
        bias(3 * lay.width),
        wv(edge_width * lay.width),
        bias_v(lay.width),
        back(backward ? 3 * lay.width * padded : 0) {
    const T* given = static_cast<const T*>(p.We);
    for (long d = 0; given && d < edge_width; d++, given += 4 * p.width)
      split(lay, given, p.width, w.get() + d * 3 * lay.width, wv.get() + d * lay.width);
    if (p.bias) split(lay, static_cast<const T*>(p.bias), p.width, bias.get(), bias_v.get());
    for (long d = 0; backward && d < edge_width; d++)
      for (long j = 0; j < 3 * lay.width; j++) back.get()[j * padded + d] = w.get()[d * 3 * lay.width + j];
  }

  static void split(const Heads<T>& lay, const T* row, long width, T* three, T* fourth) {
    for (long part = 0; part < 3; part++) lay.pack(row + part * width, three + part * lay.width);
    lay.pack(row + 3 * width, fourth);
  }
};

// Rows of k or v, packed.
template <class T>
Buffer<T> packed_rows(const Heads<T>& lay, const void* rows, long number, long threads) {
  Buffer<T> packed(number * lay.width);
  in_ranges(number, threads, [&](long, long begin, long end) {
    for (long j = begin; j < end; j++)
      lay.pack(static_cast<const T*>(rows) + j * lay.all(), packed.get() + j * lay.width);
  });
  return packed;
}

// All that both passes read.
template <class T>
struct Attended {
  Heads<T> lay;
  Destinations by;
  EdgeMap<T> map;
  Buffer<T> k, v;  // [sources, W]

  Attended(const Problem& p, bool backward)
      : lay(p.width, p.heads),
        by(p.table()),
        map(p, lay, backward),
        k(packed_rows(lay, p.k, p.sources, p.threads)),
        v(packed_rows(lay, p.v, p.sources, p.threads)) {}
};

// The edges of a tile: their states, and what the map makes of them for q, k and m.
template <class T, class S>
struct MappedTile {
  static constexpr long BYTES_OF_Z = 36 << 10;  // with a part of the map, they stay in the first cache

  EdgeTile edges;
  Buffer<T> e, z;  // [edges, padded], [edges, 3 W]
  long stride;

  MappedTile(const Attended<T>& a)
      : edges(capacity(3 * a.lay.width)),
        e(edges.edge.size() * a.map.padded),
        z(edges.edge.size() * 3 * a.lay.width),
        stride(3 * a.lay.width) {
    // Without edge states, nothing is added to q and k, and v is multiplied by 1.
    for (size_t t = 0; t < edges.edge.size(); t++)
      for (long j = 2 * a.lay.width; j < stride; j++) z.get()[t * stride + j] = 1;
  }

  static long capacity(long numbers) {
    long fitting = BYTES_OF_Z / static_cast<long>(sizeof(T)) / numbers / 6 * 6;
    return std::min(48L, std::max(6L, fitting));
  }

  bool fill(const Problem& p, const Attended<T>& a, EdgeReader& reader) {
    if (!reader.fill(edges)) return false;
    if (!p.e) return true;
    for (long t = 0; t < edges.size; t++)
      load_rows(static_cast<const S*>(p.e) + edges.edge[t] * p.edge_width, 1, p.edge_width, state(a, t), a.map.padded);
    product<T>(e.get(), a.map.padded, a.map.w.get(), stride, a.map.bias.get(), z.get(), stride, edges.size,
               p.edge_width, stride);
    clear_beyond(a.lay);
    return true;
  }

  // Lanes past the last channel, which an infinite state makes NaN, are added to the heads with the others.
  void clear_beyond(const Heads<T>& lay) {
    long used = lay.channels * lay.wide;
    for (long t = 0; used < lay.width && t < edges.size; t++)
      for (long part = 0; part < 3; part++)
        std::fill_n(mapped(t) + part * lay.width + used, lay.width - used, T(0));
  }

  T* state(const Attended<T>& a, long t) const { return e.get() + t * a.map.padded; }
  T* mapped(long t) const { return z.get() + t * stride; }
};
