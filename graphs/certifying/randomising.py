"""Random weights in the place of initial ones, whose accidental symmetries they do not have."""

from __future__ import annotations

import math

import torch
from torch import nn


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Break the accidental symmetries of initial weights (ones, zeros, NaN), buffers included; variances stay positive
    and infinities where they are."""
    seen: set[int] = set()
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if not tensor.is_floating_point() or tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            noise = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator).to(tensor.device)
            known = tensor.nan_to_num(1.0 if "var" in name else 0.0, math.inf, -math.inf)
            finite = known[known.isfinite()]
            scale = float(finite.std()) + 0.1 if finite.numel() > 1 else 0.1
            tensor.copy_(known * noise.mul(0.3).exp() if "var" in name else known + 0.3 * scale * noise)
