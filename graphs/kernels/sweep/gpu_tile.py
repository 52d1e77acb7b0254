"""What happens to the edges of one tile: found, encoded, updated, read by a message; the same in every kernel."""

# Kernels are Triton's language, of which a type checker knows the syntax only.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

# Forward and backward call these same functions: the gradients of max and min rely on messages of equal bits.


@triton.jit
def locate(group, p, number, S: tl.constexpr):
    """Edge, source and destination of the T places of a group of pieces, and whether there is an edge."""
    place = tl.arange(0, S.T)
    piece = group * S.rows + place // S.W
    known = piece < number
    within = (place % S.W).to(tl.int64)
    valid = within < tl.load(p.count + piece, mask=known, other=0)
    first = tl.load(p.first + piece, mask=known, other=0)
    other = tl.load(p.other + piece, mask=known, other=0) + within
    node = tl.load(p.node + piece, mask=known, other=0).to(tl.int64)
    if S.order == "rows":
        edge, source, target = first + within, other, node
        if p.ends is not None:
            source = tl.load(p.ends + edge, mask=valid, other=0)
    elif S.order == "columns":
        edge, source = first + within * tl.load(p.stride + piece, mask=known, other=0), node
        target = tl.load(p.ends + other, mask=valid, other=0)
    else:
        edge, end = tl.load(p.edges + other, mask=valid, other=0), tl.load(p.ends + other, mask=valid, other=0)
        source, target = (end, node) if S.into else (node, end)
    return edge, source, target, valid


@triton.jit
def gather(pointer, index, valid, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Rows ``index`` of a ``[*, WIDTH]`` tensor, 0 outside."""
    f = tl.arange(0, PADDED)[None, :]
    return tl.load(pointer + index[:, None] * WIDTH + f, mask=valid[:, None] & (f < WIDTH), other=0.0)


@triton.jit
def scatter(pointer, index, valid, value, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Write the rows ``index`` of a ``[*, WIDTH]`` tensor."""
    f = tl.arange(0, PADDED)[None, :]
    tl.store(pointer + index[:, None] * WIDTH + f, value, mask=valid[:, None] & (f < WIDTH))


@triton.jit
def vector(pointer, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    f = tl.arange(0, PADDED)[None, :]
    return tl.load(pointer + f, mask=f < WIDTH, other=0.0)


@triton.jit
def matrix(pointer, STRIDE: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, C: tl.constexpr, CP: tl.constexpr):
    """The ``[R, C]`` matrix at a pointer, rows ``STRIDE`` apart, padded with 0."""
    r, c = tl.arange(0, RP)[:, None], tl.arange(0, CP)[None, :]
    return tl.load(pointer + r * STRIDE + c, mask=(r < R) & (c < C), other=0.0)


@triton.jit
def transposed(pointer, STRIDE: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, C: tl.constexpr, CP: tl.constexpr):
    """The transpose ``[C, R]`` of :func:`matrix`."""
    r, c = tl.arange(0, RP)[None, :], tl.arange(0, CP)[:, None]
    return tl.load(pointer + r * STRIDE + c, mask=(r < R) & (c < C), other=0.0)


@triton.jit
def dot(a, b, S: tl.constexpr):
    """Matrix product, summed in the dtype of the sweep.

    Wide products in "ieee" would not fit the registers: these are made of three TF32 products, which keep all but the
    last two bits of a float32.
    """
    if S.double:
        return tl.dot(a, b, out_dtype=tl.float64)
    elif S.precision == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), out_dtype=tl.float32)
    else:
        return tl.dot(a, b, input_precision=S.product, out_dtype=tl.float32)


@triton.jit
def tanh(x):
    small = tl.exp(-2 * tl.abs(x))
    return tl.where(x < 0, small - 1, 1 - small) / (1 + small)


@triton.jit
def activated(x, ACT: tl.constexpr):
    if ACT == "relu":
        # A comparison that NaN fails, so that NaN stays.
        x = tl.where(x < 0, 0.0, x)
    elif ACT == "silu":
        x = x * tl.sigmoid(x)
    elif ACT == "gelu":
        x = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif ACT == "tanh":
        x = tanh(x)
    elif ACT == "sigmoid":
        x = tl.sigmoid(x)
    return x


