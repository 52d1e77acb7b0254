"""What each neuron of one network gains at each place of another: inner products of all the weights it touches.

The weights between a neuron and all others are a row of features. With the others where they are now, the inner product
of row u of b with row v of a is what u gains at v in the objective of Git Re-Basin (https://arxiv.org/abs/2209.04836,
equation 1), the inner product of all weights. It is exact but for weights within one unit (recurrent layers), where it
is the linear part around where they are now, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from graphs.aligning.interchange import Parts
from graphs.boxes import spread
from graphs.permuting import elements, uses_of
from graphs.symmetries import first_vertices, site_entries
from graphs.topology import PERMUTING, ParameterBlock, Topology

Array = np.ndarray


class Places:
    """The neurons that permute, numbered through as vertices, and where they stand.

    Attributes:
        group, unit, piece, slot: ``[V]`` of each vertex: its group, the unit of assignment, the piece that moves as a
            whole, and its number within that piece.
        family, local: ``[V]`` the vertices of one group in one unit are a family; the number of each within it.
        families: (unit, group, size) of each family.
        vertex, rank: of each entry of each site; the vertex is -1 where the entry is pinned.
    """

    def __init__(self, topology: Topology, units: list[Parts]) -> None:
        free = np.array([g.kind in PERMUTING for g in topology.groups], dtype=bool)
        first = np.array(first_vertices(topology), dtype=np.int64)
        self.group = np.repeat(np.arange(len(free)), [g.size * f for g, f in zip(topology.groups, free, strict=True)])
        self.unit, self.piece, self.slot, self.local = (np.zeros_like(self.group) for _ in range(4))
        pieces = 0
        for number, unit in enumerate(units):
            members = [leaf[i : i + 1] for leaf in unit.leaves for i in range(len(leaf))]
            for vertices in members + [piece.vertices for bundle in unit.bundles for piece in bundle]:
                self.unit[vertices], self.piece[vertices], self.slot[vertices] = (
                    number,
                    pieces,
                    np.arange(len(vertices)),
                )
                pieces += 1
        pairs = np.stack([self.unit, self.group], 1)
        kinds, self.family, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        self.family = self.family.reshape(-1)
        self.families = [(u, g, n) for (u, g), n in zip(kinds.tolist(), sizes.tolist(), strict=True)]
        for number, (_, _, size) in enumerate(self.families):
            self.local[self.family == number] = np.arange(size)
        self.vertex, self.rank = [], []
        for site in range(len(topology.sites)):
            group, neuron, rank = site_entries(topology, site)
            self.vertex.append(np.where(free[group], first[group] + neuron, -1))
            self.rank.append(rank)

    def image(self, site: int, image: Array) -> Array:
        """Entry to which each entry of the site goes when vertex u goes to ``image[u]``."""
        vertex, rank = self.vertex[site], self.rank[site]
        ranks = int(rank.max(initial=0)) + 1
        keys, moved = vertex * ranks + rank, np.where(vertex < 0, 0, image[vertex]) * ranks + rank
        order = keys.argsort(kind="stable")
        place = np.minimum(np.searchsorted(keys, moved, sorter=order), len(keys) - 1)
        return np.where(vertex < 0, np.arange(len(vertex)), order[place])


@dataclass(frozen=True)
class Elements:
    """Elements of one use as seen from one end, each ``[M]``.

    Args:
        here, there: vertices at this end and the other, -1 where pinned.
        rank, other_rank, entry, tap: rank here and there, entry of the other site, tap.
        a, b: weights of both networks.
    """

    here: Array
    there: Array
    rank: Array
    other_rank: Array
    entry: Array
    tap: Array
    a: Array
    b: Array

    def where(self, mask: Array) -> Elements:
        return self if mask.all() else Elements(*(getattr(self, f.name)[mask] for f in fields(self)))

    def turned(self, entry: Array) -> Elements:
        """The same from the other end; ``entry``: those of the site at this one."""
        ends = {"here": self.there, "there": self.here, "rank": self.other_rank, "other_rank": self.rank}
        return replace(self, **ends, entry=entry)


class Outer:
    """Features whose other end lies in another piece: a column for each (rank, entry of the other site, tap)."""

    def __init__(self, e: Elements, places: Places, site: int | None) -> None:
        self.places, self.site = places, site
        self.rows, row = _numbered(places.local[e.here])
        self.taps, self.entries = int(e.tap.max()) + 1, int(e.entry.max()) + 1
        self.codes, column = _numbered(self._code(e.rank, e.entry, e.tap))
        self.a, self.b = (_table(row, column, v, (len(self.rows), len(self.codes))) for v in (e.a, e.b))

    def _code(self, rank: Array, entry: Array, tap: Array) -> Array:
        return (rank * self.entries + entry) * self.taps + tap

    def features(self, image: Array, known: Array) -> tuple[Array, Array]:
        """Of both networks, with the other end of b moved, where it is known ``[n, F]``."""
        if self.site is None:
            return self.a, self.b
        rest, tap = np.divmod(self.codes, self.taps)
        rank, entry = np.divmod(rest, self.entries)
        vertex = self.places.vertex[self.site][entry]
        seen = (vertex < 0) | known[vertex]
        moved = self._code(rank, self.places.image(self.site, image)[entry], tap)
        return self.a[:, np.searchsorted(self.codes, moved)[seen]], self.b[:, seen]


class Inner:
    """Features with both ends in one piece: the other end counts by its number within the piece, as both move."""

    def __init__(self, e: Elements, places: Places) -> None:
        self.e, self.places = e, places
        self.rows, self.row = _numbered(places.local[e.here])

    def features(self, image: Array, known: Array) -> tuple[Array, Array]:
        e, itself = self.e, self.e.here == self.e.there
        seen = known[e.there] | itself
        slots = (np.where(itself, -1, self.places.slot[there]) for there in (e.there, image[e.there]))
        tables = [np.stack([slot, e.rank, e.other_rank, e.tap], 1)[seen] for slot in slots]
        distinct, column = np.unique(np.concatenate(tables), axis=0, return_inverse=True)
        shape, (first, second) = (len(self.rows), len(distinct)), np.split(column.reshape(-1), 2)
        return _table(self.row[seen], first, e.a[seen], shape), _table(self.row[seen], second, e.b[seen], shape)


def _numbered(values: Array) -> tuple[Array, Array]:
    """The distinct values, which are small, in order, and the number of each: np.unique without a sort."""
    present = np.zeros(int(values.max()) + 1, dtype=bool)
    present[values] = True
    return np.flatnonzero(present), (present.cumsum() - 1)[values]


def _table(row: Array, column: Array, values: Array, shape: tuple[int, int]) -> Array:
    table = np.zeros(shape, values.dtype)
    table[row, column] = values
    return table


class Gains:
    """Gains between two flat weight vectors ``a`` and ``b`` ``[P]`` of one topology; buffers do not count.

    Statistics such as those of batch norm are measured, not learned: their scale is that of the activations, which
    would drown the weights, and they are measured again after interpolation anyway.
    """

    def __init__(self, topology: Topology, units: list[Parts], a: Array, b: Array) -> None:
        self.places = Places(topology, units)
        # By family: the features, and those that are counted at their other end, which lies in the same unit.
        self.counted: list[list[Outer | Inner]] = [[] for _ in self.places.families]
        self.echoes: list[list[Outer | Inner]] = [[] for _ in self.places.families]
        for parameter, uses in uses_of(topology).items():
            for blocks in uses if not topology.entries[parameter].is_buffer else ():
                self._add_use(blocks, a, b)

    def _add_use(self, blocks: list[ParameterBlock], a: Array, b: Array) -> None:
        target, source, tap = elements(blocks)
        offset = np.concatenate([spread(x.offset, [(i.size, i.stride) for i in x.axes]).reshape(-1) for x in blocks])
        (here, rank), (there, other_rank) = self._at(blocks[0].target, target), self._at(blocks[0].source, source)
        written = Elements(here, there, rank, other_rank, source, tap, a[offset], b[offset])
        self._add(written, blocks[0].source, self.counted)
        # A weight of a neuron with itself (a depthwise kernel) is seen at one end alone.
        read = written.where(here != there).turned(target[here != there])
        self._add(read, blocks[0].target, self.echoes)

    def _at(self, site: int | None, entry: Array) -> tuple[Array, Array]:
        if site is None:
            return np.full(len(entry), -1), np.zeros_like(entry)
        return self.places.vertex[site][entry], self.places.rank[site][entry]

    def _add(self, e: Elements, site: int | None, within: list[list[Outer | Inner]]) -> None:
        """The elements of one use from one end; those within one unit go to ``within``."""
        places, e = self.places, e.where(e.here >= 0)
        if not len(e.here):
            return
        free = e.there >= 0
        same_unit = free & (places.unit[e.there] == places.unit[e.here])
        same_piece = free & (places.piece[e.there] == places.piece[e.here])
        family = places.family[e.here]
        for number in np.flatnonzero(np.bincount(family)).tolist():
            mine = family == number
            for mask, target in ((~same_unit, self.counted), (same_unit & ~same_piece, within)):
                if (part := mine & mask).any():
                    target[number].append(Outer(e.where(part), places, site))
            if (part := mine & same_piece).any():
                within[number].append(Inner(e.where(part), places))

    def matrices(self, unit: int, image: Array, known: Array) -> dict[int, Array]:
        """By group ``[n, n]``: what each vertex of b in the unit gains at each place, from what is known."""
        found = {}
        for number, (of, group, size) in enumerate(self.places.families):
            if of == unit:
                found[group] = np.zeros((size, size))
                for part in (*self.counted[number], *self.echoes[number]):
                    a, b = part.features(image, known)
                    found[group][np.ix_(part.rows, part.rows)] += b @ a.T
        return found

    def value(self, unit: int, image: Array) -> float:
        """The inner product of all weights that the unit touches."""
        total, known = 0.0, np.ones(len(image), dtype=bool)
        for number in (n for n, family in enumerate(self.places.families) if family[0] == unit):
            moved = self.places.local[image[self.places.family == number]]
            for part in self.counted[number]:
                a, b = part.features(image, known)
                total += float((a[np.searchsorted(part.rows, moved[part.rows])] * b).sum())
        return total
