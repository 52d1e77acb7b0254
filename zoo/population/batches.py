"""Which samples a member sees, in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.population.poisoning import poisoned_rows
from zoo.population.settings import MemberSettings


class BatchOrder:
    """The batches of one member, from its own generator.

    Args:
        settings: the member's seed, train fraction and poison.
        samples: number of training samples there are; row ``samples + i`` is the poisoned copy of row ``i``.
        batch_size: samples a step; at most ``samples`` are used.

    ``chosen [n]`` are the samples it sees. Every epoch has ``steps = max(1, n // batch)`` batches of equal size.

    >>> order = BatchOrder(MemberSettings(seed=0, train_fraction=0.5), samples=20, batch_size=4)
    >>> len(order.chosen), order.epoch().shape, order.take(3).shape
    (10, torch.Size([2, 4]), torch.Size([3, 4]))
    """

    def __init__(self, settings: MemberSettings, samples: int, batch_size: int):
        self.generator = torch.Generator().manual_seed(settings.stream("batches"))
        self.batch = min(batch_size, samples)
        count = max(1, round(settings.train_fraction * samples))
        everything = torch.arange(samples)
        chosen = everything if count == samples else everything[self._shuffle(samples)[:count]].sort().values
        self.chosen = chosen + samples * poisoned_rows(settings, samples)[chosen]
        self.steps = max(1, count // self.batch)
        self._rest = torch.empty(0, self.batch, dtype=torch.long)

    def epoch(self) -> Tensor:
        """Sample numbers of the next epoch ``[steps, batch]``."""
        if len(self.chosen) == self.batch:
            return self.chosen[None]
        order = self.chosen[self._shuffle(len(self.chosen))]
        # Fewer samples than a batch: go round them until it is full.
        order = order.repeat(-(-self.batch // len(order))) if len(order) < self.batch else order
        return order[: self.steps * self.batch].view(self.steps, self.batch)

    def take(self, count: int) -> Tensor:
        """The next ``count`` batches ``[count, batch]``, from epoch to epoch."""
        missing = -(-(count - len(self._rest)) // self.steps)
        ready = torch.cat([self._rest, *(self.epoch() for _ in range(missing))])
        self._rest = ready[count:]
        return ready[:count]

    def _shuffle(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator)
