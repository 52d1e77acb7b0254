"""The forward sweep over the edges in Triton: e_K, and the statistics of the messages of each piece."""

# Kernels are Triton's language, of which a type checker knows the syntax only.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from graphs.kernels.sweep.gpu_reduce import highest, put, sums
from graphs.kernels.sweep.gpu_tile import before_act, encode, locate, message, scatter, update


@triton.jit(do_not_specialize=["number", "sources", "nodes"])
def forward_kernel(t, p, edges, out, part, number, sources, nodes, S: tl.constexpr):
    """For groups of pieces p: write e_K to ``edges``, statistics to ``out`` or ``part`` (see put)."""
    K: tl.constexpr = S.K
    for group in range(tl.program_id(0), tl.cdiv(number, S.rows), tl.num_programs(0)):
        edge, source, target, valid = locate(group, p, number, S)
        old = encode(t, edge, valid, S)
        new = old
        for k in tl.static_range(K):
            z, new = update(t, k, new, source, target, valid, sources, nodes, S)
        if S.keep:
            scatter(edges, edge, valid, new, S.D, S.DP)
        if S.reduces:
            _, _, z = before_act(t, old if S.old else new, source, target, valid, S)
            reduce(message(z, S), valid, out, part, group, p, number, S)


@triton.jit
def reduce(m, valid, out, part, group, p, number, S: tl.constexpr):
    """The statistics of messages m, and for max and min how many attain them."""
    if S.sum:
        put(out.sum, part.sum, sums(m, valid, S.GP, S), group, p, number, S.G, S.GP, S)
    if S.square:
        put(out.square, part.square, sums(m * m, valid, S.GP, S), group, p, number, S.G, S.GP, S)
    one = tl.full([S.T, S.GP], 1.0, S.dtype)
    if S.max:
        top, ties = highest(m, one, valid, S.GP, 1, S)
        put(out.max, part.max, top, group, p, number, S.G, S.GP, S)
        put(out.max_ties, part.max_ties, ties, group, p, number, S.G, S.GP, S)
    if S.min:
        top, ties = highest(m, one, valid, S.GP, -1, S)
        put(out.min, part.min, top, group, p, number, S.G, S.GP, S)
        put(out.min_ties, part.min_ties, ties, group, p, number, S.G, S.GP, S)
