"""Bring one network's neurons into the order of another's, and look at the weights between them.

Weight matching, algorithm 1 of Git Re-Basin (https://arxiv.org/abs/2209.04836), for any traced architecture: what may
change places, and with what, comes from the topology.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from graphs.aligning.gains import Gains
from graphs.aligning.interchange import Parts, assign, decompose
from graphs.parameter_graph import ParameterGraph
from graphs.symmetries import Symmetry, bond_structure, group_images
from graphs.topology import Topology

Array = np.ndarray


def align(
    a: ParameterGraph, b: ParameterGraph, iterations: int = 100, generator: torch.Generator | None = None
) -> Symmetry:
    """The permutation symmetry ``s`` with which ``b.apply(s)``, the same function as ``b``, comes close to ``a``.

    It maximises the inner product of all weights of a and the moved b (a parameter that is used twice counts twice,
    buffers do not count) by coordinate ascent: one unit at a time, everything that may change places with its like, by
    linear assignment. A unit is a hidden group, or heads with the neurons within them, whose best inner assignment is
    found for every pair of heads. The first pass goes from the inputs on and sees only weights whose other end is
    aligned; further ones go in random order until nothing improves. Structures that are no nested sets (see
    :mod:`graphs.aligning.interchange`) stay as they are.

    Args:
        a: the network to come close to.
        b: another one of the same topology.
        iterations: greatest number of passes after the first.
        generator: draws the order of units.

    Raises ValueError for networks of several topologies or weights that are not finite.

    >>> import graphs
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
    >>> a = graphs.trace(net, torch.zeros(1, 2)).bind(net.state_dict())
    >>> b = a.apply(a.topology.random_symmetry())
    >>> torch.equal(b.apply(align(a, b)).flat(), a.flat())
    True
    """
    _check(a, b)
    topology = a.topology
    units = _units(topology)
    gains = Gains(topology, units, *(_numbers(g) for g in (a, b)))
    image = np.arange(len(gains.places.unit))
    known = np.zeros(len(image), dtype=bool)
    for unit in _from_the_inputs(gains):
        image = _assigned(units[unit], unit, gains, image, known)
        known |= gains.places.unit == unit
    for _ in range(iterations):
        before = image
        for unit in torch.randperm(len(units), generator=generator).tolist():
            image = _improved(units[unit], unit, gains, image, known)
        if image is before:
            break
    return Symmetry(topology, group_images(topology, image))


def _check(a: ParameterGraph, b: ParameterGraph) -> None:
    if a.topology != b.topology:
        first, second = a.topology.digest[:12], b.topology.digest[:12]
        raise ValueError(
            f"expected two networks of one topology, got {first} and {second}; align networks that are alike"
        )


def _numbers(graph: ParameterGraph) -> Array:
    flat = graph.flat().detach().cpu()
    if not bool(torch.isfinite(flat).all()):
        raise ValueError(f"expected finite weights, got {int((~torch.isfinite(flat)).sum())} that are not")
    return flat.to(torch.promote_types(flat.dtype, torch.float32)).numpy()


def _units(topology: Topology) -> list[Parts]:
    parts = decompose(bond_structure(topology))
    return [*(Parts((leaf,), ()) for leaf in parts.leaves), *(Parts((), (bundle,)) for bundle in parts.bundles)]


def _from_the_inputs(gains: Gains) -> list[int]:
    """The units in order of the first site at which each stands."""
    units = [gains.places.unit[v[v >= 0]] for v in gains.places.vertex]
    return list(dict.fromkeys(u for site in units for u in np.unique(site).tolist()))


def _assigned(parts: Parts, unit: int, gains: Gains, image: Array, known: Array) -> Array:
    """The image with one unit where it gains most from what is known."""
    matrices = gains.matrices(unit, image, known)

    def gain(vertices: Array, places: Array) -> Array:
        group = int(gains.places.group[vertices[0]])
        return matrices[group][np.ix_(gains.places.local[vertices], gains.places.local[places])]

    found = assign(parts, parts, gain)
    assert found is not None, "the identity assigns every unit"
    moved = image.copy()
    for vertices, places in found[1]:
        moved[vertices] = places
    return moved


def _improved(parts: Parts, unit: int, gains: Gains, image: Array, known: Array) -> Array:
    """The image after assigning one unit, or the same object where that gains nothing."""
    moved = _assigned(parts, unit, gains, image, known)
    if np.array_equal(moved, image):
        return image
    before, after = gains.value(unit, image), gains.value(unit, moved)
    return moved if after > before + 1e-6 * abs(before) else image


def interpolate(a: ParameterGraph, b: ParameterGraph, t: float) -> ParameterGraph:
    """The network with weights ``(1 - t) a + t b``; integer entries are those of ``a``.

    Buffers are interpolated too. Batch-norm statistics of the result are not those of its activations: measure them
    anew on data before judging it (REPAIR, https://arxiv.org/abs/2211.08403).

    Raises ValueError for networks of several topologies.

    >>> import graphs
    >>> net = torch.nn.Linear(1, 1)
    >>> a = graphs.trace(net, torch.zeros(1, 1)).bind_flat(torch.tensor([1.0, 3.0]))
    >>> interpolate(a, graphs.ParameterGraph(a.topology, torch.zeros(2)), 0.5).flat()
    tensor([0.5000, 1.5000])
    """
    _check(a, b)
    return ParameterGraph(a.topology, (1 - t) * a.flat() + t * b.flat(), a.other)


def barrier(
    a: ParameterGraph, b: ParameterGraph, loss: Callable[[dict[str, Tensor]], float], points: int = 11
) -> float:
    """How far the loss along the straight line from a to b rises above the line between the losses at its ends.

    Args:
        a, b: networks of one topology, best aligned before: ``barrier(a, b.apply(align(a, b)), loss)``.
        loss: of a state_dict; for networks with batch norm it should measure their statistics anew.
        points: of the line, ends included; 3 looks at the midpoint alone.

    Raises ValueError for fewer than 2 points.
    """
    if points < 2:
        raise ValueError(f"expected at least 2 points, the ends, got {points}")
    ts = torch.linspace(0, 1, points, dtype=torch.float64).tolist()
    losses = [float(loss(interpolate(a, b, t).state_dict())) for t in ts]
    return max(value - (1 - t) * losses[0] - t * losses[-1] for t, value in zip(ts, losses, strict=True))
