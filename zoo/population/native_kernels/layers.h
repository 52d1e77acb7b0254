// The layers of a network: each reads the values of the one before and, backward, writes their gradient there.
//
// Rows: [samples, ld], lanes are neurons. Maps: [channels, height, width] of vectors, lanes are samples; lanes without a
// sample hold zeros in every gradient.
#pragma once
#include <memory>
#include <vector>
#include "functions.h"
#include "products.h"
#include "windows.h"

template <class T>
struct Shape {
  bool is_map;
  long c, h, w;
  long units() const { return c * h * w; }
  long ld() const { return whole<T>(units()); }
  long values(long samples) const { return is_map ? units() * LANES<T> : samples * ld(); }
};

// Where a weight [inputs, outputs] stands: here from ``own`` on, with a stride each, and in torch's order from ``flat``.
struct Place {
  long inputs = 0, outputs = 0, per_input = 0, per_output = 0, size = 0, own = 0, flat = 0;
};

template <class T>
struct Layer {
  Shape<T> in, out;
  T *x = nullptr, *dx = nullptr;  // of the layer before; no dx where nothing before has weights
  T *y = nullptr, *dy = nullptr;
  Place weight, bias;
  const uint8_t* mask = nullptr;  // of a dropout layer: [samples, units] of this step

  Layer(Shape<T> in, Shape<T> out) : in(in), out(out) {}
  virtual ~Layer() = default;
  virtual void forward(long n, bool training) = 0;
  virtual void backward(long n) = 0;
  virtual void collect() {}                       // add what the samples left apart to the gradients
  virtual void refresh() {}                       // after the weights have changed
  virtual void bind(T*, T*) {}  // where weights and gradients are
  virtual long masked() const { return 0; }       // elements of its mask, a sample
};

template <class T>
struct Linear : Layer<T> {
  T *w = nullptr, *b = nullptr, *dw = nullptr, *db = nullptr;
  Buffer<T> turned;  // [N, K]

  Linear(Shape<T> in, long N, bool has_bias) : Layer<T>(in, {false, N, 1, 1}) {
    long ld = whole<T>(N);
    this->weight = {in.units(), N, ld, 1, in.units() * ld};
    if (has_bias) this->bias = {1, N, ld, 1, ld};
  }
  void bind(T* weights, T* gradients) override {
    w = weights + this->weight.own, dw = gradients + this->weight.own;
    if (this->bias.inputs) b = weights + this->bias.own, db = gradients + this->bias.own;
    if (this->dx) turned = Buffer<T>(this->out.units() * this->in.ld());
  }
  void refresh() override {
    if (!this->dx) return;
    long K = this->in.units(), N = this->out.units(), ld = this->out.ld(), turned_ld = this->in.ld();
    T* t = turned.get();
    constexpr long SIDE = 16;  // a square of both is in the cache
    for (long k0 = 0; k0 < K; k0 += SIDE)
      for (long n = 0; n < N; n++)
        for (long k = k0; k < std::min(k0 + SIDE, K); k++) t[n * turned_ld + k] = w[k * ld + n];
  }
  void forward(long n, bool) override {
    product(this->x, this->in.ld(), w, this->out.ld(), b, this->y, this->out.ld(), n, this->in.units(), this->out.units());
  }
  void backward(long n) override {
    long ld = this->out.ld();
    outer(this->x, this->in.ld(), this->dy, ld, dw, ld, n, this->in.units(), this->out.units());
    if (b) column_sums(this->dy, ld, db, n, this->out.units());
    if (this->dx)
      product(this->dy, ld, turned.get(), this->in.ld(), static_cast<const T*>(nullptr), this->dx, this->in.ld(), n,
              this->out.units(), this->in.units());
  }
};

// A linear layer of so few outputs that lanes are inputs: its weights are [N, K].
template <class T>
struct NarrowLinear : Layer<T> {
  T *w = nullptr, *b = nullptr, *dw = nullptr, *db = nullptr;

