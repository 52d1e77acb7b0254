// The sum of what the last update adds to the edges into a node is a map of a sum, h Wo + bo of its hidden units: one
// product a node instead of one an edge.
#pragma once
#include "nodes.h"
#include "program.h"

template <class T>
bool maps_sums(const Program& p, const Weights<T>& w, bool only_sums) {
  return only_sums && p.message == EDGE && p.K > 0 && !p.reads_old && w.Wo;
}

// Calls work(node, edges) for the rows of a table.
template <class Work>
void for_rows(const Program& p, const int64_t* rows, Work work) {
  for (long r = 0; r < p.rows; r++) work(rows[4 * r + 3], rows[4 * r + 2]);
}

// sums [nodes, D] += hidden Wo + edges * bo, of sums of hidden units [nodes, H].
template <class T>
void map_sums(const Program& p, const Weights<T>& w, const int64_t* rows, const T* hidden, T* sums) {
  long D = p.D, H = p.H, last = p.K - 1;
  product(hidden, H, w.Wo + last * H * D, D, Origin<T>(sums, D), sums, D, p.nodes, H, D);
  if (!w.bo) return;
  for_rows(p, rows, [&](long node, long edges) {
    for (long j = 0; j < D; j += LANES<T>) at(sums + node * D + j) += T(edges) * at(w.bo + last * D + j);
  });
}

// What the gradients of the sums [nodes, D] say of Wo and bo.
template <class T>
void map_sums_back(const Program& p, const int64_t* rows, const T* hidden, const T* grads, const Gradients<T>& d) {
  long D = p.D, H = p.H, last = p.K - 1;
  if (d.Wo) outer(hidden, H, grads, D, d.Wo + last * H * D, D, p.nodes, H, D);
  if (!d.bo) return;
  for_rows(p, rows, [&](long node, long edges) {
    for (long j = 0; j < D; j += LANES<T>) at(d.bo + last * D + j) += T(edges) * at(grads + node * D + j);
  });
}
