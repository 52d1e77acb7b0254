"""A network of the corpus: how it is made, and how the inputs that it is run on are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = tuple[Any, ...]
Spec = tuple[int, ...] | Tensor | Callable[[torch.Generator], Any]


@dataclass(frozen=True)
class Case:
    """A network with its positional inputs.

    Args:
        make: the network, a new one in every call; runs may leave something behind in it.
        draw: the inputs, other values in every call.
    """

    make: Callable[[], nn.Module]
    draw: Callable[[torch.Generator], Inputs]

    def run(self) -> Any:
        """What the network returns."""
        with torch.no_grad():
            return self.make().eval()(*self.draw(torch.Generator().manual_seed(0)))


def inputs(*specs: Spec) -> Callable[[torch.Generator], Inputs]:
    """Inputs from specifications."""
    return lambda generator: tuple(draw(spec, generator) for spec in specs)


def draw(spec: Spec, generator: torch.Generator) -> Any:
    """A shape stands for normal numbers, a tensor for itself, a function for what it draws."""
    if isinstance(spec, Tensor):
        return spec.clone()
    return spec(generator) if callable(spec) else torch.randn(spec, generator=generator)


def whole(high: int, *shape: int, low: int = 0) -> Spec:
    """Whole numbers in [low, high)."""
    return lambda generator: torch.randint(low, high, shape, generator=generator)
