"""Which axes of neurons a sum may not take one by one: those of which only some combinations are summed.

A sum over neurons (a, b) keeps every symmetry of a and of b where each a meets each b. A diagonal, a triangle or a
part of them is another sum as soon as only one of the two is permuted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from graphs.labelling.classes import NeuronClasses
from graphs.labelling.distinct import count_distinct, distinct_rows, joint, packed, unique_rows

Array = np.ndarray


def tangled(
    classes: NeuronClasses, columns: Sequence[Tensor], positions: Sequence[Tensor], gone: set[int]
) -> frozenset[int]:
    """The columns (by number) that a sum over the dimensions ``gone`` must take in order.

    Where one column tells another, or the position, the relation between the two is recorded; that is enough.

    Args:
        columns, positions: ids broadcastable to the tensor that is summed.
    """
    found: set[int] = set()
    for numbers, stands in _components(columns, positions, gone):
        slices = _slices(stands, gone) if stands else []
        place = [joint([*stands, *slices])] if stands else []
        free = _untold(classes, {i: columns[i] for i in numbers}, place, slices)
        if free and len(free) + len(place) > 1 and not _every_combination([*free.values(), *place], gone):
            found |= free.keys()
    return frozenset(found)


def _components(
    columns: Sequence[Tensor], positions: Sequence[Tensor], gone: set[int]
) -> Iterable[tuple[list[int], list[Tensor]]]:
    """Columns and positions that vary together along dimensions that are summed; only where there is more than one."""
    left = [(i, ids) for i, ids in (*enumerate(columns), *((None, p) for p in positions)) if support(ids) & gone]
    while left:
        _, ids = left[0]
        dims, before = support(ids) & gone, set()
        while dims != before:
            before = dims
            dims = dims.union(*(support(v) & gone for _, v in left if support(v) & dims))
        inside = [(i, v) for i, v in left if support(v) & dims]
        left = [(i, v) for i, v in left if not support(v) & dims]
        numbers = [i for i, _ in inside if i is not None]
        if numbers and len(inside) > 1:
            yield numbers, [v for i, v in inside if i is None]


def _slices(positions: list[Tensor], gone: set[int]) -> list[Tensor]:
    """The numbers of the slices that are summed, along the dimensions where positions differ between them."""
    shape = torch.broadcast_shapes(*(p.shape for p in positions))
    return [
        torch.arange(n).view([n if i == d else 1 for i in range(len(shape))])
        for d, n in enumerate(shape)
        if n > 1 and d not in gone
    ]


def _untold(
    classes: NeuronClasses, columns: dict[int, Tensor], place: list[Tensor], slices: list[Tensor]
) -> dict[int, Tensor]:
    """The columns that no other column tells; ``place`` is emptied where a column tells it in every slice."""
    free = dict(columns)
    for i, x in columns.items():
        for j, y in columns.items():
            if i != j and i in free and j in free and _tells(x, y):
                classes.relate(x, y, [])
                del free[j]
    for i, x in list(free.items()):
        told = any(_tells(joint([x, *slices]), p) for p in place)
        if told or any(_tells(p, x) for p in place):
            classes.mark(x, place)
            if told:
                place.clear()
            else:
                del free[i]
    return free


def _tells(x: Tensor, y: Tensor) -> bool:
    return len(unique_rows(x, y)[0]) == count_distinct(x)


def _every_combination(vectors: list[Tensor], gone: set[int]) -> bool:
    """Whether every slice that is summed holds each combination of what it holds of each vector, equally often."""
    shape = torch.broadcast_shapes(*(v.shape for v in vectors))
    kept = [n if d not in gone else 1 for d, n in enumerate(shape)]
    rows = np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), shape)
    whole = [np.broadcast_to(v.numpy(), shape) for v in vectors]
    expected = np.prod([np.bincount(distinct_rows(rows, v)[0]) for v in whole], axis=0)
    times = np.unique(packed(rows, *whole), return_counts=True)[1]
    return len(times) == expected.sum() and len(set(times)) == 1


def support(ids: Tensor) -> set[int]:
    """The dimensions along which a vector varies."""
    return {d for d, n in enumerate(ids.shape) if n > 1}
