"""The native trainer: one small network at a time in the processor's cache, compiled for it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphs.recipe import Recipe
from zoo.population.batches import BatchOrder
from zoo.population.initialising import initialise, random_stream
from zoo.population.job import PopulationResult, TrainingJob, finish
from zoo.population.losses import find_loss, loss_name
from zoo.population.metrics import class_metrics, image_metrics
from zoo.population.native_build import library, why_not_built
from zoo.population.native_program import Program, why_not_native, write_program
from zoo.population.samples import Samples, check_network, job_samples
from zoo.population.settings import MemberSettings
from zoo.sources import Dataset

RULES = {"sgd": 0, "adam": 1, "adamw": 2}
LOSSES = {"cross_entropy": 0, "mse": 1}
ROWS_A_CALL = 2**18
NAMES = {torch.float32: "f32", torch.float64: "f64"}

_P, _LONG, _REAL = ctypes.c_void_p, ctypes.c_long, ctypes.c_double
# The functions of network.cpp: what they return, what they take.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "make": (_P, [_P, _P, _LONG, _P, _LONG]),
    "free": (None, [_P]),
    "set": (None, [_P, _P]),
    "get": (None, [_P, _P]),
    "rule": (None, [_P, _LONG, _REAL, _REAL, _REAL]),
    "train": (_LONG, [_P, _P, _P, _P, _LONG, _LONG, _P, _P]),
    "predict": (None, [_P, _P, _P, _LONG, _P]),
}


def why_not_compiled(recipe: Mapping[str, Any], loss: str) -> str | None:
    """Why the native trainer does not take a recipe here, or None when it does."""
    with random_stream(0):
        module = Recipe.from_dict(recipe).build()
    return why_not_native(module, loss) or why_not_built()


def train_native(
    job: TrainingJob, data: Dataset, progress: Callable[[int], None], dtype: torch.dtype
) -> PopulationResult:
    """Train the members of a job one after the other; see ``zoo.population.train``."""
    reason = why_not_compiled(job.recipe, loss_name(job.loss, job.fits_images))
    if reason:
        raise ValueError(f"the native trainer does not take {job.recipe['factory']!r}: {reason}; use trainer='stacked'")
    runs, programs = [], Programs(job, dtype)
    for settings in job.settings:
        runs.append(_train_member(job, settings, job_samples(data, settings, dtype), programs))
        progress(1)
    states, metrics = zip(*runs, strict=True)
    names = metrics[0][0]
    return finish(
        states=torch.stack(states, 1),
        other={},
        metrics={name: np.array([[m[name] for m in member] for member in metrics]).T.copy() for name in names},
    )


def _train_member(
    job: TrainingJob, settings: MemberSettings, samples: Samples, programs: Programs
) -> tuple[Tensor, list[dict[str, float]]]:
    """Kept states ``[T, P]`` and their metrics."""
    order = BatchOrder(settings, len(samples.train_x), job.batch_size)
    network, states, metrics, done = programs.network(settings, samples), [], [], 0
    with random_stream(settings.stream("dropout")):
        for epoch in job.keep:
            for batches in _epochs(order, epoch - done):
                network.train(samples.train_x, samples.train_y, batches)
            states.append(network.weights())
            metrics.append(_evaluate(network, programs.loss, samples, order.chosen))
            done = epoch
    return torch.stack(states), metrics


def _epochs(order: BatchOrder, count: int) -> Iterator[Tensor]:
    """The batches ``[steps, batch]`` of so many epochs, several at a time: a call costs as much as some steps."""
    at_a_time = max(1, ROWS_A_CALL // (order.steps * order.batch))
    for first in range(0, count, at_a_time):
        yield torch.cat([order.epoch() for _ in range(min(at_a_time, count - first))])


class Programs:
    """The networks of one job; members that share activation and dropout share a program."""

    def __init__(self, job: TrainingJob, dtype: torch.dtype):
        self.recipe, self.dtype, self.loss = job.recipe, dtype, loss_name(job.loss, job.fits_images)
        self._known: dict[tuple[Any, ...], Program] = {}

    def network(self, settings: MemberSettings, samples: Samples) -> Network:
        """A member's network before training."""
        module = initialise(self.recipe, settings)
        key = (settings.activation, settings.dropout)
        if key not in self._known:
            check_network(module.to(self.dtype), self.recipe, samples, self.loss)
            self._known[key] = write_program(module.float(), samples.train_x.shape[1:])
        weights = torch.cat([p.detach().flatten() for p in module.parameters()]).to(self.dtype)
        return Network(self._known[key], self.loss, weights, settings)