  NarrowLinear(Shape<T> in, long N, bool has_bias) : Layer<T>(in, {false, N, 1, 1}) {
    this->weight = {in.units(), N, 1, in.ld(), N * in.ld()};
    if (has_bias) this->bias = {1, N, N, 1, N};
  }
  static constexpr long MOST = 3;  // outputs up to which this is the quicker form

  void bind(T* weights, T* gradients) override {
    w = weights + this->weight.own, dw = gradients + this->weight.own;
    if (this->bias.inputs) b = weights + this->bias.own, db = gradients + this->bias.own;
  }
  template <class F>
  void each(long n, F f) {
    for (long o = 0; o < this->out.units(); o++)
      for (long m = 0; m < n; m++) f(o, o * this->in.ld(), m * this->in.ld(), m * this->out.ld() + o);
  }
  void forward(long n, bool) override {
    each(n, [&](long o, long row, long sample, long place) {
      Vec<T> sum = at(this->x + sample) * at(w + row);
      for (long k = LANES<T>; k < this->in.ld(); k += LANES<T>) sum += at(this->x + sample + k) * at(w + row + k);
      this->y[place] = sum_lanes<T>(sum) + (b ? b[o] : T(0));
    });
  }
  void backward(long n) override {
    for (long k = 0; k < this->in.ld(); k += LANES<T>)
      for (long o = 0; o < this->out.units(); o++) weights_of(o, k, n);
    if (b) each(n, [&](long o, long, long, long place) { db[o] += this->dy[place]; });
    if (!this->dx) return;
    for (long m = 0; m < n; m++)
      for (long k = 0; k < this->in.ld(); k += LANES<T>) {
        Vec<T> sum{};
        for (long o = 0; o < this->out.units(); o++) sum += this->dy[m * this->out.ld() + o] * at(w + o * this->in.ld() + k);
        at(this->dx + m * this->in.ld() + k) = sum;
      }
  }
  // Four sums at a time: one would wait for itself.
  void weights_of(long o, long k, long n) {
    Vec<T> sums[4] = {at(dw + o * this->in.ld() + k)};
    long m = 0;
    for (; m + 4 <= n; m += 4)
      for (int i = 0; i < 4; i++) sums[i] += this->dy[(m + i) * this->out.ld() + o] * at(this->x + (m + i) * this->in.ld() + k);
    for (; m < n; m++) sums[0] += this->dy[m * this->out.ld() + o] * at(this->x + m * this->in.ld() + k);
    at(dw + o * this->in.ld() + k) = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
};

template <class T>
struct Convolution : Layer<T> {
  using V = Vec<T>;
  long kernel, stride, padding, high, wide;  // high, wide: of the padded input
  Window window, back;
  T *w = nullptr, *b = nullptr, *dw = nullptr, *db = nullptr;
  Buffer<T> padded, turned, spread, unpadded, sums, bias_sums;

  Convolution(Shape<T> in, long O, long kernel, long stride, long padding, bool has_bias)
      : Layer<T>(in, {true, O, (in.h + 2 * padding - kernel) / stride + 1, (in.w + 2 * padding - kernel) / stride + 1}),
        kernel(kernel), stride(stride), padding(padding), high(in.h + 2 * padding), wide(in.w + 2 * padding) {
    const auto& out = this->out;
    window = {in.c, high, wide, O, out.h, out.w, kernel, kernel, stride};
    back = {O, high + kernel - 1, wide + kernel - 1, in.c, high, wide, kernel, kernel, 1};
    long taps = in.c * kernel * kernel;
    this->weight = {taps, O, O, 1, taps * O};
    if (has_bias) this->bias = {1, O, O, 1, O};
    if (padding) padded = Buffer<T>(in.c * high * wide * LANES<T>);
    sums = Buffer<T>(taps * O * LANES<T>);
    bias_sums = Buffer<T>(O * LANES<T>);
  }
  void bind(T* weights, T* gradients) override {
    w = weights + this->weight.own, dw = gradients + this->weight.own;
    if (this->bias.inputs) b = weights + this->bias.own, db = gradients + this->bias.own;
    if (!this->dx) return;
    turned = Buffer<T>(this->weight.size);
    spread = Buffer<T>(back.in_c * back.in_h * back.in_w * LANES<T>);
    if (padding) unpadded = Buffer<T>(this->in.c * high * wide * LANES<T>);
  }
  static V* vectors(T* p) { return reinterpret_cast<V*>(p); }
  V* input() { return vectors(padding ? padded.get() : this->x); }

