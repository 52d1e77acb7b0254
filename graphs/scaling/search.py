"""The search for scale and sign symmetries: no operation is known to it, only derivatives and outputs.

If a neuron may multiply its slices by ``s ** e``, the derivative of every output by ``log s`` vanishes: the vector of
exponents is in the null space of the matrix [random output, slice] of sums of weight times gradient. One backward pass
gives a row for every neuron of the network, and a symmetry must hold for all neurons of a group. Signs, which no
derivative sees, are found by :mod:`graphs.scaling.signs`. What is found is accepted only when outputs stay the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from graphs.execution.probes import Probe
from graphs.scaling.derivatives import Derivatives, Evidence
from graphs.scaling.null_space import independent, null_vectors
from graphs.scaling.scales import Part, Scale, Slice
from graphs.scaling.signs import find_signs
from graphs.scaling.subject import Subject
from graphs.scaling.trials import Trials
from graphs.topology import Topology


def with_scales(topology: Topology, module: nn.Module, *inputs: Any, **kwargs: Any) -> Topology:
    """The topology with the scale and sign symmetries of its module, as :func:`find_scales` finds them.

    >>> net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> import graphs
    >>> topology = with_scales(graphs.trace(net, torch.zeros(1, 2)), net, torch.zeros(1, 2))
    >>> symmetry = topology.random_symmetry(torch.Generator().manual_seed(0), scale=True)
    >>> moved = topology.bind(net.state_dict()).apply(symmetry)
    """
    found = replace(topology, scales=find_scales(topology, module, *inputs, **kwargs))
    return found.attach(module)


def find_scales(topology: Topology, module: nn.Module, *inputs: Any, **kwargs: Any) -> tuple[Scale, ...]:
    """Scale and sign symmetries of single neurons, for every group of ``topology`` that permutes, and of neurons
    together with those that go with them (the query heads that share a key, dimensions that are rotated together).

    Weights are randomised first, so that the symmetries are those of the architecture; inputs are random ones like the
    example. A group of which a parameter has no influence on any of them (an expert that no token reaches, a recurrent
    matrix after one step) is left out: nothing is known of it. Neurons that never fire are no evidence either way.

    Args:
        topology: what ``trace(module, *inputs, **kwargs)`` returned.
        module: the network; it is not changed.
        inputs, kwargs: an example of its inputs, for instance two of a batch and several tokens.

    Raises ValueError where the outputs cannot be differentiated by the weights.

    >>> net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> import graphs
    >>> [scale] = find_scales(graphs.trace(net, torch.zeros(1, 2)), net, torch.zeros(1, 2))
    >>> scale.continuous, scale.exponents
    (True, (1, 1, -1))
    """
    generator = torch.Generator().manual_seed(0)
    subject, example = Subject(topology, module), Probe(inputs, kwargs).double()
    known = Derivatives(topology, subject, example, generator).evidence()
    subject.randomise(generator)
    trials = Trials(topology, subject, [subject.like(example, generator) for _ in range(2)], generator)
    found: list[Scale] = []
    for evidence in known:
        scales = [s for s in _candidates(evidence, found) if trials.accept(s)]
        found += [*scales, *find_signs(trials, evidence, scales)]
    return tuple(found)


def _candidates(evidence: Evidence, found: Sequence[Scale]) -> list[Scale]:
    """Scales to verify, without those that what was found before generates."""
    alone = [((part,), (1,)) for part in evidence.inert] if not evidence.linked else []
    known = [row for scale in found if (row := _exponents(evidence.parts, scale)) is not None]
    vectors = null_vectors(evidence.rows)
    chosen = independent(np.array([*known, *vectors], dtype=float)) if vectors else []
    together = [_scaled(evidence.parts, vectors[i - len(known)]) for i in chosen if i >= len(known)]
    return [Scale(evidence.group, *what, continuous=True) for what in [*together, *alone]]


def _exponents(parts: Sequence[Part], scale: Scale) -> list[int] | None:
    """The exponents of a scale for each part; None for a sign, or where other slices are scaled too."""
    exponent = {replace(s, path=()): e for s, e in zip(scale.slices, scale.exponents, strict=True)}
    slices = [[replace(s, path=()) for s in part] for part in parts]
    if not scale.continuous or not exponent.keys() <= {s for part in slices for s in part}:
        return None
    return [exponent.get(part[0], 0) for part in slices]


def _scaled(parts: Sequence[Part], exponents: Iterable[int]) -> tuple[tuple[Slice, ...], tuple[int, ...]]:
    """The slices of the parts whose exponent is not 0, with their exponents."""
    taken = [(s, int(e)) for part, e in zip(parts, exponents, strict=True) if e for s in part]
    return tuple(s for s, _ in taken), tuple(e for _, e in taken)
