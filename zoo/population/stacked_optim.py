"""torch.optim's updates on the flat weights of many members, each with its own learning rate, decay and momentum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.population.settings import MemberSettings

EPS = 1e-8


class FlatSGD:
    """p -= lr b with b = momentum b + (g + decay p).

    Args:
        settings: one a member.
        weights: ``[E, P]``, updated in place; ``gradients`` ``[E, P]`` may be overwritten.
    """

    def __init__(self, settings: Sequence[MemberSettings], weights: Tensor, gradients: Tensor):
        self.weights, self.gradients = weights, gradients
        self.decay = _column(weights, [s.weight_decay for s in settings])
        self.momentum = _column(weights, [s.momentum for s in settings])
        self.has_decay, self.has_momentum = bool(self.decay.any()), bool(self.momentum.any())
        self.buffer = torch.zeros_like(weights) if self.has_momentum else gradients

    def step(self, rates: np.ndarray) -> None:
        """Update the first k members at rates ``[k]``."""
        k = len(rates)
        weights, gradients, buffer = self.weights[:k], self.gradients[:k], self.buffer[:k]
        if self.has_decay:
            gradients.addcmul_(weights, self.decay[:k])
        if self.has_momentum:
            buffer.mul_(self.momentum[:k]).add_(gradients)
        weights.addcmul_(buffer, torch.from_numpy(rates[:, None]).to(weights), value=-1)


class FlatAdam:
    """Adam, and AdamW for the members that ask for it.

    With m, v the running means of g and g^2 over t steps, p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps),
    written as p -= a m / (sqrt(v) + c) with one a and c a member.

    Args:
        settings: one a member.
        weights: ``[E, P]``, updated in place; ``gradients`` ``[E, P]`` may be overwritten.
    """

    def __init__(self, settings: Sequence[MemberSettings], weights: Tensor, gradients: Tensor):
        self.weights, self.gradients = weights, gradients
        self.mean, self.square, self.scratch = (torch.zeros_like(weights) for _ in range(3))
        self.decay = _column(weights, [0.0 if s.optimiser == "adamw" else s.weight_decay for s in settings])
        self.decoupled = np.array([s.weight_decay if s.optimiser == "adamw" else 0.0 for s in settings])
        self.has_decay, self.has_shrink = bool(self.decay.any()), bool(self.decoupled.any())
        self.new_mean = _column(weights, [1 - s.betas[0] for s in settings])
        self.new_square = _column(weights, [1 - s.betas[1] for s in settings])
        # Bias corrections need double precision, and numpy is quicker with few numbers.
        self.beta1, self.beta2, self.taken = np.array([(*s.betas, 0.0) for s in settings]).T[..., None].copy()

    def step(self, rates: np.ndarray) -> None:
        """Update the first k members at rates ``[k]``."""
        k, rates = len(rates), rates[:, None]
        weights, gradients, mean, square, scratch = (
            t[:k] for t in (self.weights, self.gradients, self.mean, self.square, self.scratch)
        )
        if self.has_shrink:
            weights.mul_(torch.from_numpy(1 - rates * self.decoupled[:k, None]).to(weights))
        if self.has_decay:
            gradients.addcmul_(weights, self.decay[:k])
        mean.lerp_(gradients, self.new_mean[:k])
        torch.mul(gradients, gradients, out=scratch)
        square.lerp_(scratch, self.new_square[:k])
        rate, floor = self._corrected(rates)
        torch.sqrt(square, out=scratch).add_(floor)
        torch.div(mean, scratch, out=scratch)
        weights.addcmul_(scratch, rate, value=-1)

    def _corrected(self, rates: np.ndarray) -> tuple[Tensor, Tensor]:
        """a and c of the class docstring for each member ``[k, 1]``, one step on."""
        k = len(rates)
        taken = self.taken[:k]
        taken += 1
        root = np.sqrt(1 - self.beta2[:k] ** taken)
        rate = rates * root / (1 - self.beta1[:k] ** taken)
        a, c = (torch.from_numpy(values).to(self.weights) for values in (rate, root * EPS))
        return a, c


def _column(like: Tensor, values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
