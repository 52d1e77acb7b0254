"""Residual blocks of a stack: what stands before and after the layers of a block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.population.stacked_buffers import Buffers
from zoo.population.stacked_layers import StackedLayer


class StackedResidualStart:
    """Keeps the input of a block for its end, which hands back the gradient that goes around the block."""

    around: Tensor

    def __init__(self) -> None:
        self.buffers = Buffers()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        self.x = x
        return x

    def backward(self, dy: Tensor) -> Tensor:
        return torch.add(dy, self.around, out=self.buffers("dx", dy.shape, dy))


class StackedResidualEnd:
    """Adds the input of a block, which its ``start`` has kept, to its output.

    Shapes: rows or images, unchanged.
    """

    start: StackedResidualStart

    def __init__(self) -> None:
        self.buffers = Buffers()

    def forward(self, x: Tensor, training: bool) -> Tensor:
        return torch.add(x, self.start.x, out=self.buffers("y", x.shape, x))

    def backward(self, dy: Tensor) -> Tensor:
        self.start.around = dy
        return dy


def join_residuals(layers: Sequence[StackedLayer]) -> None:
    """Tell the end of every residual block where it starts."""
    started: list[StackedResidualStart] = []
    for layer in layers:
        if isinstance(layer, StackedResidualStart):
            started.append(layer)
        if isinstance(layer, StackedResidualEnd):
            layer.start = started.pop()
