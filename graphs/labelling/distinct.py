"""Distinct values and rows of integer arrays, by sorting one packed number a row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray
_LARGEST = 2**62


def distinct(values: Array) -> Array:
    """The distinct values, ascending.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    values = values.reshape(-1)
    if _ascends(values):
        return values
    values = np.sort(values)
    return values[np.concatenate([[True], values[1:] != values[:-1]])]


def _ascends(values: Array) -> bool:
    return len(values) < 2 or bool((values[1:] > values[:-1]).all())


def numbered(values: Array) -> tuple[Array, Array]:
    """The distinct values, ascending, and the number of each value among them, in the shape of the values."""
    if _ascends(values.reshape(-1)):
        return values.reshape(-1), np.arange(values.size).reshape(values.shape)
    found, number = np.unique(values, return_inverse=True)
    return found, number.reshape(values.shape)


def packed(*columns: Array) -> Array:
    """One number a row of columns that broadcast together; numbers are ordered as the rows are, lexicographically."""
    columns = tuple(c.astype(np.int64, copy=False) for c in columns)
    if not np.broadcast_shapes(*(c.shape for c in columns)) or not all(c.size for c in columns):
        return np.zeros(np.broadcast_shapes(*(c.shape for c in columns)), dtype=np.int64)
    out, size = np.zeros((1,) * max(c.ndim for c in columns), dtype=np.int64), 1
    for column in columns:
        low = int(column.min())
        span = int(column.max()) - low + 1
        if size * span > _LARGEST:
            found, out = numbered(out)
            size = len(found)
        out, size = out * span + (column - low), size * span
    return out


def distinct_rows(*columns: Array) -> tuple[Array, ...]:
    """The distinct rows of columns that broadcast together, in lexicographic order.

    >>> [c.tolist() for c in distinct_rows(np.array([1, 0, 1]), np.array([5, 7, 5]))]
    [[0, 1], [7, 5]]
    """
    table = [np.array(c).reshape(-1) for c in np.broadcast_arrays(*columns)]
    rows = packed(*table)
    if _ascends(rows):
        return tuple(table)
    order = np.unique(rows, return_index=True)[1]
    return tuple(c[order] for c in table)


def unique_rows(*columns: Tensor) -> tuple[Tensor, ...]:
    """:func:`distinct_rows` of tensors."""
    return tuple(torch.from_numpy(c) for c in distinct_rows(*(c.numpy() for c in columns)))


def count_distinct(ids: Tensor) -> int:
    return len(distinct(ids.numpy()))


def joint(positions: list[Tensor]) -> Tensor:
    """One number a distinct combination of the positions, in lexicographic order; broadcast together."""
    return torch.from_numpy(numbered(packed(*(p.numpy() for p in positions)))[1])
