"""Kernels smaller or larger than those that a decoder writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate

from hypernets.ghn.tiling import repeat


@dataclass(frozen=True)
class KernelRule:
    """How the kernels of a model relate to those of its decoder.

    Args:
        cut: (size of the decoder, wanted size) -> the part along one axis.
        grow: (``[out, in, h, w]``, height, width) -> ``[out, in, height, width]``.
    """

    cut: Callable[[int, int], slice]
    grow: Callable[[Tensor, int, int], Tensor]


def _corner(full: int, size: int) -> slice:
    return slice(0, size)


def _centre(full: int, size: int) -> slice:
    return slice(full // 2 - size // 2, full // 2 - size // 2 + size)


def _repeated(kernels: Tensor, height: int, width: int) -> Tensor:
    return repeat(repeat(kernels, 2, height), 3, width)


def _bilinear(kernels: Tensor, height: int, width: int) -> Tensor:
    return interpolate(kernels, (height, width), mode="bilinear")


# GHN-2 takes the corner and repeats; GHN-3 takes the centre and interpolates.
CORNER, CENTRE = KernelRule(_corner, _repeated), KernelRule(_centre, _bilinear)
