// What a sweep does and the tensors it reads, as Python hands them over. Widths are whole vectors, rows padded with 0.
#pragma once
#include <array>
#include <cstdint>

enum Encoder { STORED, RELU_ENCODER };
enum Message { EDGE, ADD, FILM, MUL };

// Widths: C raw weights, D edge states, H hidden units of an update, G messages. K updates.
struct Program {
  int64_t encoder, message, act, update_act, residual, reads_old;
  int64_t edges, nodes, sources, rows, raw, columns, hidden;  // ``columns`` and ``hidden``: D and H without pads
  int64_t D, H, G, K;
};

template <class T>
struct Weights {
  const T *enc_a, *enc_b;     // [C, D], [D]
  const T *U, *V;             // [K, sources, H], [K, nodes, H]
  const T *Wu, *bu, *Wo, *bo; // [K, D, H], [K, H], [K, H, D], [K, D]
  const T *P, *Q;             // [sources, G], [nodes, G]
  const T *We, *be;           // [D, G], [G]; twice as wide for FILM
};

// Gradients of the same shapes, where they are wanted; those of bu and of ADD's be are sums of V's and Q's.
template <class T>
struct Gradients {
  T *enc_a, *enc_b, *U, *V, *Wu, *Wo, *bo, *P, *Q, *We, *be;

  std::array<T**, 11> all() { return {&enc_a, &enc_b, &U, &V, &Wu, &Wo, &bo, &P, &Q, &We, &be}; }
  static std::array<long, 11> sizes(const Program& p) {
    long wide = p.message == FILM ? 2 * p.G : p.G;
    return {p.raw * p.D,     p.D,       p.K * p.sources * p.H, p.K * p.nodes * p.H, p.K * p.D * p.H, p.K * p.H * p.D,
            p.K * p.D,       p.sources * p.G, p.nodes * p.G,   p.D * wide,          wide};
  }
};
