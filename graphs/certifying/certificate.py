"""What was checked of a conversion, for readers and for scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphs.labelling.calls import LEAVING


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
        paths: how many different paths of operations the traced and the checked inputs took.
        branches: for each checked input that left the traced path, where it did (data-dependent control flow).
        random: operations that draw random numbers in evaluation mode; every run drew the same.
        tolerance: the error up to which it passes.
    """

    max_error: float
    coverage: float
    log10_group_order: float
    pinned: Mapping[str, int]
    scales: int = 0
    signs: int = 0
    paths: int = 1
    branches: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    tolerance: float = 1e-9

    @property
    def passed(self) -> bool:
        return self.max_error <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, with ``passed`` and the reason of every pin; an infinite error is None."""
        row = {"passed": self.passed, **asdict(self)}
        row["max_error"] = self.max_error if math.isfinite(self.max_error) else None
        return {**row, "reasons": {what: pin_reason(what) for what in self.pinned}}

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{'passed' if self.passed else 'FAILED'}: outputs differ by at most {self.max_error:.1e} "
                f"(tolerance {self.tolerance:.0e})",
                f"10^{self.log10_group_order:.1f} permutation symmetries move {self.coverage:.1%} of the parameters",
                *(
                    [f"{self.scales} positive factors and {self.signs} signs are free"]
                    if self.scales or self.signs
                    else []
                ),
                *(f"pinned: {what}, {count} neurons ({pin_reason(what)})" for what, count in self.pinned.items()),
                *([f"{self.paths} paths through the network"] if self.paths > 1 else []),
                *self.branches,
                *(f"random: {step} (every run drew the same numbers)" for step in self.random),
            ]
        )


def pin_reason(what: str) -> str:
    """Why neurons were pinned, from what they were pinned by."""
    operation = what.split(" in ")[0]
    if operation in LEAVING:
        return "values go to Python, where they cannot be followed"
    if operation.startswith("a view as"):
        return "elements are read under another size"
    if operation.startswith("axis "):
        return "these neurons stand at no place of the network"
    return "no rule for this use of the operation"
