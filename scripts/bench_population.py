"""How much faster the stacked and the native trainer are than a plain PyTorch loop, and how closely they agree with it.

All run the same jobs (same seeds, batches and settings of each member) in one process, in turn, on one thread; time is
CPU time of the whole job, initialisation and final evaluation included. Beside them stand what the core can do at best
(independent multiply-adds on registers) and what it reaches in a large matrix product.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import _results
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from graphs.families.activations import ACTIVATIONS
from graphs.recipe import Recipe
from zoo.population import OPTIMISERS, TrainingJob, train
from zoo.population.native_build import TRAINER
from zoo.sources import Dataset, load

CNN_S = {
    "input_shape": [1, 28, 28],
    "channels": [8, 6, 4],
    "kernel": [5, 5, 2],
    "padding": 0,
    "pool": [2, 2, 1],
    "readout": "flatten",
    "hidden": [20],
    "activation": "tanh",
}
SMALL_CNN = {"channels": [4, 6], "pool": [2, 1], "readout": "flatten", "hidden": [8]}


@dataclass(frozen=True)
class Case:
    """One comparison: what is trained, on which data, and the least speed-up of each trainer."""

    name: str
    job: TrainingJob
    data: Dataset
    bounds: Mapping[str, float]

    @property
    def samples(self) -> int:
        """Network x samples that the job trains on."""
        batch = min(self.job.batch_size, self.pool)
        return len(self.job.members) * self.job.epochs * (self.pool // batch) * batch

    @property
    def pool(self) -> int:
        pixels = self.data.image_shape[1] * self.data.image_shape[2]
        return pixels if self.job.fits_images else len(self.data.train_x)


def cases(seed: int, quick: bool) -> list[Case]:
    digits = load("digits")
    images = enlarged(digits)
    scale = 1 if quick else 2
    mlp, siren, cnn = ({"factory": "mlp"}, {"factory": "siren"}, {"factory": "cnn", "arguments": CNN_S})
    return [
        Case(
            "MLP 64-32-32-10, batch 10",
            job(mlp, members(32, seed), 5 * scale, 10),
            digits,
            {"stacked": 15, "native": 90},
        ),
        Case(
            "SIREN 2-32-32-1, 784 coordinates",
            job(siren, members(20, seed, True), 100 * scale, 784),
            images,
            {"stacked": 3.5, "native": 25},
        ),
        Case(
            "CNN-s, 2464 parameters, batch 10",
            job(cnn, members(8, seed), scale, 10),
            images,
            {"stacked": 1.4, "native": 9},
        ),
    ]


def job(recipe: dict[str, Any], rows: tuple[dict[str, Any], ...], epochs: int, batch_size: int) -> TrainingJob:
    return TrainingJob(recipe, rows, epochs=epochs, batch_size=batch_size, keep=(epochs,))


def members(count: int, seed: int, fit_images: bool = False) -> tuple[dict[str, Any], ...]:
    """Adam at each member's own learning rate and weight decay."""
    rows = [{"seed": seed + i, "lr": 1e-3 * (1 + i % 4 / 4), "weight_decay": 1e-5 * (i % 3)} for i in range(count)]
    return tuple({**row, "image": i} if fit_images else row for i, row in enumerate(rows))


def enlarged(data: Dataset) -> Dataset:
    """The digits at 28x28 pixels."""
    xs = [functional.interpolate(x, size=(28, 28), mode="bilinear") for x in (data.train_x, data.test_x)]
    return Dataset(xs[0], data.train_y, xs[1], data.test_y, data.num_classes, "digits 28x28")


def cpu_seconds(case: Case, trainer: str) -> float:
    start = time.process_time()
    train(case.job, case.data, trainer)
    return time.process_time() - start


def compare_speed(case: Case, repeats: int) -> list[dict[str, Any]]:
    """Median ratios of CPU times over alternating runs, with the rates in network x samples a second."""
    trainers = ("reference", *case.bounds)
    for trainer in trainers:
        warm = TrainingJob(case.job.recipe, case.job.members[:2], epochs=1, batch_size=case.job.batch_size, keep=(1,))
        train(warm, case.data, trainer)
    rounds = [{trainer: cpu_seconds(case, trainer) for trainer in trainers} for _ in range(repeats)]
    rate = {trainer: case.samples / statistics.median(r[trainer] for r in rounds) for trainer in trainers}
    rows = [_results.row(f"{case.name}: one at a time", rate["reference"], "net*samples/s")]
    for trainer, bound in case.bounds.items():
        ratios = [r["reference"] / r[trainer] for r in rounds]
        rows += [
            _results.row(f"{case.name}: {trainer}", rate[trainer], "net*samples/s"),
            _results.row(f"{case.name}: {trainer}, products", rate[trainer] * operations(case) / 1e9, "GFLOP/s"),
            _results.row(f"{case.name}: {trainer}, slowest run", min(ratios), "x"),
            _results.row(f"{case.name}: {trainer}, speed-up", statistics.median(ratios), "x", at_least=bound),
        ]
    return rows


