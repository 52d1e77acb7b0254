"""Gaussian Fourier features of a few numbers, read by a linear map, without the features ever existing all at once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_CPU_ROWS, _DEVICE_ROWS = 1024, 262_144


class FourierLinear(nn.Module):
    """``Linear([cos(2 pi B z), sin(2 pi B z)])`` with B drawn once from N(0, sigma^2) and never trained.

    Random Fourier features (Tancik et al. 2020, https://arxiv.org/abs/2006.10739). The features are made in chunks of
    rows, forward and again backward, which spends a second sine to save a ``[n, 2 * features]`` tensor; on one CPU
    thread that is 2.5 times faster than keeping them.

    Args:
        size: numbers a row, K.
        width: of the output.
        features: frequencies; the linear map has twice as many inputs.
        sigma: standard deviation of the frequencies, in 1 / (unit of z).

    Shapes: values ``[n, K']`` with K' = len(columns) or K; output ``[n, width]``.

    >>> FourierLinear(9, 32, features=16)(torch.zeros(5, 1), torch.tensor([4])).shape
    torch.Size([5, 32])
    """

    frequencies: Tensor

    def __init__(self, size: int, width: int, features: int = 128, sigma: float = 3.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(features, size) * sigma)
        self.linear = nn.Linear(2 * features, width)

    def forward(self, values: Tensor, columns: Tensor | None = None) -> Tensor:
        """``columns`` names the entries of z that ``values`` holds; the others are 0, and cost nothing."""
        frequencies = self.frequencies if columns is None else self.frequencies[:, columns]
        if values.shape[1:] != frequencies.shape[1:]:
            raise ValueError(f"expected values of shape [n, {frequencies.shape[1]}], got {list(values.shape)}")
        with torch.autocast(values.device.type, enabled=False):
            values = values.to(self.linear.weight.dtype)
            return _FourierLinear.apply(values, frequencies, self.linear.weight, self.linear.bias)


class _FourierLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, frequencies: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        angles, phase = _angles(frequencies)
        out = values.new_empty(len(values), len(weight))
        for rows in _chunks(values):
            features = torch.addmm(phase, values[rows], angles).sin_()
            torch.addmm(bias, features, weight.T, out=out[rows])
        ctx.save_for_backward(values, frequencies, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor]:
        values, frequencies, weight = ctx.saved_tensors
        (grad,) = grads
        angles, phase = _angles(frequencies)
        d_values = torch.empty_like(values) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros_like(weight)
        for rows in _chunks(values):
            angle = torch.addmm(phase, values[rows], angles)
            if d_values is not None:
                torch.mm((grad[rows] @ weight).mul_(angle.cos()), angles.T, out=d_values[rows])
            d_weight.addmm_(grad[rows].T, angle.sin_())
        return d_values, None, d_weight, grad.sum(0)


def _angles(frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """``[K, 2 * features]`` and the phase that turns the first half into cosines."""
    half = torch.full((len(frequencies),), math.pi / 2, dtype=frequencies.dtype, device=frequencies.device)
    return torch.cat([frequencies, frequencies]).T * (2 * math.pi), torch.cat([half, torch.zeros_like(half)])


def _chunks(values: Tensor) -> list[slice]:
    size = _CPU_ROWS if values.device.type == "cpu" else _DEVICE_ROWS
    return [slice(start, min(start + size, len(values))) for start in range(0, len(values), size)]
