"""The course of one member's training: its updates, their rates, and those after which a state is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from zoo.population.schedules import learning_rates
from zoo.population.settings import MemberSettings

if TYPE_CHECKING:
    from zoo.population.batches import BatchOrder
    from zoo.population.job import TrainingJob


@dataclass(frozen=True)
class Course:
    """The updates of one member.

    Args:
        kept: how many updates were made when each of the T states is kept, ascending.
        rates: learning rate of each update.

    >>> from zoo.population import TrainingJob
    >>> job = TrainingJob({"factory": "mlp"}, ({"seed": 0},), epochs=3, batch_size=10, keep=(0, 3))
    >>> Course.of(job, job.settings[0], steps=4).kept
    (0, 12)
    """

    kept: tuple[int, ...]
    rates: np.ndarray

    @classmethod
    def of(cls, job: TrainingJob, settings: MemberSettings, steps: int) -> Course:
        """The course of a member that makes ``steps`` updates an epoch."""
        each = 1 if job.steps is not None else steps
        return cls(tuple(each * k for k in job.keep), learning_rates(settings, each * job.length, each))

    @property
    def legs(self) -> list[np.ndarray]:
        """The rates between one kept state and the next; T of them, the first from the beginning."""
        return [self.rates[first:last] for first, last in pairwise((0, *self.kept))]


def batches_of(order: BatchOrder, rates: np.ndarray, most: int | None = None) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Batches ``[n, batch]`` with their rates ``[n]``, at most ``most`` (an epoch's) at a time."""
    most = most or order.steps
    for first in range(0, len(rates), most):
        part = rates[first : first + most]
        yield order.take(len(part)), part
