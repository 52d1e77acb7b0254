"""How many networks a stack holds: as many as fit the cache, a rule of the architecture and the batch alone.

It is a rule and no timing, for a build that is repeated has to give the same bytes, and the last bits of a network
depend on how many train together. scripts/bench_stacks.py compares it with every other size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.population.initialising import initialise
from zoo.population.job import TrainingJob
from zoo.population.losses import loss_name
from zoo.population.samples import JobSamples, check_network
from zoo.population.stacked_network import member_bytes, why_not_sequential
from zoo.sources import Dataset


@dataclass(frozen=True)
class Rule:
    """As many networks as ``cache`` holds of the largest tensor that a step of one makes, within bounds.

    Args:
        cache: bytes.
        smallest: at least so many, for they share the cost of calling torch.
        largest: at most so many; more are hardly quicker.
        tensor: bytes of that largest tensor, given a network and a batch.
    """

    cache: int
    smallest: int
    largest: int
    tensor: Callable[[nn.Module, Tensor], int]

    def size(self, module: nn.Module, x: Tensor) -> int:
        """Networks in a stack."""
        return max(self.smallest, min(self.largest, self.cache // self.tensor(module, x)))


def largest_tensor(module: nn.Module, x: Tensor) -> int:
    """Bytes of the largest tensor that a network makes of a batch, or of its weights where they are more.

    >>> largest_tensor(nn.Linear(3, 50), torch.ones(10, 3))
    2000
    """
    with torch.no_grad(), _Sizes() as sizes:
        module(x)
    return max(4 * sum(p.numel() for p in module.parameters()), sizes.largest)


class _Sizes(TorchDispatchMode):
    """Notes the largest tensor that any operation makes inside the block."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, Tensor):
                self.largest = max(self.largest, value.numel() * value.element_size())
        return out


BY_HAND = Rule(cache=2**20, smallest=4, largest=64, tensor=member_bytes)
VMAPPED = Rule(cache=2**22, smallest=4, largest=64, tensor=largest_tensor)


def stack_size(job: TrainingJob, data: Dataset) -> int:
    """How many members of a job a stack holds."""
    module, x = example(job, data)
    return (VMAPPED if why_not_sequential(module) else BY_HAND).size(module, x)


def example(job: TrainingJob, data: Dataset) -> tuple[nn.Module, Tensor]:
    """The first network of a job and its first batch. Raises ValueError for data that the network does not take."""
    samples = JobSamples(job, data, torch.float32).of(job.settings[0])
    module = initialise(job.recipe, job.settings[0])
    check_network(module, job.recipe, samples, loss_name(job.loss, job.fits_images))
    return module, samples.train_x[: job.batch_size]
