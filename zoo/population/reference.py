"""The reference trainer: one network at a time, plain modules and torch.optim; the ground truth of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from graphs.layout import flat_layout
from zoo.population.batches import BatchOrder
from zoo.population.course import Course, batches_of
from zoo.population.initialising import member_network, random_stream
from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.losses import Loss, find_loss, loss_name
from zoo.population.metrics import Metrics, member_metrics, reached, stacked_metrics
from zoo.population.samples import JobSamples, Part, Samples, check_network
from zoo.population.settings import MemberSettings
from zoo.population.text_metrics import text_metrics
from zoo.sources import Dataset

EVALUATION_BATCH = 1000


def train_reference(
    job: TrainingJob, data: Dataset, progress: Callable[[int], None], dtype: torch.dtype
) -> PopulationResult:
    """Train the members of a job one after the other; see ``zoo.population.train``."""
    runs, samples = [], JobSamples(job, data, dtype)
    for index, settings in enumerate(job.settings):
        runs.append(train_member(job, index, samples.of(settings), dtype, lambda: progress(0)))
        progress(1)
    return finish(
        states=torch.stack([run.states for run in runs], 1),
        other={name: torch.stack([run.other[name] for run in runs], 1) for name in runs[0].other},
        metrics=stacked_metrics([run.metrics for run in runs]),
    )


@dataclass
class MemberRun:
    """The T kept states of one member: states ``[T, P]``, other ``[T, ...]``, metrics T times."""

    states: Tensor
    other: dict[str, Tensor]
    metrics: list[Metrics]


def train_member(
    job: TrainingJob, index: int, samples: Samples, dtype: torch.dtype, alive: Callable[[], None]
) -> MemberRun:
    """Train one member, calling ``alive`` with every batch; it depends on its own settings, start, the recipe and the
    data alone."""
    settings, name = job.settings[index], loss_name(job.loss, job.fits_images)
    loss = find_loss(name)
    module, masks = member_network(job, index)
    check_network(module.to(dtype), job.recipe, samples, name)
    optimiser = make_optimiser(module.parameters(), settings)
    order = BatchOrder(settings, samples.count, job.batch_size)
    layout, kept, done = flat_layout(module), [], False
    with random_stream(settings.stream("dropout")):
        for rates in Course.of(job, settings, order.steps).legs:
            if not done and not _train_leg(module, optimiser, loss, samples, batches_of(order, rates), masks, alive):
                _fill_nan(module)
            state = {name: value.clone() for name, value in module.state_dict().items()}
            metrics = evaluate(module, loss, samples.parts(order.chosen))
            kept.append((layout.flatten(state), layout.other(state), metrics))
            done = done or reached(settings, metrics)
    states, others, metrics = zip(*kept, strict=True)
    return MemberRun(
        states=torch.stack(states),
        other={name: torch.stack([o[name] for o in others]) for name in others[0]},
        metrics=list(metrics),
    )


def _train_leg(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    samples: Samples,
    batches: Iterable[tuple[Tensor, np.ndarray]],
    masks: Mapping[str, Tensor],
    alive: Callable[[], None],
) -> bool:
    """One update for each of the batches ``[n, batch]`` at its rate; False as soon as the loss is not finite."""
    module.train()
    for rows, rates in batches:
        for batch, rate in zip(rows, rates.tolist(), strict=True):
            alive()
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
            value = loss(module(samples.train_x[batch]), samples.train_y[batch])
            value.backward()
            _mask_gradients(module, masks)
            optimiser.step()
            if not math.isfinite(value.item()):
                return False
    return True


def _mask_gradients(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """What was pruned has no gradient: zero it stays."""
    for name, mask in masks.items():
        gradient = module.get_parameter(name).grad
        if gradient is not None:
            gradient.mul_(mask)


def make_optimiser(parameters: Iterable[nn.Parameter], settings: MemberSettings) -> torch.optim.Optimizer:
    """The torch optimiser of a member."""
    common: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    makers: Mapping[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(parameters, momentum=settings.momentum, **common),
        "adam": lambda: torch.optim.Adam(parameters, betas=settings.betas, **common),
        "adamw": lambda: torch.optim.AdamW(parameters, betas=settings.betas, **common),
    }
    return makers[settings.optimiser]()


@torch.no_grad()
def evaluate(module: nn.Module, loss: Loss, parts: Mapping[str, Part]) -> Metrics:
    """Metrics without dropout on all parts."""
    module.eval()
    if all(part.is_text for part in parts.values()):
        return text_metrics(loss, module, parts)
    return member_metrics(loss, {name: _outputs(module, part.x[part.rows]) for name, part in parts.items()}, parts)


def _outputs(module: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([module(part) for part in x.split(EVALUATION_BATCH)])


@torch.no_grad()
def _fill_nan(module: nn.Module) -> None:
    """A lost network is kept as one without values."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.fill_(math.nan)
