"""How random sums of the outputs change as each slice of each neuron is scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from graphs.execution.probes import Probe
from graphs.scaling.links import followers
from graphs.scaling.null_space import independent
from graphs.scaling.rescaling import entries_of, sums, uses_of
from graphs.scaling.scales import ENDS, Part, Slice
from graphs.scaling.subject import Subject
from graphs.topology import PERMUTING, ParameterBlock, Topology

Array = np.ndarray
Unit = tuple[int, list[Slice]]  # a group, and what may be scaled with each of its neurons

# Weights and, for each, inputs are drawn so often that every group has ROWS times as many rows as columns.
DRAWS, ROWS, MOST_PASSES = 2, 3, 48
# A share of a neuron's derivatives below this is roundoff: the slice has no effect.
INERT = 1e-12


@dataclass(frozen=True)
class Evidence:
    """What is known of one group, or of the groups that go with one.

    Args:
        group: its number.
        slices: what touches its neurons, or those that go with them.
        inert: those of them that may be scaled without effect, to first order.
        parts: the others, each with the inert slices at the same entry, so that intermediate values scale as a whole
            (all of a key, not its weights without its bias, which has no effect under softmax).
        rows: derivative of a random sum of outputs by the logarithm of the scale of each part, for many such sums and
            neurons, relative to the absolute values in it ``[rows, parts]``.
        strongest: the neuron on which the outputs depend most.
    """

    group: int
    slices: tuple[Slice, ...]
    inert: tuple[Slice, ...]
    parts: tuple[Part, ...]
    rows: Array
    strongest: int

    @property
    def linked(self) -> bool:
        return any(s.path for s in self.slices)


class Derivatives:
    """The derivatives of one network by all slices of all neurons, from a few backward passes."""

    def __init__(self, topology: Topology, subject: Subject, example: Probe, generator: torch.Generator) -> None:
        self.topology, self.subject, self.example, self.generator = topology, subject, example, generator
        self.uses = {use: blocks for use, blocks in uses_of(topology).items() if all(map(_is_proper, blocks))}
        own = self._slices()
        self.units = self._independent([*own.items(), *self._linked(own)])

    def evidence(self) -> list[Evidence]:
        """For every group, then for those that go with one; none where a slice has no effect at all, not even one that
        cancels to roundoff."""
        passes = [math.ceil(ROWS * len(s) / (DRAWS * self.topology.groups[g].size)) for g, s in self.units]
        tables: list[tuple[list[Array], list[Array]]] = []
        for _ in range(DRAWS):
            self.subject.randomise(self.generator)
            for _ in range(min(max([4, *passes]), MOST_PASSES)):
                probe = self.subject.like(self.example, self.generator)
                gradient = self.subject.weighted_gradient(probe, self.generator)
                tables.append((self._tables(self.units, gradient), self._tables(self.units, gradient.abs())))
        found = []
        for i, (group, slices) in enumerate(self.units):
            values, sizes = (np.stack([table[kind][i] for table in tables]) for kind in (0, 1))
            found.append(_evidence(group, slices, values, sizes))
        return [evidence for evidence in found if evidence is not None]

    def _slices(self) -> dict[int, list[Slice]]:
        """The slices that touch each group."""
        found: dict[int, list[Slice]] = {}
        for parameter, source, target in self.uses:
            for end, site in zip(ENDS, (target, source), strict=True):
                runs = self.topology.sites[site].runs if site is not None else ()
                for group, rank in dict.fromkeys((r.group, r.rank) for r in runs):
                    if self.topology.groups[group].kind in PERMUTING:
                        found.setdefault(group, []).append(Slice(parameter, source, target, end, rank, group))
        return found

    def _linked(self, own: dict[int, list[Slice]]) -> list[Unit]:
        """For every group that others go with: its slices and theirs."""
        units = []
        for group, paths in followers(self.topology).items():
            theirs = [replace(s, path=path) for g, path in paths.items() for s in own.get(g, ())]
            if theirs:
                units.append((group, [*own.get(group, ()), *theirs]))
        return units

    def _independent(self, units: list[Unit]) -> list[Unit]:
        """Without slices that hold no element, or the same elements as others (of a parameter that is used again)."""
        draws = [2 + math.ceil(len(s) / self.topology.groups[g].size) for g, s in units]
        noise = [self._tables(units, self._noise()) for _ in range(max(draws, default=0))]
        chosen = [independent(np.concatenate([tables[i] for tables in noise]).T) for i in range(len(units))]
        return [(group, [slices[i] for i in kept]) for (group, slices), kept in zip(units, chosen, strict=True)]

    def _noise(self) -> Tensor:
        return torch.randn(self.subject.flat.shape, dtype=torch.float64, generator=self.generator)

    def _tables(self, units: list[Unit], flat: Tensor) -> list[Array]:
        """Sums over every slice ``[neurons, slices]`` of every unit."""
        known: dict[tuple, Tensor] = {}
        tables = []
        for group, slices in units:
            table = flat.new_zeros(len(slices), self.topology.groups[group].size)
            for i, part in enumerate(slices):
                key = part.use, part.end
                if key not in known:
                    known[key] = sums(self.topology, self.uses[part.use], part.end, flat)
                entries, neurons = entries_of(self.topology, part)
                table[i].index_add_(0, neurons, known[key][entries])
            tables.append(table.T.numpy())
        return tables


def _evidence(group: int, slices: list[Slice], values: Array, sizes: Array) -> Evidence | None:
    """Of ``values`` and their absolute ``sizes [passes, neurons, slices]``."""
    total = sizes.sum(-1)
    strongest = int(np.nan_to_num(total).sum(0).argmax())
    live = np.isfinite(total) & (total > 0)
    rows, shares = values[live] / total[live][:, None], sizes[live] / total[live][:, None]
    if not (shares > 0).any(0).all() or len(rows) < max(1, 2 * len(slices)):
        return None
    effect = np.sqrt((rows**2).mean(0)) >= INERT
    if not effect.any():
        return None
    inert = tuple(s for s, has in zip(slices, effect, strict=True) if not has)
    parts = _parts([s for s in slices if s not in inert], inert)
    return Evidence(group, tuple(slices), inert, parts, rows[:, effect], strongest)


def _is_proper(block: ParameterBlock) -> bool:
    """Whether no element of it occurs twice."""
    return all(a.stride > 0 for a in block.axes if a.size > 1)


def _parts(slices: list[Slice], inert: tuple[Slice, ...]) -> tuple[Part, ...]:
    """Every inert slice joins the first of the others that stands at its entry."""
    idle, parts = list(inert), []
    for one in slices:
        company = [s for s in idle if (s.site, s.end, s.group, s.rank) == (one.site, one.end, one.group, one.rank)]
        idle = [s for s in idle if s not in company]
        parts.append((one, *company))
    return tuple(parts)
