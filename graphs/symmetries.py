"""Permutation symmetries of a topology, applied to weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from graphs.boxes import spread
from graphs.memory import copy
from graphs.permuting import permute
from graphs.refinement import Structure, mix, structure
from graphs.scaling.rescaling import draw_factors, rescaled
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
        group, index, rank = site_entries(self.topology, site)
        image = _at_entries(self.images, self.topology, site)
        here, there = _packed(group, index, rank), _packed(group, image, rank)
        order = here.argsort(kind="stable")
        return order[np.searchsorted(here, there, sorter=order)]

    def apply(self, flat: Tensor) -> Tensor:
        """The moved weights ``[P]``; the input stays as it is."""
        return self.apply_(copy(flat))

    def apply_(self, flat: Tensor) -> Tensor:
        """Move contiguous weights ``[P]`` in place."""
        if self.factors:
            flat.copy_(rescaled(self.topology, flat, self.topology.scales or (), self.factors))
        self._permute_(flat)
        return flat

    def _permute_(self, flat: Tensor) -> None:
        permute(self.topology, [self.site_image(s) for s in range(len(self.topology.sites))], flat)

    def destination(self) -> Array:
        """The element of P to which every element goes ``[P]``."""
        source = torch.arange(self.topology.num_parameters)
        self._permute_(source)
        origin = source.numpy()
        assert (np.bincount(origin, minlength=len(origin)) == 1).all(), "a symmetry permutes the weights"
        destination = np.empty_like(origin)
        destination[origin] = np.arange(len(origin))
        return destination


def random_symmetry(topology: Topology, generator: torch.Generator | None = None, scale: bool = False) -> Symmetry:
    """An automorphism drawn by colour refinement (:mod:`graphs.refinement`), with random scales and signs on demand."""
    image, _ = bond_structure(topology).random_automorphism(generator)
    return Symmetry(topology, group_images(topology, image), _random_factors(topology, generator) if scale else ())


def _random_factors(topology: Topology, generator: torch.Generator | None) -> tuple[Tensor, ...]:
    if topology.scales is None:
        raise ValueError(
            "expected a topology whose scale symmetries were searched, got one with permutations only; "
            "use graphs.with_scales(topology, module, *inputs), or scale=False"
        )
    return draw_factors(topology, topology.scales, generator)


def log10_group_order(topology: Topology) -> float:
    """log10 of the number of automorphisms; classes of interchangeable neurons count with their factorials."""
    return bond_structure(topology).random_automorphism(torch.Generator().manual_seed(0), counting=True)[1]


def site_entries(topology: Topology, site: int) -> tuple[Array, Array, Array]:
    """Group, neuron and rank of every entry of a site."""
    runs = topology.sites[site].runs
    count = [run.count for run in runs]
    index = [run.first + run.step * np.arange(run.count) for run in runs]
    group, rank = (np.repeat(np.array([getattr(r, n) for r in runs], dtype=np.int64), count) for n in ("group", "rank"))
    return group, np.concatenate(index), rank


def _packed(group: Array, index: Array, rank: Array) -> Array:
    """One number an entry."""
    return (group * (int(index.max(initial=0)) + 1) + index) * (int(rank.max(initial=0)) + 1) + rank


def first_vertices(topology: Topology) -> list[int]:
    """The vertex of each group's first neuron; groups that do not permute have none."""
    sizes = [g.size if g.kind in PERMUTING else 0 for g in topology.groups]
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist() if sizes else []


def group_images(topology: Topology, image: Array) -> tuple[Array, ...]:
    """The images of a symmetry from the vertex to which each vertex of :func:`bond_structure` goes."""
    return tuple(
        image[start : start + group.size] - start if group.kind in PERMUTING else np.arange(group.size)
        for group, start in zip(topology.groups, first_vertices(topology), strict=True)
    )


def bond_structure(topology: Topology) -> Structure:
    """Vertices are the neurons of groups that permute, edges the bonds."""
    first = first_vertices(topology)
    sizes = [g.size if g.kind in PERMUTING else 0 for g in topology.groups]
    colours = np.repeat(mix(np.arange(len(sizes))), sizes)
    edges = []
    for bond in topology.bonds:
        b = spread(bond.first_target, [(a.size, a.target) for a in bond.axes]).reshape(-1) + first[bond.target]
        a = spread(bond.first_source, [(a.size, a.source) for a in bond.axes]).reshape(-1) + first[bond.source]
        edges.append((a, b, np.full(len(a), bond.colour)))
    return structure(colours, edges)


def coverage(topology: Topology) -> float:
    """Fraction of the elements of P that some symmetry moves."""
    moved = np.zeros(topology.num_parameters, dtype=bool)
    groups = _moved_neurons(topology)
    free = [_at_entries(groups, topology, s) for s in range(len(topology.sites))]
    for block in topology.blocks:
        strides = [a.stride * moved.itemsize for a in block.axes]
        view = as_strided(moved[block.offset :], [a.size for a in block.axes], strides)
        for end in ("target", "source"):
            site = getattr(block, end)
            if site is not None:
                view |= free[site][_entries(block, end)]
    return float(moved.mean()) if len(moved) else 0.0


def _moved_neurons(topology: Topology) -> list[Array]:
    """Which neurons of each group some symmetry moves: those that refinement does not tell from all others."""
    whole = bond_structure(topology)
    _, orbit, size = np.unique(whole.refine(whole.colours), return_inverse=True, return_counts=True)
    moved = size[orbit] > 1
    return [
        moved[start : start + g.size] if g.kind in PERMUTING else np.zeros(g.size, dtype=bool)
        for g, start in zip(topology.groups, first_vertices(topology), strict=True)
    ]


def _at_entries(values: Sequence[Array], topology: Topology, site: int) -> Array:
    """The values of neurons, given a group, at the entries of a site."""
    group, index, _ = site_entries(topology, site)
    first = np.cumsum([0, *(len(v) for v in values)])
    return np.concatenate(values)[first[group] + index]


def _entries(block: ParameterBlock, end: str) -> Array:
    """The entry at one end of every element, broadcastable to the box."""
    axes = [(a.size if getattr(a, end) else 1, getattr(a, end)) for a in block.axes]
    return spread(getattr(block, f"first_{end}"), axes)


def apply(graph: ParameterGraph, symmetry: Symmetry) -> ParameterGraph:
    """The graph of the moved weights, in the form (flat or state_dict) and dtypes of the original."""
    from graphs.parameter_graph import ParameterGraph

    if symmetry.topology != graph.topology:
        expected, arrived = graph.topology.digest[:12], symmetry.topology.digest[:12]
        raise ValueError(
            f"expected a symmetry of topology {expected}, got one of {arrived}; "
            "draw it from graph.topology.random_symmetry()"
        )
    return ParameterGraph(graph.topology, symmetry.apply_(graph.copy_flat()), graph.other)
