"""The certificate that a conversion is right: symmetries of the topology leave the function unchanged."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphs.comparing import difference
from graphs.probes import Probe, as_probes
from graphs.randomising import randomise
from graphs.scaling import with_scales
from graphs.symmetries import coverage
from graphs.topology import Topology
from graphs.tracing import trace


@dataclass(frozen=True)
class Certificate:
    """What was checked of a conversion.

    Args:
        max_error: largest output difference over trials and inputs, relative to the largest output.
        coverage: fraction of parameter elements that some symmetry moves.
        log10_group_order: log10 of the number of permutation symmetries.
        pinned: what was pinned for want of a rule, and how many neurons.
        scales: number of independent positive factors that a symmetry may have (neurons with a scale symmetry).
        signs: number of independent signs.
        tolerance: the error up to which it passes.
    """

    max_error: float
    coverage: float
    log10_group_order: float
    pinned: dict[str, int]
    scales: int = 0
    signs: int = 0
    tolerance: float = 1e-9

    @property
    def passed(self) -> bool:
        return self.max_error <= self.tolerance


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

    Args:
        module: any network; it is not changed.
        example_inputs: what it is traced on; tensors, or dicts, lists and objects that hold them.
        inputs: further calls to compare on, each a tuple of positional inputs, a dict of keyword inputs, or a pair
            (tuple, dict) of both; by default three random ones like the example.
        kwargs: keyword inputs that it is traced on.
        trials: number of random symmetries.
        seed: of the weights, the symmetries and the random inputs.
        scale: also search the scale and sign symmetries (:func:`graphs.find_scales`), and apply random ones.

    >>> certify(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), torch.zeros(1, 2)).passed
    True
    """
    generator = torch.Generator().manual_seed(seed)
    subject = copy.deepcopy(module).double().eval()
    randomise(subject, generator)
    example = Probe(example_inputs, dict(kwargs or {})).double()
    topology = trace(subject, *example.args, **example.kwargs)
    if scale:
        topology = with_scales(topology, subject, *example.args, **example.kwargs)
    graph = topology.bind(subject.state_dict())
    probes = [p.double() for p in as_probes(inputs)] or [example.like(generator) for _ in range(3)]
    error = 0.0
    for _ in range(trials):
        moved = graph.apply(topology.random_symmetry(generator, scale)).state_dict()
        error = max(error, *(_difference(subject, moved, probe) for probe in probes))
    return Certificate(
        error,
        coverage(topology),
        topology.log10_group_order,
        dict(topology.pinned),
        scales=_neurons(topology, continuous=True),
        signs=_neurons(topology, continuous=False),
    )


def _neurons(topology: Topology, continuous: bool) -> int:
    return sum(topology.groups[s.group].size for s in topology.scales or () if s.continuous == continuous)


def _difference(module: nn.Module, weights: dict[str, Tensor], probe: Probe) -> float:
    moved = copy.deepcopy(module)
    moved.load_state_dict(weights)
    with torch.no_grad():
        return difference(probe.run(module), probe.run(moved))
