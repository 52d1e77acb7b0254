// Runs of edges: which consecutive edges of a tile enter one node, and from where.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

struct Segment {
  long start, length;  // edges of the tile
  long source;         // node of its first edge; the next edges come from the next nodes
  long destination;
};

// The edges begin .. begin + size, cut where the rows of the table end.
struct Tile {
  long begin, size;
  const int64_t* col;  // source of each of these edges, where they are not consecutive; else null
  std::vector<Segment> segments;
};

// Reads the rows (first edge, first source, count, destination) of a table in the order of the edges.
class Walk {
 public:
  Walk(const int64_t* rows, long number, const int64_t* col, long first_edge) : rows_(rows), number_(number), col_(col) {
    long low = 0, high = number;  // the last row that starts at or before the edge
    while (low < high) {
      long middle = (low + high) / 2;
      if (rows[middle * 4] <= first_edge)
        low = middle + 1;
      else
        high = middle;
    }
    row_ = std::max(low - 1, 0L);
  }

  void next(long begin, long end, Tile& tile) {
    tile.begin = begin;
    tile.size = end - begin;
    tile.col = col_ ? col_ + begin : nullptr;
    tile.segments.clear();
    for (long edge = begin; edge < end;) {
      const int64_t* row = rows_ + row_ * 4;
      long stop = std::min<long>(end, row[0] + row[2]);
      if (stop > edge) tile.segments.push_back({edge - begin, stop - edge, row[1] + edge - row[0], row[3]});
      edge = std::max(edge, stop);
      if (edge >= row[0] + row[2] && row_ + 1 < number_) row_++;
    }
  }

 private:
  const int64_t* rows_;
  long number_, row_;
  const int64_t* col_;
};
