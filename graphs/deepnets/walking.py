"""A planned network as its operations in order, without torch: what runs, where, on what, with which parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from graphs.deepnets.genotype import PRIMITIVES
from graphs.deepnets.plan import HEADS, CellPlan, Plan

Shape = tuple[int, ...]


class Place(NamedTuple):
    """A module that runs: its path, its class and the number of the run."""

    path: str
    layer: str
    call: int


class Value(NamedTuple):
    """A tensor: its shape, and what the listener knows it by."""

    shape: Shape
    known: Any


class Listener(Protocol):
    """Who is told of every operation. ``op`` and ``passed`` return what the new value is known by."""

    def op(
        self,
        place: Place,
        name: str,
        shape: Shape,
        reads: Sequence[Value],
        parameters: Mapping[str, Shape],
        arguments: Mapping[str, Any],
    ) -> Any:
        """An operation that the graph of primitives may show."""
        ...

    def passed(self, read: Value) -> Any:
        """One that it never shows: an activation, zeros in place of a map."""
        ...


class Count:
    """A listener that counts parameters.

    >>> from graphs.deepnets.network import DeepNet
    >>> net, count = DeepNet(), Count()
    >>> _ = walk(net.plan, count, batch=1)
    >>> count.parameters == sum(p.numel() for p in net.parameters())
    True
    """

    def __init__(self) -> None:
        self.parameters = 0

    def op(self, place, name, shape, reads, parameters, arguments) -> None:
        self.parameters += sum(map(math.prod, parameters.values()))

    def passed(self, read: Value) -> None:
        return None


def walk(plan: Plan, listener: Listener, batch: int, known: Any = None) -> Value:
    """Tell the listener of every operation of one forward pass.

    Args:
        plan: the network. listener: who is told.
        batch: number of images.
        known: what the listener knows the images by.

    Returns the network's output. Modules are numbered in the order in which they begin to run, from 1.
    """
    return _Walk(plan, listener).network(Value((batch, *plan.input_shape), known))


class _Walk:
    """One pass; a method a module of :mod:`graphs.deepnets.operations`, in the order of its forward."""

    def __init__(self, plan: Plan, listener: Listener) -> None:
        self.plan, self.listener, self.calls = plan, listener, 0

    # ---- telling

    def run(self, path: str, layer: str) -> Place:
        self.calls += 1
        return Place(path, layer, self.calls)

    def idle(self, count: int = 1) -> None:
        """Modules run that do nothing: containers, dropout, identities."""
        self.calls += count

    def op(
        self, place: Place, name: str, shape: Shape, *reads: Value, parameters: Any = None, **arguments: Any
    ) -> Value:
        return Value(shape, self.listener.op(place, name, shape, reads, parameters or {}, arguments))

    def relu(self, x: Value) -> Value:
        """Any activation that is a module."""
        self.calls += 1
        return Value(x.shape, self.listener.passed(x))

    # ---- layers

    def conv(self, path: str, x: Value, out: int, kernel: Shape, stride: Shape, pad: Shape, **kind: int) -> Value:
        dilation, groups = kind.get("dilation", 1), kind.get("groups", 1)
        batch, channels, *sides = x.shape
        sides = [
            (n + 2 * p - dilation * (k - 1) - 1) // s + 1 for n, p, k, s in zip(sides, pad, kernel, stride, strict=True)
        ]
        return self.op(
            self.run(path, "Conv2d"),
            "convolution",
            (batch, out, *sides),
            x,
            parameters={f"{path}.weight": (out, channels // groups, *kernel)},
            stride=list(stride),
            padding=list(pad),
            dilation=[dilation, dilation],
            transposed=False,
            output_padding=[0, 0],
            groups=groups,
        )

    def square(
        self, path: str, x: Value, out: int, kernel: int = 1, stride: int = 1, pad: int = 0, **kind: int
    ) -> Value:
        return self.conv(path, x, out, (kernel, kernel), (stride, stride), (pad, pad), **kind)

    def norm(self, path: str, x: Value) -> Value:
        if self.plan.norm is None:
            self.idle()
            return x
        return self.op(
            self.run(path, "BatchNorm2d"),
            "native_batch_norm",
            x.shape,
            x,
            parameters={f"{path}.weight": (x.shape[1],), f"{path}.bias": (x.shape[1],)},
            training=self.plan.norm == "bn",
            momentum=0.1,
            eps=1e-5,
        )

    def layer_norm(self, path: str, x: Value) -> Value:
        width = x.shape[-1]
        parameters = {f"{path}.weight": (width,), f"{path}.bias": (width,)}
        place = self.run(path, "LayerNorm")
        return self.op(
            place, "native_layer_norm", x.shape, x, parameters=parameters, normalized_shape=[width], eps=1e-5
        )

    def linear(self, path: str, x: Value, out: int, bias: bool = True) -> Value:
        """On the last axis; the operation is one of matrices."""
        place, width = self.run(path, "Linear"), x.shape[-1]
        parameters = {f"{path}.weight": (out, width), **({f"{path}.bias": (out,)} if bias else {})}
        rows = math.prod(x.shape[:-1])
        made = self.op(place, "addmm" if bias else "mm", (rows, out), x, parameters=parameters)
        return Value((*x.shape[:-1], out), made.known)

    def pool(self, path: str, x: Value, kind: str, side: int, stride: int) -> Value:
        """Max or mean pooling."""
        layer, name = POOLS[kind]
        only = {"count_include_pad": False} if kind == "avg_pool" else {}
        shape = (*x.shape[:2], *(-(-n // stride) for n in x.shape[2:]))
        window = {"kernel_size": [side] * 2, "stride": [stride] * 2, "padding": [side // 2] * 2}
        return self.op(self.run(path, layer), name, shape, x, **window, **only)

    # ---- primitives: (path, x, out, kernel, stride) -> value

    def conv_norm(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        self.idle(2)
        x = self.relu(x)
        return self.norm(f"{path}.op.2", self.square(f"{path}.op.1", x, out, kernel, stride, kernel // 2))

    def conv_twice(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        self.idle(2)
        pad = kernel // 2
        x = self.conv(f"{path}.op.1", self.relu(x), x.shape[1], (1, kernel), (1, stride), (0, pad))
        return self.norm(f"{path}.op.3", self.conv(f"{path}.op.2", x, out, (kernel, 1), (stride, 1), (pad, 0)))

    def dil_conv(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        self.idle(2)
        width = x.shape[1]
        x = self.square(f"{path}.op.1", self.relu(x), width, kernel, stride, kernel - 1, dilation=2, groups=width)
        return self.norm(f"{path}.op.3", self.square(f"{path}.op.2", x, out))

    def sep_conv(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        self.idle(2)
        inputs = x.shape[1]
        for first, width, step in ((1, inputs, stride), (5, out, 1)):
            x = self.square(f"{path}.op.{first}", self.relu(x), inputs, kernel, step, kernel // 2, groups=inputs)
            x = self.norm(f"{path}.op.{first + 2}", self.square(f"{path}.op.{first + 1}", x, width))
        return x

    def skip_connect(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        if stride == 1:
            self.idle()
            return x
        place = self.run(path, "FactorizedReduce")
        x = self.relu(x)
        halves = [self.square(f"{path}.conv_{n}", x, out // 2, stride=2) for n in (1, 2)]
        # The second is one pixel ahead, but as large.
        both = (x.shape[0], out // 2 * 2, *halves[0].shape[2:])
        return self.norm(f"{path}.bn", self.op(place, "cat", both, *halves, dim=1))

    def cse(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        place, (batch, width, *sides) = self.run(path, "SqueezeExcitation"), x.shape
        gate = self.linear(f"{path}.fc1", self.op(place, "mean", (batch, width), x, dim=[2, 3]), width // 2)
        gate = self.linear(f"{path}.fc2", Value(gate.shape, self.listener.passed(gate)), width)
        gate = Value(gate.shape, self.listener.passed(gate))
        made = self.op(place, "mul", x.shape, x, gate)
        return Value((batch, width, *(-(-n // stride) for n in sides)), made.known)

    def msa(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        place, (batch, width, height, columns) = self.run(path, "SelfAttention"), x.shape
        heads, count = HEADS, height * columns
        size = width // heads
        # A copy, unless nothing moves; the graph of primitives does not tell.
        tokens = Value((batch, count, width), self.listener.passed(x))
        qkv = self.linear(f"{path}.to_qkv", self.layer_norm(f"{path}.ln1", tokens), 3 * heads * size, bias=False)
        scaled = Value(qkv.shape, self.listener.passed(qkv))
        scores = self.op(place, "bmm", (batch * heads, count, count), scaled, qkv)
        weights = self.op(place, "_softmax", (batch, heads, count, count), scores, dim=-1, half_to_float=False)
        mixed = self.op(place, "bmm", (batch * heads, count, size), weights, qkv)
        self.idle()
        mixed = self.linear(f"{path}.to_out.0", Value((batch, count, heads * size), mixed.known), width)
        tokens = self.op(place, "add", tokens.shape, tokens, mixed)
        inner = self.layer_norm(f"{path}.ln2", tokens)
        self.idle(2)
        inner = self.relu(self.linear(f"{path}.ff.net.0", inner, width))
        self.idle()
        inner = self.linear(f"{path}.ff.net.3", inner, width)
        return Value(x.shape, self.op(place, "add", tokens.shape, tokens, inner).known)

    def max_pool(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        return self.pool(path, x, "max_pool", kernel, stride)

    def avg_pool(self, path: str, x: Value, out: int, kernel: int, stride: int) -> Value:
        return self.pool(path, x, "avg_pool", kernel, stride)

    # ---- the network

    def network(self, x: Value) -> Value:
        place = self.run("", "DeepNet")
        first, second = self.stems(x)
        cells = {c.index: c for c in self.plan.cells}
        for i in range(self.plan.n_cells):
            first, second = second, self.cell(cells[i], first, second) if i in cells else None
        assert second is not None
        return self.head(place, second)

    def stems(self, x: Value) -> tuple[Value, Value | None]:
        plan, C, large = self.plan, self.plan.C, self.plan.large_images
        if plan.is_vit:
            x = self.square("stem0", x, C, plan.patch, plan.patch, int(plan.patch < 4))
            place, table = self.run("pos_enc", "PositionEncoding"), {"pos_enc.weight": (1, *x.shape[1:])}
            x = self.op(place, "add", x.shape, x, parameters=table)
            return x, x
        self.idle()
        if plan.stem_type == 0:
            x = self.square("stem.0", x, plan.stem_width, plan.ks, 4 if large else 1, plan.ks // 2)
            x = self.norm("stem.1", x)
            if plan.stem_pool:
                return (x := self.pool("stem.2", x, "max_pool", 3, 2)), x
            self.idle()
            return x, x
        stride = 2 if large else 1
        x = self.norm("stem0.1", self.square("stem0.0", x, C // 2, plan.ks, stride, plan.ks // 2))
        x = self.norm("stem0.4", self.square("stem0.3", self.relu(x), C, 3, stride, 1))
        x = self.relu(x)
        if -1 not in plan.needed:
            return x, None
        self.idle(2)
        return x, self.norm("stem1.2", self.square("stem1.1", x, C, 3, 2, 1))

    def cell(self, cell: CellPlan, *given: Value | None) -> Value:
        path = f"cells.{cell.index}"
        place, wires = self.run(path, "Cell"), cell.wiring
        states = [
            self.preprocess(f"{path}.preprocess{n}", x, cell, n) if wires.reads[n] else None
            for n, x in enumerate(given)
        ]
        live = {i: (name, state, stride) for i, name, state, _, stride in cell.live}
        for i in range(0, len(cell.ops), 2):
            made = [
                self.primitive(f"{path}._ops.{j}", states[live[j][1]], cell.width, live[j][0], live[j][2])
                for j in (i, i + 1)
                if j in live
            ]
            total = made[0] if made else None
            states.append(self.op(place, "add", made[0].shape, *made) if len(made) == 2 else total)
        return self.concat(place, [states[s] for s in cell.concat])

    def concat(self, place: Place, found: list[Value | None]) -> Value:
        there = [s for s in found if s is not None]
        if len(found) == 1:
            return there[0]
        read = there if len(there) == len(found) else [*there, Value((), self.listener.passed(there[0]))]
        batch, width, *sides = there[0].shape
        return self.op(place, "cat", (batch, width * len(found), *sides), *read, dim=1)

    def preprocess(self, path: str, x: Value | None, cell: CellPlan, number: int) -> Value:
        assert x is not None
        halve = cell.halve_first and number == 0
        if self.plan.preproc:
            make = self.skip_connect if halve else self.conv_norm
            return make(path, x, cell.width, 1, 2 if halve else 1)
        self.idle()
        return Value((*x.shape[:2], *(-(-n // 2) for n in x.shape[2:])), x.known) if halve else x

    def primitive(self, path: str, x: Value | None, out: int, name: str, stride: int) -> Value:
        assert x is not None
        kind, kernel = PRIMITIVES[name]
        return getattr(self, METHODS.get(kind, kind))(path, x, out, kernel, stride)

    def head(self, place: Place, x: Value) -> Value:
        batch, width, height, columns = x.shape
        if self.plan.glob_avg:
            x = self.op(place, "mean", (batch, width), x, dim=[2, 3])
        else:
            x = Value((batch, width * height * columns), x.known)
        self.idle()
        for i in range(self.plan.fc_layers - 1):
            x = self.relu(self.linear(f"classifier.{3 * i}", x, self.plan.fc_dim))
            self.idle()
        return self.linear(f"classifier.{3 * self.plan.fc_layers - 3}", x, self.plan.outputs)


# Kind of pooling -> its module and operation.
POOLS = {"max_pool": ("MaxPool2d", "max_pool2d_with_indices"), "avg_pool": ("AvgPool2d", "avg_pool2d")}
# Kinds of primitives whose methods have other names.
METHODS = {"conv": "conv_norm"}
