"""Probes: the inputs of one call of a network, as they are given, in float64, and random ones like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphs.execution.trees import map_tensors
from graphs.execution.widening import double


class Probe(NamedTuple):
    """What one call of a network is given."""

    args: tuple
    kwargs: dict[str, Any]

    def run(self, module: nn.Module) -> Any:
        return module(*self.args, **self.kwargs)

    def copy(self) -> Probe:
        """The same values in memory of their own."""
        return Probe(*map_tensors(torch.clone, (self.args, self.kwargs)))

    def double(self) -> Probe:
        """In float64 (complex128)."""
        return Probe(*map_tensors(double, (self.args, self.kwargs)))

    def like(self, generator: torch.Generator, whole: bool = True) -> Probe:
        """Random inputs of the same shapes: normal numbers, and (``whole``) whole numbers in the range of these."""
        return Probe(*map_tensors(lambda t: _like(t, generator, whole), (self.args, self.kwargs)))


def as_probes(inputs: Sequence[Any]) -> list[Probe]:
    """Each element is a tuple of positional inputs, a dict of keyword inputs, or a pair of both.

    >>> as_probes([(1, 2), {"x": 3}, ((1,), {"x": 3})])[2]
    Probe(args=(1,), kwargs={'x': 3})
    """
    return [_as_probe(i, element) for i, element in enumerate(inputs)]


def _as_probe(number: int, element: Any) -> Probe:
    if type(element) is dict:
        return Probe((), element)
    if type(element) in (tuple, list):
        if len(element) == 2 and type(element[0]) is tuple and type(element[1]) is dict:
            return Probe(*element)
        return Probe(tuple(element), {})
    raise ValueError(
        f"inputs[{number}]: expected a tuple of positional inputs, a dict of keyword inputs or a pair (tuple, dict), "
        f"got {type(element).__name__}; write (x,) for one input x"
    )


def _like(tensor: Tensor, generator: torch.Generator, whole: bool) -> Tensor:
    if tensor.layout != torch.strided or not tensor.numel() or tensor.dtype == torch.bool:
        return tensor
    if tensor.is_floating_point() or tensor.is_complex():
        return torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator).to(tensor.device)
    if not whole:
        return tensor
    low, high = int(tensor.min()), int(tensor.max()) + 1
    return torch.randint(low, high, tensor.shape, dtype=tensor.dtype, generator=generator).to(tensor.device)
