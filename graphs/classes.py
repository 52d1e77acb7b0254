"""Neuron classes: which parameter slots must permute as one, found by uniting ids as they meet.

Every slot of every parameter axis starts as an id of its own. Where two axes meet in the computation their ids are
united; where that would put two slots of one axis into one class, the meeting is kept as a coloured relation instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Axis = tuple  # (parameter, dimension), or ("in", axis) for containers of slots of that axis


@dataclass(frozen=True)
class Pairs:
    """A relation that every symmetry must keep: rows ``(a[i], b[i], colour[i])`` of ids. ``parent`` marks b as the
    container of a (a head of its neurons)."""

    a: Tensor
    b: Tensor
    colour: Tensor
    parent: bool = False


def share_axis(a: frozenset[Axis], b: frozenset[Axis]) -> bool:
    """Whether two classes have slots on one parameter axis: they are then two neurons, never one."""
    return bool(a & b)


def unique_rows(*columns: Tensor) -> tuple[Tensor, ...]:
    """The distinct rows, in lexicographic order, of columns that broadcast together."""
    table = torch.stack([c.reshape(-1) for c in torch.broadcast_tensors(*columns)], 1)
    return tuple(torch.unique(table, dim=0).unbind(1))


def count_distinct(ids: Tensor) -> int:
    return int(torch.unique(ids).numel())


class NeuronClasses:
    """Union-find over ids, with the axes each class has slots of, and the relations between classes."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._axes: dict[int, frozenset[Axis]] = {}
        self._containers: dict[tuple, int] = {}
        self.pairs: list[Pairs] = []
        self.marks: list[tuple[Tensor, Tensor]] = []
        self._parts: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._parent)

    def new(self, count: int, axis: Axis | None = None) -> Tensor:
        """``count`` fresh ids, each the one slot its class has of ``axis``."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        if axis is not None:
            self._axes.update((i, frozenset([axis])) for i in range(first, first + count))
        return torch.arange(first, first + count)

    def new_apart(self, count: int) -> Tensor:
        """Fresh ids of which no two may ever be united."""
        return self.new(count, ("apart", len(self)))

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def roots(self, ids: Tensor) -> Tensor:
        """The class of every id, same shape."""
        distinct, inverse = torch.unique(ids, return_inverse=True)
        return torch.tensor([self.find(i) for i in distinct.tolist()], dtype=torch.int64)[inverse].view(ids.shape)

    def untouched(self, ids: Tensor) -> bool:
        """Whether these ids have met nothing: no union, no relation, no mark."""
        met = [t for pairs in self.pairs for t in (pairs.a, pairs.b)] + [marked for marked, _ in self.marks]
        return torch.equal(self.roots(ids), ids) and not (met and bool(torch.isin(ids, torch.cat(met)).any()))

    def axes(self, i: int) -> frozenset[Axis]:
        """The parameter axes on which the class of ``i`` has a slot."""
        return self._axes.get(self.find(i), frozenset())

    def unite(self, a: Tensor, b: Tensor) -> bool:
        """Unite ``a[i]`` with ``b[i]`` for all i, or nothing: False where a class would get two slots of one axis."""
        merged: dict[int, int] = {}
        axes: dict[int, frozenset[Axis]] = {}

        def local(i: int) -> int:
            i = self.find(i)
            while i in merged:
                i = merged[i]
            return i

        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            x, y = local(x), local(y)
            if x == y:
                continue
            left, right = axes.get(x, self._axes.get(x, frozenset())), axes.get(y, self._axes.get(y, frozenset()))
            if share_axis(left, right):
                return False
            low, high = min(x, y), max(x, y)
            merged[high], axes[low] = low, left | right
        for high, low in merged.items():
            self._parent[high] = low
        self._axes.update({root: members for root, members in axes.items() if root not in merged})
        return True

    def relate(self, a: Tensor, b: Tensor, positions: list[Tensor], parent: bool = False) -> None:
        """Record that the pairs of classes that meet at the same positions stay together."""
        told = _telling(a, b, positions)
        colour = joint(told) if told else torch.zeros((), dtype=torch.int64)
        self.pairs.append(Pairs(*unique_rows(a, b, colour), parent=parent))

    def mark(self, ids: Tensor, positions: list[Tensor]) -> None:
        """Record that each class keeps the set of pinned positions at which it was seen."""
        self.marks.append(unique_rows(ids, joint(positions)))  # type: ignore[arg-type]

    def mark_part(self, before: Tensor, after: Tensor) -> None:
        """Where a view or a selection reads only some ids of an axis: every symmetry keeps that set."""
        part = torch.unique(after)
        key = part.numpy().tobytes()
        if len(part) < count_distinct(before) and key not in self._parts:
            self._parts.add(key)
            self.mark(part, [torch.zeros_like(part)])

    def pin(self, ids: Tensor) -> None:
        """Fix every class of ``ids``."""
        distinct = torch.unique(ids)
        self.marks.append((distinct, torch.arange(len(distinct))))

    def container(self, members: Tensor, ordered: bool = False) -> int:
        """The id of the set of these classes: the same id for the same set (a head is where its neurons are summed), or
        for the same sequence where ``ordered``."""
        roots = self.roots(members).tolist()
        key = ("in order", *roots) if ordered else tuple(sorted(roots))
        if key not in self._containers:
            container = self._containers[key] = int(self.new(1))
            self._axes[container] = frozenset(("in", axis) for i in set(roots) for axis in self.axes(i))
        return self._containers[key]


def joint(positions: list[Tensor]) -> Tensor:
    """One number a distinct combination of the positions, in lexicographic order; broadcast together."""
    columns = torch.broadcast_tensors(*positions)
    table = torch.stack([c.reshape(-1) for c in columns], 1)
    return torch.unique(table, dim=0, return_inverse=True)[1].view(columns[0].shape)


def _telling(a: Tensor, b: Tensor, positions: list[Tensor]) -> list[Tensor]:
    """The positions without those that every pair meets alike, at any others (a batch index)."""
    kept = list(positions)
    for p in positions:
        rest = [q for q in kept if q is not p]
        alike = len(unique_rows(a, b, *rest)[0]) * count_distinct(p) == len(unique_rows(a, b, *rest, p)[0])
        kept = rest if alike else kept
    return kept
