// Gated propagation along one direction of a graph, node after node, and its gradient.
//
//   h_v = GRU(received_v, x_v),  a_v = relu(W1 h_v + b1),  message_vk = relu(W2_k a_vk + b2_k)
//   received_c += message_v0 [distance(v, c) = 1] + message_v1 / distance(v, c),  for every c that v reaches
//
// The part of the gates that x makes is given. What is left to be done for all nodes at once, such as the gradients of
// weights, is left to the caller.
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "functions.h"
#include "guarded.h"

struct Call {
  const int64_t* distance;
  // from_stride and to_stride: of distance, from a node to one that gets its messages.
  int64_t from_stride, to_stride, nodes, width, inner, kinds, last_first;
  const void *x, *hidden, *input_weight, *input_bias, *first, *first_bias, *second, *second_bias;
  // [nodes, .]: received width, gates 3 width (reset, update, new), h width, a kinds inner, message kinds width
  void *received, *gates, *h, *a, *message;
  const void* grad;
  // d_input and d_hidden 3 width, d_x width, d_a kinds inner, d_message kinds width: before the activations
  void *d_input, *d_hidden, *d_x, *d_a, *d_message;
};

// y += W^T x, with W [from, to]
template <class T>
void add_back(const T* weight, const T* x, long from, long to, T* y) {
  for (long i = 0; i < from; i++)
    for (long o = 0; o < to; o++) y[o] += weight[i * to + o] * x[i];
}

// y = b + W x, with W given as its transpose [from, to]
template <class T>
void affine(const T* transposed, const T* bias, const T* x, long from, long to, T* y) {
  std::copy(bias, bias + to, y);
  add_back(transposed, x, from, to, y);
}

template <class T>
std::vector<T> transposed(const void* given, long rows, long columns) {
  std::vector<T> out(rows * columns);
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++) out[j * rows + i] = static_cast<const T*>(given)[i * columns + j];
  return out;
}

// visit(c, factor of the message of kind 0, factor of that of kind 1) for every c that v reaches.
template <class Visit>
void for_reached(const Call& call, long v, Visit visit) {
  const int64_t* row = call.distance + v * call.from_stride;
  for (long c = 0; c < call.nodes; c++)
    if (int64_t length = row[c * call.to_stride]) visit(c, length == 1, 1.0 / length);
}

template <class T>
struct Pass {
  const Call& call;
  long width = call.width, inner = call.inner, kinds = call.kinds;

  T* row(void* all, long v, long columns) const { return static_cast<T*>(all) + v * columns; }
  const T* row(const void* all, long v, long columns) const { return static_cast<const T*>(all) + v * columns; }
  const T* all(const void* given) const { return static_cast<const T*>(given); }
  long place(long step, bool reversed) const { return reversed ? call.nodes - 1 - step : step; }

  void forward() const {
    auto input = transposed<T>(call.input_weight, 3 * width, width);
    auto first = transposed<T>(call.first, kinds * inner, width);
    std::vector<std::vector<T>> second;
    for (long k = 0; k < kinds; k++)
      second.push_back(transposed<T>(row(call.second, k, width * inner), width, inner));
    for (long step = 0; step < call.nodes; step++) {
      long v = place(step, call.last_first);
      gate(v, input.data());
      T *h = row(call.h, v, width), *a = row(call.a, v, kinds * inner), *message = row(call.message, v, kinds * width);
      affine(first.data(), all(call.first_bias), h, width, kinds * inner, a);
      rectify(a, kinds * inner);
      for (long k = 0; k < kinds; k++)
        affine(second[k].data(), row(call.second_bias, k, width), a + k * inner, inner, width, message + k * width);
      rectify(message, kinds * width);
      send(v, message);
    }
  }

  void gate(long v, const T* input) const {
    T *gates = row(call.gates, v, 3 * width), *h = row(call.h, v, width);
    const T *hidden = row(call.hidden, v, 3 * width), *x = row(call.x, v, width);
    affine(input, all(call.input_bias), row(call.received, v, width), width, 3 * width, gates);
    for (long j = 0; j < 2 * width; j++) gates[j] = 1 / (1 + exponential(-(gates[j] + hidden[j])));
    T *reset = gates, *update = gates + width, *fresh = gates + 2 * width;
    for (long j = 0; j < width; j++) {
      fresh[j] = hyperbolic(fresh[j] + reset[j] * hidden[2 * width + j]);
      h[j] = fresh[j] + update[j] * (x[j] - fresh[j]);
    }
  }

