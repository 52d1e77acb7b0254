"""Parameters larger than what a decoder writes: copies of it along every axis."""

from __future__ import annotations

from torch import Tensor

from hypernets.ghn.target import Size4


def repeat(x: Tensor, axis: int, size: int) -> Tensor:
    """``x`` again and again along an axis until there are ``size`` entries, the last copy cut off.

    >>> import torch
    >>> repeat(torch.tensor([1, 2, 3]), 0, 7).tolist()
    [1, 2, 3, 1, 2, 3, 1]
    """
    have = x.shape[axis]
    if size == have:
        return x
    copies = x.unsqueeze(axis).expand(*x.shape[:axis], -(-size // have), *x.shape[axis:])
    return copies.flatten(axis, axis + 1).narrow(axis, 0, size)


def copies(canonical: Size4, size: Size4) -> Size4:
    """How often a decoded ``size`` is laid along each axis of a parameter; 1 where nothing is repeated.

    >>> copies((1000, 64, 3, 3), (64, 64, 3, 3))
    (16, 1, 1, 1)
    """
    out, inputs, height, width = (-(-whole // part) for whole, part in zip(canonical, size, strict=True))
    return out, inputs, height, width
