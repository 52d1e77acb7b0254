// The Fourier encoder of raw weights: features are made a tile of edges at a time, forward and again backward.
#include <memory>

#include "fourier_adds.h"
#include "fourier_table.h"
#include "guarded.h"
#include "long_sum.h"
#include "storage.h"
#include "threads.h"

// What all threads read.
template <class T>
struct Encoder {
  const FourierMap<T>& map;
  const Adds<T>& adds;
  const Cells<T>& cells;
  const Table<T>& table;
};

// What one thread works on.
template <class T>
struct Scratch {
  Buffer<T> z, place, rows, y, more;
  int32_t cell[TILE];
  Tile tile;
  explicit Scratch(const FourierMap<T>& map)
      : z(TILE * map.inputs), place(TILE), rows(TILE * map.stride), y(TILE * map.width), more(TILE * map.stride) {}
};

template <class T, class S>
void forward_range(const Encoder<T>& encoder, const S* values, S* out, long begin, long end) {
  const FourierMap<T>& map = encoder.map;
  Scratch<T> scratch(map);
  Walk walk = encoder.adds.walk(begin);
  T *y = scratch.y.get(), *z = scratch.z.get(), *place = scratch.place.get(), *rows = scratch.rows.get();
  for (long edge = begin; edge < end; edge += TILE) {
    long size = std::min(TILE, end - edge);
    load_rows(values + edge * map.inputs, size, map.inputs, z, map.inputs);
    encoder.adds.gather(walk, scratch.tile, edge, edge + size, map.outputs, map.width, y);
    if (encoder.cells.locate(z, size, scratch.cell, place)) {
      encoder.table.evaluate(scratch.cell, place, size, y);
    } else {
      map.features(z, size, rows);
      map.forward(rows, size, Start<T>(y, map.width), y);
    }
    store_rows(y, map.width, size, map.outputs, out + edge * map.outputs);
  }
}

// The sums of one thread.
template <class T>
struct Sums {
  LongSum<T> weight;
  Table<T> table;
  AddSums<T> adds;
  Sums(const Encoder<T>& encoder, long begin, long end)
      : weight(2 * encoder.map.frequencies * encoder.map.width),
        table(encoder.map, encoder.cells),
        adds(encoder.adds, encoder.map.width, begin, end) {}
};

template <class T, class S>
void backward_range(const Encoder<T>& encoder, const S* values, const S* grad, S* d_values, Sums<T>& sums, long begin,
                    long end) {
  const FourierMap<T>& map = encoder.map;
  Scratch<T> scratch(map);
  Walk walk = encoder.adds.walk(begin);
  T *dy = scratch.y.get(), *z = scratch.z.get(), *place = scratch.place.get(), *rows = scratch.rows.get();
  for (long edge = begin; edge < end; edge += TILE) {
    long size = std::min(TILE, end - edge);
    load_rows(values + edge * map.inputs, size, map.inputs, z, map.inputs);
    load_rows(grad + edge * map.outputs, size, map.outputs, dy, map.width);
    sums.adds.scatter(dy, walk, scratch.tile, edge, edge + size, map.outputs);
    if (encoder.cells.locate(z, size, scratch.cell, place)) {
      sums.table.accumulate(scratch.cell, place, size, dy);
      std::fill(z, z + size, T(0));
      if (d_values) encoder.table.differentiate(scratch.cell, place, size, dy, z);
    } else {
      map.features(z, size, rows);
      map.outer_product(rows, dy, size, sums.weight.next(size));
      if (d_values) map.d_inputs(rows, dy, size, scratch.more.get(), z);
    }
    if (d_values) store_rows(z, map.inputs, size, map.inputs, d_values + edge * map.inputs);
  }
  sums.table.settle();
}

// The tensors of a call; null for those that it does not have. Gradients of parameters are zero at first.
struct Call {
  const int64_t *rows, *kind;
  const void *values, *frequencies, *weight, *bias, *nodes, *kinds, *grad;
  void *out, *d_values, *d_weight, *d_bias, *d_nodes, *d_kinds;
  int64_t edges, inputs, count, outputs, number_of_rows, number_of_nodes, number_of_kinds, threads;
};

template <class T>
const T* as(const void* p) {
  return static_cast<const T*>(p);
}

template <class T>
Adds<T> adds_of(const Call& call, const T* bias) {
  return {bias,      as<T>(call.nodes),   as<T>(call.kinds),    call.rows,
          call.kind, call.number_of_rows, call.number_of_nodes, call.number_of_kinds};
}

// The operands of a call laid out, and the table of its cells.
template <class T, class S>
struct Prepared {
  FourierMap<T> map;
  Buffer<T> bias;
  Adds<T> adds;
  Cells<T> cells;
  Table<T> table;

  Prepared(const Call& call, bool tabulate)
      : map(as<T>(call.frequencies), as<T>(call.weight), call.inputs, call.count, call.outputs),
        bias(map.width),
        adds(adds_of(call, bias.get())),
        cells(cells_of(map, as<S>(call.values), call.edges)),
        table(map, cells) {
    std::copy(as<T>(call.bias), as<T>(call.bias) + call.outputs, bias.get());
    if (tabulate && cells.number)
      in_ranges(cells.number, call.threads, [&](long, long begin, long end) { table.fill(begin, end); });
  }
  Encoder<T> encoder() const { return {map, adds, cells, table}; }
};

template <class T, class S>
void forward(const Call& call) {
  Prepared<T, S> prepared(call, true);
  in_ranges(call.edges, call.threads, [&](long, long begin, long end) {
    forward_range(prepared.encoder(), as<S>(call.values), static_cast<S*>(call.out), begin, end);
  });
}

template <class T, class S>
void backward(const Call& call) {
  Prepared<T, S> prepared(call, call.d_values);
  std::vector<std::unique_ptr<Sums<T>>> sums(call.threads);
  in_ranges(call.edges, call.threads, [&](long thread, long begin, long end) {
    sums[thread] = std::make_unique<Sums<T>>(prepared.encoder(), begin, end);
    backward_range(prepared.encoder(), as<S>(call.values), as<S>(call.grad), static_cast<S*>(call.d_values),
                   *sums[thread], begin, end);
  });
  for (auto& sum : sums) {
    sum->adds.add_to(static_cast<T*>(call.d_bias), static_cast<T*>(call.d_nodes), static_cast<T*>(call.d_kinds),
                     call.outputs);
    if (sum != sums[0]) sums[0]->table.add(sum->table);
    if (sum != sums[0]) sums[0]->weight.add(sum->weight);
  }
  if (!call.d_weight) return;
  Buffer<T> d_weight(2 * prepared.map.frequencies * prepared.map.width);
  sums[0]->table.add_to(d_weight.get());
  sums[0]->weight.add_to(d_weight.get());
  prepared.map.unpad(d_weight.get(), static_cast<T*>(call.d_weight));
}

#define FOURIER(NAME, T, S)                                                                                   \
  extern "C" int NAME##_forward(const Call* call) { return guarded([&] { forward<T, S>(*call); }); }          \
  extern "C" int NAME##_backward(const Call* call) { return guarded([&] { backward<T, S>(*call); }); }

FOURIER(float32, float, float)
FOURIER(float64, double, double)
FOURIER(bfloat16, float, BFloat16)
