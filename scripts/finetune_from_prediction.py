"""Fine-tune networks from predicted weights: are fewer steps needed than from the networks' own initialisation?

    python scripts/finetune_from_prediction.py --checkpoint DIR --json FILE [--steps 100] [--architectures 10]

Each of ten architectures that the hypernetwork never saw is trained on digits with the same seed, batches and Adam from
four starts: its own initialisation, the prediction, and two that cost nothing: the own initialisation brought to the
norms of the prediction, and the prediction with the numbers of each tensor shuffled. Counted are the steps to the test
accuracy with which the run from the own initialisation ends.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from _ghn import accuracy, architectures, own_init, predicted
from _results import finish, row, show
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import hypernets
import metanets.tables
from hypernets.ghn.training.running import run
from hypernets.ghn.training.sampled import Sampled
from hypernets.tasks.images import Images, read

Weights = Mapping[str, Tensor]
BATCH = 64
# Steps between two measurements of the accuracy.
EVERY = 5


def main(arguments: list[str] | None = None) -> None:
    given = parse(arguments)
    images, model = read("digits"), hypernets.load(given.checkpoint)
    chosen = tqdm(architectures(images, "", given.architectures), unit="architecture")
    found = {number: curves(sampled, predicted(model)(sampled), images, given) for number, sampled in enumerate(chosen)}
    starts = list(next(iter(found.values())))
    needed = {number: steps_needed(courses) for number, courses in found.items()}
    lines = [[n, *("-" if s is None else s for s in steps.values())] for n, steps in needed.items()]
    print(metanets.tables.table(["architecture, steps to the end of own init", *starts], lines))
    rows = summary(found, needed, given)
    show(rows)
    finish(given.json, rows, given.seed)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="folder of a hypernetwork trained on digits")
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--steps", type=int, default=100, help="of every run (default: 100)")
    parser.add_argument("--lr", type=float, default=1e-3, help="of Adam (default: 1e-3)")
    parser.add_argument("--architectures", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def curves(sampled: Sampled, prediction: Weights, images: Images, given: argparse.Namespace) -> dict[str, list[float]]:
    """Test accuracy after 0, EVERY, 2 EVERY, ... steps from each start."""
    own = own_init(sampled)
    starts = {
        "own init": own,
        "prediction": prediction,
        "own init, predicted norms": rescaled(own, prediction),
        "prediction, shuffled": shuffled(prediction, given.seed),
    }
    return {name: course(sampled, start, images, given) for name, start in starts.items()}


def course(sampled: Sampled, start: Weights, images: Images, given: argparse.Namespace) -> list[float]:
    """Train in copies of the weights; the batches are a function of the seed alone."""
    weights = {name: w.clone().requires_grad_() for name, w in start.items()}
    optimiser = torch.optim.Adam(weights.values(), lr=given.lr)
    generator = torch.Generator().manual_seed(given.seed)
    reached = [accuracy(sampled.module, weights, images.test)]
    for step in range(1, given.steps + 1):
        chosen = torch.randint(len(images.train.x), (BATCH,), generator=generator)
        optimiser.zero_grad()
        cross_entropy(run(sampled.module, weights, images.train.x[chosen]), images.train.y[chosen]).backward()
        optimiser.step()
        if step % EVERY == 0:
            reached.append(accuracy(sampled.module, weights, images.test))
    return reached


def rescaled(own: Weights, prediction: Weights) -> Weights:
    """Each tensor of ``own`` at the norm that the prediction gives it; one that is 0 stays."""
    return {name: w * (prediction[name].norm() / w.norm() if w.norm() > 0 else 1) for name, w in own.items()}


def shuffled(prediction: Weights, seed: int) -> Weights:
    """The numbers of each tensor in random order."""
    generator = torch.Generator().manual_seed(seed)
    order = {name: torch.randperm(w.numel(), generator=generator) for name, w in prediction.items()}
    return {name: w.reshape(-1)[order[name]].view_as(w) for name, w in prediction.items()}


def steps_needed(courses: Mapping[str, list[float]]) -> dict[str, int | None]:
    """Steps until each course first reaches what the own initialisation ends with; None where it never does."""
    goal = courses["own init"][-1]
    return {
        name: next((EVERY * i for i, value in enumerate(values) if value >= goal), None)
        for name, values in courses.items()
    }


def summary(
    found: Mapping[int, dict[str, list[float]]], needed: Mapping[int, dict[str, int | None]], given: argparse.Namespace
) -> list[dict]:
    rows = []
    for name in next(iter(found.values())):
        sooner = sum(_sooner(steps[name], steps["own init"]) for steps in needed.values())
        at_least = round(0.8 * given.architectures) if name == "prediction" else None
        if name != "own init":
            rows.append(row(f"{name}: sooner than own init", sooner, "architectures", at_least=at_least))
        for what, place in (("first", 0), ("last", -1)):
            values = [courses[name][place] for courses in found.values()]
            rows.append(row(f"{name}: {what} accuracy", round(sum(values) / len(values), 2), "%"))
    return rows


def _sooner(steps: int | None, own: int | None) -> bool:
    return steps is not None and own is not None and steps < own


if __name__ == "__main__":
    main()
