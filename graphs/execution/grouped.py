"""Grouped matrix products in float64, for which torch has no kernel: experts in a network that is certified."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class GroupedInDouble(TorchDispatchMode):
    """Runs ``_grouped_mm`` of float64 group by group.

    >>> with GroupedInDouble():
    ...     torch._grouped_mm(torch.ones(3, 2).double(), torch.ones(2, 2, 1).double(), torch.tensor([1, 3]).int()).T
    tensor([[2., 2., 2.]], dtype=torch.float64)
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._grouped_mm.default and args[0].dtype == torch.float64:
            return grouped_mm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def grouped_mm(
    left: Tensor, right: Tensor, offs: Tensor | None = None, bias: None = None, out_dtype: torch.dtype | None = None
) -> Tensor:
    """Products of groups of rows or columns that end at ``offs``: ``[t, k] @ [e, k, n]``, ``[e, m, k] @ [k, t]`` or
    ``[m, t] @ [t, n]``; rows after the last group are zero."""
    if offs is None:
        return left @ right
    ends = offs.tolist()
    spans = [slice(a, max(a, b)) for a, b in zip([0, *ends], ends, strict=False)]
    if left.dim() == 3:
        return grouped_mm(right.mT, left.mT, offs).mT
    if right.dim() == 2:
        return torch.stack([left[:, s] @ right[s] for s in spans])
    rows = [left[s] @ weight for s, weight in zip(spans, right, strict=True)]
    return torch.cat([*rows, left.new_zeros(len(left) - ends[-1], right.shape[-1])])
