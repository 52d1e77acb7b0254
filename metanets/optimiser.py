"""The optimisers of ``fit``: weight decay for matrices, none for vectors (biases, norms)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def adamw(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves vectors alone."""
    return torch.optim.AdamW(_groups(model, weight_decay), lr=lr)


def adam(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Adam:
    """Adam with the decay of matrices in the gradient, as graph hypernetworks were published."""
    return torch.optim.Adam(_groups(model, weight_decay), lr=lr)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("the model has no parameter to train; fit needs at least one that requires a gradient")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


OPTIMISERS: dict[str, Callable[[nn.Module, float, float], torch.optim.Optimizer]] = {"adamw": adamw, "adam": adam}
