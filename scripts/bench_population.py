"""How much faster the stacked trainer is than training one network at a time, and how closely the two agree.

Both trainers run the same jobs (same seeds, batches and settings of each member) in one process, in turn, on one
thread; time is CPU time of the whole job, initialisation and final evaluation included.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from itertools import product
from typing import Any

import _results
import torch
from torch.nn import functional

from graphs.families.activations import ACTIVATIONS
from zoo.population import OPTIMISERS, TrainingJob, train
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
    """One comparison: what is trained, on which data, and the least speed-up."""

    name: str
    job: TrainingJob
    data: Dataset
    bound: float

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
        Case("MLP 64-32-32-10, batch 10", job(mlp, members(64, seed), 2 * scale, 10), digits, 15.0),
        Case("SIREN 2-32-32-1, 784 coordinates", job(siren, members(20, seed, True), 100 * scale, 784), images, 3.5),
        Case("CNN-s, 2464 parameters, batch 10", job(cnn, members(8, seed), scale, 10), images, 1.4),
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
    """Median ratio of CPU times over alternating runs, with both rates in network x samples a second."""
    for trainer in ("reference", "stacked"):
        warm = TrainingJob(case.job.recipe, case.job.members[:2], epochs=1, batch_size=case.job.batch_size, keep=(1,))
        train(warm, case.data, trainer)
    pairs = [(cpu_seconds(case, "reference"), cpu_seconds(case, "stacked")) for _ in range(repeats)]
    ratios = [one / many for one, many in pairs]
    rates = [case.samples / statistics.median(times) for times in zip(*pairs, strict=True)]
    return [
        _results.row(f"{case.name}: one at a time", rates[0], "net*samples/s"),
        _results.row(f"{case.name}: stacked", rates[1], "net*samples/s"),
        _results.row(f"{case.name}: slowest run", min(ratios), "x"),
        _results.row(f"{case.name}: speed-up", statistics.median(ratios), "x", at_least=case.bound),
    ]


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
            errors = difference(recipe, settings, steps, dtype)
            name = str(dtype).removeprefix("torch.")
            rows += [
                _results.row(f"{family} {a} {o}: {name}, {steps} step(s)", error, unit, at_most=bound)
                for (a, o), error in zip(kinds, errors, strict=True)
            ]
    return rows


def setting(seed: int, activation: str, optimiser: str, family: str) -> dict[str, Any]:
    # Plain gradient descent at a higher rate makes a SIREN chaotic: rounding then grows by itself.
    lr = (1e-2 if optimiser == "sgd" and family != "siren" else 1e-3) * (1 + seed % 3 / 4)
    row = {"seed": seed, "activation": activation, "optimiser": optimiser, "lr": lr, "momentum": 0.9 * (seed % 2)}
    row["weight_decay"] = 1e-3 * (seed % 2)
    return {**row, "image": 0} if family == "siren" else {**row, "dropout": 0.1 * (seed % 3)}


def difference(recipe: dict[str, Any], settings: list[dict[str, Any]], steps: int, dtype: torch.dtype) -> list[float]:
    """Of each member's weights: the largest difference in float64, else relative to their norm."""
    # 19 samples make one step an epoch of random ten; 200 make twenty.
    data = load("digits", limit=19 if steps == 1 else 200)
    epochs = steps if recipe["factory"] == "siren" or steps == 1 else steps // 20
    batch_size = 64 if recipe["factory"] == "siren" else 10
    work = TrainingJob(recipe, tuple(settings), epochs=epochs, batch_size=batch_size, keep=(epochs,))
    one, many = (train(work, data, trainer, dtype=dtype).states[0] for trainer in ("reference", "stacked"))
    gap = one - many
    return (gap.abs().amax(1) if dtype == torch.float64 else gap.norm(dim=1) / one.norm(dim=1)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in cases(options.seed, options.quick):
        rows += compare_speed(case, repeats=3 if options.quick else 5)
        _results.show(rows[-4:])
    parity = compare_weights(options.seed)
    _results.show(parity)
    _results.finish(options.json, rows + parity, options.seed)


if __name__ == "__main__":
    main()
