// Sums of messages that take no product: e or act(P[j] + Q[i] + be + e) goes from memory to its sum in registers.
#pragma once
#include "activations.h"
#include "nodes.h"
#include "program.h"
#include "statistics.h"

inline bool is_direct(const Program& p, bool has_map, bool only_sums) {
  bool plain = p.act == IDENTITY || p.act == RELU;
  return p.K == 0 && only_sums && (p.message == EDGE || (p.message == ADD && !has_map && plain));
}

// How many bytes ahead the edges are asked for: beside the rows of sources, the processor does not see the stream.
constexpr long AHEAD = 8192;

template <class T, int V, bool CLIP, bool SOURCE>
void sum_segment(const T* e, const T* sources, const int64_t* col, Segment s, const T* same, T* total, long width) {
  const long n = V ? V : width / LANES<T>, stride = n * LANES<T>;
  for (long j = 0; j < stride; j += V ? stride : LANES<T>) {
    Vec<T> sum[V ? V : 1], base[V ? V : 1];
    for (int v = 0; v < (V ? V : 1); v++) sum[v] = at(total + j + v * LANES<T>), base[v] = at(same + j + v * LANES<T>);
    for (long t = 0; t < s.length; t++) {
      for (long byte = 0; byte < long((V ? V : 1) * sizeof(Vec<T>)); byte += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(e + t * stride + j) + AHEAD + byte);
      const T* source = SOURCE ? sources + (col ? col[s.start + t] : s.source + t) * stride + j : nullptr;
      for (int v = 0; v < (V ? V : 1); v++) {
        Vec<T> m = base[v] + at(e + t * stride + j + v * LANES<T>);
        if (SOURCE) m += at(source + v * LANES<T>);
        sum[v] += CLIP ? (m < 0 ? Vec<T>{} : m) : m;  // NaN stays
      }
    }
    for (int v = 0; v < (V ? V : 1); v++) at(total + j + v * LANES<T>) = sum[v];
  }
}

template <class T>
void sum_directly(const Program& p, const Terms<T>& terms, const Tile& tile, T* same, T* sums) {
  const long width = p.G;
  const bool clip = p.message == ADD && p.act == RELU;
  with_vectors<T>(width, [&](auto vectors) {
    constexpr int V = decltype(vectors)::value;
    auto segment = clip ? (terms.source ? sum_segment<T, V, true, true> : sum_segment<T, V, true, false>)
                        : (terms.source ? sum_segment<T, V, false, true> : sum_segment<T, V, false, false>);
    for (const Segment& s : tile.segments) {
      common_terms(terms, s.destination, same, width);
      segment(terms.edge + s.start * width, terms.source, tile.col, s, same, sums + s.destination * width, width);
    }
  });
}
