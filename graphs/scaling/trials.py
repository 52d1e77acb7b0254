"""Scale and sign symmetries put to the test: outputs before and after, at finite factors."""

from __future__ import annotations

import torch
from torch import Tensor

from graphs.certifying.comparing import difference, floating
from graphs.execution.probes import Probe
from graphs.scaling.rescaling import rescale, uses_of
from graphs.scaling.scales import Part, Scale, Slice
from graphs.scaling.subject import Subject
from graphs.topology import Topology

TOLERANCE = 1e-9
# Piecewise linear functions are linear on a small range; thresholds within this factor of it are found. A power of
# two costs no roundoff.
EXTREME = 30


class Trials:
    """Changes of the weights of one network.

    An accepted symmetry stays applied, with random factors, so that all of them are tried together.
    """

    def __init__(self, topology: Topology, subject: Subject, probes: list[Probe], generator: torch.Generator) -> None:
        self.topology, self.subject, self.probes, self.generator = topology, subject, probes, generator
        self.uses = uses_of(topology)
        self.before = subject.outputs(probes)

    def accept(self, scale: Scale) -> bool:
        """Whether the outputs stay the same when every neuron of the group has a factor of its own."""
        size = self.topology.groups[scale.group].size
        noise = torch.randn(size, dtype=torch.float64, generator=self.generator)
        if not scale.continuous:
            return self._same(scale, -torch.ones_like(noise)) and self._same(scale, noise.sign(), keep=True)
        extreme = torch.exp2(EXTREME * torch.randn(size, dtype=torch.float64, generator=self.generator).sign())
        return self._same(scale, extreme) and self._same(scale, 1 / extreme) and self._same(scale, noise.exp(), True)

    def seen(self, group: int, neuron: int, patterns: list[Part]) -> Tensor:
        """A few random sums of the outputs ``[patterns, 8]`` after a change of sign of some slices of one neuron."""
        factor = torch.ones(self.topology.groups[group].size, dtype=torch.float64)
        factor[neuron] = -1
        rows = []
        for slices in patterns:
            flip = Scale(group, slices, (1,) * len(slices), continuous=False)
            self._multiply(flip, factor)
            outputs = floating(self.subject.outputs(self.probes[:1]))
            self._multiply(flip, factor)
            rows.append(_views(outputs))
        return torch.stack(rows)

    def kind(self, part: Slice) -> str:
        """What the parameter does in this use, as a kind of ParameterBlock."""
        return self.uses[part.use][0].kind

    def _same(self, scale: Scale, factor: Tensor, keep: bool = False) -> bool:
        self._multiply(scale, factor)
        after = self.subject.outputs(self.probes)
        same = difference(self.before, after) <= TOLERANCE
        if same and keep:
            self.before = after
        else:
            self._multiply(scale, 1 / factor)
        return same

    def _multiply(self, scale: Scale, factor: Tensor) -> None:
        rescale(self.topology, self.uses, self.subject.flat, [scale], [factor])


def _views(outputs: list[Tensor]) -> Tensor:
    values = torch.cat([torch.view_as_real(t).reshape(-1) if t.is_complex() else t.reshape(-1) for t in outputs])
    return torch.randn(8, len(values), dtype=values.dtype, generator=torch.Generator().manual_seed(0)) @ values
