"""Certifying a conversion: symmetries of the topology leave the function of random weights unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from graphs.certifying.certificate import Certificate
from graphs.certifying.comparing import difference
from graphs.certifying.replica import Replica
from graphs.execution.paths import Path, parting
from graphs.execution.probes import Probe, as_probes
from graphs.execution.widening import in_double
from graphs.scaling.search import with_scales
from graphs.symmetries import Symmetry, coverage
from graphs.topology import Topology
from graphs.tracing import trace


def certify(
    module: nn.Module,
    *example_inputs: Any,
    inputs: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    trials: int = 3,
    seed: int = 0,
    scale: bool = False,
) -> Certificate:
    """Trace a float64 copy with randomised weights, apply random symmetries, compare outputs on fresh inputs.

    The inputs that are checked may take other paths through the network than the one that was traced: the certificate
    says so. Random numbers that the network draws are the same in every run.

    Args:
        module: any network; it is not changed.
        example_inputs: what it is traced on; tensors, or dicts, lists and objects that hold them.
        inputs: further calls to compare on, each a tuple of positional inputs, a dict of keyword inputs, or a pair
            (tuple, dict) of both; by default three random ones like the example.
        kwargs: keyword inputs that it is traced on.
        trials: number of random symmetries.
        seed: of the weights, the symmetries and the random inputs.
        scale: also search the scale and sign symmetries (:func:`graphs.find_scales`), and apply random ones.

    Raises UntraceableError where :func:`graphs.trace` does; ValueError for a network that fails on an input, returns
    nothing finite, or does not return the same twice.

    >>> certificate = certify(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), torch.zeros(1, 2))
    >>> certificate.passed, round(10**certificate.log10_group_order)
    (True, 40320)
    """
    generator = torch.Generator().manual_seed(seed)
    replica = Replica(module, generator, seed)
    example = Probe(example_inputs, dict(kwargs or {})).double()
    with in_double():
        topology = trace(replica.module, *example.args, **example.kwargs)
        if scale:
            topology = with_scales(topology, replica.module, *example.args, **example.kwargs)
    first = _Run(example, *replica.run(example))
    replica.check_repeats(example, first.output)
    fresh = [p.double() for p in as_probes(inputs)] or [replica.like(example, generator) for _ in range(3)]
    checked = [_Run(probe, *replica.run(probe)) for probe in fresh]
    partings = [parting(first.path.steps, run.path.steps) for run in checked]
    if all(partings):  # what was traced is then compared too
        checked.append(first)
    paths = [first.path, *(run.path for run in checked)]
    return Certificate(
        _largest_error(replica, topology, checked, [topology.random_symmetry(generator, scale) for _ in range(trials)]),
        coverage(topology),
        topology.log10_group_order,
        dict(topology.pinned),
        scales=_neurons(topology, continuous=True),
        signs=_neurons(topology, continuous=False),
        paths=len({tuple(path.steps) for path in paths}),
        branches=tuple(f"input {i} {where}" for i, where in enumerate(partings) if where),
        random=tuple(dict.fromkeys(str(step) for path in paths for step in path.random)),
    )


@dataclass(frozen=True)
class _Run:
    """What a network returned, and the way that it took."""

    probe: Probe
    output: Any
    path: Path


def _largest_error(replica: Replica, topology: Topology, runs: Sequence[_Run], symmetries: Sequence[Symmetry]) -> float:
    """How far the outputs of moved weights are from those of the weights themselves."""
    graph, error = topology.bind(replica.weights), 0.0
    for symmetry in symmetries:
        moved = graph.apply(symmetry).state_dict()
        for run in runs:
            error = max(error, difference(run.output, replica.run(run.probe, moved)[0]))
    return error


def _neurons(topology: Topology, continuous: bool) -> int:
    return sum(topology.groups[s.group].size for s in topology.scales or () if s.continuous == continuous)
