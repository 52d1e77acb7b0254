"""The backward sweep over the edges in Triton: what the edges were is recomputed, what they were given is returned."""

# Kernels are Triton's language, of which a type checker knows the syntax only.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

from collections import namedtuple

import triton
import triton.language as tl

from graphs.kernels.sweep.gpu_reduce import put, sums
from graphs.kernels.sweep.gpu_tile import (
    activated,
    before_act,
    dot,
    encode,
    gather,
    locate,
    message,
    scatter,
    through,
    transposed,
    update,
    vector,
)

# Where gradients go: those of the nodes at which the pieces meet (of P and U, or of Q and V), and of the edges.
Gradients = namedtuple("Gradients", ["e", "message", "message_part", "update", "update_part"])
# Partial sums of the gradients of weights, a row a program.
Weights = namedtuple("Weights", ["enc_a", "enc_b", "Wu", "bu", "Wo", "bo", "We", "be"])


@triton.jit(do_not_specialize=["number", "sources", "nodes", "slots", "first_program"])
def backward_kernel(
    t, p, found, given, given_edges, out, weights, slots, first_program, number, sources, nodes, S: tl.constexpr
):  # fmt: skip
    """Gradients of the groups of pieces p: written once an edge, once a piece, once a program."""
    K: tl.constexpr = S.K
    program = tl.program_id(0) + first_program
    sum_we, sum_be = nothing(weights.We, S.DP, S.GP, S), nothing(weights.be, 1, S.GP, S)
    sum_wt, sum_bt = sum_we, sum_be
    sum_a, sum_b = nothing(weights.enc_a, S.CP, S.DP, S), nothing(weights.enc_b, 1, S.DP, S)
    sums_u = ()
    # Triton knows no starred tuples.
    # ruff: noqa: RUF005
    for _ in tl.static_range(K):
        sums_u = sums_u + (no_update(weights, S),)
    for group in range(tl.program_id(0), tl.cdiv(number, S.rows), tl.num_programs(0)):
        edge, source, target, valid = locate(group, p, number, S)
        old = encode(t, edge, valid, S)
        states, befores, new = (old,), (), old
        for k in tl.static_range(K):
            z, new = update(t, k, new, source, target, valid, sources, nodes, S)
            states, befores = states + (new,), befores + (z,)
        late = tl.zeros([S.T, S.DP], S.dtype)
        if S.reduces:
            r = old if S.old else new
            pair, linear, z = before_act(t, r, source, target, valid, S)
            dm = of_statistics(message(z, S), target, valid, found, given, S)
            dpair, ds, dt, dr = of_message(t, pair, linear, z, dm, S)
            if out.message is not None:
                put(out.message, out.message_part, sums(dpair, valid, S.GP, S), group, p, number, S.G, S.GP, S)
            sum_we, sum_be = with_outer(sum_we, r, ds, weights.We, S), with_rows(sum_be, ds, weights.be)
            if S.message == "film":
                sum_wt, sum_bt = with_outer(sum_wt, r, dt, weights.We, S), with_rows(sum_bt, dt, weights.be)
            late = dr
        d = late
        if S.old:
            d = tl.zeros([S.T, S.DP], S.dtype)
        if given_edges is not None:
            # Read as late as possible: registers are what the kernel has least of.
            given_e = gather(given_edges, edge, valid, S.D, S.DP).to(S.dtype)
            d = given_e if S.old else d + given_e
        newer = ()
        for k in tl.static_range(K - 1, -1, -1):
            dz, d, grown = of_update(t, k, states[k], befores[k], d, weights, sums_u[k], S)
            newer = (grown,) + newer
            if out.update is not None:
                at, part = (
                    out.update + nodes_of(sources, nodes, S) * (k * S.H),
                    out.update_part + slots.to(tl.int64) * (k * S.H),
                )
                put(at, part, sums(dz, valid, S.HP, S), group, p, number, S.H, S.HP, S)
        sums_u = newer
        if S.old:
            d += late
        if S.encoded:
            d = through(d, old, "relu")
            raw = gather(t.e, edge, valid, S.C, S.CP).to(S.dtype)
            sum_a, sum_b = with_outer(sum_a, raw, d, weights.enc_a, S), with_rows(sum_b, d, weights.enc_b)
            if out.e is not None:
                of_raw_weights(t, edge, valid, d, out, S)
        elif out.e is not None:
            scatter(out.e, edge, valid, d, S.D, S.DP)
    store(weights.We, sum_we, program, 0, S.GW, S.D, S.DP, S.G, S.GP, S)
    store(weights.be, sum_be, program, 0, S.GW, 1, 1, S.G, S.GP, S)
    if S.message == "film":
        store(weights.We, sum_wt, program, S.G, S.GW, S.D, S.DP, S.G, S.GP, S)
        store(weights.be, sum_bt, program, S.G, S.GW, 1, 1, S.G, S.GP, S)
    store(weights.enc_a, sum_a, program, 0, S.D, S.C, S.CP, S.D, S.DP, S)
    store(weights.enc_b, sum_b, program, 0, S.D, 1, 1, S.D, S.DP, S)
    for k in tl.static_range(K):
        wu, bu, wo, bo = sums_u[k]
        row = program * S.K + k
        store(weights.Wu, wu, row, 0, S.H, S.D, S.DP, S.H, S.HP, S)
        store(weights.bu, bu, row, 0, S.H, 1, 1, S.H, S.HP, S)
        store(weights.Wo, wo, row, 0, S.D, S.H, S.HP, S.D, S.DP, S)
        store(weights.bo, bo, row, 0, S.D, 1, 1, S.D, S.DP, S)


