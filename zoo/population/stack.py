"""The training of one stack of members."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.population.batches import BatchOrder
from zoo.population.course import Course
from zoo.population.initialising import member_network
from zoo.population.job import TrainingJob
from zoo.population.losses import find_loss, loss_name
from zoo.population.metrics import Metrics, member_metrics, reached, stacked_metrics
from zoo.population.pruning import flat_mask
from zoo.population.samples import JobSamples, Part
from zoo.population.stacked_buffers import Buffers
from zoo.population.stacked_losses import loss_gradient
from zoo.population.stacked_optim import FlatAdam, FlatSGD
from zoo.population.stacked_ways import stack_networks
from zoo.population.text_metrics import add_windows

OPTIMISERS = {"sgd": FlatSGD, "adam": FlatAdam, "adamw": FlatAdam}
EVALUATION_BATCH = 100


class Stack:
    """E members of one architecture and one update rule, trained together.

    Members with more samples come first: when the shorter ones have finished an epoch, the others go on as the first k
    rows of every tensor.

    Args:
        job: recipe, epochs, batch size, loss and states to keep.
        members: which of the job; train fractions must not ascend.
        samples: of the job.
        dtype: dtype of the weights.
        device: where they train. What is drawn is drawn on the processor, so that the device changes rounding alone.
    """

    def __init__(
        self,
        job: TrainingJob,
        members: Sequence[int],
        samples: JobSamples,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ):
        self.job, self.buffers, self.device = job, Buffers(), device
        self.settings = [job.settings[i] for i in members]
        name = loss_name(job.loss, job.fits_images)
        self.loss, self.gradient = find_loss(name), loss_gradient(name)
        self.samples = [samples.of(s) for s in self.settings]
        self.train_x, self.count = self.samples[0].train_x.to(device), self.samples[0].count
        self.orders = [BatchOrder(s, self.count, job.batch_size) for s in self.settings]
        self.courses = [Course.of(job, s, o.steps) for s, o in zip(self.settings, self.orders, strict=True)]
        self.train_y, self.offsets = (t.to(device) for t in self._targets())
        generators = [torch.Generator().manual_seed(s.stream("dropout")) for s in self.settings]
        modules, masks = zip(*(member_network(job, i) for i in members), strict=True)
        self.mask = None
        if any(masks):
            own = [flat_mask(m, left) for m, left in zip(modules, masks, strict=True)]
            self.mask = torch.stack(own).to(device, dtype)
        self.network = stack_networks(modules, generators, dtype, device)
        # What a module makes of a batch takes fresh memory; layers by hand keep theirs.
        self.evaluated = EVALUATION_BATCH if self.network.by_hand else min(EVALUATION_BATCH, self.orders[0].batch)
        self.optimiser = OPTIMISERS[self.settings[0].optimiser](
            self.settings, self.network.weights, self.network.gradients
        )

    def _targets(self) -> tuple[Tensor, Tensor]:
        """Targets, and where those of each member begin ``[E, 1]``: below each other, if they differ."""
        own = [s.train_y for s in self.samples]
        if all(y is own[0] for y in own):
            return own[0], torch.zeros(len(own), 1, dtype=torch.long)
        return torch.cat(own), torch.arange(len(own))[:, None] * len(own[0])

    @torch.no_grad()
    def train(self, alive: Callable[[], None]) -> tuple[Tensor, dict[str, Tensor], dict[str, np.ndarray]]:
        """Kept states ``[T, E, P]``, other entries ``[T, E, ...]`` and metrics ``[T, E]`` by name; ``alive`` is called
        with every batch."""
        states, others, metrics = [], [], []
        for legs in zip(*(course.legs for course in self.courses), strict=True):
            self._leg(self._going_on(legs, metrics), alive)
            states.append(self.network.states().cpu())
            others.append({name: value.cpu() for name, value in self.network.other().items()})
            metrics.append(self.evaluate())
        other = {name: torch.stack([o[name] for o in others]) for name in others[0]}
        return torch.stack(states), other, stacked_metrics([list(member) for member in zip(*metrics, strict=True)])

    def _going_on(self, legs: Sequence[np.ndarray], metrics: list[list[Metrics]]) -> list[np.ndarray]:
        """The rates of a leg, 0 for the members that are as good as they shall be."""
        last = metrics[-1] if metrics else [None] * len(legs)
        return [
            rates * 0 if m and reached(s, m) else rates for rates, s, m in zip(legs, self.settings, last, strict=True)
        ]

    def _leg(self, legs: Sequence[np.ndarray], alive: Callable[[], None]) -> None:
        """One update for each of the rates of every member; longer lists come first."""
        most = self.orders[0].steps
        for first in range(0, len(legs[0]), most):
            self._part([rates[first : first + most] for rates in legs], alive)

    def _part(self, rates: list[np.ndarray], alive: Callable[[], None]) -> None:
        padded = np.zeros((len(rates[0]), len(rates)))
        for e, own in enumerate(rates):
            padded[: len(own), e] = own
        rows = self._rows([len(own) for own in rates])
        active = len(rates)
        for step in range(len(padded)):
            alive()
            while len(rates[active - 1]) <= step:
                active -= 1
            batch = self._everything() if rows is None else self._gather(rows[step, :active])
            self._step(*batch, padded[step, :active])

    def _rows(self, counts: list[int]) -> Tensor | None:
        """The next batches of each member ``[steps, E, B]``; None where every batch is the whole data set."""
        if all(len(order.chosen) == len(self.train_x) == order.batch for order in self.orders):
            return None
        rows = [o.take(n) for o, n in zip(self.orders, counts, strict=True)]
        return torch.nn.utils.rnn.pad_sequence(rows).to(self.device)

    def _step(self, x: Tensor, y: Tensor, rates: np.ndarray) -> None:
        """One update of the first k members from their batches ``[k, B, ...]`` at rates ``[k]``."""
        outputs = self.network.forward(x, training=True)
        self.network.backward(self.gradient(outputs, y))
        if self.mask is not None:
            self.network.gradients[: len(x)].mul_(self.mask[: len(x)])
        self.optimiser.step(rates)

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

    def evaluate(self) -> list[Metrics]:
        """The metrics of each member."""
        parts = [s.parts(order.chosen) for s, order in zip(self.samples, self.orders, strict=True)]
        if not self.train_x.is_floating_point():
            return self._text_metrics(parts)
        outputs = {name: self._outputs([own[name] for own in parts]) for name in parts[0]}
        return [member_metrics(self.loss, {name: outputs[name][e] for name in own}, own) for e, own in enumerate(parts)]

    def _text_metrics(self, parts: Sequence[dict[str, Part]]) -> list[Metrics]:
        """Loss and accuracy of the next token; its outputs are too many to be kept."""
        found: list[Metrics] = [{} for _ in parts]
        for name in parts[0]:
            own = [part[name] for part in parts]
            for e, first, outputs in self._batches(own):
                y = own[e].y[first : first + len(outputs)]
                add_windows(found[e], name, self.loss, outputs, y, len(own[e].y))
        return found

    def _outputs(self, parts: Sequence[Part]) -> list[Tensor]:
        """Outputs of each member on its rows of the same inputs."""
        found: list[list[Tensor]] = [[] for _ in parts]
        for e, _, outputs in self._batches(parts):
            found[e].append(outputs)
        return [torch.cat(f) for f in found]

    def _batches(self, parts: Sequence[Part]) -> Iterator[tuple[int, int, Tensor]]:
        """(member, first of its rows, outputs on these and the next rows, on the processor) until all have run."""
        rows = torch.nn.utils.rnn.pad_sequence([p.rows for p in parts], batch_first=True).to(self.device)
        x = parts[0].x.to(self.device)
        for first in range(0, rows.shape[1], self.evaluated):
            # The first k members run, up to the last that has rows left.
            k = max(e + 1 for e, p in enumerate(parts) if len(p.rows) > first)
            batch = self._read(x, rows[:k, first : first + self.evaluated])
            for e, outputs in enumerate(self.network.forward(batch, training=False)):
                left = len(parts[e].rows) - first
                if left > 0:
                    yield e, first, outputs[:left].to("cpu", copy=True)
