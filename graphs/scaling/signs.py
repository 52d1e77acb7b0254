"""The search for sign symmetries: which slices of a neuron may change sign together.

Of a neuron with m slices, the 2^m patterns of signs that keep the outputs form a group. Each is the product of a
pattern ``a`` of the first half of the slices and ``b`` of the other half, and it keeps the outputs only if ``a`` alone
and ``b`` alone lead to the same outputs: all are found by two times 2^(m/2) forward passes that meet in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from graphs.scaling.derivatives import Evidence
from graphs.scaling.scales import Part, Scale, Slice
from graphs.scaling.trials import TOLERANCE, Trials

FEW = 12
MOST_FAILURES = 16
ALIKE = 1e-7
ADDED = ("linear", "conv", "bias", "other")
NORMS = ("norm_weight", "norm_bias", "running_mean", "running_var")


def find_signs(trials: Trials, evidence: Evidence, scales: Sequence[Scale]) -> list[Scale]:
    """Generators of the sign symmetries of a neuron; each one holds for every neuron of the group.

    The odd exponents of a scale come first, since the search is then among patterns that leave one slice of each in
    place. Where there are more than FEW slices (of a recurrent neuron), weights and biases that add up change sign
    together; where there are more than that even so (of a long residual stream), only the patterns that occur in
    practice are tried: all slices, and all but the normalisation's. Of neurons that go with one, the odd exponents are
    all that is tried.
    """
    few = len(evidence.slices) <= FEW
    parts = [(s,) for s in evidence.slices] if few else _summed(trials, evidence.slices)
    found = _Found(trials, evidence.group, parts)
    found.extend(
        _bits(parts, {s for s, e in zip(scale.slices, scale.exponents, strict=True) if e % 2}) for scale in scales
    )
    if evidence.linked:
        return found.signs
    free = [i for i in range(len(parts)) if i not in found.pivots()]
    found.extend(_meeting(trials, evidence, parts, free) if len(free) <= FEW else _usual(trials, parts))
    return found.signs


class _Found:
    """Verified sign symmetries, and what they generate."""

    def __init__(self, trials: Trials, group: int, parts: Sequence[Part]) -> None:
        self.trials, self.group, self.parts = trials, group, parts
        self.signs: list[Scale] = []
        self.reduced: list[int] = []
        self.failures = 0

    def extend(self, patterns: Iterable[int]) -> None:
        """Those patterns, few slices first, that keep the outputs and are no product of others."""
        for pattern in sorted(patterns, key=lambda p: (p.bit_count(), p)):
            rest = self._rest(pattern)
            if rest and self.failures < MOST_FAILURES:
                slices = _chosen(self.parts, pattern)
                sign = Scale(self.group, slices, (1,) * len(slices), continuous=False)
                if self.trials.accept(sign):
                    self.signs.append(sign)
                    self.reduced.append(rest)
                else:
                    self.failures += 1

    def pivots(self) -> set[int]:
        """A part for every pattern found, which products of the others leave in place."""
        return {rest.bit_length() - 1 for rest in self.reduced}

    def _rest(self, pattern: int) -> int:
        """What is left of a pattern after elimination of those found; 0 where it is a product of them."""
        for rest in self.reduced:
            pattern = min(pattern, pattern ^ rest)
        return pattern


def _summed(trials: Trials, slices: Sequence[Slice]) -> list[Part]:
    """Weights and biases that end at one entry are added there, so that they change sign together."""
    together: dict[Any, list[Slice]] = {}
    for one in slices:
        added = one.end == "target" and trials.kind(one) in ADDED
        together.setdefault((one.site, one.rank) if added else one, []).append(one)
    return [tuple(part) for part in together.values()]


def _meeting(trials: Trials, evidence: Evidence, parts: Sequence[Part], free: list[int]) -> list[int]:
    """Patterns of the free parts, as bits, whose two halves lead to the same outputs."""
    middle = len(free) // 2
    first, second = _products(free[:middle]), _products(free[middle:])
    a, b = (
        trials.seen(evidence.group, evidence.strongest, [_chosen(parts, p) for p in patterns])
        for patterns in (first, second)
    )
    influence = (torch.cat([a, b]) - a[0]).nan_to_num(0, 0, 0).abs().max()
    roundoff = TOLERANCE * a[0].abs().max()
    met = ((a[:, None] - b[None]).abs() < ALIKE * influence + roundoff).all(-1).nonzero().tolist()
    return [first[i] | second[j] for i, j in met if i or j]


def _products(numbers: list[int]) -> list[int]:
    """All patterns of some parts, the empty one first."""
    patterns = [0]
    for number in numbers:
        patterns += [p | 1 << number for p in patterns]
    return patterns


def _usual(trials: Trials, parts: Sequence[Part]) -> list[int]:
    every = {part[0] for part in parts}
    return [_bits(parts, some) for some in (every, {s for s in every if trials.kind(s) not in NORMS})]


def _chosen(parts: Sequence[Part], pattern: int) -> Part:
    return tuple(s for i, part in enumerate(parts) if pattern >> i & 1 for s in part)


def _bits(parts: Sequence[Part], slices: set[Slice]) -> int:
    return sum(1 << i for i, part in enumerate(parts) if part[0] in slices)
