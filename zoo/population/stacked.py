"""The stacked trainer: many networks of one architecture at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.samples import JobSamples
from zoo.population.settings import MemberSettings
from zoo.population.stack import OPTIMISERS, Stack
from zoo.population.stacked_network import why_not_sequential
from zoo.population.stacked_sizes import example, largest_tensor, stack_size
from zoo.population.stacked_ways import differ_freely, why_not_trained
from zoo.sources import Dataset

# Bytes of the largest tensor of a step above which one network keeps a core busy, and members of a stack from which on
# torch.vmap is faster than one network at a time: scripts/bench_stacks.py measures both.
LARGE, FEW = 2**18, 4


def train_stacked(
    job: TrainingJob,
    data: Dataset,
    progress: Callable[[int], None],
    dtype: torch.dtype,
    device: str = "cpu",
    stack: int | None = None,
) -> PopulationResult:
    """Train the members of a job in stacks; see ``zoo.population.train``."""
    where, size = usable(device), stack or stack_size(job, data)
    reason = why_not_trained(job, data)
    if reason:
        raise ValueError(
            f"the stacked trainer does not take {job.recipe['factory']!r}: {reason}; use trainer='reference'"
        )
    runs, order, samples = [], [], JobSamples(job, data, dtype)
    for members in make_stacks(job.settings, size, differ_freely(job)):
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            runs.append(Stack(job, members, samples, dtype, where).train(lambda: progress(0)))
        order += members
        progress(len(members))
    place = np.argsort(order)
    states, others, metrics = zip(*runs, strict=True)
    return finish(
        states=torch.cat(states, 1)[:, torch.from_numpy(place)],
        other={name: torch.cat([o[name] for o in others], 1)[:, torch.from_numpy(place)] for name in others[0]},
        metrics={name: np.concatenate([m[name] for m in metrics], 1)[:, place] for name in metrics[0]},
    )


def usable(device: str) -> torch.device:
    """The device of that name; raises ValueError when this machine has it not."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device that torch can use here, got {device!r} ({error}); use cpu") from error
    return torch.device(device)


def make_stacks(settings: Sequence[MemberSettings], size: int, mixed: bool = True) -> list[list[int]]:
    """Member numbers of each stack: one update rule a stack, and members of like length together.

    ``mixed`` stacks may hold members of several activations and dropout rates, of which alike ones are neighbours.
    """
    groups: dict[tuple, list[int]] = {}
    for i, s in enumerate(settings):
        own = () if mixed else (s.activation or "", s.dropout or 0.0)
        groups.setdefault((OPTIMISERS[s.optimiser].__name__, *own), []).append(i)
    stacks = []
    for _, members in sorted(groups.items()):
        members.sort(key=lambda i: (-settings[i].train_fraction, settings[i].activation or "", i))
        stacks += [part.tolist() for part in np.array_split(np.array(members), -(-len(members) // size))]
    return stacks


def why_not_worthwhile(job: TrainingJob, data: Dataset) -> str | None:
    """Why one network at a time is as fast on a processor as the stacks of these members, or None where it is slower.

    Layers that are written by hand are always faster.
    """
    module, x = example(job, data)
    if why_not_sequential(module) is None:
        return None
    largest = largest_tensor(module, x)
    if largest > LARGE:
        return f"one network keeps a core busy (it makes tensors of {largest >> 10} KiB, over {LARGE >> 10})"
    stacks = make_stacks(job.settings, stack_size(job, data), differ_freely(job))
    if len(job.members) < FEW * len(stacks):
        return f"only {len(job.members) / len(stacks):.2g} of its networks would train at once, less than {FEW}"
    return None
