"""The training of one stack of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.population.batches import BatchOrder
from zoo.population.initialising import initialise
from zoo.population.job import TrainingJob
from zoo.population.losses import find_loss, loss_name
from zoo.population.metrics import class_metrics, image_metrics
from zoo.population.samples import Samples, job_samples
from zoo.population.settings import MemberSettings
from zoo.population.stacked_buffers import Buffers
from zoo.population.stacked_losses import loss_gradient
from zoo.population.stacked_network import StackedNetwork
from zoo.population.stacked_optim import FlatAdam, FlatSGD
from zoo.sources import Dataset

OPTIMISERS = {"sgd": FlatSGD, "adam": FlatAdam, "adamw": FlatAdam}
EVALUATION_BATCH = 100


class Stack:
    """E members of one architecture and one update rule, trained together.

    Members with more samples come first: when the shorter ones have finished an epoch, the others go on as the first k
    rows of every tensor.

    Args:
        job: recipe, epochs, batch size, loss and states to keep.
        settings: the members; train fractions must not ascend.
        data: the samples.
        dtype: dtype of the weights.
    """

    def __init__(self, job: TrainingJob, settings: Sequence[MemberSettings], data: Dataset, dtype: torch.dtype):
        self.job, self.buffers = job, Buffers()
        name = loss_name(job.loss, job.fits_images)
        self.loss, self.gradient = find_loss(name), loss_gradient(name)
        self.samples = [job_samples(data, s, dtype) for s in settings]
        self.train_x = self.samples[0].train_x
        count = len(self.train_x)
        self.orders = [BatchOrder(s, count, job.batch_size) for s in settings]
        # Targets of all members one below the other, if they differ; then a member's begin at its offset.
        self.train_y = torch.cat([s.train_y for s in self.samples]) if job.fits_images else self.samples[0].train_y
        self.offsets = torch.arange(len(settings))[:, None] * (count if job.fits_images else 0)
        generators = [torch.Generator().manual_seed(s.stream("dropout")) for s in settings]
        self.network = StackedNetwork([initialise(job.recipe, s) for s in settings], generators, dtype)
        self.optimiser = OPTIMISERS[settings[0].optimiser](settings, self.network.weights, self.network.gradients)

    @torch.no_grad()
    def train(self, alive: Callable[[], None]) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Kept states ``[T, E, P]`` with their metrics ``[T, E]`` by name; ``alive`` is called with every batch."""
        states, metrics = [], []
        for epoch in range(self.job.epochs + 1):
            if epoch > 0:
                self.train_epoch(alive)
            if epoch in self.job.keep:
                states.append(self.network.weights.clone())
                metrics.append(self.evaluate())
        names = metrics[0][0]
        return torch.stack(states), {n: np.array([[m[n] for m in row] for row in metrics]) for n in names}

    def train_epoch(self, alive: Callable[[], None]) -> None:
        batches = [order.epoch() for order in self.orders]
        if all(len(order.chosen) == len(self.train_x) == order.batch for order in self.orders):
            alive()
            self._step(*self._everything())
            return
        steps = [len(b) for b in batches]
        rows = torch.nn.utils.rnn.pad_sequence(batches)  # [steps, E, B]
        active = len(steps)
        for step in range(steps[0]):
            alive()
            while steps[active - 1] <= step:
                active -= 1
            self._step(*self._gather(rows[step, :active]))

    def _step(self, x: Tensor, y: Tensor) -> None:
        """One update of the first k members from their batches ``[k, B, ...]``."""
        outputs = self.network.forward(x, training=True)
        self.network.backward(self.gradient(outputs, y))
        self.optimiser.step(len(x))

    def _gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Samples and targets of rows ``[k, B]``."""
        x = self._read(self.train_x, rows)
        y = self.train_y.index_select(0, (rows + self.offsets[: len(rows)]).view(-1))
        return x, y.view(*rows.shape, *y.shape[1:])

    def _read(self, x: Tensor, rows: Tensor) -> Tensor:
        """Samples ``[k, B, ...]`` of rows ``[k, B]``, valid until the next call."""
        samples = self.buffers("x", (rows.numel(), *x.shape[1:]), x)
        return torch.index_select(x, 0, rows.reshape(-1), out=samples).view(*rows.shape, *x.shape[1:])

    def _everything(self) -> tuple[Tensor, Tensor]:
        """All samples for every member, without a copy."""
        count, members = len(self.train_x), len(self.orders)
        y = self.train_y.view(-1, count, *self.train_y.shape[1:])
        return self.train_x.expand(members, *self.train_x.shape), y.expand(members, *y.shape[1:])

    def evaluate(self) -> list[dict[str, float]]:
        """The metrics of each member."""
        first: Samples = self.samples[0]
        everything = [torch.arange(len(first.test_x))] * len(self.orders)
        tests = self._outputs(first.test_x, everything)
        if self.job.fits_images:
            return [image_metrics(self.loss, o, s.test_y) for o, s in zip(tests, self.samples, strict=True)]
        chosen = [order.chosen for order in self.orders]
        trains = self._outputs(first.train_x, chosen)
        return [
            class_metrics("train", self.loss, a, first.train_y[rows])
            | class_metrics("test", self.loss, b, first.test_y)
            for a, b, rows in zip(trains, tests, chosen, strict=True)
        ]

    def _outputs(self, x: Tensor, rows: Sequence[Tensor]) -> list[Tensor]:
        """Outputs of each member on its rows of ``x``; longer lists of rows come first."""
        parts: list[list[Tensor]] = [[] for _ in rows]
        padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        for start in range(0, padded.shape[1], EVALUATION_BATCH):
            k = sum(len(r) > start for r in rows)
            batch = self._read(x, padded[:k, start : start + EVALUATION_BATCH])
            for e, outputs in enumerate(self.network.forward(batch, training=False)):
                parts[e].append(outputs.clone())
        return [torch.cat(p)[: len(r)] for p, r in zip(parts, rows, strict=True)]
