// Products of small matrices in rows: lanes are columns, a tile of rows stays in registers.
#pragma once
#include "vectors.h"

template <class T, int R, int C>
inline void product_tile(const T* x, long ldx, const T* w, long ldw, const T* bias, T* y, long ldy, long K) {
  constexpr int L = LANES<T>;
  Vec<T> acc[R][C];
  for (int j = 0; j < C; j++)
    for (int i = 0; i < R; i++) acc[i][j] = bias ? at(bias + j * L) : Vec<T>{};
  for (long k = 0; k < K; k++, w += ldw) {
    Vec<T> row[C];
    for (int j = 0; j < C; j++) row[j] = at(w + j * L);
    for (int i = 0; i < R; i++) {
      T s = x[i * ldx + k];
      for (int j = 0; j < C; j++) acc[i][j] += s * row[j];
    }
  }
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) at(y + i * ldy + j * L) = acc[i][j];
}

template <class T, int C>
inline void product_rows(const T* x, long ldx, const T* w, long ldw, const T* bias, T* y, long ldy, long M, long K) {
  long i = 0;
  for (; M - i == 5 || M - i == 10; i += 5) product_tile<T, 5, C>(x + i * ldx, ldx, w, ldw, bias, y + i * ldy, ldy, K);
  for (; i + 6 <= M; i += 6) product_tile<T, 6, C>(x + i * ldx, ldx, w, ldw, bias, y + i * ldy, ldy, K);
  for (; M - i == 5; i += 5) product_tile<T, 5, C>(x + i * ldx, ldx, w, ldw, bias, y + i * ldy, ldy, K);
  for (; i + 4 <= M; i += 4) product_tile<T, 4, C>(x + i * ldx, ldx, w, ldw, bias, y + i * ldy, ldy, K);
  for (; i + 2 <= M; i += 2) product_tile<T, 2, C>(x + i * ldx, ldx, w, ldw, bias, y + i * ldy, ldy, K);
  for (; i < M; i++) product_tile<T, 1, C>(x + i * ldx, ldx, w, ldw, bias, y + i * ldy, ldy, K);
}

// y [M, ldy] = bias + x [M, K] w [K, ldw], over whole vectors of the N columns.
template <class T>
void product(const T* x, long ldx, const T* w, long ldw, const T* bias, T* y, long ldy, long M, long K, long N) {
  constexpr int L = LANES<T>;
  long j = 0, vectors = whole<T>(N) / L;
  auto next = [&](auto columns) {
    constexpr int C = decltype(columns)::value;
    product_rows<T, C>(x, ldx, w + j * L, ldw, bias ? bias + j * L : nullptr, y + j * L, ldy, M, K);
    j += C;
  };
  while (vectors - j >= WIDEST) next(std::integral_constant<int, WIDEST>{});
  while (vectors - j >= 2) next(std::integral_constant<int, 2>{});
  while (vectors - j >= 1) next(std::integral_constant<int, 1>{});
}

template <class T, int R, int C>
inline void outer_tile(const T* x, long ldx, const T* dy, long ldy, T* dw, long ldw, long M) {
  constexpr int L = LANES<T>;
  Vec<T> acc[R][C];
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) acc[i][j] = at(dw + i * ldw + j * L);
  for (long m = 0; m < M; m++, x += ldx, dy += ldy) {
    Vec<T> row[C];
    for (int j = 0; j < C; j++) row[j] = at(dy + j * L);
    for (int i = 0; i < R; i++)
      for (int j = 0; j < C; j++) acc[i][j] += x[i] * row[j];
  }
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) at(dw + i * ldw + j * L) = acc[i][j];
}

template <class T, int C>
inline void outer_rows(const T* x, long ldx, const T* dy, long ldy, T* dw, long ldw, long M, long K) {
  long k = 0;
  for (; k + 6 <= K; k += 6) outer_tile<T, 6, C>(x + k, ldx, dy, ldy, dw + k * ldw, ldw, M);
  for (; k + 4 <= K; k += 4) outer_tile<T, 4, C>(x + k, ldx, dy, ldy, dw + k * ldw, ldw, M);
  for (; k + 2 <= K; k += 2) outer_tile<T, 2, C>(x + k, ldx, dy, ldy, dw + k * ldw, ldw, M);
  for (; k < K; k++) outer_tile<T, 1, C>(x + k, ldx, dy, ldy, dw + k * ldw, ldw, M);
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
