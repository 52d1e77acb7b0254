"""The stacked trainer: many networks of one architecture at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from graphs.recipe import Recipe
from zoo.population.initialising import initialise, random_stream
from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.losses import loss_name
from zoo.population.samples import JobSamples, check_network
from zoo.population.settings import MemberSettings
from zoo.population.stack import OPTIMISERS, Stack
from zoo.population.stacked_network import member_bytes, why_not_sequential
from zoo.sources import Dataset

# What the working set of a stack should fit: about a second-level cache.
CACHE_BYTES = 2**20
SMALLEST_STACK, LARGEST_STACK = 4, 64


def stackable(recipe: Mapping[str, Any]) -> bool:
    """Whether the stacked trainer takes the recipe; ``why_not_stackable`` gives the reason if not."""
    return why_not_stackable(recipe) is None


def why_not_stackable(recipe: Mapping[str, Any]) -> str | None:
    """The reason why the stacked trainer does not take a recipe, or None when it does.

    >>> why_not_stackable({"factory": "mlp"}) is None
    True
    """
    with random_stream(0):
        return why_not_sequential(Recipe.from_dict(recipe).build())


def train_stacked(
    job: TrainingJob, data: Dataset, progress: Callable[[int], None], dtype: torch.dtype
) -> PopulationResult:
    """Train the members of a job in stacks; see ``zoo.population.train``."""
    reason = why_not_stackable(job.recipe)
    if reason:
        raise ValueError(
            f"the stacked trainer does not take {job.recipe['factory']!r}: {reason}; use trainer='reference'"
        )
    runs, order, samples = [], [], JobSamples(job, data, dtype)
    for members in make_stacks(job.settings, stack_size(job, data)):
        runs.append(Stack(job, members, samples, dtype).train(lambda: progress(0)))
        order += members
        progress(len(members))
    place = np.argsort(order)
    states, metrics = zip(*runs, strict=True)
    return finish(
        states=torch.cat(states, 1)[:, torch.from_numpy(place)],
        other={},
        metrics={name: np.concatenate([m[name] for m in metrics], 1)[:, place] for name in metrics[0]},
    )


def make_stacks(settings: Sequence[MemberSettings], size: int) -> list[list[int]]:
    """Member numbers of each stack: one update rule a stack, and members of like length and activation together."""
    stacks = []
    for rule in sorted(set(OPTIMISERS.values()), key=lambda rule: rule.__name__):
        members = [i for i, s in enumerate(settings) if OPTIMISERS[s.optimiser] is rule]
        members.sort(key=lambda i: (-settings[i].train_fraction, settings[i].activation or "", i))
        count = -(-len(members) // size)
        stacks += [part.tolist() for part in np.array_split(np.array(members), count)] if count else []
    return stacks


def stack_size(job: TrainingJob, data: Dataset) -> int:
    """How many members a stack holds: as many as fit the cache, depending on the architecture and the batch alone."""
    samples = JobSamples(job, data, torch.float32).of(job.settings[0])
    module = initialise(job.recipe, job.settings[0])
    check_network(module, job.recipe, samples, loss_name(job.loss, job.fits_images))
    needs = member_bytes(module, samples.train_x[: min(job.batch_size, len(samples.train_x))])
    return max(SMALLEST_STACK, min(LARGEST_STACK, CACHE_BYTES // needs))
