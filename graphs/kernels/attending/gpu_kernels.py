"""Attention over the edges in Triton: a destination (or source) and a head a program, a tile of edges at a time."""

from __future__ import annotations

# A constexpr has the attributes of what it holds.
# pyright: reportAttributeAccessIssue=false
import triton
import triton.language as tl


@triton.jit
def edges_of_row(first, first_source, count, col, r, t, S: tl.constexpr):
    """Edges t .. t + T of row r, their sources, and which of them there are."""
    place = t + tl.arange(0, S.T)
    valid = place < tl.load(count + r)
    edge, source = tl.load(first + r) + place, tl.load(first_source + r) + place
    if col is not None:
        source = tl.load(col + edge, mask=valid, other=0)
    return edge, source, valid


@triton.jit
def rows_of(pointer, index, valid, h, S: tl.constexpr):
    """The channels of head h in the rows ``index`` of a ``[*, A]`` tensor, 0 outside."""
    c = tl.arange(0, S.CP)[None, :]
    return tl.load(pointer + index[:, None] * S.A + h * S.C + c, mask=valid[:, None] & (c < S.C), other=0.0)


@triton.jit
def row_of(pointer, i, h, S: tl.constexpr):
    """The channels of head h of node i, ``[1, CP]``."""
    c = tl.arange(0, S.CP)[None, :]
    return tl.load(pointer + i * S.A + h * S.C + c, mask=c < S.C, other=0.0)


@triton.jit
def states_of(e, edge, valid, S: tl.constexpr):
    """States of edges ``[T, DP]`` in the dtype of sums; of one column where there are none."""
    if e is None:
        return tl.zeros([S.T, 1], S.dtype)
    else:
        d = tl.arange(0, S.DP)[None, :]
        return tl.load(e + edge[:, None] * S.D + d, mask=valid[:, None] & (d < S.D), other=0.0).to(S.dtype)


@triton.jit
def part_of_map(We, part, h, S: tl.constexpr):
    """The columns of We for head h of q (part 0), k (1), m (2) or v (3), ``[DP, CP]``."""
    d, c = tl.arange(0, S.DP)[:, None], tl.arange(0, S.CP)[None, :]
    place = d * (4 * S.A) + part * S.A + h * S.C + c
    return tl.load(We + place, mask=(d < S.D) & (c < S.C), other=0.0)


@triton.jit
def dot(a, b, S: tl.constexpr):
    return tl.dot(a, b, input_precision=S.precision, out_dtype=S.dtype)


@triton.jit
def mapped(states, We, bias, part, h, S: tl.constexpr):
    """What the map makes of edge states for one part and head, ``[T, CP]``."""
    z = dot(states, part_of_map(We, part, h, S), S)
    if bias is not None:
        c = tl.arange(0, S.CP)[None, :]
        z += tl.load(bias + part * S.A + h * S.C + c, mask=c < S.C, other=0.0)
    return z


@triton.jit
def modulated(q, k, v, states, We, bias, h, S: tl.constexpr):
    """Query, key, factor and value of edges, from rows of q, k and v."""
    if We is None:
        one = tl.full([S.T, S.CP], 1.0, S.dtype)
        return q * one, k * one, one, v * one
    else:
        m = mapped(states, We, bias, 2, h, S)
        query, key = q + mapped(states, We, bias, 0, h, S), k + mapped(states, We, bias, 1, h, S)
        return query, key, m, v * m + mapped(states, We, bias, 3, h, S)


