// The polynomials of the cells: their coefficients, and the sums over edges that are the gradients of these.
#pragma once
#include "fourier_cells.h"

// Coefficients, or the sums of gradients that belong to them: [cells, terms, width].
template <class T>
class Table {
 public:
  Table(const FourierMap<T>& map, const Cells<T>& cells)
      : map_(map), cells_(cells), data_(cells.number * cells.terms * map.width) {}

  // The coefficients of the cells begin .. end.
  void fill(long begin, long end) {
    Buffer<T> rows(cells_.terms * map_.stride);
    for (long cell = begin; cell < end; cell++) {
      derivatives(cell, rows.get());
      map_.forward(rows.get(), cells_.terms, nullptr, of_cell(cell));
    }
  }

  // d_weight += what the sums over edges say of it.
  void add_to(T* d_weight) const {
    Buffer<T> rows(cells_.terms * map_.stride);
    for (long cell = 0; cell < cells_.number; cell++) {
      derivatives(cell, rows.get());
      map_.outer_product(rows.get(), of_cell(cell), cells_.terms, d_weight);
    }
  }

  // After the last of them: the sums are whole.
  void settle() {
    flush();
    for (size_t i = 0; i < data_.size(); i++) data_.get()[i] = T(total_.get()[i]);
  }

  void add(const Table& other) {
    for (size_t i = 0; i < data_.size(); i++) data_.get()[i] += other.data_.get()[i];
  }

  // y [size, width] += the outputs.
  void evaluate(const int32_t* cell, const T* place, long size, T* y) const {
    by_columns([&](auto columns, long j) { this->template sum_terms<columns.value>(cell, place, size, y, j); });
  }

  // dz += what the outputs' gradients dy say of the inputs.
  void differentiate(const int32_t* cell, const T* place, long size, const T* dy, T* dz) const {
    by_columns([&](auto columns, long j) { this->template sum_slopes<columns.value>(cell, place, size, dy, dz, j); });
  }

  // Adds dy to the sums of the coefficients.
  void accumulate(const int32_t* cell, const T* place, long size, const T* dy) {
    if ((edges_ += size) > 16384) flush();
    by_columns([&](auto columns, long j) { this->template sum_edges<columns.value>(cell, place, size, dy, j); });
  }

 private:
  static constexpr int L = LANES<T>;

  // Sums over some edges join those over all before them, beside which a single edge would be lost.
  void flush() {
    if (!total_.size()) total_ = Buffer<double>(data_.size());
    for (size_t i = 0; i < data_.size(); i++) total_.get()[i] += data_.get()[i];
    data_.zero();
    edges_ = 0;
  }

  T* of_cell(long cell) const { return data_.get() + cell * cells_.terms * map_.width; }

  // Row k: the k-th derivatives of the features in the middle of a cell, times (h / 2)^k / k!.
  void derivatives(long cell, T* row) const {
    T middle = (T(cells_.first + cell) + T(0.5)) * cells_.width;
    map_.features(&middle, 1, row);
    long F = map_.frequencies;
    for (long k = 1; k < cells_.terms; k++, row += map_.stride) {
      T* next = row + map_.stride;
      T step = T(TURN) * cells_.width / T(2 * k);
      for (long j = 0; j < F; j++) {
        T scale = step * map_.turns.get()[j];
        next[j] = -scale * row[F + j];
        next[F + j] = scale * row[j];
      }
    }
  }

  template <class Work>
  void by_columns(Work work) const {
    long j = 0, vectors = map_.width / L;
    for (; vectors - j >= 4; j += 4) work(std::integral_constant<int, 4>{}, j * L);
    for (; vectors - j >= 2; j += 2) work(std::integral_constant<int, 2>{}, j * L);
    for (; vectors - j >= 1; j += 1) work(std::integral_constant<int, 1>{}, j * L);
  }

  template <int C>
  void sum_terms(const int32_t* cell, const T* place, long size, T* y, long column) const {
    long width = map_.width;
    for (long t = 0; t < size; t++) {
      const T* last = of_cell(cell[t]) + column + (cells_.terms - 1) * width;
      Vec<T> sum[C];
      for (int c = 0; c < C; c++) sum[c] = at(last + c * L);
      for (long k = cells_.terms - 1; k > 0; k--) {
        last -= width;
        for (int c = 0; c < C; c++) sum[c] = sum[c] * place[t] + at(last + c * L);
      }
      for (int c = 0; c < C; c++) at(y + t * width + column + c * L) += sum[c];
    }
  }

  template <int C>
  void sum_slopes(const int32_t* cell, const T* place, long size, const T* dy, T* dz, long column) const {
    long width = map_.width;
    for (long t = 0; t < size; t++) {
      const T* last = of_cell(cell[t]) + column + cells_.terms * width;
      Vec<T> slope[C] = {}, total{};
      for (long k = cells_.terms - 1; k > 0; k--) {
        last -= width;
        for (int c = 0; c < C; c++) slope[c] = slope[c] * place[t] + T(k) * at(last + c * L);
      }
      for (int c = 0; c < C; c++) total += slope[c] * at(dy + t * width + column + c * L);
      dz[t] += sum_lanes<T>(total) * 2 / cells_.width;
    }
  }

  template <int C>
  void sum_edges(const int32_t* cell, const T* place, long size, const T* dy, long column) {
    long width = map_.width;
    for (long t = 0; t < size; t++) {
      T* sum = of_cell(cell[t]) + column;
      Vec<T> term[C];
      for (int c = 0; c < C; c++) term[c] = at(dy + t * width + column + c * L);
      for (long k = 0; k < cells_.terms; k++, sum += width)
        for (int c = 0; c < C; c++) {
          at(sum + c * L) += term[c];
          term[c] *= place[t];
        }
    }
  }

  const FourierMap<T>& map_;
  const Cells<T>& cells_;
  long edges_ = 0;
  Buffer<T> data_;
  Buffer<double> total_;
};
