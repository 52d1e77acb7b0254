"""The search for sign symmetries: which slices of a neuron may change sign together.

Of a neuron with m slices, the 2^m patterns of signs that keep the outputs form a group. Each is the product of a
pattern ``a`` of the first half of the slices and ``b`` of the other half, and it keeps the outputs only if ``a`` alone
and ``b`` alone lead to the same outputs: all are found by two times 2^(m/2) forward passes that meet in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from graphs.derivatives import Evidence
from graphs.scales import Part, Scale, Slice
from graphs.trials import TOLERANCE, Trials

FEW_SLICES, MOST_PARTS = 12, 16
MOST_FAILURES = 16
ALIKE = 1e-7
ADDED = ("linear", "conv", "bias")
NORMS = ("norm_weight", "norm_bias", "running_mean", "running_var")


def find_signs(trials: Trials, evidence: Evidence, scales: Sequence[Scale]) -> list[Scale]:
    """Generators of the sign symmetries of a neuron, those of few slices first; each one holds for every neuron.

    Of a neuron with more than FEW_SLICES (a recurrent one), weights and biases that add up change sign together. One
    that has more than MOST_PARTS even so (of a long residual stream) is tried on the patterns that occur in practice:
    the odd exponents of a scale, all slices, all but the normalisation's.
    """
    few = len(evidence.slices) <= FEW_SLICES
    parts = [(s,) for s in evidence.slices] if few else _summed(trials, evidence.slices)
    meet = len(parts) <= MOST_PARTS
    patterns = _meeting(trials, evidence, parts) if meet else _usual(trials, parts, scales)
    found: list[Scale] = []
    span = {0}
    failures = 0
    for pattern in sorted(patterns, key=lambda p: (p.bit_count(), p)):
        if pattern in span or failures > MOST_FAILURES:
            continue
        slices = _chosen(parts, pattern)
        scale = Scale(evidence.group, slices, (1,) * len(slices), continuous=False)
        if trials.accept(scale):
            found.append(scale)
            span |= {p ^ pattern for p in span}
        else:
            failures += 1
    return found


def _summed(trials: Trials, slices: Sequence[Slice]) -> list[Part]:
    """Weights and biases that end at one entry are added there, so that they change sign together."""
    together: dict[Any, list[Slice]] = {}
    for one in slices:
        added = one.end == "target" and trials.kind(one) in ADDED
        together.setdefault((one.site, one.rank) if added else one, []).append(one)
    return [tuple(part) for part in together.values()]


def _meeting(trials: Trials, evidence: Evidence, parts: Sequence[Part]) -> list[int]:
    """Patterns, as bits, whose two halves lead to the same outputs."""
    middle = len(parts) // 2
    first = list(range(1 << middle))
    second = [p << middle for p in range(1 << (len(parts) - middle))]
    a, b = (
        trials.seen(evidence.group, evidence.strongest, [_chosen(parts, p) for p in patterns])
        for patterns in (first, second)
    )
    influence = (torch.cat([a, b]) - a[0]).nan_to_num(0, 0, 0).abs().max()
    roundoff = TOLERANCE * a[0].abs().max()
    met = ((a[:, None] - b[None]).abs() < ALIKE * influence + roundoff).all(-1).nonzero().tolist()
    return [first[i] | second[j] for i, j in met if i or j]


def _usual(trials: Trials, parts: Sequence[Part], scales: Sequence[Scale]) -> list[int]:
    odd = [{s for s, e in zip(scale.slices, scale.exponents, strict=True) if e % 2} for scale in scales]
    every = {part[0] for part in parts}
    return [_bits(parts, some) for some in [*odd, every, {s for s in every if trials.kind(s) not in NORMS}]]


def _chosen(parts: Sequence[Part], pattern: int) -> Part:
    return tuple(s for i, part in enumerate(parts) if pattern >> i & 1 for s in part)


def _bits(parts: Sequence[Part], slices: set[Slice]) -> int:
    return sum(1 << i for i, part in enumerate(parts) if part[0] in slices)
