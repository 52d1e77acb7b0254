// Products of small matrices in rows: lanes are columns, a tile of rows stays in registers.
#pragma once
#include <type_traits>

#include "vectors.h"

// What a product is added to: nothing, one row for all (``ld`` 0), or a matrix.
template <class T>
struct Origin {
  alignas(64) static inline const T zeros[LANES<T>] = {};
  const T* data;
  long ld, step;  // to the next row, and from a vector to the next
  Origin(const T* row = nullptr, long stride = 0)
      : data(row ? row : zeros), ld(row ? stride : 0), step(row ? LANES<T> : 0) {}
  Origin moved(long rows, long vectors) const {
    Origin other = *this;
    other.data += rows * ld + vectors * step;
    return other;
  }
};
template <class T>
struct StartOf {
  using type = Origin<T>;
};
// A name that says nothing of T, so that a plain pointer may stand for a row.
template <class T>
using Start = typename StartOf<T>::type;

// What becomes of a sum before it is stored. A row is added to every row; null for none. Then, where ``gate`` is given,
// only what belongs to gate > 0 stays; or what is below 0 goes (``clip``); or ``step`` takes the place of what is > 0
// and 0 of the rest.
template <class T>
struct End {
  const T *row = nullptr, *gate = nullptr, *step = nullptr;
  long ld = 0;  // of the gate
  bool clip = false;
};

// A tile whose first sum is at ``row``, ``column`` of y.
template <class T, int R, int C>
__attribute__((always_inline)) inline void store_tile(Vec<T> (&acc)[R][C], const End<T>& end, long row, long column,
                                                      T* y, long ldy) {
  constexpr int L = LANES<T>;
  y += row * ldy + column;
  auto each = [&](auto value) __attribute__((always_inline)) {
#pragma GCC unroll 12
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) at(y + i * ldy + j * L) = value(acc[i][j], i, j);
  };
  if (end.row)
#pragma GCC unroll 12
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) acc[i][j] += at(end.row + column + j * L);
  if (end.gate)
    each([&](Vec<T> v, int i, int j) { return at(end.gate + (row + i) * end.ld + column + j * L) > 0 ? v : Vec<T>{}; });
  else if (end.clip)
    each([](Vec<T> v, int, int) { return v < 0 ? Vec<T>{} : v; });  // NaN stays
  else if (end.step)
    each([&](Vec<T> v, int, int j) { return v > 0 ? at(end.step + column + j * L) : Vec<T>{}; });
  else
    each([](Vec<T> v, int, int) { return v; });
}

// LD is the stride of x where it is known: addresses of a tile's rows then need one register.
template <class T, int R, int C, int LD>
inline void product_tile(const T* x, long ldx, const T* w, long ldw, Start<T> start, const End<T>& end, long first,
                         long column, T* y, long ldy, long K) {
  constexpr int L = LANES<T>;
  const long stride = LD ? LD : ldx;
  Vec<T> acc[R][C];
#pragma GCC unroll 12
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) acc[i][j] = at(start.data + i * start.ld + j * start.step);
  for (long k = 0; k < K; k++, w += ldw, x++) {
    Vec<T> row[C];
    for (int j = 0; j < C; j++) row[j] = at(w + j * L);
#pragma GCC unroll 12
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) acc[i][j] += x[i * stride] * row[j];
  }
  store_tile<T, R, C>(acc, end, first, column, y, ldy);
}

// Rows begin .. stop of K numbers times one column of vectors, which stays in registers.
template <class T, int R, int K>
inline void product_in_registers(const T* x, const T* w, long ldw, Start<T> start, const End<T>& end, long column, T* y,
                                 long ldy, long begin, long stop) {
  Vec<T> fixed[K];
#pragma GCC unroll 16
  for (int k = 0; k < K; k++) fixed[k] = at(w + k * ldw);
  for (long row = begin; row < stop; row += R) {
    Vec<T> acc[R][1];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) acc[i][0] = at(start.data + (row + i) * start.ld);
#pragma GCC unroll 16
    for (int k = 0; k < K; k++)
#pragma GCC unroll 8
      for (int i = 0; i < R; i++) acc[i][0] += x[(row + i) * K + k] * fixed[k];
    store_tile<T, R, 1>(acc, end, row, column, y, ldy);
  }
}

template <class T, int C, int LD>
inline void product_rows(const T* x, long ldx, const T* w, long ldw, Start<T> start, const End<T>& end, long column,
                         T* y, long ldy, long M, long K) {
  long i = 0;
  auto next = [&](auto rows) {
    constexpr int R = decltype(rows)::value;
    product_tile<T, R, C, LD>(x + i * ldx, ldx, w, ldw, start.moved(i, 0), end, i, column, y, ldy, K);
    i += R;
  };
  if constexpr (C == 1 && LD == 16 && BYTES == 64)
    if (K == LD) {
      // The last rows go the same way, so that a row's sum does not depend on how many there are.
      product_in_registers<T, 4, LD>(x, w, ldw, start, end, column, y, ldy, 0, M / 4 * 4);
      return product_in_registers<T, 1, LD>(x, w, ldw, start, end, column, y, ldy, M / 4 * 4, M);
    }
  // Few columns leave registers for more rows.
  if constexpr (C <= 2 && LD != 0)
    while (M - i >= 12) next(std::integral_constant<int, 12>{});
  while (M - i == 5 || M - i == 10) next(std::integral_constant<int, 5>{});
  while (M - i >= 6) next(std::integral_constant<int, 6>{});
  while (M - i == 5) next(std::integral_constant<int, 5>{});
  while (M - i >= 4) next(std::integral_constant<int, 4>{});
  while (M - i >= 2) next(std::integral_constant<int, 2>{});
  while (M - i >= 1) next(std::integral_constant<int, 1>{});
}

