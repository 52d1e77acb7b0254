"""The optimisers of ``fit``: no decay of vectors, a factor of the rate by a parameter's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

NO_RATES: Mapping[str, float] = {}


def adamw(model: nn.Module, lr: float, weight_decay: float, rates: Mapping[str, float] = NO_RATES) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves vectors alone."""
    return torch.optim.AdamW(_groups(model, weight_decay, rates), lr=lr)


def adam(model: nn.Module, lr: float, weight_decay: float, rates: Mapping[str, float] = NO_RATES) -> torch.optim.Adam:
    """Adam with the decay of matrices in the gradient, as graph hypernetworks were published."""
    return torch.optim.Adam(_groups(model, weight_decay, rates), lr=lr)


def _groups(model: nn.Module, weight_decay: float, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters of one decay and one factor together; ``factor`` is that of the learning rate."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError("the model has no parameter to train; fit needs at least one that requires a gradient")
    unknown = [part for part in rates if not any(part in name for name in trained)]
    if unknown:
        raise ValueError(f"rates: no trained parameter has {unknown[0]!r} in its name; there are {sorted(trained)}")
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for is_vector in (False, True):
        for name, p in trained.items():
            if (p.ndim <= 1) == is_vector:
                factor = next((rates[part] for part in rates if part in name), 1.0)
                groups.setdefault((is_vector, factor), []).append(p)
    return [
        {"params": members, "weight_decay": 0.0 if is_vector else weight_decay, "factor": factor}
        for (is_vector, factor), members in groups.items()
    ]


OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": adamw, "adam": adam}
