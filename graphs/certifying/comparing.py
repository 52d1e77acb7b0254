"""How far the outputs of two networks are apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphs.execution.trees import tensors_in

# Values that many times the median of a tensor are no measure of the others.
EXTRAORDINARY = 1e4


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
    """Largest difference relative to the largest ordinary value, or to the element itself where that is larger: masked
    logits of -1e9 hide nothing. Infinite where one is not finite and the other differs."""
    known = torch.isfinite(a) & torch.isfinite(b)
    if not bool(torch.equal(a[~known].nan_to_num(), b[~known].nan_to_num())):
        return math.inf
    if not bool(known.any()):
        raise ValueError("every output is NaN or infinite, so nothing can be certified; use inputs in the usual range")
    size, difference = a[known].abs(), (a - b)[known].abs()
    ordinary = size[size <= EXTRAORDINARY * size[size > 0].median()] if bool(size.any()) else size
    return float((difference / size.clamp(min=max(float(ordinary.max()), 1e-30))).max())
