"""The primitives of a cell as the layers they run, without torch; beside :mod:`graphs.deepnets.operations`."""

from __future__ import annotations

from collections.abc import Callable

from graphs.deepnets.layers import Layers, Place, Value
from graphs.deepnets.plan import HEADS


def conv_norm(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    tell.idle(2)
    x = tell.relu(x)
    return tell.norm(f"{path}.op.2", tell.square(f"{path}.op.1", x, out, kernel, stride, kernel // 2))


def conv_twice(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    tell.idle(2)
    pad = kernel // 2
    x = tell.conv(f"{path}.op.1", tell.relu(x), x.shape[1], (1, kernel), (1, stride), (0, pad))
    return tell.norm(f"{path}.op.3", tell.conv(f"{path}.op.2", x, out, (kernel, 1), (stride, 1), (pad, 0)))


def dil_conv(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    tell.idle(2)
    width = x.shape[1]
    x = tell.square(f"{path}.op.1", tell.relu(x), width, kernel, stride, kernel - 1, dilation=2, groups=width)
    return tell.norm(f"{path}.op.3", tell.square(f"{path}.op.2", x, out))


def sep_conv(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    tell.idle(2)
    inputs = x.shape[1]
    for first, width, step in ((1, inputs, stride), (5, out, 1)):
        x = tell.square(f"{path}.op.{first}", tell.relu(x), inputs, kernel, step, kernel // 2, groups=inputs)
        x = tell.norm(f"{path}.op.{first + 2}", tell.square(f"{path}.op.{first + 1}", x, width))
    return x


def skip_connect(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    if stride == 1:
        return tell.same(x)
    place = tell.run(path, "FactorizedReduce")
    x = tell.relu(x)
    halves = [tell.square(f"{path}.conv_{n}", x, out // 2, stride=2) for n in (1, 2)]
    # The second is one pixel ahead, but as large.
    both = (x.shape[0], out // 2 * 2, *halves[0].shape[2:])
    return tell.norm(f"{path}.bn", tell.op(place, "cat", both, *halves, dim=1))


def cse(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    place, (batch, width, *sides) = tell.run(path, "SqueezeExcitation"), x.shape
    gate = tell.linear(f"{path}.fc1", tell.op(place, "mean", (batch, width), x, dim=[2, 3]), width // 2)
    gate = tell.linear(f"{path}.fc2", tell.passed(gate), width)
    made = tell.op(place, "mul", x.shape, x, tell.passed(gate))
    return Value((batch, width, *(-(-n // stride) for n in sides)), made.known)


def msa(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    place, (batch, width, height, columns) = tell.run(path, "SelfAttention"), x.shape
    tokens = Value((batch, height * columns, width), tell.passed(x).known)
    qkv = tell.linear(f"{path}.to_qkv", tell.layer_norm(f"{path}.ln1", tokens), width // HEADS * HEADS * 3, bias=False)
    mixed = _attend(tell, place, qkv)
    tell.idle()
    tokens = tell.op(place, "add", tokens.shape, tokens, tell.linear(f"{path}.to_out.0", mixed, width))
    inner = tell.layer_norm(f"{path}.ln2", tokens)
    tell.idle(2)
    inner = tell.relu(tell.linear(f"{path}.ff.net.0", inner, width))
    tell.idle()
    made = tell.op(place, "add", tokens.shape, tokens, tell.linear(f"{path}.ff.net.3", inner, width))
    return Value(x.shape, made.known)


def _attend(tell: Layers, place: Place, qkv: Value) -> Value:
    batch, count, width = qkv.shape
    heads, inner = batch * HEADS, width // 3
    scores = tell.op(place, "bmm", (heads, count, count), tell.passed(qkv), qkv)
    weights = tell.op(place, "_softmax", (batch, HEADS, count, count), scores, dim=-1, half_to_float=False)
    mixed = tell.op(place, "bmm", (heads, count, inner // HEADS), weights, qkv)
    return Value((batch, count, inner), mixed.known)


def max_pool(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    return tell.pool(path, x, "max_pool", kernel, stride)


def avg_pool(tell: Layers, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
    return tell.pool(path, x, "avg_pool", kernel, stride)


# Kind of primitive -> (layers, path, value, channels, kernel, stride) -> value.
TOLD: dict[str, Callable[[Layers, str, Value, int, int, int], Value]] = {
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "skip_connect": skip_connect,
    "sep_conv": sep_conv,
    "dil_conv": dil_conv,
    "conv": conv_norm,
    "conv_twice": conv_twice,
    "msa": msa,
    "cse": cse,
}