@triton.jit
def through(g, x, ACT: tl.constexpr):
    """The gradient ``g`` of ``activated(x)``, as a gradient of x."""
    if ACT == "relu":
        # All bits of g where x > 0 or is NaN, else none. Not a choice by a mask: Triton 3.9 fails for sm_100 when it
        # lays out masks for a product.
        kind: tl.constexpr = tl.int64 if g.dtype == tl.float64 else tl.int32
        sign: tl.constexpr = 63 if g.dtype == tl.float64 else 31
        bits = x.to(kind, bitcast=True)
        g = (g.to(kind, bitcast=True) & ~(bits >> sign) & (-bits >> sign)).to(g.dtype, bitcast=True)
    elif ACT == "silu":
        s = tl.sigmoid(x)
        g = g * s * (1 + x * (1 - s))
    elif ACT == "gelu":
        normal = 0.5 * (1 + tl.erf(x * 0.7071067811865476))
        g = g * (normal + x * tl.exp(-0.5 * x * x) * 0.3989422804014327)
    elif ACT == "tanh":
        y = tanh(x)
        g = g * (1 - y * y)
    elif ACT == "sigmoid":
        s = tl.sigmoid(x)
        g = g * s * (1 - s)
    return g


@triton.jit
def encode(t, edge, valid, S: tl.constexpr):
    """e_0."""
    if S.encoded:
        e = tl.zeros([S.T, S.DP], S.dtype) + vector(t.enc_b, S.D, S.DP)
        for c in range(S.C):
            w = tl.load(t.e + edge * S.C + c, mask=valid, other=0.0).to(S.dtype)
            e += w[:, None] * vector(t.enc_a + c * S.D, S.D, S.DP)
        return activated(e, "relu")
    else:
        return gather(t.e, edge, valid, S.D, S.DP).to(S.dtype)


@triton.jit
def update(t, k, e, source, target, valid, sources, nodes, S: tl.constexpr):
    """z_k and e_{k+1}. Offsets of update k are int64."""
    z = dot(e, matrix(t.Wu + k * S.D * S.H, S.H, S.D, S.DP, S.H, S.HP), S)
    if t.bu is not None:
        z += vector(t.bu + k * S.H, S.H, S.HP)
    if t.U is not None:
        z += gather(t.U + sources.to(tl.int64) * (k * S.H), source, valid, S.H, S.HP)
    if t.V is not None:
        z += gather(t.V + nodes.to(tl.int64) * (k * S.H), target, valid, S.H, S.HP)
    h = activated(z, S.update_act)
    if t.Wo is not None:
        h = dot(h, matrix(t.Wo + k * S.H * S.D, S.D, S.H, S.HP, S.D, S.DP), S)
        if t.bo is not None:
            h += vector(t.bo + k * S.D, S.D, S.DP)
    if S.residual:
        h += e
    return z, h


@triton.jit
def before_act(t, r, source, target, valid, S: tl.constexpr):
    """P[j] + Q[i], r We + be (s of film), and what the activation of the message is given."""
    if S.message == "edge":
        return r, r, r
    else:
        pair = tl.zeros([S.T, S.GP], S.dtype)
        if t.P is not None:
            pair += gather(t.P, source, valid, S.G, S.GP)
        if t.Q is not None:
            pair += gather(t.Q, target, valid, S.G, S.GP)
        linear = r
        if t.We is not None:
            linear = dot(r, matrix(t.We, S.GW, S.D, S.DP, S.G, S.GP), S)
        if t.be is not None:
            linear += vector(t.be, S.G, S.GP)
        z = linear + pair if S.message == "add" else linear * pair
        if S.message == "film":
            z += dot(r, matrix(t.We + S.G, S.GW, S.D, S.DP, S.G, S.GP), S)
            if t.be is not None:
                z += vector(t.be + S.G, S.G, S.GP)
        return pair, linear, z


@triton.jit
def message(z, S: tl.constexpr):
    if S.message == "edge":
        return z
    else:
        return activated(z, S.act)
