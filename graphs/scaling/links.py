"""Links: groups whose neurons each go with one neuron of another group, along bonds.

A query head goes with the key head it reads, a dimension of a head with the one that it is rotated with: what touches
all neurons that go with one can be scaled together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphs.boxes import spread
from graphs.topology import PERMUTING, Bond, Topology

Path = tuple[int, ...]  # numbers of bonds


def owners(topology: Topology, group: int, path: Sequence[int]) -> Tensor:
    """The neuron at the end of the path for every neuron of the group ``[group size]``."""
    image = torch.arange(topology.groups[group].size)
    for number in path:
        step = _function(topology, topology.bonds[number], group)
        assert step is not None, "a path consists of links"
        group, along = step
        image = along[image]
    return image


def followers(topology: Topology) -> dict[int, dict[int, Path]]:
    """For groups that others go with: those groups, and the shortest path from each of them.

    Of groups that go with each other one to one, only the first has an entry.
    """
    into: dict[int, list[tuple[int, int]]] = {}
    for number, bond in enumerate(topology.bonds):
        for group in {bond.source, bond.target}:
            step = _function(topology, bond, group)
            if step is not None and _permutes(topology, group) and _permutes(topology, step[0]):
                into.setdefault(step[0], []).append((group, number))
    reached = {root: _reaching(into, root) for root in sorted(into)}
    first = [
        root for root, groups in reached.items() if not any(g < root and root in reached.get(g, ()) for g in groups)
    ]
    return {root: reached[root] for root in first}


def _permutes(topology: Topology, group: int) -> bool:
    return topology.groups[group].kind in PERMUTING


def _reaching(into: dict[int, list[tuple[int, int]]], root: int) -> dict[int, Path]:
    """Groups from which links lead to the root, with the shortest path."""
    paths: dict[int, Path] = {root: ()}
    ahead = [root]
    for here in ahead:
        for group, number in into.get(here, ()):
            if group not in paths:
                paths[group] = (number, *paths[here])
                ahead.append(group)
    del paths[root]
    return paths


def _function(topology: Topology, bond: Bond, group: int) -> tuple[int, Tensor] | None:
    """The group at the other side of a bond, and the neuron there with which every neuron of ``group`` goes; None where
    one goes with none or with several."""
    if bond.source == bond.target or group not in (bond.source, bond.target):
        return None
    source = torch.from_numpy(spread(bond.first_source, [(a.size, a.source) for a in bond.axes]).reshape(-1))
    target = torch.from_numpy(spread(bond.first_target, [(a.size, a.target) for a in bond.axes]).reshape(-1))
    here, there, other = (source, target, bond.target) if group == bond.source else (target, source, bond.source)
    size = topology.groups[group].size
    if len(here) != size or len(here.unique()) != size:
        return None
    image = torch.empty(size, dtype=torch.int64)
    image[here] = there
    return other, image
