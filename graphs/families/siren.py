"""SIREN, sine networks from coordinates to channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from graphs.families.activations import Sine
from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input


class Shift(nn.Module):
    """Adds a constant."""

    def __init__(self, amount: float):
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return x + self.amount

    def extra_repr(self) -> str:
        return f"amount={self.amount}"


class Siren(nn.Sequential):
    """Implicit image network sin(w0 (W x + b)), with the initialisation of https://arxiv.org/abs/2006.09661 (3.2).

    The first layer is uniform in +-1/inputs, the others in +-sqrt(6/fan_in)/w0; biases as torch draws them.

    Args:
        inputs: number of coordinates.
        hidden: widths of the hidden layers.
        outputs: number of channels.
        w0: frequency of every sine layer.
        shift: constant added to the output; .5 centres it on pixels in [0, 1], as the DWSNets INRs do.
        activation: "sine", or another activation for comparison (w0 then scales the initialisation only).

    Shapes: ``[pixels, inputs]`` in [-1, 1] -> ``[pixels, outputs]``.

    >>> sum(p.numel() for p in Siren().parameters())
    1185
    """

    def __init__(
        self,
        inputs: int = 2,
        hidden: Sequence[int] = (32, 32),
        outputs: int = 1,
        w0: float = 30.0,
        shift: float = 0.5,
        activation: str = "sine",
    ):
        super().__init__()
        for i, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden])):
            self.add_module(f"linear{i}", nn.Linear(fan_in, fan_out))
            self.add_module(f"activation{i}", Sine(w0) if activation == "sine" else make_activation(activation))
        self.head = nn.Linear([inputs, *hidden][-1], outputs)
        self.shift = Shift(shift)
        self.reset_weights(w0)

    @torch.no_grad()
    def reset_weights(self, w0: float) -> None:
        for i, layer in enumerate(m for m in self if isinstance(m, nn.Linear)):
            bound = 1 / layer.in_features if i == 0 else math.sqrt(6 / layer.in_features) / w0
            layer.weight.uniform_(-bound, bound)

    @staticmethod
    def example_input(batch: int, inputs: int = 2, **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, (inputs,))
