"""Layers around which their input is added."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Sequential):
    """x + inner(x), where inner are the layers one after another; https://arxiv.org/abs/1512.03385.

    Shapes: any that the layers keep -> the same. Raises ValueError when they do not keep it.

    >>> import torch
    >>> Residual(nn.Identity())(torch.ones(2, 3)).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if y.shape != x.shape:
            raise ValueError(
                f"expected layers that keep the shape {list(x.shape)} of what they are added to, got {list(y.shape)}; "
                "leave those that change it out of the Residual"
            )
        return x + y
