"""Batches to train a graph hypernetwork on: some architectures, and the images that all of them see."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hypernets.ghn.training.sampled import Sampled

# Seeds of architectures below this are never trained on.
HELD_OUT = 10_000
# From this one on they choose among the weights of a run; those before are left to tests.
CHOOSING = 5_000
KEPT = 4096


@dataclass(frozen=True)
class MetaBatch:
    """Shapes: x ``[B, *image]``, y ``[B]`` int64."""

    samples: tuple[Sampled, ...]
    x: Tensor
    y: Tensor

    def to(self, device: torch.device | str) -> MetaBatch:
        return replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True)
class ArchitectureDraws(Dataset[tuple[Sampled, ...]]):
    """The architectures of each step, as a function of the seed, the step and the process.

    Args:
        draw: seed of an architecture -> that architecture.
        count: architectures a step.
        max_nodes: those with which a step has more nodes are left out; the first one never is.
        pool: number of different architectures.
        seed: of the choice among them. rank: number of the process.
    """

    draw: Callable[[int], Sampled]
    count: int = 8
    max_nodes: int = 2200
    pool: int = 10**6
    seed: int = 0
    rank: int = 0

    def __getitem__(self, step: int) -> tuple[Sampled, ...]:
        chance = random.Random(f"{self.seed} {step} {self.rank}")
        drawn = [self.draw(HELD_OUT + int(chance.random() * self.pool)) for _ in range(self.count)]
        totals = itertools.accumulate(sampled.architecture.num_nodes for sampled in drawn)
        fits = [sampled for sampled, total in zip(drawn, totals, strict=True) if total <= self.max_nodes]
        return tuple(fits or drawn[:1])


class ArchitectureStream:
    """Endless batches; the one of a step is the same however training came to it.

    Args:
        draws: which architectures.
        x, y: the training images and their classes.
        image_batch: images a step, drawn with replacement.
        augment: (images, generator) -> images.
        workers: processes that draw ahead; 0 for none.

    ``state_dict`` and ``load_state_dict`` keep and restore the place.
    """

    def __init__(
        self,
        draws: ArchitectureDraws,
        x: Tensor,
        y: Tensor,
        *,
        image_batch: int = 64,
        augment: Callable[[Tensor, torch.Generator], Tensor] = lambda x, _: x,
        workers: int = 0,
    ) -> None:
        if image_batch < 2 or draws.count < 1:
            raise ValueError(
                f"expected 2 images (for batch norms) and 1 architecture at least, got {image_batch} and {draws.count}"
            )
        self.x, self.y, self.image_batch, self.augment, self.workers = x, y, image_batch, augment, workers
        # Networks are built once where few are trained on again and again; of many, those kept would take gigabytes.
        few = draws.pool <= KEPT and not workers
        self.draws = replace(draws, draw=lru_cache(KEPT)(draws.draw)) if few else draws
        self.step = 0

    def __iter__(self) -> Iterator[MetaBatch]:
        ahead = 4 if self.workers else None
        for samples in DataLoader(
            self.draws,
            batch_size=None,
            sampler=itertools.count(self.step),
            num_workers=self.workers,
            prefetch_factor=ahead,
        ):
            x, y = self._images()
            # Before the batch is given: a checkpoint taken after its step goes on with the next.
            self.step += 1
            yield MetaBatch(samples, x, y)

    def _images(self) -> tuple[Tensor, Tensor]:
        place = (self.draws.seed * 1_000_003 + self.step) * 1_009 + self.draws.rank
        generator = torch.Generator().manual_seed(place)
        chosen = torch.randint(len(self.x), (self.image_batch,), generator=generator)
        return self.augment(self.x[chosen], generator), self.y[chosen]

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])
