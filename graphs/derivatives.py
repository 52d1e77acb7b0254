"""How random sums of the outputs change as each slice of each neuron is scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphs.null_space import independent
from graphs.probes import Probe
from graphs.scales import ENDS, Part, Slice, entries_of, sums, uses_of
from graphs.subject import Subject
from graphs.topology import PERMUTING, ParameterBlock, Topology

Array = np.ndarray

# Weights and, for each, inputs are drawn so often that every group has ROWS times as many rows as columns.
DRAWS, ROWS, MOST_PASSES = 2, 3, 48
# A share of a neuron's derivatives below this is roundoff: the slice has no effect.
INERT = 1e-12


@dataclass(frozen=True)
class Evidence:
    """What is known of one group.

    Args:
        group: its number.
        slices: what touches its neurons.
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


class Derivatives:
    """The derivatives of one network by all slices of all neurons, from a few backward passes."""

    def __init__(self, topology: Topology, subject: Subject, example: Probe, generator: torch.Generator) -> None:
        self.topology, self.subject, self.example, self.generator = topology, subject, example, generator
        self.uses = {use: blocks for use, blocks in uses_of(topology).items() if all(map(_is_proper, blocks))}
        self.slices = self._slices()
        self._keep_independent()

    def evidence(self) -> Iterator[Evidence]:
        """For every group of whose slices each has some effect, or cancels to roundoff; others are left out."""
        passes = [math.ceil(ROWS * len(s) / (DRAWS * self.topology.groups[g].size)) for g, s in self.slices.items()]
        tables: dict[int, list[tuple[Array, Array]]] = {group: [] for group in self.slices}
        for _ in range(DRAWS):
            self.subject.randomise(self.generator)
            for _ in range(min(max([4, *passes]), MOST_PASSES)):
                gradient = self.subject.weighted_gradient(
                    self.subject.like(self.example, self.generator), self.generator
                )
                values, sizes = self._tables(gradient), self._tables(gradient.abs())
                for group, table in tables.items():
                    table.append((values[group], sizes[group]))
        for group, table in tables.items():
            found = self._evidence(group, np.stack([v for v, _ in table]), np.stack([s for _, s in table]))
            if found is not None:
                yield found

    def _evidence(self, group: int, values: Array, sizes: Array) -> Evidence | None:
        """Of ``values`` and their absolute ``sizes [passes, neurons, slices]``."""
        slices = self.slices[group]
        total = sizes.sum(-1)
        strongest = int(np.nan_to_num(total).sum(0).argmax())
        live = np.isfinite(total) & (total > 0)
        rows, shares = values[live] / total[live][:, None], sizes[live] / total[live][:, None]
        if not (shares > 0).any(0).all() or len(rows) < 2 * len(slices):
            return None
        effect = np.sqrt((rows**2).mean(0)) >= INERT
        inert = tuple(s for s, has in zip(slices, effect, strict=True) if not has)
        parts = _parts([s for s in slices if s not in inert], inert)
        return Evidence(group, tuple(slices), inert, parts, rows[:, effect], strongest)

    def _slices(self) -> dict[int, list[Slice]]:
        found: dict[int, list[Slice]] = {}
        for parameter, source, target in self.uses:
            for end, site in zip(ENDS, (target, source), strict=True):
                runs = self.topology.sites[site].runs if site is not None else ()
                for group, rank in dict.fromkeys((r.group, r.rank) for r in runs):
                    if self.topology.groups[group].kind in PERMUTING:
                        found.setdefault(group, []).append(Slice(parameter, source, target, end, rank))
        return found

    def _keep_independent(self) -> None:
        """Drop slices that hold no element, or the same elements as others (of a parameter that is used again)."""
        draws = [2 + math.ceil(len(s) / self.topology.groups[g].size) for g, s in self.slices.items()]
        noise = [self._tables(self._noise()) for _ in range(max(draws, default=0))]
        for group, slices in self.slices.items():
            chosen = independent(np.concatenate([tables[group] for tables in noise]).T)
            self.slices[group] = [slices[i] for i in chosen]

    def _noise(self) -> Tensor:
        return torch.randn(self.subject.flat.shape, dtype=torch.float64, generator=self.generator)

    def _tables(self, flat: Tensor) -> dict[int, Array]:
        """Sums over every slice ``[neurons, slices]`` of every group."""
        known: dict[tuple, Tensor] = {}
        tables = {}
        for group, slices in self.slices.items():
            table = flat.new_zeros(self.topology.groups[group].size, len(slices))
            for i, part in enumerate(slices):
                key = part.use, part.end
                if key not in known:
                    known[key] = sums(self.topology, self.uses[part.use], part.end, flat)
                assert part.site is not None
                entries, neurons = entries_of(self.topology, part.site, group, part.rank)
                table[neurons, i] = known[key][entries]
            tables[group] = table.numpy()
        return tables


def _is_proper(block: ParameterBlock) -> bool:
    """Whether no element of it occurs twice."""
    return all(a.stride > 0 for a in block.axes if a.size > 1)


def _parts(slices: list[Slice], inert: tuple[Slice, ...]) -> tuple[Part, ...]:
    """Every inert slice joins the first of the others that stands at its entry."""
    idle, parts = list(inert), []
    for one in slices:
        company = [s for s in idle if (s.site, s.end, s.rank) == (one.site, one.end, one.rank)]
        idle = [s for s in idle if s not in company]
        parts.append((one, *company))
    return tuple(parts)
