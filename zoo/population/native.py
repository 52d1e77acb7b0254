"""The native trainer: one small network at a time in the processor's cache, compiled for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from graphs.recipe import Recipe
from zoo.population.batches import BatchOrder
from zoo.population.course import Course, batches_of
from zoo.population.initialising import member_network, random_stream
from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.losses import find_loss, loss_name
from zoo.population.metrics import Metrics, member_metrics, reached, stacked_metrics
from zoo.population.native_build import TRAINER
from zoo.population.native_network import Network
from zoo.population.native_program import Program, why_not_native, write_program
from zoo.population.pruning import flat_mask
from zoo.population.samples import JobSamples, Part, Samples, check_network
from zoo.sources import Dataset

# Samples of all steps of one call: enough to forget its cost, few enough for their dropout masks.
ROWS_A_CALL = 2**15


def why_not_compiled(recipe: Mapping[str, Any], loss: str) -> str | None:
    """Why the native trainer does not take a recipe here, or None when it does."""
    with random_stream(0):
        module = Recipe.from_dict(recipe).build()
    return why_not_native(module, loss) or TRAINER.why_not()


def train_native(
    job: TrainingJob, data: Dataset, progress: Callable[[int], None], dtype: torch.dtype
) -> PopulationResult:
    """Train the members of a job one after the other; see ``zoo.population.train``."""
    reason = why_not_compiled(job.recipe, loss_name(job.loss, job.fits_images))
    if reason:
        raise ValueError(f"the native trainer does not take {job.recipe['factory']!r}: {reason}; use trainer='stacked'")
    runs, programs, samples = [], Programs(job, dtype), JobSamples(job, data, dtype)
    for index, settings in enumerate(job.settings):
        runs.append(_train_member(job, index, samples.of(settings), programs, alive=lambda: progress(0)))
        progress(1)
    states, metrics = zip(*runs, strict=True)
    return finish(states=torch.stack(states, 1), other={}, metrics=stacked_metrics(list(metrics)))


def _train_member(
    job: TrainingJob, index: int, samples: Samples, programs: Programs, alive: Callable[[], None]
) -> tuple[Tensor, list[Metrics]]:
    """Kept states ``[T, P]`` and their metrics."""
    settings = job.settings[index]
    order = BatchOrder(settings, samples.count, job.batch_size)
    network, states, metrics = programs.network(job, index, samples), [], []
    # A call costs as much as some steps.
    at_a_time = max(1, ROWS_A_CALL // order.batch)
    with random_stream(settings.stream("dropout")):
        for rates in Course.of(job, settings, order.steps).legs:
            if not (metrics and reached(settings, metrics[-1])):
                for batches, own in batches_of(order, rates, at_a_time):
                    network.train(samples.train_x, samples.train_y, batches, own)
                    alive()
            states.append(network.weights())
            metrics.append(_evaluate(network, programs.loss, samples.parts(order.chosen)))
    return torch.stack(states), metrics


class Programs:
    """The networks of one job; members that share activation and dropout share a program."""

    def __init__(self, job: TrainingJob, dtype: torch.dtype):
        self.recipe, self.dtype, self.loss = job.recipe, dtype, loss_name(job.loss, job.fits_images)
        self._known: dict[tuple[Any, ...], Program] = {}

    def network(self, job: TrainingJob, index: int, samples: Samples) -> Network:
        """A member's network before training."""
        settings, (module, masks) = job.settings[index], member_network(job, index)
        key = (settings.activation, settings.dropout)
        if key not in self._known:
            check_network(module.to(self.dtype), self.recipe, samples, self.loss)
            self._known[key] = write_program(module.float(), samples.train_x.shape[1:])
        weights = torch.cat([p.detach().flatten() for p in module.parameters()]).to(self.dtype)
        mask = flat_mask(module, masks).to(self.dtype) if masks else None
        return Network(self._known[key], self.loss, weights, settings, mask)


def _evaluate(network: Network, loss: str, parts: Mapping[str, Part]) -> Metrics:
    """Metrics without dropout on all parts."""
    outputs = {name: network.predict(part.x, part.rows) for name, part in parts.items()}
    return member_metrics(find_loss(loss), outputs, parts)