def _evaluate(network: Network, loss: str, samples: Samples, chosen: Tensor) -> dict[str, float]:
    """The metrics of ``zoo.population.metrics``, without dropout."""
    outputs = network.predict(samples.test_x, torch.arange(len(samples.test_x)))
    if samples.is_image:
        return image_metrics(find_loss(loss), outputs, samples.test_y)
    train = class_metrics("train", find_loss(loss), network.predict(samples.train_x, chosen), samples.train_y[chosen])
    return train | class_metrics("test", find_loss(loss), outputs, samples.test_y)


class Network:
    """A network in the memory of the compiled kernels, with its optimiser.

    Args:
        program: its layers.
        loss: one of ``LOSSES``.
        weights: ``[P]``, float32 or float64, in the order of the state_dict.
        settings: optimiser, rates.
    """

    def __init__(self, program: Program, loss: str, weights: Tensor, settings: MemberSettings):
        self.program, self.settings, self.dtype, self.count = program, settings, weights.dtype, len(weights)
        self.lost = False
        layers, parameters, shape = (
            np.array(values, dtype)
            for values, dtype in (
                (program.layers, np.int64),
                (program.parameters, np.float64),
                (program.shape, np.int64),
            )
        )
        self.handle = self._call("make", _at(layers), _at(parameters), len(layers), _at(shape), LOSSES[loss])
        if not self.handle:
            raise MemoryError("there is no memory for a network of the native trainer; use fewer workers")
        self._call("set", self.handle, _at(weights))
        first, second = (settings.momentum, 0.0) if settings.optimiser == "sgd" else settings.betas
        self._call("rule", self.handle, RULES[settings.optimiser], settings.weight_decay, first, second)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._call("free", self.handle)

    def train(self, x: Tensor, y: Tensor, batches: Tensor) -> None:
        """One pass over batches ``[steps, batch]``; a network whose loss is not finite is lost from then on."""
        steps, batch = batches.shape
        rates = np.full(steps, self.settings.lr)
        masks = self._masks(steps, batch)
        rows = batches.contiguous()
        taken = self._call("train", self.handle, _at(x), _at(y), _at(rows), steps, batch, _at(rates), _at(masks))
        self.lost = self.lost or taken < steps

    def weights(self) -> Tensor:
        """``[P]``, NaN for a network that is lost."""
        flat = torch.full((self.count,), float("nan"), dtype=self.dtype)
        if not self.lost:
            self._call("get", self.handle, _at(flat))
        return flat

    def predict(self, x: Tensor, rows: Tensor) -> Tensor:
        """Outputs ``[n, outputs]`` for samples ``rows [n]`` of ``x``."""
        out = torch.full((len(rows), self.program.outputs), float("nan"), dtype=self.dtype)
        if not self.lost:
            self._call("predict", self.handle, _at(x), _at(rows), len(rows), _at(out))
        return out

    def _masks(self, steps: int, batch: int) -> Tensor:
        """Bytes of what dropout keeps, drawn as torch draws them: step by step, layer by layer."""
        drawn = [mask for _ in range(steps) for mask in self._draw(batch)]
        return torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.uint8)

    def _draw(self, batch: int) -> Iterator[Tensor]:
        for rate, shape in self.program.dropouts:
            mask = torch.empty(batch, *shape, dtype=self.dtype)
            yield mask.bernoulli_(1 - rate).to(torch.uint8).flatten()

    def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(library(), f"{NAMES[self.dtype]}_{name}")
        function.restype, function.argtypes = SIGNATURES[name]
        return function(*arguments)


def _at(values: Tensor | np.ndarray) -> int:
    assert values.flags.c_contiguous if isinstance(values, np.ndarray) else values.is_contiguous()
    return values.ctypes.data if isinstance(values, np.ndarray) else values.data_ptr()
