"""Tensors that share elements in memory without being one tensor: writing one writes part of another."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def overlapping(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """The names of two tensors that share some elements but are read differently, or of one that overlaps itself.

    >>> weight = torch.zeros(2, 3)
    >>> overlapping({"a": weight, "b": weight}), overlapping({"a": weight[0], "b": weight[1]})
    (None, None)
    >>> overlapping({"a": weight, "b": weight.T})
    ('a', 'b')
    """
    together: dict[int, dict[tuple, str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel() and not tensor.is_meta and tensor.layout == torch.strided:
            views = together.setdefault(tensor.untyped_storage()._cdata, {})
            views.setdefault((tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype), name)
            if any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
                return name, name
    for views in together.values():
        names = sorted(views.values(), key=lambda n: tensors[n].data_ptr())
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                if tensors[second].data_ptr() >= _end(tensors[first]):
                    break
                if _share(tensors[first], tensors[second]):
                    return first, second
    return None


def _end(tensor: Tensor) -> int:
    """The address after the last element."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr() + (reach + 1) * tensor.element_size()


def _share(first: Tensor, second: Tensor) -> bool:
    """Whether some element of one is an element of the other."""
    taken = torch.zeros(_end(first) - first.data_ptr(), dtype=torch.bool)
    ours = _addresses(first)
    taken[ours - first.data_ptr()] = True
    theirs = _addresses(second) - first.data_ptr()
    return bool(taken[theirs[theirs < len(taken)]].any())


def _addresses(tensor: Tensor) -> Tensor:
    """The address of every element."""
    where = torch.tensor(tensor.data_ptr())
    for d, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        step = torch.arange(size) * (stride * tensor.element_size())
        where = where + step.view([-1 if i == d else 1 for i in range(tensor.dim())])
    return where.reshape(-1)
