"""Whole models in training: the same parameters, batch and optimiser, with the sweeps made in every style."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import _results
import torch
from _kernel_clock import best_times
from _kernel_memory import peak_extra
from _kernel_styles import STYLES, using
from _kernel_timing import KERNELS
from torch import Tensor

import graphs
import metanets
from graphs import GraphBatch, Recipe

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


def trainings(
    name: str, networks: int, styles: list[str], device: str, seed: int, dtype: torch.dtype = torch.float32
) -> dict[str, Training]:
    """For every style a training of its own, from the same start, on implicit neural representations 2-32-32-1."""
    torch.manual_seed(seed)
    recipe = Recipe("siren")
    made = [recipe.build() for _ in range(networks)]
    topology = graphs.trace(made[0], *recipe.example_input(1))
    batch = graphs.collate([topology.bind(network.state_dict()) for network in made]).to(device)
    model = metanets.create(name, out=1).to(device)
    target = torch.randn(networks, 1, device=device)
    return {style: Training(model, batch, target, dtype) for style in styles}


def measure_times(name: str, networks: int, device: str, repeats: int, gated: bool, seed: int) -> list[dict[str, Any]]:
    """Of a training step; all styles must have the same losses on the way."""
    styles = [KERNELS, *STYLES]
    running = trainings(name, networks, styles, device, seed)
    losses: dict[str, list[float]] = {style: [] for style in styles}
    works = {s: lambda s=s: losses[s].append(running[s].step(s)) for s in styles}
    times = best_times(works, device, repeats)
    for style in STYLES:
        _check_losses(name, style, losses[style], losses[KERNELS])
    title = f"{MODELS[name]} training step, {networks} x SIREN 2-32-32-1"
    rows = [_results.row(f"{title}, {style}", 1e3 * times[style], "ms") for style in styles]
    speed = min(times[style] for style in STYLES) / times[KERNELS]
    bound = FASTER if gated else None
    return [*rows, _results.row(f"{title}, speed-up over the fastest", speed, "x", at_least=bound)]


def _check_losses(name: str, style: str, found: list[float], expected: list[float]) -> None:
    for step, (value, right) in enumerate(zip(found, expected, strict=True)):
        if not abs(value - right) <= _SAME_LOSS * abs(right):
            raise ValueError(f"{name}: loss {step} of {style} is {value}, that of the kernels {right}")


def measure_memory(name: str, networks: int, device: str, seed: int) -> list[dict[str, Any]]:
    """Of a training step beyond the model, its gradients, the batch and Adam's state."""
    running = trainings(name, networks, [KERNELS, "index_add"], device, seed)
    peaks = {style: peak_extra(lambda s=style, t=t: t.step(s), device) for style, t in running.items()}
    title = f"{MODELS[name]} training step, {networks} x SIREN 2-32-32-1: peak extra memory"
    share = peaks[KERNELS] / peaks["index_add"]
    return [
        _results.row(f"{title}, {KERNELS}", peaks[KERNELS] / 1e6, "MB"),
        _results.row(f"{title}, reference", peaks["index_add"] / 1e6, "MB"),
        _results.row(f"{title}, share of the reference's", share, "", at_most=LESS_MEMORY),
    ]


def compare_curves(name: str, networks: int, device: str, seed: int) -> list[dict[str, Any]]:
    """Losses of the kernels and of the reference over the same training.

    The bound is for float64: in float32 the standard deviation of NG-GNN's few messages makes so much of a rounding
    that two styles in plain torch go apart as well, which is told beside it.
    """
    rows = []
    for dtype, styles in ((torch.float64, [KERNELS]), (torch.float32, [KERNELS, "dense"])):
        running = trainings(name, networks, [*styles, "index_add"], device, seed, dtype)
        curves = {s: torch.tensor([t.step(s) for _ in range(CURVE_STEPS)]) for s, t in running.items()}
        for style in styles:
            error = float((curves[style] / curves["index_add"] - 1).abs().max())
            title = f"{MODELS[name]}, {networks} x SIREN 2-32-32-1, {str(dtype).removeprefix('torch.')}"
            what = f"{title}: loss of {style} against the reference, largest difference in {CURVE_STEPS} steps"
            rows.append(_results.row(what, error, "relative", at_most=SAME_CURVE if dtype == torch.float64 else None))
    return rows