  static void rectify(T* x, long size) {
    for (long j = 0; j < size; j++) x[j] = x[j] < 0 ? T(0) : x[j];
  }

  void send(long v, const T* message) const {
    for_reached(call, v, [&](long c, bool edge, double path) {
      if (call.last_first ? c >= v : c <= v) throw std::domain_error("order");
      T* received = row(call.received, c, width);
      if (edge)
        for (long j = 0; j < width; j++) received[j] += message[j];
      if (kinds > 1)
        for (long j = 0; j < width; j++) received[j] += T(path) * message[width + j];
    });
  }

  void backward() const {
    std::vector<T> d_h(width), d_received(call.nodes * width);
    for (long step = 0; step < call.nodes; step++) {
      long v = place(step, !call.last_first);
      const T* grad = row(call.grad, v, width);
      std::copy(grad, grad + width, d_h.begin());
      through_messages(v, d_received.data(), d_h.data());
      through_gates(v, d_h.data(), d_received.data() + v * width);
    }
  }

  void through_messages(long v, const T* d_received, T* d_h) const {
    T *d_message = row(call.d_message, v, kinds * width), *d_a = row(call.d_a, v, kinds * inner);
    std::fill(d_message, d_message + kinds * width, T(0));
    std::fill(d_a, d_a + kinds * inner, T(0));
    for_reached(call, v, [&](long c, bool edge, double path) {
      const T* from = d_received + c * width;
      if (edge)
        for (long j = 0; j < width; j++) d_message[j] += from[j];
      if (kinds > 1)
        for (long j = 0; j < width; j++) d_message[width + j] += T(path) * from[j];
    });
    mask(row(call.message, v, kinds * width), d_message, kinds * width);
    for (long k = 0; k < kinds; k++)
      add_back(row(call.second, k, width * inner), d_message + k * width, width, inner, d_a + k * inner);
    mask(row(call.a, v, kinds * inner), d_a, kinds * inner);
    add_back(all(call.first), d_a, kinds * inner, width, d_h);
  }

  static void mask(const T* out, T* grad, long size) {
    for (long j = 0; j < size; j++) grad[j] = out[j] > 0 ? grad[j] : T(0);
  }

  void through_gates(long v, const T* d_h, T* d_received) const {
    const T *gates = row(call.gates, v, 3 * width), *hidden = row(call.hidden, v, 3 * width), *x = row(call.x, v, width);
    T *d_input = row(call.d_input, v, 3 * width), *d_hidden = row(call.d_hidden, v, 3 * width);
    T* d_x = row(call.d_x, v, width);
    for (long j = 0; j < width; j++) {
      T reset = gates[j], update = gates[width + j], fresh = gates[2 * width + j];
      T d_fresh = d_h[j] * (1 - update) * (1 - fresh * fresh);
      d_input[j] = d_fresh * hidden[2 * width + j] * reset * (1 - reset);
      d_input[width + j] = d_h[j] * (x[j] - fresh) * update * (1 - update);
      d_input[2 * width + j] = d_fresh;
      d_hidden[j] = d_input[j];
      d_hidden[width + j] = d_input[width + j];
      d_hidden[2 * width + j] = d_fresh * reset;
      d_x[j] = d_h[j] * update;
    }
    add_back(all(call.input_weight), d_input, 3 * width, width, d_received);
  }
};

// As guarded; 2 when a node reaches one that is not after it.
template <class Work>
int ordered(Work work) {
  try {
    return guarded(work);
  } catch (const std::domain_error&) {
    return 2;
  }
}

#define GATED(NAME, T)                                                                                     \
  extern "C" int NAME##_forward(const Call* call) { return ordered([&] { Pass<T>{*call}.forward(); }); }   \
  extern "C" int NAME##_backward(const Call* call) { return guarded([&] { Pass<T>{*call}.backward(); }); }

GATED(float32, float)
GATED(float64, double)
