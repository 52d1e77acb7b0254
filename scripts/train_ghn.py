"""Train a graph hypernetwork and the MLP baseline of equal budget; score both on architectures they never saw.

    python scripts/train_ghn.py --data digits --json FILE             one core, 15 minutes
    python scripts/train_ghn.py --data DIR --json FILE --hours 6      CIFAR-10 as parquet files

Both are trained on random networks of the DeepNets space (C in 8 to 32 and 4 to 10 cells for digits, that of
DeepNets-1M for larger images). The table gives the accuracy on test images with predicted parameters alone: on 100
architectures of the same space and on 30 each that are wider, deeper, denser or without norms, beside their own random
initialisation. On CIFAR-10 the rows published with GHN-2 (https://arxiv.org/abs/2110.13100, table 2) stand beside.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _ghn import SPLITS, accuracies, accuracy, architectures, mean, own_init, predicted, trained
from _results import row, show, write

import metanets.tables
from hypernets.runs import TrainRun
from hypernets.tasks.images import Images, read

TITLES = {"ghn2": "GHN-2", "mlp": "MLP"}
PUBLISHED = {
    "MLP, published": (42.2, 22.3, 37.9, 44.8, 23.9, 17.7),
    "GHN-2, published": (66.9, 64.0, 60.5, 65.8, 36.8, 58.6),
}
# Fixed for digits: steps of both models such that the baseline has no less CPU time.
SMALL: dict[str, Any] = {
    "lr": 2e-3,
    "rates": {"classes": 5.0, "decoder": 0.3},
    "warmup": 0.02,
    "meta_batch": 1,
    "image_batch": 32,
    "network_clip": 1.0,
    "identity": 1.0,
    "pool": 600,
}
SMALL_STEPS = {"ghn2": 2500, "mlp": 5000}
SMALL_MODEL: dict[str, Any] = {"hidden": 32, "max_shape": [16, 16, 7, 7]}
# Architectures of each split out of distribution, as a part of those of the test.
OUTSIDE = 0.3
LARGE: dict[str, Any] = {"lr": 1e-3, "schedule": "steps", "augment": "shift-mirror", "network_clip": 5.0}


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    out = Path(given.out or tempfile.mkdtemp(prefix="train-ghn-"))
    images = read(given.data, given.limit)
    small = min(images.shape[1:]) < 16
    runs = plan(given, out, small)
    models: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for name, run in runs.items():
        print(f"Training {TITLES[name]} ...", flush=True)
        models[name], seconds = trained(run)
        rows.append(row(f"{TITLES[name]}: CPU time of training", seconds, "s"))
    ghn2, mlp = (r["value"] for r in rows)
    begun = time.process_time()
    table = scored(models, images, given.architectures)
    scoring = time.process_time() - begun
    rows += judged(table, small, 100 / images.num_classes)
    total = sum(r["value"] for r in rows if r["unit"] == "s") + scoring
    rows.append(row("CPU time of MLP over that of GHN-2", round(mlp / ghn2, 3), "", at_least=1.0))
    rows.append(row("all: CPU time", round(total, 1), "s", at_most=900 if small else None))
    splits = next(iter(table.values()))
    lines = [[title, *(f"{v:.1f}" for v in values.values())] for title, values in table.items()]
    print(metanets.tables.table(["accuracy, %", *splits], lines))
    if not small:
        print(metanets.tables.table(["published", *splits], [[t, *map(str, v)] for t, v in PUBLISHED.items()]))
    show(rows)
    if given.json:
        write(given.json, rows, given.seed)
    return 1 if any(r["holds"] is False for r in rows) else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, or a folder of parquet files (default: digits)")
    parser.add_argument("--json", help="file that gets the figures")
    parser.add_argument("--out", help="folder of the models; what an earlier call trained there is not trained again")
    parser.add_argument("--steps", type=int, help="of GHN-2, the baseline twice as many (default: 2500 for digits)")
    parser.add_argument("--hours", type=float, help="wall-clock time of each training instead of steps")
    parser.add_argument("--architectures", type=int, default=100, help="of the test split (default: 100)")
    parser.add_argument("--limit", type=int, help="at most so many images a split")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw architectures (default: 0)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def plan(given: argparse.Namespace, out: Path, small: bool) -> dict[str, TrainRun]:
    """The runs of both models, by name."""
    common = TrainRun(
        given.data, str(out), seed=given.seed, limit=given.limit, device=given.device, workers=given.workers,
        arguments=SMALL_MODEL if small else {}, evaluations=4, architectures=20, resume=True,
        **(SMALL if small else LARGE),
    )  # fmt: skip
    parts = {name: count / SMALL_STEPS["ghn2"] for name, count in SMALL_STEPS.items()}
    ghn2 = given.steps or (SMALL_STEPS["ghn2"] if small else None)
    steps = {name: ghn2 and round(part * ghn2) for name, part in parts.items()}
    minutes = 60 * given.hours if given.hours else None
    return {
        name: replace(common, model=name, out=str(out / name), steps=None if minutes else steps[name], minutes=minutes)
        for name in TITLES
    }


def scored(models: dict[str, Any], images: Images, count: int) -> dict[str, dict[str, float]]:
    """Mean accuracy in per cent on every split, by what made the weights."""
    counts = {"": count} | dict.fromkeys(SPLITS, max(1, round(OUTSIDE * count)))
    chosen = {split or "test": architectures(images, split, n) for split, n in counts.items()}
    makers = {TITLES[name]: predicted(model) for name, model in models.items()} | {"random init": own_init}
    table = {
        title: {split: mean(accuracies(nets, maker, images.test)) for split, nets in chosen.items()}
        for title, maker in makers.items()
    }
    if images.shape[0] == 3:
        for title, model in {**{TITLES[name]: model for name, model in models.items()}, "random init": None}.items():
            table[title]["ResNet-50"] = resnet50_accuracy(model, images)
    return table


def resnet50_accuracy(model: Any, images: Images) -> float:
    """With the parameters that a hypernetwork writes, or without one those of the network's own rule."""
    import torch
    from _resnet50 import resnet50

    from hypernets.ghn.batch_statistics import use_batch_statistics

    torch.manual_seed(0)
    net = resnet50(images.num_classes)
    weights = model.predict(net, images.test.x[:2], within=None)[0] if model else dict(net.named_parameters())
    return round(accuracy(use_batch_statistics(net.eval()), weights, images.test), 2)


def judged(table: dict[str, dict[str, float]], small: bool, chance: float) -> list[dict[str, Any]]:
    """A row a figure; the bounds are those of the test split."""
    mlp = table[TITLES["mlp"]]["test"]
    ahead = mlp + 10 if small else mlp + 5
    bound = {(TITLES["ghn2"], "test"): {"at_least": max(ahead, 4 * chance) if small else ahead}}
    return [
        row(f"{title}: {split}", value, "%", **bound.get((title, split), {}))
        for title, values in table.items()
        for split, value in values.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