  void refresh() override {
    if (!this->dx) return;
    long C = this->in.c, O = this->out.c, area = kernel * kernel;
    for (long c = 0; c < C; c++)
      for (long t = 0; t < area; t++)
        for (long o = 0; o < O; o++)
          turned.get()[(o * area + area - 1 - t) * C + c] = w[(c * area + t) * O + o];
  }
  void forward(long, bool) override {
    if (padding) copy_rows(vectors(this->x), this->in.h, this->in.w, 0, vectors(padded.get()), high, wide, padding);
    convolve<T>(window, input(), w, b, vectors(this->y), {0, high});
  }
  void backward(long) override {
    V* dy = vectors(this->dy);
    convolve_weights<T>(window, input(), dy, vectors(sums.get()));
    long plane = this->out.h * this->out.w;
    for (long o = 0; o < this->out.c; o++)
      for (long i = 0; i < plane; i++) vectors(bias_sums.get())[o] += dy[o * plane + i];
    if (!this->dx) return;
    spread_out(dy);
    V* whole_dx = vectors(padding ? unpadded.get() : this->dx);
    long first = kernel - 1, last = first + (this->out.h - 1) * stride + 1;
    convolve<T>(back, vectors(spread.get()), turned.get(), static_cast<const T*>(nullptr), whole_dx, {first, last});
    if (padding) copy_rows(whole_dx, high, wide, padding, vectors(this->dx), this->in.h, this->in.w, 0);
  }
  // Copy what both maps have of each other; ``skip`` is the border of the larger one.
  void copy_rows(const V* from, long h0, long w0, long skip0, V* to, long h1, long w1, long skip1) {
    long h = std::min(h0, h1), w = std::min(w0, w1);
    for (long c = 0; c < this->in.c; c++)
      for (long y = 0; y < h; y++)
        std::memcpy(to + (c * h1 + y + skip1) * w1 + skip1, from + (c * h0 + y + skip0) * w0 + skip0, w * sizeof(V));
  }
  // The gradient of the output with stride - 1 zeros between its values and kernel - 1 around them.
  void spread_out(const V* dy) {
    for (long o = 0; o < this->out.c; o++)
      for (long y = 0; y < this->out.h; y++) {
        V* row = vectors(spread.get()) + (o * back.in_h + kernel - 1 + y * stride) * back.in_w + kernel - 1;
        for (long x = 0; x < this->out.w; x++) row[x * stride] = *dy++;
      }
  }
  void collect() override {
    for (long i = 0; i < this->weight.size; i++) dw[i] += sum_lanes<T>(vectors(sums.get())[i]);
    if (b)
      for (long o = 0; o < this->out.c; o++) db[o] += sum_lanes<T>(vectors(bias_sums.get())[o]);
    sums.zero();
    bias_sums.zero();
  }
};

// Square windows side by side, each of which becomes its maximum (the first of equal ones) or its mean.
template <class T, bool MAXIMUM>
struct Pool : Layer<T> {
  using V = Vec<T>;
  long kh, kw;
  Buffer<T> place;

