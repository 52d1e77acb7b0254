"""A loss that is known with its gradients already: backward hands them on and computes nothing again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Carried(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(grads[0] * gradient for gradient in ctx.gradients)


def carried(value: Tensor, tensors: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """A scalar equal to ``value`` whose gradient with respect to each of ``tensors`` is that given.

    Networks of a meta-batch can so be run one after the other, each freed before the next, and one backward pass goes
    through the hypernetwork that wrote them.

    >>> w = torch.ones(2, requires_grad=True)
    >>> (2 * carried(torch.tensor(5.0), [w], [torch.tensor([1.0, 3.0])])).backward()
    >>> w.grad.tolist()
    [2.0, 6.0]
    """
    return _Carried.apply(value, gradients, *tensors)  # pyright: ignore[reportReturnType]
