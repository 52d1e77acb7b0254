"""Gradients of the losses of a stack."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.population.losses import find_loss

Gradient = Callable[[Tensor, Tensor], Tensor]


def cross_entropy_gradient(outputs: Tensor, targets: Tensor) -> Tensor:
    """(softmax(outputs) - onehot(targets)) / targets of a member.

    Shapes: ``[k, B, classes]``, ``[k, B]`` -> ``[k, B, classes]``, or with an axis of tokens after B.
    """
    # By hand: torch's softmax is four times slower on short rows.
    chances = (outputs - outputs.amax(-1, keepdim=True)).exp_()
    chances.div_(chances.sum(-1, keepdim=True))
    minus_one = chances.new_full((), -1.0).expand(*targets.shape, 1)
    return chances.scatter_add_(-1, targets[..., None], minus_one).div_(targets[0].numel())


def mse_gradient(outputs: Tensor, targets: Tensor) -> Tensor:
    """2 (outputs - targets) / (B F). Shapes: ``[k, B, F]`` twice -> the same."""
    return (outputs - targets).mul_(2 / outputs[0].numel())


def loss_gradient(name: str) -> Gradient:
    """The gradient of each member's own loss with respect to its outputs; a user's loss goes through autograd."""
    known: dict[str, Gradient] = {"cross_entropy": cross_entropy_gradient, "mse": mse_gradient}
    if name in known:
        return known[name]
    loss = find_loss(name)

    def gradient(outputs: Tensor, targets: Tensor) -> Tensor:
        rows = [row.requires_grad_() for row in outputs.detach().unbind()]
        with torch.enable_grad():
            values = [loss(row, target) for row, target in zip(rows, targets, strict=True)]
        return torch.stack(torch.autograd.grad(values, rows))

    return gradient
