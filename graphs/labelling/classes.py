"""Neuron classes: which parameter slots must permute as one, found by uniting ids as they meet.

Every slot of every parameter axis starts as an id of its own. Where two axes meet in the computation their ids are
united; where that would put two slots of one axis into one class, the meeting is kept as a coloured relation instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphs.labelling.axis_sets import AxisSets
from graphs.labelling.distinct import count_distinct, distinct, distinct_rows, joint, packed, unique_rows

Array = np.ndarray
Axis = tuple  # (parameter, dimension), or ("in", axis) for containers of slots of that axis


@dataclass(frozen=True)
class Pairs:
    """A relation that every symmetry must keep: rows ``(a[i], b[i], colour[i])`` of ids. ``parent`` marks b as the
    container of a (a head of its neurons)."""

    a: Tensor
    b: Tensor
    colour: Tensor
    parent: bool = False


class NeuronClasses:
    """Union-find over ids, with the axes each class has slots of, and the relations between classes.

    ``epoch`` counts the unions: what was computed from classes holds while it stays.
    """

    def __init__(self) -> None:
        self._size = 0
        self._parent = np.zeros(1024, dtype=np.int64)
        self._axes = np.zeros(1024, dtype=np.int64)  # of a root: the number of its set of axes
        self._met = np.zeros(1024, dtype=bool)
        self._sets = AxisSets()
        self._containers: dict[tuple, int] = {}
        self._parts: set[bytes] = set()
        self.pairs: list[Pairs] = []
        self.marks: list[tuple[Tensor, Tensor]] = []
        self.epoch = 0

    def __len__(self) -> int:
        return self._size

    def new(self, count: int, axis: Axis | None = None) -> Tensor:
        """``count`` fresh ids, each the one slot its class has of ``axis``."""
        first, self._size = self._size, self._size + count
        if self._size > len(self._parent):
            more = max(self._size - len(self._parent), len(self._parent))
            self._parent, self._axes, self._met = (np.pad(a, (0, more)) for a in (self._parent, self._axes, self._met))
        ids = np.arange(first, self._size)
        self._parent[ids] = ids
        if axis is not None:
            self._axes[ids] = self._sets.number(frozenset([axis]))
        return torch.from_numpy(ids)

    def _find(self, ids: Array) -> Array:
        roots = self._parent[ids]
        above = self._parent[roots]
        while not np.array_equal(above, roots):
            roots, above = above, self._parent[above]
            self._parent[ids] = roots
        return roots

    def new_apart(self, count: int) -> Tensor:
        """Fresh ids of which no two may ever be united."""
        return self.new(count, ("apart", len(self)))

    def find(self, i: int) -> int:
        return int(self._find(np.array([i]))[0])

    def roots(self, ids: Tensor) -> Tensor:
        """The class of every id, same shape."""
        return torch.from_numpy(np.asarray(self._find(ids.numpy())))

    def untouched(self, ids: Tensor) -> bool:
        """Whether these ids have met nothing: no union, no relation, no mark."""
        return torch.equal(self.roots(ids), ids) and not self._met[ids.numpy()].any()

    def axes(self, ids: Tensor | int) -> frozenset[Axis]:
        """The parameter axes on which the classes of ``ids`` have a slot."""
        numbers = distinct(self._axes[self._find(np.asarray(ids).reshape(-1))])
        return frozenset().union(*(self._sets[i] for i in numbers.tolist()))

    def unite(self, a: Tensor, b: Tensor) -> bool:
        """Unite ``a[i]`` with ``b[i]`` for all i, or nothing: False where a class would get two slots of one axis."""
        x, y = self._find(a.numpy()), self._find(b.numpy())
        low, high = distinct_rows(np.minimum(x, y)[x != y], np.maximum(x, y)[x != y])
        if len(distinct(np.concatenate([low, high]))) < 2 * len(low):
            return self._unite_in_turn(low, high)
        joined = self._sets.joined(self._axes[low], self._axes[high])
        if joined is None:
            return False
        self._parent[high], self._axes[low] = low, joined
        self.epoch += 1
        return True

    def _unite_in_turn(self, a: Array, b: Array) -> bool:
        """:meth:`unite` where one class meets several."""
        merged: dict[int, int] = {}
        axes: dict[int, int] = {}

        def local(i: int) -> int:
            while i in merged:
                i = merged[i]
            return i

        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            x, y = local(x), local(y)
            if x == y:
                continue
            both = self._sets.join(axes.get(x, int(self._axes[x])), axes.get(y, int(self._axes[y])))
            if both is None:
                return False
            low, high = min(x, y), max(x, y)
            merged[high], axes[low] = low, both
        for high, low in merged.items():
            self._parent[high] = low
        for root, number in axes.items():
            self._axes[root] = number
        self.epoch += 1
        return True

    def relate(self, a: Tensor, b: Tensor, positions: list[Tensor], parent: bool = False) -> None:
        """Record that the pairs of classes that meet at the same positions stay together."""
        told = _telling(a, b, positions)
        colour = joint(told) if told else torch.zeros((), dtype=torch.int64)
        self.pairs.append(Pairs(*unique_rows(a, b, colour), parent=parent))
        self._met[a.numpy()] = self._met[b.numpy()] = True

    def mark(self, ids: Tensor, positions: list[Tensor]) -> None:
        """Record that each class keeps the set of pinned positions at which it was seen."""
        self._mark(*unique_rows(ids, joint(positions)))

    def _mark(self, ids: Tensor, seen: Tensor) -> None:
        self.marks.append((ids, seen))
        self._met[ids.numpy()] = True

    def mark_part(self, before: Tensor, after: Tensor) -> None:
        """Where a view or a selection reads only some ids of an axis: every symmetry keeps that set."""
        if before is after:
            return
        part = distinct(after.numpy())
        key = part.tobytes()
        if len(part) < count_distinct(before) and key not in self._parts:
            self._parts.add(key)
            self._mark(torch.from_numpy(part), torch.zeros(len(part), dtype=torch.int64))

    def pin(self, ids: Tensor) -> None:
        """Fix every class of ``ids``."""
        fixed = distinct(ids.numpy())
        self._mark(torch.from_numpy(fixed), torch.arange(len(fixed)))

    def container(self, members: Tensor, ordered: bool = False) -> int:
        """The id of the set of these classes: the same id for the same set (a head is where its neurons are summed), or
        for the same sequence where ``ordered``."""
        roots = self._find(members.numpy().reshape(-1))
        key = (ordered, (roots if ordered else np.sort(roots)).tobytes())
        if key not in self._containers:
            axes = frozenset(("in", axis) for axis in self.axes(members))
            self._containers[key] = container = int(self.new(1))
            self._axes[container] = self._sets.number(axes)
        return self._containers[key]


def _telling(a: Tensor, b: Tensor, positions: list[Tensor]) -> list[Tensor]:
    """The positions without those that every pair meets alike, at any others (a batch index)."""
    if len(positions) > 1 and _count_rows(a, b) * _count_rows(*positions) == _count_rows(a, b, *positions):
        return []
    kept = list(positions)
    for p in positions:
        rest = [q for q in kept if q is not p]
        alike = _count_rows(a, b, *rest) * count_distinct(p) == _count_rows(a, b, *rest, p)
        kept = rest if alike else kept
    return kept


def _count_rows(*columns: Tensor) -> int:
    return len(distinct(packed(*(c.numpy() for c in columns))))
