"""The activations a recipe can name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Sine(nn.Module):
    """sin(w0 x), the activation of https://arxiv.org/abs/2006.09661."""

    def __init__(self, w0: float = 1.0):
        super().__init__()
        self.w0 = w0

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.w0 * x)

    def extra_repr(self) -> str:
        return f"w0={self.w0}"


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sine": Sine,
    "identity": nn.Identity,
}


def activation(name: str) -> nn.Module:
    """A new activation module; ValueError lists the choices when the name is unknown.

    >>> activation("relu")
    ReLU()
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
