"""Multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from graphs.families.activations import activation as make_activation
from graphs.families.probe import normal_input


class MLP(nn.Sequential):
    """Linear layers with an activation and dropout after each hidden one; the input is flattened.

    Args:
        inputs: number of inputs, H*W*C for an image.
        hidden: widths of the hidden layers.
        outputs: number of outputs.
        activation: one of ``graphs.families.activations.ACTIVATIONS``.
        dropout: probability of dropping a hidden neuron. The module is there at 0 too, so names never change.

    Shapes: ``[batch, ...]`` with ``inputs`` elements after the batch axis -> ``[batch, outputs]``.

    >>> [tuple(p.shape) for p in MLP(inputs=4, hidden=[3], outputs=2).parameters()]
    [(3, 4), (3,), (2, 3), (2,)]
    """

    def __init__(
        self,
        inputs: int = 64,
        hidden: Sequence[int] = (32, 32),
        outputs: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        self.flatten = nn.Flatten(1)
        for i, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden])):
            self.add_module(f"linear{i}", nn.Linear(fan_in, fan_out))
            self.add_module(f"activation{i}", make_activation(activation))
            self.add_module(f"dropout{i}", nn.Dropout(dropout))
        self.head = nn.Linear([inputs, *hidden][-1], outputs)

    @staticmethod
    def example_input(batch: int, inputs: int = 64, **_: Any) -> tuple[Tensor, ...]:
        return normal_input(batch, (inputs,))
