"""The Fourier encoder in plain torch, a chunk of edges at a time: products of matrices, on any device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphs.kernels.fourier.operands import FOURIER_OPERANDS, FourierOperands

# Features of a chunk: as many as stay in a cache, or as keep a device busy.
_CPU_FEATURES, _DEVICE_FEATURES = 1 << 18, 1 << 26


def forward(t: FourierOperands, rows: Tensor | None, kind: Tensor | None) -> Tensor:
    """See :func:`graphs.kernels.fourier_linear`."""
    out = t.values.new_empty(len(t.values), len(t.weight))
    for chunk, target, features in _chunks(t, rows):
        found = torch.addmm(t.bias, features, t.weight.T)
        if t.nodes is not None and target is not None:
            found += t.nodes.index_select(0, target)
        if t.kinds is not None and kind is not None:
            found += t.kinds.index_select(0, kind[chunk])
        out[chunk] = found
    return out


def backward(
    t: FourierOperands, rows: Tensor | None, kind: Tensor | None, grad: Tensor, needs: list[bool]
) -> dict[str, Tensor]:
    """The gradients of the operands that ``needs`` marks, by name."""
    wanted = [name for name, need in zip(FOURIER_OPERANDS, needs, strict=True) if need]
    found = {name: torch.zeros_like(getattr(t, name)) for name in wanted}
    for chunk, target, features in _chunks(t, rows):
        part = grad[chunk].to(t.compute_dtype)
        indices: dict[str, Any] = {"nodes": target, "kinds": None if kind is None else kind[chunk]}
        for name in wanted:
            if name == "values":
                found[name][chunk] = _d_values(t, features, part)
            elif name == "weight":
                found[name].addmm_(part.T, features)
            elif name == "bias":
                found[name] += part.sum(0)
            else:
                found[name].index_add_(0, indices[name], part)
    return found


def _d_values(t: FourierOperands, features: Tensor, grad: Tensor) -> Tensor:
    (cosine, sine), (d_cosine, d_sine) = features.chunk(2, dim=1), (grad @ t.weight).chunk(2, dim=1)
    return (d_sine * cosine - d_cosine * sine) @ t.frequencies * (2 * math.pi)


def _chunks(t: FourierOperands, rows: Tensor | None) -> Iterator[tuple[slice, Tensor | None, Tensor]]:
    """Some edges, their destinations, and their features ``[n, 2 f]``."""
    budget = _CPU_FEATURES if t.values.device.type == "cpu" else _DEVICE_FEATURES
    size = max(1, budget // max(1, t.weight.shape[1]))
    turns = t.frequencies.T * (2 * math.pi)
    for start in range(0, len(t.values), size):
        chunk = slice(start, min(start + size, len(t.values)))
        target = None if rows is None else destinations(rows, chunk.start, chunk.stop)
        angle = t.values[chunk].to(t.compute_dtype) @ turns
        yield chunk, target, torch.cat([angle.cos(), angle.sin()], dim=1)


def destinations(rows: Tensor, start: int, stop: int) -> Tensor:
    """Where the edges start .. stop go, by the rows of a table. Shapes: rows ``[R, 4]``; ``[stop - start]``."""
    edges = torch.arange(start, stop, device=rows.device)
    # Of rows that start at one edge, all but the last are empty.
    row = torch.searchsorted(rows[:, 0].contiguous(), edges, right=True) - 1
    return rows[row, 3]
