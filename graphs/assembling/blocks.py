"""Uses become parameter blocks: where each slot of each axis stands in its site, written as boxes of P."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from graphs.assembling.checking import is_movable
from graphs.assembling.naming import Names
from graphs.assembling.placing import SiteDraft
from graphs.boxes import pieces
from graphs.labelling.classes import Axis
from graphs.labelling.distinct import numbered
from graphs.labelling.recording import Use
from graphs.layout import Entry
from graphs.topology import EDGE_KINDS, NODE_KINDS, BoxAxis, ParameterBlock

Array = np.ndarray
MAX_PIECES = 256


class LostAxis(LookupError):
    """A parameter axis that permutes but stands at no site of its use, or in no box."""

    def __init__(self, axis: Axis) -> None:
        super().__init__(axis)
        self.axis = axis


@dataclass
class _Dimension:
    """Along one dimension of a parameter: offset in P, target entry, source entry and tap of each slot used."""

    offset: Array
    target: Array
    source: Array
    tap: Array

    def table(self) -> Array:
        return np.stack([self.offset, self.target, self.source, self.tap], 1)


@dataclass(frozen=True)
class Locator:
    """Finds the slots of parameter axes at the sites of a use."""

    names: Names
    sites: list[SiteDraft]
    site_of: list[int]
    axis_ids: dict[Axis, Array]
    uses: list[Use]
    placed: dict[Axis, Array] = field(default_factory=dict)

    def require_all_movable(self, by_use: Sequence[Sequence[ParameterBlock]]) -> None:
        """Raise LostAxis where several uses between the same sites (slices of a product of parameters) tell their
        elements apart no more, or where a slot that permutes is in no block: a symmetry would leave it behind."""
        together: dict[tuple, set[tuple[ParameterBlock, ...]]] = {}
        for blocks in by_use:
            for block in blocks[:1]:
                together.setdefault((block.parameter, block.source, block.target), set()).add(tuple(blocks))
        for (parameter, source, target), uses in together.items():
            several = list(dict.fromkeys(itertools.chain(*uses)))
            at_sites = source is not None or target is not None
            if len(uses) > 1 and at_sites and not is_movable(several, self.sites, self.names):
                for axis in (a for a in self.placed if a[0] == parameter):
                    self._require_pinned(self.axis_ids[axis], axis)
        for axis, placed in self.placed.items():
            ids = np.moveaxis(self.axis_ids[axis], axis[1], 0)
            if len(ids) == len(placed) and not placed.all():
                self._require_pinned(ids[~placed], axis)

    def blocks(self, use: Use, entry: Entry) -> list[ParameterBlock]:
        """The use as one block, or several where it is no single box. Raises LostAxis."""
        source = None if use.source is None else self.site_of[use.source]
        target = None if use.destination is None else self.site_of[use.destination]
        if target is None or (source is None and not use.slots and self.sites[target].size > 1):
            source = target = None  # a number that all neurons share is a feature of the graph
        if target is None:
            for axis in use.slots:
                self._require_pinned(self.axis_ids[axis], axis)
        if not all(len(self._slots(use, d, n)) for d, n in enumerate(entry.shape)):
            for axis in use.slots:  # its neurons have since become others
                self._require_pinned(self.axis_ids[axis], axis)
            return []
        dims, flat = self._dimensions(use, entry, source, target)
        split = [pieces(d.table()) for d in dims]
        if np.prod([len(s) for s in split]) > MAX_PIECES:
            for axis in use.slots:
                self._require_pinned(self.axis_ids[axis], axis)
        assert entry.offset is not None
        built = []
        for parts in itertools.product(*split):
            first = np.sum([start for start, _ in parts], axis=0) if parts else np.zeros(4, dtype=np.int64)
            if any(steps[3] and (steps[1] or steps[2]) for _, box in parts for _, steps in box):
                for axis in use.slots:
                    self._require_pinned(self.axis_ids[axis], axis)
            axes = [BoxAxis(n, *steps[:3]) for _, box in parts for n, steps in box] + _kernel(use, entry)
            kind = _kind(use.kind, source is not None, any(a.is_tap for a in axes))
            place = (entry.offset + int(first[0]), int(first[2]), int(first[1]))
            built.append(ParameterBlock(use.parameter, kind, source, target, *place, _sorted(axes), flat))
        if is_movable(built, self.sites, self.names):
            return built
        for axis in use.slots:
            self._require_pinned(self.axis_ids[axis], axis)
        return [_as_feature(b) for b in built]

    def _dimensions(
        self, use: Use, entry: Entry, source: int | None, target: int | None
    ) -> tuple[list[_Dimension], bool]:
        shape, flat = entry.shape, False
        strides = [int(np.prod(shape[d + 1 :])) for d in range(len(shape))]
        dims = []
        for d, n in enumerate(shape):
            slots = self._slots(use, d, n)
            zero = np.zeros(len(slots), dtype=np.int64)
            dims.append(_Dimension(slots * strides[d], zero.copy(), zero.copy(), zero.copy()))
        for d in range(len(shape)):
            axis = (use.parameter, d)
            if axis not in self.axis_ids:
                continue  # a single slot that all share
            if axis not in use.slots:
                self._require_pinned(self.axis_ids[axis], axis)
                continue
            ids = self._window(use, axis, shape)
            self.placed.setdefault(axis, np.zeros(shape[d], dtype=bool))[self._slots(use, d, shape[d])] = True
            for part, site in self._ends(use, axis, source, target):
                found = self._locate(ids, site)
                if found is None or (site is not None and self.sites[site].entries is None):
                    self._require_pinned(ids, axis)
                if found is None or not all(_is_sum(values) for values in found if values is not None):
                    self._require_pinned(ids, axis)
                    continue
                entries, taps = found
                _add(dims, entries, part)
                if taps is not None:
                    flat = True
                    _add(dims, taps, "tap")
        kernel = 2 if use.kind == "conv" else len(shape)
        return dims[:kernel], flat

    def _ends(self, use: Use, axis: Axis, source: int | None, target: int | None) -> list[tuple[str, int | None]]:
        """Where an axis stands: read at the source, written at the target, or both (a depthwise kernel)."""
        if axis in use.source_axes:
            return [("source", source)]
        both = source is not None and not use.source_axes and self.sites[source].entries is not None
        return [("target", target), ("source", source)] if both else [("target", target)]

    def _require_pinned(self, ids: Array, axis: Axis) -> None:
        if self.names.any_permutes(ids):
            raise LostAxis(axis)

    def _slots(self, use: Use, dim: int, n: int) -> Array:
        """The slots that took part: all, unless the axis permutes and a slice of it was read."""
        axis = (use.parameter, dim)
        if axis not in use.slots or n == 1:
            return np.arange(n)
        ids = self.axis_ids[axis]
        read = self._same(ids, use.slots[axis].numpy())
        read = np.broadcast_to(read, [m if i != dim else n for i, m in enumerate(ids.shape)])
        used = read.any(axis=tuple(i for i in range(read.ndim) if i != dim))
        if used.all():
            return np.arange(n)
        return np.flatnonzero(used) if self.names.any_permutes(ids) or self._divided(use, axis) else np.arange(n)

    def _divided(self, use: Use, axis: Axis) -> bool:
        """Whether another use reads other slots of a pinned axis (stacked layers, experts); otherwise the axis belongs
        to the use as a whole, however much of it the probe read (a table of positions)."""
        others = [u.slots[axis].numpy() for u in self.uses if u.parameter == use.parameter and axis in u.slots]
        return any(not np.isin(use.slots[axis].numpy(), slots).any() for slots in others)

    def _same(self, ids: Array, slots: Array) -> Array:
        """Which ids name the same neuron at the same rank as one of ``slots``."""
        names, big = self.names, self._ranks
        return np.isin(names.vertex[ids] * big + names.rank[ids], names.vertex[slots] * big + names.rank[slots])

    def _window(self, use: Use, axis: Axis, shape: tuple[int, ...]) -> Array:
        """The ids of an axis over the slots used, as an array over the parameter's dimensions."""
        ids = self.axis_ids[axis]
        chosen = [
            self._slots(use, d, n) if ids.shape[d] > 1 else np.zeros(1, dtype=np.int64) for d, n in enumerate(shape)
        ]
        return ids[np.ix_(*chosen)]

    def _locate(self, ids: Array, site: int | None) -> tuple[Array, Array | None] | None:
        """Entry of each id in the site, and its tap where the site shows the neuron at fewer ranks; None if absent."""
        if site is None:
            return None
        draft = self.sites[site]
        if draft.entries is None:
            distinct, slot = numbered(ids)
            return (slot, None) if len(distinct) == draft.size else None
        entries, (vertex, rank) = np.array(draft.entries), (self.names.vertex[ids], self.names.rank[ids])
        exact = _find(entries[:, 0] * self._ranks + entries[:, 1], vertex * self._ranks + rank)
        if exact is not None:
            return exact, None
        once = len(np.unique(entries[:, 0])) == len(entries)
        place = _find(entries[:, 0], vertex) if once else None
        return None if place is None else (place, numbered(rank)[1])

    @cached_property
    def _ranks(self) -> int:
        """More than any rank."""
        return int(self.names.rank.max()) + 1


