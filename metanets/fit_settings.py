"""What a run of ``fit`` is told, checked when it is said and again when it is resumed, with what it tells back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metanets.optimiser import OPTIMISERS
from metanets.schedule import SCHEDULES


@dataclass(frozen=True)
class FitSettings:
    """How ``fit`` trains; see there."""

    lr: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05
    clip: float | None = 1.0
    precision: str = "fp32"
    evaluations: int = 20
    patience: int | None = None
    accumulate: int = 1
    optimiser: str = "adamw"
    schedule: str = "cosine"
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"unknown precision {self.precision!r}; choose from fp32, bf16")
        for what, chosen, choices in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if chosen not in choices:
                raise ValueError(f"unknown {what} {chosen!r}; choose from {', '.join(choices)}")
        if self.accumulate < 1:
            raise ValueError(f"accumulate is the number of batches a step: expected >= 1, got {self.accumulate}")
        if not self.lr > 0 or self.weight_decay < 0:
            raise ValueError(f"expected lr > 0 and weight_decay >= 0, got {self.lr} and {self.weight_decay}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is the part of the run it takes: expected 0 <= warmup < 1, got {self.warmup}")
        if self.evaluations < 1 or (self.patience is not None and self.patience < 1):
            raise ValueError(f"expected evaluations and patience >= 1, got {self.evaluations} and {self.patience}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"expected clip > 0 (the largest gradient norm) or None, got {self.clip}")


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Args:
        steps: optimiser steps taken.
        seconds: wall-clock time, earlier parts of a resumed run included.
        stopped: "budget" or "early stopping".
        metrics: the task's figures of the weights the model now has; empty without a val_loader.
        best_step: the step those weights are of.
    """

    steps: int
    seconds: float
    stopped: str
    metrics: dict[str, float]
    best_step: int


def check_settings(saved: dict[str, Any], given: dict[str, Any], folder: Path) -> None:
    """A ValueError where the settings of a checkpoint are not those given; what it does not tell, being of an earlier
    version, was what is now the default."""
    saved = {**vars(FitSettings()), **saved}
    other = [f"{name} was {saved.get(name)}, is {value}" for name, value in given.items() if saved.get(name) != value]
    if other:
        raise ValueError(
            f"the checkpoint in {folder} was written with other settings ({'; '.join(other)}); "
            "resume with the same ones, or start in an empty folder"
        )
