"""The few operations that models on parameter graphs share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


def perceptron(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear maps of these sizes with activations between them, none at the end.

    >>> len(perceptron(32, 32, 10))
    3
    """
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), activation()]
    return nn.Sequential(*layers[:-1])


def stored(e: Tensor) -> Tensor:
    """Edge states in the type in which autocast stores values; the kernels compute and sum in float32 all the same."""
    device = e.device.type
    return e.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else e


def compose(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of ``second(first(x))``, so that the value between them need not exist."""
    return second.weight @ first.weight, linear(first.bias, second.weight, second.bias)