def _find(among: Array, values: Array) -> Array | None:
    """Where each value is found last among others; None where one is absent."""
    order = among.argsort(kind="stable")
    place = order[np.maximum(np.searchsorted(among, values, side="right", sorter=order) - 1, 0)]
    return place if np.array_equal(among[place], values) else None


def _is_sum(values: Array) -> bool:
    """Whether values over several dimensions are a sum of a function of each index, as in a box."""
    return np.array_equal(sum(_lines(values), start=values.reshape(-1)[0]), values)


def _lines(values: Array) -> list[Array]:
    """What each index adds to the first value."""
    corner = values[tuple(slice(0, 1) for _ in values.shape)]
    return [
        values[tuple(slice(None) if i == d else slice(0, 1) for i in range(values.ndim))] - corner
        for d in range(values.ndim)
    ]


def _add(dims: list[_Dimension], values: Array, part: str) -> None:
    """Share such values over the dimensions; the first value goes to the first dimension."""
    for d, line in enumerate(_lines(values)):
        first = values.reshape(-1)[0] if d == 0 else 0
        setattr(dims[d], part, getattr(dims[d], part) + line.reshape(-1) + first)


def _kernel(use: Use, entry: Entry) -> list[BoxAxis]:
    """The kernel positions of a convolution, sides of length 1 included: a row is no column. None for 1x1."""
    sides = entry.shape[2:] if use.kind == "conv" else ()
    if all(n == 1 for n in sides):
        return []
    return [BoxAxis(n, int(np.prod(sides[d + 1 :])), 0, 0) for d, n in enumerate(sides)]


def _kind(kind: str, edge: bool, taps: bool) -> str:
    known = EDGE_KINDS if edge else NODE_KINDS
    return kind if kind in known and not (kind == "bias" and taps) else "other"


def _as_feature(block: ParameterBlock) -> ParameterBlock:
    """The same elements as a feature of the whole graph."""
    axes = tuple(BoxAxis(a.size, a.stride, 0, 0) for a in block.axes)
    return replace(block, kind="other", source=None, target=None, first_source=0, first_target=0, axes=axes)


def _sorted(axes: list[BoxAxis]) -> tuple[BoxAxis, ...]:
    """Target axes outermost, then source axes, taps innermost: the order of edges."""
    rank = {axis: i for i, axis in enumerate(dict.fromkeys(axes))}
    return tuple(sorted(axes, key=lambda a: (-abs(a.target), a.is_tap, -abs(a.source), rank[a])))
