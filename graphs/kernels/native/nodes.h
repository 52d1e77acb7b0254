// Between nodes and the edges of a tile: states are gathered, gradients are added up.
#pragma once
#include "products.h"
#include "segments.h"

// Rows of source and destination nodes, and a row for all edges; null stands for 0.
template <class T>
struct Pair {
  const T *source, *destination, *everywhere;
};

template <class T>
inline void add_rows(const T* a, const T* b, T* out, long width) {
  for (long j = 0; j < width; j += LANES<T>) at(out + j) = at(a + j) + at(b + j);
}

// z [edges, width] = source[j] + destination[i] + everywhere; ``same`` is a row of scratch.
template <class T>
void gather(const Pair<T>& pair, const Tile& tile, T* z, T* same, long width) {
  for (const Segment& segment : tile.segments) {
    const T* target = pair.destination ? pair.destination + segment.destination * width : nullptr;
    for (long j = 0; j < width; j += LANES<T>) {
      Vec<T> sum = pair.everywhere ? at(pair.everywhere + j) : Vec<T>{};
      at(same + j) = target ? sum + at(target + j) : sum;
    }
    T* row = z + segment.start * width;
    for (long t = 0; t < segment.length; t++, row += width) {
      if (!pair.source) {
        std::memcpy(row, same, width * sizeof(T));
        continue;
      }
      long source = tile.col ? tile.col[segment.start + t] : segment.source + t;
      add_rows(pair.source + source * width, same, row, width);
    }
  }
}

// d_source[j] += dz, d_destination[i] += dz; null for what is not wanted.
template <class T>
void scatter(const T* dz, const Tile& tile, T* d_source, T* d_destination, long width) {
  for (const Segment& segment : tile.segments) {
    const T* rows = dz + segment.start * width;
    if (d_source)
      for (long t = 0; t < segment.length; t++) {
        long source = tile.col ? tile.col[segment.start + t] : segment.source + t;
        T* sum = d_source + source * width;
        add_rows(rows + t * width, sum, sum, width);
      }
    if (d_destination) column_sums(rows, width, d_destination + segment.destination * width, segment.length, width);
  }
}
