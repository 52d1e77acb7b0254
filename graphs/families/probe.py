"""Inputs to try a network on, the same ones in every process."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normal_input(batch: int, shape: Sequence[int]) -> tuple[Tensor]:
    """One normal tensor ``[batch, *shape]``."""
    return (torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)),)


def token_input(batch: int, shape: Sequence[int], vocabulary: int) -> tuple[Tensor]:
    """One integer tensor ``[batch, *shape]`` of tokens below ``vocabulary``."""
    return (torch.randint(vocabulary, (batch, *shape), generator=torch.Generator().manual_seed(0)),)
