"""How long the operations take in every style, once all styles were found to agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _results
import torch
from _kernel_cases import BOTH, FORWARD, Case
from _kernel_clock import best_times
from _kernel_limits import Limits, reading
from _kernel_styles import STYLES, using
from torch import Tensor

KERNELS, PYG = "kernels", "PyG"
# Greatest relative difference (of norms) between styles. A rounding may turn the sign that a relu reads.
TOLERANCE = 1e-3
PRECISION = {"cpu": "highest", "cuda": "high"}
_READING = "reading e"


class Subject:
    """A case with the gradients that its outputs get, so that no style pays for making them."""

    def __init__(self, case: Case, style: str = "index_add") -> None:
        self.case = case
        self.leaves = list(case.tensors.values())
        with torch.no_grad(), using(style):
            outputs = case.run(case.tensors, case.table)
        self.gradients = [torch.randn_like(x) for x in outputs]

    def run(self, style: str) -> tuple[Tensor, ...]:
        if style in self.case.as_users:
            return self.case.as_users[style](self.case.tensors, self.case.table)
        with using(style):
            return self.case.run(self.case.tensors, self.case.table)

    def forward(self, style: str) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return self.run(style)

    def both(self, style: str) -> tuple[Tensor, ...]:
        """The gradients of all inputs."""
        return torch.autograd.grad(self.run(style), self.leaves, self.gradients)

    def passes(self) -> dict[str, Callable[[str], tuple[Tensor, ...]]]:
        return {FORWARD: self.forward, BOTH: self.both}


def check(subject: Subject, style: str) -> None:
    """Raise ValueError unless a style computes what index_add does, outputs and gradients."""
    for name, work in subject.passes().items():
        for i, (value, right) in enumerate(zip(work(style), work("index_add"), strict=True)):
            error = float((value - right).norm() / right.norm())
            if not error <= TOLERANCE:
                raise ValueError(f"{subject.case.name}: {name} number {i} of {style} is off by {error:.1e} of its norm")


def measure(case: Case, device: str, limits: Limits, repeats: int, gated: bool) -> list[dict[str, Any]]:
    """Times and speed-ups, and what share of the device's limits the kernels reach; bounds hold where ``gated``."""
    subject, rows = Subject(case), []
    styles = [KERNELS, *case.as_users, *STYLES]
    # Styles are compared in full precision, in which they agree; on a GPU all are timed in TF32.
    torch.set_float32_matmul_precision("highest")
    for style in styles:
        check(subject, style)
    torch.set_float32_matmul_precision(PRECISION[device])
    for name, work in subject.passes().items():
        works = {style: lambda style=style, work=work: work(style) for style in styles}
        reads = gated and name == FORWARD and case.reads is not None
        times = best_times({**works, **({_READING: reading(case.tensors["e"])} if reads else {})}, device, repeats)
        rows += [_results.row(f"{case.name}: {name}, {style}", 1e3 * times[style], "ms") for style in styles]
        rows += _speed_ups(case, name, times, device, gated)
        rows += _shares(case, name, times[KERNELS], device, limits, gated)
        if reads:
            share = times[_READING] / times[KERNELS]
            bound = case.reads if device == "cpu" else None
            rows.append(_results.row(f"{case.name}: {name}, of the bandwidth of reading", share, "", at_least=bound))
    return rows


def _speed_ups(case: Case, name: str, times: dict[str, float], device: str, gated: bool) -> list[dict[str, Any]]:
    bound = case.faster.get(device, {}).get(name) if gated else None
    others = {style: times[style] / times[KERNELS] for style in (*case.as_users, *STYLES)}
    return [
        _results.row(f"{case.name}: {name}, speed-up over {PYG}", others[PYG], "x", at_least=bound),
        _results.row(f"{case.name}: {name}, speed-up over the fastest", min(others.values()), "x"),
    ]


def _shares(case: Case, name: str, seconds: float, device: str, limits: Limits, gated: bool) -> list[dict[str, Any]]:
    cost, title = case.costs[name], f"{case.name}: {name}"
    moved, done = 4 * cost.moved / seconds, cost.operations / seconds
    bound = case.shares.get(name) if gated and device == "cuda" else None
    rows = [
        _results.row(f"{title}, moved at least", 4 * cost.moved / 1e6, "MB"),
        _results.row(f"{title}, of the bandwidth of copying", moved / limits.copy, "", at_least=bound),
        _results.row(f"{title}, operations", done / 1e9, "GFLOP/s"),
    ]
    if limits.multiply_adds is not None:
        rows.append(_results.row(f"{title}, of multiply-adds on registers", done / limits.multiply_adds, ""))
    return [*rows, _results.row(f"{title}, of a product of large matrices", done / limits.product, "")]
