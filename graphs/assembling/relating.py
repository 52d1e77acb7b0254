"""Edges without weights: how the entries of linked sites, and the neurons of related groups, correspond."""

from __future__ import annotations

import numpy as np

from graphs.assembling.grouping import Grouping
from graphs.assembling.naming import Key, Names
from graphs.assembling.placing import SiteDraft
from graphs.boxes import pieces
from graphs.labelling.recording import Recording
from graphs.topology import Bond, BoxAxis, Relation

Array = np.ndarray


def relations(recording: Recording, sites: list[SiteDraft], site_of: list[int], names: Names) -> list[Relation]:
    """One relation (or more, where the pairs are no single box) a pair of linked sites and kind."""
    pairs: dict[tuple[int, int, str], set[tuple[int, int]]] = {}
    for link in recording.links:
        source, target = site_of[link.source], site_of[link.target]
        if source != target:
            part = None if link.part is None else set(names.keys(recording.parts[link.part].numpy()))
            kind, found = _pairs(sites[source], sites[target], names, part)
            pairs.setdefault((target, source, kind), set()).update(found)
    return [
        Relation(kind, source, target, first[1], first[0], axes)
        for (target, source, kind), found in sorted(pairs.items())
        for first, axes in _boxes(np.array(sorted(found), dtype=np.int64).reshape(-1, 2))
    ]


def bonds(names: Names, grouping: Grouping) -> tuple[Bond, ...]:
    """The constraints of every symmetry, between neurons of groups that permute; each set of pairs once."""
    found: dict[tuple, tuple[int, int, Array]] = {}
    for a, b, tag in names.edges:
        rows = [
            (*grouping.number[x], *grouping.number[y], t)
            for x, y, t in zip(a.tolist(), b.tolist(), tag.tolist(), strict=True)
            if x in grouping.number and y in grouping.number and names.permutes(x) and names.permutes(y)
        ]
        if not rows:
            continue
        table = np.array([row[:4] for row in rows], dtype=np.int64)
        colour = np.unique(np.array([row[4] for row in rows], dtype=np.uint64), return_inverse=True)[1]
        for key in np.unique(np.stack([table[:, 0], table[:, 2], colour], 1), axis=0).tolist():
            chosen = (table[:, 0] == key[0]) & (table[:, 2] == key[1]) & (colour == key[2])
            pairs = np.unique(table[chosen][:, [3, 1]], axis=0)
            found.setdefault((key[0], key[1], pairs.tobytes()), (key[0], key[1], pairs))
    return tuple(
        Bond(source, target, number, first[1], first[0], axes)
        for number, (source, target, pairs) in enumerate(found.values())
        for first, axes in _boxes(pairs)
    )


def _boxes(pairs: Array) -> list[tuple[tuple[int, ...], tuple[BoxAxis, ...]]]:
    """Boxes of (target, source) pairs."""
    if not len(pairs):
        return []
    return [(first, tuple(BoxAxis(n, 0, *steps) for n, steps in axes)) for first, axes in pieces(pairs)]


def _pairs(
    source: SiteDraft, target: SiteDraft, names: Names, part: set[Key] | None
) -> tuple[str, list[tuple[int, int]]]:
    """The kind of relation and its (target entry, source entry) pairs; ``part``: the source entries concerned."""
    if source.entries is None or target.entries is None:
        if 1 not in (source.size, target.size):
            return "identity", []
        everything = [(j, i) for j in range(target.size) for i in range(source.size)]
        return ("identity" if source.size == target.size else "member"), everything
    entries = [(i, key) for i, key in enumerate(source.entries) if part is None or key in part]
    by_key = {key: i for i, key in entries}
    same = [(j, by_key[key]) for j, key in enumerate(target.entries) if key in by_key]
    if same:
        return "identity", same
    by_neuron: dict[int, list[int]] = {}
    for i, (vertex, _) in entries:
        by_neuron.setdefault(vertex, []).append(i)
    same = [(j, i) for j, (vertex, _) in enumerate(target.entries) for i in by_neuron.get(vertex, ())]
    return ("identity", same) if same else ("member", _members(by_neuron, target, names))


def _members(by_neuron: dict[int, list[int]], target: SiteDraft, names: Names) -> list[tuple[int, int]]:
    """Pairs where one entry's neuron contains the other's."""
    assert target.entries is not None
    inside: dict[int, list[int]] = {}
    for vertex, entries in by_neuron.items():
        for parent in names.containers.get(vertex, ()):
            inside.setdefault(parent, []).extend(entries)
    pairs = []
    for j, (vertex, _) in enumerate(target.entries):
        held = [i for parent in names.containers.get(vertex, ()) for i in by_neuron.get(parent, ())]
        pairs += [(j, i) for i in (*held, *inside.get(vertex, ()))]
    return pairs
