// Of a single number, the outputs are a smooth function of known frequencies: on cells of the line it is a polynomial.
//
// In a cell of width h, Taylor's series of cos(w z) about the middle has the terms (w h / 2)^k / k! times at most 1. With
// n of them the rest is below the rounding of T; n rows of outputs a cell then replace 2 f features an edge, forward,
// and backward, where sums over the edges of a cell are mapped by the same matrix transposed.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "fourier_map.h"
#include "storage.h"

// Cells first .. first + number of the line, of a width that is a power of two; none where they do not pay.
template <class T>
struct Cells {
  long first = 0, number = 0, terms = 0;
  T width = 1;

  // Where numbers lie: cell, and place in it from -1 to 1. False if any lies outside of the cells, or is no number.
  bool locate(const T* z, long size, int32_t* cell, T* place) const {
    if (!number) return false;
    T inverse = 1 / width, low = T(first), high = T(first + number);
    int outside = 0;
    for (long t = 0; t < size; t++) {
      T x = z[t] * inverse, whole = std::floor(x);
      bool inside = whole >= low && whole < high;
      outside |= !inside;
      cell[t] = static_cast<int32_t>(inside ? whole - low : T(0));
      place[t] = 2 * (x - whole) - 1;
    }
    return !outside;
  }
};

// Half a cell times the highest frequency is at most this angle.
constexpr double REACH = 0.5;
// What the table of a call may take, in bytes: about a second cache.
constexpr long TABLE_BYTES = 1 << 20;

// The cells between the least and the greatest value; ``most`` of them about the mean, if that would be more.
template <class T, class S>
void place_cells(Cells<T>& cells, const S* values, long edges, long most) {
  T low = INFINITY, high = -INFINITY, far = 1e6 * cells.width;
  double sum = 0, count = 0;
  for (long t = 0; t < edges; t++) {
    T z = widen(values[t]);
    bool near = std::fabs(z) < far;
    low = near && z < low ? z : low;
    high = near && z > high ? z : high;
    sum += near ? z : 0;
    count += near;
  }
  if (!count || !most) return;
  auto cell = [&](double z) { return long(std::floor(z / cells.width)); };
  bool all = cell(high) - cell(low) < most;
  cells.first = all ? cell(low) : cell(sum / count) - most / 2;
  cells.number = all ? cell(high) + 1 - cells.first : most;
}

template <class T, class S>
long number_outside(const Cells<T>& cells, const S* values, long edges) {
  T begin = cells.first * cells.width, end = begin + cells.number * cells.width;
  long outside = 0;
  for (long t = 0; t < edges; t++) outside += !(widen(values[t]) >= begin && widen(values[t]) < end);
  return outside;
}

// The cells that serve nearly all values, if their table is much less work than the edges.
template <class T, class S>
Cells<T> cells_of(const FourierMap<T>& map, const S* values, long edges) {
  Cells<T> cells;
  if (map.inputs != 1 || !map.outputs) return cells;
  double highest = 0;
  for (long j = 0; j < map.count; j++) highest = std::max(highest, TURN * std::fabs(double(map.turns.get()[j])));
  if (!(highest > 1e-6 && highest < 1e6)) return cells;
  cells.width = T(std::exp2(std::floor(std::log2(2 * REACH / highest))));
  double reach = highest * cells.width / 2, term = 1;
  for (; term > std::numeric_limits<T>::epsilon() / 32; cells.terms++) term *= reach / (cells.terms + 1);
  long bytes = cells.terms * map.width * sizeof(T);
  place_cells(cells, values, edges, std::min(edges / (8 * cells.terms), TABLE_BYTES / bytes));
  // A tile with one value outside is computed edge by edge.
  if (number_outside(cells, values, edges) * 4 * TILE > edges) cells.number = 0;
  return cells;
}
