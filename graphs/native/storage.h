// Edge states as they are stored, and as they are computed with.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

struct BFloat16 {
  uint16_t bits;
};

inline float widen(BFloat16 x) {
  uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
template <class T>
inline T widen(T x) {
  return x;
}

// To the nearest, ties to even; a NaN stays one.
inline void narrow(float value, BFloat16& out) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  out.bits = static_cast<uint16_t>(value != value ? (bits >> 16) | 0x40 : rounded);
}
template <class T>
inline void narrow(T value, T& out) {
  out = value;
}

// Rows [size, columns] of storage in a tile [size, width]; the columns beyond are 0.
template <class S, class T>
void load_rows(const S* stored, long size, long columns, T* tile, long width) {
  for (long t = 0; t < size; t++) {
    for (long j = 0; j < columns; j++) tile[t * width + j] = widen(stored[t * columns + j]);
    for (long j = columns; j < width; j++) tile[t * width + j] = 0;
  }
}

template <class S, class T>
void store_rows(const T* tile, long width, long size, long columns, S* stored) {
  for (long t = 0; t < size; t++)
    for (long j = 0; j < columns; j++) narrow(tile[t * width + j], stored[t * columns + j]);
}