template <class T, int LD>
void product_of(const T* x, long ldx, const T* w, long ldw, Start<T> start, const End<T>& end, T* y, long ldy, long M,
                long K, long N) {
  constexpr int L = LANES<T>;
  long j = 0, vectors = whole<T>(N) / L;
  auto next = [&](auto columns) {
    constexpr int C = decltype(columns)::value;
    product_rows<T, C, LD>(x, ldx, w + j * L, ldw, start.moved(0, j), end, j * L, y, ldy, M, K);
    j += C;
  };
  while (vectors - j >= WIDEST) next(std::integral_constant<int, WIDEST>{});
  while (vectors - j >= 2) next(std::integral_constant<int, 2>{});
  while (vectors - j >= 1) next(std::integral_constant<int, 1>{});
}

// y [M, ldy] = start + x [M, K] w [K, ldw], over whole vectors of the N columns; ``end`` has the last word.
template <class T>
void product(const T* x, long ldx, const T* w, long ldw, Start<T> start, T* y, long ldy, long M, long K, long N,
             const End<T>& end = {}) {
  switch (ldx) {
    case 16: return product_of<T, 16>(x, ldx, w, ldw, start, end, y, ldy, M, K, N);
    case 32: return product_of<T, 32>(x, ldx, w, ldw, start, end, y, ldy, M, K, N);
    case 64: return product_of<T, 64>(x, ldx, w, ldw, start, end, y, ldy, M, K, N);
    default: return product_of<T, 0>(x, ldx, w, ldw, start, end, y, ldy, M, K, N);
  }
}

// Few sums of products wait for each other: they are made in SETS, of every SETS-th row each.
template <class T, int R, int C>
inline void outer_tile(const T* x, long ldx, const T* dy, long ldy, T* dw, long ldw, long M) {
  constexpr int L = LANES<T>, SETS = R * C >= 8 ? 1 : 8 / (R * C);
  Vec<T> acc[SETS][R][C] = {};
  auto add = [&](auto sets) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int s = 0; s < decltype(sets)::value; s++)
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < C; j++) acc[s][i][j] += x[s * ldx + i] * at(dy + s * ldy + j * L);
    x += decltype(sets)::value * ldx;
    dy += decltype(sets)::value * ldy;
  };
  for (; M >= SETS; M -= SETS) add(std::integral_constant<int, SETS>{});
  for (; M > 0; M--) add(std::integral_constant<int, 1>{});
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      Vec<T> sum = at(dw + i * ldw + j * L);
#pragma GCC unroll 8
      for (int s = 0; s < SETS; s++) sum += acc[s][i][j];
      at(dw + i * ldw + j * L) = sum;
    }
}

template <class T, int C>
inline void outer_rows(const T* x, long ldx, const T* dy, long ldy, T* dw, long ldw, long M, long K) {
  long k = 0;
  auto next = [&](auto rows) {
    constexpr int R = decltype(rows)::value;
    outer_tile<T, R, C>(x + k, ldx, dy, ldy, dw + k * ldw, ldw, M);
    k += R;
  };
  constexpr int MOST = C == 4 ? 6 : 16 / C;  // as many sums as leave registers for the rows
  while (K - k >= MOST) next(std::integral_constant<int, MOST>{});
  while (K - k >= 4) next(std::integral_constant<int, 4>{});
  while (K - k >= 2) next(std::integral_constant<int, 2>{});
  while (K - k >= 1) next(std::integral_constant<int, 1>{});
}

// dw [K, ldw] += x [M, K]^T dy [M, ldy], over whole vectors of the N columns.
template <class T>
void outer(const T* x, long ldx, const T* dy, long ldy, T* dw, long ldw, long M, long K, long N) {
  constexpr int L = LANES<T>;
  long j = 0, vectors = whole<T>(N) / L;
  auto next = [&](auto columns) {
    constexpr int C = decltype(columns)::value;
    outer_rows<T, C>(x, ldx, dy + j * L, ldy, dw + j * L, ldw, M, K);
    j += C;
  };
  while (vectors - j >= WIDEST) next(std::integral_constant<int, WIDEST>{});
  while (vectors - j >= 2) next(std::integral_constant<int, 2>{});
  while (vectors - j >= 1) next(std::integral_constant<int, 1>{});
}

template <class T, int C>
inline void sums_of(const T* dy, long ldy, T* db, long M) {
  constexpr int L = LANES<T>;
  Vec<T> even[C], odd[C];
  for (int j = 0; j < C; j++) even[j] = at(db + j * L), odd[j] = Vec<T>{};
  long m = 0;
  for (; m + 2 <= M; m += 2)
    for (int j = 0; j < C; j++) even[j] += at(dy + m * ldy + j * L), odd[j] += at(dy + (m + 1) * ldy + j * L);
  for (int j = 0; j < C; j++) at(db + j * L) = even[j] + odd[j] + (m < M ? at(dy + m * ldy + j * L) : Vec<T>{});
}

// db [N] += the sums of the columns of dy [M, ldy], over whole vectors.
template <class T>
void column_sums(const T* dy, long ldy, T* db, long M, long N) {
  constexpr int L = LANES<T>;
  long j = 0, vectors = whole<T>(N) / L;
  for (; j + 2 <= vectors; j += 2) sums_of<T, 2>(dy + j * L, ldy, db + j * L, M);
  for (; j < vectors; j++) sums_of<T, 1>(dy + j * L, ldy, db + j * L, M);
}
