"""Final names of neurons: every id becomes a vertex and a rank, and vertices fall into cells that permute.

An axis whose slots are told by another axis and a pinned position (a flattened map, the two halves of a gate) gets no
neurons of its own: its slots are the other's neurons at several ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from graphs.labelling.classes import NeuronClasses, Pairs
from graphs.labelling.distinct import distinct, distinct_rows, numbered, packed
from graphs.labelling.recording import Recording
from graphs.refinement import Structure, mix, structure

Array = np.ndarray
Key = tuple[int, int]  # (vertex, rank)


@dataclass(frozen=True)
class Names:
    """Vertex and rank of every id, the cell of every vertex, and which vertices contain others.

    Args:
        vertex, rank: ``[ids]``.
        cell: number of the cell of every vertex ``[ids]``; -1 for ids that are none.
        cell_size: number of vertices of every cell.
        containers: child vertex -> set of vertices that contain it.
        edges: relations between vertices: (a, b, colour) arrays.
    """

    vertex: Array
    rank: Array
    cell: Array
    cell_size: Array
    containers: dict[int, set[int]]
    edges: list[tuple[Array, Array, Array]]

    def keys(self, ids: Array) -> list[Key]:
        """(vertex, rank) of each id."""
        return list(zip(self.vertex[ids].tolist(), self.rank[ids].tolist(), strict=True))

    def permutes(self, vertex: int) -> bool:
        return bool(self.cell_size[self.cell[vertex]] > 1)

    def any_permutes(self, ids: Array) -> bool:
        """Whether some neuron of these ids permutes."""
        return bool((self.cell_size[self.cell[self.vertex[ids]]] > 1).any())


def name_neurons(classes: NeuronClasses, recording: Recording) -> Names:
    """Resolve ids, then refine the vertices into cells."""
    roots = classes.roots(torch.arange(len(classes))).numpy()
    vertex, rank = _derive(roots, classes.pairs)
    edges = _edges(vertex, rank, classes.pairs)
    colours = _colours(vertex, rank, classes, recording)
    vertices = distinct(vertex)
    number = np.full(len(vertex), -1)
    number[vertices] = np.arange(len(vertices))
    compact = [(number[a], number[b], tag) for a, b, tag in edges]
    cells: Structure = structure(colours[vertices], compact)
    _, inverse, count = np.unique(cells.refine(cells.colours), return_inverse=True, return_counts=True)
    cell = np.full(len(vertex), -1)
    cell[vertices] = inverse
    return Names(vertex, rank, cell, count, _containers(vertex, classes.pairs), edges)


def _derive(roots: Array, pairs: list[Pairs]) -> tuple[Array, Array]:
    """Vertex and rank of every id: classes that a relation names by (another class, colour) are not vertices."""
    vertex, rank = roots.copy(), np.zeros(len(roots), dtype=np.int64)
    taken = np.zeros(len(roots), dtype=bool)  # derived from others, or others are derived from it
    fresh = 1
    for relation in pairs:
        if relation.parent:
            continue
        a, b, colour = distinct_rows(roots[relation.a], roots[relation.b], relation.colour.numpy())
        for child, other in ((a, b), (b, a)):
            parents = vertex[other]
            if taken[child].any() or _overlap(child, parents) or not _names(child, other, colour):
                continue
            _, number = numbered(packed(rank[other], colour))
            vertex[child], rank[child] = parents, fresh + number
            fresh += int(number.max()) + 1
            taken[child] = taken[parents] = True
            break
    return vertex[roots], rank[roots]


def _overlap(a: Array, b: Array) -> bool:
    a, b = distinct(a), distinct(b)
    return len(distinct(np.concatenate([a, b]))) < len(a) + len(b)


def _names(children: Array, *names: Array) -> bool:
    """Whether each child stands in one row, and the rows' names differ."""
    return len(distinct(children)) == len(children) == len(distinct(packed(*names)))


def _edges(vertex: Array, rank: Array, pairs: list[Pairs]) -> list[tuple[Array, Array, Array]]:
    edges = []
    for i, relation in enumerate(pairs):
        a, b = relation.a.numpy(), relation.b.numpy()
        apart = vertex[a] != vertex[b]
        a, b, colour = a[apart], b[apart], relation.colour.numpy()[apart]
        if len(a):
            x, y, *kind = distinct_rows(vertex[a], vertex[b], colour, rank[a], rank[b])
            edges.append((x, y, mix(i, *kind)))
    return edges


def _colours(vertex: Array, rank: Array, classes: NeuronClasses, recording: Recording) -> Array:
    """What each vertex is before refinement: the parameter axes it has slots on, the positions it was seen at."""
    colours = np.zeros(len(vertex), dtype=np.uint64)
    for (parameter, dim), ids in recording.axis_ids.items():
        slots = distinct(ids.numpy())
        np.add.at(colours, vertex[slots], mix(parameter, dim, rank[slots]))
    for i, (ids, seen) in enumerate(classes.marks):
        np.add.at(colours, vertex[ids.numpy()], mix(~i, seen.numpy(), rank[ids.numpy()]))
    return colours


def _containers(vertex: Array, pairs: list[Pairs]) -> dict[int, set[int]]:
    """Of two classes that meet many to one, the one contains the many."""
    found: dict[int, set[int]] = {}
    for relation in pairs:
        a, b = vertex[relation.a.numpy()], vertex[relation.b.numpy()]
        a, b = distinct_rows(a[a != b], b[a != b])
        for child, parent in ((a, b), (b, a)):
            many, one = len(distinct(child)), len(distinct(parent))
            if (relation.parent and child is a) or len(a) == many > one:
                for i, j in zip(child.tolist(), parent.tolist(), strict=True):
                    found.setdefault(i, set()).add(j)
                break
    return found
