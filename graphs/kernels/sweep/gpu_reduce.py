"""From a tile of values to one result a piece, and from the pieces of a node to the node; in a fixed order."""

# Kernels are Triton's language, of which a type checker knows the syntax only.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from graphs.kernels.sweep.gpu_tile import scatter


@triton.jit
def sums(value, valid, PADDED: tl.constexpr, S: tl.constexpr):
    """Sum of each piece ``[rows, PADDED]`` of values ``[T, PADDED]``."""
    return tl.sum(tl.reshape(tl.where(valid[:, None], value, 0.0), [S.rows, S.W, PADDED]), axis=1)


@triton.jit
def highest(value, weight, valid, PADDED: tl.constexpr, SIGN: tl.constexpr, S: tl.constexpr):
    """Maximum (minimum with SIGN -1) of each piece, NaN where a value is, and the weight of what attains it.

    A piece without edges has 0, and nothing attains it.
    """
    there = tl.reshape(valid[:, None] & (tl.zeros([S.T, PADDED], tl.int32) == 0), [S.rows, S.W, PADDED])
    tile = tl.reshape(value * SIGN, [S.rows, S.W, PADDED])
    weight = tl.reshape(weight, [S.rows, S.W, PADDED])
    top = tl.max(tl.where(there, tile, float("-inf")), axis=1)
    # Maxima of Triton pass over NaN.
    top = tl.where(tl.max((there & (tile != tile)).to(tl.int32), axis=1) > 0, float("nan"), top)
    top = tl.where(tl.max(there.to(tl.int32), axis=1) > 0, top, 0.0)
    ties = tl.sum(tl.where(there & (tile == tl.expand_dims(top, 1)), weight, 0.0), axis=1)
    return top * SIGN, ties


@triton.jit
def put(out, part, value, group, p, number, WIDTH: tl.constexpr, PADDED: tl.constexpr, S: tl.constexpr):
    """Write the results of a group of pieces: to their nodes, or among the partial results."""
    piece = group * S.rows + tl.arange(0, S.rows)
    known = piece < number
    slot = tl.load(p.slot + piece, mask=known, other=0).to(tl.int64)
    node = tl.load(p.node + piece, mask=known, other=0).to(tl.int64)
    scatter(out, node, known & (slot < 0), value, WIDTH, PADDED)
    scatter(part, slot, known & (slot >= 0), value, WIDTH, PADDED)


@triton.jit(do_not_specialize=["number", "rows_in", "rows_out", "rows_part"])
def combine(
    value, ties, out, out_ties, part, part_ties, p, number, rows_in, rows_out, rows_part,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, SIGN: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Reduce partial results ``[*, rows_in, WIDTH]`` to ``[*, rows_out, WIDTH]``, or to fewer partial results.

    By sum (SIGN 0), maximum (1) or minimum (-1).
    """
    k = tl.program_id(1).to(tl.int64) * WIDTH
    value, out, part = value + k * rows_in, out + k * rows_out, part + k * rows_part
    place, f = tl.arange(0, S.T), tl.arange(0, PADDED)[None, :]
    for group in range(tl.program_id(0), tl.cdiv(number, S.rows), tl.num_programs(0)):
        piece = group * S.rows + place // S.W
        valid = place % S.W < tl.load(p.count + piece, mask=piece < number, other=0)
        at = (tl.load(p.first + piece, mask=piece < number, other=0) + place % S.W)[:, None] * WIDTH + f
        mask = valid[:, None] & (f < WIDTH)
        x = tl.load(value + at, mask=mask, other=0.0)
        if SIGN == 0:
            put(out, part, sums(x, valid, PADDED, S), group, p, number, WIDTH, PADDED, S)
        else:
            weight = tl.load(ties + at, mask=mask, other=0.0)
            top, tied = highest(x, weight, valid, PADDED, SIGN, S)
            put(out, part, top, group, p, number, WIDTH, PADDED, S)
            put(out_ties, part_ties, tied, group, p, number, WIDTH, PADDED, S)
