"""Final names of neurons: every id becomes a vertex and a rank, and vertices fall into cells that permute.

An axis whose slots are told by another axis and a pinned position (a flattened map, the two halves of a gate) gets no
neurons of its own: its slots are the other's neurons at several ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from graphs.classes import NeuronClasses, Pairs
from graphs.recording import Recording
from graphs.refinement import Structure, mix, structure

Array = np.ndarray
Key = tuple[int, int]  # (vertex, rank)


@dataclass(frozen=True)
class Names:
    """Vertex and rank of every id, the cell of every vertex, and which vertices contain others.

    Args:
        vertex, rank: ``[ids]``.
        cell: vertex -> number of its cell.
        cell_size: cell -> number of vertices.
        containers: child vertex -> set of vertices that contain it.
        edges: relations between vertices: (a, b, colour) arrays.
    """

    vertex: Array
    rank: Array
    cell: dict[int, int]
    cell_size: dict[int, int]
    containers: dict[int, set[int]]
    edges: list[tuple[Array, Array, Array]]

    def keys(self, ids: Array) -> list[Key]:
        """(vertex, rank) of each id."""
        return list(zip(self.vertex[ids].tolist(), self.rank[ids].tolist(), strict=True))

    def permutes(self, vertex: int) -> bool:
        return self.cell_size[self.cell[vertex]] > 1


def name_neurons(classes: NeuronClasses, recording: Recording) -> Names:
    """Resolve ids, then refine the vertices into cells."""
    roots = classes.roots(torch.arange(len(classes))).numpy()
    vertex, rank = _derive(roots, classes.pairs)
    edges = _edges(vertex, rank, classes.pairs)
    colours = _colours(vertex, rank, classes, recording)
    vertices = np.unique(vertex)
    number = np.full(len(vertex), -1)
    number[vertices] = np.arange(len(vertices))
    compact = [(number[a], number[b], tag) for a, b, tag in edges]
    cells: Structure = structure(colours[vertices], compact)
    _, inverse, count = np.unique(cells.refine(cells.colours), return_inverse=True, return_counts=True)
    cell = dict(zip(vertices.tolist(), inverse.tolist(), strict=True))
    return Names(vertex, rank, cell, dict(enumerate(count.tolist())), _containers(vertex, classes.pairs), edges)


def _derive(roots: Array, pairs: list[Pairs]) -> tuple[Array, Array]:
    """Vertex and rank of every id: classes that a relation names by (another class, colour) are not vertices."""
    vertex, rank = roots.copy(), np.zeros(len(roots), dtype=np.int64)
    derived: set[int] = set()
    bases: set[int] = set()
    fresh = 1
    for relation in pairs:
        if relation.parent:
            continue
        rows = np.unique(np.stack([roots[relation.a], roots[relation.b], relation.colour.numpy()], 1), axis=0)
        for x, y in ((0, 1), (1, 0)):
            children = set(rows[:, x].tolist())
            parents = set(vertex[rows[:, y]].tolist())
            if children & (parents | derived | bases) or not _names(rows[:, x], rows[:, [y, 2]]):
                continue
            _, number = np.unique(np.stack([rank[rows[:, y]], rows[:, 2]], 1), axis=0, return_inverse=True)
            vertex[rows[:, x]], rank[rows[:, x]] = vertex[rows[:, y]], fresh + number.reshape(-1)
            fresh += int(number.max()) + 1
            derived |= children
            bases |= parents
            break
    return vertex[roots], rank[roots]


def _names(children: Array, names: Array) -> bool:
    """Whether each child stands in one row, and the rows' names differ."""
    return len(np.unique(children)) == len(children) == len(np.unique(names, axis=0))


def _edges(vertex: Array, rank: Array, pairs: list[Pairs]) -> list[tuple[Array, Array, Array]]:
    edges = []
    for i, relation in enumerate(pairs):
        a, b = relation.a.numpy(), relation.b.numpy()
        rows = np.stack([vertex[a], vertex[b], relation.colour.numpy(), rank[a], rank[b]], 1)
        rows = np.unique(rows[rows[:, 0] != rows[:, 1]], axis=0)
        if len(rows):
            edges.append((rows[:, 0], rows[:, 1], mix(i, *rows[:, 2:].T)))
    return edges


def _colours(vertex: Array, rank: Array, classes: NeuronClasses, recording: Recording) -> Array:
    """What each vertex is before refinement: the parameter axes it has slots on, the positions it was seen at."""
    colours = np.zeros(len(vertex), dtype=np.uint64)
    for (parameter, dim), ids in recording.axis_ids.items():
        slots = np.unique(ids.numpy())
        np.add.at(colours, vertex[slots], mix(parameter, dim, rank[slots]))
    for i, (ids, seen) in enumerate(classes.marks):
        np.add.at(colours, vertex[ids.numpy()], mix(~i, seen.numpy(), rank[ids.numpy()]))
    return colours


def _containers(vertex: Array, pairs: list[Pairs]) -> dict[int, set[int]]:
    """Of two classes that meet many to one, the one contains the many."""
    found: dict[int, set[int]] = {}
    for relation in pairs:
        rows = np.stack([vertex[relation.a.numpy()], vertex[relation.b.numpy()]], 1)
        rows = np.unique(rows[rows[:, 0] != rows[:, 1]], axis=0)
        for child, parent in ((0, 1), (1, 0)):
            many, one = len(np.unique(rows[:, child])), len(np.unique(rows[:, parent]))
            if (relation.parent and child == 0) or len(rows) == many > one:
                for i, j in rows[:, [child, parent]].tolist():
                    found.setdefault(i, set()).add(j)
                break
    return found
