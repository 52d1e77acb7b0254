"""What may change places with what: the neurons that permute as nested, interchangeable pieces.

Neurons without bonds form leaves: sets within which any permutation is a symmetry. Bonds make pieces (a head with its
neurons, a group of a convolution with its channels) that change places as wholes and have leaves and pieces inside. A
bond between all of one colour and all of another forbids nothing, so it is cut first. Where nothing can be cut, one
neuron is told apart from those like it, in every way (individualisation and refinement, as in
https://arxiv.org/abs/1301.1493); where there are too many ways, the piece stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graphs.refinement import Structure

Array = np.ndarray
Gain = Callable[[Array, Array], Array]
MAX_WAYS = 16


@dataclass(frozen=True)
class Parts:
    """Leaves, each a set of vertices of one colour, and bundles of pieces of one signature; both in order of these."""

    leaves: tuple[Array, ...]
    bundles: tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True)
class Piece:
    """Vertices that move as one, and every way to take them apart; none for a piece that stays as it is."""

    vertices: Array
    ways: tuple[Parts, ...]


def decompose(structure: Structure) -> Parts:
    """The parts of all vertices."""
    colours = structure.refine(structure.colours)
    refined = Structure(colours, structure.a, structure.b, structure.tag)
    return _parts(refined, np.arange(len(colours)), _split(refined))


def _parts(structure: Structure, names: Array, sets: list[Array]) -> Parts:
    """Parts from the sets in which the vertices hang together; ``names`` is what the whole calls these."""
    single = np.array([s[0] for s in sets if len(s) == 1], dtype=np.int64)
    colours = structure.colours[single]
    leaves = tuple(names[single[colours == c]] for c in np.unique(colours))
    bundles: dict[bytes, list[Piece]] = {}
    for members in (s for s in sets if len(s) > 1):
        signature = np.sort(structure.colours[members]).tobytes()
        bundles.setdefault(signature, []).append(_piece(_within(structure, members), names[members]))
    return Parts(leaves, tuple(tuple(bundles[s]) for s in sorted(bundles)))


def _piece(structure: Structure, names: Array) -> Piece:
    sets = _split(structure)
    if len(sets) > 1:
        return Piece(names, (_parts(structure, names, sets),))
    _, inverse, count = np.unique(structure.colours, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(inverse == np.where(count > 1, count, len(inverse) + 1).argmin())
    if len(alike) > MAX_WAYS:
        return Piece(names, ())
    return Piece(names, tuple(_apart(structure, names, v) for v in alike.tolist()))


def _apart(structure: Structure, names: Array, vertex: int) -> Parts:
    """The parts once a vertex is told apart."""
    colours = structure.colours.copy()
    colours[vertex] += np.uint64(1)
    refined = Structure(structure.refine(colours), structure.a, structure.b, structure.tag)
    return _parts(refined, names, _split(refined))


def _within(structure: Structure, members: Array) -> Structure:
    number = np.full(len(structure.colours), -1)
    number[members] = np.arange(len(members))
    inside = (number[structure.a] >= 0) & (number[structure.b] >= 0)
    a, b = number[structure.a[inside]], number[structure.b[inside]]
    return Structure(structure.colours[members], a, b, structure.tag[inside])


def _split(structure: Structure) -> list[Array]:
    """The vertices as sets that hang together by bonds, once those between whole colours are cut."""
    _, inverse, size = np.unique(structure.colours, return_inverse=True, return_counts=True)
    a, b = structure.a, structure.b
    edges = np.unique(np.stack([inverse[a], inverse[b], structure.tag.astype(np.int64), a, b], 1), axis=0)
    _, kind, count = np.unique(edges[:, :3], axis=0, return_inverse=True, return_counts=True)
    possible = size[edges[:, 0]] * size[edges[:, 1]] - np.where(edges[:, 0] == edges[:, 1], size[edges[:, 0]], 0)
    kept = edges[count[kind.reshape(-1)] < possible]
    shape = (len(inverse), len(inverse))
    links = coo_array((np.ones(len(kept)), (kept[:, 3], kept[:, 4])), shape=shape)
    _, label = connected_components(links, directed=False)
    order = label.argsort(kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else []


# ---- assignment

Pairs = list[tuple[Array, Array]]


def assign(source: Parts, target: Parts, gain: Gain) -> tuple[float, Pairs] | None:
    """The best way to put the vertices of one at those of another: its total gain and (vertices, places); None if the
    two are not alike.

    Args:
        gain: of every vertex of one set at every place of another: ``(vertices, places) -> [vertices, places]``.
    """
    alike = [len(x) == len(y) for x, y in zip(source.leaves, target.leaves, strict=False)]
    if len(source.leaves) != len(target.leaves) or len(source.bundles) != len(target.bundles) or not all(alike):
        return None
    total, pairs = 0.0, []
    for vertices, places in zip(source.leaves, target.leaves, strict=True):
        gains = gain(vertices, places)
        rows, columns = linear_sum_assignment(gains, maximize=True)
        total += float(gains[rows, columns].sum())
        pairs.append((vertices[rows], places[columns]))
    for pieces, others in zip(source.bundles, target.bundles, strict=True):
        found = _assign_pieces(pieces, others, gain)
        if found is None:
            return None
        total += found[0]
        pairs += found[1]
    return total, pairs


def _assign_pieces(pieces: tuple[Piece, ...], others: tuple[Piece, ...], gain: Gain) -> tuple[float, Pairs] | None:
    """Pieces onto pieces, by what the best assignment within each pair of them gains."""
    if len(pieces) != len(others):
        return None
    best = [[_best(piece, other, gain) for other in others] for piece in pieces]
    gains = np.array([[-np.inf if b is None else b[0] for b in row] for row in best])
    worst = -1e6 * (1 + np.abs(gains[np.isfinite(gains)]).max(initial=0.0))
    rows, columns = linear_sum_assignment(np.where(np.isfinite(gains), gains, worst), maximize=True)
    chosen = [best[i][j] for i, j in zip(rows, columns, strict=True)]
    if any(c is None for c in chosen):
        return None
    return sum(c[0] for c in chosen), [pair for c in chosen for pair in c[1]]  # type: ignore[index]


def _best(piece: Piece, other: Piece, gain: Gain) -> tuple[float, Pairs] | None:
    """One way to take the piece apart onto every way to take the other apart."""
    if not piece.ways or not other.ways:
        if not np.array_equal(piece.vertices, other.vertices):
            return None
        alone = [gain(piece.vertices[i : i + 1], piece.vertices[i : i + 1]) for i in range(len(piece.vertices))]
        return float(sum(g.item() for g in alone)), [(piece.vertices, piece.vertices)]
    found = [f for way in other.ways if (f := assign(piece.ways[0], way, gain)) is not None]
    return max(found, key=lambda f: f[0], default=None)
