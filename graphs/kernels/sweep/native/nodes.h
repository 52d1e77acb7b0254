// Between nodes and the edges of a tile: states are gathered, gradients are added up.
#pragma once
#include "products.h"
#include "segments.h"

// Calls work(V) with the number of vectors of a row as a constant where it is a common one, 0 elsewhere.
template <class T, class Work>
inline void with_vectors(long width, Work work) {
  switch (width / LANES<T>) {
    case 1: return work(std::integral_constant<int, 1>{});
    case 2: return work(std::integral_constant<int, 2>{});
    case 4: return work(std::integral_constant<int, 4>{});
    default: return work(std::integral_constant<int, 0>{});
  }
}

// Rows of source and destination nodes, a row for all edges and a row of each edge; null stands for 0.
template <class T>
struct Terms {
  const T *source, *destination, *everywhere, *edge;
};

template <class T>
inline void add_rows(const T* a, const T* b, T* out, long width) {
  for (long j = 0; j < width; j += LANES<T>) at(out + j) = at(a + j) + at(b + j);
}

// What all edges of a segment share.
template <class T>
void common_terms(const Terms<T>& terms, long node, T* same, long width) {
  const T* target = terms.destination ? terms.destination + node * width : nullptr;
  for (long j = 0; j < width; j += LANES<T>) {
    Vec<T> sum = terms.everywhere ? at(terms.everywhere + j) : Vec<T>{};
    at(same + j) = target ? sum + at(target + j) : sum;
  }
}

// By value: a store to z could change what a reference leads to, for all the compiler knows.
template <class T, int V, bool SOURCE, bool EDGE>
void gather_segment(Terms<T> terms, const int64_t* col, Segment segment, T* z, const T* same, long width) {
  const long n = V ? V : width / LANES<T>, stride = n * LANES<T>;
  const T* edge = EDGE ? terms.edge + segment.start * stride : nullptr;
  z += segment.start * stride;
  for (long t = 0; t < segment.length; t++) {
    const T* source = SOURCE ? terms.source + (col ? col[segment.start + t] : segment.source + t) * stride : nullptr;
    for (long j = 0; j < stride; j += LANES<T>) {
      Vec<T> sum = at(same + j);
      if (SOURCE) sum += at(source + j);
      if (EDGE) sum += at(edge + t * stride + j);
      at(z + t * stride + j) = sum;
    }
  }
}

// z [edges, width] = the sum of the terms; ``same`` is a row of scratch.
template <class T>
void gather(const Terms<T>& terms, const Tile& tile, T* z, T* same, long width) {
  with_vectors<T>(width, [&](auto vectors) {
    constexpr int V = decltype(vectors)::value;
    auto segment = terms.source ? (terms.edge ? gather_segment<T, V, true, true> : gather_segment<T, V, true, false>)
                                : (terms.edge ? gather_segment<T, V, false, true> : gather_segment<T, V, false, false>);
    for (const Segment& s : tile.segments) {
      common_terms(terms, s.destination, same, width);
      segment(terms, tile.col, s, z, same, width);
    }
  });
}

template <class T, int V>
void scatter_to_sources(const T* dz, const int64_t* col, Segment segment, T* d_source, long width) {
  const long n = V ? V : width / LANES<T>, stride = n * LANES<T>;
  dz += segment.start * stride;
  for (long t = 0; t < segment.length; t++) {
    T* sum = d_source + (col ? col[segment.start + t] : segment.source + t) * stride;
    for (long j = 0; j < stride; j += LANES<T>) at(sum + j) += at(dz + t * stride + j);
  }
}

// sums [nodes, width] += the rows of the edges into each node.
template <class T>
void add_to_destinations(const T* rows, const Tile& tile, T* sums, long width) {
  for (const Segment& s : tile.segments)
    column_sums(rows + s.start * width, width, sums + s.destination * width, s.length, width);
}

// d_source[j] += dz, d_destination[i] += dz; null for what is not wanted.
template <class T>
void scatter(const T* dz, const Tile& tile, T* d_source, T* d_destination, long width) {
  with_vectors<T>(width, [&](auto vectors) {
    for (const Segment& s : tile.segments) {
      if (d_source) scatter_to_sources<T, decltype(vectors)::value>(dz, tile.col, s, d_source, width);
      if (d_destination)
        column_sums(dz + s.start * width, width, d_destination + s.destination * width, s.length, width);
    }
  });
}
