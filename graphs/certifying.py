"""The certificate that a conversion is right: symmetries of the topology leave the function unchanged."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphs.probes import Probe, as_probes
from graphs.symmetries import coverage
from graphs.tracing import trace
from graphs.trees import tensors_in


@dataclass(frozen=True)
class Certificate:
    """What was checked of a conversion.

    Args:
        max_error: largest output difference over trials and inputs, relative to the largest output.
        coverage: fraction of parameter elements that some symmetry moves.
        log10_group_order: log10 of the number of permutation symmetries.
        pinned: what was pinned for want of a rule, and how many neurons.
        tolerance: the error up to which it passes.
    """

    max_error: float
    coverage: float
    log10_group_order: float
    pinned: dict[str, int]
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

    >>> certify(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), torch.zeros(1, 2)).passed
    True
    """
    generator = torch.Generator().manual_seed(seed)
    subject = copy.deepcopy(module).double().eval()
    _randomise(subject, generator)
    example = Probe(example_inputs, dict(kwargs or {})).double()
    topology = trace(subject, *example.args, **example.kwargs)
    graph = topology.bind(subject.state_dict())
    probes = [p.double() for p in as_probes(inputs)] or [example.like(generator) for _ in range(3)]
    error = 0.0
    for _ in range(trials):
        moved = graph.apply(topology.random_symmetry(generator)).state_dict()
        error = max(error, *(_difference(subject, moved, probe) for probe in probes))
    return Certificate(error, coverage(topology), topology.log10_group_order, dict(topology.pinned))


def _difference(module: nn.Module, weights: dict[str, Tensor], probe: Probe) -> float:
    moved = copy.deepcopy(module)
    moved.load_state_dict(weights)
    with torch.no_grad():
        before, after = probe.run(module), probe.run(moved)
    pairs = list(zip(_compared(before), _compared(after), strict=True))
    if not pairs:
        raise ValueError("expected a floating output to compare, got none; certify what the outputs are computed from")
    return max(_relative(a, b) for a, b in pairs)


def _relative(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest value; infinite where one is not finite and the other differs."""
    known = torch.isfinite(a) & torch.isfinite(b)
    if not bool(torch.equal(a[~known].nan_to_num(), b[~known].nan_to_num())):
        return math.inf
    if not bool(known.any()):
        raise ValueError("every output is NaN or infinite, so nothing can be certified; use inputs in the usual range")
    return float((a - b)[known].abs().max() / a[known].abs().max().clamp(min=1e-30))


def _compared(outputs: Any) -> list[Tensor]:
    floating = [t for t in tensors_in(outputs) if t.is_floating_point() or t.is_complex()]
    return [t for t in floating if t.numel()]


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Break the accidental symmetries of initial weights (ones, zeros), buffers included; variances stay positive."""
    seen: set[int] = set()
    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if not tensor.is_floating_point() or tensor.data_ptr() in seen:
                continue
            seen.add(tensor.data_ptr())
            noise = torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator)
            scale = float(tensor.std()) + 0.1 if tensor.numel() > 1 else 0.1
            tensor.copy_(tensor * noise.mul(0.3).exp() if "var" in name else tensor + 0.3 * scale * noise)
