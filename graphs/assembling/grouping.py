"""Cells become groups: neurons that permute as one get a group and a number in it, in the order sites show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphs.assembling.naming import Names
from graphs.assembling.placing import SiteDraft
from graphs.boxes import pieces, spread
from graphs.topology import NeuronGroup, Run


class Grouping:
    """Groups in order of appearance; ``number[vertex]`` is (group, index in it)."""

    def __init__(self, names: Names, sites: list[SiteDraft]) -> None:
        self.names = names
        self._outputs = {v for site in sites if site.is_output for v, _ in site.entries or ()}
        self.groups: list[NeuronGroup] = []
        self.number: dict[int, tuple[int, int]] = {}
        self._group_of_cell: dict[int, int] = {}
        self._filled: dict[int, int] = {}
        self._heads = {p for parents in names.containers.values() for p in parents}

    def runs(self, site: SiteDraft) -> tuple[Run, ...]:
        """The entries of a site as runs of groups, new groups being made as they come."""
        if site.entries is None:
            kind = "output" if site.is_output and site.kind == "hidden" else site.kind
            return (Run(self._add(NeuronGroup(site.size, kind)), 0, 1, site.size),)
        self._admit([v for v, _ in site.entries])
        cells = [(*self.number[v], r) for v, r in site.entries]
        ranks: dict[int, dict[int, int]] = {}
        rows = []
        for group, index, rank in cells:
            known = ranks.setdefault(group, {})
            rows.append((group, known.setdefault(rank, len(known)), index))
        return tuple(_runs(np.array(rows, dtype=np.int64)))

    def finish(self) -> tuple[NeuronGroup, ...]:
        """All groups, with those that no site shows (the groups of a group norm) and the parents."""
        for vertex in sorted(self._heads):
            if self.names.permutes(vertex):
                self._admit([vertex])
        for child, parents in self.names.containers.items():
            for parent in parents:
                if child in self.number and parent in self.number:
                    group, above = self.number[child][0], self.number[parent][0]
                    self.groups[group] = replace(self.groups[group], parent=above)
        return tuple(self.groups)

    def _add(self, group: NeuronGroup) -> int:
        self.groups.append(group)
        return len(self.groups) - 1

    def _admit(self, vertices: list[int]) -> None:
        fixed = []
        for vertex in dict.fromkeys(vertices):
            if vertex in self.number:
                continue
            if self.names.permutes(vertex):
                self._admit_free(vertex)
            else:
                fixed.append(vertex)
        if fixed:
            group = self._add(NeuronGroup(len(fixed), "output" if self._outputs >= set(fixed) else "pinned"))
            self.number.update({vertex: (group, i) for i, vertex in enumerate(fixed)})

    def _admit_free(self, vertex: int) -> None:
        cell = int(self.names.cell[vertex])
        if cell not in self._group_of_cell:
            kind = "head" if vertex in self._heads else "hidden"
            self._group_of_cell[cell] = self._add(NeuronGroup(int(self.names.cell_size[cell]), kind))
        group = self._group_of_cell[cell]
        self.number[vertex] = (group, self._filled.get(group, 0))
        self._filled[group] = self._filled.get(group, 0) + 1


def _runs(rows: np.ndarray) -> list[Run]:
    """Rows (group, rank, index) as runs of constant step."""
    runs = []
    cuts = np.flatnonzero((np.diff(rows[:, :2], axis=0) != 0).any(1)) + 1
    for part in np.split(rows, cuts):
        group, rank = int(part[0, 0]), int(part[0, 1])
        for first, axes in pieces(part[:, 2:]):
            steps = [(size, strides[0]) for size, strides in axes]
            count, step = steps[-1] if steps else (1, 1)
            runs += [Run(group, int(i), step, count, rank) for i in spread(first[0], steps[:-1]).reshape(-1)]
    return runs
