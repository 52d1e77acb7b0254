// Attention over the edges into each node, and softmax over them; see graphs/kernels/attending/attending.py for the equations.
#include "attention_backward.h"
#include "attention_forward.h"
#include "guarded.h"
#include "softmax.h"

#define ENTRIES(name, T, S)                                                                                        \
  extern "C" int name##_forward(const Problem* p) { return guarded([&] { return attention_forward<T, S>(*p); }); }   \
  extern "C" int name##_backward(const Problem* p) { return guarded([&] { return attention_backward<T, S>(*p); }); } \
  extern "C" int name##_softmax(const SoftmaxProblem* p) { return guarded([&] { return softmax<T, S>(*p); }); }

ENTRIES(f32, float, float)
ENTRIES(f64, double, double)
ENTRIES(bf16, float, BFloat16)
