"""The Fourier encoder in plain torch: short, on any device, differentiable twice; the ground truth of its kernels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphs.kernels.fourier.operands import FourierOperands


def fourier_linear(t: FourierOperands, target: Tensor | None, kind: Tensor | None) -> Tensor:
    """The equation of :func:`graphs.kernels.fourier_linear`, with every feature of every edge in memory.

    Shapes: target and kind ``[E]``, the destination and the kind of each edge; ``[E, D]`` in the dtype of the values.
    """
    angle = t.values.to(t.compute_dtype) @ t.frequencies.T * (2 * math.pi)
    out = torch.cat([angle.cos(), angle.sin()], dim=1) @ t.weight.T + t.bias
    if t.nodes is not None and target is not None:
        out = out + t.nodes.index_select(0, target)
    if t.kinds is not None and kind is not None:
        out = out + t.kinds.index_select(0, kind)
    return out.to(t.values.dtype)
