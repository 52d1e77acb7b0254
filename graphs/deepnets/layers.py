"""Layers as the operations they run, without torch: what runs, where, on what, with which parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

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


class Layers:
    """One pass through the layers of torch. Modules are numbered in the order in which they begin to run, from 1.

    Args:
        listener: who is told.
        norm: what :func:`graphs.deepnets.operations.norm_layer` is given.
    """

    def __init__(self, listener: Listener, norm: str | None) -> None:
        self.listener, self.norms, self.calls = listener, norm, 0

    def run(self, path: str, layer: str) -> Place:
        self.calls += 1
        return Place(path, layer, self.calls)

    def idle(self, count: int = 1) -> None:
        """Modules run that do nothing: containers, dropout, identities."""
        self.calls += count

    def same(self, x: Value) -> Value:
        """A module runs that returns what it is given."""
        self.calls += 1
        return x

    def op(
        self, place: Place, name: str, shape: Shape, *reads: Value, parameters: Any = None, **arguments: Any
    ) -> Value:
        return Value(shape, self.listener.op(place, name, shape, reads, parameters or {}, arguments))

    def passed(self, x: Value) -> Value:
        """An operation that no graph of primitives shows, of any module."""
        return Value(x.shape, self.listener.passed(x))

    def relu(self, x: Value) -> Value:
        """Any activation that is a module."""
        self.calls += 1
        return self.passed(x)

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
        if self.norms is None:
            return self.same(x)
        return self.op(
            self.run(path, "BatchNorm2d"),
            "native_batch_norm",
            x.shape,
            x,
            parameters={f"{path}.weight": (x.shape[1],), f"{path}.bias": (x.shape[1],)},
            training=self.norms == "bn",
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


# Kind of pooling -> its module and operation.
POOLS = {"max_pool": ("MaxPool2d", "max_pool2d_with_indices"), "avg_pool": ("AvgPool2d", "avg_pool2d")}
