"""Running in float64 what was written for float32: networks, their inputs, and the casts within a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graphs.execution.copying import copied
from graphs.execution.grouped import GroupedInDouble

WIDER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex32: torch.complex128,
    torch.complex64: torch.complex128,
}
CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)


def double(tensor: Tensor) -> Tensor:
    """The tensor in float64 (complex128); whole numbers stay.

    >>> double(torch.zeros(1, dtype=torch.float16)).dtype, double(torch.tensor([1])).dtype
    (torch.float64, torch.int64)
    """
    if tensor.is_floating_point():
        return tensor.to(torch.float64)
    return tensor.to(torch.complex128) if tensor.is_complex() else tensor


def double_copy(module: nn.Module) -> nn.Module:
    """A copy of the module with every tensor that it holds in float64."""
    return copied(module, lambda tensor, _: double(tensor))


class _Wide(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in CASTS:
            return args[0].double()
        kwargs = kwargs or {}
        return func(*map(_wider, args), **{name: _wider(value) for name, value in kwargs.items()})


def _wider(value: Any) -> Any:
    """The wider type of a dtype; torch's functions take one as an argument of its own, never within a container."""
    return WIDER.get(value, value) if isinstance(value, torch.dtype) else value


@contextmanager
def in_double() -> Iterator[None]:
    """Casts to narrower floating types, and new tensors of the default type, are float64 instead.

    >>> with in_double():
    ...     torch.zeros(1).to(torch.float32).dtype
    torch.float64
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Wide(), GroupedInDouble():
            yield
    finally:
        torch.set_default_dtype(before)
