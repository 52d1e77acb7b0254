"""Whole models in training: the same parameters, batch and optimiser, with the sweeps made in every style."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import _results
import torch
from _kernel_cases import SIREN, perceptron_recipe, title
from _kernel_clock import best_times
from _kernel_memory import peak_extra
from _kernel_styles import STYLES, using
from _kernel_timing import KERNELS
from torch import Tensor

import graphs
import metanets
from graphs import GraphBatch, Recipe
from metanets.sizing import keywords_for

MODELS = {"ng-gnn": "NG-GNN", "gmn": "GMN"}
FASTER, LESS_MEMORY, SAME_CURVE = 2.5, 1 / 3, 1e-4
CURVE_STEPS = 100
# Losses of the first steps: the styles add up in other orders, and training makes more of it.
_SAME_LOSS = 1e-3


class Training:
    """A model that learns to predict one random number of every network of a batch, with Adam."""

    def __init__(self, model: Any, batch: GraphBatch, target: Tensor, dtype: torch.dtype) -> None:
        self.model, self.batch, self.target = deepcopy(model).to(dtype), batch, target.to(dtype)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def step(self, style: str) -> float:
        """Encode, forward, loss, backward, update; the loss before the update."""
        with using(style):
            self.optimiser.zero_grad()
            loss = (self.model(self.batch) - self.target).square().mean()
            loss.backward()
            self.optimiser.step()
        return float(loss.detach())


@dataclass(frozen=True)
class Subject:
    """A model by name, and the networks that it reads."""

    model: str
    recipe: Recipe
    networks: int
    device: str
    seed: int

    @property
    def title(self) -> str:
        return f"{MODELS[self.model]} training step, {self.networks} x {title(self.recipe)}"

    def trainings(self, styles: Sequence[str], dtype: torch.dtype = torch.float32) -> dict[str, Training]:
        """For every style a training of its own, from the same start."""
        torch.manual_seed(self.seed)
        made = [self.recipe.build() for _ in range(self.networks)]
        topology = graphs.trace(made[0], *self.recipe.example_input(1))
        bound = [topology.bind(network.state_dict()) for network in made]
        model = metanets.create(self.model, **keywords_for(self.model, bound[:1])).to(self.device)
        batch, target = graphs.collate(bound).to(self.device), torch.randn(self.networks, 1, device=self.device)
        return {style: Training(model, batch, target, dtype) for style in styles}


def subjects(device: str, quick: bool, seed: int) -> list[Subject]:
    """Many small implicit neural representations; one large perceptron, whose edges outnumber its nodes."""
    mlp = perceptron_recipe(quick)
    found = [(model, recipe, n) for model in MODELS for recipe, n in ((SIREN, 16 if quick else 64), (mlp, 1))]
    return [Subject(*each, device, seed) for each in found]


def measure_times(subject: Subject, repeats: int, gated: bool) -> list[dict[str, Any]]:
    """Of a training step; all styles must have the same losses on the way."""
    styles = [KERNELS, *STYLES]
    running = subject.trainings(styles)
    losses: dict[str, list[float]] = {style: [] for style in styles}
    works = {s: lambda s=s: losses[s].append(running[s].step(s)) for s in styles}
    times = best_times(works, subject.device, repeats)
    for style in STYLES:
        _check_losses(subject.model, style, losses[style], losses[KERNELS])
    rows = [_results.row(f"{subject.title}, {style}", 1e3 * times[style], "ms") for style in styles]
    speed = min(times[style] for style in STYLES) / times[KERNELS]
    bound = FASTER if gated and subject.device == "cpu" else None
    return [*rows, _results.row(f"{subject.title}, speed-up over the fastest", speed, "x", at_least=bound)]


def _check_losses(name: str, style: str, found: list[float], expected: list[float]) -> None:
    for step, (value, right) in enumerate(zip(found, expected, strict=True)):
        if not abs(value - right) <= _SAME_LOSS * abs(right):
            raise ValueError(f"{name}: loss {step} of {style} is {value}, that of the kernels {right}")


def measure_memory(subject: Subject) -> list[dict[str, Any]]:
    """Of a training step beyond the model, its gradients, the batch and Adam's state."""
    running = subject.trainings([KERNELS, "index_add"])
    peaks = {style: peak_extra(lambda s=style, t=t: t.step(s), subject.device) for style, t in running.items()}
    title = f"{subject.title}: peak extra memory"
    share = peaks[KERNELS] / peaks["index_add"]
    return [
        _results.row(f"{title}, {KERNELS}", peaks[KERNELS] / 1e6, "MB"),
        _results.row(f"{title}, reference", peaks["index_add"] / 1e6, "MB"),
        _results.row(f"{title}, share of the reference's", share, "", at_most=LESS_MEMORY),
    ]


def compare_curves(subject: Subject) -> list[dict[str, Any]]:
    """Losses of the kernels and of the reference over the same training.

    The bound is for float64: in float32 the standard deviation of NG-GNN's few messages makes so much of a rounding
    that two styles in plain torch go apart as well, which is told beside it.
    """
    rows = []
    for dtype, styles in ((torch.float64, [KERNELS]), (torch.float32, [KERNELS, "dense"])):
        curves = {s: _curve(t, s) for s, t in subject.trainings([*styles, "index_add"], dtype).items()}
        for style in styles:
            error = float((curves[style] / curves["index_add"] - 1).abs().max())
            title = f"{subject.title}, {str(dtype).removeprefix('torch.')}"
            what = f"{title}: loss of {style} against the reference, largest difference in {CURVE_STEPS} steps"
            rows.append(_results.row(what, error, "relative", at_most=SAME_CURVE if dtype == torch.float64 else None))
    return rows


def _curve(training: Training, style: str) -> Tensor:
    return torch.tensor([training.step(style) for _ in range(CURVE_STEPS)], dtype=torch.float64)
