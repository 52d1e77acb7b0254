"""The gated pass on the CPU: node after node in C++, its matrices in the first cache."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from graphs.compiling import CompiledCode

CODE = CompiledCode("gated propagation on the CPU", Path(__file__).parent / "native" / "gated.cpp")
NAMES = {torch.float32: "float32", torch.float64: "float64"}
# What a function returns for a node that reaches one before it.
OUT_OF_ORDER = 2
_SIZES = ("from_stride", "to_stride", "nodes", "width", "inner", "kinds", "last_first")
_GIVEN = ("x", "hidden", "input_weight", "input_bias", "first", "first_bias", "second", "second_bias")
_KEPT = ("received", "gates", "h", "a", "message")
_MADE = ("d_input", "d_hidden", "d_x", "d_a", "d_message")


class _Call(ctypes.Structure):
    """The struct Call of gated.cpp."""

    _fields_ = [
        ("distance", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in (*_GIVEN, *_KEPT, "grad", *_MADE)),
    ]


class Gated(NamedTuple):
    """The operands of a pass with K kinds of messages, contiguous.

    Shapes: x ``[N, H]``, hidden ``[N, 3H]``, the part of the gates that x makes; input_weight ``[3H, H]``, input_bias
    ``[3H]``; first ``[K I, H]``, first_bias ``[K I]``; second ``[K, H, I]``, second_bias ``[K, H]``.
    """

    x: Tensor
    hidden: Tensor
    input_weight: Tensor
    input_bias: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor

    def widths(self) -> dict[str, int]:
        """Columns of what is made for every node."""
        width, (kinds, _, inner) = self.x.shape[1], self.second.shape
        of_kinds = {"a": kinds * inner, "message": kinds * width}
        return {"received": width, "gates": 3 * width, "h": width, **of_kinds}


def forward(t: Gated, distances: tuple[Tensor, ...], last_first: bool) -> dict[str, Tensor]:
    """What every node received, made and sent, ``h`` among it; the nodes of each of ``distances`` after another."""
    kept = {name: t.x.new_empty(len(t.x), columns) for name, columns in t.widths().items()}
    kept["received"].zero_()
    _run("forward", t, distances, last_first, kept)
    return kept


def backward(
    t: Gated, distances: tuple[Tensor, ...], last_first: bool, kept: Mapping[str, Tensor], grad: Tensor
) -> dict[str, Tensor]:
    """The gradients of what the maps and gates of every node put out, and that of x which passes the gates."""
    widths = t.widths()
    columns = {"d_input": widths["gates"], "d_hidden": widths["gates"], "d_x": widths["h"]}
    columns |= {f"d_{name}": widths[name] for name in ("a", "message")}
    made = {name: t.x.new_empty(len(t.x), width) for name, width in columns.items()}
    _run("backward", t, distances, last_first, {**kept, "grad": grad.contiguous(), **made})
    return made


def _run(name: str, t: Gated, distances: tuple[Tensor, ...], last_first: bool, of_nodes: Mapping[str, Tensor]) -> None:
    function = getattr(CODE.load(), f"{NAMES[t.x.dtype]}_{name}")
    kinds, width, inner = t.second.shape
    rows = {"x": t.x, "hidden": t.hidden, **of_nodes}
    maps = {key: x.data_ptr() for key, x in t._asdict().items() if key not in rows}
    first = 0
    for distance in distances:
        nodes = len(distance)
        strides = distance.stride() if not last_first else distance.stride()[::-1]
        places = {key: x.data_ptr() + first * x.stride(0) * x.element_size() for key, x in rows.items()}
        sizes = dict(zip(_SIZES, (*strides, nodes, width, inner, kinds, last_first), strict=True))
        failed = function(ctypes.byref(_Call(distance=distance.data_ptr(), **sizes, **maps, **places)))
        if failed == OUT_OF_ORDER:
            raise ValueError("expected nodes in topological order, which reach later nodes only; sort them")
        if failed:
            raise MemoryError(f"no memory for the maps of {nodes} nodes of width {width}")
        first += nodes
