// A sweep over all edges, in threads: what Python calls.
#include <optional>

#include "guarded.h"
#include "line_chain.h"
#include "mapped_sums.h"
#include "peak.h"
#include "sweep_backward.h"
#include "threads.h"

// Tiles as large as the first cache holds all their buffers of.
inline long tile_size(const Program& p, bool in_registers) {
  long widest = std::max({p.D, p.H, p.G});
  bool only_reads = p.K == 0 && p.message == EDGE && p.encoder == STORED;
  if (in_registers) return 512;
  return only_reads ? 256 : std::min(std::max(4608 / widest / 12 * 12, 12L), 144L);
}

template <class Work>
void for_tiles(const Program& p, const int64_t* rows, const int64_t* col, long begin, long end, long size, Work work) {
  Tile tile;
  Walk walk(rows, p.rows, col, begin);
  for (long edge = begin; edge < end; edge += size) {
    walk.next(edge, std::min(edge + size, end), tile);
    work(tile);
  }
}

// The lines that stand for the states of edges, where the program allows it.
template <class T>
std::optional<Readers<T>> readers_of(const Program& p, const Weights<T>& w, bool only_sums) {
  std::optional<Readers<T>> readers;
  if (only_sums && Readers<T>::serve(p, w)) readers.emplace(p, w);
  if (readers && !readers->finite()) readers.reset();
  return readers;
}

// Memory of a thread's own, in place of the arrays that others also add to.
template <class T, size_t N>
std::vector<Buffer<T>> replace(const std::array<T**, N>& arrays, const std::array<long, N>& sizes) {
  std::vector<Buffer<T>> own;
  for (size_t i = 0; i < N; i++)
    if (*arrays[i]) {
      own.emplace_back(sizes[i]);
      *arrays[i] = own.back().get();
    }
  return own;
}

// Sums of hidden units [nodes, H], of each thread, if there is a map of them.
template <class T>
std::vector<Buffer<T>> hidden_sums(const Program& p, bool mapped, long threads) {
  std::vector<Buffer<T>> sums;
  for (long t = 0; t < threads; t++) sums.emplace_back(mapped ? p.nodes * p.H : 0);
  return sums;
}

template <class T>
const T* joined(const std::vector<Buffer<T>>& sums) {
  for (size_t t = 1; t < sums.size(); t++) add_to(sums[0].get(), sums[t].get(), sums[0].size());
  return sums[0].get();
}

template <class S, class T>
void forward(const Program& p, const Weights<T>& w, const S* edges, const int64_t* rows, const int64_t* col,
             long threads, S* kept, const Statistics<T>& statistics) {
  long n = p.nodes * p.G;
  std::vector<Statistics<T>> parts(threads, statistics);
  std::vector<std::vector<Buffer<T>>> memory;
  std::array<long, 6> sizes;
  sizes.fill(n);
  for (long t = 1; t < threads; t++) memory.push_back(replace<T>(parts[t].all(), sizes));
  bool only_sums = !kept && statistics.sum && !statistics.square && !statistics.max && !statistics.min;
  std::optional<Readers<T>> readers = readers_of(p, w, only_sums);
  bool direct = Sweep<S, T>::reads_in_place(p) && is_direct(p, w.We, only_sums);
  long size = tile_size(p, direct || (readers && p.K == 0));
  bool mapped = maps_sums(p, w, only_sums);
  std::vector<Buffer<T>> hidden = hidden_sums<T>(p, mapped, threads);
  in_ranges(p.edges, threads, [&](long thread, long begin, long end) {
    Sweep<S, T> sweep(p, w, edges, direct ? 0 : size, statistics.max || statistics.min);
    std::optional<LineChain<S, T>> chain;
    if (readers) chain.emplace(p, w, *readers, edges, size);
    Cleared<T> part(parts[thread], p.nodes, p.G);
    for_tiles(p, rows, col, begin, end, size, [&](const Tile& tile) {
      const Statistics<T>& to = part.at(tile);
      if (chain && chain->load(tile)) return chain->add(tile, to.sum);
      if (mapped) return sweep.reduce_hidden(tile, to.sum, hidden[thread].get());
      sweep.update(tile);
      if (to.any()) sweep.reduce_messages(tile, to);
      // Last, for it may take the place of the states that were read.
      if (kept) store_rows(sweep.state(p.K), p.D, tile.size, p.columns, kept + tile.begin * p.columns);
    });
  });
  for (long t = 1; t < threads; t++) join(statistics, parts[t], n);
  if (mapped) map_sums(p, w, rows, joined(hidden), statistics.sum);
  finish(statistics, n);
}

