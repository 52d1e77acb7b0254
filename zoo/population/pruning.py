"""Sparse networks: which weights of a member are zero, and stay so."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def prune(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Set the smallest weights to zero; returns what is left of each parameter that lost some: 1 or 0, its shape.

    A part ``sparsity`` of all weights (parameters of two axes and more, together) is removed by magnitude, globally:
    https://arxiv.org/abs/1506.02626, https://arxiv.org/abs/2003.03033 (section 2.3).

    >>> net = nn.Linear(4, 2)
    >>> prune(net, 0.5)["weight"].sum().item(), (net.weight == 0).sum().item()
    (4.0, 4)
    """
    weights = {name: p for name, p in module.named_parameters() if p.ndim >= 2}
    count = round(sparsity * sum(p.numel() for p in weights.values()))
    if not count:
        return {}
    sizes = torch.cat([p.flatten().abs() for p in weights.values()])
    left = torch.ones_like(sizes)
    # A stable order, so that equal weights fall in the same order everywhere.
    left[sizes.argsort(stable=True)[:count]] = 0
    parts = left.split([p.numel() for p in weights.values()])
    masks = {name: part.view_as(p) for (name, p), part in zip(weights.items(), parts, strict=True)}
    for name, mask in masks.items():
        weights[name].mul_(mask)
    return masks


def flat_mask(module: nn.Module, masks: dict[str, Tensor]) -> Tensor:
    """The masks over all parameters in order, 1 where there is none: ``[P]``."""
    return torch.cat([masks.get(name, torch.ones_like(p)).flatten() for name, p in module.named_parameters()])