  Pool(Shape<T> in, long kh, long kw) : Layer<T>(in, {true, in.c, in.h / kh, in.w / kw}), kh(kh), kw(kw) {
    if (MAXIMUM) place = Buffer<T>(this->out.units() * LANES<T>);
  }
  template <class F>
  void each(F f) {
    long i = 0;
    for (long c = 0; c < this->in.c; c++)
      for (long y = 0; y < this->out.h; y++)
        for (long x = 0; x < this->out.w; x++, i++) f(i, (c * this->in.h + y * kh) * this->in.w + x * kw);
  }
  void forward(long, bool) override {
    const V* x = reinterpret_cast<V*>(this->x);
    V *y = reinterpret_cast<V*>(this->y), *where = reinterpret_cast<V*>(place.get());
    each([&](long i, long first) {
      V best = x[first], at_best{};
      for (long t = 1; t < kh * kw; t++) {
        V v = x[first + t / kw * this->in.w + t % kw];
        if (MAXIMUM) {
          auto better = (v > best) | (v != v);
          best = better ? v : best;
          at_best = better ? V{} + T(t) : at_best;
        } else {
          best += v;
        }
      }
      y[i] = MAXIMUM ? best : best / T(kh * kw);
      if (MAXIMUM) where[i] = at_best;
    });
  }
  void backward(long) override {
    if (!this->dx) return;
    V *dx = reinterpret_cast<V*>(this->dx), *where = reinterpret_cast<V*>(place.get());
    const V* dy = reinterpret_cast<V*>(this->dy);
    each([&](long i, long first) {
      for (long t = 0; t < kh * kw; t++)
        dx[first + t / kw * this->in.w + t % kw] = MAXIMUM ? (where[i] == T(t) ? dy[i] : V{}) : dy[i] / T(kh * kw);
    });
  }
};

// A map becomes rows, channel-major.
template <class T>
struct Flatten : Layer<T> {
  explicit Flatten(Shape<T> in) : Layer<T>(in, {false, in.units(), 1, 1}) {}
  void forward(long n, bool) override {
    for (long u = 0; u < this->in.units(); u++)
      for (long m = 0; m < n; m++) this->y[m * this->out.ld() + u] = this->x[u * LANES<T> + m];
  }
  void backward(long n) override {
    if (!this->dx) return;
    for (long u = 0; u < this->in.units(); u++) {
      at(this->dx + u * LANES<T>) = Vec<T>{};
      for (long m = 0; m < n; m++) this->dx[u * LANES<T> + m] = this->dy[m * this->out.ld() + u];
    }
  }
};

template <class T, class F>
struct Activation : Layer<T> {
  T parameter;
  Buffer<T> derivative;
  Activation(Shape<T> in, T parameter, long samples)
      : Layer<T>(in, in), parameter(parameter), derivative(in.values(samples)) {}
  void forward(long n, bool) override {
    const T* __restrict x = this->x;
    T *__restrict y = this->y, *__restrict d = derivative.get();
    T p = parameter;
    long count = this->in.values(n);
    for (long i = 0; i < count; i++) F::apply(x[i], p, y[i], d[i]);
  }
  void backward(long n) override {
    if (!this->dx) return;
    const T *__restrict dy = this->dy, *__restrict d = derivative.get();
    T* __restrict dx = this->dx;
    long count = this->in.values(n);
    for (long i = 0; i < count; i++) dx[i] = dy[i] * d[i];
  }
};

template <class T>
struct Dropout : Layer<T> {
  T scale;
  Buffer<T> factor;
  bool training = false;
  Dropout(Shape<T> in, T rate, long samples) : Layer<T>(in, in), scale(1 / (1 - rate)), factor(in.values(samples)) {}
  long masked() const override { return this->in.units(); }
  void forward(long n, bool train) override {
    training = train;
    if (train) read_mask(n);
    T* f = factor.get();
    for (long i = 0, count = this->in.values(n); i < count; i++) this->y[i] = train ? this->x[i] * f[i] : this->x[i];
  }
  void read_mask(long n) {
    long units = this->in.units();
    for (long m = 0; m < n; m++)
      for (long u = 0; u < units; u++)
        factor.get()[this->in.is_map ? u * LANES<T> + m : m * this->in.ld() + u] = this->mask[m * units + u] ? scale : 0;
  }
  void backward(long n) override {
    if (!this->dx) return;
    T* f = factor.get();
    for (long i = 0, count = this->in.values(n); i < count; i++) this->dx[i] = this->dy[i] * f[i];
  }
};

template <class T>
struct Shift : Layer<T> {
  T amount;
  Shift(Shape<T> in, T amount) : Layer<T>(in, in), amount(amount) {}
  void forward(long n, bool) override {
    for (long i = 0, count = this->in.values(n); i < count; i++) this->y[i] = this->x[i] + amount;
  }
  void backward(long n) override {
    if (this->dx) std::memcpy(this->dx, this->dy, this->in.values(n) * sizeof(T));
  }
};