@triton.jit
def forward_kernel(
    q, k, v, e, We, bias, start, first, first_source, count, col, out, lse, scale, S: tl.constexpr
):  # fmt: skip
    """Output and log of the sum of the weights of one destination and head: a running maximum, sum and mean."""
    i, h = (tl.program_id(0) // S.H).to(tl.int64), tl.program_id(0) % S.H
    query_of_node = row_of(q, i, h, S)
    most, total = tl.full([1], float("-inf"), S.dtype), tl.zeros([1], S.dtype)
    values = tl.zeros([S.CP], S.dtype)
    for r in range(tl.load(start + i), tl.load(start + i + 1)):
        for t in range(0, tl.load(count + r), S.T):
            edge, source, valid = edges_of_row(first, first_source, count, col, r, t, S)
            states = states_of(e, edge, valid, S)
            keys, others = rows_of(k, source, valid, h, S), rows_of(v, source, valid, h, S)
            query, key, _, value = modulated(query_of_node, keys, others, states, We, bias, h, S)
            s = tl.where(valid, tl.sum(query * key, axis=1) * scale, float("-inf"))
            largest = tl.maximum(most, tl.max(s, axis=0))
            # A score of -inf has the weight 0 as long as there is any other.
            base = tl.where(largest == float("-inf"), 0.0, largest)
            p = tl.where(valid, tl.exp(s - base), 0.0)
            shrink = tl.exp(most - base)
            total = total * shrink + tl.sum(p, axis=0)
            values = values * shrink + tl.sum(p[:, None] * tl.where(valid[:, None], value, 0.0), axis=0)
            most = largest
    c = tl.arange(0, S.CP)
    # A destination without edges keeps 0.
    total = tl.where(tl.load(start + i + 1) > tl.load(start + i), total, 1.0)
    tl.store(out + i * S.A + h * S.C + c, values / total, mask=c < S.C)
    tl.store(lse + i * S.H + h + tl.arange(0, 1), most + tl.log(total))


@triton.jit
def differentiated(query, key, m, value, v, g, lse, delta, valid, scale, S: tl.constexpr):
    """Gradients of the mapped states of edges for q, k, m and v, and of v_j."""
    p = tl.where(valid, tl.exp(tl.sum(query * key, axis=1) * scale - lse), 0.0)
    ds = tl.where(valid, p * (tl.sum(g * value, axis=1) - delta) * scale, 0.0)
    weighted = p[:, None] * g
    return ds[:, None] * key, ds[:, None] * query, weighted * v, weighted, weighted * m


@triton.jit
def of_destinations(
    q, k, v, e, We, bias, start, first, first_source, count, col, g, lse, delta, dq, dWe, dbias, scale, nodes,
    S: tl.constexpr,
):  # fmt: skip
    """Gradients of q for one head and every ``programs``-th destination; of the map, partial sums a program."""
    program, h = (tl.program_id(0) // S.H).to(tl.int64), tl.program_id(0) % S.H
    d_map = tl.zeros([S.DP, S.CP], S.dtype)
    wq, wk, wm, wv = d_map, d_map, d_map, d_map
    nothing = tl.zeros([S.CP], S.dtype)
    bq, bk, bm, bv = nothing, nothing, nothing, nothing
    c = tl.arange(0, S.CP)
    for i in range(program, nodes, tl.num_programs(0) // S.H):
        query_of_node, grad = row_of(q, i, h, S), row_of(g, i, h, S)
        log, mean = tl.load(lse + i * S.H + h), tl.load(delta + i * S.H + h)
        d_query = tl.zeros([S.CP], S.dtype)
        for r in range(tl.load(start + i), tl.load(start + i + 1)):
            for t in range(0, tl.load(count + r), S.T):
                edge, source, valid = edges_of_row(first, first_source, count, col, r, t, S)
                states = states_of(e, edge, valid, S)
                keys, others = rows_of(k, source, valid, h, S), rows_of(v, source, valid, h, S)
                query, key, m, value = modulated(query_of_node, keys, others, states, We, bias, h, S)
                zq, zk, zm, zv, _ = differentiated(query, key, m, value, others, grad, log, mean, valid, scale, S)
                d_query += tl.sum(zq, axis=0)
                if dWe is not None:
                    turned = tl.trans(states)
                    wq, wk = wq + dot(turned, zq, S), wk + dot(turned, zk, S)
                    wm, wv = wm + dot(turned, zm, S), wv + dot(turned, zv, S)
                if dbias is not None:
                    bq, bk = bq + tl.sum(zq, axis=0), bk + tl.sum(zk, axis=0)
                    bm, bv = bm + tl.sum(zm, axis=0), bv + tl.sum(zv, axis=0)
        tl.store(dq + i * S.A + h * S.C + c, d_query, mask=c < S.C)
    if dWe is not None:
        put_map(dWe, program, 0, h, wq, S)
        put_map(dWe, program, 1, h, wk, S)
        put_map(dWe, program, 2, h, wm, S)
        put_map(dWe, program, 3, h, wv, S)
    if dbias is not None:
        at = dbias + program * (4 * S.A) + h * S.C + c
        tl.store(at, bq, mask=c < S.C)
        tl.store(at + S.A, bk, mask=c < S.C)
        tl.store(at + 2 * S.A, bm, mask=c < S.C)
        tl.store(at + 3 * S.A, bv, mask=c < S.C)


@triton.jit
def put_map(dWe, program, part, h, value, S: tl.constexpr):
    d, c = tl.arange(0, S.DP)[:, None], tl.arange(0, S.CP)[None, :]
    place = (program * S.D + d) * (4 * S.A) + part * S.A + h * S.C + c
    tl.store(dWe + place, value, mask=(d < S.D) & (c < S.C))


@triton.jit
def of_edges(
    q, k, v, e, We, bias, start, first, first_source, count, col, g, lse, delta, de, scale, S: tl.constexpr
):  # fmt: skip
    """Gradients of the states of the edges into one destination, which all heads add to."""
    i = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, S.DP)[None, :]
    for r in range(tl.load(start + i), tl.load(start + i + 1)):
        for t in range(0, tl.load(count + r), S.T):
            edge, source, valid = edges_of_row(first, first_source, count, col, r, t, S)
            states, d_states = states_of(e, edge, valid, S), tl.zeros([S.T, S.DP], S.dtype)
            for h in range(S.H):
                keys, others, grad = (
                    rows_of(k, source, valid, h, S),
                    rows_of(v, source, valid, h, S),
                    row_of(g, i, h, S),
                )
                query, key, m, value = modulated(row_of(q, i, h, S), keys, others, states, We, bias, h, S)
                log, mean = tl.load(lse + i * S.H + h), tl.load(delta + i * S.H + h)
                zq, zk, zm, zv, _ = differentiated(query, key, m, value, others, grad, log, mean, valid, scale, S)
                d_states += dot(zq, tl.trans(part_of_map(We, 0, h, S)), S)
                d_states += dot(zk, tl.trans(part_of_map(We, 1, h, S)), S)
                d_states += dot(zm, tl.trans(part_of_map(We, 2, h, S)), S)
                d_states += dot(zv, tl.trans(part_of_map(We, 3, h, S)), S)
            tl.store(de + edge[:, None] * S.D + d, d_states, mask=valid[:, None] & (d < S.D))


@triton.jit
def of_sources(
    q, k, v, e, We, bias, start, edges, targets, g, lse, delta, dk, dv, scale, S: tl.constexpr
):  # fmt: skip
    """Gradients of k and v of one source and head; its edges are ``edges[start[j]] ..``."""
    j, h = (tl.program_id(0) // S.H).to(tl.int64), tl.program_id(0) % S.H
    key_of_node, value_of_node = row_of(k, j, h, S), row_of(v, j, h, S)
    d_key, d_value = tl.zeros([S.CP], S.dtype), tl.zeros([S.CP], S.dtype)
    last = tl.load(start + j + 1)
    for t in range(tl.load(start + j), last, S.T):
        place = t + tl.arange(0, S.T)
        valid = place < last
        edge, target = tl.load(edges + place, mask=valid, other=0), tl.load(targets + place, mask=valid, other=0)
        states = states_of(e, edge, valid, S)
        queries, grad = rows_of(q, target, valid, h, S), rows_of(g, target, valid, h, S)
        query, key, m, value = modulated(queries, key_of_node, value_of_node, states, We, bias, h, S)
        log = tl.load(lse + target * S.H + h, mask=valid, other=0.0)
        mean = tl.load(delta + target * S.H + h, mask=valid, other=0.0)
        _, zk, _, _, of_value = differentiated(query, key, m, value, value_of_node, grad, log, mean, valid, scale, S)
        d_key += tl.sum(zk, axis=0)
        d_value += tl.sum(of_value, axis=0)
    c = tl.arange(0, S.CP)
    tl.store(dk + j * S.A + h * S.C + c, d_key, mask=c < S.C)
    tl.store(dv + j * S.A + h * S.C + c, d_value, mask=c < S.C)


@triton.jit
def softmax_kernel(x, g, start, first, count, out, S: tl.constexpr):
    """Softmax of a block of columns over the edges into one destination; given g, the gradient of what x is it of."""
    i = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * S.CP + tl.arange(0, S.CP)[None, :]
    most, total = tl.full([S.CP], float("-inf"), S.dtype), tl.zeros([S.CP], S.dtype)
    for r in range(tl.load(start + i), tl.load(start + i + 1)):
        for t in range(0, tl.load(count + r), S.T):
            place = t + tl.arange(0, S.T)[:, None]
            mask, at = (place < tl.load(count + r)) & (c < S.A), (tl.load(first + r) + place) * S.A + c
            if g is None:
                value = tl.load(x + at, mask=mask, other=float("-inf")).to(S.dtype)
                largest = tl.maximum(most, tl.max(value, axis=0))
                base = tl.where(largest == float("-inf"), 0.0, largest)
                p = tl.where(mask, tl.exp(value - base[None, :]), 0.0)
                total, most = total * tl.exp(most - base) + tl.sum(p, axis=0), largest
            else:
                value = tl.load(x + at, mask=mask, other=0.0).to(S.dtype)
                total += tl.sum(value * tl.load(g + at, mask=mask, other=0.0).to(S.dtype), axis=0)
    for r in range(tl.load(start + i), tl.load(start + i + 1)):
        for t in range(0, tl.load(count + r), S.T):
            place = t + tl.arange(0, S.T)[:, None]
            mask, at = (place < tl.load(count + r)) & (c < S.A), (tl.load(first + r) + place) * S.A + c
            value = tl.load(x + at, mask=mask, other=0.0).to(S.dtype)
            if g is None:
                value = tl.exp(value - most[None, :]) / total[None, :]
            else:
                value *= tl.load(g + at, mask=mask, other=0.0).to(S.dtype) - total[None, :]
            tl.store(out + at, value, mask=mask)
