// Convolutions of maps whose lanes are samples: [channels, height, width] of vectors.
#pragma once
#include <algorithm>
#include "vectors.h"

// A valid convolution: sizes of the map it reads, of its kernel and of the map it writes.
struct Window {
  long in_c, in_h, in_w, out_c, out_h, out_w, kernel_h, kernel_w, stride;
};

// Rows of the kernel that meet values: of the map's rows only [first_row, last_row) are not zero.
struct Rows {
  long first, last;
};

template <class T, int O, int X>
inline void window_tile(
    const Window& s, const Vec<T>* in, const T* w, const T* bias, Vec<T>* out, long o0, long y, long x, Rows rows) {
  Vec<T> acc[O][X];
  for (int o = 0; o < O; o++)
    for (int t = 0; t < X; t++) acc[o][t] = Vec<T>{} + (bias ? bias[o0 + o] : T(0));
  long first = std::max(0L, rows.first - y * s.stride), last = std::min(s.kernel_h, rows.last - y * s.stride);
  for (long c = 0; c < s.in_c; c++)
    for (long i = first; i < last; i++) {
      const Vec<T>* row = in + (c * s.in_h + y * s.stride + i) * s.in_w + x * s.stride;
      const T* v = w + (c * s.kernel_h + i) * s.kernel_w * s.out_c + o0;
      for (long j = 0; j < s.kernel_w; j++, v += s.out_c) {
        Vec<T> values[X];
        for (int t = 0; t < X; t++) values[t] = row[j + t * s.stride];
        for (int o = 0; o < O; o++)
          for (int t = 0; t < X; t++) acc[o][t] += v[o] * values[t];
      }
    }
  for (int o = 0; o < O; o++)
    for (int t = 0; t < X; t++) out[((o0 + o) * s.out_h + y) * s.out_w + x + t] = acc[o][t];
}

template <class T, int O>
inline void window_channels(
    const Window& s, const Vec<T>* in, const T* w, const T* bias, Vec<T>* out, long o0, Rows rows) {
  constexpr int X = WIDEST >= 4 ? 3 : 1;
  for (long y = 0; y < s.out_h; y++) {
    long x = 0;
    for (; x + X <= s.out_w; x += X) window_tile<T, O, X>(s, in, w, bias, out, o0, y, x, rows);
    for (; x < s.out_w; x++) window_tile<T, O, 1>(s, in, w, bias, out, o0, y, x, rows);
  }
}

// out [O, h, w] = bias + the windows of in [C, H, W] with w [C, kh, kw, O].
template <class T>
void convolve(const Window& s, const Vec<T>* in, const T* w, const T* bias, Vec<T>* out, Rows rows) {
  long o = 0;
  for (; o + 8 <= s.out_c; o += 8) window_channels<T, 8>(s, in, w, bias, out, o, rows);
  for (; s.out_c - o == 6; o += 6) window_channels<T, 6>(s, in, w, bias, out, o, rows);
  for (; o + 4 <= s.out_c; o += 4) window_channels<T, 4>(s, in, w, bias, out, o, rows);
  for (; o + 2 <= s.out_c; o += 2) window_channels<T, 2>(s, in, w, bias, out, o, rows);
  for (; o < s.out_c; o++) window_channels<T, 1>(s, in, w, bias, out, o, rows);
}

template <class T, int O, int J>
inline void weights_tile(
    const Window& s, const Vec<T>* in, const Vec<T>* dy, Vec<T>* dw, long c, long i, long j, long o, long y0, long y1) {
  Vec<T> acc[J][O];
  Vec<T>* out = dw + ((c * s.kernel_h + i) * s.kernel_w + j) * s.out_c + o;
  for (int t = 0; t < J; t++)
    for (int u = 0; u < O; u++) acc[t][u] = out[t * s.out_c + u];
  long plane = s.out_h * s.out_w;
  for (long y = y0; y < y1; y++) {
    const Vec<T>* row = in + (c * s.in_h + y * s.stride + i) * s.in_w + j;
    const Vec<T>* d = dy + o * plane + y * s.out_w;
    for (long x = 0; x < s.out_w; x++) {
      Vec<T> values[O];
      for (int u = 0; u < O; u++) values[u] = d[u * plane + x];
      for (int t = 0; t < J; t++)
        for (int u = 0; u < O; u++) acc[t][u] += row[x * s.stride + t] * values[u];
    }
  }
  for (int t = 0; t < J; t++)
    for (int u = 0; u < O; u++) out[t * s.out_c + u] = acc[t][u];
}

template <class T, int O>
inline void weights_channels(
    const Window& s, const Vec<T>* in, const Vec<T>* dy, Vec<T>* dw, long c, long o, long y0, long y1) {
  constexpr int J = WIDEST >= 4 ? 5 : 2;
  for (long i = 0; i < s.kernel_h; i++) {
    long j = 0;
    for (; j + J <= s.kernel_w; j += J) weights_tile<T, O, J>(s, in, dy, dw, c, i, j, o, y0, y1);
    for (; s.kernel_w - j == 3; j += 3) weights_tile<T, O, 3>(s, in, dy, dw, c, i, j, o, y0, y1);
    for (; j + 2 <= s.kernel_w; j += 2) weights_tile<T, O, 2>(s, in, dy, dw, c, i, j, o, y0, y1);
    for (; j < s.kernel_w; j++) weights_tile<T, O, 1>(s, in, dy, dw, c, i, j, o, y0, y1);
  }
}

// dw [C, kh, kw, O] += the gradient of the weights, a vector of samples each; some rows at a time, which fit the cache.
template <class T>
void convolve_weights(const Window& s, const Vec<T>* in, const Vec<T>* dy, Vec<T>* dw) {
  constexpr long CACHE = 32768;
  constexpr int O = WIDEST >= 4 ? 4 : 2;
  long rows = std::max(1L, CACHE / static_cast<long>(sizeof(Vec<T>)) / ((s.out_c + 1) * s.out_w * s.stride));
  for (long y = 0; y < s.out_h; y += rows) {
    long end = std::min(y + rows, s.out_h);
    for (long c = 0; c < s.in_c; c++) {
      long o = 0;
      for (; s.out_c - o == 6 && O == 4; o += 3) weights_channels<T, 3>(s, in, dy, dw, c, o, y, end);
      for (; s.out_c - o == 3; o += 3) weights_channels<T, 3>(s, in, dy, dw, c, o, y, end);
      for (; o + O <= s.out_c; o += O) weights_channels<T, O>(s, in, dy, dw, c, o, y, end);
      for (; o < s.out_c; o++) weights_channels<T, 1>(s, in, dy, dw, c, o, y, end);
    }
  }
}
