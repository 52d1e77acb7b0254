// Channels so laid out that lanes are heads: sums over the channels of a head add vectors, not lanes.
#pragma once
#include <cmath>
#include <limits>
#include <utility>

#include "functions.h"
#include "vectors.h"

// Channel c of head h lies at ``c * wide + h``; what is 0 fills the rest.
template <class T>
struct Heads {
  long heads, channels;  // channels of one head
  long wide;             // heads, up to a number that fills vectors evenly
  long width;            // of a whole row
  long score;            // of one number a head: whole vectors, the heads over and over where they do not fill one

  Heads(long all, long number) : heads(number), channels(all / number), wide(1) {
    while (wide < heads && wide < LANES<T>) wide *= 2;
    if (wide < heads) wide = whole<T>(heads);
    width = whole<T>(channels * wide);
    score = whole<T>(wide);
  }

  long all() const { return heads * channels; }

  template <class S>
  void pack(const S* row, T* packed) const {
    for (long c = 0; c < channels; c++)
      for (long h = 0; h < heads; h++) packed[c * wide + h] = row[h * channels + c];
  }
  template <class S>
  void unpack(const T* packed, S* row) const {
    for (long h = 0; h < heads; h++)
      for (long c = 0; c < channels; c++) row[h * channels + c] = packed[c * wide + h];
  }
  // A number a head, in every lane of the head.
  void spread(const T* values, T* scores) const {
    for (long l = 0; l < score; l++) scores[l] = l % wide < heads ? values[l % wide] : T(0);
  }
};

template <class T, int BY, int... I>
inline Vec<T> turned(Vec<T> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I + BY) % LANES<T>...);
}

// The lanes of one head added up, in each of them.
template <class T, int BY = LANES<T> / 2>
inline Vec<T> folded(Vec<T> v, long wide) {
  if constexpr (BY > 0) {
    if (wide > BY) return v;
    return folded<T, BY / 2>(v + turned<T, BY>(v, std::make_integer_sequence<int, LANES<T>>{}), wide);
  } else {
    return v;
  }
}

// scores = for each head, the sum over its channels of terms(j), the vector of a row that begins at lane j.
template <class T, class Terms>
inline void sum_heads(const Heads<T>& lay, T* scores, Terms terms) {
  for (long s = 0; s < lay.score; s += LANES<T>) {
    Vec<T> total{};
    for (long j = s; j < lay.width; j += lay.score) total += terms(j);
    at(scores + s) = folded<T>(total, lay.wide);
  }
}

template <class T>
inline void exponential_of(T* values, long count) {
  // Below, exponential() stays at the least number that it gives; a score of -inf has no weight at all.
  constexpr T LEAST_POWER = sizeof(T) == 4 ? T(-87) : T(-745);
  for (long i = 0; i < count; i++) values[i] = values[i] < LEAST_POWER ? T(0) : exponential(values[i]);
}
