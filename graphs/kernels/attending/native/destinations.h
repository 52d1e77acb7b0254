// The edges of a table in the order of their destinations, in tiles that several destinations may share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "threads.h"

// Rows (first edge, first source, count, destination), and the source of every edge where those of a row are not
// consecutive (else null).
struct Table {
  const int64_t* rows;
  long number;
  const int64_t* col;
  long nodes, sources;
};

// The rows sorted by destination; those of one destination stay in the order of the table.
struct Destinations {
  std::vector<int64_t> start;  // [nodes + 1] into order
  std::vector<int64_t> order;  // [rows]
  std::vector<int64_t> edges;  // [nodes + 1], edges into the destinations before

  explicit Destinations(const Table& table) : start(table.nodes + 1), order(table.number), edges(table.nodes + 1) {
    for (long r = 0; r < table.number; r++) {
      const int64_t* row = table.rows + 4 * r;
      start[row[3] + 1]++;
      edges[row[3] + 1] += row[2];
    }
    for (long i = 0; i < table.nodes; i++) start[i + 1] += start[i], edges[i + 1] += edges[i];
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (long r = 0; r < table.number; r++) order[next[table.rows[4 * r + 3]]++] = r;
  }

  // Runs work(share, begin, end) on a thread for each share of the destinations.
  template <class Work>
  void in_shares(long shares, Work work) const {
    in_ranges(shares, shares, [&](long share, long, long) { work(share, begin(share, shares), begin(share + 1, shares)); });
  }

 private:
  // The first destination of a share, so that shares have about as many edges (a node counts as one more).
  long begin(long share, long shares) const {
    long nodes = static_cast<long>(start.size()) - 1, low = 0, high = nodes;
    long wanted = (edges[nodes] + nodes) * share / shares;
    while (low < high) {
      long middle = (low + high) / 2;
      if (edges[middle] + middle < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
};

// Edges of a tile that enter one destination; whether they are its first, and its last.
struct Run {
  long destination, begin, length;
  bool first, last;
};

struct EdgeTile {
  long size = 0;
  std::vector<int64_t> edge, source;
  std::vector<Run> runs;

  explicit EdgeTile(long capacity) : edge(capacity), source(capacity) { runs.reserve(capacity); }
};

// Hands out the edges into the destinations begin .. end, a tile at a time.
class EdgeReader {
 public:
  EdgeReader(const Table& table, const Destinations& by, long begin, long end)
      : table_(table), by_(by), destination_(begin), end_(end), place_(by.start[begin]) {}

  bool fill(EdgeTile& tile) {
    tile.size = 0;
    tile.runs.clear();
    while (destination_ < end_ && tile.size < static_cast<long>(tile.edge.size())) {
      long degree = by_.edges[destination_ + 1] - by_.edges[destination_];
      if (degree) take(tile, degree);
      if (given_ == degree) destination_++, given_ = 0, place_ = by_.start[destination_], offset_ = 0;
    }
    return tile.size > 0;
  }

 private:
  void take(EdgeTile& tile, long degree) {
    long length = std::min<long>(degree - given_, tile.edge.size() - tile.size), begin = tile.size;
    while (tile.size < begin + length) {
      const int64_t* row = table_.rows + 4 * by_.order[place_];
      long count = std::min<long>(row[2] - offset_, begin + length - tile.size);
      for (long t = 0; t < count; t++) {
        long edge = row[0] + offset_ + t;
        tile.edge[tile.size + t] = edge;
        tile.source[tile.size + t] = table_.col ? table_.col[edge] : row[1] + offset_ + t;
      }
      tile.size += count;
      offset_ += count;
      if (offset_ == row[2]) place_++, offset_ = 0;
    }
    tile.runs.push_back({destination_, begin, length, given_ == 0, given_ + length == degree});
    given_ += length;
  }

  const Table& table_;
  const Destinations& by_;
  long destination_, end_, place_;
  long offset_ = 0, given_ = 0;  // edges taken of the row, and of the destination
};
