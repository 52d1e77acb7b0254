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
from zoo.population.initialising import initialise, random_stream
from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.losses import Loss, find_loss, loss_name
from zoo.population.metrics import class_metrics, image_metrics
from zoo.population.samples import Samples, check_network, job_samples
from zoo.population.settings import MemberSettings
from zoo.sources import Dataset

EVALUATION_BATCH = 1000


def train_reference(
    job: TrainingJob, data: Dataset, progress: Callable[[int], None], dtype: torch.dtype
) -> PopulationResult:
    """Train the members of a job one after the other; see ``zoo.population.train``."""
    runs = []
    for settings in job.settings:
        runs.append(train_member(job, settings, job_samples(data, settings, dtype), dtype, lambda: progress(0)))
        progress(1)
    return finish(
        states=torch.stack([run.states for run in runs], 1),
        other={name: torch.stack([run.other[name] for run in runs], 1) for name in runs[0].other},
        metrics={name: np.stack([run.metrics[name] for run in runs], 1) for name in runs[0].metrics},
    )


@dataclass
class MemberRun:
    """The T kept states of one member: states ``[T, P]``, other ``[T, ...]``, metrics ``[T]``."""

    states: Tensor
    other: dict[str, Tensor]
    metrics: dict[str, np.ndarray]


def train_member(
    job: TrainingJob, settings: MemberSettings, samples: Samples, dtype: torch.dtype, alive: Callable[[], None]
) -> MemberRun:
    """Train one member, calling ``alive`` with every batch; it depends on its own settings, the recipe and the data
    alone."""
    loss = find_loss(loss_name(job.loss, job.fits_images))
    module = initialise(job.recipe, settings).to(dtype)
    check_network(module, job.recipe, samples, loss_name(job.loss, job.fits_images))
    optimiser = make_optimiser(module.parameters(), settings)
    order = BatchOrder(settings, len(samples.train_x), job.batch_size)
    layout, kept = flat_layout(module), []
    with random_stream(settings.stream("dropout")):
        for epoch in range(job.epochs + 1):
            if epoch > 0 and not train_epoch(module, optimiser, loss, samples, order.epoch(), alive):
                _fill_nan(module)
            if epoch in job.keep:
                state = {name: value.clone() for name, value in module.state_dict().items()}
                kept.append((layout.flatten(state), layout.other(state), evaluate(module, loss, samples, order.chosen)))
    states, others, metrics = zip(*kept, strict=True)
    return MemberRun(
        states=torch.stack(states),
        other={name: torch.stack([o[name] for o in others]) for name in others[0]},
        metrics={name: np.array([m[name] for m in metrics]) for name in metrics[0]},
    )


def train_epoch(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    samples: Samples,
    batches: Tensor,
    alive: Callable[[], None],
) -> bool:
    """One pass over batches ``[steps, batch]``; False as soon as the loss is not finite."""
    module.train()
    for batch in batches:
        alive()
        optimiser.zero_grad()
        value = loss(module(samples.train_x[batch]), samples.train_y[batch])
        value.backward()
        optimiser.step()
        if not math.isfinite(value.item()):
            return False
    return True


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
def evaluate(module: nn.Module, loss: Loss, samples: Samples, chosen: Tensor) -> dict[str, float]:
    """Metrics without dropout: over the chosen training samples and all test samples, or over an image."""
    module.eval()
    if samples.is_image:
        return image_metrics(loss, _outputs(module, samples.test_x), samples.test_y)
    train = class_metrics("train", loss, _outputs(module, samples.train_x[chosen]), samples.train_y[chosen])
    return train | class_metrics("test", loss, _outputs(module, samples.test_x), samples.test_y)


def _outputs(module: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([module(part) for part in x.split(EVALUATION_BATCH)])


@torch.no_grad()
def _fill_nan(module: nn.Module) -> None:
    """A lost network is kept as one without values."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.fill_(math.nan)