@triton.jit
def nodes_of(sources, nodes, S: tl.constexpr):
    """How many nodes the pieces meet in, int64."""
    return (nodes if S.into else sources).to(tl.int64)


@triton.jit
def of_statistics(m, target, valid, found, given, S: tl.constexpr):
    """Gradient of the messages: that of max and min in even parts to those that attain it."""
    g = tl.zeros([S.T, S.GP], S.dtype)
    if S.sum:
        g += gather(given.sum, target, valid, S.G, S.GP)
    if S.square:
        g += 2 * m * gather(given.square, target, valid, S.G, S.GP)
    if S.max:
        g += of_extreme(m, target, valid, found.max, found.max_ties, given.max, S)
    if S.min:
        g += of_extreme(m, target, valid, found.min, found.min_ties, given.min, S)
    return g


@triton.jit
def of_extreme(m, target, valid, top, ties, given, S: tl.constexpr):
    attains = valid[:, None] & (m == gather(top, target, valid, S.G, S.GP))
    number = gather(ties, target, valid, S.G, S.GP)
    share = gather(given, target, valid, S.G, S.GP) / tl.where(number > 1, number, 1.0)
    return tl.where(attains, share, 0.0)


@triton.jit
def of_message(t, pair, linear, z, dm, S: tl.constexpr):
    """Gradients of P[j] + Q[i], of r We + be (two parts for film) and of r."""
    if S.message == "edge":
        return dm, dm, dm, dm
    else:
        dz = through(dm, z, S.act)
        if S.message == "add":
            dpair, ds = dz, dz
        else:
            dpair, ds = dz * linear, dz * pair
        dr = ds
        if t.We is not None:
            dr = dot(ds, transposed(t.We, S.GW, S.D, S.DP, S.G, S.GP), S)
        if S.message == "film":
            dr += dot(dz, transposed(t.We + S.G, S.GW, S.D, S.DP, S.G, S.GP), S)
        return dpair, ds, dz, dr


@triton.jit
def of_update(t, k, e, z, d, weights, so_far, S: tl.constexpr):
    """From the gradient d of e_{k+1} those of z_k and e_k, and the sums of the weights with theirs added."""
    wu, bu, wo, bo = so_far
    dh = d
    if t.Wo is not None:
        dh = dot(d, transposed(t.Wo + k * S.H * S.D, S.D, S.H, S.HP, S.D, S.DP), S)
        wo, bo = with_outer(wo, activated(z, S.update_act), d, weights.Wo, S), with_rows(bo, d, weights.bo)
    dz = through(dh, z, S.update_act)
    wu, bu = with_outer(wu, e, dz, weights.Wu, S), with_rows(bu, dz, weights.bu)
    before = dot(dz, transposed(t.Wu + k * S.D * S.H, S.H, S.D, S.DP, S.H, S.HP), S)
    if S.residual:
        before += d
    return dz, before, (wu, bu, wo, bo)


@triton.jit
def of_raw_weights(t, edge, valid, d, out, S: tl.constexpr):
    """Write the gradients of the raw weights, from that of the encoder's preactivation."""
    for c in range(S.C):
        dw = tl.sum(d * vector(t.enc_a + c * S.D, S.D, S.DP), axis=1)
        tl.store(out.e + edge * S.C + c, dw, mask=valid)


# ---- sums of the gradients of weights, in registers


@triton.jit
def nothing(pointer, R: tl.constexpr, C: tl.constexpr, S: tl.constexpr):
    """A sum of 0, of one number where there is nothing to sum."""
    if pointer is None:
        return tl.zeros([1, 1], S.dtype)
    else:
        return tl.zeros([R, C], S.dtype)


@triton.jit
def no_update(weights, S: tl.constexpr):
    wu, bu = nothing(weights.Wu, S.DP, S.HP, S), nothing(weights.bu, 1, S.HP, S)
    return wu, bu, nothing(weights.Wo, S.HP, S.DP, S), nothing(weights.bo, 1, S.DP, S)


@triton.jit
def with_outer(so_far, x, g, pointer, S: tl.constexpr):
    """``so_far + x^T g``."""
    if pointer is None:
        return so_far
    else:
        return so_far + dot(tl.trans(x), g, S)


@triton.jit
def with_rows(so_far, g, pointer):
    """``so_far`` plus the sum of the rows of g."""
    if pointer is None:
        return so_far
    else:
        return so_far + tl.sum(g, axis=0)[None, :]


@triton.jit
def store(
    pointer, value, row, FIRST: tl.constexpr, STRIDE: tl.constexpr, R: tl.constexpr, RP: tl.constexpr,
    C: tl.constexpr, CP: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Write a ``[R, C]`` sum into row ``row`` of ``[*, R, STRIDE]``, from column FIRST on."""
    if pointer is not None:
        r, c = tl.arange(0, RP)[:, None], tl.arange(0, CP)[None, :]
        tl.store(pointer + (row * R + r) * STRIDE + FIRST + c, value, mask=(r < R) & (c < C))