@torch.no_grad()
def operations(case: Case) -> float:
    """Floating-point operations of the products of one sample's step: forward, and backward for weights and inputs."""
    module = Recipe.from_dict(case.job.recipe).build()
    counts: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        counts.append(2 * output[0].numel() * next(layer.parameters())[0].numel())

    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.register_forward_hook(count)
    module(torch.zeros(1, 2) if case.job.fits_images else case.data.train_x[:1])
    return 3 * sum(counts) - counts[0]  # the gradient of the data is not needed


def limits() -> list[dict[str, Any]]:
    """What the core does at best, and in a product of large matrices."""
    rounds = TRAINER.load().fma_rounds
    rounds.restype, rounds.argtypes = ctypes.c_double, [ctypes.c_long, ctypes.c_void_p]
    matrix = torch.rand(1024, 1024)

    def product_of_matrices() -> float:
        torch.mm(matrix, matrix)
        return 2.0 * 1024**3

    def multiply_adds() -> float:
        return rounds(10_000_000, np.array([0.5, 0.25], np.float32).ctypes.data)

    names = {"multiply-adds on registers": multiply_adds, "product of 1024x1024 matrices": product_of_matrices}
    return [_results.row(f"limit: {name}", best_rate(work), "GFLOP/s") for name, work in names.items()]


def best_rate(work: Callable[[], float]) -> float:
    """The best of ten runs, in 1e9 operations a second."""
    rates = []
    for _ in range(10):
        start = time.process_time()
        operations_done = work()
        rates.append(operations_done / (time.process_time() - start) / 1e9)
    return max(rates)


def compare_weights(seed: int) -> list[dict[str, Any]]:
    """Differences after one step in float64, and after 200 steps in float32, for every activation and optimiser."""
    rows = []
    for family, arguments in (("mlp", {}), ("cnn", SMALL_CNN), ("siren", {})):
        kinds = list(product(["sine"] if family == "siren" else ACTIVATIONS, OPTIMISERS))
        settings = [setting(seed + i, activation, optimiser, family) for i, (activation, optimiser) in enumerate(kinds)]
        recipe = {"factory": family, "arguments": arguments}
        for dtype, steps, bound, unit in [
            (torch.float64, 1, 1e-10, "largest difference"),
            (torch.float32, 200, 1e-4, "relative"),
        ]:
            name = f"{str(dtype).removeprefix('torch.')}, {steps} step(s)"
            for trainer, errors in differences(recipe, settings, steps, dtype).items():
                rows += [
                    _results.row(f"{trainer} {family} {a} {o}: {name}", error, unit, at_most=bound)
                    for (a, o), error in zip(kinds, errors, strict=True)
                ]
    return rows


def setting(seed: int, activation: str, optimiser: str, family: str) -> dict[str, Any]:
    # Plain gradient descent at a higher rate makes a SIREN chaotic: rounding then grows by itself.
    lr = (1e-2 if optimiser == "sgd" and family != "siren" else 1e-3) * (1 + seed % 3 / 4)
    row = {"seed": seed, "activation": activation, "optimiser": optimiser, "lr": lr, "momentum": 0.9 * (seed % 2)}
    row["weight_decay"] = 1e-3 * (seed % 2)
    return {**row, "image": 0} if family == "siren" else {**row, "dropout": 0.1 * (seed % 3)}


def differences(
    recipe: dict[str, Any], settings: list[dict[str, Any]], steps: int, dtype: torch.dtype
) -> dict[str, list[float]]:
    """Of each member's weights, by trainer: the largest difference in float64, else relative to their norm."""
    # 19 samples make one step an epoch of random ten; 200 make twenty.
    data = load("digits", limit=19 if steps == 1 else 200)
    epochs = steps if recipe["factory"] == "siren" or steps == 1 else steps // 20
    batch_size = 64 if recipe["factory"] == "siren" else 10
    work = TrainingJob(recipe, tuple(settings), epochs=epochs, batch_size=batch_size, keep=(epochs,))
    one, found = train(work, data, dtype=dtype).states[0], {}
    for trainer in ("stacked", "native"):
        gap = one - train(work, data, trainer, dtype=dtype).states[0]
        relative = gap.norm(dim=1) / one.norm(dim=1)
        found[trainer] = (gap.abs().amax(1) if dtype == torch.float64 else relative).tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = limits()
    _results.show(rows)
    for case in cases(options.seed, options.quick):
        found = compare_speed(case, repeats=3 if options.quick else 5)
        _results.show(found)
        rows += found
    parity = compare_weights(options.seed)
    _results.show(parity)
    _results.finish(options.json, rows + parity, options.seed)


if __name__ == "__main__":
    main()
