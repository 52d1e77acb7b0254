"""Seeded batches of parameter graphs with the numbers to predict, from memory, with a position to resume from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphs import GraphBatch, ParameterGraph, collate


@dataclass(frozen=True)
class Sample:
    """One state of one network.

    Args:
        graph: its weights.
        target: what to predict.
        final: whether it is the last state kept of its network.
        name: where it comes from, for tables (``"17@12"``: network 17, epoch 12).
    """

    graph: ParameterGraph
    target: float
    final: bool = True
    name: str = ""


@dataclass(frozen=True)
class Batch:
    """Graphs with their targets. Shapes: target ``[B]`` float32, final ``[B]`` bool."""

    graphs: GraphBatch
    target: Tensor
    final: Tensor

    def to(self, device: torch.device | str) -> Batch:
        return replace(self, graphs=self.graphs.to(device), target=self.target.to(device), final=self.final.to(device))


def collate_samples(samples: Sequence[Sample]) -> Batch:
    """One Batch of the samples, in their order."""
    return Batch(
        graphs=collate([sample.graph for sample in samples]),
        target=torch.tensor([sample.target for sample in samples], dtype=torch.float32),
        final=torch.tensor([sample.final for sample in samples]),
    )


class GraphLoader:
    """Batches of samples, shuffled anew each epoch from ``(seed, epoch)`` alone.

    Each full loop over it is the next epoch; ``state_dict`` and ``load_state_dict`` keep and restore the place.

    Args:
        samples: all of them, in memory.
        batch_size: samples a batch; the last one of an epoch may be smaller.
        shuffle: off for evaluation, which then sees the samples in order.
        seed: of the order.
    """

    def __init__(self, samples: Sequence[Sample], batch_size: int = 32, shuffle: bool = True, seed: int = 0) -> None:
        if batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, got {batch_size}")
        if not samples:
            raise ValueError("there are no samples to load; the split of the zoo is empty: use a larger zoo")
        self.samples, self.batch_size, self.shuffle, self.seed = samples, batch_size, shuffle, seed
        self.epoch = self.position = self._start = 0

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self._order()
        # A place set by load_state_dict holds once; an epoch left half-way is begun again by the next loop.
        self.position, self._start = self._start, 0
        while self.position < len(self):
            chosen = order[self.position * self.batch_size : (self.position + 1) * self.batch_size]
            self.position += 1
            yield collate_samples([self.samples[i] for i in chosen])
        self.epoch, self.position = self.epoch + 1, 0

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.samples)))
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        return torch.randperm(len(self.samples), generator=generator).tolist()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self._start = int(state["epoch"]), int(state["position"])
        self.position = self._start
