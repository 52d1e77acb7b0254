"""How far a run has gone, in steps or in minutes, with the learning rate that belongs there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """The length of a run: optimiser steps, minutes of wall-clock time, or whichever of both ends first.

    A budget in steps makes a run repeatable; one in minutes makes it end in time on any machine.

    >>> Budget(steps=200).fraction(step=50, seconds=3.0)
    0.25
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a run needs a length: give steps=..., minutes=..., or both; got neither")
        for name in ("steps", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"expected {name} > 0, got {value}; leave it out for no limit of that kind")

    def fraction(self, step: int, seconds: float) -> float:
        """The part of the run that is over, from 0 to 1."""
        by_steps = 0.0 if self.steps is None else step / self.steps
        by_time = 0.0 if self.minutes is None else seconds / (60.0 * self.minutes)
        return min(1.0, max(by_steps, by_time))


def warmup_cosine(fraction: float, warmup: float = 0.05) -> float:
    """Multiplier of the peak learning rate: linear from 0 over the first ``warmup`` of the run, then a cosine to 0.

    >>> [round(warmup_cosine(f, warmup=0.2), 3) for f in (0.1, 0.2, 0.6, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if fraction < warmup:
        return fraction / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (fraction - warmup) / (1.0 - warmup))) if fraction < 1.0 else 0.0


def steps_of_ten(fraction: float, warmup: float = 0.05) -> float:
    """Multiplier of the peak learning rate: a tenth after 2/3 of the run and a hundredth after 5/6, as graph
    hypernetworks were published (epochs 200 and 250 of 300).

    >>> [steps_of_ten(f, warmup=0.0) for f in (0.0, 0.5, 0.7, 0.9)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if fraction < warmup:
        return fraction / warmup
    return 1.0 if fraction < 2 / 3 else 0.1 if fraction < 5 / 6 else 0.01


SCHEDULES: dict[str, Callable[[float, float], float]] = {"cosine": warmup_cosine, "steps": steps_of_ten}
