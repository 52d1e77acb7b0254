// out = start + [cos(2 pi B z), sin(2 pi B z)] W^T and its gradients, for a tile of edges whose features stay in cache.
#pragma once
#include "products.h"
#include "turns.h"

constexpr long TILE = 32;

// The frequencies and the linear map, padded to whole vectors; a row of features holds ``frequencies`` cosines, then
// as many sines.
template <class T>
struct FourierMap {
  long inputs, count, outputs;  // C, f, D
  long frequencies = whole<T>(count), width = whole<T>(outputs);
  // Not a power of two, so that the rows of a tile do not fall on the same lines of the cache.
  long stride = 2 * frequencies + LANES<T>;
  Buffer<T> turns, weight, backward;  // B^T [C, frequencies], W^T [2 frequencies, width], W [width, 2 frequencies]

  FourierMap(const T* B, const T* W, long C, long f, long D) : inputs(C), count(f), outputs(D) {
    turns = Buffer<T>(C * frequencies);
    weight = Buffer<T>(2 * frequencies * width);
    backward = Buffer<T>(width * 2 * frequencies);
    for (long c = 0; c < C; c++)
      for (long j = 0; j < f; j++) turns.get()[c * frequencies + j] = B[j * C + c];
    for (long d = 0; d < D; d++)
      for (long k = 0; k < 2 * f; k++) {
        long row = k < f ? k : frequencies + k - f;
        weight.get()[row * width + d] = backward.get()[d * 2 * frequencies + row] = W[d * 2 * f + k];
      }
  }

  void features(const T* z, long size, T* rows) const {
    for (long t = 0; t < size; t++, rows += stride)
      inputs == 1 ? of_one(z[t], rows) : of_many(z + t * inputs, rows);
  }

  // y = start + features W^T.
  void forward(const T* rows, long size, Start<T> start, T* y) const {
    product<T>(rows, stride, weight.get(), width, start, y, width, size, 2 * frequencies, outputs);
  }

  // d_weight [2 frequencies, width] += features^T dy.
  void outer_product(const T* rows, const T* dy, long size, T* d_weight) const {
    outer<T>(rows, stride, dy, width, d_weight, width, size, 2 * frequencies, outputs);
  }

  // dz [size, C] from features and dy; ``scratch`` holds as many numbers as the features.
  void d_inputs(const T* rows, const T* dy, long size, T* scratch, T* dz) const {
    product<T>(dy, width, backward.get(), 2 * frequencies, nullptr, scratch, stride, size, outputs, 2 * frequencies);
    for (long t = 0; t < size; t++) {
      const T *c = rows + t * stride, *s = c + frequencies;
      T *d_c = scratch + t * stride, *d_s = d_c + frequencies;
      for (long j = 0; j < frequencies; j++) d_c[j] = c[j] * d_s[j] - s[j] * d_c[j];
      for (long i = 0; i < inputs; i++) dz[t * inputs + i] = T(TURN) * along(d_c, i);
    }
  }

  // The linear map's gradient as torch keeps it, [D, 2 f].
  void unpad(const T* d_weight, T* out) const {
    for (long d = 0; d < outputs; d++)
      for (long k = 0; k < 2 * count; k++)
        out[d * 2 * count + k] = d_weight[(k < count ? k : frequencies + k - count) * width + d];
  }

 private:
  void of_one(T z, T* __restrict__ row) const {
    const T* b = turns.get();
    for (long j = 0; j < frequencies; j++) {
      T product = b[j] * z;
      turn(product, std::fma(b[j], z, -product), row[j], row[frequencies + j]);
    }
  }

  void of_many(const T* z, T* __restrict__ row) const {
    for (long j = 0; j < frequencies; j++) row[j] = 0;
    for (long c = 0; c < inputs; c++) {
      const T* b = turns.get() + c * frequencies;
      for (long j = 0; j < frequencies; j++) row[j] += b[j] * z[c];
    }
    for (long j = 0; j < frequencies; j++) turn(row[j], T(0), row[j], row[frequencies + j]);
  }

  T along(const T* d_angle, long c) const {
    const T* b = turns.get() + c * frequencies;
    T total = 0;
    for (long j = 0; j < count; j++) total += b[j] * d_angle[j];
    return total;
  }
};
