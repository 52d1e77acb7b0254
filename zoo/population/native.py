"""The native trainer: one small network at a time in the processor's cache, compiled for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphs.recipe import Recipe
from zoo.population.batches import BatchOrder
from zoo.population.initialising import initialise, random_stream
from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.losses import find_loss, loss_name
from zoo.population.metrics import class_metrics, image_metrics
from zoo.population.native_build import why_not_built
from zoo.population.native_network import Network
from zoo.population.native_program import Program, why_not_native, write_program
from zoo.population.samples import Samples, check_network, job_samples
from zoo.population.settings import MemberSettings
from zoo.sources import Dataset

# Samples of all steps of one call: enough to forget its cost, few enough for their dropout masks.
ROWS_A_CALL = 2**15


def why_not_compiled(recipe: Mapping[str, Any], loss: str) -> str | None:
    """Why the native trainer does not take a recipe here, or None when it does."""
    with random_stream(0):
        module = Recipe.from_dict(recipe).build()
    return why_not_native(module, loss) or why_not_built()


def train_native(
    job: TrainingJob, data: Dataset, progress: Callable[[int], None], dtype: torch.dtype
) -> PopulationResult:
    """Train the members of a job one after the other; see ``zoo.population.train``."""
    reason = why_not_compiled(job.recipe, loss_name(job.loss, job.fits_images))
    if reason:
        raise ValueError(f"the native trainer does not take {job.recipe['factory']!r}: {reason}; use trainer='stacked'")
    runs, programs = [], Programs(job, dtype)
    for settings in job.settings:
        samples = job_samples(data, settings, dtype)
        runs.append(_train_member(job, settings, samples, programs, alive=lambda: progress(0)))
        progress(1)
    states, metrics = zip(*runs, strict=True)
    names = metrics[0][0]
    return finish(
        states=torch.stack(states, 1),
        other={},
        metrics={name: np.array([[m[name] for m in member] for member in metrics]).T.copy() for name in names},
    )


def _train_member(
    job: TrainingJob, settings: MemberSettings, samples: Samples, programs: Programs, alive: Callable[[], None]
) -> tuple[Tensor, list[dict[str, float]]]:
    """Kept states ``[T, P]`` and their metrics."""
    order = BatchOrder(settings, len(samples.train_x), job.batch_size)
    network, states, metrics, done = programs.network(settings, samples), [], [], 0
    with random_stream(settings.stream("dropout")):
        for epoch in job.keep:
            for batches in _epochs(order, epoch - done):
                network.train(samples.train_x, samples.train_y, batches)
                alive()
            states.append(network.weights())
            metrics.append(_evaluate(network, programs.loss, samples, order.chosen))
            done = epoch
    return torch.stack(states), metrics


def _epochs(order: BatchOrder, count: int) -> Iterator[Tensor]:
    """The batches ``[steps, batch]`` of so many epochs, several at a time: a call costs as much as some steps."""
    at_a_time = max(1, ROWS_A_CALL // (order.steps * order.batch))
    for first in range(0, count, at_a_time):
        yield torch.cat([order.epoch() for _ in range(min(at_a_time, count - first))])


class Programs:
    """The networks of one job; members that share activation and dropout share a program."""

    def __init__(self, job: TrainingJob, dtype: torch.dtype):
        self.recipe, self.dtype, self.loss = job.recipe, dtype, loss_name(job.loss, job.fits_images)
        self._known: dict[tuple[Any, ...], Program] = {}

    def network(self, settings: MemberSettings, samples: Samples) -> Network:
        """A member's network before training."""
        module = initialise(self.recipe, settings)
        key = (settings.activation, settings.dropout)
        if key not in self._known:
            check_network(module.to(self.dtype), self.recipe, samples, self.loss)
            self._known[key] = write_program(module.float(), samples.train_x.shape[1:])
        weights = torch.cat([p.detach().flatten() for p in module.parameters()]).to(self.dtype)
        return Network(self._known[key], self.loss, weights, settings)


def _evaluate(network: Network, loss: str, samples: Samples, chosen: Tensor) -> dict[str, float]:
    """The metrics of ``zoo.population.metrics``, without dropout."""
    outputs = network.predict(samples.test_x, torch.arange(len(samples.test_x)))
    if samples.is_image:
        return image_metrics(find_loss(loss), outputs, samples.test_y)
    train = class_metrics("train", find_loss(loss), network.predict(samples.train_x, chosen), samples.train_y[chosen])
    return train | class_metrics("test", find_loss(loss), outputs, samples.test_y)
