"""How many networks a stack should hold: the rule's choice against every other size, and against one at a time.

Every size trains the same kind of job (same recipe, data and settings) in one process, in turn with the reference
trainer and on one thread; the figure is CPU time a network, initialisation and evaluation included. The first rows are
of networks whose stacked layers are written by hand, the others are stacked by torch.vmap.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import _results
import torch
from bench_population import CNN_S, enlarged
from tqdm import tqdm

from zoo.population import TrainingJob, train
from zoo.population.stacked import why_not_worthwhile
from zoo.population.stacked_sizes import stack_size
from zoo.sources import Dataset, load

SIZES = (1, 4, 8, 16, 32, 64)
# The rule's stack is at least so fast, in parts of the fastest size.
RULE = 0.7


@dataclass(frozen=True)
class Case:
    """An architecture on its data, with so many samples a step."""

    name: str
    recipe: dict[str, Any]
    data: Dataset
    batch_size: int
    epochs: int = 3

    def job(self, members: int, seed: int) -> TrainingJob:
        rows = tuple({"seed": seed + i, "lr": 1e-3 * (1 + i % 4 / 4)} for i in range(members))
        return TrainingJob(self.recipe, rows, self.epochs, self.batch_size, keep=(self.epochs,))


def cases() -> list[Case]:
    small, images, text = load("digits", limit=160), enlarged(load("digits", limit=80)), tokens()
    own = {"input_shape": [1, 8, 8]}
    large = {"input_shape": [1, 28, 28]}
    found = [
        Case("MLP 64-32-32-10", {"factory": "mlp"}, small, 10, epochs=20),
        Case("CNN-s", {"factory": "cnn", "arguments": CNN_S}, images, 10, epochs=6),
    ]
    for width, batch in ((16, 10), (16, 64), (64, 64)):
        recipe = {"factory": "gpt", "arguments": {"width": width}}
        found.append(Case(f"gpt of width {width}", recipe, text, batch))
    for family in ("resnet", "vgg", "mobilenet", "vit"):
        found += [Case(family, {"factory": family, "arguments": own}, small, batch) for batch in (10, 64)]
        found += [Case(family, {"factory": family, "arguments": large}, images, batch) for batch in (10, 64)]
    return found


def tokens() -> Dataset:
    """Random text, each token to be followed by the next."""
    drawn = torch.randint(32, (2, 160, 17), generator=torch.Generator().manual_seed(0))
    return Dataset(drawn[0, :, :-1], drawn[0, :, 1:], drawn[1, :, :-1], drawn[1, :, 1:], 32, "random tokens")


def seconds(case: Case, size: int | None, members: int, seed: int) -> float:
    """CPU seconds a network in stacks of that size; None: one at a time by the reference trainer."""
    job = case.job(members, seed)
    start = time.process_time()
    train(job, case.data, "stacked" if size else "reference", stack=size)
    return (time.process_time() - start) / members


def compare(case: Case, repeats: int, seed: int) -> list[dict[str, Any]]:
    """The speed-up of each size: medians over alternating runs."""
    rule = stack_size(case.job(1, seed), case.data)
    sizes: Sequence[int | None] = (None, *sorted({*SIZES, rule}))
    train(case.job(2, seed), case.data, "stacked")
    rounds = [{s: seconds(case, s, max(s or 0, 8), seed) for s in sizes} for _ in range(repeats)]
    speed = {s: statistics.median(r[None] / r[s] for r in rounds) for s in sizes if s is not None}
    refused = why_not_worthwhile(case.job(rule, seed), case.data)
    name = f"{case.name}, {'x'.join(map(str, case.data.train_x.shape[1:]))}, batch {case.batch_size}"
    rows = [_results.row(f"{name}: stacks of {size}", value, "x one alone") for size, value in speed.items()]
    best = _results.row(f"{name}: the rule's {rule} against the best", speed[rule] / max(speed.values()), "", RULE)
    gain = _results.row(f"{name}: taken by auto at {rule}", speed[rule], "x one alone", at_least=1.0)
    lost = _results.row(f"{name}: left to the reference by auto, best", max(speed.values()), "x one alone")
    return [*rows, *([lost] if refused else [best, gain])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--quick", action="store_true", help="one run of each instead of three")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    chosen = [case for case in cases() if case.name.startswith(options.only)]
    for case in tqdm(chosen, desc="cases"):
        found = compare(case, 1 if options.quick else 3, options.seed)
        _results.show(found)
        rows += found
    _results.finish(options.json, rows, options.seed)


if __name__ == "__main__":
    main()
