"""Permutation symmetries of a topology, applied to weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from graphs.boxes import spread
from graphs.refinement import Structure, mix, structure
from graphs.scales import draw_factors, rescaled
from graphs.topology import PERMUTING, ParameterBlock, Topology

if TYPE_CHECKING:
    from graphs.parameter_graph import ParameterGraph

Array = np.ndarray


@dataclass(frozen=True)
class Symmetry:
    """An automorphism of a topology: neuron i of group g goes to ``images[g][i]``, after its slices were multiplied by
    powers of ``factors[k][i]`` for the topology's k-th scale (none without scales)."""

    topology: Topology
    images: tuple[Array, ...]
    factors: tuple[Tensor, ...] = ()

    def site_image(self, site: int) -> Array:
        """Entry of the site to which each entry goes."""
        keys = site_keys(self.topology, site)
        number = {key: i for i, key in enumerate(keys)}
        return np.array([number[g, int(self.images[g][i]), r] for g, i, r in keys], dtype=np.int64)

    def destination(self) -> Array:
        """The element of P to which every element goes ``[P]``."""
        topology = self.topology
        images = [self.site_image(s) for s in range(len(topology.sites))]
        destination = np.arange(topology.num_parameters)
        for blocks in _uses(topology):
            offset, target, source, tap = _elements(blocks)
            first = blocks[0]
            moved_target = target if first.target is None else images[first.target][target]
            moved_source = source if first.source is None else images[first.source][source]
            here, there = _names(target, source, tap), _names(moved_target, moved_source, tap)
            order = here.argsort()
            destination[offset] = offset[order[np.searchsorted(here, there, sorter=order)]]
        assert (np.bincount(destination, minlength=len(destination)) == 1).all(), "a symmetry permutes the weights"
        return destination

    def apply(self, flat: Tensor) -> Tensor:
        """The moved weights ``[P]``; the input stays as it is."""
        if self.factors:
            flat = rescaled(self.topology, flat, self.topology.scales or (), self.factors)
        moved = torch.empty_like(flat)
        moved[torch.from_numpy(self.destination())] = flat
        return moved


def random_symmetry(topology: Topology, generator: torch.Generator | None = None, scale: bool = False) -> Symmetry:
    """An automorphism drawn by colour refinement (:mod:`graphs.refinement`), with random scales and signs on demand."""
    image, _ = _structure(topology).random_automorphism(generator)
    first = _first_vertices(topology)
    images = []
    for group, start in zip(topology.groups, first, strict=True):
        free = group.kind in PERMUTING
        images.append(image[start : start + group.size] - start if free else np.arange(group.size))
    return Symmetry(topology, tuple(images), _random_factors(topology, generator) if scale else ())


def _random_factors(topology: Topology, generator: torch.Generator | None) -> tuple[Tensor, ...]:
    if topology.scales is None:
        raise ValueError(
            "expected a topology whose scale symmetries were searched, got one with permutations only; "
            "use graphs.with_scales(topology, module, *inputs), or scale=False"
        )
    return draw_factors(topology, topology.scales, generator)


def log10_group_order(topology: Topology) -> float:
    """log10 of the number of automorphisms; classes of interchangeable neurons count with their factorials."""
    return _structure(topology).random_automorphism(torch.Generator().manual_seed(0))[1]


def site_keys(topology: Topology, site: int) -> list[tuple[int, int, int]]:
    """(group, neuron, rank) of every entry of a site."""
    return [
        (run.group, run.first + i * run.step, run.rank) for run in topology.sites[site].runs for i in range(run.count)
    ]


def _first_vertices(topology: Topology) -> list[int]:
    sizes = [g.size if g.kind in PERMUTING else 0 for g in topology.groups]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist() if sizes else []


def _structure(topology: Topology) -> Structure:
    """Vertices are the neurons of groups that permute, edges the bonds."""
    first = _first_vertices(topology)
    sizes = [g.size if g.kind in PERMUTING else 0 for g in topology.groups]
    colours = np.repeat(mix(np.arange(len(sizes))), sizes)
    edges = []
    for bond in topology.bonds:
        b = spread(bond.first_target, [(a.size, a.target) for a in bond.axes]).reshape(-1) + first[bond.target]
        a = spread(bond.first_source, [(a.size, a.source) for a in bond.axes]).reshape(-1) + first[bond.source]
        edges.append((a, b, np.full(len(a), bond.colour)))
    return structure(colours, edges)


def _uses(topology: Topology) -> list[list[ParameterBlock]]:
    """Blocks that together are one use of one parameter by neurons."""
    uses: dict[tuple, list[ParameterBlock]] = {}
    for block in (b for b in topology.blocks if b.source is not None or b.target is not None):
        uses.setdefault((block.parameter, block.source, block.target), []).append(block)
    return list(uses.values())


def _elements(blocks: list[ParameterBlock]) -> tuple[Array, Array, Array, Array]:
    """Offset in P, target entry, source entry and tap number of every element of the blocks."""
    columns: tuple[list[Array], ...] = ([], [], [], [])
    for block in blocks:
        axes = block.axes
        columns[0].append(spread(block.offset, [(a.size, a.stride) for a in axes]).reshape(-1))
        columns[1].append(spread(block.first_target, [(a.size, a.target) for a in axes]).reshape(-1))
        columns[2].append(spread(block.first_source, [(a.size, a.source) for a in axes]).reshape(-1))
        taps = int(np.prod(block.taps))
        columns[3].append(np.tile(np.arange(taps), len(columns[0][-1]) // taps))
    offset, target, source, tap = (np.concatenate(c) for c in columns)
    return offset, target, source, tap


def _names(target: Array, source: Array, tap: Array) -> Array:
    """One number a (target, source, tap)."""
    return (target * (int(source.max(initial=0)) + 1) + source) * (int(tap.max(initial=0)) + 1) + tap


def coverage(topology: Topology) -> float:
    """Fraction of the elements of P that some symmetry moves."""
    moved = np.zeros(topology.num_parameters, dtype=bool)
    groups = _moved_neurons(topology)
    free = [np.array([groups[g][i] for g, i, _ in site_keys(topology, s)]) for s in range(len(topology.sites))]
    for block in topology.blocks:
        offset, target, source, _ = _elements([block])
        here = np.zeros(len(offset), dtype=bool)
        if block.target is not None:
            here |= free[block.target][target]
        if block.source is not None:
            here |= free[block.source][source]
        moved[offset] |= here
    return float(moved.mean()) if len(moved) else 0.0


def _moved_neurons(topology: Topology) -> list[Array]:
    """Which neurons of each group some symmetry moves: those that refinement does not tell from all others."""
    whole = _structure(topology)
    _, orbit, size = np.unique(whole.refine(whole.colours), return_inverse=True, return_counts=True)
    moved = size[orbit] > 1
    return [
        moved[start : start + g.size] if g.kind in PERMUTING else np.zeros(g.size, dtype=bool)
        for g, start in zip(topology.groups, _first_vertices(topology), strict=True)
    ]


def apply(graph: ParameterGraph, symmetry: Symmetry) -> ParameterGraph:
    """The graph of the moved weights, in the form (flat or state_dict) and dtypes of the original."""
    from graphs.parameter_graph import ParameterGraph

    if symmetry.topology != graph.topology:
        expected, arrived = graph.topology.digest[:12], symmetry.topology.digest[:12]
        raise ValueError(
            f"expected a symmetry of topology {expected}, got one of {arrived}; "
            "draw it from graph.topology.random_symmetry()"
        )
    return ParameterGraph(graph.topology, symmetry.apply(graph.flat()), graph.other)
