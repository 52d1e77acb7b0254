"""A training job, its result, and the choice of the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo.population.settings import MemberSettings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from zoo.sources import Dataset

TRAINERS = {
    "reference": "zoo.population.reference:train_reference",
    "stacked": "zoo.population.stacked:train_stacked",
    "native": "zoo.population.native:train_native",
}


@dataclass(frozen=True)
class TrainingJob:
    """Members of one architecture to train on one data set.

    Args:
        recipe: ``Recipe.to_dict()``; a member's activation and dropout take the place of the recipe's.
        members: a row a member, with the fields of MemberSettings.
        epochs: passes over a member's training samples.
        batch_size: samples a step. What does not fill a batch waits for a later epoch; fewer samples than a batch
            are repeated to fill it; all samples at once are taken in their own order.
        keep: epochs (or updates) whose states and metrics are kept, ascending; 0 is before training.
        loss: "cross_entropy", "mse", ``module:function`` (``loss(outputs, targets) -> scalar``), or None for
            cross-entropy, and mse for image networks.
        steps: updates of every member, in place of epochs; ``keep`` then counts updates.
        starts: a state_dict a member to start from, such as its parent's; None starts anew.

    Raises ValueError for a member or an epoch out of range.
    """

    recipe: Mapping[str, Any]
    members: tuple[Mapping[str, Any], ...]
    epochs: int
    batch_size: int
    keep: tuple[int, ...]
    loss: str | None = None
    steps: int | None = None
    starts: tuple[Mapping[str, Tensor], ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "keep", tuple(self.keep))
        if self.length < 0 or self.batch_size < 1:
            raise ValueError(f"expected {self.unit} >= 0 and batch_size >= 1, got {self.length} and {self.batch_size}")
        if (
            not self.keep
            or list(self.keep) != sorted(set(self.keep))
            or not 0 <= self.keep[0] <= self.keep[-1] <= self.length
        ):
            raise ValueError(f"keep must be ascending {self.unit} between 0 and {self.length}, got {list(self.keep)}")
        if self.starts is not None and len(self.starts) != len(self.members):
            raise ValueError(f"expected a start for each of {len(self.members)} members, got {len(self.starts)}")
        images = {settings.image is None for settings in self.settings}
        if len(images) > 1:
            raise ValueError("some members fit an image and some do not; give them jobs of their own")

    @property
    def unit(self) -> str:
        """What ``length`` and ``keep`` count."""
        return "epochs" if self.steps is None else "steps"

    @property
    def length(self) -> int:
        """Epochs or updates of the training."""
        return self.epochs if self.steps is None else self.steps

    @cached_property
    def settings(self) -> tuple[MemberSettings, ...]:
        return tuple(MemberSettings.from_dict(member) for member in self.members)

    @property
    def tries_trigger(self) -> bool:
        """Whether a backdoor is in question, so that all members are tried with the trigger."""
        return any(settings.poison_fraction is not None for settings in self.settings)

    @property
    def fits_images(self) -> bool:
        """Whether the members map coordinates to the pixels of an image each."""
        return any(settings.image is not None for settings in self.settings)


@dataclass
class PopulationResult:
    """Trained members: T kept states of E members with P weights each.

    Shapes: states ``[T, E, P]``, floating state_dict entries in the order of ``graphs.layout.flat_layout``;
    other ``[T, E, ...]``, integer entries by name; metrics by name, ``[T, E]`` or ``[T, E, classes]``: see
    ``zoo.population.metrics``; status "ok" or "diverged" (a weight or a loss of a kept state is not finite), one a
    member. From the first weight that is not finite on, states and metrics are all NaN.
    """

    states: Tensor
    other: dict[str, Tensor]
    metrics: dict[str, np.ndarray]
    status: list[str]


def finish(states: Tensor, other: dict[str, Tensor], metrics: dict[str, np.ndarray]) -> PopulationResult:
    """The result of the arrays; a network with a weight that is not finite keeps no value from that state on."""
    import numpy as np

    lost = np.logical_or.accumulate(~states.isfinite().all(-1).numpy(), 0)
    states[lost] = float("nan")
    metrics = {name: np.where(_beside(lost, values), np.nan, values) for name, values in metrics.items()}
    bad = lost | ~np.all([np.isfinite(values) for name, values in metrics.items() if "loss" in name], 0)
    return PopulationResult(states, other, metrics, ["diverged" if b else "ok" for b in bad.any(0)])


def _beside(lost: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``[T, E]`` with the axes that it lacks."""
    return lost.reshape(*lost.shape, *[1] * (values.ndim - 2))


def train(
    job: TrainingJob,
    data: Dataset,
    trainer: str = "reference",
    progress: Callable[[int], None] | None = None,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    stack: int | None = None,
) -> PopulationResult:
    """Train all members of a job.

    Args:
        job: what to train.
        data: the training and test samples.
        trainer: one of ``TRAINERS``. A reference-built member depends on nothing but its own row; a stacked one agrees
            with it up to rounding, whatever its stack mates.
        progress: called with the number of members finished since the last call; with 0, often, as a sign of life.
        dtype: dtype of weights and data, torch.float32 by default.
        device: where the stacked trainer trains, such as "cuda"; the others train on the processor alone. Batches are
            drawn, and results returned, on the processor.
        stack: members that the stacked trainer trains at once, by default as many as its rule says.

    Equal jobs give equal bytes in one-thread processes with the same versions. Raises ValueError for an unknown
    trainer, an architecture that the trainer does not take, and data that the network does not take.
    """
    import torch

    if trainer not in TRAINERS:
        raise ValueError(f"unknown trainer {trainer!r}; choose one of {', '.join(TRAINERS)}")
    module, function = TRAINERS[trainer].split(":")
    run = getattr(import_module(module), function)
    more = {"device": device, "stack": stack} if trainer == "stacked" else {}
    if not more and device != "cpu":
        raise ValueError(f"the {trainer} trainer trains on the cpu, got device {device!r}; use trainer='stacked'")
    return run(job, data, progress=progress or (lambda finished: None), dtype=dtype or torch.float32, **more)
