"""Neurons that two columns name only together: experts and their neurons, heads and the values that they share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from graphs.labelling.classes import Axis, count_distinct
from graphs.labelling.labels import Algebra, Column, Label
from graphs.labelling.recording import Recording, in_order, place_sources
from graphs.labelling.storages import Storages


@dataclass
class _Split:
    """Axes of a parameter whose slots are other neurons at every slot of ``outer``.

    Args:
        outer: the axis that is no axis of neurons any more. first: its first id.
        inner: axis -> (its first id, ids ``[outer, slots]``).
    """

    outer: Axis
    first: int
    inner: dict[Axis, tuple[int, Tensor]]


@dataclass
class Compounds:
    """Makes such neurons, in labels of activations and of parameters.

    Args:
        tensors: parameter number -> tensor.
        copied: parameters of which something was computed before any input.
        computed: those among them of which it was a sum, or with others; their axes stay as they are.
    """

    algebra: Algebra
    recording: Recording
    storages: Storages
    null: int
    tensors: dict[int, Tensor] = field(default_factory=dict)
    copied: set[int] = field(default_factory=set)
    computed: set[int] = field(default_factory=set)
    _splits: dict[int, _Split] = field(default_factory=dict)
    _pairs: dict[tuple, Column] = field(default_factory=dict)

    def together(self, label: Label, dim: int, module: str) -> Label:
        """The label of an activation with a place for two columns that vary along ``dim`` though neither tells the
        other: what reads along it reads them as one."""
        while label.active and (found := self.algebra.entangled(label, {dim})) is not None:
            others = tuple(c for c in label.columns if all(c is not f for f in found))
            label = replace(label, columns=(*others, self._pair(*found, module)))
        return label

    def untie(self, label: Label) -> None:
        """Split the axes of a parameter of which two lie along one dimension (experts and their neurons, flattened)."""
        found = self.algebra.entangled(label)
        if found is not None and not label.active:
            self.split(label, found[0], [found[1]], together=False)

    def _pair(self, x: Column, y: Column, module: str) -> Column:
        """A place of its own for the pairs of an activation, the same whenever it is read."""
        key = tuple((*c.ids.shape, c.ids.numpy().tobytes()) for c in (x, y))
        if key not in self._pairs:
            ids = self.algebra.pair(x, y).ids
            place = self.recording.place(in_order(ids), count_distinct(ids), "", "hidden", module)
            for source in (*place_sources(x.sources), *place_sources(y.sources)):
                self.recording.link(source, place)
            self._pairs[key] = Column(ids, frozenset([("place", place)]))
        return self._pairs[key]

    def split(self, label: Label, outer: Column, inner: list[Column], together: bool = True) -> bool:
        """Give every slot of ``outer`` slots of its own along the ``inner`` axes of a parameter, where nothing has met
        them yet; ``together``: all those of one slot belong to one neuron."""
        axes = [self._whole_axis(label, c) for c in (outer, *inner)]
        if len(label.parameters) != 1 or label.parameters & self.computed or not all(axes):
            return False
        first = {axis: int(self.recording.axis_ids[axis].min()) for axis in axes}  # type: ignore[index]
        split = _Split(axes[0], first[axes[0]], {})  # type: ignore[arg-type]
        parents = self.recording.axis_ids.pop(split.outer)
        for axis in axes[1:]:
            assert axis is not None
            ids = [
                self.algebra.classes.new(self.recording.axis_ids[axis].numel(), (*axis, e))
                for e in range(parents.numel())
            ]
            table = torch.stack(ids)
            split.inner[axis] = (first[axis], table)
            if together:
                self.algebra.classes.relate(table, parents.view(-1, 1), [], parent=True)
            where = (
                table.shape[0] if d == split.outer[1] else table.shape[1] if d == axis[1] else 1
                for d in range(parents.dim())
            )
            self.recording.axis_ids[axis] = (table if split.outer[1] < axis[1] else table.T).reshape(tuple(where))
        number = next(iter(label.parameters))
        self._splits[number] = split
        self.algebra.classes.epoch += 1  # labels given before name neurons that are no more
        tensor = self.tensors[number]
        self.storages.write(tensor, self.renamed(self.storages.read(tensor)), self.null)
        return True

    def keep_shared_in_order(self) -> None:
        """Where slots of the outer axis came to share neurons, only their order tells their elements apart: no symmetry
        exchanges them."""
        classes = self.algebra.classes
        for split in self._splits.values():
            tables = [table for _, table in split.inner.values()]
            if any(count_distinct(classes.roots(table)) < table.numel() for table in tables):
                for table in tables:
                    classes.mark(table, [torch.arange(len(table)).view(-1, 1)])

    def _whole_axis(self, label: Label, column: Column) -> Axis | None:
        """The axis that a column shows as a whole, where nothing has met it."""
        axes = [s[1:] for s in column.sources if s[0] == "axis"]
        ids = self.recording.axis_ids.get(axes[0]) if len(axes) == 1 else None
        if ids is None or ids.numel() != max(ids.shape) or count_distinct(column.ids) != ids.numel():
            return None
        return axes[0] if self.algebra.classes.untouched(ids) else None

    def renamed(self, label: Label) -> Label:
        """Labels made before the axes of a parameter were split name the new neurons."""
        split = self._splits.get(next(iter(label.parameters))) if len(label.parameters) == 1 else None
        outer = next((c for c in label.columns if split and ("axis", *split.outer) in c.sources), None)
        if split is None or outer is None:
            return label
        columns = []
        for column in label.columns:
            axis = next((s[1:] for s in column.sources if s[1:] in split.inner), None)
            if axis is not None:
                first, table = split.inner[axis]
                column = replace(column, ids=table[outer.ids - split.first, column.ids - first])
            columns += [] if column is outer else [column]
        return replace(label, columns=tuple(columns))
