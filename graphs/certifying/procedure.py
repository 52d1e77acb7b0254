"""Certifying a conversion: symmetries of the topology leave the function of random weights unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from graphs.certifying.certificate import Certificate
from graphs.certifying.comparing import difference
from graphs.certifying.replica import Replica
from graphs.execution.paths import parting
from graphs.execution.probes import Probe, as_probes
from graphs.execution.widening import in_double
from graphs.scaling.search import with_scales
from graphs.symmetries import coverage
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
    expected, traced = replica.run(example)
    replica.check_repeats(example, expected)
    graph = topology.bind(replica.weights)
    probes = [p.double() for p in as_probes(inputs)] or [replica.like(example, generator) for _ in range(3)]
    runs = [replica.run(probe) for probe in probes]
    partings = [parting(traced.steps, path.steps) for _, path in runs]
    if all(partings):  # what was traced is then compared too
        probes, runs = [*probes, example], [*runs, (expected, traced)]
    error = 0.0
    for _ in range(trials):
        moved = graph.apply(topology.random_symmetry(generator, scale)).state_dict()
        for probe, (before, _) in zip(probes, runs, strict=True):
            error = max(error, difference(before, replica.run(probe, moved)[0]))
    return Certificate(
        error,
        coverage(topology),
        topology.log10_group_order,
        dict(topology.pinned),
        scales=_neurons(topology, continuous=True),
        signs=_neurons(topology, continuous=False),
        paths=len({tuple(path.steps) for path in (traced, *(p for _, p in runs))}),
        branches=tuple(f"input {i} {where}" for i, where in enumerate(partings) if where),
        random=tuple(dict.fromkeys(str(step) for path in (traced, *(p for _, p in runs)) for step in path.random)),
    )


def _neurons(topology: Topology, continuous: bool) -> int:
    return sum(topology.groups[s.group].size for s in topology.scales or () if s.continuous == continuous)
