"""Labels: what every element of a tensor is, as a few broadcast axis vectors, with the two primitives on them.

An element is named by pinned positions and by neuron ids, each varying along some dimensions of the tensor. A symmetry
moves the element with neurons (c1, c2) to the place of the element with neurons (pi(c1), pi(c2)) at the same positions.
``join`` is every pointwise operation (axes that meet are united), ``reduce`` every contraction (an axis disappears).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from graphs.labelling.classes import Axis, NeuronClasses
from graphs.labelling.distinct import count_distinct, joint, unique_rows
from graphs.labelling.tangles import support, tangled

Source = tuple  # ("input", number) | ("place", index) | ("place", index, part) | ("axis", parameter, dimension)


@dataclass(frozen=True)
class Column:
    """One neuron index of the elements: ids broadcastable to the tensor, and where they come from."""

    ids: Tensor
    sources: frozenset[Source] = frozenset()

    @property
    def dims(self) -> set[int]:
        return support(self.ids)


@dataclass(frozen=True)
class Label:
    """The names of a tensor's elements.

    Args:
        positions: pinned position ids, each broadcastable to the tensor.
        columns: neuron ids.
        unit: places of the value itself, read where no neuron axis is (inputs; a layer of one neuron).
        parameters: parameters it was computed from, while it does not depend on the input.
        active: whether it depends on the input of the network.
    """

    positions: tuple[Tensor, ...] = ()
    columns: tuple[Column, ...] = ()
    unit: frozenset[Source] = frozenset()
    parameters: frozenset[int] = frozenset()
    active: bool = False

    def map(self, view: Callable[[Tensor], Tensor]) -> Label:
        """The same names after moving the elements: ``view`` is applied to every vector."""
        columns = tuple(replace(c, ids=view(c.ids)) for c in self.columns)
        return replace(self, positions=tuple(view(p) for p in self.positions), columns=columns)

    def places(self) -> frozenset[Source]:
        """Every place whose value this is a function of, at one step."""
        found = self.unit.union(*(c.sources for c in self.columns))
        return frozenset(s for s in found if s[0] != "axis")

    @property
    def axes(self) -> frozenset[Axis]:
        return frozenset(s[1:] for c in self.columns for s in c.sources if s[0] == "axis")


def narrow(ids: Tensor) -> Tensor:
    """The smallest broadcast form: dimensions along which nothing changes become 1."""
    for d in range(ids.dim()):
        if ids.shape[d] > 1 and (ids.stride(d) == 0 or bool((ids.narrow(d, 0, 1) == ids).all())):
            ids = ids.narrow(d, 0, 1)
    return ids


def align(label: Label, dims: int) -> Label:
    """Broadcast to ``dims`` dimensions by leading ones."""
    return label.map(lambda v: v.reshape((1,) * (dims - v.dim()) + tuple(v.shape)))


def grid(shape: Iterable[int], dims: Iterable[int]) -> tuple[Tensor, ...]:
    """Fresh positions: one vector a dimension among ``dims``."""
    sizes, chosen = list(shape), set(dims)
    return tuple(
        torch.arange(n).view([n if i == d else 1 for i in range(len(sizes))])
        for d, n in enumerate(sizes)
        if d in chosen and n > 1
    )


@dataclass
class Algebra:
    """join and reduce over one set of classes; ``contracted`` collects the neuron axes that reductions removed."""

    classes: NeuronClasses
    contracted: list[Column] = field(default_factory=list)

    def join(self, labels: Iterable[Label], dims: int) -> Label:
        """The label of a pointwise function of tensors that broadcast to ``dims`` dimensions."""
        aligned = [align(label, dims) for label in labels]
        out = aligned[0]
        for label in aligned[1:]:
            out = self._join(out, label)
        return out

    def _join(self, x: Label, y: Label) -> Label:
        active = x.active or y.active
        positions = _merge_positions(x.positions, y.positions)
        kept = list(x.columns)
        for column in y.columns:
            left = self._meet(kept, column, positions)
            if left is not None:
                kept.append(left)
        return Label(
            positions=positions,
            columns=tuple(c for c in kept if (c.dims or not active) and not self._settle(c, positions)),
            unit=x.unit | y.unit,
            parameters=frozenset() if active else x.parameters | y.parameters,
            active=active,
        )

    def _meet(self, kept: list[Column], new: Column, positions: tuple[Tensor, ...]) -> Column | None:
        """Let ``new`` meet the columns of one element; returns what is left of it, None where it is absorbed."""
        for i, old in enumerate(kept):
            if not old.dims & new.dims:
                continue
            sources = old.sources | new.sources
            a, b = unique_rows(self.classes.roots(old.ids), self.classes.roots(new.ids))
            if torch.equal(a, b) or (self._unitable(a, b) and self.classes.unite(a, b)):
                kept[i] = Column(narrow(self.classes.roots(old.ids)), sources)
                return None
            meeting = [p for p in positions if support(p) & (old.dims | new.dims)]
            self.classes.relate(old.ids, new.ids, meeting)
            if len(a) == count_distinct(a):
                kept[i] = replace(old, sources=sources)
                return None
            if len(b) == count_distinct(b):
                kept.pop(i)
                return self._meet(kept, replace(new, sources=sources), positions)
        return new

    def mark_selection(self, label: Label) -> None:
        """Where elements were selected along several axes at once (a diagonal), every symmetry keeps the pairs of
        neurons that are left."""
        for i, x in enumerate(label.columns):
            for y in label.columns[i + 1 :]:
                if not x.dims & y.dims or self._every_pair(x.ids, y.ids):
                    continue
                self.classes.relate(x.ids, y.ids, [p for p in label.positions if support(p) & (x.dims | y.dims)])

    @staticmethod
    def _every_pair(a: Tensor, b: Tensor) -> bool:
        return len(unique_rows(a, b)[0]) == count_distinct(a) * count_distinct(b)

    def entangled(self, label: Label, dims: set[int] | None = None) -> tuple[Column, Column] | None:
        """Two columns that vary along one dimension (among ``dims``) though neither tells the other."""
        for i, x in enumerate(label.columns):
            for y in label.columns[i + 1 :]:
                if not x.dims & y.dims & (x.dims if dims is None else dims):
                    continue
                a, b = unique_rows(x.ids, y.ids)
                if len(a) not in (count_distinct(a), count_distinct(b)):
                    return x, y
        return None

    def pair(self, x: Column, y: Column) -> Column:
        """One neuron a pair that meets, where neither tells the other: heads that share values (grouped queries)."""
        a, b = self.classes.roots(x.ids), self.classes.roots(y.ids)
        pair = joint([a, b])
        ids = self.classes.new_apart(int(pair.max()) + 1)[pair]
        self.classes.relate(ids, a, [])
        self.classes.relate(ids, b, [])
        return Column(ids, x.sources | y.sources)

    @staticmethod
    def _unitable(a: Tensor, b: Tensor) -> bool:
        """Whether the meeting is a function one way or the other, and no class meets another of its own side: the same
        axis seen in another order (rotary halves) must be related, never united."""
        return len(a) in (count_distinct(a), count_distinct(b)) and not bool(torch.isin(a, b).any())

    def _settle(self, column: Column, positions: tuple[Tensor, ...]) -> bool:
        """Tell the classes at which positions they stand; True where the positions alone already name them."""
        meeting = [p for p in positions if support(p) & column.dims]
        if not meeting:
            return False
        self.classes.mark(column.ids, meeting)
        ids, *stands = unique_rows(self.classes.roots(column.ids), *meeting)
        return len(ids) == count_distinct(ids) == count_distinct(joint(stands))

    def reduce(self, label: Label, dims: Iterable[int], keepdim: bool = True) -> Label:
        """The label after a symmetric function over ``dims``: sums, means, maxima, contractions."""
        rank = max([v.dim() for v in (*label.positions, *(c.ids for c in label.columns))], default=0)
        gone = {d % rank for d in dims} if rank else set()
        positions = tuple(p for p in (_reduce_positions(p, gone) for p in label.positions) if p is not None)
        ordered = tangled(self.classes, [c.ids for c in label.columns], label.positions, gone)
        columns: list[Column] = []
        for number, column in enumerate(label.columns):
            left = self._reduce_column(column, gone, number in ordered)
            left = left if left is None else self._meet(columns, left, positions)
            columns += [] if left is None else [left]
        out = replace(label, positions=positions, columns=tuple(columns))
        if keepdim:
            return out
        return out.map(lambda v: v.reshape([n for d, n in enumerate(v.shape) if d not in gone]))

    def fold(self, label: Label, dims: set[int]) -> Label:
        """The label after a function over ``dims`` that heeds the order along them: like :meth:`reduce`, but neurons of
        one slice keep their order in it."""
        columns = [c for c in label.columns if not c.dims & dims]
        for column in (c for c in label.columns if c.dims & dims):
            left = self._meet(columns, self._fold_column(column, dims), label.positions)
            columns += [] if left is None else [left]
        return replace(label, columns=tuple(columns))

    def _fold_column(self, column: Column, dims: set[int]) -> Column:
        rest = [d for d in range(column.ids.dim()) if d not in dims]
        rows = column.ids.permute(*rest, *sorted(dims))
        rows = rows.reshape(rows.shape[: len(rest)].numel(), -1)
        ids = torch.tensor([self.classes.container(row, ordered=True) for row in rows])
        order = torch.unique(rows, dim=1, return_inverse=True)[1]
        self.classes.relate(rows, ids[:, None], [order[None, :]])
        shape = [1 if d in dims else n for d, n in enumerate(column.ids.shape)]
        return Column(narrow(ids.view(shape)), column.sources)

    def _mark_repeats(self, ids: Tensor) -> None:
        """A neuron that enters a sum twice is not like one that enters once."""
        count = _repeats(ids.reshape(1, -1))
        if count_distinct(count) > 1:
            self.classes.mark(ids.reshape(-1), [count.reshape(-1)])

    def _reduce_column(self, column: Column, gone: set[int], ordered: bool) -> Column | None:
        if not column.dims & gone:
            return column
        self.contracted.append(column)
        if ordered:
            left = self._fold_column(column, gone)
            return left if left.dims else None
        if column.dims <= gone:
            self._mark_repeats(column.ids)
            return None
        rest = [d for d in range(column.ids.dim()) if d not in gone]
        rows = column.ids.permute(*rest, *sorted(gone))
        outer = rows.shape[: len(rest)]
        rows = rows.reshape(outer.numel(), -1)
        ids = torch.tensor([self.classes.container(row) for row in rows])
        self.classes.relate(rows, ids[:, None], [_repeats(rows)], parent=True)
        shape = [n if d not in gone else 1 for d, n in enumerate(column.ids.shape)]
        return Column(narrow(ids.view(shape)), column.sources)


def _repeats(rows: Tensor) -> Tensor:
    """How often each id stands in its row, same shape."""
    keys = rows + (int(rows.max()) + 1) * torch.arange(len(rows))[:, None]
    _, inverse, count = torch.unique(keys, return_inverse=True, return_counts=True)
    return count[inverse]


def _merge_positions(x: tuple[Tensor, ...], y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """All positions of both, without those that another already tells."""
    kept: list[Tensor] = []
    for new in (*x, *y):
        if support(new) and not any(_tells(old, new) for old in kept):
            kept.append(new)
    return tuple(kept)


def _tells(old: Tensor, new: Tensor) -> bool:
    """Whether ``new`` is a function of ``old``."""
    if not support(new) <= support(old):
        return False
    return torch.equal(old, new) or len(unique_rows(old, new)[0]) == count_distinct(old)


def _reduce_positions(positions: Tensor, gone: set[int]) -> Tensor | None:
    left = support(positions) - gone
    if not support(positions) & gone:
        return positions
    if not left:
        return None
    shape = [n if d in left else 1 for d, n in enumerate(positions.shape)]
    return torch.arange(torch.Size(shape).numel()).view(shape)
