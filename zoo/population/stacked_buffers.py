"""Tensors that are written again step after step."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Buffers:
    """Named scratch tensors of one layer.

    A fresh large tensor costs more than the arithmetic on it, since the system must map its pages every time.

    >>> buffers = Buffers()
    >>> a = buffers("y", (2, 3), torch.zeros(1))
    >>> buffers("y", (3,), a).data_ptr() == a.data_ptr()
    True
    """

    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}
        self.views: dict[tuple, Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The buffer of that name with this shape, on the device and (unless given) of the dtype of ``like``; its
        values are whatever was last written to it."""
        dtype = dtype or like.dtype
        key = (name, dtype, tuple(shape))
        if key not in self.views:
            size, held = math.prod(shape), self.held.get((name, dtype))
            if held is None or held.numel() < size:
                held = self.held[name, dtype] = torch.empty(size, dtype=dtype, device=like.device)
            self.views[key] = held[:size].view(shape)
        return self.views[key]