template <class S, class T>
void backward(const Program& p, const Weights<T>& w, const S* edges, const int64_t* rows, const int64_t* col,
              long threads, const StatisticsGradient<T>& nodes, const S* grad_edges, const Gradients<T>& gradients,
              S* d_edges) {
  std::vector<Gradients<T>> parts(threads, gradients);
  std::vector<std::vector<Buffer<T>>> memory;
  std::array<long, 11> sizes = Gradients<T>::sizes(p);
  for (long t = 1; t < threads; t++) memory.push_back(replace<T>(parts[t].all(), sizes));
  for (size_t i = 0; i < sizes.size(); i++)
    if (T* first = *parts[0].all()[i]) std::fill_n(first, sizes[i], T(0));
  Turned<T> turned(p, w);
  bool only_sums = !grad_edges && nodes.sum && !nodes.square && !nodes.max && !nodes.min;
  std::optional<Readers<T>> readers = readers_of(p, w, only_sums);
  long size = tile_size(p, readers && p.K == 0);
  bool mapped = maps_sums(p, w, only_sums);
  std::vector<Buffer<T>> hidden = hidden_sums<T>(p, mapped, threads);
  Buffer<T> of_hidden(mapped ? p.nodes * p.H : 0);
  if (mapped) {
    const T* Wo = turned.Wo.get() + (p.K - 1) * p.D * p.H;
    product(nodes.sum, p.D, Wo, p.H, {}, of_hidden.get(), p.H, p.nodes, p.D, p.H);
  }
  in_ranges(p.edges, threads, [&](long thread, long begin, long end) {
    SweepBackward<S, T> sweep(p, w, edges, size, turned, nodes, grad_edges, parts[thread], d_edges);
    if (mapped) sweep.take_hidden(of_hidden.get(), hidden[thread].get());
    std::optional<LineChain<S, T>> chain;
    if (readers) chain.emplace(p, w, *readers, edges, size);
    for_tiles(p, rows, col, begin, end, size, [&](const Tile& tile) {
      if (!chain || !chain->load(tile)) return sweep.run(tile);
      chain->back(tile, nodes.sum, parts[thread], d_edges);
    });
    if (chain) chain->finish(parts[thread]);
  });
  for (long t = 1; t < threads; t++)
    for (size_t i = 0; i < sizes.size(); i++) add_to(*parts[0].all()[i], *parts[t].all()[i], sizes[i]);
  if (mapped) map_sums_back(p, rows, joined(hidden), nodes.sum, parts[0]);
}

#define ENTRY(NAME, STORED_TYPE, TYPE)                                                                             \
  extern "C" int NAME##_forward(const Program* p, const Weights<TYPE>* w, const STORED_TYPE* edges,                \
                                const int64_t* rows, const int64_t* col, int64_t threads, STORED_TYPE* kept,       \
                                const Statistics<TYPE>* statistics) {                                              \
    return guarded([&] { forward(*p, *w, edges, rows, col, threads, kept, *statistics); });                        \
  }                                                                                                                \
  extern "C" int NAME##_backward(const Program* p, const Weights<TYPE>* w, const STORED_TYPE* edges,               \
                                 const int64_t* rows, const int64_t* col, int64_t threads,                         \
                                 const StatisticsGradient<TYPE>* nodes, const STORED_TYPE* grad_edges,             \
                                 const Gradients<TYPE>* gradients, STORED_TYPE* d_edges) {                         \
    return guarded([&] { backward(*p, *w, edges, rows, col, threads, *nodes, grad_edges, *gradients, d_edges); }); \
  }

ENTRY(float32, float, float)
ENTRY(float64, double, double)
ENTRY(bfloat16, BFloat16, float)
