"""How far the outputs of two networks are apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphs.trees import tensors_in


def difference(before: Any, after: Any) -> float:
    """Largest relative difference of the floating outputs; ValueError where there is none to compare.

    >>> difference({"y": torch.tensor([1.0, 4.0])}, {"y": torch.tensor([2.0, 4.0])})
    0.25
    """
    pairs = list(zip(floating(before), floating(after), strict=True))
    if not pairs:
        raise ValueError("expected a floating output to compare, got none; certify what the outputs are computed from")
    return max(_relative(a, b) for a, b in pairs)


def floating(outputs: Any) -> list[Tensor]:
    """The floating and complex tensors with elements among the outputs."""
    tensors = [t for t in tensors_in(outputs) if t.is_floating_point() or t.is_complex()]
    return [t for t in tensors if t.numel()]


def _relative(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest value; infinite where one is not finite and the other differs."""
    known = torch.isfinite(a) & torch.isfinite(b)
    if not bool(torch.equal(a[~known].nan_to_num(), b[~known].nan_to_num())):
        return math.inf
    if not bool(known.any()):
        raise ValueError("every output is NaN or infinite, so nothing can be certified; use inputs in the usual range")
    return float((a - b)[known].abs().max() / a[known].abs().max().clamp(min=1e-30))
